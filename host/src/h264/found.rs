use super::AccessUnit;

/// An access unit as the reader found it.
#[derive(Clone, Debug)]
pub struct Found<M> {
    /// The access unit.
    pub unit: AccessUnit,
    /// What the caller said of the bytes among which its first NAL unit began.
    pub mark: M,
    /// Where in the stream it ended, which is where the next one begins.
    pub end: u64,
}

/// What was lost on the way, counted since the reader was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Access units that were dropped: before the first IDR picture, or from damage to the next IDR picture.
    pub dropped_units: u64,
    /// Runs of bytes that belong to no NAL unit, and NAL units that can't be parsed.
    pub bad_nals: u64,
    /// Times that bytes followed, after a [`flush`](super::Reader::flush), that belonged to what was flushed.
    pub false_ends: u64,
}
