use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    h264::ParameterSets,
    time::{MediaTime, Wall},
};

/// A CMAF chunk: `prft`, `moof` and the head of `mdat` in one piece of memory, the access unit as it came in the other.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Boxes up to the first byte of the sample.
    pub head: Bytes,
    /// The sample: [`AccessUnit::data`](crate::h264::AccessUnit::data), the same memory.
    pub sample: Bytes,
}

/// Bytes to be sent, in pieces that are shared with whoever else sends them.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// The pieces, in order; none is empty.
    pub pieces: Vec<Bytes>,
    /// Sum of their lengths.
    pub len: u64,
}

impl Media {
    /// The chunks' bytes, in order.
    pub fn of<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> Self {
        let pieces: Vec<_> = chunks
            .into_iter()
            .flat_map(|chunk| [chunk.head.clone(), chunk.sample.clone()])
            .collect();
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, len }
    }

    /// All of these, one after the other, sharing their memory.
    pub fn joined<'a>(all: impl IntoIterator<Item = &'a Media>) -> Self {
        let mut joined = Self::default();
        for media in all {
            joined.pieces.extend(media.pieces.iter().cloned());
            joined.len += media.len;
        }
        joined
    }

    /// The bytes from `start` to before `end`, sharing memory with these.
    ///
    /// `start <= end <= len` is the caller's to check.
    pub fn slice(&self, start: u64, end: u64) -> Self {
        let mut pieces = Vec::new();
        let mut at = 0u64;
        for piece in &self.pieces {
            let next = at + piece.len() as u64;
            let (from, to) = (start.clamp(at, next) - at, end.clamp(at, next) - at);
            if from < to {
                pieces.push(piece.slice(from as usize..to as usize));
            }
            at = next;
        }
        Self {
            pieces,
            len: end - start,
        }
    }
}

/// A finished part: a run of chunks within one segment.
#[derive(Debug)]
pub struct Part {
    /// Name, relative to the presentation's directory.
    pub path: Arc<str>,
    /// Sum of the samples' durations.
    pub duration: Duration,
    /// It holds an IDR picture.
    pub independent: bool,
    /// Its bytes.
    pub media: Media,
}

/// A segment, finished or growing. The growing one is replaced with every part.
#[derive(Debug)]
pub struct Segment {
    /// Media sequence number.
    pub sequence: u64,
    /// Name, relative to the presentation's directory.
    pub path: Arc<str>,
    /// What it needs to be decoded.
    pub init: Arc<InitSegment>,
    /// Presentation time of its first sample.
    pub start: MediaTime,
    /// When its first picture was captured, by the wall clock as it was known when the segment began.
    pub captured: Wall,
    /// Sum of the finished parts' durations.
    pub duration: Duration,
    /// It doesn't continue the segment before, in time or in coding.
    pub discontinuity: bool,
    /// It shows the slate, since the camera is lost: when its last picture was captured.
    pub lost_since: Option<Wall>,
    /// No part will follow.
    pub complete: bool,
    /// The finished parts. Empty once they have become too old to be asked for; the bytes are then in `media` alone.
    pub parts: Vec<Arc<Part>>,
    /// All of its bytes, once complete.
    pub media: Media,
}

impl Segment {
    /// The same segment, whose parts can't be asked for any more.
    pub(super) fn without_parts(&self) -> Self {
        Self {
            path: self.path.clone(),
            init: self.init.clone(),
            parts: Vec::new(),
            media: self.media.clone(),
            ..*self
        }
    }
}

/// An init segment: `ftyp` and `moov`.
#[derive(Debug)]
pub struct InitSegment {
    /// Name, relative to the presentation's directory.
    pub path: Arc<str>,
    /// Its bytes.
    pub data: Bytes,
    /// What it was made from.
    pub parameter_sets: Arc<ParameterSets>,
}
