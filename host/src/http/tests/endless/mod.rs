//! `/cam/live.mp4`: every chunk as it comes, for whoever keeps up; something newer for whoever doesn't; and an end where
//! another beginning is needed.

mod ends;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, StatusCode, body::Incoming};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

use super::stage::{BOTH, Client, Http, Stage, settle};
use crate::{
    cmaf::{Sample, chunk_head},
    h264::ParameterSets,
    http::Health,
    live::{Chunk, EdgeChunk, InitSegment},
    time::{MediaTime, Wall},
};

const PATH: &str = "/cam/live.mp4";
const FRAME: u64 = 40_000;

fn init(name: &'static str) -> Arc<InitSegment> {
    Arc::new(InitSegment {
        path: name.into(),
        data: Bytes::from_static(name.as_bytes()),
        parameter_sets: Arc::new(ParameterSets::example(1280)),
    })
}

/// A camera that sends 25 pictures a second and an IDR picture each second. The sample of each is its number, over and over.
struct Camera {
    init: Arc<InitSegment>,
    number: u64,
    time: u64,
    lost_since: Option<Wall>,
}

impl Camera {
    fn new(name: &'static str) -> Self {
        Self {
            init: init(name),
            number: 0,
            time: 0,
            lost_since: None,
        }
    }

    fn send(&mut self, stage: &Stage, count: u64) {
        for _ in 0..count {
            let sample = sample(self.number);
            let idr = self.number.is_multiple_of(25);
            let start = MediaTime(self.time);
            let head = chunk_head(&Sample {
                number: u32::try_from(self.number).unwrap(),
                start,
                duration: FRAME as u32,
                composition_offset: 0,
                size: sample.len() as u32,
                sync: idr,
                captured: Wall(self.time),
            });
            stage.live.push(EdgeChunk {
                chunk: Chunk { head, sample },
                init: self.init.clone(),
                start,
                end: MediaTime(self.time + FRAME),
                idr,
                lost_since: self.lost_since,
            });
            self.number += 1;
            self.time += FRAME;
        }
    }
}

fn sample(number: u64) -> Bytes {
    format!("<{number:06}>").repeat(100).into()
}

