use tiny_skia::{ColorU8, Pixmap};

use super::Colour;
use crate::picture::{Canvas, Color, Colors};

/// Where a pixel that is drawn has what: see [`Inks`].
const LUMA: usize = 0;
const CB: usize = 1;
const CR: usize = 2;
const ALPHA: usize = 3;

/// What colours become to be drawn with: the samples of a picture, luma in the place of red, Cb of green, Cr of blue.
///
/// What is drawn lies over what is below by the same sums in either space, each being the other scaled and shifted. So a
/// colour is converted once rather than every pixel of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inks(pub Colors);

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

impl Inks {
    /// What a colour is drawn with.
    pub fn of(self, Colour([red, green, blue, alpha]): Colour) -> ColorU8 {
        let samples = Color::rgb(red, green, blue).samples(self.0);
        ColorU8::from_rgba(samples.y, samples.cb, samples.cr, alpha)
    }

    /// Converts pixels of red, green and blue.
    pub fn convert(self, pixels: &mut Pixmap) {
        for pixel in pixels.pixels_mut() {
            let plain = pixel.demultiply();
            let colour = Colour([plain.red(), plain.green(), plain.blue(), plain.alpha()]);
            *pixel = self.of(colour).premultiply();
        }
    }
}

impl Tile {
    /// The tile of pixels whose left upper corner lies at an even place, inside of the picture to its even width and
    /// height.
    ///
    /// The pixels have the picture's luma, Cb and Cr where others have red, green and blue: see [`Inks`].
    pub fn new(pixels: &Pixmap, (left, top): (usize, usize)) -> Self {
        let width = pixels.width() as usize;
        let bytes = pixels.data();
        let luma = Layer {
            width,
            ink: bytes.chunks_exact(4).map(|pixel| pixel[LUMA]).collect(),
            clear: bytes
                .chunks_exact(4)
                .map(|pixel| 255 - pixel[ALPHA])
                .collect(),
        };
        Self {
            left,
            top,
            luma,
            cb: Layer::halved(bytes, width, CB),
            cr: Layer::halved(bytes, width, CR),
        }
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
    /// A channel of pixels, each sample the mean of four.
    fn halved(pixels: &[u8], width: usize, channel: usize) -> Self {
        let mut layer = Self {
            width: width / 2,
            ink: Vec::with_capacity(pixels.len() / 16),
            clear: Vec::with_capacity(pixels.len() / 16),
        };
        for rows in pixels.chunks_exact(2 * 4 * width) {
            let (upper, lower) = rows.split_at(4 * width);
            let blocks = || upper.chunks_exact(8).zip(lower.chunks_exact(8));
            let mean = |(upper, lower): (&[u8], &[u8]), channel: usize| {
                let pair = |row: &[u8]| u16::from(row[channel]) + u16::from(row[4 + channel]);
                ((pair(upper) + pair(lower) + 2) / 4) as u8
            };
            layer.ink.extend(blocks().map(|block| mean(block, channel)));
            layer
                .clear
                .extend(blocks().map(|block| 255 - mean(block, ALPHA)));
        }
        layer
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

#[cfg(test)]
mod tests {
    use openh264::formats::YUVSource as _;
    use tiny_skia::{Paint, Rect, Transform};

    use super::*;
    use crate::picture::{Samples, Size};

    fn samples(red: u8, green: u8, blue: u8) -> Samples {
        Color::rgb(red, green, blue).samples(Colors::BT709)
    }

    fn canvas(color: Color) -> Canvas {
        Canvas::new(Size::new(32, 16).unwrap(), color)
    }

    fn tile(at: (usize, usize), (red, green, blue, alpha): (u8, u8, u8, u8)) -> Tile {
        let mut pixels = Pixmap::new(6, 4).unwrap();
        let mut paint = Paint::default();
        let ink = Inks(Colors::BT709).of(Colour([red, green, blue, alpha]));
        paint.set_color_rgba8(ink.red(), ink.green(), ink.blue(), ink.alpha());
        // The left three columns of six.
        let left = Rect::from_xywh(0.0, 0.0, 3.0, 4.0).unwrap();
        pixels.fill_rect(left, &paint, Transform::identity(), None);
        Tile::new(&pixels, at)
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
