use std::sync::Arc;

use bytes::BufMut as _;
use h264_reader::nal::{
    Nal as _, RefNal,
    sps::{FrameMbsFlags, SeqParameterSet},
};
use openh264::{
    OpenH264API,
    decoder::{DecodedYUV, Decoder as Openh264, DecoderConfig},
    formats::YUVSource as _,
};

use super::{Canvas, Color, Colors, Matrix, Primaries, Size, SizeError};
use crate::h264::{AccessUnit, ParameterSets};

/// Key frames in a row that can't be decoded until there is no hope for the stream.
const HOPELESS: u32 = 3;

/// Turns access units into pictures, one in, one out.
pub struct Decoder {
    decoder: Openh264,
    /// What comes before the next IDR picture refers to what was lost.
    waiting: bool,
    /// IDR pictures in a row that couldn't be decoded.
    broken: u32,
    /// A picture was reordered of a stream whose parameter sets don't say so.
    reordered: Option<Arc<ParameterSets>>,
    /// What the samples mean since the last IDR picture.
    colors: Option<Colors>,
    /// The last access unit with a start code before each NAL unit.
    stream: Vec<u8>,
    canvas: Option<Canvas>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is a decoder for other streams only.
    #[error("its pictures {0}, which can't be decoded here: {1}")]
    Unsupported(&'static str, &'static str),
    /// Of a size that can't be encoded.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Key frame after key frame was damaged, or not what its parameter sets say.
    #[error("its key frames can't be decoded: {0}")]
    Hopeless(openh264::Error),
    /// The picture is damaged. Nothing is decoded until the next IDR picture.
    #[error("a picture can't be decoded: {0}")]
    Broken(openh264::Error),
    /// The picture can't be decoded without one that was lost.
    #[error("an IDR picture is waited for")]
    Waiting,
    /// The library gave nothing.
    #[error("a picture was not decoded at once")]
    Nothing,
}

impl Decoder {
    /// Sets a decoder up.
    ///
    /// # Errors
    ///
    /// If the library can't.
    pub fn new() -> Result<Self, openh264::Error> {
        Ok(Self {
            decoder: Openh264::with_api_config(OpenH264API::from_source(), DecoderConfig::new())?,
            waiting: true,
            broken: 0,
            reordered: None,
            colors: None,
            stream: Vec::new(),
            canvas: None,
        })
    }

    /// What follows doesn't continue what was before.
    pub fn restart(&mut self) {
        self.waiting = true;
    }

    /// Decodes a picture. It may be changed, and is overwritten by the next.
    ///
    /// # Errors
    ///
    /// If it can't be decoded, or refers to what couldn't. After an error nothing is decoded before the next IDR picture.
    pub fn decode(&mut self, unit: &AccessUnit) -> Result<&mut Canvas, DecodeError> {
        if unit.display_shift != 0 {
            self.reordered = Some(unit.parameter_sets.clone());
        }
        let known = self
            .reordered
            .as_ref()
            .is_some_and(|sets| *sets == unit.parameter_sets);
        let checked = check(&unit.parameter_sets).and_then(|()| match known {
            true => Err(REORDERED),
            false => Ok(()),
        });
        if let Err(error) = checked {
            self.waiting = true;
            return Err(error);
        }
        if self.waiting && !unit.idr {
            return Err(DecodeError::Waiting);
        }
        if unit.idr {
            self.colors = None;
        }
        annex_b(unit, &mut self.stream);
        // What is above is checked, and a decoder's own state isn't read after an error before the next IDR picture.
        let decoded = match self.decoder.decode(&self.stream) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => {
                self.waiting = true;
                return Err(DecodeError::Nothing);
            }
            Err(error) => {
                self.waiting = true;
                self.broken += u32::from(unit.idr);
                return Err(match self.broken >= HOPELESS {
                    true => DecodeError::Hopeless(error),
                    false => DecodeError::Broken(error),
                });
            }
        };
        let (width, height) = decoded.dimensions();
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        // 4:2:0 can be cropped to odd sides only where pictures are no whole number of chroma samples: nobody's are.
        let size = Size::new(side(width), side(height))?;
        self.waiting = false;
        self.broken = 0;
        let colors = *self
            .colors
            .get_or_insert_with(|| colors(&unit.parameter_sets));
        let canvas = match self.canvas.take() {
            Some(canvas) if canvas.size() == size && canvas.colors() == colors => canvas,
            _ => Canvas::with_colors(size, Color::BLACK, colors),
        };
        let canvas = self.canvas.insert(canvas);
        copy(&decoded, canvas);
        Ok(canvas)
    }
}

