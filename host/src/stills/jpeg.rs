use bytes::Bytes;
use h264_reader::nal::{Nal as _, RefNal, sps::SeqParameterSet};
use jpeg_encoder::{ColorType, Encoder};
use openh264::formats::YUVSource as _;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::{
    h264::ParameterSets,
    live::EdgeChunk,
    picture::{DecodeError, Decoder},
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
    /// An access unit without a picture in it.
    #[error("openh264 gives no picture for a key frame")]
    NoPicture,
    /// The picture's planes aren't what they should be.
    #[error("a picture's colours can't be converted")]
    Colours(#[from] yuv::YuvError),
    /// The picture can't be encoded.
    #[error("a picture can't be encoded as JPEG")]
    Encode(#[from] jpeg_encoder::EncodingError),
}

/// Decodes the next picture, and makes a JPEG of it if it is `wanted`. `None` also if the picture comes later, behind one
/// that is shown before it.
pub(super) fn of(
    decoder: &mut Decoder,
    chunk: &EdgeChunk,
    wanted: bool,
) -> Result<Option<Bytes>, StillError> {
    let sets = &chunk.init.parameter_sets;
    let picture = decoder.decode(sets, chunk.idr, &chunk.chunk.sample)?;
    let Some(picture) = picture.filter(|_| wanted) else {
        return Ok(None);
    };
    let (width, height) = picture.dimensions();
    // H.264 has no picture of more than 16,384 pixels a side.
    let (wide, high) = (width as u32, height as u32);
    let (luma, cb, cr) = picture.strides();
    let planes = YuvPlanarImage {
        y_plane: picture.y(),
        y_stride: luma as u32,
        u_plane: picture.u(),
        u_stride: cb as u32,
        v_plane: picture.v(),
        v_stride: cr as u32,
        width: wide,
        height: high,
    };
    let (range, matrix) = colours(sets);
    let mut rgb = vec![0; width * height * 3];
    yuv::yuv420_to_rgb(&planes, &mut rgb, wide * 3, range, matrix)?;
    let mut jpeg = Vec::with_capacity(width * height / 4);
    Encoder::new(&mut jpeg, QUALITY).encode(&rgb, wide as u16, high as u16, ColorType::Rgb)?;
    Ok(Some(jpeg.into()))
}

/// What the samples of a stream mean (H.264, E.2.1). Where it doesn't say, high definition means BT.709, and else BT.601.
fn colours(sets: &ParameterSets) -> (YuvRange, YuvStandardMatrix) {
    let sps = sets.sps.first().and_then(|sps| {
        let nal = RefNal::new(sps, &[], true);
        SeqParameterSet::from_bits(nal.rbsp_bits()).ok()
    });
    let signal = sps.and_then(|sps| sps.vui_parameters?.video_signal_type);
    let range = match signal
        .as_ref()
        .is_some_and(|signal| signal.video_full_range_flag)
    {
        true => YuvRange::Full,
        false => YuvRange::Limited,
    };
    let stated = signal.and_then(|signal| signal.colour_description);
    let matrix = match stated.map(|colours| colours.matrix_coefficients) {
        Some(1) => YuvStandardMatrix::Bt709,
        Some(5 | 6) => YuvStandardMatrix::Bt601,
        Some(9) => YuvStandardMatrix::Bt2020,
        _ if sets.height >= 720 => YuvStandardMatrix::Bt709,
        _ => YuvStandardMatrix::Bt601,
    };
    (range, matrix)
}
