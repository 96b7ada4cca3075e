use bytes::Bytes;
use mp4_atom::{
    Avc1, Avcc, AvccExt, Codec, Dinf, Dref, DrefEntry, Encode, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf,
    Moof, Moov, Mvex, Mvhd, Pasp, Prft, ReferenceTime, Stbl, Stsd, Styp, Tfdt, Tfhd, Tkhd, Traf,
    Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Visual, Vmhd,
};

use crate::{
    h264::ParameterSets,
    time::{MediaTime, TIMESCALE, Wall},
};

const TRACK: u32 = 1;

/// `sample_depends_on` = 2 (on none), `sample_is_non_sync_sample` = 0 (ISO/IEC 14496-12, 8.8.3.1).
const SYNC_SAMPLE: u32 = 0x0200_0000;
/// `sample_depends_on` = 1 (on others), `sample_is_non_sync_sample` = 1.
const OTHER_SAMPLE: u32 = 0x0101_0000;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_EPOCH: u64 = 2_208_988_800;

/// Size and type of `mdat`, whose content follows in another piece of memory.
const MDAT_HEADER: usize = 8;

/// An init segment: `ftyp` and `moov` of one video track, timescale 1,000,000.
///
/// No duration is declared anywhere (no `mehd`, `mvhd` duration 0): that is what puts Chromium into its low-delay mode.
///
/// # Errors
/// Pictures that the format can't describe: wider or higher than 65,535.
pub fn init_segment(sets: &ParameterSets, sps_for_avcc: &[Bytes]) -> anyhow::Result<Bytes> {
    let size = |pixels: u32| {
        u16::try_from(pixels)
            .map_err(|_| anyhow::anyhow!("a picture of {pixels} pixels is too large for MP4"))
    };
    let (width, height) = (size(sets.width)?, size(sets.height)?);
    let [profile, compatibility, level] = sets.profile;
    let [chroma_format, luma, chroma] = sets.chroma;
    // ISO/IEC 14496-15, 5.3.3.1.2: the high profiles carry chroma format and bit depths.
    let high = matches!(profile, 100 | 110 | 122 | 144 | 244);
    let avcc = Avcc {
        configuration_version: 1,
        avc_profile_indication: profile,
        profile_compatibility: compatibility,
        avc_level_indication: level,
        length_size: 4,
        sequence_parameter_sets: sps_for_avcc.iter().map(|sps| sps.to_vec()).collect(),
        picture_parameter_sets: sets.pps.iter().map(|pps| pps.to_vec()).collect(),
        ext: high.then(|| AvccExt {
            chroma_format,
            bit_depth_luma: luma + 8,
            bit_depth_chroma: chroma + 8,
            sequence_parameter_sets_ext: Vec::new(),
        }),
    };
    let (h_spacing, v_spacing) = sets.sample_aspect_ratio;
    // The displayed width follows the sample aspect ratio (14496-12, 12.1.4.3).
    let shown = u32::from(width) * u32::from(h_spacing) / u32::from(v_spacing.max(1));
    let sample_entry = Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width,
            height,
            ..Visual::default()
        },
        avcc,
        pasp: Some(Pasp {
            h_spacing: h_spacing.into(),
            v_spacing: v_spacing.into(),
        }),
        ..Avc1::default()
    };
    let moov = Moov {
        mvhd: Mvhd {
            timescale: TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        trak: vec![Trak {
            tkhd: Tkhd {
                track_id: TRACK,
                enabled: true,
                in_movie: true,
                width: u16::try_from(shown).unwrap_or(width).into(),
                height: height.into(),
                ..Tkhd::default()
            },
            mdia: Mdia {
                mdhd: Mdhd {
                    timescale: TIMESCALE,
                    language: "und".into(),
                    ..Mdhd::default()
                },
                hdlr: Hdlr {
                    handler: b"vide".into(),
                    name: "picam-host".into(),
                },
                minf: Minf {
                    vmhd: Some(Vmhd::default()),
                    dinf: Dinf {
                        dref: Dref {
                            entries: vec![DrefEntry::Url(Url::default())],
                        },
                    },
                    stbl: Stbl {
                        stsd: Stsd {
                            codecs: vec![Codec::Avc1(sample_entry)],
                        },
                        stco: Some(Default::default()),
                        ..Stbl::default()
                    },
                    ..Minf::default()
                },
            },
            ..Trak::default()
        }],
        ..Moov::default()
    };
    let ftyp = Ftyp {
        major_brand: b"cmf2".into(),
        minor_version: 0,
        // `cmf2` has negative composition offsets and no edit list (23000-19, 7.7.3).
        compatible_brands: vec![
            b"cmf2".into(),
            b"iso6".into(),
            b"dash".into(),
            b"cmfc".into(),
        ],
    };
    let mut bytes = Vec::with_capacity(1024);
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes.into())
}

