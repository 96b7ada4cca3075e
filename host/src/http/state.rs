use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::http::HeaderValue;
use tokio::sync::watch;

use super::{
    counts::Counts,
    document::{self, Document},
    documents::Documents,
    pass::Guard,
};
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
    /// What `/` answers.
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

/// The page at `/`.
pub struct Page(pub(super) Document);

impl Page {
    /// The page as one HTML file, compressed once, here.
    pub fn new(html: Bytes) -> Self {
        let content_type = HeaderValue::from_static("text/html; charset=utf-8");
        Self(Document::new(html, content_type, 0, document::BEST))
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
