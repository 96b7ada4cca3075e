//! Blocking reload, refusals, cache lifetimes (6.2.5.2, Appendix B.1).

mod common;

use common::*;
use picam_plugin::playlist::*;

/// The growing segment is 1010; two of its five parts are there.
fn now() -> Presentation {
    Stream::new(14).at(10, 2)
}

fn ask_now(query: &[(&str, &str)]) -> Answer {
    ask(&now(), query)
}

#[test]
fn a_request_without_directives_is_answered_at_once() {
    assert!(!text(ask_now(&[])).body.is_empty());
}

#[test]
fn a_segment_is_waited_for_until_it_is_complete() {
    assert_eq!(ask_now(&[("_HLS_msn", "1010")]), position(1_011, 0));
    assert_eq!(ask_now(&[("_HLS_msn", "1011")]), position(1_012, 0));
    let stream = Stream::new(14);
    let complete = stream.at(11, 0);
    text(ask(&complete, &[("_HLS_msn", "1010")]));
}

#[test]
fn a_part_is_waited_for_until_it_or_a_later_one_is_there() {
    assert_eq!(
        ask_now(&[("_HLS_msn", "1010"), ("_HLS_part", "2")]),
        position(1_010, 3)
    );
    assert_eq!(
        ask_now(&[("_HLS_msn", "1010"), ("_HLS_part", "3")]),
        position(1_010, 4)
    );
    assert_eq!(
        ask_now(&[("_HLS_msn", "1011"), ("_HLS_part", "0")]),
        position(1_011, 1)
    );
    let stream = Stream::new(14);
    for (complete, parts) in [(10, 3), (10, 4), (11, 0), (11, 4), (13, 0)] {
        let later = stream.at(complete, parts);
        text(ask(&later, &[("_HLS_msn", "1010"), ("_HLS_part", "2")]));
    }
}

#[test]
fn what_is_there_already_is_not_waited_for() {
    for query in [
        &[("_HLS_msn", "1009")][..],
        &[("_HLS_msn", "0")],
        &[("_HLS_msn", "1010"), ("_HLS_part", "1")],
        &[("_HLS_msn", "1010"), ("_HLS_part", "0")],
        &[("_HLS_msn", "1009"), ("_HLS_part", "4")],
        &[("_HLS_msn", "3"), ("_HLS_part", "999999")],
    ] {
        let answer = text(ask_now(query));
        assert_eq!(
            answer.body,
            media(&now(), &[]),
            "the whole playlist: {query:?}"
        );
    }
}

#[test]
fn past_the_last_part_of_a_segment_lies_the_first_one_of_the_next() {
    let stream = Stream::new(14);
    let query = [("_HLS_msn", "1010"), ("_HLS_part", "5")];
    // While the segment grows, nobody knows how many parts it will have.
    assert_eq!(ask(&stream.at(10, 4), &query), position(1_010, 6));
    // The position moves on, the host asks again, and now the part is known to be past the last.
    assert_eq!(ask(&stream.at(11, 0), &query), position(1_011, 1));
    text(ask(&stream.at(11, 1), &query));
    let far = [("_HLS_msn", "1009"), ("_HLS_part", "9")];
    text(ask(&now(), &far));
}

#[test]
fn more_than_two_segments_past_the_last_is_a_bad_request() {
    // The last segment in the playlist is 1009; 1010 has parts only.
    let (status, reason) = refusal(ask_now(&[("_HLS_msn", "1012")]));
    assert_eq!(status, 400);
    assert_eq!(
        reason,
        "_HLS_msn is more than two past the last segment: ask for 1011 at most"
    );
    for msn in ["1013", "18446744073709551615"] {
        assert_eq!(refusal(ask_now(&[("_HLS_msn", msn)])).0, 400);
        assert_eq!(
            refusal(ask_now(&[("_HLS_msn", msn), ("_HLS_part", "0")])).0,
            400
        );
    }
}

#[test]
fn parts_beyond_the_advance_limit_are_a_bad_request() {
    // 3 s hold 14 whole parts of 202 ms; the last part is the second one of 1010, number 1.
    assert_eq!(
        ask_now(&[("_HLS_msn", "1010"), ("_HLS_part", "15")]),
        position(1_010, 16)
    );
    let (status, reason) = refusal(ask_now(&[("_HLS_msn", "1010"), ("_HLS_part", "16")]));
    assert_eq!(status, 400);
    assert_eq!(
        reason,
        "_HLS_part is too far past the last part: ask for 15 at most"
    );
    assert_eq!(
        ask_now(&[("_HLS_msn", "1011"), ("_HLS_part", "13")]),
        position(1_011, 14)
    );
    assert_eq!(
        refusal(ask_now(&[("_HLS_msn", "1011"), ("_HLS_part", "14")])).0,
        400
    );
    assert_eq!(
        refusal(ask_now(&[("_HLS_msn", "1009"), ("_HLS_part", "19")])).0,
        400
    );
    let most = u64::MAX.to_string();
    assert_eq!(
        refusal(ask_now(&[("_HLS_msn", "1010"), ("_HLS_part", &most)])).0,
        400
    );
}

