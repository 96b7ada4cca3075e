//! A camera that is lost and comes back, as playlists tell of it.

mod common;

use std::collections::HashMap;

use common::*;

/// 2026-11-25T00:00:08.800Z: the last picture, a while before the slate takes over.
const SINCE: u64 = START + 8_800_000;

/// Segments 10 to 14 of a stream show the slate.
fn stream() -> Stream {
    let mut stream = Stream::new(60);
    for at in 10..15 {
        stream.script[at].lost_since = Some(SINCE);
        stream.script[at].init = 2;
    }
    stream.script[10].discontinuity = true;
    stream.script[15].discontinuity = true;
    stream
}

fn ranges(playlist: &str) -> Vec<HashMap<String, String>> {
    tags(playlist, "EXT-X-DATERANGE")
        .into_iter()
        .map(attributes)
        .collect()
}

#[test]
fn a_stream_that_lost_nothing_has_no_date_range() {
    for (segments, parts) in [(9, 3), (10, 0)] {
        assert_eq!(ranges(&media(&stream().at(segments, parts), &[])), []);
    }
}

#[test]
fn a_loss_begins_with_the_last_picture_and_has_no_end_while_it_lasts() {
    for (segments, parts) in [(10, 1), (12, 0), (14, 4), (15, 0)] {
        let playlist = media(&stream().at(segments, parts), &[]);
        let [range] = &ranges(&playlist)[..] else {
            panic!("one range in\n{playlist}");
        };
        assert_eq!(range.len(), 3, "{range:?}");
        assert_eq!(range["CLASS"], r#""picam.camera-lost""#);
        assert_eq!(range["START-DATE"], r#""2026-11-25T00:00:08.800Z""#);
        assert_eq!(range["ID"], format!("\"lost-{SINCE}\""));
    }
}

#[test]
fn it_ends_with_the_first_picture_after_it_and_what_was_said_stays() {
    let before = ranges(&media(&stream().at(15, 0), &[]));
    for (segments, parts) in [(15, 1), (16, 0), (44, 2)] {
        let playlist = media(&stream().at(segments, parts), &[]);
        let [mut range] = <[_; 1]>::try_from(ranges(&playlist)).unwrap();
        assert_eq!(
            range.remove("END-DATE").as_deref(),
            Some(r#""2026-11-25T00:00:14.999Z""#)
        );
        assert_eq!([range], *before);
    }
}

#[test]
fn a_range_goes_with_the_last_segment_that_shows_the_slate() {
    let stream = stream();
    let mut seen = 0;
    for (complete, parts) in stream.positions(9, 59) {
        let presentation = stream.at(complete, parts);
        let listed = &presentation.renditions[0].segments;
        let shown = listed.iter().any(|segment| {
            segment.lost_since.is_some() && !segment.parts.is_empty() | segment.complete
        });
        let told = ranges(&media(&presentation, &[])).len();
        assert_eq!(told, usize::from(shown), "{complete}.{parts}");
        seen += told;
    }
    assert!(seen > 0 && seen < 50 * 5);
}

#[test]
fn two_losses_are_two_ranges_even_without_a_picture_to_list_between_them() {
    let mut stream = stream();
    for at in 15..18 {
        stream.script[at].lost_since = Some(SINCE + 5_000_000);
    }
    let ranges = ranges(&media(&stream.at(20, 0), &[]));
    assert_eq!(ranges.len(), 2);
    assert_ne!(ranges[0]["ID"], ranges[1]["ID"]);
    for range in ranges {
        assert!(range["END-DATE"] > range["START-DATE"]);
    }
}

#[test]
fn a_delta_update_keeps_the_ranges_of_the_segments_that_it_skips() {
    let presentation = stream().at(35, 2);
    let delta = media(&presentation, &[("_HLS_skip", "YES")]);
    assert!(delta.contains("SKIPPED-SEGMENTS=18"), "up to 1021: {delta}");
    assert_eq!(ranges(&delta), ranges(&media(&presentation, &[])));
    assert_eq!(ranges(&delta).len(), 1);
}

#[test]
fn a_clock_that_was_set_back_makes_no_range_end_before_it_begins() {
    let mut stream = stream();
    for at in 10..15 {
        stream.script[at].lost_since = Some(SINCE + 3_600_000_000);
    }
    let [range] = <[_; 1]>::try_from(ranges(&media(&stream.at(20, 0), &[]))).unwrap();
    assert_eq!(range["END-DATE"], range["START-DATE"]);
}
