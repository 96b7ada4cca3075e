//! The test pattern as an H.264 byte stream on standard output, in real time: the same pictures as `--source pattern`,
//! for another program to stream.
//!
//!     cargo run --release --example pattern_h264 [WIDTHxHEIGHT] | ffmpeg -f h264 -framerate 30 -i - -c copy …
//!
//! 30 pictures a second, a key frame each second, 2 Mbit/s. It ends when nobody reads any more.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use picam_host::{
    h264::AccessUnit,
    source::{Event, Wanted, pattern},
};

const START: [u8; 4] = [0, 0, 0, 1];
/// An access unit delimiter, so that a reader knows where pictures begin.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 9, 0xf0];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let size = std::env::args().nth(1).unwrap_or("1280x720".into());
    let (width, height) = size
        .split_once('x')
        .with_context(|| format!("{size:?} is no size; write one as in 1280x720"))?;
    let mut source = pattern::open(&Wanted {
        width: width.parse().context("the width")?,
        height: height.parse().context("the height")?,
        fps: 30,
        bitrate: 2_000_000,
        key_interval: Duration::from_secs(1),
    })?;
    let mut out = std::io::stdout().lock();
    while let Some(event) = source.events.recv().await {
        let Event::Picture(picture) = event else {
            bail!("the test pattern says {event:?}");
        };
        let bytes = annex_b(&picture.unit)?;
        match out.write_all(&bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("writing the picture")?,
        }
    }
    bail!("the test pattern ended")
}

/// The picture with start codes, behind its parameter sets if it is a key frame.
fn annex_b(unit: &AccessUnit) -> Result<Vec<u8>> {
    let mut bytes = DELIMITER.to_vec();
    if unit.idr {
        for set in unit
            .parameter_sets
            .sps
            .iter()
            .chain(&unit.parameter_sets.pps)
        {
            bytes.extend(START);
            bytes.extend(&set[..]);
        }
    }
    let mut rest = &unit.data[..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        ensure!(length <= behind.len(), "a NAL unit is cut off");
        let (nal, next) = behind.split_at(length);
        bytes.extend(START);
        bytes.extend(nal);
        rest = next;
    }
    Ok(bytes)
}
