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

impl Chunk {
    /// Its bytes, in order.
    pub fn pieces(self) -> [Bytes; 2] {
        [self.head, self.sample]
    }
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
            .flat_map(|chunk| chunk.clone().pieces())
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

/// A stretch of segments that continue each other, under addresses of its own: a DASH Period.
#[derive(Debug)]
pub struct Period {
    /// Media sequence number of its first segment.
    pub sequence: u64,
    /// Presentation time of that segment's first sample.
    pub start: MediaTime,
    /// Length of its segments, where each begins within half of that from where it would if none were shorter or longer.
    pub segment: Option<Duration>,
    /// Nominal length of a chunk.
    pub chunk: Duration,
    /// Names of its segments at which they can be had chunk by chunk, with `$Number$`, relative to the presentation's
    /// directory.
    pub template: Option<Arc<str>>,
}

impl Period {
    /// Whether a segment of this number may begin there. A quarter, since a half is what is promised.
    pub(super) fn has_place_for(&self, sequence: u64, start: MediaTime) -> bool {
        let Some(segment) = self.segment else {
            return true;
        };
        let count = u32::try_from(sequence - self.sequence).unwrap_or(u32::MAX);
        let place = self.start.after(segment.saturating_mul(count));
        Duration::from_micros(place.0.abs_diff(start.0)) * 4 <= segment
    }

    /// How long its segments have been, up to one that begins there; `None` if they were too few to tell that they are of
    /// one length.
    pub(super) fn measured(&self, sequence: u64, start: MediaTime) -> Option<Duration> {
        const ENOUGH: u32 = 30;
        let count = u32::try_from(sequence - self.sequence).ok()?;
        (count >= ENOUGH).then(|| start.since(self.start) / count)
    }

    /// Under which name a segment can be had chunk by chunk.
    pub fn chunked(&self, sequence: u64) -> Option<Arc<str>> {
        let template = self.template.as_deref()?;
        Some(template.replace(NUMBER, &sequence.to_string()).into())
    }

    /// The media sequence number of the segment that would be had under this name.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let (before, after) = self.template.as_deref()?.split_once(NUMBER)?;
        let digits = name.strip_prefix(before)?.strip_suffix(after)?;
        let number = digits.parse().ok()?;
        (self.chunked(number).as_deref() == Some(name)).then_some(number)
    }
}

/// What stands for the media sequence number in a template (ISO/IEC 23009-1, 5.3.9.4.4).
pub(super) const NUMBER: &str = "$Number$";

/// A segment, finished or growing. The growing one is replaced with every part.
#[derive(Debug)]
pub struct Segment {
    /// Media sequence number.
    pub sequence: u64,
    /// Name, relative to the presentation's directory.
    pub path: Arc<str>,
    /// To which period it belongs.
    pub period: Arc<Period>,
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
            period: self.period.clone(),
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
