use std::time::Duration;

use hyper::Method;

use super::stage::{Http, Stage, settle};
use crate::http::Kind;

const MEDIA: &str = "/cam/run/media.m3u8";

#[tokio::test]
async fn an_answer_counts_under_what_was_asked_for_and_its_status() {
    let stage = Stage::playing();
    let server = stage.serve();
    for (method, path) in [
        (Method::GET, MEDIA),
        (Method::HEAD, MEDIA),
        (Method::GET, "/cam/run/s1.m4s"),
        (Method::GET, "/cam/run/nothing.m4s"),
        (Method::GET, "/"),
        (Method::GET, "/healthz"),
        (Method::GET, "/nowhere"),
        (Method::POST, "/"),
    ] {
        server.ask(Http::One, method, path, &[]).await;
    }
    let counted: Vec<_> = stage.counts.requests.get().collect();
    let expected = [
        (Kind::Document, 200, 2),
        (Kind::Media, 200, 1),
        (Kind::Media, 404, 1),
        (Kind::Page, 200, 1),
        (Kind::Health, 200, 1),
        (Kind::Other, 404, 1),
        (Kind::Other, 405, 1),
    ];
    assert_eq!(counted, expected);
    assert_eq!(stage.counts.traffic.connections.ever(), 8);
}

#[tokio::test]
async fn what_was_written_for_one_and_sent_to_others_is_told_apart_from_calls_of_the_plugin() {
    let stage = Stage::playing();
    let server = stage.serve();
    for _ in 0..5 {
        server.get(Http::Two, MEDIA).await;
    }
    assert_eq!(stage.counts.renders.get(), 1);
    assert_eq!(stage.counts.shared_documents.get(), 4);
}

#[tokio::test]
async fn every_byte_of_a_response_counts_as_sent() {
    let stage = Stage::playing();
    let server = stage.serve();
    let got = server.get(Http::One, "/cam/run/s1.m4s").await;
    let sent = stage.counts.traffic.sent.get();
    let body = got.body.len() as u64;
    assert!(sent > body && sent < body + 1_000, "{sent} for {body}");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_until_its_answer_begins() {
    let stage = Stage::playing();
    let mut viewer = stage.viewer(Http::One).await;
    let asked = tokio::spawn(async move {
        viewer
            .get("/cam/run/media.m3u8?_HLS_msn=5&_HLS_part=1")
            .await
    });
    settle().await;
    assert_eq!(stage.counts.waiting.now(), 1);
    stage.publish(5, 2);
    assert_eq!(asked.await.expect("no panic").status, 200);
    assert_eq!(stage.counts.waiting.now(), 0);
    assert_eq!(stage.counts.waiting.ever(), 1);
}

#[tokio::test]
async fn a_connection_is_there_until_it_ends_and_one_too_many_is_turned_away() {
    let mut stage = Stage::playing();
    stage.limits.connections = 1;
    let server = stage.serve();
    let mut first = server.connect(Http::One).await;
    first.get("/healthz").await;
    let traffic = &stage.counts.traffic;
    assert_eq!(
        (traffic.connections.now(), traffic.turned_away.get()),
        (1, 0)
    );
    let got = server.get(Http::One, MEDIA).await;
    assert_eq!(got.status, 503);
    assert_eq!(traffic.turned_away.get(), 1);
    drop(first);
    let gone = async {
        while traffic.connections.now() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .expect("connections end with their viewers");
}