/// A segment without a picture: `styp` alone, whose brand `lmsg` says that none follows it (ISO/IEC 23009-1).
pub fn empty_last_segment() -> Bytes {
    let styp = Styp {
        major_brand: b"msdh".into(),
        minor_version: 0,
        compatible_brands: vec![b"msdh".into(), b"lmsg".into()],
    };
    let mut bytes = Vec::with_capacity(24);
    styp.encode(&mut bytes)
        .expect("a box of a few brands encodes");
    bytes.into()
}

/// One sample, as its chunk describes it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Running number of the chunk.
    pub number: u32,
    /// Decoding time: what `tfdt` says.
    pub start: MediaTime,
    /// In ticks of the timescale.
    pub duration: u32,
    /// Presentation time less decoding time, in ticks.
    pub composition_offset: i32,
    /// Bytes.
    pub size: u32,
    /// It is an IDR picture.
    pub sync: bool,
    /// When it was captured.
    pub captured: Wall,
}

/// The boxes of a CMAF chunk (23000-19, 7.3.2.3) up to its sample: `prft`, `moof`, and the head of `mdat`.
pub fn chunk_head(sample: &Sample) -> Bytes {
    let prft = Prft {
        reference_track_id: TRACK,
        ntp_timestamp: ntp(sample.captured),
        media_time: sample
            .start
            .0
            .saturating_add_signed(sample.composition_offset.into()),
        utc_time_semantics: ReferenceTime::RealTime,
    };
    let mut moof = Moof {
        mfhd: Mfhd {
            sequence_number: sample.number,
        },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK,
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt {
                base_media_decode_time: sample.start.0,
            }),
            trun: vec![Trun {
                data_offset: Some(0),
                samples: TrunSamples::Explicit(vec![TrunEntry {
                    duration: Some(sample.duration),
                    size: Some(sample.size),
                    flags: Some(if sample.sync {
                        SYNC_SAMPLE
                    } else {
                        OTHER_SAMPLE
                    }),
                    cts: (sample.composition_offset != 0)
                        .then_some(sample.composition_offset.into()),
                }]),
            }],
            ..Traf::default()
        }],
    };
    let mut bytes = Vec::with_capacity(192);
    let encoded = "boxes of fixed shape and size encode";
    prft.encode(&mut bytes).expect(encoded);
    let moof_at = bytes.len();
    moof.encode(&mut bytes).expect(encoded);
    // The offset counts from the first byte of `moof`, whose size doesn't depend on it.
    let offset = bytes.len() - moof_at + MDAT_HEADER;
    moof.traf[0].trun[0].data_offset =
        Some(i32::try_from(offset).expect("a moof has some 100 bytes"));
    bytes.truncate(moof_at);
    moof.encode(&mut bytes).expect(encoded);
    bytes.extend_from_slice(&(sample.size + MDAT_HEADER as u32).to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.into()
}

/// NTP's 64 bits (RFC 5905, 6): seconds since 1900, and 2^-32 of them.
fn ntp(wall: Wall) -> u64 {
    let (seconds, micros) = (wall.0 / 1_000_000, wall.0 % 1_000_000);
    ((seconds + NTP_EPOCH) << 32) | ((micros << 32) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use mp4_atom::{Atom, Decode, DecodeMaybe, Header, ReadFrom};

    use super::*;

    fn sample(composition_offset: i32) -> Sample {
        Sample {
            number: 7,
            start: MediaTime(12_345_678_901),
            duration: 33_333,
            composition_offset,
            size: 5,
            sync: true,
            captured: Wall(1_700_000_000_500_000),
        }
    }

    #[test]
    fn the_data_offset_points_at_the_sample() {
        let head = chunk_head(&sample(0));
        let mut rest = &head[..];
        let prft = Prft::decode(&mut rest).unwrap();
        assert_eq!(prft.media_time, 12_345_678_901);
        assert_eq!(prft.ntp_timestamp >> 32, 1_700_000_000 + NTP_EPOCH);
        assert_eq!((prft.ntp_timestamp & 0xffff_ffff), 1 << 31);
        let before = rest.len();
        let moof = Moof::decode(&mut rest).unwrap();
        let moof_size = before - rest.len();
        let trun = &moof.traf[0].trun[0];
        assert_eq!(trun.data_offset, Some((moof_size + MDAT_HEADER) as i32));
        assert_eq!(
            moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time,
            12_345_678_901
        );
        let mdat = Header::read_from(&mut Cursor::new(rest)).unwrap();
        assert_eq!((mdat.kind, mdat.size), (mp4_atom::Mdat::KIND, Some(5)));
        assert_eq!(rest.len(), MDAT_HEADER);
    }

    #[test]
    fn a_picture_that_is_shown_earlier_than_decoded_has_a_negative_offset() {
        let head = chunk_head(&sample(-33_333));
        let mut rest = &head[..];
        Prft::decode(&mut rest).unwrap();
        let moof = Moof::decode_maybe(&mut rest).unwrap().unwrap();
        assert_eq!(
            moof.traf[0].trun[0].samples.get(0).unwrap().cts,
            Some(-33_333)
        );
    }
}
