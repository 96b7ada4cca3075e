//! dial: a plugin for picam-host that draws something else on every picture.
//!
//! `picam-host plugin build` makes `dial.wasm` of it; `picam-host --plugin dial.wasm` runs it.

use std::f64::consts::TAU;

use picam_plugin::{
    Config, Description, Number, Plugin,
    overlay::{Colour, Drawing, Frame, Line, Overlay, Point, Rectangle},
};

const TURN: Number = Number::whole(
    "turn-ms",
    1_000,
    (100, 60_000),
    "ms",
    "how long the hand takes to go round",
);
const SIZE: Number = Number::whole(
    "size",
    250,
    (50, 960),
    "thousandths of the picture's height",
    "height of the dial",
);

/// Marks around the dial.
const MARKS: u32 = 10;
/// Between the dial and the edges of the picture, in thousandths of its height.
const MARGIN: f64 = 20.0;

const GROUND: Colour = Colour::BLACK.alpha(160);
const MARK: Colour = Colour::rgb(160, 160, 160);
const HAND: Colour = Colour::WHITE;

/// A hand that goes round, in the upper right corner.
pub struct Dial {
    /// Of the hand, in microseconds.
    turn: u64,
    /// Thousandths of the picture's height.
    size: u32,
}

impl Plugin for Dial {
    fn describe() -> Description {
        Description::new(
            "dial",
            env!("CARGO_PKG_VERSION"),
            "shows by a hand that goes round when each picture was captured",
        )
        .number(&TURN)
        .number(&SIZE)
    }

    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self {
            turn: config.number(&TURN)? * 1_000,
            size: config.number(&SIZE)? as u32,
        })
    }
}

impl Overlay for Dial {
    fn draw(&mut self, frame: &Frame) -> Drawing {
        let face = Face::new(self.size, frame);
        let width = self.size / 40;
        let ground = Rectangle::new(face.at(-1.0, -1.0), face.at(1.0, 1.0)).fill(GROUND);
        let mut drawing = Drawing::new().with(ground);
        for mark in 0..MARKS {
            let turned = f64::from(mark) / f64::from(MARKS);
            let ends = (face.turned(turned, 0.85), face.turned(turned, 0.95));
            drawing = drawing.with(Line::new(ends.0, ends.1, MARK, width));
        }
        // By when the picture was captured, not by when it is drawn: every player shows this picture with this hand.
        let turned = (frame.captured % self.turn) as f64 / self.turn as f64;
        let ends = (face.at(0.0, 0.0), face.turned(turned, 0.75));
        // For this picture alone, since nothing says until when it holds: the host asks again with the next.
        drawing.with(Line::new(ends.0, ends.1, HAND, width))
    }
}

/// Where the dial lies. Places of a drawing are thousandths of the picture's width and of its height, which aren't equally
/// long: a circle takes some care.
struct Face {
    middle: (f64, f64),
    /// Across and down.
    radius: (f64, f64),
}

impl Face {
    fn new(size: u32, frame: &Frame) -> Self {
        // Thousandths of the height as thousandths of the width.
        let narrow = f64::from(frame.height) / f64::from(frame.width);
        let radius = f64::from(size) / 2.0;
        let away = MARGIN + radius;
        Self {
            middle: (1_000.0 - away * narrow, away),
            radius: (radius * narrow, radius),
        }
    }

    /// The place so many radiuses right of the middle and below it.
    fn at(&self, right: f64, down: f64) -> Point {
        Point::new(
            (self.middle.0 + right * self.radius.0).round() as i32,
            (self.middle.1 + down * self.radius.1).round() as i32,
        )
    }

    /// The place so many radiuses from the middle, turned clockwise from the top by a share of a turn.
    fn turned(&self, share: f64, far: f64) -> Point {
        let (sine, cosine) = (share * TAU).sin_cos();
        self.at(far * sine, -far * cosine)
    }
}

picam_plugin::export!(Dial: overlay);

// Plugins are tried on the machine you sit at: `cargo test`.
#[cfg(test)]
mod tests {
    use picam_plugin::overlay::Operation;

    use super::*;

    /// The hand, captured so many milliseconds after a full second: how far its tip is right of the middle, and below it.
    fn hand(millis: u64, (width, height): (u32, u32)) -> (i32, i32) {
        let mut dial = Dial::start(&Config::from([("size", "400")])).expect("it is right");
        let frame = Frame {
            time: 0,
            captured: 1_795_564_800_000_000 + millis * 1_000,
            width,
            height,
        };
        let drawing = dial.draw(&frame);
        assert!(drawing.until <= frame.time, "for this picture alone");
        let Some(Operation::Line(hand)) = drawing.operations.last() else {
            panic!("a hand on top, not {:?}", drawing.operations);
        };
        (hand.end.x - hand.start.x, hand.end.y - hand.start.y)
    }

    #[test]
    fn the_hand_goes_round_once_a_second() {
        let square = (500, 500);
        assert_eq!(hand(0, square), (0, -150));
        assert_eq!(hand(250, square), (150, 0));
        assert_eq!(hand(500, square), (0, 150));
        assert_eq!(hand(750, square), (-150, 0));
        assert_eq!(hand(1_000, square), hand(0, square));
    }

    #[test]
    fn the_dial_is_round_in_whatever_picture() {
        let wide = (1_000, 500);
        assert_eq!(hand(0, wide), (0, -150));
        assert_eq!(hand(250, wide), (75, 0), "of a picture twice as wide");
    }
}
