//! What a media playlist says.

mod common;

use common::*;
use picam_plugin::{Config, Plugin, playlist::*};

#[test]
fn the_whole_of_a_small_playlist() {
    let mut stream = Stream::new(3);
    stream.script[1].discontinuity = true;
    stream.script[1].init = 2;
    stream.script[1].parts = vec![PART, 33_333];
    let playlist = media(&stream.at(2, 1), &[]);
    assert_eq!(
        playlist,
        r#"#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-PART-INF:PART-TARGET=0.202
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.000,HOLD-BACK=6.000,PART-HOLD-BACK=0.606
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA-SEQUENCE:1000
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:00.000Z
#EXT-X-PART:DURATION=0.199998,URI="part-0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.199998,URI="part-1.m4s"
#EXT-X-PART:DURATION=0.199998,URI="part-2.m4s"
#EXT-X-PART:DURATION=0.199998,URI="part-3.m4s"
#EXT-X-PART:DURATION=0.199998,URI="part-4.m4s"
#EXTINF:0.99999,
segment-1000.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init-2.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:00.999Z
#EXT-X-PART:DURATION=0.199998,URI="part-5.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.033333,URI="part-6.m4s"
#EXTINF:0.233331,
segment-1001.m4s
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:01.233Z
#EXT-X-PART:DURATION=0.199998,URI="part-7.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="part-8.m4s"
"#
    );
}

#[test]
fn another_reader_finds_the_same() {
    let mut stream = Stream::new(20);
    stream.script[7].discontinuity = true;
    stream.script[7].init = 2;
    let presentation = stream.at(19, 2);
    let playlist = media(&presentation, &[]);
    let seen = m3u8_rs::parse_media_playlist_res(playlist.as_bytes()).unwrap();
    assert_eq!(seen.version, Some(6));
    assert_eq!(seen.target_duration, 2);
    assert_eq!(seen.media_sequence, FIRST);
    assert_eq!(seen.discontinuity_sequence, 0);
    assert!(seen.independent_segments);
    assert!(!seen.end_list);
    assert_eq!(seen.playlist_type, None);
    let complete: Vec<_> = presentation.renditions[0]
        .segments
        .iter()
        .filter(|segment| segment.complete)
        .collect();
    assert!(seen.segments.len() >= complete.len());
    for (seen, segment) in seen.segments.iter().zip(complete) {
        assert_eq!(seen.uri, segment.path);
        assert!((f64::from(seen.duration) * 1e6 - segment.duration as f64).abs() < 1.0);
        assert_eq!(seen.discontinuity, segment.discontinuity);
        let date = seen.program_date_time.unwrap();
        assert_eq!(date.timestamp_millis(), (segment.captured / 1_000) as i64);
    }
    let map = |at: usize| seen.segments[at].map.as_ref().map(|map| map.uri.as_str());
    assert_eq!(map(0), Some("init-1.mp4"));
    assert_eq!(map(7), Some("init-2.mp4"));
    assert_eq!(map(8), Some("init-1.mp4"));
    assert_eq!(map(9), None);
}

#[test]
fn what_a_presentation_states_never_changes() {
    let stream = Stream::new(60);
    let mut stated = Vec::new();
    for (complete, parts) in stream.positions(1, 59) {
        let playlist = media(&stream.at(complete, parts), &[("_HLS_skip", "YES")]);
        stated.push(
            [
                "EXT-X-TARGETDURATION",
                "EXT-X-PART-INF",
                "EXT-X-SERVER-CONTROL",
            ]
            .map(|name| tag(&playlist, name).to_owned()),
        );
    }
    stated.push(
        [
            "EXT-X-TARGETDURATION",
            "EXT-X-PART-INF",
            "EXT-X-SERVER-CONTROL",
        ]
        .map(|name| tag(&media(&stream.ended(59), &[]), name).to_owned()),
    );
    stated.dedup();
    assert_eq!(stated.len(), 1, "{stated:#?}");
}

#[test]
fn hold_backs_and_skip_boundary_are_what_the_draft_asks() {
    for (part_target, target_duration) in [(100_000, 1), (202_000, 2), (333_667, 4), (1_500_001, 6)]
    {
        let mut stream = Stream::new(4);
        stream.timing.part_target = part_target;
        stream.timing.target_duration = target_duration;
        let playlist = media(&stream.at(3, 0), &[]);
        let control = attributes(tag(&playlist, "EXT-X-SERVER-CONTROL"));
        assert_eq!(control["CAN-BLOCK-RELOAD"], "YES");
        assert_eq!(micros(&control["PART-HOLD-BACK"]), 3 * part_target);
        assert_eq!(
            micros(&control["HOLD-BACK"]),
            u64::from(target_duration) * 3_000_000
        );
        assert_eq!(
            micros(&control["CAN-SKIP-UNTIL"]),
            u64::from(target_duration) * 6_000_000
        );
        let part_inf = attributes(tag(&playlist, "EXT-X-PART-INF"));
        assert_eq!(micros(&part_inf["PART-TARGET"]), part_target);
    }
}

