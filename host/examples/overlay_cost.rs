//! What drawing costs beside encoding, in microseconds a picture.
//!
//! ```sh
//! cargo run --release --example overlay_cost -- 1280 720
//! ```

use std::{hint::black_box, time::Instant};

use anyhow::{Context, bail};
use picam_host::{
    overlay::{Anchor, Colour, Fonts, Ground, Operation, Point, Raster},
    picture::{Canvas, Card, Colors, Encoder, Rate, Settings, Size},
    time::Wall,
};

const PICTURES: u32 = 200;

fn main() -> anyhow::Result<()> {
    let numbers = std::env::args().skip(1).map(|argument| {
        argument
            .parse()
            .with_context(|| format!("{argument:?} is no number"))
    });
    let (width, height) = match *numbers.collect::<anyhow::Result<Vec<u32>>>()? {
        [] => (1280, 720),
        [width, height] => (width, height),
        _ => bail!("usage: overlay_cost [WIDTH HEIGHT]"),
    };
    let size = Size::new(width, height)?;
    let ground = Ground {
        size,
        colors: Colors::BT709,
    };
    let mut card = Card::new(size, "cost");
    let mut canvas = Canvas::clone(card.draw(Wall(0), 0));
    let mut raster = Raster::new(&Fonts::default());

    let line = |n: u32| text(&format!("2026-11-25 22:30:{:02}.{n:03}", n % 60));
    let veil = |n: u32| veil(n as u8);
    // Once, so that letters are known.
    raster.draw(ground, &[line(0)]);
    report("a line of text, drawn anew", |n| {
        black_box(raster.draw(ground, &[line(n)]));
    });
    let plate = raster.draw(ground, &[line(0)]);
    report("a line of text, blended", |_| plate.blend(&mut canvas));
    report("the whole picture, drawn anew", |n| {
        black_box(raster.draw(ground, &[veil(n)]));
    });
    let plate = raster.draw(ground, &[veil(0)]);
    report("the whole picture, blended", |_| plate.blend(&mut canvas));

    let mut encoder = Encoder::open(Settings {
        size,
        colors: Colors::BT709,
        fps: 30,
        rate: Rate::Bits(2_000_000),
    })?;
    let mut failed = None;
    report("the test card, drawn and encoded", |n| {
        let picture = card.draw(Wall(u64::from(n) * 33_333), n);
        if let Err(error) = encoder.encode(picture, n.is_multiple_of(30)) {
            failed = Some(error);
        }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn text(content: &str) -> Operation {
    Operation::Text {
        at: Point(980, 980),
        anchor: Anchor::BottomRight,
        content: content.to_owned(),
        size: 40,
        colour: Colour([255; 4]),
        background: Some(Colour([0, 0, 0, 128])),
        outline: None,
        font: String::new(),
    }
}

/// Half of a colour over everything.
fn veil(red: u8) -> Operation {
    Operation::Rectangle {
        from: Point(0, 0),
        to: Point(1_000, 1_000),
        fill: Some(Colour([red, 80, 200, 128])),
        stroke: None,
        width: 0,
    }
}

fn report(what: &str, mut work: impl FnMut(u32)) {
    let mut times: Vec<_> = (0..PICTURES)
        .map(|n| {
            let began = Instant::now();
            work(n);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "{what:36} {:8.1} (99th percentile {:.1})",
        median.as_secs_f64() * 1e6,
        most.as_secs_f64() * 1e6
    );
}
