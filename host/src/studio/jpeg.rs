//! JPEG images as cameras make them, one a picture.

use zune_jpeg::{
    JpegDecoder, PlaneInfo,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::raw::copy;
use crate::picture::Planes;

/// A row or a column of blocks: encoders of cameras round sizes up to it, and not all say what is left after that.
const BLOCK: usize = 16;

/// Why a JPEG makes no picture.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJpeg {
    /// It can't be decoded.
    #[error("a damaged JPEG: {0}")]
    Damaged(String),
    /// It has another size than the camera said.
    #[error("a JPEG of {got_width}x{got_height} in a stream of {width}x{height}")]
    Size {
        /// Pixels of the JPEG.
        got_width: usize,
        /// Pixels of the JPEG.
        got_height: usize,
        /// Pixels of the stream.
        width: usize,
        /// Pixels of the stream.
        height: usize,
    },
    /// Neither YCbCr nor grey.
    #[error("a JPEG of {0}, which cameras don't make")]
    Kind(String),
}

impl From<DecodeErrors> for BadJpeg {
    fn from(error: DecodeErrors) -> Self {
        Self::Damaged(format!("{error:?}"))
    }
}

/// Decodes into planes. What it needs for that is kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Jpeg {
    /// Planes that don't have the shape of the canvas.
    spare: [Vec<u8>; 3],
    /// A JPEG that had to be completed.
    whole: Vec<u8>,
}

impl Jpeg {
    /// Writes a JPEG of `shape`, which may be a block larger, cut to `size`.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        shape: (usize, usize),
        size: (usize, usize),
        planes: Planes<'_>,
    ) -> Result<(), BadJpeg> {
        let (width, height) = size;
        // What is missing or damaged makes an error, rather than a grey area.
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(shape.0 + BLOCK)
            .set_max_height(shape.1 + BLOCK);
        let bytes = if lacks_tables(bytes) {
            self.whole.clear();
            self.whole.extend_from_slice(&bytes[..2]);
            self.whole.extend_from_slice(STANDARD_TABLES);
            self.whole.extend_from_slice(&bytes[2..]);
            &self.whole
        } else {
            bytes
        };
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers()?;
        let (got_width, got_height) = decoder.dimensions().unwrap_or_default();
        let near = |got: usize, wanted: usize| (wanted..wanted + BLOCK).contains(&got);
        if !near(got_width, shape.0) || !near(got_height, shape.1) {
            return Err(BadJpeg::Size {
                got_width,
                got_height,
                width: shape.0,
                height: shape.1,
            });
        }
        let count = match decoder.input_colorspace() {
            Some(ColorSpace::YCbCr) => 3,
            Some(ColorSpace::Luma) => 1,
            other => return Err(BadJpeg::Kind(format!("{other:?}"))),
        };
        let mut raw = decoder.raw_output();
        let layout = raw.layout().unwrap_or_default();
        if raw.num_components() != Some(count) || layout[0].width != got_width {
            return Err(BadJpeg::Kind("an odd number of planes".into()));
        }

        let Planes { luma, cb, cr } = planes;
        let fits = [
            (width, height),
            (width / 2, height / 2),
            (width / 2, height / 2),
        ];
        let [first, second, third] = &mut self.spare;
        let mut targets = [
            Target::new(luma, first, layout[0], fits[0]),
            Target::new(cb, second, layout[1], fits[1]),
            Target::new(cr, third, layout[2], fits[2]),
        ];
        let strides = targets.each_ref().map(|target| target.plane.width);
        let mut into = targets.each_mut().map(Target::plane);
        raw.decode_into_planes_strided(&mut into[..count], &strides[..count])?;
        let mut targets = targets.into_iter();
        if let Some(target) = targets.next()
            && let Some(spare) = target.spare
        {
            copy(spare, target.plane.width, target.canvas, width);
        }
        for target in targets {
            if count == 1 {
                target.canvas.fill(128);
            } else if let Some(spare) = target.spare {
                shrink(
                    spare,
                    target.plane,
                    (got_width, got_height),
                    target.canvas,
                    width / 2,
                );
            }
        }
        Ok(())
    }
}

/// The segment by which zune-jpeg knows a picture of Motion JPEG, which may do without the tables that all have in common.
const STANDARD_TABLES: &[u8] = b"\xff\xe0\x00\x07AVI1\0";

/// Whether there are no Huffman tables between the start of the image and that of its scan. Webcams leave them out, to
/// save 420 bytes: the standard ones (ITU-T T.81, K.3) are meant.
fn lacks_tables(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\xff\xd8") else {
        return false;
    };
    while let [0xff, marker, high, low, ..] = *rest {
        match marker {
            // DHT.
            0xc4 => return false,
            // SOS.
            0xda => return true,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(next) = rest.get(2 + length..) else {
            return false;
        };
        rest = next;
    }
    false
}

/// Where a plane is decoded to.
struct Target<'a> {
    plane: PlaneInfo,
    canvas: &'a mut [u8],
    /// Instead, if it has another shape.
    spare: Option<&'a mut Vec<u8>>,
}

impl<'a> Target<'a> {
    fn new(
        canvas: &'a mut [u8],
        spare: &'a mut Vec<u8>,
        plane: PlaneInfo,
        fits: (usize, usize),
    ) -> Self {
        let direct = (plane.width, plane.height) == fits;
        if !direct {
            spare.resize(plane.width * plane.height, 0);
        }
        Self {
            plane,
            canvas,
            spare: (!direct).then_some(spare),
        }
    }

    fn plane(&mut self) -> &mut [u8] {
        match &mut self.spare {
            Some(spare) => spare,
            None => self.canvas,
        }
    }
}

/// Makes 4:2:0 of a chroma plane of any other shape: the mean where it has twice as much, the nearest sample where it has
/// less. `whole` is the size of the JPEG, `width` that of a row of `to`.
fn shrink(from: &[u8], plane: PlaneInfo, whole: (usize, usize), to: &mut [u8], width: usize) {
    // The samples, of `there` along a side of `whole` pixels, that lie below the two pixels from `2 * at` on.
    let below = |at: usize, there: usize, whole: usize| {
        let sample = |pixel: usize| (pixel.min(whole - 1) * there / whole).min(there - 1);
        (sample(2 * at), sample(2 * at + 1))
    };
    for (y, to) in to.chunks_exact_mut(width).enumerate() {
        let (upper, lower) = below(y, plane.height, whole.1);
        let row = |y: usize| &from[y * plane.width..][..plane.width];
        let (upper, lower) = (row(upper), row(lower));
        if plane.width == whole.0.div_ceil(2) {
            // 4:2:2, as nearly all cameras make it.
            for ((to, &upper), &lower) in to.iter_mut().zip(upper).zip(lower) {
                *to = ((u16::from(upper) + u16::from(lower) + 1) / 2) as u8;
            }
        } else {
            for (x, to) in to.iter_mut().enumerate() {
                let (left, right) = below(x, plane.width, whole.0);
                let four = [upper[left], upper[right], lower[left], lower[right]];
                *to = ((four.map(u16::from).iter().sum::<u16>() + 2) / 4) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests;
