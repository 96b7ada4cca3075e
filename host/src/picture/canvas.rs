use openh264::formats::YUVSource;

use super::{Color, Colors, Samples, Size};

/// An area of a picture in pixels. It may reach beyond the picture: what lies outside isn't drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Pixels to the right; nothing if not above 0.
    pub width: i32,
    /// Pixels down; nothing if not above 0.
    pub height: i32,
}

/// What of a `Rect` lies inside a canvas, as half-open ranges.
#[derive(Clone, Copy)]
struct Inside {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Inside {
    /// The chroma samples that cover it.
    fn chroma(self) -> Self {
        Self {
            left: self.left / 2,
            top: self.top / 2,
            right: self.right.div_ceil(2),
            bottom: self.bottom.div_ceil(2),
        }
    }
}

/// The planes of a [`Canvas`], row after row without padding: chroma has half as many columns and rows as luma.
#[derive(Debug)]
pub struct Planes<'a> {
    /// Luma.
    pub luma: &'a mut [u8],
    /// Blue difference.
    pub cb: &'a mut [u8],
    /// Red difference.
    pub cr: &'a mut [u8],
}

/// A picture in planar YUV 4:2:0, the planes without padding. Chroma sits between the four pixels that it belongs to,
/// and takes the mean of what is drawn on them.
#[derive(Clone, Debug)]
pub struct Canvas {
    size: Size,
    colors: Colors,
    width: usize,
    height: usize,
    luma: Vec<u8>,
    cb: Vec<u8>,
    cr: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour, whose samples mean [`Colors::BT709`].
    pub fn new(size: Size, color: Color) -> Self {
        Self::with_colors(size, color, Colors::BT709)
    }

    /// A picture of one colour, whose samples mean these colours.
    pub fn with_colors(size: Size, color: Color, colors: Colors) -> Self {
        let color = color.samples(colors);
        let (width, height) = (size.width() as usize, size.height() as usize);
        let chroma = width / 2 * (height / 2);
        Self {
            size,
            colors,
            width,
            height,
            luma: vec![color.y; width * height],
            cb: vec![color.cb; chroma],
            cr: vec![color.cr; chroma],
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What its samples mean. Colours that are drawn become samples of this kind.
    pub fn colors(&self) -> Colors {
        self.colors
    }

    /// Its samples, to be written.
    pub fn planes_mut(&mut self) -> Planes<'_> {
        Planes {
            luma: &mut self.luma,
            cb: &mut self.cb,
            cr: &mut self.cr,
        }
    }

    /// All of it.
    pub fn bounds(&self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: self.width as i32,
            height: self.height as i32,
        }
    }

    /// The luma plane, row after row.
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, area: Rect, color: Color) {
        let Some(inside) = self.clip(area) else {
            return;
        };
        let color = color.samples(self.colors);
        for row in inside.top..inside.bottom {
            self.luma[row * self.width..][inside.left..inside.right].fill(color.y);
        }
        // Of the four pixels over a chroma sample, an odd edge covers half, a corner a quarter.
        let within = |from: usize, to: usize, at: usize| u32::from(at >= from && at < to);
        let chroma = inside.chroma();
        let whole = inside.left.div_ceil(2)..inside.right / 2;
        for row in chroma.top..chroma.bottom {
            let rows = within(inside.top, inside.bottom, 2 * row)
                + within(inside.top, inside.bottom, 2 * row + 1);
            let mut column = chroma.left;
            while column < chroma.right {
                if rows == 2 && column == whole.start && !whole.is_empty() {
                    let at = row * (self.width / 2);
                    self.cb[at..][whole.clone()].fill(color.cb);
                    self.cr[at..][whole.clone()].fill(color.cr);
                    column = whole.end;
                } else {
                    let columns = within(inside.left, inside.right, 2 * column)
                        + within(inside.left, inside.right, 2 * column + 1);
                    self.mix_chroma(column, row, color, rows * columns * 255);
                    column += 1;
                }
            }
        }
    }

    /// Lays `color` over an area, each pixel as much as `coverage` says for its column and row: 0 leaves it, 255
    /// covers it.
    pub fn paint(&mut self, area: Rect, color: Color, coverage: impl Fn(i32, i32) -> u8) {
        let Some(inside) = self.clip(area) else {
            return;
        };
        let color = color.samples(self.colors);
        let chroma = inside.chroma();
        for row in chroma.top..chroma.bottom {
            for column in chroma.left..chroma.right {
                let mut sum = 0;
                for y in (2 * row).max(inside.top)..(2 * row + 2).min(inside.bottom) {
                    for x in (2 * column).max(inside.left)..(2 * column + 2).min(inside.right) {
                        let cover = u32::from(coverage(x as i32, y as i32));
                        if cover > 0 {
                            let pixel = &mut self.luma[y * self.width + x];
                            *pixel = mix(*pixel, color.y, cover, 255);
                            sum += cover;
                        }
                    }
                }
                if sum > 0 {
                    self.mix_chroma(column, row, color, sum);
                }
            }
        }
    }

    /// Copies an area, widened to even edges, from a picture of the same size and colours.
    ///
    /// # Panics
    ///
    /// If the sizes or the colours differ.
    pub fn copy_from(&mut self, other: &Self, area: Rect) {
        assert_eq!(
            (self.size, self.colors),
            (other.size, other.colors),
            "an area can only be copied between pictures of one size, and of the same colours"
        );
        let Some(inside) = self.clip(area) else {
            return;
        };
        let chroma = inside.chroma();
        let columns = 2 * chroma.left..2 * chroma.right;
        for row in 2 * chroma.top..2 * chroma.bottom {
            let at = row * self.width;
            self.luma[at..][columns.clone()].copy_from_slice(&other.luma[at..][columns.clone()]);
        }
        for row in chroma.top..chroma.bottom {
            let at = row * (self.width / 2);
            let columns = chroma.left..chroma.right;
            self.cb[at..][columns.clone()].copy_from_slice(&other.cb[at..][columns.clone()]);
            self.cr[at..][columns.clone()].copy_from_slice(&other.cr[at..][columns]);
        }
    }

    /// `weight` is the sum of the coverage of the four pixels above the sample, 1020 at most.
    fn mix_chroma(&mut self, column: usize, row: usize, color: Samples, weight: u32) {
        let at = row * (self.width / 2) + column;
        self.cb[at] = mix(self.cb[at], color.cb, weight, 4 * 255);
        self.cr[at] = mix(self.cr[at], color.cr, weight, 4 * 255);
    }

    fn clip(&self, area: Rect) -> Option<Inside> {
        let clamp = |from: i32, length: i32, limit: usize| {
            let end = i64::from(from) + i64::from(length.max(0));
            let limit = limit as i64;
            (
                i64::from(from).clamp(0, limit) as usize,
                end.clamp(0, limit) as usize,
            )
        };
        let (left, right) = clamp(area.x, area.width, self.width);
        let (top, bottom) = clamp(area.y, area.height, self.height);
        (left < right && top < bottom).then_some(Inside {
            left,
            top,
            right,
            bottom,
        })
    }
}

