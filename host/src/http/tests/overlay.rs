use std::{sync::Arc, time::Duration};

use hyper::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::stage::{BOTH, Got, Http, Stage, settle};
use crate::{
    http::overlay::Overlay,
    live::Frame,
    overlay::{Anchor, Colour, Operation, Png, Point},
    time::{MediaTime, Wall},
};

fn draw(stage: &Stage, second: u64, operations: Vec<Operation>) {
    let frame = Frame {
        time: MediaTime(second * 1_000_000),
        captured: Wall(0),
        date: Wall(second * 1_000_000),
        width: 640,
        height: 360,
    };
    stage.board.put(0, &frame, operations);
}

fn line() -> Operation {
    Operation::Line {
        from: Point(0, 0),
        to: Point(1_000, 1_000),
        colour: Colour([0; 4]),
        width: 1,
    }
}

fn times(got: &Got) -> Vec<u64> {
    let text: Value = serde_json::from_str(got.text()).expect("JSON");
    let layer = text["layers"][0].as_array().expect("a layer");
    let time = |drawing: &Value| drawing["time"].as_u64().expect("a time") / 1_000_000;
    layer.iter().map(time).collect()
}

async fn ask(stage: &Stage, path: &str) -> Got {
    stage.viewer(Http::One).await.get(path).await
}

fn after(version: u64) -> String {
    format!("/cam/overlay?after={version}")
}

#[tokio::test]
async fn who_comes_gets_what_holds_and_who_asks_again_what_is_new() {
    let stage = Stage::playing();
    draw(&stage, 1, vec![line()]);
    let known = stage.board.sheet().version;
    draw(&stage, 2, vec![]);
    let server = stage.serve();
    for version in BOTH {
        let all = server.get(version, "/cam/overlay").await;
        assert_eq!(all.status, 200);
        assert_eq!(all.header("content-type"), Some("application/json"));
        assert_eq!(all.header("cache-control"), Some("no-cache"));
        assert_eq!(times(&all), [1, 2]);
        let etag = all.header("etag").expect("a tag").to_owned();
        let fields = [("if-none-match", &*etag)];
        let again = server
            .ask(version, Method::GET, "/cam/overlay", &fields)
            .await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
        let new = server.get(version, &after(known)).await;
        assert_eq!(times(&new), [2]);
        assert_eq!(new.header("cache-control"), Some("public, max-age=1"));
        for bad in ["x", "-1", "", "1.5"] {
            let got = server
                .get(version, &format!("/cam/overlay?after={bad}"))
                .await;
            assert_eq!(got.status, 400, "{bad}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_knows_everything_is_held_until_there_is_news_and_all_get_the_same() {
    let stage = Stage::playing();
    draw(&stage, 1, vec![]);
    let known = stage.board.sheet().version;
    let mut viewers = Vec::new();
    for _ in 0..5 {
        let mut viewer = stage.viewer(Http::One).await;
        viewers.push(tokio::spawn(async move { viewer.get(&after(known)).await }));
    }
    settle().await;
    assert!(viewers.iter().all(|viewer| !viewer.is_finished()));
    draw(&stage, 5, vec![line()]);
    for viewer in viewers {
        assert_eq!(times(&viewer.await.expect("an answer")), [5]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_changes_the_answer_says_so_in_the_end() {
    let stage = Stage::playing();
    draw(&stage, 1, vec![]);
    let known = stage.board.sheet().version;
    let began = Instant::now();
    let got = ask(&stage, &after(known)).await;
    assert_eq!((got.status.as_u16(), times(&got).len()), (200, 0));
    assert!(began.elapsed() >= Duration::from_secs(20));
    // A host that ran before this one, with a clock that was ahead.
    assert_eq!(times(&ask(&stage, &after(u64::MAX)).await), [1]);
}

#[tokio::test]
async fn images_are_asked_for_by_what_is_in_them_and_kept_for_good() {
    let stage = Stage::playing();
    let png = Arc::new(Png::new("a picture, as far as this side knows".into()));
    let path = format!("/cam/overlay/{}", png.name());
    let server = stage.serve();
    assert_eq!(server.get(Http::One, &path).await.status, 404);
    let image = Operation::Image {
        at: Point(0, 0),
        anchor: Anchor::Centre,
        size: 100,
        png: png.clone(),
    };
    draw(&stage, 1, vec![line(), image]);
    let got = server.get(Http::One, &path).await;
    assert_eq!((got.status.as_u16(), &got.body), (200, png.bytes()));
    assert_eq!(got.header("content-type"), Some("image/png"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        got.header("cache-control"),
        Some("public, max-age=86400, immutable")
    );
    for other in [
        "/cam/overlay/",
        "/cam/overlay/x.png",
        "/cam/overlay/../live.m3u8",
    ] {
        assert_eq!(server.get(Http::One, other).await.status, 404, "{other}");
    }
}

#[tokio::test]
async fn where_nobody_draws_there_is_nothing_and_nothing_is_wrong() {
    let stage = Stage::playing();
    let overlay = Overlay::new(None);
    let mut phase = stage.phase.subscribe();
    let wanted = crate::http::overlay::Wanted::Drawings(Some(7));
    let response = overlay
        .respond(wanted, &Default::default(), &mut phase)
        .await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["cache-control"], "no-store");
}
