use super::{
    Canvas, Color, Font, Rect, Size,
    clockbar::{self, Reading},
    moving::{Dial, Line, Track},
    utc,
};
use crate::time::Wall;

const PANEL: Color = Color::rgb(18, 21, 28);
const TEXT: Color = Color::rgb(244, 246, 250);
const QUIET: Color = Color::rgb(152, 162, 178);

/// Letters of `00:00:00.000`.
const TIME_LETTERS: usize = 12;
/// Where the note begins, in letters: behind `frame 0000000` and a gap.
const NOTE_COLUMN: usize = 16;

/// 75 % bars, as in ITU-R BT.471, with the black one left to the panel below.
const BARS: [Color; 7] = [
    Color::rgb(191, 191, 191),
    Color::rgb(191, 191, 0),
    Color::rgb(0, 191, 191),
    Color::rgb(0, 191, 0),
    Color::rgb(191, 0, 191),
    Color::rgb(191, 0, 0),
    Color::rgb(0, 0, 191),
];

/// The moving test card: colour bars and a grey ramp, the wall clock as text, a dial whose fast hand turns once a
/// second, a puck that goes to and fro, and the [`clockbar`].
///
/// All that moves is a function of the wall clock, so that two screens can be compared at a glance. Only what changed
/// since the last picture is drawn.
#[derive(Debug)]
pub struct Card {
    /// What never changes.
    backdrop: Canvas,
    /// The picture.
    canvas: Canvas,
    font: Font,
    date: Line,
    time: Line,
    frame: Line,
    dial: Dial,
    track: Track,
}

impl Card {
    /// A card of this size; `note` is shown beside the number of the frame.
    pub fn new(size: Size, note: &str) -> Self {
        let (width, height) = (size.width() as i32, size.height() as i32);
        let mut font = Font::hack();
        let mut backdrop = Canvas::new(size, PANEL);

        // From the top: bars, ramp, panel (text and dial), track, clock bar.
        let at = |fraction: f32| (height as f32 * fraction) as i32 & !1;
        let (bars, ramp, panel) = (at(0.25), at(0.29), at(0.79));
        let bar = clockbar::area(size.width(), size.height()).y;
        draw_bars(&mut backdrop, width, bars);
        draw_ramp(&mut backdrop, width, bars, ramp - bars);

        let margin = (width as f32 * 0.04) as i32 & !1;
        let middle = (ramp + panel) / 2;
        let radius = ((panel - ramp) as f32 * 0.44).min(width as f32 * 0.15);
        let center = ((width - margin) as f32 - radius, middle as f32);
        let dial = Dial::new(&mut backdrop, center, radius);

        // Three lines, the middle one large: as wide as there is room, as high as there is room.
        let room = (center.0 - radius) as i32 - 2 * margin;
        let large = font.fit(TIME_LETTERS, room, (panel - ramp) as u32 / 2);
        let small = font.fit(NOTE_COLUMN + note.chars().count(), room, large / 2);
        let (large_height, (small_width, small_height)) = (font.cell(large).1, font.cell(small));
        let date_top = (middle - large_height / 2 - small_height) & !1;
        let time_top = date_top + small_height;
        let frame_top = time_top + large_height;
        let note_place = (margin + NOTE_COLUMN as i32 * small_width, frame_top);
        font.draw(&mut backdrop, note_place, small, QUIET, note);

        let track = Track::new(&mut backdrop, (margin, width - margin), (panel, bar));
        Self {
            canvas: backdrop.clone(),
            backdrop,
            font,
            date: Line::new((margin, date_top), small, QUIET),
            time: Line::new((margin, time_top), large, TEXT),
            frame: Line::new((margin, frame_top), small, QUIET),
            dial,
            track,
        }
    }

    /// The picture of this moment, with this number.
    pub fn draw(&mut self, wall: Wall, frame: u32) -> &Canvas {
        let moment = utc(wall);
        let date = moment.strftime("%Y-%m-%d UTC").to_string();
        let time = moment.strftime("%H:%M:%S.%3f").to_string();
        let number = format!("frame {frame:07}");
        let (canvas, backdrop, font) = (&mut self.canvas, &self.backdrop, &mut self.font);
        self.date.show(canvas, backdrop, font, &date);
        self.time.show(canvas, backdrop, font, &time);
        self.frame.show(canvas, backdrop, font, &number);
        self.dial.show(canvas, backdrop, wall);
        self.track.show(canvas, backdrop, wall);
        let millis = wall.0 / 1000;
        clockbar::draw(canvas, Reading { millis, frame });
        canvas
    }
}

fn draw_bars(canvas: &mut Canvas, width: i32, height: i32) {
    let count = BARS.len() as i32;
    for (index, color) in (0..).zip(BARS) {
        let edge = |index: i32| (index * width / count) & !1;
        let x = edge(index);
        let next = if index + 1 == count {
            width
        } else {
            edge(index + 1)
        };
        canvas.fill(
            Rect {
                x,
                y: 0,
                width: next - x,
                height,
            },
            color,
        );
    }
}

/// From black to white.
fn draw_ramp(canvas: &mut Canvas, width: i32, y: i32, height: i32) {
    for x in 0..width {
        let grey = (x * 255 / (width - 1).max(1)) as u8;
        canvas.fill(
            Rect {
                x,
                y,
                width: 1,
                height,
            },
            Color::rgb(grey, grey, grey),
        );
    }
}
