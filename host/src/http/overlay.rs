use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    StatusCode,
    http::{HeaderValue, request::Parts},
};
use tokio::{sync::watch, time::Instant};

use super::{
    conditions::Conditions,
    document::{Document, FAST},
    hold::{self, LetGo, Phase},
    query,
    reply::{self, Bytewise, DocumentFields, Response},
};
use crate::overlay::{Board, Sheet};

/// How long who asks for what is new is held where nothing is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Texts of one version that are kept: what is new since the version before, since the one before that, and so on, and all
/// for who is new. Beyond that, somebody makes numbers up, and gets a text of his own.
const KEPT: usize = 32;

/// Drawings for the page to show over the video: `/cam/overlay` is what holds, `/cam/overlay?after=VERSION` what is new
/// since that, held until something is; `/cam/overlay/NAME.png` are the images in them.
///
/// All who ask the same of one version share one text.
pub(super) struct Overlay {
    board: Option<Arc<Board>>,
    texts: Mutex<Texts>,
}

#[derive(Default)]
struct Texts {
    version: u64,
    /// By what is known already.
    since: HashMap<Option<u64>, Arc<Document>>,
}

/// What is asked for.
pub(super) enum Wanted {
    /// What is new since a version, or everything.
    Drawings(Option<u64>),
    /// An image.
    Image(Box<str>),
}

impl Wanted {
    /// Reads a request for `/cam/overlay`, or for what lies below it.
    pub(super) fn of(request: &Parts, below: Option<&str>) -> Result<Self, Box<Response>> {
        if let Some(name) = below {
            return Ok(Self::Image(name.into()));
        }
        let declared = ["after".to_owned()];
        let bad = |text: String| Box::new(reply::line(StatusCode::BAD_REQUEST, text));
        let values = query::parse(request.uri.query().unwrap_or_default(), &declared)
            .map_err(|error| bad(error.to_string()))?;
        let after = values.last().map(|(_, value)| value);
        match after.map(|value| value.parse()).transpose() {
            Ok(after) => Ok(Self::Drawings(after)),
            Err(_) => Err(bad(
                "`after` is the `version` of the answer before: a whole number".to_owned(),
            )),
        }
    }
}

impl Overlay {
    /// Of this board; nothing is drawn without one.
    pub(super) fn new(board: Option<Arc<Board>>) -> Self {
        Self {
            board,
            texts: Mutex::default(),
        }
    }

    pub(super) async fn respond(
        &self,
        wanted: Wanted,
        conditions: &Conditions,
        phase: &mut watch::Receiver<Phase>,
    ) -> Response {
        let Some(board) = &self.board else {
            return match wanted {
                // Not an error: the page asks everywhere.
                Wanted::Drawings(_) => reply::nothing(),
                Wanted::Image(_) => reply::not_found("nothing is drawn on this stream"),
            };
        };
        match wanted {
            Wanted::Image(name) => image(&board.sheet(), &name, conditions),
            Wanted::Drawings(None) => self.drawings(&board.sheet(), None, conditions),
            Wanted::Drawings(Some(known)) => {
                let mut sheets = board.watch();
                let deadline = Instant::now() + PATIENCE;
                // A version of another run of the host may be later than ours: it isn't waited for.
                let news = sheets.wait_for(|sheet| sheet.version != known);
                let sheet = match hold::hold(deadline, phase, news).await {
                    Ok(Ok(sheet)) => sheet.clone(),
                    Ok(Err(_)) | Err(LetGo::TimedOut) => board.sheet(),
                    Err(why) => return reply::let_go(why),
                };
                self.drawings(&sheet, Some(known), conditions)
            }
        }
    }

    fn drawings(&self, sheet: &Sheet, known: Option<u64>, conditions: &Conditions) -> Response {
        let cache_control = match known {
            // What was new a moment ago leads on to what is new now.
            Some(_) => reply::max_age(1, false),
            None => HeaderValue::from_static("no-cache"),
        };
        let fields = DocumentFields {
            cache_control,
            vary: None,
            priority: Some(HeaderValue::from_static("u=3")),
        };
        reply::document(&self.text(sheet, known), fields, conditions)
    }

    fn text(&self, sheet: &Sheet, known: Option<u64>) -> Arc<Document> {
        // Held for a look-up, never while a text is made. A thread that panicked here left texts that are true.
        let texts = || self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let texts = texts();
            if texts.version == sheet.version
                && let Some(text) = texts.since.get(&known)
            {
                return text.clone();
            }
        }
        let content_type = HeaderValue::from_static("application/json");
        let text = Document::new(sheet.since(known), content_type, 0, FAST);
        let text = Arc::new(text);
        let mut texts = texts();
        if texts.version < sheet.version {
            texts.version = sheet.version;
            texts.since.clear();
        }
        if texts.version == sheet.version && texts.since.len() < KEPT {
            texts.since.insert(known, text.clone());
        }
        text
    }
}

fn image(sheet: &Sheet, name: &str, conditions: &Conditions) -> Response {
    let Some(png) = sheet.image(name) else {
        return reply::not_found("no drawing that is shown has an image of this name");
    };
    let bytes = png.bytes().clone();
    let bytewise = Bytewise {
        content_type: HeaderValue::from_static("image/png"),
        // The name is made from what is in it.
        cache_control: reply::max_age(86_400, true),
        etag: super::document::etag(name),
        priority: HeaderValue::from_static("u=3"),
        len: bytes.len() as u64,
    };
    bytewise.respond(conditions, |range| match range {
        None => bytes.into(),
        Some((start, end)) => bytes.slice(start as usize..end as usize).into(),
    })
}
