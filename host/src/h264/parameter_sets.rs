use bytes::Bytes;
use h264_reader::{
    nal::{
        Nal, NalHeader, RefNal, WritableNal,
        sps::{BitstreamRestrictions, PicOrderCntType, SeqParameterSet, VuiParameters},
    },
    rbsp::BitReader,
};

use super::bits::Bits;

/// The parameter sets of a coded video sequence, and what they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    /// Sequence parameter sets, NAL header included, without start code or length, in order of their identifier. From a
    /// stream there is one: the one that is active.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, likewise: all that refer to these.
    pub pps: Vec<Bytes>,
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
    /// Sample aspect ratio (width, height); (1, 1) where the stream says nothing.
    pub sample_aspect_ratio: (u16, u16),
    /// Pictures a second as a fraction in lowest terms, where the VUI states a rate. Encoders don't always keep to it.
    pub frame_rate: Option<(u32, u32)>,
    /// Bytes 1 to 3 of the first SPS: profile, constraint flags, level.
    pub profile: [u8; 3],
    /// Chroma format, and bit depths less eight of luma and chroma, as `avcC` wants them for the high profiles.
    pub chroma: [u8; 3],
}

/// Why parameter sets can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadParameterSets {
    /// There is no SPS.
    #[error("there is no sequence parameter set")]
    NoSps,
    /// There is no PPS.
    #[error("there is no picture parameter set")]
    NoPps,
    /// The first SPS makes no sense.
    #[error("the sequence parameter set can't be parsed: {0:02x?}")]
    InvalidSps(Bytes),
}