/// `weight` of `whole` parts of `over`, the rest of `under`, rounded.
fn mix(under: u8, over: u8, weight: u32, whole: u32) -> u8 {
    let sum = u32::from(under) * (whole - weight) + u32::from(over) * weight;
    ((sum + whole / 2) / whole) as u8
}

impl YUVSource for Canvas {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.luma
    }

    fn u(&self) -> &[u8] {
        &self.cb
    }

    fn v(&self) -> &[u8] {
        &self.cr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(width: u32, height: u32) -> Canvas {
        Canvas::new(Size::new(width, height).unwrap(), Color::BLACK)
    }

    #[test]
    fn what_is_drawn_has_the_colours_of_the_picture() {
        let size = Size::new(16, 16).unwrap();
        let mut canvas = Canvas::with_colors(size, Color::BLACK, Colors::JPEG);
        assert_eq!(canvas.luma[0], 0);
        canvas.fill(canvas.bounds(), Color::WHITE);
        assert!(canvas.luma.iter().all(|&y| y == 255));
        canvas.paint(canvas.bounds(), Color::rgb(255, 0, 0), |_, _| 255);
        assert_eq!((canvas.luma[0], canvas.cb[0], canvas.cr[0]), (76, 85, 255));
    }

    #[test]
    fn what_lies_outside_is_not_drawn() {
        let mut canvas = canvas(32, 16);
        for (x, y) in [(-40, 0), (40, 0), (0, -40), (0, 40), (i32::MAX, i32::MAX)] {
            let area = Rect {
                x,
                y,
                width: 8,
                height: 8,
            };
            canvas.fill(area, Color::WHITE);
            canvas.paint(area, Color::WHITE, |_, _| 255);
        }
        assert!(canvas.luma.iter().all(|&y| y == 16));
        let beyond = Rect {
            x: -3,
            y: -3,
            width: 5,
            height: 5,
        };
        canvas.fill(beyond, Color::WHITE);
        assert_eq!(canvas.luma.iter().filter(|&&y| y == 235).count(), 4);
    }

    #[test]
    fn an_odd_edge_takes_its_share_of_the_chroma() {
        let mut canvas = canvas(16, 16);
        let red = Color::rgb(255, 0, 0);
        canvas.fill(
            Rect {
                x: 0,
                y: 0,
                width: 3,
                height: 2,
            },
            red,
        );
        assert_eq!(canvas.cr[0], 240);
        assert_eq!(canvas.cr[1], 184);
        assert_eq!(canvas.cr[2], 128);
    }

    #[test]
    fn filling_and_painting_agree() {
        let (mut filled, mut painted) = (canvas(32, 32), canvas(32, 32));
        let area = Rect {
            x: 5,
            y: 7,
            width: 11,
            height: 13,
        };
        filled.fill(area, Color::rgb(10, 200, 90));
        painted.paint(area, Color::rgb(10, 200, 90), |_, _| 255);
        assert_eq!(filled.luma, painted.luma);
        assert_eq!((filled.cb, filled.cr), (painted.cb, painted.cr));
    }

    #[test]
    fn copying_back_undoes_a_drawing() {
        let backdrop = canvas(32, 32);
        let mut front = backdrop.clone();
        let area = Rect {
            x: 3,
            y: 5,
            width: 7,
            height: 9,
        };
        front.fill(area, Color::rgb(200, 30, 30));
        front.copy_from(&backdrop, area);
        assert_eq!(front.luma, backdrop.luma);
        assert_eq!((front.cb, front.cr), (backdrop.cb, backdrop.cr));
    }
}
