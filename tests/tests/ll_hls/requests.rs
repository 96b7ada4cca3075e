//! Delivery directives and held requests: 6.2.5, 6.2.6.

use std::time::{Duration, Instant};

use picam_tests::{Client, Host, Playlist, media};

use crate::any_host;

async fn start() -> (Host, Client, Playlist) {
    let host = any_host().await.unwrap();
    let client = host.http1().unwrap();
    let playlist = host.media_playlist().await.unwrap();
    // Held requests are judged by what there was before them, so a full segment has to be there.
    let next = playlist.position().0;
    let playlist = Playlist::get(&client, &playlist.path, &format!("_HLS_msn={next}"))
        .await
        .unwrap();
    (host, client, playlist)
}

async fn now(client: &Client, playlist: &Playlist) -> Playlist {
    Playlist::get(client, &playlist.path, "").await.unwrap()
}

/// The playlist has part `part` of segment `sequence`, or what comes later.
fn has(playlist: &Playlist, sequence: u64, part: u64) -> bool {
    playlist.position() > (sequence, part)
}

#[tokio::test]
async fn a_request_for_a_segment_is_held_until_it_is_complete() {
    let (_host, client, playlist) = start().await;
    for _ in 0..2 {
        let (growing, _) = now(&client, &playlist).await.position();
        let query = format!("_HLS_msn={growing}");
        let held = Playlist::get(&client, &playlist.path, &query)
            .await
            .unwrap();
        assert!(held.complete().any(|segment| segment.sequence == growing));
        assert!(held.position() >= (growing + 1, 0));
        assert_eq!(held.skipped, 0, "the whole playlist is sent");
    }
}

#[tokio::test]
async fn a_request_for_a_part_is_held_until_that_part_or_a_later_one() {
    let (_host, client, playlist) = start().await;
    let mut playlist = now(&client, &playlist).await;
    for _ in 0..8 {
        let (sequence, part) = playlist.position();
        let before = Instant::now();
        playlist = playlist.next(&client).await.unwrap();
        assert!(
            has(&playlist, sequence, part),
            "{sequence}.{part}:\n{}",
            playlist.text
        );
        assert!(before.elapsed() < Duration::from_secs(6));
    }
    // What is there already is answered at once, with all there is.
    let oldest = playlist.media_sequence;
    for query in [
        format!("_HLS_msn={oldest}"),
        format!("_HLS_msn={oldest}&_HLS_part=0"),
    ] {
        let reply = Playlist::get(&client, &playlist.path, &query)
            .await
            .unwrap();
        assert!(reply.position() >= playlist.position());
    }
}

#[tokio::test]
async fn a_part_past_the_last_of_its_segment_is_the_first_of_the_next() {
    let (_host, client, playlist) = start().await;
    // A part of the growing segment that it will not have: it has as many as the last one, of the same second.
    let last = playlist.complete().last().unwrap();
    let count = last.parts.len() as u64;
    let query = format!("_HLS_msn={}&_HLS_part={count}", last.sequence);
    let reply = Playlist::get(&client, &playlist.path, &query)
        .await
        .unwrap();
    assert!(has(&reply, last.sequence + 1, 0), "{}", reply.text);

    let mut state = now(&client, &playlist).await;
    while state.position().1 + 1 != count {
        state = state.next(&client).await.unwrap();
    }
    let (growing, _) = state.position();
    let query = format!("_HLS_msn={growing}&_HLS_part={count}");
    let reply = Playlist::get(&client, &playlist.path, &query)
        .await
        .unwrap();
    assert!(has(&reply, growing + 1, 0), "{}", reply.text);
}

#[tokio::test]
async fn what_can_not_be_asked_for_is_refused_and_not_cached() {
    let (_host, client, playlist) = start().await;
    // Further than whatever comes while the test runs.
    let (growing, part) = now(&client, &playlist).await.position();
    let limit = (3.0 / playlist.part_target.as_secs_f64()) as u64;
    let wrong = [
        "_HLS_part=0".to_owned(),
        "_HLS_part=0&_HLS_skip=YES".to_owned(),
        format!("_HLS_msn={}", growing + 60),
        format!("_HLS_msn={}&_HLS_part=0", growing + 60),
        format!("_HLS_msn={growing}&_HLS_part={}", part + limit + 60),
        format!("_HLS_msn={}&_HLS_part={}", growing + 1, limit + 60),
        format!("_HLS_msn={growing}&_HLS_part=x"),
        "_HLS_msn=".to_owned(),
        "_HLS_msn".to_owned(),
        "_HLS_msn=-1".to_owned(),
        "_HLS_msn=1.5".to_owned(),
        "_HLS_msn=99999999999999999999999".to_owned(),
        "_HLS_msn=%zz".to_owned(),
        format!("_HLS_msn={growing}&_HLS_part=-1"),
        "_HLS_skip=no".to_owned(),
        "_HLS_skip=".to_owned(),
    ];
    for query in wrong {
        let reply = client
            .get(&format!("{}?{query}", playlist.path))
            .await
            .unwrap();
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), "no-store", "{query}");
        assert!(
            reply.text().trim().len() > 10,
            "{query}: the reason is given"
        );
    }
}

