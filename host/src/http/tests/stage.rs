//! A stream without a camera: windows made by hand, documents written by a policy in Rust.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, body::Incoming, http::HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::{
    h264::ParameterSets,
    http::{
        Asking, Counts, Documents, Guard, Health, Limits, Page, Rendering, Server, State,
        connection::{self, Admission},
        document::{Document, FAST},
        documents::Cache,
        hold::Phase,
        listen::Peer,
        overlay::Overlay,
        route::Shared,
    },
    live::{
        InitSegment, Live, Media, Object, Part, Period, Position, Presentation, Rendition, Segment,
        Snapshot, Timing,
    },
    overlay::Board,
    plugin::{self, Answer, CallError, DocumentSpec, Inputs, Permit, Reads, Scope, Verdict, Visit},
    stills::Stills,
    time::{MediaTime, Monotonic, PresentationClock, Wall},
};

/// Parts of a complete segment.
pub const PARTS: u32 = 3;

/// Who is at the other end of a pipe.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// The wall clock at presentation time 0.
pub const EPOCH: Wall = Wall(1_780_000_000_000_000);

/// Three of these is how long requests are held.
pub const TARGET_DURATION: u32 = 2;

/// What stands in a media object: its name, over and over, in pieces of odd lengths.
pub fn content(name: &str) -> Vec<u8> {
    format!("{name};").repeat(300).into_bytes()
}

fn media(name: &str) -> Media {
    let content = Bytes::from(content(name));
    let pieces: Vec<Bytes> = content
        .chunks(97)
        .map(|piece| content.slice_ref(piece))
        .collect();
    Media {
        pieces,
        len: content.len() as u64,
    }
}

/// Segments 0 to before `sequence`, and `parts` parts of that one; the part serials run through.
pub fn window(id: &str, sequence: u64, parts: u32, ended: bool) -> Snapshot {
    let init = Arc::new(InitSegment {
        path: "init.mp4".into(),
        data: content("init.mp4").into(),
        parameter_sets: Arc::new(ParameterSets::example(1280)),
    });
    let period = Arc::new(Period {
        sequence: 0,
        start: MediaTime(0),
        segment: None,
        chunk: Duration::from_millis(40),
        template: Some("chunked/0/s$Number$.m4s".into()),
    });
    let mut objects = HashMap::new();
    objects.insert(init.path.clone(), Object::Init(init.clone()));
    let mut segments = Vec::new();
    for number in 0..=sequence {
        let complete = number < sequence;
        let path: Arc<str> = format!("s{number}.m4s").into();
        let count = if complete { PARTS } else { parts };
        let parts: Vec<Arc<Part>> = (0..count)
            .map(|part| {
                let path: Arc<str> = format!("p{}.m4s", serial(number, part)).into();
                Arc::new(Part {
                    media: media(&path),
                    path,
                    duration: Duration::from_millis(200),
                    independent: part == 0,
                })
            })
            .collect();
        for part in &parts {
            objects.insert(part.path.clone(), Object::Part(part.clone()));
        }
        let segment = Arc::new(Segment {
            sequence: number,
            period: period.clone(),
            init: init.clone(),
            start: MediaTime(number * 600_000),
            captured: Wall(number * 600_000),
            duration: Duration::from_millis(200) * count,
            lost_since: None,
            discontinuity: false,
            complete,
            parts,
            media: if complete {
                media(&path)
            } else {
                Media::default()
            },
            path: path.clone(),
        });
        let object = if complete {
            Object::Segment(segment.clone())
        } else {
            Object::GrowingSegment(number)
        };
        if complete || !ended {
            objects.insert(path, object);
            segments.push(segment);
        }
    }
    let position = Position { sequence, parts };
    let next: Arc<str> = format!("p{}.m4s", serial(sequence, parts)).into();
    if !ended {
        objects.insert(next.clone(), Object::NextPart(position));
    }
    Snapshot {
        presentation: Arc::new(Presentation {
            id: id.into(),
            timing: Timing {
                part_target: Duration::from_millis(200),
                target_duration: TARGET_DURATION,
                segment: Duration::from_millis(600),
                frame: Duration::from_millis(40),
                window: Duration::from_secs(30),
            },
            clock: PresentationClock::new(Monotonic(0), EPOCH),
        }),
        position,
        ended,
        superseded: false,
        rendition: Rendition::default(),
        segments,
        discontinuity_sequence: 0,
        next_part: (!ended).then_some(next),
        objects: Arc::new(objects),
    }
}

