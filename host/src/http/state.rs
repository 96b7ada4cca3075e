use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::http::HeaderValue;
use tokio::sync::watch;

use super::{counts::Counts, document::Document, documents::Documents, pass::Guard};
use crate::{live::Live, overlay::Board};

/// What the viewers' server serves, and within which limits.
pub struct State {
    /// The live window.
    pub live: Arc<Live>,
    /// Who writes the documents.
    pub documents: Arc<dyn Documents>,
    /// Who decides who may watch.
    pub guard: Arc<dyn Guard>,
    /// What is drawn on the picture, for the page to show over the video; `None` if nobody draws.
    pub overlay: Option<Arc<Board>>,
    /// What `/` answers, and what lies beside it.
    pub page: Page,
    /// What `/healthz` answers.
    pub health: watch::Receiver<Health>,
    /// Limits.
    pub limits: Limits,
    /// Where it counts what it does.
    pub counts: Arc<Counts>,
}

/// How the stream is doing: 200 on `/healthz` for [`Health::Live`], 503 for everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No picture has been published yet.
    #[default]
    Starting,
    /// Pictures come from the camera.
    Live,
    /// The slate is shown. The text says what is the matter, in one line.
    CameraLost(String),
    /// The source came to its end.
    Ended,
}

/// The page at `/`, and what it loads from beside it.
#[derive(Debug, Default)]
pub struct Page(pub(super) Vec<(&'static str, Document)>);

/// A file of the page, as it was built into the program.
#[derive(Clone, Copy, Debug)]
pub struct PageFile {
    /// Its address; begins with a slash.
    pub path: &'static str,
    /// What it is.
    pub content_type: &'static str,
    /// Its bytes.
    pub text: &'static [u8],
    /// The same, for `Content-Encoding: gzip`.
    pub gzip: &'static [u8],
    /// Tells its versions apart; without quotes.
    pub tag: &'static str,
}

impl Page {
    /// A page of these files.
    pub fn new(files: &[PageFile]) -> Self {
        let document = |file: &PageFile| {
            let content_type = HeaderValue::from_static(file.content_type);
            let text = Bytes::from_static(file.text);
            let gzip = Bytes::from_static(file.gzip);
            let document = Document::built(content_type, text, gzip, file.tag);
            (file.path, document)
        };
        Self(files.iter().map(document).collect())
    }

    /// Which of its files is at this address.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| *known == path)
    }
}

/// What a viewer may use up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. Some more are answered with 503; those beyond are closed unread.
    pub connections: usize,
    /// How long a viewer may take from the first byte of a request's header to its last, and from connecting to his
    /// first request.
    pub header: Duration,
    /// How long a connection may be without a request.
    pub idle: Duration,
    /// How long a viewer may take no byte of what is sent to him.
    pub stall: Duration,
    /// How long running responses may take when the server stops.
    pub stop: Duration,
}

impl Default for Limits {
    /// Room for 10,000 held requests, each on a connection of its own, and then some. A viewer's pause between two
    /// requests is a few seconds at most, unless he paused the video.
    fn default() -> Self {
        Self {
            connections: 12_000,
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            stop: Duration::from_secs(5),
        }
    }
}