/// Reads an init segment and chunks: `init`, the numbers of the samples, and `event VALUE DURATION` for each event.
fn story(mut bytes: &[u8], init: &str) -> Vec<String> {
    use mp4_atom::{Any, Decode as _};
    let mut told = Vec::new();
    if let Some(rest) = bytes.strip_prefix(init.as_bytes()) {
        told.push(init.to_owned());
        bytes = rest;
    }
    // What has not come whole is no box yet.
    while let Some(size) = bytes.first_chunk().map(|size| u32::from_be_bytes(*size))
        && bytes.len() >= size as usize
    {
        match Any::decode(&mut bytes).expect("boxes") {
            Any::Mdat(mdat) => {
                let text = std::str::from_utf8(&mdat.data[1..7]).expect("text");
                let number: u64 = text.parse().expect("a number");
                assert_eq!(mdat.data, sample(number), "a whole sample");
                told.push(number.to_string());
            }
            Any::Emsg(emsg) => {
                let scheme = emsg.scheme_id_uri.split(':').nth(2).expect("a scheme");
                told.push(format!("{scheme} {} {}", emsg.value, emsg.event_duration));
            }
            _ => {}
        }
    }
    told
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A viewer who reads whatever comes.
struct Reader {
    status: StatusCode,
    headers: hyper::HeaderMap,
    got: watch::Receiver<Vec<u8>>,
    reading: JoinHandle<()>,
    /// An HTTP/2 connection ends with its last handle.
    _client: Client,
}

impl Reader {
    async fn open(stage: &Stage, version: Http) -> Self {
        let mut client = stage.viewer(version).await;
        let response = client.send(Method::GET, PATH, &[]).await;
        Self::of(client, response.expect("a response"))
    }

    fn of(client: Client, response: hyper::Response<Incoming>) -> Self {
        let (head, mut body) = response.into_parts();
        let (sender, got) = watch::channel(Vec::new());
        let reading = tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let data = frame.expect("it ends as it should").into_data();
                sender.send_modify(|got| got.extend_from_slice(&data.expect("only data")));
            }
        });
        Self {
            status: head.status,
            headers: head.headers,
            got,
            reading,
            _client: client,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().expect("text"))
    }

    fn story(&self, init: &str) -> Vec<String> {
        story(&self.got.borrow(), init)
    }

    async fn whole_story(self, init: &str) -> Vec<String> {
        self.reading.await.expect("no panic");
        story(&self.got.borrow(), init)
    }
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_the_latest_idr_picture_and_goes_on_with_each_as_it_comes() {
    for version in BOTH {
        let stage = Stage::playing();
        let mut camera = Camera::new("init-a");
        camera.send(&stage, 30);
        let viewer = Reader::open(&stage, version).await;
        assert_eq!(viewer.status, 200);
        let content_type = viewer.header("content-type").expect("a type");
        assert!(content_type.starts_with("video/mp4; codecs=\"avc1."));
        assert_eq!(viewer.header("cache-control"), Some("no-store"));
        assert_eq!(viewer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(viewer.header("accept-ranges"), Some("none"));
        assert_eq!(viewer.header("content-length"), None);
        settle().await;
        let begun = [vec!["init-a".to_owned()], numbers(25..30)].concat();
        assert_eq!(viewer.story("init-a"), begun, "{version:?}");
        // One at a time, without waiting for the one that follows.
        for next in 30..80 {
            camera.send(&stage, 1);
            settle().await;
            assert_eq!(viewer.story("init-a").last(), Some(&next.to_string()));
        }
        assert_eq!(viewer.story("init-a")[1..], numbers(25..80));
    }
}

#[tokio::test(start_paused = true)]
async fn head_tells_what_get_would_and_a_range_is_not_what_this_has() {
    let stage = Stage::playing();
    let mut camera = Camera::new("init-a");
    camera.send(&stage, 1);
    for version in BOTH {
        let got = Reader::open(&stage, version).await;
        let mut client = stage.viewer(version).await;
        let head = client.ask(Method::HEAD, PATH, &[]).await;
        assert!(head.body.is_empty());
        let (mut wanted, mut headers) = (got.headers.clone(), head.headers);
        for field in ["date", "transfer-encoding"] {
            wanted.remove(field);
            headers.remove(field);
        }
        assert_eq!((head.status, headers), (got.status, wanted), "{version:?}");
        let mut client = stage.viewer(version).await;
        let all = [("range", "bytes=0-")];
        let response = client.send(Method::GET, PATH, &all).await;
        assert_eq!(response.expect("a response").status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_first_waits_for_the_first_picture() {
    for version in BOTH {
        let stage = Stage::empty();
        let mut client = stage.viewer(version).await;
        let asked = tokio::spawn(async move {
            let response = client.send(Method::GET, PATH, &[]).await;
            (client, response.expect("a response"))
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!asked.is_finished());
        Camera::new("init-a").send(&stage, 1);
        let (client, response) = asked.await.expect("no panic");
        let viewer = Reader::of(client, response);
        settle().await;
        assert_eq!(viewer.story("init-a"), ["init-a", "0"]);
    }
    // But not for ever.
    let stage = Stage::empty();
    let got = stage.viewer(Http::One).await.get(PATH).await;
    assert_eq!(got.status, 503);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    // And not for what won't come.
    stage.health.send_replace(Health::Ended);
    let began = Instant::now();
    let got = stage.viewer(Http::One).await.get(PATH).await;
    assert_eq!(got.status, 404);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_too_slowly_is_sent_on_and_told_what_he_misses() {
    let stage = Stage::playing();
    let mut camera = Camera::new("init-a");
    camera.send(&stage, 1);
    let (mut socket, _connection) = stage.pipe(2_000);
    socket
        .write_all(b"GET /cam/live.mp4 HTTP/1.0\r\n\r\n")
        .await
        .expect("open");
    settle().await;
    // Ten seconds, of which nothing is read.
    for _ in 0..10 {
        camera.send(&stage, 25);
        settle().await;
    }
    let mut got = vec![0; 500_000];
    let mut filled = 0;
    // What was kept for him is read until nothing more comes.
    while let Ok(read) =
        tokio::time::timeout(Duration::from_secs(1), socket.read(&mut got[filled..])).await
    {
        filled += read.expect("open");
        assert!(filled < got.len());
    }
    let head = got
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a header");
    let told = story(&got[head + 4..filled], "init-a");
    let gap = told
        .iter()
        .position(|event| event.starts_with("gap"))
        .expect("a gap");
    // Some were on their way.
    let before = u64::try_from(gap).unwrap() - 1;
    assert!(before < 25, "{told:?}");
    assert_eq!(told[1..gap], numbers(0..before));
    assert_eq!(told[gap], format!("gap slow {}", (250 - before) * FRAME));
    assert_eq!(told[gap + 1..], ["250"], "the latest IDR picture");
    // From there he keeps up.
    for next in 251..254 {
        camera.send(&stage, 1);
        settle().await;
        let read = socket.read(&mut got).await.expect("open");
        assert_eq!(story(&got[..read], "init-a"), [next.to_string()]);
    }
}

/// A viewer over HTTP/2 who has little room for what he hasn't read.
async fn narrow(socket: DuplexStream) -> hyper::Response<Incoming> {
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, task) = hyper::client::conn::http2::Builder::new(executor)
        .initial_stream_window_size(4_000)
        .handshake(hyper_util::rt::TokioIo::new(socket))
        .await
        .expect("a connection");
    tokio::spawn(task);
    let request = hyper::Request::get("http://host/cam/live.mp4")
        .body(http_body_util::Empty::<Bytes>::new())
        .expect("valid");
    client.send_request(request).await.expect("a header")
}

#[tokio::test(start_paused = true)]
async fn whoever_opens_no_window_is_sent_on_too() {
    let stage = Stage::playing();
    let mut camera = Camera::new("init-a");
    camera.send(&stage, 1);
    let (socket, _connection) = stage.pipe(64 * 1024);
    let mut body = narrow(socket).await.into_body();
    for _ in 0..10 {
        camera.send(&stage, 25);
        settle().await;
    }
    let mut got = Vec::new();
    while let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), body.frame()).await {
        got.extend_from_slice(
            &frame
                .expect("no end")
                .expect("no error")
                .into_data()
                .expect("data"),
        );
    }
    let told = story(&got, "init-a");
    let gap = told
        .iter()
        .position(|event| event.starts_with("gap slow"))
        .expect("a gap");
    assert!(gap < 26, "{told:?}");
    assert_eq!(told[gap + 1..], ["250"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_camera_left_out_is_told_as_well() {
    let stage = Stage::playing();
    let mut camera = Camera::new("init-a");
    camera.send(&stage, 25);
    let viewer = Reader::open(&stage, Http::One).await;
    camera.time += 700_000;
    camera.send(&stage, 2);
    settle().await;
    let told = viewer.story("init-a");
    assert_eq!(told[26..], ["gap source 700000", "25", "26"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_sees_the_slate_is_told_since_when_the_camera_is_lost() {
    let stage = Stage::playing();
    let mut slate = Camera::new("init-s");
    slate.lost_since = Some(Wall(1_700_000_000_123_456));
    slate.send(&stage, 2);
    let viewer = Reader::open(&stage, Http::Two).await;
    slate.send(&stage, 1);
    settle().await;
    let lost = format!("camera-lost 1700000000123 {}", u32::MAX);
    assert_eq!(viewer.story("init-s"), ["init-s", &lost, "0", "1", "2"]);
}