impl ParameterSets {
    /// Parses the first SPS for what it says of the stream.
    pub fn new(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, BadParameterSets> {
        let first = sps.first().ok_or(BadParameterSets::NoSps)?;
        if pps.is_empty() {
            return Err(BadParameterSets::NoPps);
        }
        let invalid = || BadParameterSets::InvalidSps(first.clone());
        let parsed = parse_sps(first).ok_or_else(invalid)?;
        let (width, height) = match parsed.pixel_dimensions() {
            Ok((width @ 1.., height @ 1..)) => (width, height),
            _ => return Err(invalid()),
        };
        let vui = parsed.vui_parameters.as_ref();
        Ok(Self {
            width,
            height,
            sample_aspect_ratio: vui
                .and_then(|vui| vui.aspect_ratio_info.as_ref()?.get())
                .unwrap_or((1, 1)),
            frame_rate: vui.and_then(frame_rate),
            profile: [first[1], first[2], first[3]],
            chroma: [
                // At most 3: a parsed SPS has no other.
                parsed.chroma_info.chroma_format.to_u32() as u8,
                parsed.chroma_info.bit_depth_luma_minus8,
                parsed.chroma_info.bit_depth_chroma_minus8,
            ],
            sps,
            pps,
        })
    }

    /// Something to test with that no bit of is looked at.
    #[cfg(test)]
    pub(crate) fn example(width: u32) -> Self {
        Self {
            sps: vec![Bytes::from_static(&[0x67, 0x42, 0xc0, 0x0a, 0xda])],
            pps: vec![Bytes::from_static(&[0x68, 0xce, 0x38, 0x80])],
            width,
            height: 64,
            sample_aspect_ratio: (1, 1),
            frame_rate: None,
            profile: [0x42, 0xc0, 0x0a],
            chroma: [1, 0, 0],
        }
    }

    /// The `codecs` parameter of RFC 6381: `avc1.64001f`.
    pub fn codecs(&self) -> String {
        let [profile, constraints, level] = self.profile;
        format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
    }

    /// The SPS to put into `avcC`, for a stream that shows its pictures in another order than it decodes them, or not.
    ///
    /// Without `reordering`, an SPS that leaves open how many pictures may be reordered gets a VUI bitstream restriction
    /// that says none: hardware decoders otherwise hold back as many pictures as the level allows. Nothing else
    /// changes, so slices decode as before. An SPS that says it already, or that doesn't survive being parsed and
    /// written, is left as it is.
    pub fn sps_for_avcc(&self, reordering: bool) -> Vec<Bytes> {
        self.sps
            .iter()
            .map(|sps| {
                if reordering {
                    None
                } else {
                    without_reordering(sps)
                }
                .unwrap_or_else(|| sps.clone())
            })
            .collect()
    }
}

/// Parses an SPS, NAL header included; one that breaks the limits of its level, or whose VUI makes no sense, with those
/// left out.
pub(super) fn parse_sps(nal: &[u8]) -> Option<SeqParameterSet> {
    if nal.len() < 4 {
        return None;
    }
    let usable = |sps: &SeqParameterSet| sps.chroma_info.chroma_format.to_u32() <= 3;
    if let Some(sps) = parse_strictly(nal) {
        return usable(&sps).then_some(sps);
    }
    let mut nal = nal.to_vec();
    // A level that doesn't exist has no limits. Byte 3 follows the profile, which is never 0, so it isn't escaped.
    let level = std::mem::replace(&mut nal[3], 0xff);
    let bits = Bits::lenient(RefNal::new(&nal, &[], true).rbsp_bits());
    let mut sps = SeqParameterSet::from_bits(bits).ok()?;
    sps.level_idc = level;
    usable(&sps).then_some(sps)
}

fn parse_strictly(nal: &[u8]) -> Option<SeqParameterSet> {
    let bits: Bits<BitReader<_>> = Bits::new(RefNal::new(nal, &[], true).rbsp_bits());
    SeqParameterSet::from_bits(bits).ok()
}

/// Whether the pictures of such a stream can be shown in another order than they are decoded: `None` if the SPS leaves
/// that open.
pub(super) fn declares_reordering(sps: &SeqParameterSet) -> Option<bool> {
    // Baseline has no B slices; with type 2 the order of output is that of decoding (8.2.1.3).
    if u8::from(sps.profile_idc) == 66 || sps.pic_order_cnt == PicOrderCntType::TypeTwo {
        return Some(false);
    }
    let restrictions = sps
        .vui_parameters
        .as_ref()?
        .bitstream_restrictions
        .as_ref()?;
    Some(restrictions.max_num_reorder_frames > 0)
}

fn frame_rate(vui: &VuiParameters) -> Option<(u32, u32)> {
    let timing = vui.timing_info.as_ref()?;
    // A tick is a field, whether or not there are fields (E.2.1).
    let (numerator, denominator) = (
        u64::from(timing.time_scale),
        2 * u64::from(timing.num_units_in_tick),
    );
    // Some encoders write 1 Hz or 90 kHz here without meaning it.
    if denominator == 0 || numerator > 1000 * denominator || numerator < denominator {
        return None;
    }
    let divisor = gcd(numerator, denominator);
    Some((
        u32::try_from(numerator / divisor).ok()?,
        u32::try_from(denominator / divisor).ok()?,
    ))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn without_reordering(nal: &Bytes) -> Option<Bytes> {
    let header = NalHeader::new(*nal.first()?).ok()?;
    let sps = parse_strictly(nal)?;
    if sps
        .vui_parameters
        .as_ref()
        .is_some_and(|vui| vui.bitstream_restrictions.is_some())
    {
        return None;
    }
    // The library may not carry everything that this SPS holds.
    if sps.to_vec_with_header(header) != **nal {
        return None;
    }
    let mut changed = sps;
    let restrictions = BitstreamRestrictions {
        // What holds when nothing is said (E.2.1).
        motion_vectors_over_pic_boundaries_flag: true,
        max_bytes_per_pic_denom: 2,
        max_bits_per_mb_denom: 1,
        log2_max_mv_length_horizontal: 15,
        log2_max_mv_length_vertical: 15,
        max_num_reorder_frames: 0,
        // As small as may be: at least max_num_ref_frames.
        max_dec_frame_buffering: changed.max_num_ref_frames,
    };
    changed
        .vui_parameters
        .get_or_insert_default()
        .bitstream_restrictions = Some(restrictions);
    let written = changed.to_vec_with_header(header);
    // Parsing checks the limits of the level as well, which the number of reference pictures may break.
    (parse_strictly(&written)? == changed).then(|| written.into())
}
