//! Names as the host asks for them.

use std::collections::HashSet;

use name_date::NameDate;
use picam_plugin::{Config, Plugin, naming::*, percent};

/// 2026-11-25T22:30:05.900Z
const CAPTURED: u64 = 1_795_645_805_900_000;

fn plugin<const N: usize>(pairs: [(&str, &str); N]) -> NameDate {
    NameDate::start(&Config::from(pairs)).unwrap()
}

fn object(kind: Kind, number: u64, captured: u64) -> Object {
    Object {
        kind,
        rendition: "video".into(),
        number,
        captured,
    }
}

#[test]
fn a_name_says_when_its_first_picture_was_captured() {
    let mut plugin = plugin([]);
    let mut name = |kind| plugin.name(&object(kind, 1_795_645_812, CAPTURED));
    assert_eq!(name(Kind::Segment), "2026-11-25/22-30-05_1795645812.m4s");
    assert_eq!(name(Kind::Part), "2026-11-25/22-30-05_1795645812.part.m4s");
    assert_eq!(name(Kind::Init), "2026-11-25/22-30-05_1795645812.init.mp4");
}

#[test]
fn an_offset_can_move_it_into_another_day() {
    let mut plugin = plugin([("utc-offset", "+02:00"), ("pattern", "%F-%H%M/{number}")]);
    assert_eq!(
        plugin.name(&object(Kind::Segment, 7, CAPTURED)),
        "2026-11-26-0030/7.m4s"
    );
}

#[test]
fn no_two_objects_share_a_name_even_if_the_clock_is_set_back() {
    let mut plugin = plugin([("pattern", "{number}/%H%M")]);
    let mut names = HashSet::new();
    for number in 0..500 {
        let captured = CAPTURED - number % 7 * 3_600_000_000;
        for kind in [Kind::Init, Kind::Segment, Kind::Part] {
            let name = plugin.name(&object(kind, number, captured));
            assert!(names.insert(name.clone()), "{name}");
        }
    }
}

#[test]
fn every_name_is_one_that_the_host_takes() {
    for pattern in [
        "{number}",
        "%Y/%j/%H/%M/%S.%3N-{number}",
        "~{rendition}_%A-%B-%p/%s.{number}",
        "%G-W%V-%u/{number}/{number}",
    ] {
        let mut plugin = plugin([("pattern", pattern), ("utc-offset", "-11:30")]);
        for captured in [0, CAPTURED, u64::MAX / 2] {
            for number in [0, u64::MAX] {
                let name = plugin.name(&object(Kind::Part, number, captured));
                assert!(name.len() <= 200, "{name}");
                assert!(name.split('/').all(|part| !matches!(part, "" | "." | "..")));
                assert!(
                    name.bytes().all(|c| c == b'/' || percent::unreserved(c)),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_pattern_that_can_give_no_good_name_is_refused_with_the_way_out() {
    for (pattern, expected) in [
        ("%F/%H", "pattern=%F/%H: it needs {number} somewhere"),
        ("", "pattern=: it needs {number} somewhere"),
        (
            "%T-{number}",
            "a `:`, and are made of letters, digits, `-`, `.`, `_`, `~` and `/`: write %H-%M-%S instead of %T",
        ),
        ("%e{number}", "`/`: write %d instead of %e"),
        ("{Number}{number}", "hold a `{`"),
        ("a b{number}", "hold a ` `"),
        ("%%{number}", "hold a `%`"),
        ("é{number}", "hold a `é`"),
        ("/{number}", "neither begins nor ends with a slash"),
        ("{number}/", "neither begins nor ends with a slash"),
        ("a//{number}", "between two"),
        ("../{number}", "other than . or .."),
        ("%Q{number}", "`%Q` is no conversion; there are %Y year"),
        ("%{number}", "`%` is no conversion"),
        (&"%A-{number}-".repeat(9), "more than 180"),
    ] {
        let config = Config::from([("pattern", pattern)]);
        let error = NameDate::start(&config).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let config = Config::from([("utc-offset", "Europe/Berlin")]);
    assert_eq!(
        NameDate::start(&config).unwrap_err(),
        "utc-offset=Europe/Berlin: expected Z or hours and minutes, as in +02:00 (zones with summer time are not known \
         here)"
    );
}

#[test]
fn a_template_for_dash_exists_where_the_time_is_not_in_the_name() {
    let template = |pattern| plugin([("pattern", pattern)]).segment_template("video");
    assert_eq!(template("%Y/{number}"), None);
    assert_eq!(
        template("s/{rendition}_{number}").as_deref(),
        Some("s/video_$Number$.m4s")
    );
    let mut plugin = plugin([("pattern", "s/{rendition}_{number}")]);
    let name = plugin.name(&object(Kind::Segment, 12, CAPTURED));
    let template = plugin.segment_template("video").unwrap();
    assert_eq!(template.replace("$Number$", "12"), name);
}
