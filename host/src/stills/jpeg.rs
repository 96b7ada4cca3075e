use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};
use openh264::formats::YUVSource as _;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::{
    h264::AccessUnit,
    live::EdgeChunk,
    picture::{Canvas, DecodeError, Decoder, Matrix},
};

/// Good enough that nobody sees a difference to the video, at a tenth of a byte a pixel.
const QUALITY: u8 = 80;

/// Why there is no JPEG of a picture.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The library has no decoder for us.
    #[error("openh264 gives no decoder")]
    NoDecoder(#[source] openh264::Error),
    /// The picture can't be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The thread that made it is gone.
    #[error("its making was broken off")]
    BrokenOff,
    /// The picture's planes aren't what they should be.
    #[error("a picture's colours can't be converted")]
    Colours(#[from] yuv::YuvError),
    /// The picture can't be encoded.
    #[error("a picture can't be encoded as JPEG")]
    Encode(#[from] jpeg_encoder::EncodingError),
}

/// Decodes the next picture of a stream.
pub(super) fn decode<'a>(
    decoder: &'a mut Decoder,
    chunk: &EdgeChunk,
) -> Result<&'a Canvas, DecodeError> {
    let unit = AccessUnit {
        data: chunk.chunk.sample.clone(),
        idr: chunk.idr,
        parameter_sets: chunk.init.parameter_sets.clone(),
        // Where pictures are reordered, the parameter sets say so, as a rule.
        display_shift: 0,
    };
    Ok(decoder.decode(&unit)?)
}

/// A picture as JPEG.
pub(super) fn encode(picture: &Canvas) -> Result<Bytes, StillError> {
    let (width, height) = (picture.size().width(), picture.size().height());
    let (luma, cb, cr) = picture.strides();
    let planes = YuvPlanarImage {
        y_plane: picture.y(),
        y_stride: luma as u32,
        u_plane: picture.u(),
        u_stride: cb as u32,
        v_plane: picture.v(),
        v_stride: cr as u32,
        width,
        height,
    };
    let colors = picture.colors();
    let range = match colors.full_range {
        true => YuvRange::Full,
        false => YuvRange::Limited,
    };
    let matrix = match colors.matrix {
        Matrix::Bt601 => YuvStandardMatrix::Bt601,
        Matrix::Bt709 => YuvStandardMatrix::Bt709,
        Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
    };
    let pixels = (width * height) as usize;
    let mut rgb = vec![0; pixels * 3];
    yuv::yuv420_to_rgb(&planes, &mut rgb, width * 3, range, matrix)?;
    let mut jpeg = Vec::with_capacity(pixels / 4);
    // A picture that can be encoded as H.264 has sides below 65,536.
    let (wide, high) = (width as u16, height as u16);
    Encoder::new(&mut jpeg, QUALITY).encode(&rgb, wide, high, ColorType::Rgb)?;
    Ok(jpeg.into())
}
