//! What the playlists say.

use hls::Hls;
use picam_plugin::{Config, KeyValue, Plugin, Position, playlist::*};

const SEGMENT: u64 = 999_990;
/// 2026-11-25T00:00:00Z
const START: u64 = 1_795_564_800_000_000;
const FIRST: u64 = 1_000;

/// So many complete segments, and one that grows. Every fifth begins behind a discontinuity, with a map of its own.
fn presentation(complete: u64) -> Presentation {
    let segments = (0..=complete).map(|index| Segment {
        sequence: FIRST + index,
        path: format!("segment-{}.m4s", FIRST + index),
        init: format!("init-{}.mp4", index / 5),
        start: index * SEGMENT,
        captured: START + index * SEGMENT,
        duration: if index < complete { SEGMENT } else { 199_998 },
        size: if index < complete { 250_000 } else { 50_000 },
        discontinuity: index > 0 && index % 5 == 0,
        lost_since: None,
        complete: index < complete,
        parts: Vec::new(),
    });
    Presentation {
        id: "5f3a".into(),
        epoch: START,
        ended: false,
        superseded: false,
        timing: Timing {
            part_target: 202_000,
            target_duration: 2,
            segment: 1_000_000,
            frame: 33_333,
            window: 30_000_000,
        },
        renditions: vec![Rendition {
            id: "video".into(),
            codecs: "avc1.64001f".into(),
            width: 1280,
            height: 720,
            frame_rate_milli: 29_970,
            peak_bitrate: 2_400_001,
            average_bitrate: 2_000_000,
            position: Position {
                sequence: FIRST + complete,
                parts: 1,
            },
            discontinuity_sequence: 3,
            segments: segments.collect(),
            periods: Vec::new(),
            next_part: Some("part-77.m4s".into()),
            next_init: None,
        }],
    }
}

fn render<const N: usize>(
    config: [(&str, &str); N],
    document: &str,
    presentation: &Presentation,
) -> Answer {
    let request = Request {
        document: document.into(),
        query: Vec::<KeyValue>::new(),
        headers: Vec::new(),
        cookies: Vec::new(),
    };
    let mut plugin = Hls::start(&Config::from(config)).unwrap();
    plugin.render(&request, presentation)
}

fn text(answer: Answer) -> Text {
    match answer {
        Answer::Document(text) => text,
        other => panic!("a document was expected, not {other:?}"),
    }
}

fn media(presentation: &Presentation) -> String {
    text(render([], "hls-video.m3u8", presentation)).body
}

fn seen(playlist: &str) -> m3u8_rs::MediaPlaylist {
    m3u8_rs::parse_media_playlist_res(playlist.as_bytes()).unwrap()
}

#[test]
fn the_whole_of_a_small_playlist() {
    let mut presentation = presentation(6);
    presentation.renditions[0].segments.drain(..4);
    assert_eq!(
        media(&presentation),
        r#"#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA-SEQUENCE:1004
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="init-0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:03.999Z
#EXTINF:0.99999,
segment-1004.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-25T00:00:04.999Z
#EXTINF:0.99999,
segment-1005.m4s
"#
    );
}

#[test]
fn the_whole_of_a_master_playlist() {
    let answer = text(render([], "hls.m3u8", &presentation(6)));
    assert_eq!(
        answer.body,
        r#"#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=2400001,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.64001f",RESOLUTION=1280x720,FRAME-RATE=29.970
5f3a/hls-video.m3u8
"#
    );
    assert_eq!(answer.max_age, 1);
    let master = m3u8_rs::parse_master_playlist_res(answer.body.as_bytes()).unwrap();
    assert_eq!(master.variants.len(), 1);
}

#[test]
fn another_reader_finds_all_complete_segments_and_nothing_newer_than_rfc_8216() {
    let presentation = presentation(20);
    let playlist = media(&presentation);
    let seen = seen(&playlist);
    let complete = &presentation.renditions[0].segments[..20];
    assert_eq!(seen.segments.len(), 20);
    for (seen, segment) in seen.segments.iter().zip(complete) {
        assert_eq!(seen.uri, segment.path);
        assert_eq!(seen.discontinuity, segment.discontinuity);
        let date = seen.program_date_time.unwrap();
        assert_eq!(date.timestamp_millis(), (segment.captured / 1_000) as i64);
    }
    for newer in [
        "PART",
        "SERVER-CONTROL",
        "PRELOAD-HINT",
        "SKIP",
        "RENDITION-REPORT",
        "GAP",
    ] {
        assert!(!playlist.contains(newer), "{newer}");
    }
    assert!(!seen.end_list && seen.playlist_type.is_none());
}

