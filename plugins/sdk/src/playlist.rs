//! The `playlist` hook: timing, documents, and their text.

pub use crate::bindings::playlist::exports::picam::plugin::playlist::{
    Answer, Document, Part, Period, Presentation, Rendition, Request, Scope, Segment, Text, Timing,
    TimingRequest,
};
use crate::{Inputs, Plugin, Position, Refusal};

/// A query parameter that the host sets (to `yes`) when what is written will lie in a directory as a file: nobody can wait
/// for it, nothing can be asked for before it is complete, and no other address of the host exists there. Documents that
/// declare it, and those that read nothing, are written as files where that is configured; a plugin with any other document
/// is left out.
pub const AS_FILE: &str = "as-file";

/// Decides the timing of a stream, which documents it has, and what they say.
pub trait Playlist: Plugin {
    /// What timing the plugin wants. Asked once, after the start. Whatever is left out, others decide.
    fn wanted_timing(&self) -> TimingRequest {
        TimingRequest {
            segment: None,
            part: None,
            window: None,
        }
    }

    /// The documents it writes. Asked once, after the start.
    fn documents(&self) -> Vec<Document>;

    /// Writes a document. Called once per document, declared inputs and position, so the text must depend on nothing
    /// else.
    fn render(&mut self, request: &Request, presentation: &Presentation) -> Answer;
}

impl Document {
    /// A document whose text depends on the given query parameters, and on nothing else of a request.
    pub fn new(path: &str, scope: Scope, content_type: &str, query: &[&str]) -> Self {
        Self {
            path: path.into(),
            scope,
            content_type: content_type.into(),
            reads: Inputs::none().query(query),
        }
    }
}

impl Answer {
    /// The text of the document, and for how many seconds a cache may keep it.
    pub fn text(body: String, max_age: u32) -> Self {
        Self::Document(Text { body, max_age })
    }

    /// A refusal: an HTTP status, and a line that says what was wrong and what would be right.
    pub fn refuse(status: u16, reason: impl Into<String>) -> Self {
        Self::Refuse(Refusal {
            status,
            reason: reason.into(),
        })
    }
}

impl Rendition {
    /// Where the newest finished part stands: `parts` is its index within the segment `sequence`. None while there
    /// isn't one, or the host has forgotten the segment that it would be in.
    ///
    /// The position names the part that comes next; at the very beginning of a segment the newest part is the last
    /// one of the segment before.
    pub fn newest_part(&self) -> Option<Position> {
        let Position { sequence, parts } = self.position;
        if parts > 0 {
            return Some(Position {
                sequence,
                parts: parts - 1,
            });
        }
        let before = self.segment(sequence.checked_sub(1)?)?;
        let count = u32::try_from(before.parts.len()).ok()?;
        Some(Position {
            sequence: before.sequence,
            parts: count.checked_sub(1)?,
        })
    }

    /// Peak and average bits a second, as EXT-X-STREAM-INF states them. The peak is never below the average, nor below
    /// what a segment that is still growing is seen to need before there is a complete one to be measured.
    pub fn bandwidth(&self) -> (u64, u64) {
        let so_far = || {
            let (bits, micros) = self
                .segments
                .iter()
                .fold((0u64, 0u64), |(bits, micros), segment| {
                    (bits + segment.size * 8, micros + segment.duration)
                });
            (bits * 1_000_000).div_ceil(micros.max(1)).max(1)
        };
        let average = match self.average_bitrate {
            0 => so_far(),
            average => average,
        };
        (self.peak_bitrate.max(average), average)
    }

    /// The complete segments: all but the one that grows, which is the last.
    pub fn complete(&self) -> &[Segment] {
        match self.segments.split_last() {
            Some((last, before)) if !last.complete => before,
            _ => &self.segments,
        }
    }

    /// The segment of that media sequence number, if it is listed.
    pub fn segment(&self, sequence: u64) -> Option<&Segment> {
        self.segments
            .iter()
            .rfind(|segment| segment.sequence == sequence)
    }
}
