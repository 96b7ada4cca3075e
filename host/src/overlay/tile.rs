use tiny_skia::{Pixmap, PremultipliedColorU8};

use crate::picture::{Canvas, Samples};

/// A drawing's pixels, or a part of them, ready to be laid over a picture: in the picture's own colours and at its
/// resolutions, at even places, each value already multiplied by how much it covers.
#[derive(Debug)]
pub struct Tile {
    /// Left edge in pixels, even.
    left: usize,
    /// Upper edge in pixels, even.
    top: usize,
    luma: Layer,
    /// The same with half the width and height.
    cb: Layer,
    cr: Layer,
}

/// One plane of a tile. What lies under it is multiplied by `clear` (255 is all of it) before `ink` is added.
#[derive(Debug, Default)]
struct Layer {
    /// Of a row.
    width: usize,
    ink: Vec<u8>,
    clear: Vec<u8>,
}

impl Tile {
    /// The tile of pixels whose left upper corner lies at an even place, inside of the picture to its even width and
    /// height.
    ///
    /// `convert` gives the picture's samples for red, green and blue.
    pub fn new(
        pixels: &Pixmap,
        (left, top): (usize, usize),
        convert: impl Fn(u8, u8, u8) -> Samples,
    ) -> Self {
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let mut convert = Memory::new(convert);
        let mut tile = Self {
            left,
            top,
            luma: Layer::new(width, height),
            cb: Layer::new(width / 2, height / 2),
            cr: Layer::new(width / 2, height / 2),
        };
        for (row, pair) in pixels.pixels().chunks_exact(2 * width).enumerate() {
            let (upper, lower) = pair.split_at(width);
            for column in 0..width / 2 {
                let block = [
                    upper[2 * column],
                    upper[2 * column + 1],
                    lower[2 * column],
                    lower[2 * column + 1],
                ];
                // Most of a tile is.
                if block.iter().all(|pixel| pixel.alpha() == 0) {
                    continue;
                }
                let places = [(0, 0), (1, 0), (0, 1), (1, 1)];
                let (mut alpha, mut cb, mut cr) = (0, 0, 0);
                for (pixel, (x, y)) in block.into_iter().zip(places) {
                    let cover = u32::from(pixel.alpha());
                    let color = convert.color(pixel);
                    let at = (2 * row + y) * width + 2 * column + x;
                    tile.luma
                        .set(at, u32::from(color.y) * cover, 255 * cover, 255);
                    alpha += cover;
                    cb += u32::from(color.cb) * cover;
                    cr += u32::from(color.cr) * cover;
                }
                let at = row * (width / 2) + column;
                tile.cb.set(at, cb, 255 * alpha, 4 * 255);
                tile.cr.set(at, cr, 255 * alpha, 4 * 255);
            }
        }
        tile
    }

    /// Lays it over a picture of the size that it was made for.
    pub fn blend(&self, canvas: &mut Canvas) {
        let width = canvas.size().width() as usize;
        let planes = canvas.planes_mut();
        self.luma.blend(planes.luma, width, (self.left, self.top));
        let half = (self.left / 2, self.top / 2);
        self.cb.blend(planes.cb, width / 2, half);
        self.cr.blend(planes.cr, width / 2, half);
    }

    /// Pixels of it.
    pub fn area(&self) -> usize {
        self.luma.ink.len()
    }
}

impl Layer {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            ink: vec![0; width * height],
            clear: vec![255; width * height],
        }
    }

    /// Sets a sample to the sum of what its pixels have of it, and of how much they cover, in so many parts.
    fn set(&mut self, at: usize, ink: u32, cover: u32, parts: u32) {
        let rounded = |sum: u32| ((sum + parts / 2) / parts) as u8;
        self.ink[at] = rounded(ink);
        self.clear[at] = 255 - rounded(cover);
    }

    fn blend(&self, plane: &mut [u8], stride: usize, (left, top): (usize, usize)) {
        if self.width == 0 {
            return;
        }
        let rows = plane.chunks_exact_mut(stride).skip(top);
        let (ink, clear) = (
            self.ink.chunks_exact(self.width),
            self.clear.chunks_exact(self.width),
        );
        for ((row, ink), clear) in rows.zip(ink).zip(clear) {
            over(&mut row[left..][..self.width], ink, clear);
        }
    }
}

