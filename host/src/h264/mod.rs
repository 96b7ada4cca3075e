//! H.264 as bytes: from whatever a source sends to access units as CMAF wants them.
//!
//! This room knows the bitstream (ISO/IEC 14496-10) and its storage format (ISO/IEC 14496-15), and nothing of time or
//! of where the bytes come from. Bit-level parsing of parameter sets and slice headers is `h264-reader`'s job; ours
//! is to find where an access unit begins and ends, which parameter sets are in force, and what to do with damage.
//!
//! Bytes go through [`Reader`] (a byte stream) or [`SampleReader`] (an MP4 file): the one finds start codes, the other
//! counts lengths, and both hand NAL units to the same assembler, which copies each byte once, into the access unit.

mod access_unit;
mod assembler;
mod bits;
mod buffer;
mod found;
pub(crate) mod fuzzing;
mod order;
mod parameter_sets;
mod pending;
mod reader;
mod samples;
mod slice;
mod splitter;
mod store;
#[cfg(test)]
mod tests;

pub use access_unit::AccessUnit;
pub use assembler::MAX_UNIT;
pub use found::{Found, Loss};
pub use parameter_sets::{BadParameterSets, ParameterSets};
pub use reader::Reader;
pub use samples::SampleReader;
