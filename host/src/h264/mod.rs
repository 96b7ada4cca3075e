//! H.264 as bytes: from whatever a source sends to access units as CMAF wants them.
//!
//! This room knows the bitstream (ISO/IEC 14496-10) and its storage format (ISO/IEC 14496-15), and nothing of time or
//! of where the bytes come from. Bit-level parsing of parameter sets, slice headers and SEI is `h264-reader`'s job; ours
//! is to find where an access unit begins and ends, which parameter sets are in force, and what to do with damage.

mod access_unit;
mod parameter_sets;

pub use access_unit::AccessUnit;
pub use parameter_sets::ParameterSets;
