use std::{collections::HashMap, sync::Arc};

use cosmic_text::CacheKey;
use tiny_skia::{ColorU8, FillRule, IntRect, Paint, Path, Pixmap, Rect, Stroke, Transform};

/// Bytes that are kept of letters: every letter and digit of a few sizes, at every place within a pixel. Who draws more
/// starts anew now and then.
const KEPT: usize = 1 << 20;

/// Letters that were turned into pixels before. A text that changes with every picture is mostly made of them, and to
/// turn an outline into pixels takes many times as long as to lay them down.
///
/// Each is kept for every quarter of a pixel that it may begin at, across and down: as fine as the rasteriser looks at
/// outlines.
#[derive(Default)]
pub(super) struct Glyphs {
    kept: HashMap<Name, Option<Arc<Coverage>>>,
    bytes: usize,
}

/// What tells one from another: which letter at which place within a pixel, and how wide a line around it (the bits of a
/// number of pixels), if it is that.
type Name = (CacheKey, Option<u32>);

/// How much a letter covers of the pixels around it.
struct Coverage {
    /// Where these are, from the pixel on that the letter lies in.
    place: IntRect,
    /// Row by row, 255 for all of a pixel.
    alpha: Vec<u8>,
}

/// A letter in the picture.
pub(super) struct Glyph {
    place: IntRect,
    coverage: Arc<Coverage>,
}

impl Glyphs {
    /// A letter in a pixel, or the line around it; `None` if that has no pixels, as a space.
    ///
    /// `outline` is its outline as it lies within its pixel.
    pub fn glyph(
        &mut self,
        (key, x, y): (CacheKey, i32, i32),
        stroke: Option<&Stroke>,
        outline: impl FnOnce() -> Option<Path>,
    ) -> Option<Glyph> {
        let name = (key, stroke.map(|stroke| stroke.width.to_bits()));
        if !self.kept.contains_key(&name) {
            // No letter reaches further than this; what a strange font has beyond is cut off.
            let reach = (3.0 * f32::from_bits(key.font_size_bits)).ceil();
            let coverage = outline().and_then(|outline| Coverage::of(&outline, stroke, reach));
            self.keep(name, coverage.map(Arc::new));
        }
        let coverage = self.kept.get(&name)?.clone()?;
        let near = coverage.place;
        let (left, top) = (x.checked_add(near.x())?, y.checked_add(near.y())?);
        let place = IntRect::from_xywh(left, top, near.width(), near.height())?;
        Some(Glyph { place, coverage })
    }

