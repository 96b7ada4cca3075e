//! Writes what a camera encodes to a file, as Annex B, and what happens to standard output: one line a picture with its
//! capture time, or with whatever else the source reports. For looking at a camera without the rest of the host.
//!
//!     cargo run --example v4l2_dump -- /dev/video0 out.h264 [PICTURES]
//!
//! `auto` instead of a device takes the first camera that works. Ends after that many pictures, or never.

use std::{fs::File, io::Write, path::Path, time::Duration};

use anyhow::{Context, bail};
use picam_host::{
    h264::AccessUnit,
    source::{Event, Wanted, v4l2},
};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (device, output, pictures) = match arguments.as_slice() {
        [device, output] => (device, output, u64::MAX),
        [device, output, pictures] => (device, output, pictures.parse().context("PICTURES")?),
        _ => bail!("v4l2_dump DEVICE OUTPUT [PICTURES]"),
    };
    let wanted = Wanted {
        width: 1280,
        height: 720,
        fps: 30,
        bitrate: 2_000_000,
        key_interval: Duration::from_secs(1),
        controls: Vec::new(),
    };
    let mut source = match device.as_str() {
        "auto" => v4l2::auto(&wanted, None)?,
        path => v4l2::open(Path::new(path), &wanted, None)?,
    };
    println!("source {} {:?}", source.description, source.nominal);
    let mut file = File::create(output).with_context(|| format!("creating {output}"))?;
    let mut count = 0;
    while let Some(event) = source.events.blocking_recv() {
        match event {
            Event::Picture(picture) => {
                count += 1;
                let unit = &picture.unit;
                println!(
                    "picture {count} at {} us, {} bytes{}",
                    picture.captured.0,
                    unit.data.len(),
                    if unit.idr { ", IDR" } else { "" }
                );
                write_annex_b(&mut file, unit).with_context(|| format!("writing {output}"))?;
                if count == pictures {
                    break;
                }
            }
            Event::Break { reason } => println!("break {reason}"),
            Event::Lost { reason } => println!("lost {reason}"),
            Event::Ended => break,
        }
    }
    println!("end {count} pictures, {:?}", *source.damage.borrow());
    Ok(())
}

/// Start codes instead of lengths, and the parameter sets before each IDR picture.
fn write_annex_b(to: &mut impl Write, unit: &AccessUnit) -> std::io::Result<()> {
    const START: [u8; 4] = [0, 0, 0, 1];
    if unit.idr {
        let sets = &unit.parameter_sets;
        for set in sets.sps.iter().chain(&sets.pps) {
            to.write_all(&START)?;
            to.write_all(set)?;
        }
    }
    let mut rest = &unit.data[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        to.write_all(&START)?;
        to.write_all(nal)?;
        rest = after;
    }
    Ok(())
}
