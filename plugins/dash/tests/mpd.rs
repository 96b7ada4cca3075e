//! The MPD of made-up streams.

use dash::Dash;
use picam_plugin::{Config, Plugin, Position, playlist::*};

/// 2026-11-25T00:00:00Z
const EPOCH: u64 = 1_795_564_800_000_000;
const FRAME: u64 = 33_333;

/// Segments of one second from number 100 on, the last of which grows, in one period that began with number 90.
fn stream(segments: u64) -> Presentation {
    let listed = (100..100 + segments)
        .map(|sequence| Segment {
            sequence,
            path: format!("segment-{sequence}.m4s"),
            init: "init-0.mp4".into(),
            start: 250_400 + (sequence - 90) * 1_000_000,
            captured: EPOCH + (sequence - 90) * 1_000_000,
            duration: 1_000_000,
            size: 250_000,
            discontinuity: false,
            lost_since: None,
            complete: sequence + 1 < 100 + segments,
            parts: vec![],
        })
        .collect();
    Presentation {
        id: "5f3a".into(),
        epoch: EPOCH,
        ended: false,
        superseded: false,
        timing: Timing {
            part_target: 202_000,
            target_duration: 2,
            segment: 1_000_000,
            frame: FRAME,
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
                sequence: 99 + segments,
                parts: 0,
            },
            discontinuity_sequence: 0,
            segments: listed,
            periods: vec![period(90, 250_400)],
            next_part: None,
            next_init: None,
        }],
    }
}

fn period(sequence: u64, start: u64) -> Period {
    Period {
        sequence,
        start,
        segment: Some(1_000_000),
        chunk: FRAME,
        segment_template: Some(format!("chunked/{sequence}/segment-$Number$.m4s")),
        init: "init-0.mp4".into(),
        codecs: "avc1.64001f".into(),
        width: 1280,
        height: 720,
        sample_aspect_ratio: (4, 3),
    }
}

fn render(presentation: &Presentation, config: &[(&str, &str)]) -> Answer {
    let config = Config::new(
        config
            .iter()
            .map(|(key, value)| picam_plugin::KeyValue {
                key: (*key).into(),
                value: (*value).into(),
            })
            .collect(),
    );
    let request = Request {
        document: "live.mpd".into(),
        query: vec![],
        headers: vec![],
        cookies: vec![],
    };
    Dash::start(&config).unwrap().render(&request, presentation)
}

fn mpd(presentation: &Presentation) -> String {
    match render(presentation, &[]) {
        Answer::Document(text) => text.body,
        other => panic!("an MPD was expected, not {other:?}"),
    }
}

/// The tags of all elements of this name, without brackets.
fn elements<'a>(mpd: &'a str, name: &str) -> Vec<&'a str> {
    mpd.split('<')
        .filter_map(|text| text.split('>').next())
        .filter(|tag| tag.split([' ', '/']).next() == Some(name))
        .collect()
}

#[track_caller]
fn has(tag: &str, attributes: &[&str]) {
    for attribute in attributes {
        assert!(tag.contains(attribute), "no {attribute} in <{tag}>");
    }
}