/// The decoder would reorder B pictures, but each would then come with the time of another.
const REORDERED: DecodeError = DecodeError::Unsupported(
    "are reordered (B pictures)",
    "let the camera or the command do without (`-bf 0` in FFmpeg, Baseline profile in a camera)",
);

/// Whether openh264's decoder can do it: whole pictures, 4:2:0, eight bits, in order.
fn check(sets: &ParameterSets) -> Result<(), DecodeError> {
    let [format, luma, chroma] = sets.chroma;
    if format != 1 {
        return Err(DecodeError::Unsupported(
            "are not 4:2:0",
            "let the camera or the command give 4:2:0 (`-pix_fmt yuv420p` in FFmpeg)",
        ));
    }
    if luma != 0 || chroma != 0 {
        return Err(DecodeError::Unsupported(
            "have more than eight bits",
            "let the camera or the command give eight (`-pix_fmt yuv420p` in FFmpeg)",
        ));
    }
    for sps in &sets.sps {
        let nal = RefNal::new(sps, &[], true);
        // One that can't be parsed would not have come here.
        let Ok(sps) = SeqParameterSet::from_bits(nal.rbsp_bits()) else {
            continue;
        };
        if matches!(sps.frame_mbs_flags, FrameMbsFlags::Fields { .. }) {
            return Err(DecodeError::Unsupported(
                "are interlaced",
                "let the camera or the command give whole pictures (`-vf yadif` in FFmpeg)",
            ));
        }
        let restrictions = sps
            .vui_parameters
            .and_then(|vui| vui.bitstream_restrictions);
        if restrictions.is_some_and(|restrictions| restrictions.max_num_reorder_frames > 0) {
            return Err(REORDERED);
        }
    }
    Ok(())
}

/// What the samples of a stream mean. Where it doesn't say, players guess by the size, and so does this.
fn colors(sets: &ParameterSets) -> Colors {
    let (matrix, primaries) = match sets.height >= 720 {
        true => (Matrix::Bt709, Primaries::Bt709),
        false => (Matrix::Bt601, Primaries::Smpte170m),
    };
    let parsed = sets.sps.first().and_then(|sps| {
        let nal = RefNal::new(sps, &[], true);
        SeqParameterSet::from_bits(nal.rbsp_bits()).ok()
    });
    let signal = parsed.and_then(|sps| sps.vui_parameters?.video_signal_type);
    let description = signal
        .as_ref()
        .and_then(|signal| signal.colour_description.as_ref());
    Colors {
        // H.264, tables E-3 and E-5.
        primaries: match description.map(|described| described.colour_primaries) {
            Some(1) => Primaries::Bt709,
            Some(5 | 6) => Primaries::Smpte170m,
            Some(9) => Primaries::Bt2020,
            _ => primaries,
        },
        matrix: match description.map(|described| described.matrix_coefficients) {
            Some(1) => Matrix::Bt709,
            Some(5 | 6) => Matrix::Bt601,
            Some(9) => Matrix::Bt2020,
            _ => matrix,
        },
        full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
    }
}

/// The access unit as a byte stream (H.264, Annex B), with parameter sets before an IDR picture.
fn annex_b(unit: &AccessUnit, stream: &mut Vec<u8>) {
    stream.clear();
    let mut push = |nal: &[u8]| {
        stream.put_u32(1);
        stream.put_slice(nal);
    };
    if unit.idr {
        let sets = &unit.parameter_sets;
        sets.sps.iter().chain(&sets.pps).for_each(|nal| push(nal));
    }
    let mut rest = &unit.data[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (nal, after) = after.split_at(length.min(after.len()));
        push(nal);
        rest = after;
    }
}

fn copy(decoded: &DecodedYUV<'_>, canvas: &mut Canvas) {
    let width = canvas.size().width() as usize;
    let (luma, cb, cr) = decoded.strides();
    let planes = canvas.planes_mut();
    rows(planes.luma, width, decoded.y(), luma);
    rows(planes.cb, width / 2, decoded.u(), cb);
    rows(planes.cr, width / 2, decoded.v(), cr);
}

/// Copies a plane without its padding.
fn rows(to: &mut [u8], width: usize, from: &[u8], stride: usize) {
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
        to.copy_from_slice(&from[..width]);
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
