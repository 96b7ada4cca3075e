//! A camera for trying things out: the test pattern, clock bar included, as an H.264 byte stream on standard output, just
//! as `rpicam-vid -t 0 --inline --flush -o -` would send pictures.
//!
//! ```sh
//! cargo build --example pattern
//! picam-host --source 'exec:target/debug/examples/pattern'
//! target/debug/examples/pattern 1280 720 25 | picam-host --source -
//! ```

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use picam_host::{
    h264::AccessUnit,
    source::{Event, Wanted, pattern},
};

fn main() -> anyhow::Result<()> {
    let numbers = std::env::args().skip(1).map(|argument| {
        argument
            .parse()
            .with_context(|| format!("{argument:?} is no number"))
    });
    let numbers = numbers.collect::<anyhow::Result<Vec<u32>>>()?;
    let (width, height, fps) = match *numbers {
        [] => (640, 360, 30),
        [width, height] => (width, height, 30),
        [width, height, fps] => (width, height, fps),
        _ => bail!("usage: pattern [WIDTH HEIGHT [FPS]]"),
    };
    let wanted = Wanted {
        width,
        height,
        fps,
        bitrate: 2_000_000,
        key_interval: Duration::from_secs(1),
        controls: Vec::new(),
    };
    let mut source = pattern::open(&wanted, None)?;
    let mut output = std::io::stdout().lock();
    while let Some(event) = source.events.blocking_recv() {
        match event {
            Event::Picture(picture) => {
                let bytes = byte_stream(&picture.unit)?;
                if output
                    .write_all(&bytes)
                    .and_then(|()| output.flush())
                    .is_err()
                {
                    // Whoever read has had enough: so has the camera.
                    return Ok(());
                }
            }
            Event::Break { .. } => {}
            Event::Lost { reason } => bail!("{reason}"),
            Event::Ended => break,
        }
    }
    Ok(())
}

/// Annex B of ITU-T H.264: a start code before each NAL unit, parameter sets before each IDR picture.
fn byte_stream(unit: &AccessUnit) -> anyhow::Result<Vec<u8>> {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut bytes = Vec::with_capacity(unit.data.len() + 64);
    // An access unit delimiter (any slice type), as cameras send it when asked to.
    bytes.extend_from_slice(&[0, 0, 0, 1, 0x09, 0xf0]);
    if unit.idr {
        let sets = &unit.parameter_sets;
        for set in sets.sps.iter().chain(&sets.pps) {
            bytes.extend_from_slice(&START);
            bytes.extend_from_slice(set);
        }
    }
    let mut rest = &unit.data[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let nal = after
            .get(..length)
            .context("a NAL unit is shorter than it says")?;
        bytes.extend_from_slice(&START);
        bytes.extend_from_slice(nal);
        rest = &after[length..];
    }
    Ok(bytes)
}
