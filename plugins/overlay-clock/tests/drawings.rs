//! Drawings as the host asks for them.

use overlay_clock::OverlayClock;
use picam_plugin::{Config, Plugin, overlay::*};

/// 2026-11-25T22:30:05.900Z
const CAPTURED: u64 = 1_795_645_805_900_000;

fn plugin<const N: usize>(pairs: [(&str, &str); N]) -> OverlayClock {
    OverlayClock::start(&Config::from(pairs)).unwrap()
}

fn frame(since: u64) -> Frame {
    Frame {
        time: 5_000_000 + since,
        captured: CAPTURED + since,
        width: 1_280,
        height: 720,
    }
}

fn text(drawing: &Drawing) -> &Text {
    match &drawing.operations[..] {
        [Operation::Text(text)] => text,
        other => panic!("one text was expected, not {other:?}"),
    }
}

#[test]
fn the_time_shown_is_that_of_the_capture() {
    let drawing = plugin([]).draw(&frame(0));
    assert_eq!(text(&drawing).content, "2026-11-25 22:30:05");
    let mut there = plugin([("utc-offset", "+05:45"), ("format", "%a %-d %b, %R (%:z)")]);
    assert_eq!(
        text(&there.draw(&frame(0))).content,
        "Thu 26 Nov, 04:15 (+05:45)"
    );
}

#[test]
fn a_drawing_holds_until_its_text_changes() {
    let mut clock = plugin([]);
    // 100 ms are left of the second.
    let first = clock.draw(&frame(0));
    assert_eq!(first.until, 5_100_000);
    let last = clock.draw(&frame(99_999));
    assert_eq!((text(&last), last.until), (text(&first), first.until));
    let next = clock.draw(&frame(100_000));
    assert_ne!(text(&next), text(&first));
    assert_eq!(next.until, 6_100_000);
}

#[test]
fn it_is_called_as_often_as_its_smallest_unit_changes_and_no_oftener() {
    for (format, calls_in_ten_seconds) in [("%T", 11), ("%R", 1), ("%T.%1N", 100), ("garden", 1)] {
        let mut clock = plugin([("format", format)]);
        let (mut calls, mut until) = (0, 0);
        // 30 pictures a second.
        for number in 0..300 {
            let frame = frame(number * 33_333);
            if frame.time >= until {
                until = clock.draw(&frame).until;
                assert!(until > frame.time);
                calls += 1;
            }
        }
        assert_eq!(calls, calls_in_ten_seconds, "{format}");
    }
}

#[test]
fn place_size_and_colours_are_as_configured() {
    let drawing = plugin([]).draw(&frame(0));
    let default = text(&drawing);
    assert_eq!(default.anchor, Anchor::BottomRight);
    assert_eq!((default.at.x, default.at.y), (989, 980));
    assert_eq!(default.size, 40);
    assert_eq!(default.colour, Colour::WHITE);
    assert_eq!(default.background, Some(Colour::BLACK.alpha(128)));
    assert_eq!(default.outline, None);

    let drawing = plugin([
        ("position", "top"),
        ("x", "250"),
        ("y", "40"),
        ("size", "100"),
        ("colour", "#ffcc00"),
        ("background", "none"),
        ("outline", "black"),
        ("font", "Hack"),
    ])
    .draw(&frame(0));
    let set = text(&drawing);
    assert_eq!(set.anchor, Anchor::Top);
    assert_eq!((set.at.x, set.at.y), (250, 40));
    assert_eq!(set.size, 100);
    assert_eq!(set.colour, Colour::rgb(0xff, 0xcc, 0));
    assert_eq!(set.background, None);
    assert_eq!(set.outline, Some(Colour::BLACK));
    assert_eq!(set.font, "Hack");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    for (pairs, expected) in [
        (
            [("format", "%Q"), ("size", "40")],
            "format=%Q: `%Q` is no conversion",
        ),
        (
            [("utc-offset", "CET"), ("size", "40")],
            "utc-offset=CET: expected Z or hours",
        ),
        (
            [("position", "middle"), ("size", "40")],
            "expected top-left, top, top-right, left, centre",
        ),
        (
            [("x", "10"), ("size", "40")],
            "x and y are set both or not at all",
        ),
        (
            [("x", "10"), ("y", "1001")],
            "a whole number from 0 to 1000",
        ),
        (
            [("colour", "reddish"), ("size", "40")],
            "colour=reddish: expected #rrggbb",
        ),
        (
            [("colour", "none"), ("size", "40")],
            "colour=none: expected a colour",
        ),
        (
            [("background", "#12345"), ("size", "40")],
            "background=#12345: expected",
        ),
    ] {
        let error = OverlayClock::start(&Config::from(pairs)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_default_that_is_described_is_accepted() {
    let described = OverlayClock::describe().into_record();
    let options = described.options.iter();
    let config = Config::new(
        options
            .filter(|option| !matches!(option.key.as_str(), "x" | "y"))
            .map(|option| picam_plugin::KeyValue {
                key: option.key.clone(),
                value: option.default.clone(),
            })
            .collect(),
    );
    let mut written = OverlayClock::start(&config).unwrap();
    assert_eq!(
        text(&written.draw(&frame(0))),
        text(&plugin([]).draw(&frame(0)))
    );
}
