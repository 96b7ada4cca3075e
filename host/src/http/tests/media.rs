use std::{collections::HashMap, sync::Arc, time::Duration};

use hyper::Method;
use tokio::{task::JoinHandle, time::Instant};

use super::stage::{BOTH, Got, Http, Stage, TARGET_DURATION, content, settle, window};
use crate::live::{Object, Position, Snapshot};

async fn asking(stage: &Stage, version: Http, path: &str) -> JoinHandle<Got> {
    let mut viewer = stage.viewer(version).await;
    let path = path.to_owned();
    tokio::spawn(async move { viewer.get(&path).await })
}

mod growing;

#[tokio::test]
async fn finished_media_are_sent_whole() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for name in ["init.mp4", "s4.m4s", "p12.m4s", "p15.m4s"] {
            let got = server.get(version, &format!("/cam/run/{name}")).await;
            assert_eq!(got.status, 200);
            assert_eq!(got.body, content(name));
            assert_eq!(got.header("content-type"), Some("video/mp4"));
            let length = content(name).len().to_string();
            assert_eq!(got.header("content-length"), Some(&*length));
            assert_eq!(got.header("accept-ranges"), Some("bytes"));
            assert_eq!(got.header("cache-control"), Some("public, max-age=12"));
            assert!(got.header("etag").is_some_and(|etag| etag.starts_with('"')));
            assert!(
                got.header("priority")
                    .is_some_and(|priority| priority > "u=1")
            );
            assert_eq!(got.header("access-control-allow-origin"), Some("*"));
            assert_eq!(got.header("content-encoding"), None);
            assert_eq!(got.header("age"), None);
        }
    }
    assert_eq!(stage.policy.calls(), 0);
}

/// Calls objects of a window something else.
fn renamed(mut window: Snapshot, names: &[(&str, &str)]) -> Snapshot {
    let mut objects = HashMap::clone(&window.objects);
    for &(old, new) in names {
        let object = objects.remove(old).expect("there is such an object");
        objects.insert(new.into(), object);
    }
    window.objects = Arc::new(objects);
    window
}

