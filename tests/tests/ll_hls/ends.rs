//! The end of a stream, and a stream that does not begin.

use std::{process::Stdio, time::Duration};

use picam_tests::{Camera, Clip, Host, Playlist, media, watch};

use crate::{Scene, check};

/// NAL units that hold pictures (ISO/IEC 14496-10, table 7-1).
fn slices<'a>(nals: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    nals.filter(|nal| nal.first().is_some_and(|head| matches!(head & 0x1f, 1..=5)))
        .map(<[u8]>::to_vec)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_is_whole_and_says_so() {
    let clip = Clip::default();
    let mut camera = Camera::new(
        &["clip {} rate 30 play 150 exit 0"],
        std::slice::from_ref(&clip),
    )
    .await
    .unwrap();
    let mut child = camera.command().stdout(Stdio::piped()).spawn().unwrap();
    let pipe: Stdio = child.stdout.take().unwrap().try_into().unwrap();
    let host = Host::source("-").stdin(pipe).start().await.unwrap();
    let watched = watch(&host, Duration::from_secs(12)).await.unwrap();
    assert_eq!(camera.started().await.unwrap(), 150);

    let scene = Scene {
        name: "150 pictures on standard input".into(),
        fps: Some(30),
        frame: Duration::from_secs(1) / 30,
        part_ms: 200,
        window_s: 30,
        jitter: Duration::from_millis(250),
        even: true,
        skips: false,
        discontinuities: false,
    };
    let breaches = check(&watched, &scene);
    assert!(breaches.is_empty(), "{}", breaches.join("\n\n"));

    // Every picture that went in comes out, bit by bit, in order.
    let [watched] = &watched[..] else {
        panic!("{} presentations", watched.len())
    };
    let mut out = Vec::new();
    for segment in watched.segments() {
        let whole = &watched.media[segment.uri.as_ref().unwrap()];
        for fragment in media::fragments(&whole.body).unwrap() {
            let nals = fragment.samples.iter().flat_map(|sample| &sample.nals);
            out.extend(slices(nals.map(|nal| &nal[..])));
        }
    }
    let units = clip.units().await.unwrap();
    let sent = units.iter().cycle().take(150);
    let sent: Vec<_> = sent
        .flat_map(|unit| slices(media::annex_b(unit).into_iter()))
        .collect();
    assert_eq!(out.len(), sent.len());
    assert!(out == sent, "pictures differ");

    // 6.2.5: directives mean nothing any more.
    let last = watched.last();
    assert!(last.ended && last.hints.is_empty(), "{}", last.text);
    let client = host.http1().unwrap();
    for query in [
        "",
        "_HLS_msn=99999999999999",
        "_HLS_msn=1&_HLS_part=77777",
        "_HLS_part=1",
    ] {
        let again = Playlist::get(&client, &last.path, query).await.unwrap();
        assert_eq!(again.text, last.text, "{query}");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_unavailable_and_that_is_not_cached() {
    let host = Host::source("exec:exec sleep 100").start().await.unwrap();
    let client = host.http1().unwrap();
    let reply = client.get("/cam/live.m3u8").await.unwrap();
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(!reply.header("retry-after").is_empty());
    assert!(reply.text().trim().len() > 10, "the reason is given");
}
