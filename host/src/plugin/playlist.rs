use std::time::Duration;

use bytes::Bytes;

use super::CallError;
use crate::live::Position;

/// What the playlist plugins together ask of the packager; what none of them cares about is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimingRequest {
    /// Wanted length of a segment.
    pub segment: Option<Duration>,
    /// Longest length of a part.
    pub part: Option<Duration>,
    /// How much media documents list.
    pub window: Option<Duration>,
}

/// Which parts of a request a document is written from. Names are exact, header names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Query parameters.
    pub query: Vec<String>,
    /// Header fields.
    pub headers: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
}

/// The media type of an MPD.
const MPD: &str = "application/dash+xml";

/// Where a document lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `/cam/PATH`.
    Stream,
    /// `/cam/PRESENTATION/PATH`.
    Presentation,
}

/// A document that a plugin writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSpec {
    /// File name.
    pub path: String,
    /// Where it lies.
    pub scope: Scope,
    /// Media type.
    pub content_type: String,
    /// What its text depends on, besides the position.
    pub reads: Inputs,
    /// While it can't be written, the last good text goes out for as long as a cache might keep it.
    pub stale_if_error: bool,
}

impl DocumentSpec {
    /// It is for DASH, and so wants the names of segments as one template.
    pub(super) fn is_mpd(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        essence.trim_end().eq_ignore_ascii_case(MPD)
    }
}

/// The declared inputs of one request, and so, with document and position, the key under which its answer is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Request {
    /// Declared query parameters, percent-decoded, in the order of the request.
    pub query: Vec<(String, String)>,
    /// Declared header fields.
    pub headers: Vec<(String, String)>,
    /// Declared cookies.
    pub cookies: Vec<(String, String)>,
}

/// What a plugin says to a request for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text.
    Document {
        /// UTF-8.
        body: Bytes,
        /// Seconds that a cache may keep it.
        max_age: u32,
    },
    /// Ask again at this position, or when the presentation has ended. It has not been reached, and the presentation
    /// has not ended, in the snapshot that was rendered.
    Wait(Position),
    /// No.
    Refuse {
        /// 400 to 599.
        status: u16,
        /// One line.
        reason: String,
    },
}

/// Why there is no document.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenderError {
    /// The plugin gave no usable answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No plugin writes this document.
    #[error("no plugin writes `{document}`")]
    NoWriter {
        /// The document's path.
        document: String,
    },
}
