use std::{pin::pin, sync::Arc};

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Incoming,
    header::CONNECTION,
    http::{HeaderValue, request::Parts},
};
use tokio::{sync::watch, time::Instant};

use super::{
    conditions::Conditions,
    counts::{Counts, Kind, Traffic},
    document::Document,
    documents::{Cache, Reply},
    endless,
    hold::{self, FIRST_PICTURE, Phase},
    knock::{self, Address, Knock, NoAddress},
    listen::{Peer, Site},
    media,
    overlay::{self, Overlay},
    pass::{self, Guard, Pass},
    query,
    reply::{self, DocumentFields, Response},
    state::{Health, Page},
    stills,
};
use crate::{
    live::{Live, Snapshot},
    plugin::{DocumentSpec, Inputs, Reads, Request, Scope},
    stills::Stills,
    time::Monotonic,
};

/// What answers are made from, shared by all connections.
pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) cache: Arc<Cache>,
    pub(super) guard: Arc<dyn Guard>,
    pub(super) overlay: Overlay,
    pub(super) stills: Arc<Stills>,
    pub(super) page: Page,
    pub(super) health: watch::Receiver<Health>,
    pub(super) counts: Arc<Counts>,
}

/// A request, read: it owns little, and nothing of the connection's buffer.
pub(super) struct Asked {
    wanted: Wanted,
    /// What is to be asked before. `None` where nothing is.
    knock: Option<Box<Knock>>,
    conditions: Conditions,
    /// It came over TLS.
    tls: bool,
}

enum Wanted {
    /// A file of the page.
    Page(usize),
    Health,
    Document {
        /// Of which presentation; `None` for whichever is current.
        presentation: Option<Box<str>>,
        documents: Arc<[DocumentSpec]>,
        index: usize,
        request: Request,
    },
    Media {
        presentation: Box<str>,
        name: Box<str>,
    },
    Overlay(overlay::Wanted),
    Time,
    /// `/cam/live.mp4`.
    Endless,
    /// `/cam/snapshot.jpg`.
    Snapshot,
    /// `/cam/mjpeg`.
    Motion,
    /// The response is clear already.
    Done(Box<Response>),
}

impl Wanted {
    fn kind(&self) -> Kind {
        match self {
            Self::Page(_) => Kind::Page,
            Self::Health => Kind::Health,
            Self::Document { .. } | Self::Time | Self::Overlay(overlay::Wanted::Drawings(_)) => {
                Kind::Document
            }
            Self::Media { .. }
            | Self::Endless
            | Self::Snapshot
            | Self::Motion
            | Self::Overlay(overlay::Wanted::Image(_)) => Kind::Media,
            Self::Done(_) => Kind::Other,
        }
    }
}

impl Site for Shared {
    type Asked = Asked;

    fn read(&self, head: &Parts, body: Incoming, peer: Peer) -> Asked {
        let (wanted, knock) = match self.at_the_door(head, body, peer) {
            Ok((address, knock)) => {
                let wanted = self.wanted(head, &address.path);
                (wanted.unwrap_or_else(Wanted::Done), knock.map(Box::new))
            }
            Err(response) => (Wanted::Done(response), None),
        };
        Asked {
            wanted,
            knock,
            conditions: Conditions::of(&head.method, &head.headers),
            tls: peer.tls,
        }
    }

    async fn answer(&self, asked: Asked, phase: &mut watch::Receiver<Phase>) -> Response {
        let _waiting = self.counts.waiting.enter();
        let kind = asked.wanted.kind();
        let (head, tls) = (asked.conditions.head, asked.tls);
        let mut response = self.respond(asked, phase).await;
        if tls {
            reply::keep_cookies_secure(&mut response);
        }
        if head {
            response = reply::header_only(response);
        }
        self.counts.requests.answered(kind, response.status());
        response
    }

    /// Whoever watches over the stream gets his answer all the same.
    fn refuse(&self, asked: Asked) -> Response {
        let kind = asked.wanted.kind();
        let mut response = match asked.wanted {
            Wanted::Health => self.health(),
            _ => reply::unavailable("too many viewers at once; the operator can permit more"),
        };
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        self.counts.requests.answered(kind, response.status());
        if asked.conditions.head {
            return reply::header_only(response);
        }
        response
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.counts.traffic
    }
}

impl Shared {
    /// What is asked for, and the request for permission that comes before. What needs none is answered here: it is the
    /// same for everybody, and says nothing of what there is.
    fn at_the_door(
        &self,
        head: &Parts,
        body: Incoming,
        peer: Peer,
    ) -> Result<(Address, Option<Knock>), Box<Response>> {
        let reads = self.guard.reads();
        let forms = reads.iter().any(Reads::takes_forms);
        // CORS asks without credentials whether it may ask with some.
        if head.method == Method::OPTIONS {
            return Err(reply::options(forms).into());
        }
        if ![Method::GET, Method::HEAD, Method::POST].contains(&head.method) {
            return Err(reply::method_not_allowed(forms).into());
        }
        let address = Address::of(head.uri.path()).map_err(|why| match why {
            NoAddress::Undecodable => Box::new(reply::not_found(
                "no address here has such characters in it",
            )),
            NoAddress::NoSlash(location) => {
                Box::new(reply::with_slash(&location, head.uri.query()))
            }
        })?;
        let reads = match &*address.path {
            "/healthz" => Arc::default(),
            _ => reads,
        };
        let knock = Knock::read(reads, head, body, &address, peer.ip)
            .map_err(|why| Box::new(pass::unreadable(why)))?;
        Ok((address, knock))
    }

