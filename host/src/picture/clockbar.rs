//! The clock bar: time and frame number as black and white blocks in the picture, for programs that measure how long a
//! picture takes from capture to screen.
//!
//! # Layout
//!
//! The bar is the lowest 2/15 of the picture, over its whole width: 32 columns and 3 rows of blocks. Block (column `c`,
//! row `r`) reaches, in fractions of the picture, from `x = c/32` to `(c + 1)/32` and from `y = 13/15 + r * 2/45` to
//! `13/15 + (r + 1) * 2/45`. At 640x360 a block is 20x16 pixels, at 1280x720 40x32. White is luma 235 and a one, black
//! is luma 16 and a zero; chroma is 128. (As full-range RGB, white is 255 and black 0.)
//!
//! Four blocks of each row are always the same, so that a reader learns the levels and notices a picture that is
//! shifted, scaled or no test pattern at all: columns 0, 1, 30 and 31 are 1, 0, 0, 1 in rows 0 and 2, and 0, 1, 1, 0 in
//! row 1. Columns 2 to 29 carry 28 bits a row, read left to right, row 0 first, 84 in all, each number with its most
//! significant bit first:
//!
//! | bits | what |
//! |---|---|
//! | 0 to 43 | when the picture was captured: milliseconds since 1970-01-01T00:00:00Z, modulo 2^44 (enough until 2527) |
//! | 44 to 67 | number of the frame, modulo 2^24 |
//! | 68 to 83 | CRC-16/IBM-3740 (polynomial 0x1021, initial value 0xffff, nothing reflected, no final XOR) of nine bytes: the time in six, the frame number in three, both big-endian |
//!
//! A reader takes the mean of the middle of each block, compares it with halfway between the levels of the known black
//! and white blocks, and believes nothing whose CRC is wrong. `tests/browser/clockbar.js` does the same in a page.

use super::{Canvas, Color, Rect};

/// Blocks in a row.
const COLUMNS: usize = 32;
/// Rows of blocks.
const ROWS: usize = 3;
/// Height of a block is 2/45 of the picture's; the bar begins at 39/45.
const HEIGHT: (u64, u64) = (2, 45);
const TOP: u64 = 39;
/// The known blocks of rows 0 and 2, by column; row 1 has the opposite.
const SYNC: [(usize, bool); 4] = [(0, true), (1, false), (30, false), (31, true)];
/// The columns that carry data.
const DATA: std::ops::Range<usize> = 2..30;
/// White must be brighter than black by this much luma for a reading to be worth trying.
const CONTRAST: u32 = 48;

const MILLIS_BITS: u32 = 44;
const FRAME_BITS: u32 = 24;
const CRC_BITS: u32 = 16;

/// What a clock bar says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When the picture was captured, in milliseconds since 1970-01-01T00:00:00Z, modulo 2^44.
    pub millis: u64,
    /// Number of the frame, modulo 2^24.
    pub frame: u32,
}

impl Reading {
    /// The 84 bits, the first the most significant.
    fn to_bits(self) -> u128 {
        let millis = self.millis & ((1 << MILLIS_BITS) - 1);
        let frame = self.frame & ((1 << FRAME_BITS) - 1);
        let bits = u128::from(millis) << FRAME_BITS | u128::from(frame);
        bits << CRC_BITS | u128::from(crc(millis, frame))
    }

    fn from_bits(bits: u128) -> Option<Self> {
        let field = |shift: u32, width: u32| (bits >> shift) as u64 & ((1 << width) - 1);
        let reading = Self {
            millis: field(FRAME_BITS + CRC_BITS, MILLIS_BITS),
            frame: field(CRC_BITS, FRAME_BITS) as u32,
        };
        (reading.to_bits() == bits).then_some(reading)
    }
}

/// CRC-16/IBM-3740 of the time in six bytes and the frame number in three.
fn crc(millis: u64, frame: u32) -> u16 {
    let bytes = millis
        .to_be_bytes()
        .into_iter()
        .skip(2)
        .chain(frame.to_be_bytes().into_iter().skip(1));
    bytes.fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            (crc << 1) ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 }
        })
    })
}