#[test]
fn segments_that_keep_their_place_are_counted_from_the_first_of_their_period() {
    let mpd = mpd(&stream(5));
    has(
        elements(&mpd, "Period")[0],
        &[r#"id="90""#, r#"start="PT0.2504S""#],
    );
    has(
        elements(&mpd, "SegmentTemplate")[0],
        &[
            r#"timescale="1000000""#,
            r#"media="5f3a/chunked/90/segment-$Number$.m4s""#,
            r#"initialization="5f3a/init-0.mp4""#,
            r#"presentationTimeOffset="250400""#,
            r#"startNumber="90""#,
            r#"duration="1000000""#,
            r#"availabilityTimeOffset="0.966667""#,
            r#"availabilityTimeComplete="false""#,
        ],
    );
    assert!(elements(&mpd, "SegmentTimeline").is_empty());
}

#[test]
fn others_are_listed_with_those_that_begin_before_players_look_again() {
    let mut stream = stream(6);
    let rendition = &mut stream.renditions[0];
    rendition.periods[0].segment = None;
    for (segment, duration) in rendition.segments.iter_mut().zip([7, 7, 7, 9, 7, 2]) {
        segment.duration = duration;
    }
    let start = rendition.segments[5].start;
    let mpd = mpd(&stream);
    has(
        elements(&mpd, "SegmentTemplate")[0],
        &[r#"startNumber="100""#],
    );
    assert!(!elements(&mpd, "SegmentTemplate")[0].contains(" duration="));
    assert_eq!(
        elements(&mpd, "S"),
        [
            r#"S t="10250400" d="7" r="2"/"#,
            r#"S d="9"/"#,
            r#"S d="7"/"#,
            &format!(r#"S t="{start}" d="1000000" r="2"/"#),
        ]
    );
}

#[test]
fn presentation_time_is_capture_time_to_the_millisecond() {
    let mpd = mpd(&stream(5));
    has(
        elements(&mpd, "MPD")[0],
        &[r#"availabilityStartTime="2026-11-25T00:00:00.000Z""#],
    );
    has(
        elements(&mpd, "ProducerReferenceTime")[0],
        &[
            r#"type="captured""#,
            r#"presentationTime="251000""#,
            r#"wallClockTime="2026-11-25T00:00:00.251Z""#,
        ],
    );
}

#[test]
fn a_period_is_closed_by_the_next_and_the_last_one_by_the_end() {
    let mut stream = stream(6);
    stream.renditions[0].periods.push(period(103, 15_000_000));
    for segment in &mut stream.renditions[0].segments[3..] {
        segment.start += 1_749_600;
    }
    let periods = mpd(&stream);
    let periods = elements(&periods, "Period");
    has(periods[0], &[r#"duration="PT13S""#]);
    has(periods[1], &[r#"start="PT15S""#]);
    assert!(!periods[1].contains("duration"));

    stream.ended = true;
    for segment in &mut stream.renditions[0].segments {
        segment.complete = true;
    }
    let text = mpd(&stream);
    has(elements(&text, "Period")[1], &[r#"duration="PT3S""#]);
    has(
        elements(&text, "MPD")[0],
        &[r#"mediaPresentationDuration="PT18S""#],
    );
    assert!(!text.contains("minimumUpdatePeriod"));

    stream.superseded = true;
    let text = mpd(&stream);
    has(
        elements(&text, "MPD")[0],
        &[r#"minimumUpdatePeriod="PT1S""#],
    );
    assert!(!text.contains("mediaPresentationDuration"));
}

#[test]
fn the_target_is_never_less_than_three_chunks() {
    let text = |target, frame| {
        let mut stream = stream(2);
        stream.timing.frame = frame;
        stream.renditions[0].periods[0].chunk = frame;
        match render(&stream, &[("target-ms", target)]) {
            Answer::Document(text) => text.body,
            other => panic!("{other:?}"),
        }
    };
    let usual = text("200", FRAME);
    has(
        elements(&usual, "Latency")[0],
        &[r#"target="200""#, r#"min="100""#, r#"max="1200""#],
    );
    has(
        elements(&usual, "Resync")[0],
        &[r#"dT="33333""#, r#"marker="true""#],
    );
    has(
        elements(&text("200", 200_000), "Latency")[0],
        &[r#"target="600""#],
    );
}

#[test]
fn frame_rates_and_shapes_are_fractions() {
    let with = |milli| {
        let mut stream = stream(2);
        stream.renditions[0].frame_rate_milli = milli;
        mpd(&stream)
    };
    for (milli, rate) in [
        (30_000, "30"),
        (29_970, "30000/1001"),
        (23_976, "24000/1001"),
        (12_345, "12345/1000"),
    ] {
        has(
            elements(&with(milli), "Representation")[0],
            &[&format!(r#"frameRate="{rate}""#), r#"sar="4:3""#],
        );
    }
}

#[test]
fn a_still_in_the_place_of_the_camera_states_no_rate_and_nothing_that_it_breaks() {
    let mut stream = stream(2);
    stream.renditions[0].periods[0].chunk = 400_000;
    let mpd = mpd(&stream);
    assert!(!mpd.contains("frameRate") && !mpd.contains("Resync"));
}

#[test]
fn what_has_not_begun_is_refused() {
    let mut stream = stream(1);
    let refused = |stream: &Presentation| matches!(render(stream, &[]), Answer::Refuse(refusal) if refusal.status == 503);
    let first = &mut stream.renditions[0].segments[0];
    (first.duration, first.size) = (0, 0);
    stream.renditions[0].peak_bitrate = 0;
    assert!(refused(&stream), "the bandwidth isn't known");
    stream.renditions.clear();
    assert!(refused(&stream));
}

#[test]
fn every_option_is_described_and_bounded() {
    let described = Dash::describe().into_record();
    let keys: Vec<_> = described
        .options
        .iter()
        .map(|option| &*option.key)
        .collect();
    assert_eq!(keys, ["target-ms", "window-s"]);
    let wanted = Dash::start(&Config::default()).unwrap().wanted_timing();
    assert_eq!((wanted.segment, wanted.part), (None, None));
    assert_eq!(wanted.window, Some(30_000_000));
    let error = Dash::start(&Config::from([("target-ms", "20")])).unwrap_err();
    assert!(error.contains("100 to 30000"), "{error}");
}