#[test]
fn parts_of_a_second_and_more_may_be_three_ahead() {
    let mut stream = Stream::new(6);
    stream.timing.part_target = 1_000_000;
    let presentation = stream.at(4, 1);
    let ask = |part| ask(&presentation, &[("_HLS_msn", "1004"), ("_HLS_part", part)]);
    assert_eq!(ask("3"), position(1_004, 4));
    assert_eq!(refusal(ask("4")).0, 400);
}

#[test]
fn a_part_without_its_segment_is_a_bad_request() {
    let (status, reason) = refusal(ask_now(&[("_HLS_part", "1")]));
    assert_eq!(status, 400);
    assert!(reason.contains("_HLS_msn"), "{reason}");
}

#[test]
fn what_can_not_be_parsed_is_a_bad_request_that_says_why() {
    for query in [
        &[("_HLS_msn", "")][..],
        &[("_HLS_msn", "abc")],
        &[("_HLS_msn", "-1")],
        &[("_HLS_msn", "+1010")],
        &[("_HLS_msn", " 1010")],
        &[("_HLS_msn", "1010.0")],
        &[("_HLS_msn", "18446744073709551616")],
        &[("_HLS_msn", "1010"), ("_HLS_part", "")],
        &[("_HLS_msn", "1010"), ("_HLS_part", "x")],
        &[("_HLS_skip", "")],
        &[("_HLS_skip", "yes")],
        &[("_HLS_skip", "NO")],
        &[("_HLS_skip", "v3")],
    ] {
        let (status, reason) = refusal(ask_now(query));
        assert_eq!(status, 400, "{query:?}");
        assert!(reason.contains(query.last().unwrap().0), "{reason}");
    }
}

#[test]
fn directives_given_twice_are_a_bad_request() {
    for name in ["_HLS_msn", "_HLS_part", "_HLS_skip"] {
        let value = if name == "_HLS_skip" { "YES" } else { "1" };
        let query = [("_HLS_msn", "1010"), (name, value), (name, value)];
        let (status, reason) = refusal(ask_now(&query));
        assert_eq!(status, 400);
        assert!(reason.contains("twice"), "{reason}");
    }
}

#[test]
fn directives_come_in_any_order() {
    let (msn, part, skip) = (
        ("_HLS_msn", "1010"),
        ("_HLS_part", "3"),
        ("_HLS_skip", "YES"),
    );
    for query in [
        [msn, part, skip],
        [skip, part, msn],
        [part, msn, skip],
        [part, skip, msn],
    ] {
        assert_eq!(ask_now(&query), position(1_010, 4));
    }
}

#[test]
fn directives_mean_nothing_once_the_playlist_has_ended() {
    let ended = Stream::new(40).ended(40);
    let whole = media(&ended, &[]);
    for query in [
        &[("_HLS_msn", "1040")][..],
        &[("_HLS_msn", "99999999")],
        &[("_HLS_part", "1")],
        &[("_HLS_msn", "nonsense")],
        &[("_HLS_skip", "YES")],
        &[("_HLS_msn", "1"), ("_HLS_msn", "1")],
    ] {
        assert_eq!(media(&ended, query), whole, "{query:?}");
    }
}

#[test]
fn a_wait_is_over_where_it_says() {
    // Whatever is asked for: at the position of the wait the request is answered, or sent on, never back.
    let stream = Stream::new(14);
    for (complete, parts) in stream.positions(8, 11) {
        for msn in 1_005..1_013 {
            for part in [None, Some(0), Some(2), Some(4), Some(5), Some(7)] {
                let (msn, part) = (msn.to_string(), part.map(|part: u32| part.to_string()));
                let mut query = vec![("_HLS_msn", msn.as_str())];
                query.extend(part.as_deref().map(|part| ("_HLS_part", part)));
                let mut at = (complete, parts);
                let mut steps = 0;
                while let Answer::Wait(wanted) = ask(&stream.at(at.0, at.1), &query) {
                    let target = ((wanted.sequence - FIRST) as usize, wanted.parts as usize);
                    assert!(target > at, "{query:?} at {at:?} waits for {target:?}");
                    // A position past the end of a segment is reached with the next one.
                    at = if target.1 >= 5 {
                        (target.0 + 1, 0)
                    } else {
                        target
                    };
                    steps += 1;
                    assert!(steps <= 2, "{query:?} is sent on and on");
                    if at.0 >= 13 {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn lifetimes_follow_the_target_duration() {
    for (target_duration, blocking, plain) in [(1, 6, 1), (2, 12, 1), (4, 24, 2), (7, 42, 3)] {
        let mut stream = Stream::new(14);
        stream.timing.target_duration = target_duration;
        let presentation = stream.at(10, 2);
        let max_age = |query: &[(&str, &str)]| text(ask(&presentation, query)).max_age;
        assert_eq!(
            max_age(&[("_HLS_msn", "1010"), ("_HLS_part", "1")]),
            blocking
        );
        assert_eq!(max_age(&[("_HLS_msn", "1009")]), blocking);
        assert_eq!(max_age(&[]), plain);
        assert_eq!(max_age(&[("_HLS_skip", "YES")]), plain);
    }
}