/// Where the bar lies in a picture of this size.
pub fn area(width: u32, height: u32) -> Rect {
    let top = row_edge(0, height as usize);
    Rect {
        x: 0,
        y: top as i32,
        width: width as i32,
        height: height as i32 - top as i32,
    }
}

/// Draws the bar.
pub fn draw(canvas: &mut Canvas, reading: Reading) {
    let (width, height) = (
        canvas.size().width() as usize,
        canvas.size().height() as usize,
    );
    for (row, blocks) in blocks(reading).into_iter().enumerate() {
        let (top, bottom) = (row_edge(row, height), row_edge(row + 1, height));
        for (column, white) in blocks.into_iter().enumerate() {
            let (left, right) = (column_edge(column, width), column_edge(column + 1, width));
            let block = Rect {
                x: left as i32,
                y: top as i32,
                width: (right - left) as i32,
                height: (bottom - top) as i32,
            };
            canvas.fill(block, if white { Color::WHITE } else { Color::BLACK });
        }
    }
}

fn blocks(reading: Reading) -> [[bool; COLUMNS]; ROWS] {
    let bits = reading.to_bits();
    let mut blocks = [[false; COLUMNS]; ROWS];
    for (row, blocks) in blocks.iter_mut().enumerate() {
        for (column, white) in SYNC {
            blocks[column] = white != (row == 1);
        }
        for column in DATA {
            blocks[column] = bits >> shift(row, column) & 1 == 1;
        }
    }
    blocks
}

/// How far the bit of a data block is from the end of the 84.
fn shift(row: usize, column: usize) -> usize {
    DATA.len() * ROWS - 1 - (row * DATA.len() + column - DATA.start)
}

/// Reads the bar in the luma plane of a picture, whatever it has been through: `stride` bytes from row to row, `width`
/// and `height` in pixels. `None` if there is no bar, or it can't be read without doubt.
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<Reading> {
    // Below this a block has no middle.
    if width < COLUMNS * 2
        || height < 45
        || stride < width
        || luma.len() < stride * (height - 1) + width
    {
        return None;
    }
    let level = |row: usize, column: usize| {
        let middle = |from: usize, to: usize| {
            let quarter = (to - from) / 4;
            from + quarter..to - quarter
        };
        let columns = middle(column_edge(column, width), column_edge(column + 1, width));
        let rows = middle(row_edge(row, height), row_edge(row + 1, height));
        let count = (columns.len() * rows.len()) as u32;
        let sum: u32 = rows
            .flat_map(|row| &luma[row * stride..][columns.clone()])
            .map(|&pixel| u32::from(pixel))
            .sum();
        sum / count
    };

    let known = || {
        (0..ROWS)
            .flat_map(|row| SYNC.map(|(column, white)| (level(row, column), white != (row == 1))))
    };
    let mean = |wanted: bool| {
        known()
            .filter(|&(_, white)| white == wanted)
            .map(|(level, _)| level)
            .sum::<u32>()
            / 6
    };
    let (black, white) = (mean(false), mean(true));
    if white < black + CONTRAST {
        return None;
    }
    let is_white = |level: u32| 2 * level > black + white;
    if known().any(|(level, white)| is_white(level) != white) {
        return None;
    }

    let bits = (0..ROWS)
        .flat_map(|row| DATA.map(move |column| (row, column)))
        .fold(0, |bits, (row, column)| {
            bits << 1 | u128::from(is_white(level(row, column)))
        });
    Reading::from_bits(bits)
}

fn column_edge(column: usize, width: usize) -> usize {
    (column * width + COLUMNS / 2) / COLUMNS
}