#[test]
fn a_configured_hold_back_is_rounded_up() {
    let mut plugin = ll_hls::LlHls::start(&Config::from([("hold-back", "3.335")])).unwrap();
    let presentation = Stream::new(4).at(3, 0);
    let playlist = text(plugin.render(&request("video.m3u8", &[]), &presentation)).body;
    let control = attributes(tag(&playlist, "EXT-X-SERVER-CONTROL"));
    assert_eq!(
        micros(&control["PART-HOLD-BACK"]),
        (202_000u64 * 3_335).div_ceil(1_000)
    );
}

#[test]
fn durations_are_exact_to_the_microsecond_and_parts_add_up_to_their_segment() {
    let mut stream = Stream::new(12);
    for (at, scripted) in stream.script.iter_mut().enumerate() {
        scripted.parts = (0..5)
            .map(|part| 180_001 + part * 3_333 + at as u64 * 7)
            .collect();
    }
    let (_, listed) = read(&media(&stream.at(11, 3), &[]));
    let mut seen = 0;
    for (segment, scripted) in listed.iter().zip(&stream.script) {
        if segment.uri.is_some() {
            assert_eq!(segment.duration, scripted.parts.iter().sum());
            if !segment.parts.is_empty() {
                let sum: u64 = segment.parts.iter().map(|(_, duration)| duration).sum();
                assert_eq!(sum, segment.duration);
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn discontinuity_map_and_date_come_before_the_first_part_of_their_segment() {
    let mut stream = Stream::new(6);
    stream.script[4].discontinuity = true;
    stream.script[4].init = 2;
    for (complete, parts) in [(4, 1), (4, 4), (5, 0), (5, 1)] {
        let playlist = media(&stream.at(complete, parts), &[]);
        let at = |line: &str| {
            playlist
                .lines()
                .position(|l| l == line)
                .unwrap_or_else(|| panic!("{line} in\n{playlist}"))
        };
        let first_part = at(r#"#EXT-X-PART:DURATION=0.199998,URI="part-20.m4s",INDEPENDENT=YES"#);
        let previous = at("segment-1003.m4s");
        for line in [
            "#EXT-X-DISCONTINUITY",
            r#"#EXT-X-MAP:URI="init-2.mp4""#,
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:03.999Z",
        ] {
            assert!(previous < at(line) && at(line) < first_part);
        }
    }
}

#[test]
fn a_segment_that_has_no_part_yet_is_hinted_and_nothing_more() {
    let mut stream = Stream::new(6);
    stream.script[4].discontinuity = true;
    stream.script[4].init = 2;
    let playlist = media(&stream.at(4, 0), &[]);
    assert_eq!(tags(&playlist, "EXT-X-DISCONTINUITY").len(), 0);
    assert_eq!(tags(&playlist, "EXT-X-PROGRAM-DATE-TIME").len(), 4);
    assert!(
        playlist.ends_with(
            "segment-1003.m4s\n\
             #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init-2.mp4\"\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-20.m4s\"\n"
        ),
        "{playlist}"
    );
}

#[test]
fn a_map_is_hinted_when_it_is_known_to_change_and_never_otherwise() {
    let stream = Stream::new(6);
    let mut presentation = stream.at(4, 2);
    for (next, hinted) in [
        (None, None),
        (Some("init-1.mp4"), None),
        (Some("init-9.mp4"), Some(r#"TYPE=MAP,URI="init-9.mp4""#)),
    ] {
        presentation.renditions[0].next_init = next.map(str::to_owned);
        let playlist = media(&presentation, &[]);
        let hints = tags(&playlist, "EXT-X-PRELOAD-HINT");
        let (part, map) = hints.split_last().unwrap();
        assert_eq!(*part, r#"TYPE=PART,URI="part-22.m4s""#);
        assert_eq!(map, hinted.as_slice());
    }
}

#[test]
fn the_next_part_is_hinted_at_every_position_and_comes_as_hinted() {
    let stream = Stream::new(9);
    let mut hinted = None;
    for (complete, parts_of) in stream.positions(1, 8) {
        let playlist = media(&stream.at(complete, parts_of), &[]);
        if let Some(hinted) = hinted {
            assert_eq!(
                parts(&playlist).last().map(|(uri, _)| uri.clone()),
                Some(hinted)
            );
        }
        let [hint] = tags(&playlist, "EXT-X-PRELOAD-HINT")[..] else {
            panic!("one hint in\n{playlist}");
        };
        let hint = attributes(hint);
        assert_eq!(hint["TYPE"], "PART");
        hinted = Some(hint["URI"].trim_matches('"').to_owned());
    }
}

#[test]
fn independent_is_said_of_independent_parts_alone() {
    let playlist = media(&Stream::new(6).at(5, 3), &[]);
    for list in tags(&playlist, "EXT-X-PART") {
        let attributes = attributes(list);
        let number: u64 = attributes["URI"]
            .trim_matches('"')
            .strip_prefix("part-")
            .and_then(|rest| rest.strip_suffix(".m4s"))
            .unwrap()
            .parse()
            .unwrap();
        let expected = number.is_multiple_of(5).then_some("YES");
        assert_eq!(attributes.get("INDEPENDENT").map(String::as_str), expected);
    }
}

#[test]
fn parts_of_whole_segments_are_listed_and_only_near_the_end() {
    let stream = Stream::new(20);
    for (complete, growing) in stream.positions(8, 19) {
        let presentation = stream.at(complete, growing);
        let (_, listed) = read(&media(&presentation, &[]));
        let end: u64 = presentation.renditions[0]
            .segments
            .iter()
            .map(|s| s.duration)
            .sum();
        let mut start = 0;
        for (segment, source) in listed.iter().zip(&presentation.renditions[0].segments) {
            assert!(
                segment.parts.is_empty() || segment.parts.len() == source.parts.len(),
                "all of a segment's parts or none"
            );
            if !segment.parts.is_empty() {
                assert!(
                    end - start <= 3 * 2_000_000,
                    "three target durations at most"
                );
            }
            start += source.duration;
        }
        let with_parts = listed
            .iter()
            .filter(|segment| !segment.parts.is_empty())
            .count();
        // The growing one, once it has any, the last complete one, and one more while the hold-back reaches into it.
        let reached = if (growing as u64) * PART < 4 * PART_TARGET {
            1
        } else {
            0
        };
        assert!(
            (1..=2 + reached).contains(&with_parts),
            "{with_parts} at {growing}"
        );
        let last_complete = listed
            .iter()
            .rfind(|segment| segment.uri.is_some())
            .unwrap();
        assert_eq!(last_complete.parts.len(), 5);
    }
}

#[test]
fn parts_reach_back_further_than_part_hold_back() {
    for hold_back in ["3", "8", "12.5"] {
        let mut plugin = ll_hls::LlHls::start(&Config::from([("hold-back", hold_back)])).unwrap();
        let stream = Stream::new(20);
        for (complete, growing) in stream.positions(10, 12) {
            let presentation = stream.at(complete, growing);
            let playlist = text(plugin.render(&request("video.m3u8", &[]), &presentation)).body;
            let control = attributes(tag(&playlist, "EXT-X-SERVER-CONTROL"));
            let listed: u64 = parts(&playlist).iter().map(|(_, duration)| duration).sum();
            assert!(
                listed > micros(&control["PART-HOLD-BACK"]),
                "{hold_back}: {playlist}"
            );
        }
    }
}

#[test]
fn segments_and_parts_leave_in_the_order_in_which_they_came_and_never_return() {
    let stream = Stream::new(50);
    let mut last_part_listed_first = String::new();
    let mut order = Vec::new();
    let mut sequence_before = 0;
    for (complete, growing) in stream.positions(1, 49) {
        let playlist = media(&stream.at(complete, growing), &[]);
        let (sequence, _) = read(&playlist);
        assert!(sequence >= sequence_before);
        sequence_before = sequence;
        if let Some((first, _)) = parts(&playlist).into_iter().next()
            && first != last_part_listed_first
        {
            assert!(!order.contains(&first), "{first} came back");
            order.push(first.clone());
            last_part_listed_first = first;
        }
    }
    assert!(sequence_before > FIRST, "the window moved");
}

#[test]
fn discontinuities_that_left_the_list_are_counted() {
    let mut stream = Stream::new(60);
    for at in [3, 5, 40] {
        stream.script[at].discontinuity = true;
    }
    let playlist = media(&stream.at(58, 1), &[]);
    assert_eq!(tag(&playlist, "EXT-X-DISCONTINUITY-SEQUENCE"), "2");
    assert_eq!(tags(&playlist, "EXT-X-DISCONTINUITY").len(), 1);
}

#[test]
fn a_corrected_wall_clock_shows_with_the_segment_in_which_it_was_corrected() {
    let mut stream = Stream::new(6);
    for scripted in &mut stream.script[3..] {
        scripted.correction = 3_600_000_000;
    }
    let (_, listed) = read(&media(&stream.at(5, 1), &[]));
    let dates: Vec<_> = listed
        .iter()
        .map(|segment| segment.date.clone().unwrap())
        .collect();
    assert_eq!(dates[2], "2026-11-25T00:00:01.999Z");
    assert_eq!(dates[3], "2026-11-25T01:00:02.999Z");
    assert_eq!(dates.len(), 6, "every segment has one");
}

#[test]
fn an_ended_playlist_says_so_and_hints_nothing() {
    let playlist = media(&Stream::new(6).ended(6), &[]);
    assert!(
        playlist.ends_with("segment-1005.m4s\n#EXT-X-ENDLIST\n"),
        "{playlist}"
    );
    assert_eq!(tags(&playlist, "EXT-X-PRELOAD-HINT").len(), 0);
    assert!(
        m3u8_rs::parse_media_playlist_res(playlist.as_bytes())
            .unwrap()
            .end_list
    );
}

#[test]
fn no_playlist_type_and_one_version_are_stated() {
    let playlist = media(&Stream::new(40).at(39, 3), &[]);
    assert_eq!(tags(&playlist, "EXT-X-PLAYLIST-TYPE").len(), 0);
    assert_eq!(tag(&playlist, "EXT-X-VERSION"), "6");
}

#[test]
fn every_other_rendition_is_reported_and_none_where_there_is_one() {
    let stream = Stream::new(6);
    let mut presentation = stream.at(4, 2);
    assert_eq!(
        tags(&media(&presentation, &[]), "EXT-X-RENDITION-REPORT").len(),
        0
    );

    for (complete, growing, newest) in [(4, 3, (1_004, 2)), (4, 0, (1_003, 4))] {
        let mut other = stream.at(complete, growing).renditions.remove(0);
        other.id = "small".into();
        presentation.renditions.truncate(1);
        presentation.renditions.push(other);
        assert_eq!(
            tag(&media(&presentation, &[]), "EXT-X-RENDITION-REPORT"),
            format!(
                r#"URI="small.m3u8",LAST-MSN={},LAST-PART={}"#,
                newest.0, newest.1
            )
        );
        let small = text(plugin().render(&request("small.m3u8", &[]), &presentation)).body;
        assert_eq!(
            tag(&small, "EXT-X-RENDITION-REPORT"),
            r#"URI="video.m3u8",LAST-MSN=1004,LAST-PART=1"#
        );
    }
}

#[test]
fn a_stream_that_has_just_begun_has_a_playlist_to_wait_on() {
    let playlist = media(&Stream::new(3).at(0, 0), &[]);
    assert_eq!(tag(&playlist, "EXT-X-MEDIA-SEQUENCE"), "1000");
    assert_eq!(
        tags(&playlist, "EXT-X-PRELOAD-HINT"),
        [
            r#"TYPE=MAP,URI="init-1.mp4""#,
            r#"TYPE=PART,URI="part-0.m4s""#
        ]
    );
    let playlist = media(&Stream::new(3).at(0, 1), &[]);
    assert_eq!(parts(&playlist).len(), 1);
}

#[test]
fn an_unknown_document_is_not_found() {
    let presentation = Stream::new(3).at(2, 0);
    let answer = plugin().render(&request("audio.m3u8", &[]), &presentation);
    assert_eq!(refusal(answer).0, 404);
}

#[test]
fn a_file_has_whole_segments_and_nothing_of_low_latency() {
    let mut stream = Stream::new(20);
    stream.script[7].discontinuity = true;
    stream.script[7].init = 2;
    for presentation in [stream.at(19, 2), stream.ended(19)] {
        // Whatever else is asked: a file is written once.
        let query = [("_HLS_msn", "9999999"), ("as-file", "yes")];
        let file = media(&presentation, &query);
        for newer in ["PART", "SERVER-CONTROL", "PRELOAD-HINT", "SKIP"] {
            assert!(!file.contains(newer), "{newer}: {file}");
        }
        let (sequence, listed) = read(&file);
        let (sequence_of_all, all) = read(&media(&presentation, &[]));
        assert_eq!(sequence, sequence_of_all);
        let complete: Vec<_> = all
            .into_iter()
            .filter(|segment| segment.uri.is_some())
            .map(|segment| Listed {
                parts: Vec::new(),
                ..segment
            })
            .collect();
        assert_eq!(listed, complete);
        assert_eq!(file.contains("ENDLIST"), presentation.ended);
    }
}