pub fn serial(sequence: u64, part: u32) -> u64 {
    sequence * u64::from(PARTS) + u64::from(part)
}

/// Writes `live.m3u8` for the stream; `media.m3u8`, which may be waited for, and `hello.txt`, which greets, for each
/// presentation.
pub struct Policy {
    documents: Mutex<Arc<[DocumentSpec]>>,
    pub calls: AtomicUsize,
    /// While false, calls begin and don't end.
    pub open: watch::Sender<bool>,
    /// Trap instead.
    pub broken: AtomicBool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            documents: Mutex::new(Self::list()),
            calls: AtomicUsize::new(0),
            open: watch::Sender::new(true),
            broken: AtomicBool::new(false),
        }
    }
}

impl Policy {
    fn list() -> Arc<[DocumentSpec]> {
        let document = |path: &str, scope, content_type: &str, reads| DocumentSpec {
            stale_if_error: true,
            path: path.into(),
            scope,
            content_type: content_type.into(),
            reads,
        };
        let playlist = "application/vnd.apple.mpegurl";
        Arc::new([
            document("live.m3u8", Scope::Stream, playlist, Inputs::default()),
            document(
                "media.m3u8",
                Scope::Presentation,
                playlist,
                Inputs {
                    query: vec!["_HLS_msn".into(), "_HLS_part".into()],
                    ..Inputs::default()
                },
            ),
            document(
                "hello.txt",
                Scope::Presentation,
                "text/plain",
                Inputs {
                    query: vec![],
                    headers: vec!["x-name".into()],
                    cookies: vec!["from".into()],
                },
            ),
        ])
    }

    /// What a reload does.
    pub fn reload(&self) {
        *self.documents.lock().expect("no test panics here") = Self::list();
    }

    /// Where it fails, there is nothing.
    pub fn nothing_stale(&self) {
        let mut documents = self.documents.lock().expect("no test panics here");
        *documents = documents
            .iter()
            .cloned()
            .map(|document| DocumentSpec {
                stale_if_error: false,
                ..document
            })
            .collect();
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn write(&self, document: &str, request: &plugin::Request, window: &Snapshot) -> Answer {
        let filler = "#EXTINF:0.60000,\n".repeat(50);
        let text = |text: String| Answer::Document {
            body: text.into(),
            max_age: 4,
        };
        let Position { sequence, parts } = window.position;
        match document {
            "live.m3u8" => text(format!("{}/media.m3u8\n{filler}", window.presentation.id)),
            "hello.txt" => text(format!("{:?} {:?}", request.headers, request.cookies)),
            _ => {
                let value = |name| request.query.iter().find(|(key, _)| key == name);
                let wait = match (value("_HLS_msn"), value("_HLS_part")) {
                    (None, _) => None,
                    (Some((_, sequence)), part) => {
                        let Ok(sequence) = sequence.parse() else {
                            return Answer::Refuse {
                                status: 400,
                                reason: "_HLS_msn is a number".into(),
                            };
                        };
                        Some(match part {
                            None => Position {
                                sequence: sequence + 1,
                                parts: 0,
                            },
                            Some((_, part)) => Position {
                                sequence,
                                parts: part.parse::<u32>().expect("a number") + 1,
                            },
                        })
                    }
                };
                match wait {
                    Some(wait) if wait > window.position && !window.ended => Answer::Wait(wait),
                    _ => text(format!("at {sequence}.{parts}\n{filler}")),
                }
            }
        }
    }
}

impl Documents for Policy {
    fn documents(&self) -> Arc<[DocumentSpec]> {
        self.documents.lock().expect("no test panics here").clone()
    }

