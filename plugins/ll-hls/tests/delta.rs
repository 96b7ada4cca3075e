//! Delta updates (6.2.5.1).

mod common;

use common::*;

const SKIP: [(&str, &str); 1] = [("_HLS_skip", "YES")];

/// What a player has once it has merged a delta update into the playlist that it had before (6.3.7).
fn merged(before: &str, delta: &str) -> (u64, Vec<Listed>) {
    let (had_from, had) = read(before);
    let first: u64 = tag(delta, "EXT-X-MEDIA-SEQUENCE").parse().unwrap();
    let (from, mut rest) = read(delta);
    let mut kept: Vec<_> = (first..from)
        .map(|sequence| {
            let mut segment = had[usize::try_from(sequence - had_from).unwrap()].clone();
            assert!(
                segment.uri.is_some(),
                "what was skipped was complete before"
            );
            segment.parts.clear();
            segment
        })
        .collect();
    kept.append(&mut rest);
    (first, kept)
}

#[test]
fn merged_with_an_earlier_playlist_a_delta_is_the_whole_playlist() {
    let mut stream = Stream::new(70);
    for (at, scripted) in stream.script.iter_mut().enumerate() {
        scripted.discontinuity = at % 9 == 4;
        scripted.init = (at / 13) as u32;
        scripted.parts = vec![PART; 3 + at % 4];
    }
    let mut history = Vec::new();
    let mut deltas = 0;
    for (complete, parts) in stream.positions(1, 69) {
        let presentation = stream.at(complete, parts);
        let whole = media(&presentation, &[]);
        let delta = media(&presentation, &SKIP);
        history.push(whole.clone());
        if tags(&delta, "EXT-X-SKIP").is_empty() {
            assert_eq!(delta, whole);
            continue;
        }
        deltas += 1;
        // A player that has any version up to half a skip boundary old may ask: 6 s, some 30 parts.
        for before in [history.len() - 2, history.len().saturating_sub(30)] {
            assert_eq!(merged(&history[before], &delta), read(&whole));
        }
    }
    assert!(deltas > 100);
}

#[test]
fn segments_wholly_beyond_the_boundary_are_skipped_and_no_others() {
    // Segments of 0.99999 s: the end of the one that is 13 before the last complete one is 12.99987 s from the end.
    let stream = Stream::new(40);
    for parts in 0..5 {
        let presentation = stream.at(25, parts);
        let delta = media(&presentation, &SKIP);
        assert_eq!(
            tag(&delta, "EXT-X-SKIP"),
            "SKIPPED-SEGMENTS=12",
            "parts don't count"
        );
        let (first, listed) = read(&delta);
        assert_eq!(first, FIRST + 12);
        assert_eq!(
            listed
                .iter()
                .filter(|segment| segment.uri.is_some())
                .count(),
            13
        );
    }
}

#[test]
fn a_boundary_that_is_met_exactly_is_not_passed() {
    let mut stream = Stream::new(40);
    for scripted in &mut stream.script {
        scripted.parts = vec![200_000; 5];
    }
    let delta = media(&stream.at(25, 2), &SKIP);
    // 1012 ends 12 s from the end.
    assert_eq!(tag(&delta, "EXT-X-SKIP"), "SKIPPED-SEGMENTS=12");
    assert!(delta.contains("segment-1012.m4s"));
}

#[test]
fn nothing_is_skipped_of_a_playlist_within_the_boundary() {
    let stream = Stream::new(40);
    for complete in [1, 6, 12, 13] {
        let presentation = stream.at(complete, 3);
        assert_eq!(
            media(&presentation, &SKIP),
            media(&presentation, &[]),
            "{complete}"
        );
    }
    assert_eq!(
        tag(&media(&stream.at(14, 3), &SKIP), "EXT-X-SKIP"),
        "SKIPPED-SEGMENTS=1"
    );
}

#[test]
fn only_a_delta_states_version_9() {
    let presentation = Stream::new(40).at(30, 1);
    assert_eq!(tag(&media(&presentation, &SKIP), "EXT-X-VERSION"), "9");
    assert_eq!(tag(&media(&presentation, &[]), "EXT-X-VERSION"), "6");
}

#[test]
fn what_was_not_skipped_stays_and_counts_stay_as_they_were() {
    let mut stream = Stream::new(60);
    stream.script[2].discontinuity = true;
    stream.script[25].discontinuity = true;
    stream.script[45].discontinuity = true;
    let presentation = stream.at(50, 2);
    let (whole, delta) = (media(&presentation, &[]), media(&presentation, &SKIP));
    for name in [
        "EXT-X-TARGETDURATION",
        "EXT-X-PART-INF",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-INDEPENDENT-SEGMENTS",
        "EXT-X-PRELOAD-HINT",
    ] {
        assert_eq!(tag(&delta, name), tag(&whole, name));
    }
    assert_eq!(tag(&delta, "EXT-X-DISCONTINUITY-SEQUENCE"), "1");
    assert_eq!(tags(&delta, "EXT-X-PART"), tags(&whole, "EXT-X-PART"));
    assert_eq!(tags(&whole, "EXT-X-DISCONTINUITY").len(), 2);
    assert_eq!(tags(&delta, "EXT-X-DISCONTINUITY").len(), 1);
    assert!(delta.len() < whole.len() * 2 / 3);
}

#[test]
fn who_asks_for_an_update_of_date_ranges_which_is_not_offered_gets_a_whole_playlist() {
    let presentation = Stream::new(40).at(25, 2);
    let whole = media(&presentation, &[]);
    assert!(!whole.contains("CAN-SKIP-DATERANGES"));
    assert_eq!(media(&presentation, &[("_HLS_skip", "v2")]), whole);
}

#[test]
fn a_blocking_request_can_ask_for_a_delta() {
    let presentation = Stream::new(40).at(25, 2);
    let delta = media(
        &presentation,
        &[
            ("_HLS_msn", "1025"),
            ("_HLS_part", "1"),
            ("_HLS_skip", "YES"),
        ],
    );
    assert_eq!(delta, media(&presentation, &SKIP));
}
