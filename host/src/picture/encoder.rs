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
mod tests {
    use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};

    use super::*;
    use crate::{
        picture::{Card, Color, testing},
        time::Wall,
    };

    fn size(width: u32, height: u32) -> Size {
        Size::new(width, height).unwrap()
    }

    fn open(size: Size, fps: u32, bitrate: u32) -> Encoder {
        Encoder::open(Settings {
            size,
            colors: Colors::BT709,
            fps,
            rate: Rate::Bits(bitrate),
        })
        .unwrap()
    }

    /// Encodes `count` pictures of the test card, keys where `key` says, and gives what came out.
    fn encode_card(
        encoder: &mut Encoder,
        count: u32,
        key: impl Fn(u32) -> bool,
    ) -> Vec<AccessUnit> {
        let Settings { size, fps, .. } = encoder.settings;
        let mut card = Card::new(size, "test");
        (0..count)
            .map(|frame| {
                let wall = moment(frame, fps);
                encoder.encode(card.draw(wall, frame), key(frame)).unwrap()
            })
            .collect()
    }

    fn moment(frame: u32, fps: u32) -> Wall {
        Wall(1_772_719_402_123_000 + u64::from(frame) * 1_000_000 / u64::from(fps))
    }

    #[test]
    fn key_frames_come_where_they_are_asked_for_and_nowhere_else() {
        let mut encoder = open(size(320, 180), 25, 300_000);
        let asked = [7, 8, 20, 44];
        let units = encode_card(&mut encoder, 60, |frame| asked.contains(&frame));
        let keys: Vec<_> = (0..)
            .zip(&units)
            .filter(|(_, unit)| unit.idr)
            .map(|(frame, _)| frame)
            .collect();
        assert_eq!(keys, [0, 7, 8, 20, 44]);
        for unit in &units {
            let wanted = if unit.idr { 5 } else { 1 };
            assert!(testing::nals(unit).all(|nal| nal[0] & NAL_TYPE == wanted));
        }
    }

    #[test]
    fn a_cut_to_another_picture_makes_no_key_frame() {
        let size = size(320, 180);
        let mut encoder = open(size, 25, 300_000);
        for frame in 0..20 {
            let color = if frame % 2 == 0 {
                Color::BLACK
            } else {
                Color::WHITE
            };
            let unit = encoder.encode(&Canvas::new(size, color), false).unwrap();
            assert_eq!(unit.idr, frame == 0);
        }
    }

    #[test]
    fn parameter_sets_are_repeated_without_change_and_shared() {
        let mut encoder = open(size(320, 180), 30, 300_000);
        let units = encode_card(&mut encoder, 20, |frame| frame % 5 == 0);
        assert!(
            units
                .iter()
                .all(|unit| Arc::ptr_eq(&unit.parameter_sets, &units[0].parameter_sets))
        );
    }

    #[test]
    fn the_stream_claims_constrained_baseline_at_the_level_it_needs() {
        for (width, height, fps, bitrate, codecs) in [
            (320, 180, 30, 300_000, "avc1.42c00d"),
            (1280, 720, 30, 2_000_000, "avc1.42c01f"),
            (1920, 1080, 30, 4_000_000, "avc1.42c028"),
        ] {
            let mut encoder = open(size(width, height), fps, bitrate);
            let units = encode_card(&mut encoder, 1, |_| true);
            assert_eq!(units[0].parameter_sets.codecs(), codecs);
        }
    }

    #[test]
    fn the_bitrate_is_kept() {
        for (width, height, bitrate) in [
            (320, 180, 200_000),
            (640, 360, 800_000),
            (1280, 720, 1_500_000),
        ] {
            let mut encoder = open(size(width, height), 30, bitrate);
            let units = encode_card(&mut encoder, 150, |frame| frame % 30 == 0);
            let bits: usize = units.iter().map(|unit| unit.data.len() * 8).sum();
            let rate = bits as f64 / 5.0;
            println!("{width}x{height} wanted {bitrate} got {rate}");
            assert!(
                rate < f64::from(bitrate) * 1.15,
                "{width}x{height}: {rate} of {bitrate}"
            );
        }
    }

    #[test]
    fn the_stream_says_that_nothing_is_reordered_and_which_colours_it_means() {
        let limited = Colors {
            full_range: false,
            ..Colors::JPEG
        };
        for (colors, matrix) in [(Colors::BT709, 1), (Colors::JPEG, 6), (limited, 6)] {
            let mut encoder = Encoder::open(Settings {
                size: size(320, 180),
                colors,
                fps: 30,
                rate: Rate::Bits(300_000),
            })
            .unwrap();
            let picture = Canvas::with_colors(size(320, 180), Color::WHITE, colors);
            let unit = encoder.encode(&picture, true).unwrap();
            let sps = RefNal::new(&unit.parameter_sets.sps[0], &[], true);
            let sps = SeqParameterSet::from_bits(sps.rbsp_bits()).unwrap();
            assert_eq!(sps.pixel_dimensions().unwrap(), (320, 180));
            let vui = sps.vui_parameters.unwrap();
            assert_eq!(
                vui.bitstream_restrictions.unwrap().max_num_reorder_frames,
                0
            );
            let signal = vui.video_signal_type.unwrap();
            assert_eq!(signal.video_full_range_flag, colors.full_range);
            let description = signal.colour_description.unwrap();
            assert_eq!(description.matrix_coefficients, matrix);
            assert_eq!(description.colour_primaries, 1);
        }
    }

    #[test]
    fn settings_that_no_stream_can_have_are_refused() {
        for (fps, bitrate) in [(0, 1_000_000), (1_000, 1_000_000), (30, 0), (30, u32::MAX)] {
            let settings = Settings {
                size: size(320, 180),
                colors: Colors::BT709,
                fps,
                rate: Rate::Bits(bitrate),
            };
            assert!(matches!(
                Encoder::open(settings),
                Err(EncodeError::Settings { .. })
            ));
        }
        let mut encoder = open(size(320, 180), 30, 300_000);
        let other = Canvas::new(size(640, 360), Color::BLACK);
        assert!(matches!(
            encoder.encode(&other, true),
            Err(EncodeError::Size { .. })
        ));
        let other = Canvas::with_colors(size(320, 180), Color::BLACK, Colors::JPEG);
        assert!(matches!(
            encoder.encode(&other, true),
            Err(EncodeError::Colors { .. })
        ));
    }
}
