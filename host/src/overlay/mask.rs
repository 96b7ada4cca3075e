use std::fmt;

use crate::{
    picture::{Canvas, Color, Rect},
    studio::Retouch,
    time::Monotonic,
};

/// A rectangle of the picture that nobody may see, in thousandths of its width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    left: u16,
    top: u16,
    right: u16,
    bottom: u16,
}

/// Why there is no such mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMask {
    /// An edge outside of the picture.
    #[error(
        "{0} lies outside of the picture; edges are thousandths of its width and height, from 0 to 1000"
    )]
    Outside(i64),
    /// Edges in the wrong order, or upon each other: somebody would believe that there is a mask.
    #[error(
        "nothing lies between {0} and {1}: the left edge is less than the right one, the upper less than the lower one"
    )]
    Empty(u16, u16),
}

impl Mask {
    /// The mask with these edges.
    pub fn new(left: i64, top: i64, right: i64, bottom: i64) -> Result<Self, BadMask> {
        let edge = |at: i64| match u16::try_from(at) {
            Ok(edge @ ..=1_000) => Ok(edge),
            _ => Err(BadMask::Outside(at)),
        };
        let span = |from: i64, to: i64| match (edge(from)?, edge(to)?) {
            (from, to) if from < to => Ok((from, to)),
            (from, to) => Err(BadMask::Empty(from, to)),
        };
        let ((left, right), (top, bottom)) = (span(left, right)?, span(top, bottom)?);
        Ok(Self {
            left,
            top,
            right,
            bottom,
        })
    }

    /// Its pixels, rounded outwards to even ones, so that no chroma of what lies under it is left.
    pub fn area(&self, width: u32, height: u32) -> Rect {
        let span = |from: u16, to: u16, side: u32| {
            let at = |edge: u16| u64::from(edge) * u64::from(side);
            let (from, to) = (at(from) / 1_000, at(to).div_ceil(1_000));
            let (from, to) = (from & !1, to.next_multiple_of(2));
            (from as i32, (to - from) as i32)
        };
        let (x, width) = span(self.left, self.right, width);
        let (y, height) = span(self.top, self.bottom, height);
        Rect {
            x,
            y,
            width,
            height,
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{}",
            self.left, self.top, self.right, self.bottom
        )
    }
}

/// Fills rectangles with black. It depends on nothing and nobody, so there is no way for it to fail.
#[derive(Clone, Debug, Default)]
pub struct Masks(pub Vec<Mask>);

impl Retouch for Masks {
    fn retouch(&mut self, picture: &mut Canvas, _captured: Monotonic) {
        let size = picture.size();
        for mask in &self.0 {
            picture.fill(mask.area(size.width(), size.height()), Color::BLACK);
        }
    }

    fn is_required(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::{Colors, Size};

    #[test]
    fn edges_go_outwards_to_even_pixels() {
        let mask = Mask::new(1, 333, 500, 1_000).unwrap();
        let area = mask.area(318, 180);
        assert_eq!((area.x, area.width), (0, 160), "0.318 and 159");
        assert_eq!((area.y, area.height), (58, 122), "59.94 and 180");
        assert_eq!(mask.to_string(), "1,333,500,1000");
    }

    #[test]
    fn a_mask_that_hides_nothing_is_none() {
        assert_eq!(Mask::new(500, 0, 500, 10), Err(BadMask::Empty(500, 500)));
        assert_eq!(Mask::new(0, 10, 1, 9), Err(BadMask::Empty(10, 9)));
        assert_eq!(Mask::new(0, 0, 1_001, 9), Err(BadMask::Outside(1_001)));
        assert_eq!(Mask::new(-1, 0, 10, 9), Err(BadMask::Outside(-1)));
    }

    proptest! {
        #[test]
        fn nothing_under_a_mask_is_left(
            (width, height) in (8u32..200, 8u32..200), edges in prop::array::uniform4(0i64..=1_000),
        ) {
            let [left, top, right, bottom] = edges;
            let Ok(mask) = Mask::new(left, top, right, bottom) else { return Ok(()) };
            let size = Size::new(2 * width, 2 * height).unwrap();
            let mut canvas = Canvas::new(size, Color::WHITE);
            Masks(vec![mask]).retouch(&mut canvas, Monotonic(0));
            let side = |at: i64, side: u32| at as f64 * f64::from(side) / 1_000.0;
            for y in 0..size.height() {
                for x in 0..size.width() {
                    let touched = |at: u32, from: i64, to: i64, length: u32| {
                        f64::from(at + 1) > side(from, length) && f64::from(at) < side(to, length)
                    };
                    let hidden = touched(x, left, right, size.width()) && touched(y, top, bottom, size.height());
                    let luma = canvas.luma()[(y * size.width() + x) as usize];
                    prop_assert!(!hidden || luma == Color::BLACK.samples(Colors::BT709).y, "({x}, {y})");
                }
            }
        }
    }
}
