//! Segments that are sent as they grow.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::*;
use crate::{
    h264::ParameterSets,
    http::tests::stage::Client,
    live::{Chunk, Media, Names, Opening, Ring},
    time::{MediaTime, Wall},
};

/// How long each segment is.
const SEGMENT: Duration = Duration::from_millis(600);

/// A window that a test fills. Its first segment has the number 0.
struct Growing {
    stage: Stage,
    ring: Ring,
    open: Vec<Chunk>,
    /// Where the next segment begins.
    next: MediaTime,
}

impl Growing {
    fn new() -> Self {
        let presentation = window("run", 0, 0, false).presentation;
        Self {
            stage: Stage::empty(),
            ring: Ring::new(presentation, Names::default(), u64::MAX),
            open: Vec::new(),
            next: MediaTime(0),
        }
    }

    fn begin(&mut self, discontinuity: bool) {
        self.close();
        let sets = Arc::new(ParameterSets::example(64));
        let init = self
            .ring
            .init_segment(Bytes::from_static(b"init"), sets, Wall(0));
        self.ring.begin_segment(Opening {
            init,
            start: self.next,
            captured: Wall(0),
            discontinuity,
            lost_since: None,
            segment: SEGMENT,
            chunk: Duration::from_millis(40),
        });
        self.next = self.next.after(SEGMENT);
    }

    /// All chunks so far as one part.
    fn close(&mut self) {
        if !self.open.is_empty() {
            let media = Media::of(&std::mem::take(&mut self.open));
            self.ring.push_part(Duration::from_millis(200), true, media);
        }
    }

    /// Adds a chunk, which readers see by itself, without the window being replaced.
    fn chunk(&mut self, text: &'static str) {
        let chunk = Chunk {
            head: Bytes::from_static(b"["),
            sample: Bytes::from_static(text.as_bytes()),
        };
        self.ring.push_chunk(chunk.clone());
        self.open.push(chunk);
    }

    fn publish(&self) {
        self.stage.live.publish(self.ring.snapshot());
    }

    /// Opens a response that goes on.
    async fn follow(&self, version: Http, name: &str) -> (Client, hyper::Response<Incoming>) {
        let mut viewer = self.stage.viewer(version).await;
        let path = format!("/cam/run/{name}");
        let response = viewer
            .send(Method::GET, &path, &[])
            .await
            .expect("a response");
        (viewer, response)
    }
}

