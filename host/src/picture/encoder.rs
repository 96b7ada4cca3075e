use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use openh264::{
    OpenH264API, Timestamp,
    encoder::{
        BitRate, ColorPrimaries, Complexity, EncoderConfig, FrameRate, FrameType,
        MatrixCoefficients, Profile, QpRange, RateControlMode, SpsPpsStrategy,
        TransferCharacteristics, UsageType, VuiConfig,
    },
};

use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

use super::{Canvas, Colors, Matrix, Primaries, Size};
use crate::h264::{AccessUnit, ParameterSets};

const NAL_TYPE: u8 = 0x1f;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const PICTURE_PARAMETER_SET: u8 = 8;

/// What an [`Encoder`] is to produce.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of every picture.
    pub size: Size,
    /// What the samples of every picture mean: the stream says so.
    pub colors: Colors,
    /// Pictures a second, for rate control and the level that the stream claims.
    pub fps: u32,
    /// How many bits are spent.
    pub rate: Rate,
}

/// How many bits an [`Encoder`] spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many a second on average.
    Bits(u32),
    /// As many as a single picture needs to look well.
    Still,
}

/// Why a picture wasn't encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The picture has another size than the stream.
    #[error("a picture of {got} was given to an encoder of {wanted}")]
    Size {
        /// What was given.
        got: Size,
        /// What the encoder was opened for.
        wanted: Size,
    },
    /// The picture's samples mean other colours than the stream says.
    #[error("a picture of {got} was given to an encoder of {wanted}")]
    Colors {
        /// What was given.
        got: Colors,
        /// What the encoder was opened for.
        wanted: Colors,
    },
    /// A setting that no stream can have.
    #[error(
        "can't encode {fps} pictures a second at {bitrate} bit/s: both must be above 0, at most 240/s and 240 Mbit/s"
    )]
    Settings {
        /// Pictures a second.
        fps: u32,
        /// Bits a second.
        bitrate: u32,
    },
    /// The encoder said no.
    #[error("openh264 can't encode {size}")]
    Encoder {
        /// Of the stream.
        size: Size,
        /// What it said.
        source: openh264::Error,
    },
    /// The encoder gave something else than one whole picture of the kind that was asked for.
    #[error("openh264 gave {got} for a picture of {size}")]
    Unexpected {
        /// Of the stream.
        size: Size,
        /// What it gave.
        got: &'static str,
    },
}

/// Turns canvases into H.264, one access unit for each, at once: there are no B pictures, no lookahead and no skipped
/// pictures, so nothing that went in waits for what follows.
///
/// Constrained Baseline, which every browser decodes, at the level that size, rate and bitrate need, repeating the
/// parameter sets with each IDR picture; VUI says which colours are meant, and that nothing is reordered.
pub struct Encoder {
    encoder: openh264::encoder::Encoder,
    settings: Settings,
    /// Pictures encoded.
    count: u64,
    parameter_sets: Option<Arc<ParameterSets>>,
}

