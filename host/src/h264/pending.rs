//! What the assembler has begun and not finished.

use std::collections::BTreeSet;

use super::{slice::Slice, store::Key};

/// A NAL unit that isn't complete.
#[derive(Debug)]
pub(super) struct OpenNal<M> {
    /// Where it lies in the buffer: its length, then its bytes.
    pub(super) start: usize,
    /// Bytes of it so far, whether or not they are kept.
    pub(super) len: usize,
    pub(super) kind: Kind,
    pub(super) mark: M,
    /// Where in the stream the NAL unit before it ended.
    pub(super) offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No byte of it has been seen.
    Unknown,
    /// A slice whose header is tried once there are this many bytes.
    SliceHeader(usize),
    /// A slice whose header is known, or what goes with slices.
    Kept,
    /// SPS or PPS.
    ParameterSet,
    /// Not for the sample.
    Skipped,
}

/// An access unit that isn't complete.
#[derive(Debug)]
pub(super) struct OpenUnit<M> {
    pub(super) mark: Option<M>,
    /// It has a slice, or what may have been one.
    pub(super) has_slice: bool,
    /// The first slice whose header could be read.
    pub(super) slice: Option<Slice>,
    pub(super) damaged: bool,
    /// Parameter sets in it that differ from what was known.
    pub(super) changed: BTreeSet<Key>,
}

impl<M> OpenUnit<M> {
    pub(super) fn new(mark: Option<M>) -> Self {
        Self {
            mark,
            has_slice: false,
            slice: None,
            damaged: false,
            changed: BTreeSet::new(),
        }
    }
}
