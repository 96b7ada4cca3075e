use std::{io::Read, sync::atomic::Ordering, time::Duration};

use flate2::read::GzDecoder;
use hyper::Method;
use tokio::{task::JoinHandle, time::Instant};

use super::stage::{BOTH, Client, Got, Http, Stage, TARGET_DURATION, settle, window};

const MEDIA: &str = "/cam/run/media.m3u8";
const NEXT_PART: &str = "/cam/run/media.m3u8?_HLS_msn=5&_HLS_part=1";

/// A request whose answer is awaited elsewhere.
async fn asking(stage: &Stage, path: &'static str) -> JoinHandle<Got> {
    let mut viewer = stage.viewer(Http::One).await;
    tokio::spawn(async move { viewer.get(path).await })
}

#[tokio::test]
async fn documents_are_where_the_plugin_put_them() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let got = server.get(version, "/cam/live.m3u8").await;
        assert_eq!(got.status, 200);
        assert!(got.text().starts_with("run/media.m3u8\n"));
        let playlist = Some("application/vnd.apple.mpegurl");
        assert_eq!(got.header("content-type"), playlist);
        assert_eq!(got.header("cache-control"), Some("public, max-age=4"));
        assert_eq!(got.header("vary"), Some("Accept-Encoding"));
        assert_eq!(got.header("priority"), Some("u=1"));
        assert_eq!(got.header("access-control-allow-origin"), Some("*"));
        assert_eq!(got.header("age"), None);
        assert!(got.header("date").is_some());
        let length = got.body.len().to_string();
        assert_eq!(got.header("content-length"), Some(&*length));
        let got = server.get(version, MEDIA).await;
        assert!(got.text().starts_with("at 5.1\n"));
    }
}

