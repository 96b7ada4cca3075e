//! What moves on the test card. Each part knows what of itself is on the canvas, and touches nothing else.

use std::f32::consts::TAU;

use super::{
    Canvas, Color, Font, Rect,
    shape::{Stroke, ring},
};
use crate::time::Wall;

const GROOVE: Color = Color::rgb(40, 46, 59);
const FACE: Color = Color::rgb(27, 31, 41);
const MARK: Color = Color::rgb(110, 120, 138);
const HAND: Color = Color::rgb(226, 230, 238);
const ACCENT: Color = Color::rgb(255, 176, 46);

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
/// The time in which the puck goes there and back, in microseconds.
const ROUND_TRIP: u64 = 4 * SECOND;

/// A line of text, of which only the letters that change are drawn anew.
#[derive(Debug)]
pub(super) struct Line {
    place: (i32, i32),
    size: u32,
    color: Color,
    shown: Vec<char>,
}

impl Line {
    /// A line whose first letter has its left upper corner at `place`, both even.
    pub fn new(place: (i32, i32), size: u32, color: Color) -> Self {
        Self {
            place,
            size,
            color,
            shown: Vec::new(),
        }
    }

    /// Makes the line say `text`.
    pub fn show(&mut self, canvas: &mut Canvas, backdrop: &Canvas, font: &mut Font, text: &str) {
        let (width, height) = font.cell(self.size);
        let letters: Vec<char> = text.chars().collect();
        for index in 0..letters.len().max(self.shown.len()) {
            let letter = letters.get(index).copied();
            if letter == self.shown.get(index).copied() {
                continue;
            }
            let (x, y) = (self.place.0 + index as i32 * width, self.place.1);
            canvas.copy_from(
                backdrop,
                Rect {
                    x,
                    y,
                    width,
                    height,
                },
            );
            if let Some(letter) = letter {
                font.draw(
                    canvas,
                    (x, y),
                    self.size,
                    self.color,
                    letter.encode_utf8(&mut [0; 4]),
                );
            }
        }
        self.shown = letters;
    }
}

/// A clock face with two hands: the thin one turns once a minute, the bright one once a second.
#[derive(Debug)]
pub(super) struct Dial {
    center: (f32, f32),
    radius: f32,
    shown: [Rect; 2],
}

impl Dial {
    /// Draws the face on the backdrop.
    pub fn new(backdrop: &mut Canvas, center: (f32, f32), radius: f32) -> Self {
        let dial = Self {
            center,
            radius,
            shown: Default::default(),
        };
        Stroke::disc(center, radius).draw(backdrop, FACE);
        ring(
            backdrop,
            center,
            radius * 0.98,
            (radius * 0.04).max(1.0),
            MARK,
        );
        for tick in 0..60 {
            let (from, thickness) = if tick % 5 == 0 {
                (0.80, 0.026)
            } else {
                (0.88, 0.012)
            };
            dial.ray(tick as f32 / 60.0, from, 0.92, thickness)
                .draw(backdrop, MARK);
        }
        dial
    }

    /// Turns the hands.
    pub fn show(&mut self, canvas: &mut Canvas, backdrop: &Canvas, wall: Wall) {
        let turn = |period: u64| (wall.0 % period) as f32 / period as f32;
        let slow = self.ray(turn(MINUTE), -0.12, 0.76, 0.018);
        let fast = self.ray(turn(SECOND), 0.0, 0.86, 0.032);
        for area in self.shown {
            canvas.copy_from(backdrop, area);
        }
        slow.draw(canvas, HAND);
        fast.draw(canvas, ACCENT);
        let hub = Stroke::disc(self.center, (self.radius * 0.07).max(1.5));
        hub.draw(canvas, ACCENT);
        // The hub reaches beyond the end of the fast hand, and lies within the reach of both.
        self.shown = [slow.bounds(), union(fast.bounds(), hub.bounds())];
    }

    /// A line from the middle outwards, lengths as fractions of the radius; `turn` 0 is up, and grows clockwise.
    fn ray(&self, turn: f32, from: f32, to: f32, radius: f32) -> Stroke {
        let (sin, cos) = (turn * TAU).sin_cos();
        let at = |length: f32| {
            let length = length * self.radius;
            (self.center.0 + length * sin, self.center.1 - length * cos)
        };
        Stroke {
            from: at(from),
            to: at(to),
            radius: (radius * self.radius).max(0.5),
        }
    }
}

/// A puck that goes to and fro in a groove.
#[derive(Debug)]
pub(super) struct Track {
    /// Where the middle of the puck turns round.
    ends: (f32, f32),
    middle: f32,
    radius: f32,
    shown: Rect,
}

impl Track {
    /// Draws the groove on the backdrop, between two columns and two rows.
    pub fn new(
        backdrop: &mut Canvas,
        (left, right): (i32, i32),
        (top, bottom): (i32, i32),
    ) -> Self {
        let middle = (top + bottom) as f32 / 2.0;
        let radius = (bottom - top) as f32 * 0.30;
        let ends = (left as f32 + radius, right as f32 - radius);
        let groove = Stroke {
            from: (ends.0, middle),
            to: (ends.1, middle),
            radius: radius * 0.6,
        };
        groove.draw(backdrop, GROOVE);
        for mark in 0..=10 {
            let x = ends.0 + (ends.1 - ends.0) * mark as f32 / 10.0;
            Stroke::disc((x, middle), (radius * 0.16).max(0.6)).draw(backdrop, MARK);
        }
        Self {
            ends,
            middle,
            radius,
            shown: Rect::default(),
        }
    }

    /// Moves the puck.
    pub fn show(&mut self, canvas: &mut Canvas, backdrop: &Canvas, wall: Wall) {
        let trip = (wall.0 % ROUND_TRIP) as f32 / ROUND_TRIP as f32 * 2.0;
        let way = if trip < 1.0 { trip } else { 2.0 - trip };
        let x = self.ends.0 + (self.ends.1 - self.ends.0) * way;
        canvas.copy_from(backdrop, self.shown);
        let puck = Stroke::disc((x, self.middle), self.radius);
        puck.draw(canvas, ACCENT);
        self.shown = puck.bounds();
    }
}

fn union(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    Rect {
        x,
        y,
        width: (a.x + a.width).max(b.x + b.width) - x,
        height: (a.y + a.height).max(b.y + b.height) - y,
    }
}