#[test]
fn a_shorter_list_keeps_count_of_what_it_left_out() {
    let presentation = presentation(20);
    let shorter = text(render([("window-s", "8")], "hls-video.m3u8", &presentation)).body;
    let (all, shorter) = (seen(&media(&presentation)), seen(&shorter));
    // 8 × 0.99999 s are less than 8 s.
    assert_eq!(shorter.segments.len(), 9);
    assert_eq!(shorter.media_sequence, FIRST + 11);
    // Of the discontinuities before 1005, 1010 and 1015, two have gone.
    assert_eq!(shorter.discontinuity_sequence, 3 + 2);
    assert_eq!(
        shorter
            .segments
            .iter()
            .map(|segment| &segment.uri)
            .collect::<Vec<_>>(),
        all.segments[11..]
            .iter()
            .map(|segment| &segment.uri)
            .collect::<Vec<_>>()
    );
    assert_eq!(shorter.segments[0].map.as_ref().unwrap().uri, "init-2.mp4");
}

#[test]
fn three_target_durations_are_listed_at_least() {
    let playlist = text(render(
        [("window-s", "3")],
        "hls-video.m3u8",
        &presentation(20),
    ));
    let listed: f32 = seen(&playlist.body)
        .segments
        .iter()
        .map(|segment| segment.duration)
        .sum();
    assert!(listed >= 6.0, "{listed}");
}

#[test]
fn numbers_never_go_back_and_what_was_said_of_a_segment_stays_true() {
    for window in ["3", "10", "60"] {
        let mut before: Option<m3u8_rs::MediaPlaylist> = None;
        for complete in 0..40 {
            let mut presentation = presentation(complete);
            // As the host does: what leaves its window is counted.
            let rendition = &mut presentation.renditions[0];
            while rendition.segments.len() > 16 {
                rendition.discontinuity_sequence +=
                    u64::from(rendition.segments.remove(0).discontinuity);
            }
            let playlist = text(render(
                [("window-s", window)],
                "hls-video.m3u8",
                &presentation,
            ));
            let now = seen(&playlist.body);
            if let Some(before) = before {
                assert!(now.media_sequence >= before.media_sequence);
                let gone = (now.media_sequence - before.media_sequence) as usize;
                let left = &before.segments[..gone.min(before.segments.len())];
                let lost = left.iter().filter(|segment| segment.discontinuity).count() as u64;
                // The tag of the first one counts when its segment goes (RFC 8216, 6.2.2).
                assert_eq!(
                    now.discontinuity_sequence,
                    before.discontinuity_sequence + lost
                );
                for (old, new) in before.segments[left.len()..].iter().zip(&now.segments) {
                    assert_eq!((&old.uri, old.duration), (&new.uri, new.duration));
                    assert_eq!(old.program_date_time, new.program_date_time);
                }
            }
            before = Some(now);
        }
    }
}

#[test]
fn the_end_is_said() {
    let mut presentation = presentation(4);
    presentation.ended = true;
    presentation.renditions[0].segments.pop();
    let playlist = seen(&media(&presentation));
    assert!(playlist.end_list);
    assert_eq!(playlist.segments.len(), 4);
}

#[test]
fn a_stream_without_a_complete_segment_is_an_empty_list() {
    let playlist = seen(&media(&presentation(0)));
    assert!(playlist.segments.is_empty());
    assert_eq!(playlist.media_sequence, FIRST);
}

#[test]
fn what_is_not_set_is_left_to_others() {
    let wanted = |config| Hls::start(&config).unwrap().wanted_timing();
    let open = wanted(Config::default());
    assert_eq!((open.segment, open.part, open.window), (None, None, None));
    let set = wanted(Config::from([("segment-ms", "2000"), ("window-s", "20")]));
    assert_eq!(
        (set.segment, set.part, set.window),
        (Some(2_000_000), None, Some(20_000_000))
    );
    let error = Hls::start(&Config::from([("segment-ms", "1s")])).unwrap_err();
    assert!(error.contains("segment-ms=1000"), "{error}");
}

#[test]
fn nothing_of_a_request_changes_a_document() {
    let documents = Hls::start(&Config::default()).unwrap().documents();
    let names: Vec<_> = documents
        .iter()
        .map(|document| document.path.as_str())
        .collect();
    assert_eq!(names, ["hls.m3u8", "hls-video.m3u8"]);
    for document in &documents {
        let reads = &document.reads;
        assert!(reads.query.is_empty() && reads.headers.is_empty() && reads.cookies.is_empty());
    }
    match render([], "nothing.m3u8", &presentation(4)) {
        Answer::Refuse(refusal) => assert_eq!(refusal.status, 404),
        other => panic!("{other:?}"),
    }
}