    fn wanted(&self, request: &Parts, path: &str) -> Result<Wanted, Box<Response>> {
        let below = match path {
            "/healthz" => return Ok(Wanted::Health),
            path => path.strip_prefix("/cam/"),
        };
        if let Some(file) = self.page.find(path) {
            return Ok(Wanted::Page(file));
        }
        let documents = self.cache.documents();
        let below = below.ok_or_else(|| Box::new(no_such_address(&documents)))?;
        let (presentation, name) = match below.split_once('/') {
            Some((presentation, name)) => (Some(presentation), name),
            None => (None, below),
        };
        // No presentation is called that, and no document.
        match (presentation, name) {
            (None, "time") => return Ok(Wanted::Time),
            (None, "live.mp4") => return Ok(Wanted::Endless),
            (None, "snapshot.jpg") => return Ok(Wanted::Snapshot),
            (None, "mjpeg") => return Ok(Wanted::Motion),
            (None, "overlay") => return overlay::Wanted::of(request, None).map(Wanted::Overlay),
            (Some("overlay"), image) => {
                return overlay::Wanted::of(request, Some(image)).map(Wanted::Overlay);
            }
            _ => {}
        }
        let scope = match presentation {
            Some(_) => Scope::Presentation,
            None => Scope::Stream,
        };
        let found = documents
            .iter()
            .position(|document| document.scope == scope && document.path == name);
        match (found, presentation) {
            (Some(index), _) => {
                let query = request.uri.query().unwrap_or_default();
                let request = inputs(query, &request.headers, &documents[index].reads)?;
                Ok(Wanted::Document {
                    presentation: presentation.map(Box::from),
                    index,
                    request,
                    documents,
                })
            }
            (None, Some(presentation)) => Ok(Wanted::Media {
                presentation: presentation.into(),
                name: name.into(),
            }),
            (None, None) => Err(no_such_address(&documents).into()),
        }
    }

    /// Asks for permission, and then for what is wanted, for as long as the permission holds.
    async fn respond(&self, asked: Asked, phase: &mut watch::Receiver<Phase>) -> Response {
        let Asked {
            wanted,
            knock,
            conditions,
            tls: _,
        } = asked;
        let Some(knock) = knock else {
            return self.look_up(wanted, &conditions, phase).await;
        };
        let mut pass = match Pass::ask(&*self.guard, *knock, phase).await {
            Ok(pass) => pass,
            Err(response) => return response,
        };
        let mut phase_of_asking = phase.clone();
        let mut response = pin!(self.look_up(wanted, &conditions, phase));
        loop {
            tokio::select! {
                biased;
                mut response = &mut response => {
                    pass.sign(&mut response);
                    let guard = self.guard.clone();
                    return response.map(|body| {
                        body.within(|work| pass.cover(guard, phase_of_asking, work))
                    });
                }
                // It may be renewed, so that a player notices nothing.
                () = pass.ended() => {
                    if let Err(response) = pass.renew(&*self.guard, &mut phase_of_asking).await {
                        return response;
                    }
                }
            }
        }
    }

    async fn look_up(
        &self,
        wanted: Wanted,
        conditions: &Conditions,
        phase: &mut watch::Receiver<Phase>,
    ) -> Response {
        match wanted {
            Wanted::Done(response) => *response,
            Wanted::Health => self.health(),
            Wanted::Page(file) => self.page(file, conditions),
            Wanted::Document {
                presentation,
                documents,
                index,
                request,
            } => match self.window(presentation.as_deref(), phase).await {
                Ok(window) => {
                    self.document(documents, index, request, window, conditions, phase)
                        .await
                }
                Err(response) => response,
            },
            Wanted::Media { presentation, name } => match self.live.presentation(&presentation) {
                Some(window) => media::respond(&self.live, window, &name, conditions, phase).await,
                None => gone(),
            },
            Wanted::Time => match self.window(None, phase).await {
                Ok(window) => reply::time(window.presentation.clock.wall(Monotonic::now())),
                Err(response) => response,
            },
            Wanted::Endless => endless::respond(&self.live, &self.health, phase).await,
            Wanted::Snapshot => {
                let first = async { self.window(None, phase).await.map(drop) };
                stills::snapshot(&self.stills, first, conditions).await
            }
            Wanted::Motion => stills::motion(&self.stills, &self.health, phase).await,
            Wanted::Overlay(wanted) => self.overlay.respond(wanted, conditions, phase).await,
        }
    }