#[tokio::test]
async fn one_call_answers_everybody_at_a_position() {
    let stage = Stage::playing();
    let server = stage.serve();
    for _ in 0..5 {
        server.get(Http::One, MEDIA).await;
        let undeclared = format!("{MEDIA}?x=1&_hls_msn=9");
        server.get(Http::Two, &undeclared).await;
    }
    assert_eq!(stage.policy.calls(), 1);
    stage.publish(5, 2);
    let got = server.get(Http::One, MEDIA).await;
    assert!(got.text().starts_with("at 5.2\n"));
    assert_eq!(stage.policy.calls(), 2);
    stage.policy.reload();
    server.get(Http::One, MEDIA).await;
    assert_eq!(stage.policy.calls(), 3, "other plugins, other documents");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_viewers_wait_for_one_call() {
    let stage = Stage::playing();
    let mut viewers = Vec::new();
    for _ in 0..10 {
        for _ in 0..50 {
            viewers.push(asking(&stage, NEXT_PART).await);
        }
        let Client::Two(client) = stage.viewer(Http::Two).await else {
            unreachable!("HTTP/2 was asked for");
        };
        for _ in 0..50 {
            let mut viewer = Client::Two(client.clone());
            viewers.push(tokio::spawn(async move { viewer.get(NEXT_PART).await }));
        }
    }
    settle().await;
    assert_eq!(stage.policy.calls(), 1, "the plugin said to wait");
    assert!(viewers.iter().all(|viewer| !viewer.is_finished()));
    stage.publish(5, 2);
    for viewer in viewers {
        let got = viewer.await.expect("no panic");
        assert_eq!(got.status, 200);
        assert!(got.text().starts_with("at 5.2\n"));
    }
    assert_eq!(stage.policy.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_request_is_released_by_its_position_and_by_no_earlier_one() {
    let stage = Stage::playing();
    let viewer = asking(&stage, "/cam/run/media.m3u8?_HLS_msn=6").await;
    for (sequence, parts) in [(5, 2), (5, 3), (6, 0), (6, 1)] {
        stage.publish(sequence, parts);
        settle().await;
        assert!(!viewer.is_finished());
    }
    assert_eq!(stage.policy.calls(), 1);
    stage.publish(7, 0);
    let got = viewer.await.expect("no panic");
    assert!(got.text().starts_with("at 7.0\n"));
    assert_eq!(stage.policy.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_knows_a_position_is_not_told_of_an_earlier_one() {
    let stage = Stage::playing();
    stage.policy.open.send_replace(false);
    let early = asking(&stage, MEDIA).await;
    settle().await;
    stage.publish(5, 2);
    let late = asking(&stage, MEDIA).await;
    settle().await;
    assert_eq!(
        stage.policy.calls(),
        1,
        "he takes part in the call that runs"
    );
    stage.policy.open.send_replace(true);
    let got = early.await.expect("no panic");
    assert!(got.text().starts_with("at 5.1\n"));
    let got = late.await.expect("no panic");
    assert!(got.text().starts_with("at 5.2\n"));
    assert_eq!(stage.policy.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_ends_even_when_nobody_waits_any_more() {
    let stage = Stage::playing();
    stage.policy.open.send_replace(false);
    let viewer = asking(&stage, MEDIA).await;
    settle().await;
    viewer.abort();
    settle().await;
    stage.policy.open.send_replace(true);
    settle().await;
    let got = stage.viewer(Http::One).await.get(MEDIA).await;
    assert!(got.text().starts_with("at 5.1\n"));
    assert_eq!(stage.policy.calls(), 1, "its outcome counts");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_presentation_releases_everybody() {
    let stage = Stage::playing();
    let viewer = asking(&stage, NEXT_PART).await;
    settle().await;
    stage.end(5, 1);
    let got = viewer.await.expect("no panic");
    assert_eq!(got.status, 200);
    assert!(got.text().starts_with("at 5.1\n"));
    // What ended is still there when the next one plays.
    stage.live.publish(window("next", 9, 0, false));
    let mut viewer = stage.viewer(Http::One).await;
    assert_eq!(viewer.get(NEXT_PART).await.status, 200);
    assert!(
        viewer
            .get("/cam/live.m3u8")
            .await
            .text()
            .starts_with("next/")
    );
    let got = viewer.get("/cam/next/media.m3u8").await;
    assert!(got.text().starts_with("at 9.0\n"));
}

#[tokio::test(start_paused = true)]
async fn after_three_target_durations_a_blocked_request_gets_503() {
    let stage = Stage::playing();
    let mut viewer = stage.viewer(Http::Two).await;
    let began = Instant::now();
    let got = viewer.get(NEXT_PART).await;
    assert_eq!(got.status, 503);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    let longest = Duration::from_secs(u64::from(3 * TARGET_DURATION));
    let held = began.elapsed();
    assert!(
        held >= longest && held < longest + Duration::from_millis(10),
        "{held:?}"
    );
    // The work ended with the last viewer: another one is asked about anew.
    settle().await;
    let viewer = asking(&stage, NEXT_PART).await;
    settle().await;
    assert_eq!(stage.policy.calls(), 2);
    stage.publish(5, 2);
    assert_eq!(viewer.await.expect("no panic").status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_hangs_up_ends_the_work_nobody_else_waits_for() {
    let stage = Stage::playing();
    let leaving = asking(&stage, NEXT_PART).await;
    let staying = asking(&stage, NEXT_PART).await;
    settle().await;
    leaving.abort();
    settle().await;
    staying.abort();
    settle().await;
    stage.publish(5, 2);
    settle().await;
    assert_eq!(stage.policy.calls(), 1, "nobody was there to be answered");
}

#[tokio::test(start_paused = true)]
async fn before_the_first_picture_the_stream_is_waited_for() {
    let stage = Stage::empty();
    let viewer = asking(&stage, "/cam/live.m3u8").await;
    settle().await;
    stage.publish(1, 0);
    assert_eq!(viewer.await.expect("no panic").status, 200);

    let stage = Stage::empty();
    let got = stage.viewer(Http::One).await.get("/cam/live.m3u8").await;
    assert_eq!(got.status, 503);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert!(got.text().contains("no picture has been published yet"));
}

#[tokio::test]
async fn refusals_are_the_plugins_and_not_cached() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let got = server
            .get(version, "/cam/run/media.m3u8?_HLS_msn=now")
            .await;
        assert_eq!(got.status, 400);
        assert_eq!(got.text(), "_HLS_msn is a number\n");
        assert_eq!(got.header("cache-control"), Some("no-store"));
        let plain = Some("text/plain; charset=utf-8");
        assert_eq!(got.header("content-type"), plain);
    }
    assert_eq!(stage.policy.calls(), 1, "a refusal is shared, too");
    let got = server
        .get(Http::One, "/cam/run/media.m3u8?_HLS_msn=%f")
        .await;
    assert_eq!(got.status, 400);
    assert!(got.text().contains("_HLS_msn"), "{}", got.text());
    assert_eq!(stage.policy.calls(), 1, "the plugin sees text only");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_fails_is_covered_by_its_last_document_while_caches_may_keep_it() {
    let stage = Stage::playing();
    let mut viewer = stage.viewer(Http::One).await;
    assert_eq!(viewer.get(MEDIA).await.status, 200);
    stage.policy.broken.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stage.publish(5, 2);
    let got = viewer.get(MEDIA).await;
    assert!(got.text().starts_with("at 5.1\n"));
    assert_eq!(got.header("cache-control"), Some("public, max-age=3"));
    // Its four seconds are over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.publish(5, 3);
    let got = viewer.get(MEDIA).await;
    assert_eq!(got.status, 503);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    // A broken plugin isn't called by every viewer.
    let calls = stage.policy.calls();
    for _ in 0..10 {
        viewer.get(MEDIA).await;
    }
    assert_eq!(stage.policy.calls(), calls);
    // But now and then, even where the position stands still.
    stage.policy.broken.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(viewer.get(MEDIA).await.text().starts_with("at 5.3\n"));
}

#[tokio::test(start_paused = true)]
async fn nothing_covers_a_plugin_that_is_to_fail_at_once() {
    let stage = Stage::playing();
    stage.policy.nothing_stale();
    let mut viewer = stage.viewer(Http::One).await;
    assert_eq!(viewer.get(MEDIA).await.status, 200);
    stage.policy.broken.store(true, Ordering::SeqCst);
    stage.publish(5, 2);
    assert_eq!(viewer.get(MEDIA).await.status, 503);
}

#[tokio::test]
async fn gzip_is_made_once_for_those_who_take_it() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let plain = server.get(version, MEDIA).await;
        assert_eq!(plain.header("content-encoding"), None);
        let with = async |field| {
            let fields = [("accept-encoding", field)];
            server.ask(version, Method::GET, MEDIA, &fields).await
        };
        let packed = with("br, gzip").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
        let mut text = String::new();
        GzDecoder::new(&packed.body[..])
            .read_to_string(&mut text)
            .expect("gzip");
        assert_eq!(text, plain.text());
        assert_ne!(packed.header("etag"), plain.header("etag"));
        let none = with("gzip;q=0, br").await;
        assert_eq!(none.header("content-encoding"), None);
        assert_eq!(none.body, plain.body);
    }
    assert_eq!(stage.policy.calls(), 1);
}

#[tokio::test]
async fn what_a_viewer_has_is_not_sent_again() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for path in [MEDIA, "/"] {
            let first = server.get(version, path).await;
            let etag = first.header("etag").expect("a tag");
            let fields = [("if-none-match", etag)];
            let again = server.ask(version, Method::GET, path, &fields).await;
            assert_eq!(again.status, 304);
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), Some(etag));
            assert_eq!(again.header("vary"), Some("Accept-Encoding"));
            assert_eq!(again.header("cache-control"), first.header("cache-control"));
            // Compressed, it is another thing.
            let fields = [("if-none-match", etag), ("accept-encoding", "gzip")];
            let other = server.ask(version, Method::GET, path, &fields).await;
            assert_eq!(other.status, 200);
        }
    }
}

#[tokio::test]
async fn declared_fields_and_cookies_reach_the_plugin_and_tell_documents_apart() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let fields = [
            ("x-name", "Ada"),
            ("x-other", "no"),
            ("cookie", "a=b; from=here; c=d"),
        ];
        let got = server
            .ask(version, Method::GET, "/cam/run/hello.txt", &fields)
            .await;
        assert_eq!(got.text(), r#"[("x-name", "Ada")] [("from", "here")]"#);
        assert_eq!(got.header("vary"), Some("Accept-Encoding, x-name, cookie"));
        let got = server.get(version, "/cam/run/hello.txt").await;
        assert_eq!(got.text(), "[] []");
    }
    assert_eq!(stage.policy.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_still_true_may_be_kept_for_its_whole_time() {
    let stage = Stage::playing();
    let mut viewer = stage.viewer(Http::One).await;
    viewer.get(MEDIA).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let got = viewer.get(MEDIA).await;
    assert_eq!(got.header("cache-control"), Some("public, max-age=4"));
    assert_eq!(stage.policy.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn different_requests_that_wait_are_bounded_and_plain_ones_still_answered() {
    let stage = Stage::playing();
    let mut viewers = Vec::new();
    for connection in 0..6 {
        let Client::Two(client) = stage.viewer(Http::Two).await else {
            unreachable!("HTTP/2 was asked for");
        };
        for stream in 0..100 {
            let mut viewer = Client::Two(client.clone());
            // Each for another part, none of which is there.
            let part = 1_000 + connection * 100 + stream;
            let path = format!("/cam/run/media.m3u8?_HLS_msn=6&_HLS_part={part}");
            viewers.push(tokio::spawn(async move { viewer.get(&path).await }));
        }
    }
    settle().await;
    let (refused, held): (Vec<_>, Vec<_>) =
        viewers.into_iter().partition(|viewer| viewer.is_finished());
    assert_eq!((refused.len(), held.len()), (88, 512));
    for viewer in refused {
        assert_eq!(viewer.await.expect("no panic").status, 503);
    }
    let mut viewer = stage.viewer(Http::One).await;
    assert_eq!(viewer.get(MEDIA).await.status, 200);
    stage.publish(7, 0);
    for viewer in held {
        assert_eq!(viewer.await.expect("no panic").status, 200);
    }
    // And what came of them is forgotten.
    for part in 0..100 {
        let path = format!("/cam/run/media.m3u8?_HLS_msn=5&_HLS_part={part}");
        assert_eq!(viewer.get(&path).await.status, 200);
    }
    assert!(
        stage.shared.cache.len() <= 64,
        "{}",
        stage.shared.cache.len()
    );
}