    fn render<'a>(
        &'a self,
        document: &'a DocumentSpec,
        request: &'a plugin::Request,
        window: Arc<Snapshot>,
    ) -> Rendering<'a> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.expect("we are here");
            if self.broken.load(Ordering::SeqCst) {
                return Err(CallError::Failed {
                    plugin: "policy".into(),
                    cause: "broken by the test".into(),
                }
                .into());
            }
            Ok(self.write(&document.path, request, &window))
        })
    }
}

type Rule = dyn Fn(&Visit) -> Verdict + Send + Sync;

/// Lets in whom the test says; everybody, unless it says something.
pub struct Doorman {
    state: Mutex<(Arc<[Reads]>, Arc<Rule>)>,
    /// Questions so far.
    pub asked: AtomicUsize,
    /// While false, questions are not answered.
    pub open: watch::Sender<bool>,
}

impl Default for Doorman {
    fn default() -> Self {
        let everybody = Arc::new(|_: &Visit| Verdict::Allowed(Permit::default()));
        Self {
            state: Mutex::new((Arc::default(), everybody)),
            asked: AtomicUsize::new(0),
            open: watch::Sender::new(true),
        }
    }
}

impl Doorman {
    /// Looks at this, and decides so, from now on.
    pub fn set(&self, reads: Reads, rule: impl Fn(&Visit) -> Verdict + Send + Sync + 'static) {
        *self.state.lock().expect("no test panics here") = (Arc::new([reads]), Arc::new(rule));
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Guard for Doorman {
    fn reads(&self) -> Arc<[Reads]> {
        self.state.lock().expect("no test panics here").0.clone()
    }

    fn ask<'a>(&'a self, reads: &'a Arc<[Reads]>, visit: &'a Visit) -> Asking<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.expect("we are here");
            let (now, rule) = self.state.lock().expect("no test panics here").clone();
            match now == *reads {
                true => rule(visit),
                false => Verdict::Outdated,
            }
        })
    }
}

/// The window, the policy, who is let in, and the health of the stream.
pub struct Stage {
    pub doorman: Arc<Doorman>,
    pub live: Arc<Live>,
    pub policy: Arc<Policy>,
    pub board: Arc<Board>,
    pub health: watch::Sender<Health>,
    pub limits: Limits,
    pub phase: watch::Sender<Phase>,
    pub shared: Arc<Shared>,
    pub counts: Arc<Counts>,
}

impl Stage {
    /// Nothing is published yet.
    pub fn empty() -> Self {
        let live: Arc<Live> = Arc::default();
        let policy: Arc<Policy> = Arc::default();
        let doorman: Arc<Doorman> = Arc::default();
        let board = Arc::new(Board::new(1));
        let health = watch::Sender::new(Health::Starting);
        let counts: Arc<Counts> = Arc::default();
        Self {
            shared: Arc::new(Shared {
                live: live.clone(),
                cache: Cache::new(policy.clone(), live.clone(), counts.clone()),
                guard: doorman.clone(),
                overlay: Overlay::new(Some(board.clone())),
                stills: Stills::new(live.clone()),
                page: page(),
                health: health.subscribe(),
                counts: counts.clone(),
            }),
            doorman,
            counts,
            live,
            policy,
            board,
            health,
            limits: Limits::default(),
            phase: watch::Sender::new(Phase::Serving),
        }
    }

    /// Presentation `run`, five segments and a part.
    pub fn playing() -> Self {
        let stage = Self::empty();
        stage.publish(5, 1);
        stage.health.send_replace(Health::Live);
        stage
    }

    pub fn publish(&self, sequence: u64, parts: u32) {
        self.live.publish(window("run", sequence, parts, false));
    }

