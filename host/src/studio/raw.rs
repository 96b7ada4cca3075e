//! From what cameras give to canvases, with the samples as they are: only what 4:2:0 has no room for is averaged.

use yuv::{BufferStoreMut, YuvPackedImage, YuvPlanarImageMut};

use super::jpeg::{BadJpeg, Jpeg};
use crate::picture::{Canvas, Color, Colors, Planes, Size, SizeError};

/// How a camera lays out its pixels. The names are the four-character codes of V4L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// A plane of luma, then one of chroma pairs, 4:2:0.
    Nv12,
    /// Three planes, 4:2:0: luma, blue difference, red difference.
    Yu12,
    /// Three planes, 4:2:0: luma, red difference, blue difference.
    Yv12,
    /// 4:2:2 in one plane: Y, Cb, Y, Cr.
    Yuyv,
    /// 4:2:2 in one plane: Cb, Y, Cr, Y.
    Uyvy,
    /// Luma alone.
    Grey,
    /// A JPEG image for each picture.
    Mjpg,
}

/// What the buffers of a camera hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How pixels are laid out.
    pub pixels: Pixels,
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next, of the first plane where there are several. Nothing for JPEG.
    pub stride: u32,
    /// What the samples mean.
    pub colors: Colors,
}

/// Why a buffer makes no picture.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPicture {
    /// It ends too early.
    #[error("{got} bytes, where a picture has {wanted}")]
    Short {
        /// Bytes of the buffer.
        got: usize,
        /// Bytes of a picture, at least.
        wanted: usize,
    },
    /// The JPEG in it is damaged, or of a kind that cameras don't make.
    #[error(transparent)]
    Jpeg(#[from] BadJpeg),
}

/// Makes canvases of buffers.
#[derive(Debug)]
pub struct Converter {
    layout: Layout,
    size: Size,
    jpeg: Jpeg,
    /// Two rows of a chroma plane, then two of the other.
    chroma: Vec<u8>,
    /// For last rows without padding.
    padded: Vec<u8>,
}

impl Converter {
    /// For buffers like this. An odd last row or column is left out.
    ///
    /// # Errors
    ///
    /// If pictures of this size can't be encoded.
    pub fn new(layout: Layout) -> Result<Self, SizeError> {
        let size = Size::new(layout.width & !1, layout.height & !1)?;
        let least = match layout.pixels {
            Pixels::Yuyv | Pixels::Uyvy => 2 * (layout.width.next_multiple_of(2)),
            // Chroma rows are half of it.
            Pixels::Nv12 | Pixels::Yu12 | Pixels::Yv12 => layout.width.next_multiple_of(2),
            Pixels::Grey | Pixels::Mjpg => layout.width,
        };
        // Some drivers say 0.
        let stride = layout.stride.max(least);
        Ok(Self {
            layout: Layout { stride, ..layout },
            size,
            jpeg: Jpeg::default(),
            chroma: Vec::new(),
            padded: Vec::new(),
        })
    }

    /// A canvas that [`convert`](Self::convert) can write.
    pub fn canvas(&self) -> Canvas {
        Canvas::with_colors(self.size, Color::BLACK, self.colors())
    }

    /// Whether a canvas is one of those.
    pub fn fits(&self, canvas: &Canvas) -> bool {
        canvas.size() == self.size && canvas.colors() == self.colors()
    }

    /// The size of the canvases.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What the samples of the canvases mean.
    pub fn colors(&self) -> Colors {
        match self.layout.pixels {
            // Whatever the driver says: there is no other JPEG.
            Pixels::Mjpg => Colors::JPEG,
            _ => self.layout.colors,
        }
    }