    fn keep(&mut self, name: Name, coverage: Option<Arc<Coverage>>) {
        let pixels = coverage.as_ref().map_or(0, |coverage| coverage.alpha.len());
        let added = size_of::<Name>() + size_of::<Coverage>() + pixels;
        if self.bytes + added > KEPT {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += added;
        self.kept.insert(name, coverage);
    }
}

impl Coverage {
    fn of(outline: &Path, stroke: Option<&Stroke>, reach: f32) -> Option<Self> {
        let line = stroke.map_or(0.0, |stroke| stroke.width / 2.0);
        let edges = outline.bounds();
        let (left, top) = (
            (edges.left() - line).floor().max(-reach),
            (edges.top() - line).floor().max(-reach),
        );
        let (right, bottom) = (
            (edges.right() + line).ceil().min(reach),
            (edges.bottom() + line).ceil().min(reach),
        );
        let place = IntRect::from_ltrb(left as i32, top as i32, right as i32, bottom as i32)?;
        let mut pixels = Pixmap::new(place.width(), place.height())?;
        let (paint, moved) = (Paint::default(), Transform::from_translate(-left, -top));
        match stroke {
            None => pixels.fill_path(outline, &paint, FillRule::Winding, moved, None),
            Some(stroke) => pixels.stroke_path(outline, &paint, stroke, moved, None),
        }
        let alpha = pixels.pixels().iter().map(|pixel| pixel.alpha()).collect();
        Some(Self { place, alpha })
    }
}

impl Glyph {
    /// Adds what it covers of a row of the picture, from `left` on.
    fn cover(&self, y: i32, left: i32, row: &mut [u8]) {
        if !(self.place.top()..self.place.bottom()).contains(&y) {
            return;
        }
        let width = self.place.width() as usize;
        let own = &self.coverage.alpha[y.abs_diff(self.place.top()) as usize * width..][..width];
        // Either begins to the left of the other.
        let own = own.get(left.saturating_sub(self.place.left()).max(0) as usize..);
        let row = row.get_mut(self.place.left().saturating_sub(left).max(0) as usize..);
        if let (Some(own), Some(row)) = (own, row) {
            for (sum, &own) in row.iter_mut().zip(own) {
                *sum = sum.saturating_add(own);
            }
        }
    }
}

/// Where letters are.
fn place(glyphs: &[Glyph]) -> Option<IntRect> {
    let places = glyphs.iter().map(|glyph| glyph.place);
    places.reduce(|a, b| {
        IntRect::from_ltrb(
            a.left().min(b.left()),
            a.top().min(b.top()),
            a.right().max(b.right()),
            a.bottom().max(b.bottom()),
        )
        .unwrap_or(a)
    })
}

/// Everything that letters can change.
pub(super) fn bounds(glyphs: &[Glyph]) -> Option<Rect> {
    Some(place(glyphs)?.to_rect())
}

/// Paints letters on pixels whose corner is at a place of the picture, all with one ink: one that can be seen through is
/// no darker where letters overlap, and has no seam where they touch.
pub(super) fn paint(
    glyphs: &[Glyph],
    ink: ColorU8,
    pixels: &mut Pixmap,
    (left, top): (u32, u32),
) -> Option<()> {
    let all = IntRect::from_xywh(
        left.try_into().ok()?,
        top.try_into().ok()?,
        pixels.width(),
        pixels.height(),
    )?;
    let seen = place(glyphs)?.intersect(&all)?;
    let stride = 4 * pixels.width() as usize;
    let from = 4 * all.left().abs_diff(seen.left()) as usize;
    let rows = pixels.data_mut().chunks_exact_mut(stride);
    let rows = rows.skip(all.top().abs_diff(seen.top()) as usize);
    let mut cover = vec![0; seen.width() as usize];
    for (y, row) in (seen.top()..seen.bottom()).zip(rows) {
        cover.fill(0);
        for glyph in glyphs {
            glyph.cover(y, seen.left(), &mut cover);
        }
        for (pixel, &cover) in row[from..].chunks_exact_mut(4).zip(&cover) {
            if cover > 0 {
                lay(ink, cover, pixel);
            }
        }
    }
    Some(())
}

/// Lays an ink over a pixel, of which it covers so much.
fn lay(ink: ColorU8, cover: u8, pixel: &mut [u8]) {
    let product = |a: u8, b: u8| {
        let product = u16::from(a) * u16::from(b) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    let alpha = product(ink.alpha(), cover);
    let ink = [ink.red(), ink.green(), ink.blue(), 255];
    for (below, ink) in pixel.iter_mut().zip(ink) {
        *below = product(ink, alpha) + product(*below, 255 - alpha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::letters::{Fonts, Letters};

    const SIZE: f32 = 30.0;

    fn letters(letters: &mut Letters, text: &str, at: (f32, f32)) -> Vec<Glyph> {
        let line = letters.set(text, "", SIZE);
        letters.glyphs(&line, at, (0.0, 200.0), None)
    }

    fn alpha(glyphs: &[Glyph], ink: ColorU8) -> Vec<u8> {
        let mut pixels = Pixmap::new(100, 40).unwrap();
        paint(glyphs, ink, &mut pixels, (0, 0));
        pixels.pixels().iter().map(|pixel| pixel.alpha()).collect()
    }

    #[test]
    fn letters_are_covered_as_their_outlines_are() {
        let mut known = Letters::new(&Fonts::default());
        let black = ColorU8::from_rgba(0, 0, 0, 255);
        // In a pixel's corner, and a quarter of one off it.
        for at in [(8.0, 30.0), (8.25, 30.5)] {
            let glyphs = letters(&mut known, "g", at);
            let line = known.set("g", "", SIZE);
            let outline = known.outline(&line, at, (0.0, 200.0)).unwrap();
            let mut pixels = Pixmap::new(100, 40).unwrap();
            let (paint, whole) = (Paint::default(), Transform::identity());
            pixels.fill_path(&outline, &paint, FillRule::Winding, whole, None);
            let wanted = pixels.pixels().iter().map(|pixel| pixel.alpha());
            assert!(alpha(&glyphs, black).into_iter().eq(wanted), "{at:?}");
        }
    }

    #[test]
    fn an_ink_that_can_be_seen_through_is_as_dark_where_letters_overlap() {
        let mut known = Letters::new(&Fonts::default());
        let half = ColorU8::from_rgba(0, 0, 0, 128);
        let one = alpha(&letters(&mut known, "l", (8.0, 30.0)), half);
        let twice: Vec<_> = [8.0, 8.0]
            .into_iter()
            .flat_map(|x| letters(&mut known, "l", (x, 30.0)))
            .collect();
        let twice = alpha(&twice, half);
        assert_eq!(one.iter().max(), Some(&128));
        assert_eq!(twice.iter().max(), Some(&128));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_drawn_stays_the_same() {
        let mut known = Letters::new(&Fonts::default());
        let ink = ColorU8::from_rgba(0, 0, 0, 255);
        let before = alpha(&letters(&mut known, "g", (8.0, 30.0)), ink);
        for size in 1..400 {
            let line = known.set("0123456789", "", size as f32 / 4.0);
            known.glyphs(&line, (0.0, 30.0), (0.0, 10_000.0), None);
            assert!(known.kept().bytes <= KEPT);
        }
        assert!(known.kept().bytes > KEPT / 4, "there was enough to keep");
        assert_eq!(alpha(&letters(&mut known, "g", (8.0, 30.0)), ink), before);
    }
}