/// The only loop that runs for every picture; over slices of one length, so that it becomes vector instructions.
fn over(under: &mut [u8], ink: &[u8], clear: &[u8]) {
    for ((under, &ink), &clear) in under.iter_mut().zip(ink).zip(clear) {
        let sum = u16::from(*under) * u16::from(clear) + 128;
        // Divided by 255 and rounded, exactly so for every product of two bytes.
        let left = ((sum + (sum >> 8)) >> 8) as u8;
        *under = ink.saturating_add(left);
    }
}

/// Colours of pixels, the last one remembered: a neighbour mostly has the same.
struct Memory<F> {
    convert: F,
    last: Option<(PremultipliedColorU8, Samples)>,
}

impl<F: Fn(u8, u8, u8) -> Samples> Memory<F> {
    fn new(convert: F) -> Self {
        Self {
            convert,
            last: None,
        }
    }

    fn color(&mut self, pixel: PremultipliedColorU8) -> Samples {
        if let Some((known, color)) = self.last
            && known == pixel
        {
            return color;
        }
        let plain = pixel.demultiply();
        let color = (self.convert)(plain.red(), plain.green(), plain.blue());
        self.last = Some((pixel, color));
        color
    }
}

#[cfg(test)]
mod tests {
    use openh264::formats::YUVSource as _;
    use tiny_skia::{Paint, Rect, Transform};

    use super::*;
    use crate::picture::{Color, Colors, Size};

    fn samples(red: u8, green: u8, blue: u8) -> Samples {
        Color::rgb(red, green, blue).samples(Colors::BT709)
    }

    fn canvas(color: Color) -> Canvas {
        Canvas::new(Size::new(32, 16).unwrap(), color)
    }

    fn tile(at: (usize, usize), (red, green, blue, alpha): (u8, u8, u8, u8)) -> Tile {
        let mut pixels = Pixmap::new(6, 4).unwrap();
        let mut paint = Paint::default();
        paint.set_color_rgba8(red, green, blue, alpha);
        // The left three columns of six.
        let left = Rect::from_xywh(0.0, 0.0, 3.0, 4.0).unwrap();
        pixels.fill_rect(left, &paint, Transform::identity(), None);
        Tile::new(&pixels, at, samples)
    }

    #[test]
    fn what_covers_is_exactly_its_colour_and_what_is_clear_changes_nothing() {
        let (red, grey) = (samples(255, 0, 0), samples(77, 77, 77));
        let mut canvas = canvas(Color::rgb(77, 77, 77));
        tile((4, 2), (255, 0, 0, 255)).blend(&mut canvas);
        for (at, &luma) in canvas.luma().iter().enumerate() {
            let inside = (4..7).contains(&(at % 32)) && (2..6).contains(&(at / 32));
            assert_eq!(luma, if inside { red.y } else { grey.y }, "{at}");
        }
        // Two columns of chroma, the second half covered.
        let row = &canvas.v()[16..32];
        let half = ((u16::from(red.cr) + u16::from(grey.cr)).div_ceil(2)) as u8;
        assert_eq!(row[1..5], [grey.cr, red.cr, half, grey.cr]);
        assert_eq!(canvas.v()[..16], [grey.cr; 16]);
    }

    #[test]
    fn half_a_colour_is_mixed_half() {
        let mut canvas = canvas(Color::BLACK);
        tile((0, 0), (255, 255, 255, 128)).blend(&mut canvas);
        // 16 + 219 * 128 / 255.
        assert_eq!(canvas.luma()[0], 126);
        assert_eq!(canvas.luma()[3], 16);
        assert_eq!(canvas.u()[0], 128, "white has no chroma");
    }

    #[test]
    fn two_tiles_lie_upon_each_other() {
        let mut canvas = canvas(Color::WHITE);
        tile((0, 0), (0, 0, 0, 255)).blend(&mut canvas);
        tile((2, 0), (0, 0, 255, 255)).blend(&mut canvas);
        let blue = samples(0, 0, 255);
        assert_eq!(canvas.luma()[..6], [16, 16, blue.y, blue.y, blue.y, 235]);
    }

    #[test]
    fn dividing_by_255_is_exact() {
        for under in 0..=255u8 {
            for clear in 0..=255u8 {
                let mut one = [under];
                over(&mut one, &[0], &[clear]);
                let wanted = (u32::from(under) * u32::from(clear) * 2 + 255) / 510;
                assert_eq!(u32::from(one[0]), wanted, "{under} {clear}");
            }
        }
    }
}
