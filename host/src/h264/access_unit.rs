use std::sync::Arc;

use bytes::Bytes;

use super::ParameterSets;

/// One picture, coded: all of its slices, and the SEI that belongs to it.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// NAL units, each behind its length in four bytes, big-endian (ISO/IEC 14496-15, 5.3.4.2), ready for `mdat`.
    /// Slices are as they came, bit for bit. Access unit delimiters, filler and end-of-sequence are left out; so are
    /// parameter sets, unless they change in the middle of a coded video sequence.
    pub data: Bytes,
    /// The picture is an IDR picture: decoding can begin here.
    pub idr: bool,
    /// What `data` needs to be decoded. A change begins at an IDR picture and shows as another `Arc` whose content
    /// differs: repeated parameter sets that say the same keep the same `Arc`.
    pub parameter_sets: Arc<ParameterSets>,
    /// How many pictures later (or, negative, earlier) this one is shown than it is decoded. 0 throughout unless the
    /// stream has B pictures.
    pub display_shift: i32,
}