    pub fn end(&self, sequence: u64, parts: u32) {
        self.live.publish(window("run", sequence, parts, true));
    }

    pub fn state(&self) -> State {
        State {
            live: self.live.clone(),
            documents: self.policy.clone(),
            guard: self.doorman.clone(),
            overlay: Some(self.board.clone()),
            page: page(),
            health: self.health.subscribe(),
            limits: self.limits.clone(),
            counts: self.counts.clone(),
        }
    }

    /// On a socket, with documents of its own and all else shared.
    pub fn serve(&self) -> Running {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(vec![local.into()], self.state()).expect("a free port");
        let address = server.local_addrs().next().expect("one");
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            // A test that drops the sender stops the server, too.
            let _ = stopped.await;
        }));
        Running {
            address,
            stop,
            served,
        }
    }

    /// One connection through a pipe that holds `capacity` bytes, for tests where time is paused: then nothing passes but
    /// what the test awaits. The task ends when the connection does.
    pub fn pipe(&self, capacity: usize) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        let (shared, limits) = (self.shared.clone(), self.limits.clone());
        let phase = self.phase.subscribe();
        let task = tokio::spawn(async move {
            let protocol = connection::protocol();
            let admission = Admission::Served;
            let peer = Peer {
                ip: PEER,
                tls: false,
            };
            connection::serve(theirs, peer, &protocol, shared, admission, &limits, phase).await;
        });
        (ours, task)
    }

    /// A viewer at the other end of a pipe.
    pub async fn viewer(&self, version: Http) -> Client {
        Client::over(self.pipe(64 * 1024).0, version).await
    }
}

fn page() -> Page {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let text = "<!doctype html>".repeat(100).into();
    Page(vec![("/", Document::new(text, html, 0, FAST))])
}

/// Where time is paused: lets everything happen that needs no time.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub served: JoinHandle<()>,
}

impl Running {
    pub async fn connect(&self, version: Http) -> Client {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        Client::over(stream, version).await
    }

    pub async fn get(&self, version: Http, path: &str) -> Got {
        self.ask(version, Method::GET, path, &[]).await
    }

    pub async fn ask(
        &self,
        version: Http,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Got {
        let mut client = self.connect(version).await;
        client.ask(method, path, headers).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

pub const BOTH: [Http; 2] = [Http::One, Http::Two];

/// A viewer on one connection.
pub enum Client {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// What a viewer got.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("text"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    async fn of(response: hyper::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.expect("a whole body").to_bytes(),
        }
    }
}

impl Client {
    pub async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Http,
    ) -> Self {
        let io = TokioIo::new(io);
        match version {
            Http::One => {
                let (client, connection) = hyper::client::conn::http1::handshake(io)
                    .await
                    .expect("a connection");
                tokio::spawn(connection);
                Self::One(client)
            }
            Http::Two => {
                let (client, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                        .await
                        .expect("a connection");
                tokio::spawn(connection);
                Self::Two(client)
            }
        }
    }

    pub async fn get(&mut self, path: &str) -> Got {
        self.ask(Method::GET, path, &[]).await
    }

    pub async fn ask(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
        Got::of(self.send(method, path, headers).await.expect("a response")).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<hyper::Response<Incoming>> {
        self.send_with(method, path, headers, "").await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, form: &str) -> Got {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let sent = self.send_with(Method::POST, path, &headers, form).await;
        Got::of(sent.expect("a response")).await
    }

    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Result<hyper::Response<Incoming>> {
        let uri = match self {
            Self::One(_) => path.to_owned(),
            Self::Two(_) => format!("http://host{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Self::One(_) = self {
            request = request.header("host", "host");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body.to_owned()));
        let request = request.body(body).expect("a valid request");
        match self {
            Self::One(client) => client.send_request(request).await,
            Self::Two(client) => client.send_request(request).await,
        }
    }
}