    /// Writes the picture in `bytes` onto all of `canvas`, whose contents are undefined after an error.
    ///
    /// # Panics
    ///
    /// If the canvas doesn't [fit](Self::fits).
    pub fn convert(&mut self, bytes: &[u8], canvas: &mut Canvas) -> Result<(), BadPicture> {
        assert!(
            self.fits(canvas),
            "a picture is written onto a canvas of its size and colours"
        );
        let (width, height) = (self.size.width() as usize, self.size.height() as usize);
        let stride = self.layout.stride as usize;
        let rows = self.layout.height as usize;
        let chroma_rows = rows.div_ceil(2);
        let planes = canvas.planes_mut();
        match self.layout.pixels {
            Pixels::Mjpg => {
                let shape = (self.layout.width as usize, rows);
                self.jpeg.decode(bytes, shape, (width, height), planes)?;
            }
            Pixels::Yuyv | Pixels::Uyvy => self.packed(bytes, planes)?,
            Pixels::Grey => {
                enough(bytes, stride * (height - 1) + width)?;
                copy(bytes, stride, planes.luma, width);
                planes.cb.fill(128);
                planes.cr.fill(128);
            }
            Pixels::Nv12 => {
                let chroma = stride * rows;
                enough(bytes, chroma + stride * (height / 2 - 1) + width)?;
                copy(bytes, stride, planes.luma, width);
                deinterleave(&bytes[chroma..], stride, planes.cb, planes.cr, width / 2);
            }
            Pixels::Yu12 | Pixels::Yv12 => {
                let (half, first) = (stride / 2, stride * rows);
                let second = first + half * chroma_rows;
                enough(bytes, second + half * (height / 2 - 1) + width / 2)?;
                copy(bytes, stride, planes.luma, width);
                let (cb, cr) = match self.layout.pixels {
                    Pixels::Yv12 => (second, first),
                    _ => (first, second),
                };
                copy(&bytes[cb..], half, planes.cb, width / 2);
                copy(&bytes[cr..], half, planes.cr, width / 2);
            }
        }
        Ok(())
    }

    /// Two rows at a time, so that what is averaged is still at hand. (`yuyv422_to_yuv420` would drop the chroma of every
    /// other row instead.)
    fn packed(&mut self, bytes: &[u8], planes: Planes<'_>) -> Result<(), BadPicture> {
        let (width, height) = (self.size.width() as usize, self.size.height() as usize);
        let (half, stride) = (width / 2, self.layout.stride as usize);
        enough(bytes, stride * (height - 1) + 2 * width)?;
        self.chroma.resize(4 * half, 0);
        let (cbs, crs) = self.chroma.split_at_mut(2 * half);
        let split = match self.layout.pixels {
            Pixels::Uyvy => yuv::uyvy422_to_yuv422,
            _ => yuv::yuyv422_to_yuv422,
        };
        let to = planes
            .luma
            .chunks_exact_mut(2 * width)
            .zip(planes.cb.chunks_exact_mut(half))
            .zip(planes.cr.chunks_exact_mut(half));
        for (from, ((luma, cb), cr)) in bytes.chunks(2 * stride).zip(to) {
            let from = if from.len() == 2 * stride {
                from
            } else {
                self.padded.clear();
                self.padded.extend_from_slice(from);
                self.padded.resize(2 * stride, 0);
                &self.padded
            };
            let from = YuvPackedImage {
                yuy: from,
                yuy_stride: self.layout.stride,
                width: self.size.width(),
                height: 2,
            };
            let mut to = YuvPlanarImageMut {
                y_plane: BufferStoreMut::Borrowed(luma),
                y_stride: self.size.width(),
                u_plane: BufferStoreMut::Borrowed(cbs),
                u_stride: half as u32,
                v_plane: BufferStoreMut::Borrowed(crs),
                v_stride: half as u32,
                width: self.size.width(),
                height: 2,
            };
            split(&mut to, &from).expect("the planes have the sizes that they are said to have");
            mean(cbs, cb);
            mean(crs, cr);
        }
        Ok(())
    }
}

/// The mean of two rows.
fn mean(rows: &[u8], to: &mut [u8]) {
    let (upper, lower) = rows.split_at(to.len());
    for ((to, &upper), &lower) in to.iter_mut().zip(upper).zip(lower) {
        *to = ((u16::from(upper) + u16::from(lower) + 1) / 2) as u8;
    }
}

fn enough(bytes: &[u8], wanted: usize) -> Result<(), BadPicture> {
    if bytes.len() < wanted {
        return Err(BadPicture::Short {
            got: bytes.len(),
            wanted,
        });
    }
    Ok(())
}

/// Copies as many rows of `width` bytes as there is room for.
pub(super) fn copy(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (from, to) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[..width]);
    }
}

/// Takes pairs apart, as many rows of `width` pairs as there is room for.
fn deinterleave(from: &[u8], stride: usize, cb: &mut [u8], cr: &mut [u8], width: usize) {
    let to = cb.chunks_exact_mut(width).zip(cr.chunks_exact_mut(width));
    for (from, (cb, cr)) in from.chunks(stride).zip(to) {
        let pairs = from[..2 * width].as_chunks::<2>().0;
        for ((pair, cb), cr) in pairs.iter().zip(cb).zip(cr) {
            [*cb, *cr] = *pair;
        }
    }
}

#[cfg(test)]
mod tests;