/// The next piece of a body; `None` at its end, which HTTP/2 may tell with a frame that is empty.
async fn piece(response: &mut hyper::Response<Incoming>) -> Option<Bytes> {
    loop {
        let frame = response.body_mut().frame().await?;
        let data = frame.expect("it goes on").into_data().expect("no trailers");
        if !data.is_empty() {
            return Some(data);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_chunk_is_sent_whole_the_moment_it_exists() {
    for version in BOTH {
        let mut growing = Growing::new();
        growing.begin(false);
        growing.chunk("one");
        growing.publish();
        let name = "chunked/0/segment-0.m4s";
        let (_viewer, mut response) = growing.follow(version, name).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "video/mp4");
        assert!(!headers.contains_key("content-length"));
        if version == Http::One {
            assert_eq!(headers["transfer-encoding"], "chunked");
        }
        assert_eq!(piece(&mut response).await.unwrap(), "[one");
        for text in ["two", "three"] {
            let began = Instant::now();
            growing.chunk(text);
            let expected = format!("[{text}");
            assert_eq!(piece(&mut response).await.unwrap(), expected.as_bytes());
            assert_eq!(began.elapsed(), Duration::ZERO, "nothing was waited for");
        }
        growing.begin(false);
        assert_eq!(piece(&mut response).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_complete_is_sent_whole_by_the_same_name() {
    let mut growing = Growing::new();
    growing.begin(false);
    growing.chunk("one");
    growing.chunk("two");
    growing.begin(false);
    growing.chunk("three");
    growing.publish();
    let mut viewer = growing.stage.viewer(Http::One).await;
    let got = viewer.get("/cam/run/chunked/0/segment-0.m4s").await;
    assert_eq!(
        (got.status.as_u16(), &got.body[..]),
        (200, &b"[one[two"[..])
    );
    assert_eq!(got.header("content-length"), Some("8"));
    let whole = viewer.get("/cam/run/segment-0.m4s").await;
    assert_eq!(whole.body, got.body);
}

#[tokio::test(start_paused = true)]
async fn the_next_segment_is_waited_for_and_one_further_is_not_there() {
    let mut growing = Growing::new();
    growing.begin(false);
    growing.chunk("one");
    growing.publish();
    let next = asking(
        &growing.stage,
        Http::Two,
        "/cam/run/chunked/0/segment-1.m4s",
    )
    .await;
    settle().await;
    assert!(!next.is_finished());
    for name in ["segment-2.m4s", "segment-01.m4s", "segment-.m4s"] {
        let path = format!("/cam/run/chunked/0/{name}");
        let got = growing.stage.viewer(Http::One).await.get(&path).await;
        assert_eq!(got.status, 404);
        assert_eq!(got.header("cache-control"), Some("no-store"));
    }
    growing.begin(false);
    growing.chunk("two");
    growing.publish();
    settle().await;
    assert!(!next.is_finished(), "it grows");
    growing.begin(false);
    let got = next.await.unwrap();
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &b"[two"[..]));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_more_of_a_period_that_is_over_gets_an_empty_last_segment() {
    let mut growing = Growing::new();
    growing.begin(false);
    growing.chunk("one");
    growing.publish();
    let next = asking(
        &growing.stage,
        Http::One,
        "/cam/run/chunked/0/segment-1.m4s",
    )
    .await;
    settle().await;
    growing.begin(true);
    growing.chunk("another");
    growing.publish();
    let nothing = crate::cmaf::empty_last_segment();
    let got = next.await.unwrap();
    assert_eq!((got.status.as_u16(), &got.body), (200, &nothing));
    assert_eq!(got.header("content-type"), Some("video/mp4"));
    let mut viewer = growing.stage.viewer(Http::Two).await;
    let got = viewer.get("/cam/run/chunked/0/segment-2.m4s").await;
    assert_eq!((got.status.as_u16(), &got.body), (200, &nothing));
    let got = viewer.get("/cam/run/chunked/1/segment-3.m4s").await;
    assert_eq!(got.status, 404, "that may still come");

    let after = asking(
        &growing.stage,
        Http::One,
        "/cam/run/chunked/1/segment-2.m4s",
    )
    .await;
    settle().await;
    growing.close();
    growing.ring.end(false);
    growing.publish();
    assert_eq!(after.await.unwrap().body, nothing, "nothing will follow");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_not_cut_off_for_taking_nothing_while_there_is_nothing() {
    let mut growing = Growing::new();
    growing.begin(false);
    growing.chunk("one");
    growing.publish();
    let (_viewer, mut response) = growing.follow(Http::One, "chunked/0/segment-0.m4s").await;
    assert_eq!(piece(&mut response).await.unwrap(), "[one");
    tokio::time::sleep(growing.stage.limits.stall * 3).await;
    growing.chunk("two");
    assert_eq!(piece(&mut response).await.unwrap(), "[two");
}

#[tokio::test]
async fn the_time_is_that_of_the_presentation_clock_and_never_kept() {
    let stage = Stage::playing();
    let clock = window("run", 0, 0, false).presentation.clock;
    let before = clock.wall(crate::time::Monotonic::now()).date_time();
    let mut viewer = stage.viewer(Http::One).await;
    let got = viewer.get("/cam/time").await;
    let after = clock.wall(crate::time::Monotonic::now()).date_time();
    assert_eq!(got.status, 200);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert!(before.as_str() <= got.text() && got.text() <= after.as_str());
    let head = viewer.ask(Method::HEAD, "/cam/time", &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}