/// The upper edge of a row of blocks, or of what follows the last.
fn row_edge(row: usize, height: usize) -> usize {
    let (part, whole) = HEIGHT;
    (((TOP + part * row as u64) * height as u64 + whole / 2) / whole) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Size;

    const READING: Reading = Reading {
        millis: 1_772_719_402_123,
        frame: 0x00c0_ffee,
    };

    fn drawn(width: u32, height: u32, reading: Reading) -> Canvas {
        let mut canvas = Canvas::new(Size::new(width, height).unwrap(), Color::rgb(90, 60, 20));
        draw(&mut canvas, reading);
        canvas
    }

    fn read_back(canvas: &Canvas) -> Option<Reading> {
        let (width, height) = (
            canvas.size().width() as usize,
            canvas.size().height() as usize,
        );
        read(canvas.luma(), width, width, height)
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // The check value of CRC-16/IBM-3740 is 0x29b1 for the nine bytes "123456789".
        assert_eq!(crc(0x3132_3334_3536, 0x37_3839), 0x29b1);
    }

    #[test]
    fn what_is_drawn_is_read_at_any_size() {
        for (width, height) in [
            (160, 90),
            (160, 120),
            (320, 180),
            (640, 360),
            (854, 480),
            (1280, 720),
            (720, 1280),
            (3840, 2160),
        ] {
            assert_eq!(
                read_back(&drawn(width, height, READING)),
                Some(READING),
                "{width}x{height}"
            );
        }
    }

    #[test]
    fn numbers_wrap_around() {
        let reading = Reading {
            millis: u64::MAX,
            frame: u32::MAX,
        };
        let wrapped = Reading {
            millis: (1 << 44) - 1,
            frame: (1 << 24) - 1,
        };
        assert_eq!(read_back(&drawn(320, 180, reading)), Some(wrapped));
    }

    #[test]
    fn the_bar_fills_its_fraction_and_no_more() {
        let canvas = drawn(1280, 720, READING);
        let above = &canvas.luma()[..624 * 1280];
        assert!(above.iter().all(|&y| y == above[0]));
        let bar = &canvas.luma()[624 * 1280..];
        assert!(bar.iter().all(|&y| y == 16 || y == 235));
        assert_eq!(
            area(1280, 720),
            Rect {
                x: 0,
                y: 624,
                width: 1280,
                height: 96
            }
        );
    }

    #[test]
    fn a_picture_without_a_bar_reads_as_nothing() {
        let blank = Canvas::new(Size::new(640, 360).unwrap(), Color::WHITE);
        assert_eq!(read_back(&blank), None);
        assert_eq!(read(&[], 0, 0, 0), None);
        assert_eq!(read(&[0; 100], 640, 640, 360), None);
    }

    #[test]
    fn one_wrong_block_is_noticed() {
        for column in 0..COLUMNS {
            for row in 0..ROWS {
                let mut canvas = drawn(640, 360, READING);
                let x = column_edge(column, 640);
                let y = row_edge(row, 360);
                let was = canvas.luma()[y * 640 + x];
                let block = Rect {
                    x: x as i32,
                    y: y as i32,
                    width: 20,
                    height: 16,
                };
                canvas.fill(
                    block,
                    if was == 16 {
                        Color::WHITE
                    } else {
                        Color::BLACK
                    },
                );
                assert_eq!(read_back(&canvas), None, "column {column}, row {row}");
            }
        }
    }

    #[test]
    fn it_is_read_after_scaling() {
        let canvas = drawn(1280, 720, READING);
        for (width, height) in [
            (640, 360),
            (853, 480),
            (400, 225),
            (1920, 1080),
            (1000, 700),
        ] {
            let scaled: Vec<u8> = (0..height)
                .flat_map(|y| (0..width).map(move |x| (x, y)))
                .map(|(x, y)| {
                    bilinear(
                        &canvas,
                        x as f32 * 1280.0 / width as f32,
                        y as f32 * 720.0 / height as f32,
                    )
                })
                .collect();
            assert_eq!(
                read(&scaled, width, width, height),
                Some(READING),
                "{width}x{height}"
            );
        }
    }

    fn bilinear(canvas: &Canvas, x: f32, y: f32) -> u8 {
        let at = |x: usize, y: usize| f32::from(canvas.luma()[y.min(719) * 1280 + x.min(1279)]);
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x.fract(), y.fract());
        let upper = at(left, top) * (1.0 - fx) + at(left + 1, top) * fx;
        let lower = at(left, top + 1) * (1.0 - fx) + at(left + 1, top + 1) * fx;
        (upper * (1.0 - fy) + lower * fy) as u8
    }
}
