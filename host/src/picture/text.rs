use std::collections::HashMap;

use ab_glyph::{Font as _, FontRef, Glyph as Outlined, point};

use super::{Canvas, Color, Rect};

/// Glyphs kept at most. A clock needs a dozen; whoever draws every size of every letter starts anew now and then.
const CACHED: usize = 2_000;

/// The Hack typeface, and the letters that were drawn with it, as bitmaps. Every letter has the same width, so a text
/// that changes moves nothing around it.
#[derive(Debug)]
pub struct Font {
    outlines: FontRef<'static>,
    glyphs: HashMap<(char, u32), Glyph>,
}

/// A letter at one size.
#[derive(Debug)]
struct Glyph {
    /// From the left edge of the letter's cell to the bitmap, and from the cell's top.
    offset: (i32, i32),
    width: i32,
    height: i32,
    /// Row after row; 255 is covered.
    coverage: Vec<u8>,
}

impl Font {
    /// The font. Letters are drawn when they are first used.
    pub fn hack() -> Self {
        Self {
            outlines: FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR)
                .expect("the built-in font is a valid font"),
            glyphs: HashMap::new(),
        }
    }

    /// Width and height of a letter's cell in pixels, at `size` pixels from the lowest to the highest point of the
    /// font. Both are even, so that a cell at an even place shares no chroma with its neighbours.
    pub fn cell(&self, size: u32) -> (i32, i32) {
        let advance = self
            .outlines
            .h_advance_unscaled(self.outlines.glyph_id('0'));
        let even = |length: f32| ((length / 2.0).ceil() as i32).max(1) * 2;
        (
            even(advance / self.outlines.height_unscaled() * size as f32),
            even(size as f32),
        )
    }

    /// The largest size, up to `limit`, at which `letters` letters are at most `width` pixels wide.
    pub fn fit(&self, letters: usize, width: i32, limit: u32) -> u32 {
        let fits = |size: u32| i64::from(self.cell(size).0) * letters as i64 <= i64::from(width);
        let (mut low, mut high) = (1, limit.max(1));
        while low < high {
            let middle = (low + high).div_ceil(2);
            if fits(middle) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// Draws a line of text whose first cell has its left upper corner at (`x`, `y`). Letters that the font hasn't
    /// show as a box.
    pub fn draw(
        &mut self,
        canvas: &mut Canvas,
        (x, y): (i32, i32),
        size: u32,
        color: Color,
        text: &str,
    ) {
        let (advance, _) = self.cell(size);
        let mut x = x;
        for letter in text.chars() {
            if letter != ' ' {
                self.glyph(letter, size).draw(canvas, (x, y), color);
            }
            x = x.saturating_add(advance);
        }
    }

    fn glyph(&mut self, letter: char, size: u32) -> &Glyph {
        if self.glyphs.len() >= CACHED && !self.glyphs.contains_key(&(letter, size)) {
            self.glyphs.clear();
        }
        let outlines = &self.outlines;
        self.glyphs
            .entry((letter, size))
            .or_insert_with(|| Glyph::new(outlines, letter, size as f32))
    }
}

impl Glyph {
    fn new(outlines: &FontRef<'_>, letter: char, size: f32) -> Self {
        // With `size` as the whole height, the font's highest point is at 0.
        let ascent = outlines.ascent_unscaled() / outlines.height_unscaled() * size;
        let placed: Outlined = outlines
            .glyph_id(letter)
            .with_scale_and_position(size, point(0.0, ascent));
        let Some(outline) = outlines.outline_glyph(placed) else {
            return Self {
                offset: (0, 0),
                width: 0,
                height: 0,
                coverage: Vec::new(),
            };
        };
        let bounds = outline.px_bounds();
        let (width, height) = (bounds.width() as usize, bounds.height() as usize);
        let mut coverage = vec![0; width * height];
        outline.draw(|x, y, cover| {
            if let Some(pixel) = coverage.get_mut(y as usize * width + x as usize) {
                *pixel = (cover.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        });
        Self {
            offset: (bounds.min.x as i32, bounds.min.y as i32),
            width: width as i32,
            height: height as i32,
            coverage,
        }
    }

    fn draw(&self, canvas: &mut Canvas, (x, y): (i32, i32), color: Color) {
        let (left, top) = (
            x.saturating_add(self.offset.0),
            y.saturating_add(self.offset.1),
        );
        let area = Rect {
            x: left,
            y: top,
            width: self.width,
            height: self.height,
        };
        canvas.paint(area, color, |x, y| {
            self.coverage[((y - top) * self.width + x - left) as usize]
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Size;

    fn ink(canvas: &Canvas, area: Rect) -> u64 {
        let width = canvas.size().width() as usize;
        (area.y..area.y + area.height)
            .flat_map(|y| {
                (area.x..area.x + area.width).map(move |x| y as usize * width + x as usize)
            })
            .map(|at| u64::from(canvas.luma()[at] - 16))
            .sum()
    }

    #[test]
    fn a_letter_stays_in_its_cell() {
        for size in [9, 14, 33, 80] {
            let mut font = Font::hack();
            let (width, height) = font.cell(size);
            for letter in "0123456789:.-/UTCGHjgpÅ|".chars() {
                let mut canvas = Canvas::new(Size::new(256, 256).unwrap(), Color::BLACK);
                font.draw(
                    &mut canvas,
                    (64, 64),
                    size,
                    Color::WHITE,
                    &letter.to_string(),
                );
                let cell = Rect {
                    x: 64,
                    y: 64,
                    width,
                    height,
                };
                assert!(ink(&canvas, cell) > 0, "{letter} at {size} is invisible");
                assert_eq!(
                    ink(&canvas, cell),
                    ink(&canvas, canvas.bounds()),
                    "{letter} at {size}"
                );
            }
        }
    }

    #[test]
    fn text_fits_the_width_it_was_fitted_to() {
        let font = Font::hack();
        for (letters, width) in [(12, 640), (30, 160), (1, 16)] {
            let size = font.fit(letters, width, 200);
            assert!(font.cell(size).0 * letters as i32 <= width);
            assert!(size == 200 || font.cell(size + 1).0 * letters as i32 > width);
        }
    }

    #[test]
    fn drawing_many_letters_keeps_few() {
        let mut font = Font::hack();
        let mut canvas = Canvas::new(Size::new(64, 64).unwrap(), Color::BLACK);
        for size in 1..60 {
            let text: String = ('!'..'~').collect();
            font.draw(&mut canvas, (0, 0), size, Color::WHITE, &text);
        }
        assert!(font.glyphs.len() <= CACHED);
    }
}