#[tokio::test]
async fn media_are_found_by_whatever_name_they_have_and_only_numbers_are_kept_for_good() {
    let stage = Stage::playing();
    let names = [
        ("s4.m4s", "segment-4.m4s"),
        ("p14.m4s", "2026/05/01/~12-00_00.a.m4s"),
        ("init.mp4", "i/part-x.mp4"),
    ];
    stage
        .live
        .publish(renamed(window("run", 5, 1, false), &names));
    let server = stage.serve();
    for (old, new) in names {
        let got = server.get(Http::One, &format!("/cam/run/{new}")).await;
        assert_eq!(
            (got.status, &got.body[..]),
            (200.try_into().unwrap(), &content(old)[..])
        );
        assert_eq!(got.header("content-type"), Some("video/mp4"));
        let lasting = match new {
            "segment-4.m4s" => "public, max-age=3600, immutable",
            _ => "public, max-age=12",
        };
        assert_eq!(got.header("cache-control"), Some(lasting));
        assert_eq!(
            server
                .get(Http::One, &format!("/cam/run/{old}"))
                .await
                .status,
            404
        );
    }
    for other in [
        "2026/05/01",
        "2026/05/01/",
        "2026/05/01/../01/~12-00_00.a.m4s",
        "2026%2f05/01/~12-00_00.a.m4s",
    ] {
        assert_eq!(
            server
                .get(Http::One, &format!("/cam/run/{other}"))
                .await
                .status,
            404
        );
    }
    assert_eq!(
        server
            .get(Http::One, "/cam/run/2026/05/01/%7E12-00_00.a.m4s")
            .await
            .status,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn a_part_is_held_by_its_name_and_gone_with_it() {
    let stage = Stage::playing();
    let hinted = [("p16.m4s", "a/next.m4s")];
    stage
        .live
        .publish(renamed(window("run", 5, 1, false), &hinted));
    let asked = asking(&stage, Http::One, "/cam/run/a/next.m4s").await;
    settle().await;
    assert!(!asked.is_finished());
    stage
        .live
        .publish(renamed(window("run", 5, 2, false), &hinted));
    assert_eq!(asked.await.unwrap().body, content("p16.m4s"));
    // The window moved on.
    stage.publish(9, 0);
    let gone = asking(&stage, Http::One, "/cam/run/a/next.m4s").await;
    let gone = gone.await.unwrap();
    assert_eq!(gone.status, 404);
    assert_eq!(gone.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for path in [
            "/",
            "/healthz",
            "/cam/live.m3u8",
            "/cam/run/media.m3u8",
            "/cam/run/s4.m4s",
            "/cam/run/none",
        ] {
            let get = server.get(version, path).await;
            let head = server.ask(version, Method::HEAD, path, &[]).await;
            assert!(head.body.is_empty());
            assert_eq!(head.status, get.status, "{path}");
            let (mut wanted, mut headers) = (get.headers, head.headers);
            wanted.remove("date");
            headers.remove("date");
            assert_eq!(headers, wanted, "{version:?} {path}");
        }
    }
}

#[tokio::test]
async fn single_ranges_of_media() {
    let stage = Stage::playing();
    let server = stage.serve();
    let whole = content("s4.m4s");
    let len = whole.len();
    let etag = server.get(Http::One, "/cam/run/s4.m4s").await;
    let etag = etag.header("etag").expect("a tag").to_owned();
    let last = format!("bytes={}-", len - 1);
    let beyond = format!("bytes={len}-");
    for version in BOTH {
        for (range, if_range, expected) in [
            ("bytes=0-0", None, Some((0, 1))),
            ("bytes=90-200", None, Some((90, 201))),
            ("bytes=90-200", Some(&*etag), Some((90, 201))),
            (&last, None, Some((len - 1, len))),
            ("bytes=-100", None, Some((len - 100, len))),
            ("bytes=-999999", None, Some((0, len))),
            ("bytes=5-999999", None, Some((5, len))),
            ("bytes=90-200", Some("\"other\""), None),
            ("bytes=0-1,5-6", None, None),
            ("bytes=6-5", None, None),
            ("parts=1-2", None, None),
        ] {
            let mut fields = vec![("range", range)];
            fields.extend(if_range.map(|tag| ("if-range", tag)));
            let got = server
                .ask(version, Method::GET, "/cam/run/s4.m4s", &fields)
                .await;
            let Some((start, end)) = expected else {
                assert_eq!(got.status, 200, "{fields:?}");
                assert_eq!(got.body, whole);
                continue;
            };
            assert_eq!(got.status, 206, "{fields:?}");
            assert_eq!(got.body, whole[start..end], "{fields:?}");
            let bounds = format!("bytes {start}-{}/{len}", end - 1);
            assert_eq!(got.header("content-range"), Some(&*bounds));
            let length = (end - start).to_string();
            assert_eq!(got.header("content-length"), Some(&*length));
            assert_eq!(got.header("etag"), Some(&*etag));
        }
        for range in [&*beyond, "bytes=-0"] {
            let got = server
                .ask(version, Method::GET, "/cam/run/s4.m4s", &[("range", range)])
                .await;
            assert_eq!(got.status, 416);
            let bounds = format!("bytes */{len}");
            assert_eq!(got.header("content-range"), Some(&*bounds));
            assert_eq!(got.header("cache-control"), Some("no-store"));
        }
        // A range is for GET.
        let got = server
            .ask(
                version,
                Method::HEAD,
                "/cam/run/s4.m4s",
                &[("range", "bytes=0-0")],
            )
            .await;
        assert_eq!(got.status, 200);
        // Parts and init segments are cut the same way.
        for name in ["p12.m4s", "init.mp4"] {
            let path = format!("/cam/run/{name}");
            let got = server
                .ask(version, Method::GET, &path, &[("range", "bytes=96-98")])
                .await;
            assert_eq!(got.body, content(name)[96..99]);
        }
    }
}

#[tokio::test]
async fn media_that_a_viewer_has_are_not_sent_again() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let mut tags = Vec::new();
        for name in ["init.mp4", "s4.m4s", "s3.m4s", "p12.m4s"] {
            let path = format!("/cam/run/{name}");
            let got = server.get(version, &path).await;
            let etag = got.header("etag").expect("a tag").to_owned();
            // It goes before the range (RFC 9110, 13.2.2).
            let fields = [("if-none-match", &*etag), ("range", "bytes=0-0")];
            let again = server.ask(version, Method::GET, &path, &fields).await;
            assert_eq!(again.status, 304);
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), Some(&*etag));
            assert!(!tags.contains(&etag), "everything has a tag of its own");
            tags.push(etag);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_is_whole() {
    let stage = Stage::playing();
    for version in BOTH {
        let position = stage.live.current().expect("published").position;
        let viewer = asking(
            &stage,
            version,
            &format!("/cam/run/p{}.m4s", 15 + position.parts),
        )
        .await;
        settle().await;
        assert!(!viewer.is_finished());
        stage.publish(5, position.parts + 1);
        let got = viewer.await.expect("no panic");
        assert_eq!(got.status, 200);
        assert_eq!(got.body, content(&format!("p{}.m4s", 15 + position.parts)));
    }
}

#[tokio::test(start_paused = true)]
async fn not_a_byte_of_a_hinted_part_is_sent_before_it_is_whole() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::playing();
    let (mut socket, _) = stage.pipe(1024);
    socket
        .write_all(b"GET /cam/run/p16.m4s HTTP/1.1\r\nHost: host\r\n\r\n")
        .await
        .expect("open");
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_secs(4), socket.read(&mut byte)).await;
    assert!(early.is_err(), "nothing yet, not even a header");
    stage.publish(5, 2);
    assert_eq!(socket.read(&mut byte).await.expect("open"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_may_turn_out_to_be_the_next_segments_first() {
    let stage = Stage::playing();
    let viewer = asking(&stage, Http::One, "/cam/run/p16.m4s").await;
    settle().await;
    // A key frame closes segment 5 after one part. Nothing of that name is there yet, but it's still hinted.
    let mut early = window("run", 6, 0, false);
    let mut objects = (*early.objects).clone();
    objects.retain(|name, _| !name.starts_with('p'));
    let next = Object::NextPart(Position {
        sequence: 6,
        parts: 0,
    });
    objects.insert("p16.m4s".into(), next);
    early.objects = Arc::new(objects.clone());
    stage.live.publish(early);
    settle().await;
    assert!(!viewer.is_finished());
    let mut later = window("run", 6, 1, false);
    let part = later.segments[6].parts[0].clone();
    objects.insert("p16.m4s".into(), Object::Part(part.clone()));
    later.objects = Arc::new(objects);
    stage.live.publish(later);
    let got = viewer.await.expect("no panic");
    assert_eq!(got.body, content(&part.path));
}

#[tokio::test(start_paused = true)]
async fn the_growing_segment_is_held_until_it_is_complete() {
    let stage = Stage::playing();
    let viewer = asking(&stage, Http::Two, "/cam/run/s5.m4s").await;
    stage.publish(5, 2);
    settle().await;
    assert!(!viewer.is_finished());
    stage.publish(6, 0);
    assert_eq!(viewer.await.expect("no panic").body, content("s5.m4s"));
}

#[tokio::test(start_paused = true)]
async fn a_hinted_part_that_never_comes_is_404_at_the_end_and_503_in_time() {
    let stage = Stage::playing();
    let began = Instant::now();
    let got = asking(&stage, Http::One, "/cam/run/p16.m4s").await;
    let got = got.await.expect("no panic");
    assert_eq!(got.status, 503);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    let longest = Duration::from_secs(u64::from(3 * TARGET_DURATION));
    assert!(began.elapsed() >= longest && began.elapsed() < longest * 2);

    let part = asking(&stage, Http::One, "/cam/run/p16.m4s").await;
    let segment = asking(&stage, Http::One, "/cam/run/s5.m4s").await;
    settle().await;
    stage.end(5, 1);
    for viewer in [part, segment] {
        let got = viewer.await.expect("no panic");
        assert_eq!(got.status, 404);
        assert_eq!(got.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_presentation_that_ended_is_served_until_it_is_forgotten() {
    let stage = Stage::playing();
    stage.end(5, 1);
    for (id, expected) in [("second", 200), ("third", 200), ("fourth", 404)] {
        stage.live.publish(window(id, 0, 0, false));
        let got = stage.viewer(Http::One).await.get("/cam/run/s4.m4s").await;
        assert_eq!(got.status, expected, "when {id} plays");
        stage.live.publish(window(id, 0, 0, true));
    }
}

#[tokio::test]
async fn what_is_not_there_and_was_not_hinted_is_404_at_once() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for name in ["p17.m4s", "s6.m4s", "p99999.m4s", "x", ""] {
            let got = server.get(version, &format!("/cam/run/{name}")).await;
            assert_eq!(got.status, 404, "{name}");
            assert_eq!(got.header("cache-control"), Some("no-store"));
            assert_eq!(got.text().lines().count(), 1, "one line that helps");
        }
        let got = server.get(version, "/cam/yesterday/s4.m4s").await;
        assert_eq!(got.status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_evicted_still_reaches_whoever_is_being_sent_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::playing();
    let (mut socket, _) = stage.pipe(64);
    socket
        .write_all(b"GET /cam/run/s4.m4s HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")
        .await
        .expect("open");
    settle().await;
    let mut later = window("run", 6, 0, false);
    later.objects = Arc::default();
    later.segments.clear();
    stage.live.publish(later);
    let mut response = Vec::new();
    socket.read_to_end(&mut response).await.expect("all of it");
    assert!(response.ends_with(&content("s4.m4s")));
}