#[tokio::test]
async fn two_segments_ahead_is_held_and_three_are_refused() {
    let (_host, client, playlist) = start().await;
    // At the start of a segment, so that the next doesn't begin between the question and the answer.
    let state = now(&client, &playlist).await;
    let (growing, _) = state.position();
    let state = Playlist::get(&client, &playlist.path, &format!("_HLS_msn={growing}"))
        .await
        .unwrap();
    let last = state.complete().last().unwrap().sequence;
    let refused = client
        .get(&format!("{}?_HLS_msn={}", playlist.path, last + 3))
        .await
        .unwrap();
    let position = now(&client, &playlist).await.position();
    assert!(
        refused.status == 400 || position.0 > state.position().0,
        "{}",
        refused.text()
    );
    let query = format!("_HLS_msn={}", last + 2);
    let held = Playlist::get(&client, &playlist.path, &query)
        .await
        .unwrap();
    assert!(held.complete().any(|segment| segment.sequence == last + 2));
}

#[tokio::test]
async fn unknown_directives_are_ignored_and_order_does_not_matter() {
    let (_host, client, playlist) = start().await;
    let state = now(&client, &playlist).await;
    let oldest = state.media_sequence;
    for query in [
        "_HLS_unknown=1".to_owned(),
        "_HLS_report=/other.m3u8&x=y&&=".to_owned(),
        format!("_HLS_part=0&_HLS_msn={oldest}"),
        format!("_HLS_skip=YES&_HLS_part=0&token=%zz&_HLS_msn={oldest}"),
    ] {
        let reply = client
            .get(&format!("{}?{query}", playlist.path))
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    }
    let (sequence, part) = now(&client, &playlist).await.position();
    let query = format!("_HLS_part={part}&_HLS_odd&_HLS_msn={sequence}");
    let held = Playlist::get(&client, &playlist.path, &query)
        .await
        .unwrap();
    assert!(has(&held, sequence, part));
}

#[tokio::test]
async fn what_was_not_announced_is_not_found_and_not_cached() {
    let (_host, client, playlist) = start().await;
    let state = now(&client, &playlist).await;
    let hint = &state.hints.last().unwrap()["URI"];
    let serial: u64 = hint
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let too_early = hint.replace(&serial.to_string(), &(serial + 600).to_string());
    assert_ne!(too_early, *hint);
    for uri in [
        too_early.as_str(),
        "part-x.m4s",
        "init-77.mp4",
        "other.m3u8",
    ] {
        let reply = client.get(&state.resolve(uri)).await.unwrap();
        assert_eq!(reply.status, 404, "{uri}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), "no-store", "{uri}");
    }
    let reply = client
        .get("/cam/notapresentation/video.m3u8")
        .await
        .unwrap();
    assert_eq!(
        (reply.status, reply.header("cache-control")),
        (404, "no-store")
    );
}

#[tokio::test]
async fn a_hinted_part_is_held_and_comes_complete() {
    let (host, client, playlist) = start().await;
    let mut state = now(&client, &playlist).await;
    for at in 0..12 {
        let hint = state.hints.last().unwrap()["URI"].clone();
        let client = if at % 2 == 0 {
            host.http1()
        } else {
            host.http2()
        }
        .unwrap();
        let reply = client.get(&state.resolve(&hint)).await.unwrap();
        assert_eq!(reply.status, 200, "{hint}: {}", reply.text());
        assert_eq!(
            reply.header("content-length"),
            reply.body.len().to_string(),
            "a part is not sent in pieces of unknown length"
        );
        let later = now(&client, &playlist).await;
        let all: Vec<_> = later
            .segments
            .iter()
            .flat_map(|segment| &segment.parts)
            .collect();
        let listed = all.iter().find(|part| part.uri == hint);
        let listed = listed.expect("the part is listed once it was sent");
        let samples: u32 = media::fragments(&reply.body)
            .unwrap()
            .iter()
            .flat_map(|fragment| &fragment.samples)
            .map(|sample| sample.duration)
            .sum();
        assert_eq!(Duration::from_micros(samples.into()), listed.duration);
        state = later;
    }
}

#[tokio::test]
async fn many_who_ask_the_same_get_the_same() {
    let (host, client, playlist) = start().await;
    let (sequence, part) = now(&client, &playlist).await.position();
    let path = format!(
        "{}?_HLS_msn={sequence}&_HLS_part={}",
        playlist.path,
        part + 1
    );
    let mut waiting = tokio::task::JoinSet::new();
    for at in 0..60 {
        let client = if at % 2 == 0 {
            host.http1()
        } else {
            host.http2()
        }
        .unwrap();
        let path = path.clone();
        waiting.spawn(async move { client.get(&path).await });
    }
    let mut tags = std::collections::BTreeSet::new();
    while let Some(reply) = waiting.join_next().await {
        let reply = reply.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        tags.insert(reply.header("etag").to_owned());
    }
    // Who is slow to connect may come after the next part.
    assert!(tags.len() < 12, "{} different answers", tags.len());
}