    /// The window of a presentation, or the current one, which is waited for.
    async fn window(
        &self,
        presentation: Option<&str>,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<Arc<Snapshot>, Response> {
        if let Some(id) = presentation {
            return self.live.presentation(id).ok_or_else(gone);
        }
        if let Some(window) = self.live.current() {
            return Ok(window);
        }
        let mut windows = self.live.subscribe();
        let deadline = Instant::now() + FIRST_PICTURE;
        let first = hold::hold(deadline, phase, windows.wait_for(Option::is_some)).await;
        match first.map(|window| window.ok().and_then(|window| window.clone())) {
            Ok(Some(window)) => Ok(window),
            Ok(None) => Err(reply::unavailable("the stream is not published any more")),
            Err(hold::LetGo::TimedOut) => Err(reply::unavailable(
                "no picture has been published yet; ask again in a moment",
            )),
            Err(why) => Err(reply::let_go(why)),
        }
    }

    async fn document(
        &self,
        documents: Arc<[DocumentSpec]>,
        index: usize,
        request: Request,
        window: Arc<Snapshot>,
        conditions: &Conditions,
        phase: &mut watch::Receiver<Phase>,
    ) -> Response {
        let deadline = Instant::now() + hold::longest(&window.presentation);
        let work = self.cache.get(documents.clone(), index, request, window);
        match hold::hold(deadline, phase, work).await {
            Ok(Reply::Document(document)) => {
                self::document(&document, document.max_age, &documents[index], conditions)
            }
            Ok(Reply::Late(document)) => {
                let left = document.fresh_for().unwrap_or(0);
                self::document(&document, left, &documents[index], conditions)
            }
            Ok(Reply::Refused(status, reason)) => {
                let status = StatusCode::from_u16(status)
                    .ok()
                    .filter(|status| status.is_client_error() || status.is_server_error())
                    .unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                reply::line(status, reason.to_string())
            }
            Ok(Reply::Failed) => {
                reply::unavailable("the plugin that writes this document fails; ask again")
            }
            Err(why) => reply::let_go(why),
        }
    }

    fn page(&self, file: usize, conditions: &Conditions) -> Response {
        let fields = DocumentFields {
            // It's small, and after an upgrade nobody wants the old one: ask every time, and get 304.
            cache_control: HeaderValue::from_static("no-cache"),
            vary: None,
            priority: None,
        };
        reply::document(&self.page.0[file].1, fields, conditions)
    }

    fn health(&self) -> Response {
        match &*self.health.borrow() {
            _ if self.live.current().is_none() => {
                reply::unavailable("starting: no picture has been published yet")
            }
            Health::Live => reply::line(StatusCode::OK, "ok"),
            Health::Starting => reply::unavailable("starting: the camera has sent no picture yet"),
            Health::CameraLost(why) => reply::unavailable(format!("the camera is lost: {why}")),
            Health::Ended => reply::unavailable("the source has come to its end"),
        }
    }
}

fn document(
    document: &Document,
    max_age: u32,
    spec: &DocumentSpec,
    conditions: &Conditions,
) -> Response {
    let fields = DocumentFields {
        cache_control: reply::max_age(max_age, false),
        vary: vary(&spec.reads),
        priority: Some(HeaderValue::from_static("u=1")),
    };
    reply::document(document, fields, conditions)
}

fn gone() -> Response {
    reply::not_found("this presentation is over, or never was; open the playlist anew")
}

fn no_such_address(documents: &[DocumentSpec]) -> Response {
    let names: Vec<String> = documents
        .iter()
        .filter(|document| document.scope == Scope::Stream)
        .map(|document| format!(", /cam/{}", document.path))
        .collect();
    reply::not_found(format!(
        "no such address; there are / (the page), /cam/live.mp4, /cam/snapshot.jpg, /cam/mjpeg{}",
        names.concat()
    ))
}

/// The declared inputs of a request.
fn inputs(query: &str, headers: &HeaderMap, reads: &Inputs) -> Result<Request, Box<Response>> {
    let query = query::parse(query, &reads.query)
        .map_err(|error| Box::new(reply::line(StatusCode::BAD_REQUEST, error.to_string())))?;
    let mut request = Request {
        query: query::canonical(query),
        ..Request::default()
    };
    for name in &reads.headers {
        for value in knock::texts(headers, name) {
            request.headers.push((name.clone(), value.to_owned()));
        }
    }
    for (name, value) in knock::cookies(headers, &reads.cookies) {
        request.cookies.push((name.to_owned(), value.to_owned()));
    }
    Ok(request)
}

/// The request fields that change a document.
fn vary(reads: &Inputs) -> Option<String> {
    let mut fields: Vec<&str> = reads.headers.iter().map(String::as_str).collect();
    if !reads.cookies.is_empty() {
        fields.push("cookie");
    }
    (!fields.is_empty()).then(|| fields.join(", "))
}
