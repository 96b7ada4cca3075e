use std::{collections::HashMap, sync::Arc};

use super::{Chunks, InitSegment, Part, Segment};
use crate::{cmaf::Timing, time::PresentationClock};

/// How far a rendition has been published: every segment before `sequence` is complete, and `parts` parts of that one.
/// It is also the name of the part that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Media sequence number of the growing segment.
    pub sequence: u64,
    /// Parts of it that are complete.
    pub parts: u32,
}

/// A stretch of the stream over which timing holds. A host has one at a time, and remembers those that ended while
/// their media may still be asked for.
#[derive(Debug)]
pub struct Presentation {
    /// Directory of its documents and media below `/cam/`. It never repeats, not even after a restart of the host.
    pub id: Arc<str>,
    /// Its timing.
    pub timing: Timing,
    /// The clock of its presentation times.
    pub clock: PresentationClock,
}

/// What is measured and known of the one rendition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rendition {
    /// Bits a second of the segment that had most.
    pub peak_bitrate: u64,
    /// Bits a second over the whole window.
    pub average_bitrate: u64,
}

/// The window at one position. It never changes; the next position is another snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// To which presentation all of this belongs.
    pub presentation: Arc<Presentation>,
    /// How far it got.
    pub position: Position,
    /// Nothing will follow in this presentation.
    pub ended: bool,
    /// It ended because another one takes over.
    pub superseded: bool,
    /// Figures of the rendition.
    pub rendition: Rendition,
    /// Listed segments, oldest first; the last is growing unless `ended`.
    pub segments: Vec<Arc<Segment>>,
    /// Discontinuities before the first listed segment.
    pub discontinuity_sequence: u64,
    /// Name of the part that comes next, unless `ended`.
    pub next_part: Option<Arc<str>>,
    /// What can be asked for, by name: listed or lately listed. A superset of what `segments` shows.
    pub objects: Arc<HashMap<Arc<str>, Object>>,
}

impl Snapshot {
    /// Whether a name is that of a segment that would have followed the last one of a listed period, which is over.
    pub fn is_past_a_period(&self, name: &str) -> bool {
        let mut newer = &self.segments[..];
        while let Some(last) = newer.last() {
            if let Some(number) = last.period.number(name) {
                return last.complete && number > last.sequence;
            }
            let first = last.period.sequence;
            newer = &newer[..newer.partition_point(|segment| segment.sequence < first)];
        }
        false
    }
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Object {
    /// An init segment.
    Init(Arc<InitSegment>),
    /// A finished part.
    Part(Arc<Part>),
    /// A finished segment.
    Segment(Arc<Segment>),
    /// The part that comes next: hold the request until the position passes this one.
    NextPart(Position),
    /// The growing segment: hold the request until it is complete, which is when the sequence passes this one.
    GrowingSegment(u64),
    /// A segment at the address at which it can be had while it grows.
    Chunked(Chunked),
}

/// How far a segment is that can be had while it grows.
#[derive(Clone, Debug)]
pub enum Chunked {
    /// It is complete.
    Complete(Arc<Segment>),
    /// It grows: send its chunks as they come.
    Growing(Chunks),
    /// It comes next: hold the request until it grows.
    Next,
}
