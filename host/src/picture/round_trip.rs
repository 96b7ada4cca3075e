//! The clock bar through everything that happens to it on its way: encoder, decoder, and the reader for pages.

use openh264::decoder::Decoder;

use super::{Card, Colors, Encoder, Rate, Settings, Size, clockbar::Reading, testing};
use crate::{h264::AccessUnit, time::Wall};

/// Encodes the first pictures of the test card.
fn encode_card((width, height): (u32, u32), bitrate: u32, count: u32) -> Vec<AccessUnit> {
    let size = Size::new(width, height).unwrap();
    let mut encoder = Encoder::open(Settings {
        size,
        colors: Colors::BT709,
        fps: FPS,
        rate: Rate::Bits(bitrate),
    })
    .unwrap();
    let mut card = Card::new(size, "test");
    (0..count)
        .map(|frame| {
            let picture = card.draw(moment(frame), frame);
            encoder.encode(picture, frame.is_multiple_of(FPS)).unwrap()
        })
        .collect()
}

const FPS: u32 = 25;

fn moment(frame: u32) -> Wall {
    Wall(1_772_719_402_123_000 + u64::from(frame) * 1_000_000 / u64::from(FPS))
}

#[test]
fn the_clock_bar_survives_encoding_at_low_bitrates() {
    for (width, height, bitrate) in [
        (160, 120, 60_000),
        (320, 180, 80_000),
        (320, 180, 500_000),
        (640, 360, 150_000),
        (640, 360, 2_000_000),
        (1280, 720, 400_000),
        (1280, 720, 2_000_000),
    ] {
        let units = encode_card((width, height), bitrate, 45);
        let mut decoder = Decoder::new().unwrap();
        for (frame, unit) in (0..).zip(&units) {
            let reading = testing::decode(&mut decoder, unit).reading();
            let wanted = Reading {
                millis: moment(frame).0 / 1000,
                frame,
            };
            assert_eq!(
                reading,
                Some(wanted),
                "{width}x{height} at {bitrate} bit/s, frame {frame}"
            );
        }
    }
}

/// The reader that browser tests use, run by Node on pictures that were encoded, decoded and converted to RGBA.
#[test]
fn the_reader_for_pages_reads_the_same() {
    if let Err(error) = std::process::Command::new("node").arg("--version").output() {
        panic!("node can't be run ({error}): install Node.js 18 or later, which the tests need");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/browser/clockbar.js");
    // As `.mjs` it is a module, whatever lies around it.
    std::fs::copy(reader, path("clockbar.mjs")).unwrap();
    std::fs::write(path("read.mjs"), READ).unwrap();

    let (mut arguments, mut wanted) = (Vec::new(), String::new());
    for (width, height) in [(160, 120), (320, 180), (640, 360), (1280, 720)] {
        let mut decoder = Decoder::new().unwrap();
        for (frame, unit) in (0..).zip(encode_card((width, height), 300_000, 3)) {
            let file = path(&format!("{width}-{frame}"));
            std::fs::write(&file, testing::decode(&mut decoder, &unit).rgba).unwrap();
            arguments.extend([
                file.into_os_string(),
                width.to_string().into(),
                height.to_string().into(),
            ]);
            wanted += &format!("{} {frame}\n", moment(frame).0 / 1000);
        }
    }
    let blank = path("blank");
    std::fs::write(&blank, vec![128; 320 * 180 * 4]).unwrap();
    arguments.extend([blank.into_os_string(), "320".into(), "180".into()]);
    wanted += "nothing\n";

    let output = std::process::Command::new("node")
        .arg(path("read.mjs"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{errors}");
}

const READ: &str = r#"
import { readFileSync } from "node:fs";
import { readClockbar } from "./clockbar.mjs";

const list = process.argv.slice(2);
while (list.length > 0) {
  const [file, width, height] = list.splice(0, 3);
  const reading = readClockbar({ data: readFileSync(file), width: Number(width), height: Number(height) });
  console.log(reading ? `${reading.millis} ${reading.frame}` : "nothing");
}
"#;