impl Encoder {
    /// Sets an encoder up.
    pub fn open(settings: Settings) -> Result<Self, EncodeError> {
        let Settings {
            size,
            colors,
            fps,
            rate,
        } = settings;
        let (mode, bitrate, quantizer) = match rate {
            Rate::Bits(bitrate) => (RateControlMode::Bitrate, bitrate, QpRange::new(12, 51)),
            // Without rate control the quantizer alone decides; the bitrate is for the level that the stream claims.
            Rate::Still => (RateControlMode::Off, 1_000_000, QpRange::new(26, 26)),
        };
        if !(1..=240).contains(&fps) || !(1..=240_000_000).contains(&bitrate) {
            return Err(EncodeError::Settings { fps, bitrate });
        }
        let config = EncoderConfig::new()
            .profile(Profile::Baseline)
            .usage_type(UsageType::CameraVideoRealTime)
            // Of openh264's settings these do best: at 1280x720 the higher complexities cost a tenth more time for
            // 0.2 dB of a test card and lose as much of a moving picture, background detection costs 2 dB of a still
            // background, and screen content takes twice the time and puts IDR pictures where it likes.
            .complexity(Complexity::Low)
            .background_detection(false)
            .adaptive_quantization(false)
            .rate_control_mode(mode)
            .bitrate(BitRate::from_bps(bitrate))
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .qp(quantizer)
            // A picture that is skipped to save bits would be a hole in the stream.
            .skip_frames(false)
            // IDR pictures come where the caller wants them, never by a guess of the encoder.
            .scene_change_detect(false)
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            // One slice, so more threads would have nothing to do.
            .num_threads(1)
            .vui(vui(colors));
        let failed = |source| EncodeError::Encoder { size, source };
        let mut encoder =
            openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)
                .map_err(failed)?;
        // The library writes warnings to standard error, and the binding stops that only once it has been set up.
        let mut level = WELS_LOG_QUIET;
        // SAFETY: the option takes a pointer to an int, which is read before the call returns.
        let status = unsafe {
            encoder
                .raw_api()
                .set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast())
        };
        debug_assert_eq!(status, 0, "the trace level can be set at any time");
        Ok(Self {
            encoder,
            settings,
            count: 0,
            parameter_sets: None,
        })
    }

    /// Encodes a picture, as an IDR picture if `key` or if it is the first.
    ///
    /// After an error the next picture must be a `key`, since the decoder may have missed what it would refer to.
    pub fn encode(&mut self, picture: &Canvas, key: bool) -> Result<AccessUnit, EncodeError> {
        let Settings {
            size, colors, fps, ..
        } = self.settings;
        if picture.colors() != colors {
            return Err(EncodeError::Colors {
                got: picture.colors(),
                wanted: colors,
            });
        }
        if picture.size() != size {
            return Err(EncodeError::Size {
                got: picture.size(),
                wanted: size,
            });
        }
        if key && self.count > 0 {
            self.encoder.force_intra_frame();
        }
        let millis = self.count * 1000 / u64::from(fps);
        let key = key || self.count == 0;
        self.count += 1;
        let stream = self
            .encoder
            .encode_at(picture, Timestamp::from_millis(millis))
            .map_err(|source| EncodeError::Encoder { size, source })?;

        let idr = match stream.frame_type() {
            FrameType::IDR => true,
            FrameType::P => false,
            FrameType::I => {
                return Err(EncodeError::Unexpected {
                    size,
                    got: "an I picture",
                });
            }
            FrameType::Skip => {
                return Err(EncodeError::Unexpected {
                    size,
                    got: "nothing",
                });
            }
            _ => {
                return Err(EncodeError::Unexpected {
                    size,
                    got: "an invalid picture",
                });
            }
        };
        if key != idr {
            let got = if idr {
                "an unasked IDR picture"
            } else {
                "a P picture instead of an IDR picture"
            };
            return Err(EncodeError::Unexpected { size, got });
        }

        let mut sps = Vec::new();
        let mut pps = Vec::new();
        let bytes = usize::try_from(stream.raw_info().iFrameSizeInBytes).unwrap_or_default();
        let mut data = BytesMut::with_capacity(bytes + 16);
        for layer in (0..stream.num_layers()).filter_map(|layer| stream.layer(layer)) {
            for nal in (0..layer.nal_count()).filter_map(|nal| layer.nal_unit(nal)) {
                let nal = without_start_code(nal);
                match nal.first().map(|header| header & NAL_TYPE) {
                    Some(SEQUENCE_PARAMETER_SET) => sps.push(Bytes::copy_from_slice(nal)),
                    Some(PICTURE_PARAMETER_SET) => pps.push(Bytes::copy_from_slice(nal)),
                    Some(_) => {
                        data.put_u32(
                            u32::try_from(nal.len())
                                .expect("a NAL unit of openh264 is counted in an int"),
                        );
                        data.put_slice(nal);
                    }
                    None => {}
                }
            }
        }
        if data.is_empty() {
            return Err(EncodeError::Unexpected {
                size,
                got: "no slice",
            });
        }
        if !sps.is_empty() || !pps.is_empty() {
            self.note(sps, pps)?;
        }
        let Some(parameter_sets) = self.parameter_sets.clone() else {
            return Err(EncodeError::Unexpected {
                size,
                got: "no parameter sets",
            });
        };
        Ok(AccessUnit {
            data: data.freeze(),
            idr,
            parameter_sets,
            display_shift: 0,
        })
    }

    /// Takes parameter sets over, if they say something new.
    fn note(&mut self, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<(), EncodeError> {
        if let Some(known) = &self.parameter_sets
            && known.sps == sps
            && known.pps == pps
        {
            return Ok(());
        }
        let sets = ParameterSets::new(sps, pps).map_err(|_| EncodeError::Unexpected {
            size: self.settings.size,
            got: "parameter sets that can't be read",
        })?;
        self.parameter_sets = Some(Arc::new(sets));
        Ok(())
    }
}

/// What a stream says of its colours. Cameras have the transfer function of BT.709, whatever else they have; so do
/// SMPTE 170M and BT.2020 (H.264, table E-4).
fn vui(colors: Colors) -> VuiConfig {
    VuiConfig::new()
        .color_primaries(match colors.primaries {
            Primaries::Smpte170m => ColorPrimaries::Smpte170M,
            Primaries::Bt709 => ColorPrimaries::Bt709,
            Primaries::Bt2020 => ColorPrimaries::Bt2020,
        })
        .transfer_characteristics(TransferCharacteristics::Bt709)
        .matrix_coefficients(match colors.matrix {
            Matrix::Bt601 => MatrixCoefficients::Smpte170M,
            Matrix::Bt709 => MatrixCoefficients::Bt709,
            Matrix::Bt2020 => MatrixCoefficients::Bt2020Ncl,
        })
        .full_range(colors.full_range)
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("settings", &self.settings)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// A NAL unit of a byte stream without the zeros and the one before it (Annex B, B.1.1).
fn without_start_code(nal: &[u8]) -> &[u8] {
    match nal {
        [0, 0, 0, 1, nal @ ..] | [0, 0, 1, nal @ ..] => nal,
        nal => nal,
    }
}

#[cfg(test)]
mod tests;
