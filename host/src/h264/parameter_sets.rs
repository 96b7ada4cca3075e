use bytes::Bytes;

/// The parameter sets of a coded video sequence, and what they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    /// Sequence parameter sets, NAL header included, without start code or length, in order of their identifier.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, likewise.
    pub pps: Vec<Bytes>,
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
    /// Sample aspect ratio (width, height); (1, 1) where the stream says nothing.
    pub sample_aspect_ratio: (u16, u16),
    /// Pictures a second as a fraction, where the VUI states a fixed rate.
    pub frame_rate: Option<(u32, u32)>,
    /// Bytes 1 to 3 of the first SPS: profile, constraint flags, level.
    pub profile: [u8; 3],
    /// Chroma format, and bit depths less eight of luma and chroma, as `avcC` wants them for the high profiles.
    pub chroma: [u8; 3],
}

impl ParameterSets {
    /// shim
    pub fn sps_for_avcc(&self, _reordering: bool) -> Vec<Bytes> {
        self.sps.clone()
    }
    /// The `codecs` parameter of RFC 6381: `avc1.64001f`.
    pub fn codecs(&self) -> String {
        let [profile, constraints, level] = self.profile;
        format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
    }
}
