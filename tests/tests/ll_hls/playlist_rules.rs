//! Rules about what playlists say, over all states that a viewer saw. Clauses are those of
//! draft-pantos-hls-rfc8216bis-22.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use picam_tests::{Playlist, Segment, Watched};

use crate::Scene;

/// A rule: what it is called, and what finds out whether it holds.
pub type Rule = (&'static str, fn(&Watched, &Scene) -> Result<()>);

/// Names functions as rules.
macro_rules! rules {
    ($($rule:ident),* $(,)?) => { &[$((stringify!($rule), $rule)),*] };
}
pub(crate) use rules;

pub const RULES: &[Rule] = rules![
    the_target_duration_is_whole_and_never_changes,
    every_segment_rounds_to_at_most_the_target_duration,
    the_part_target_never_changes_and_is_whole_frames,
    server_control_never_changes_and_keeps_its_distances,
    no_part_is_longer_than_the_part_target,
    every_part_is_85_percent_of_the_part_target_unless_exempt,
    a_segment_lasts_as_long_as_its_parts,
    discontinuity_map_and_date_come_before_the_first_part,
    what_was_listed_never_changes,
    parts_leave_by_whole_segments_and_in_order,
    parts_are_gone_three_target_durations_from_the_end,
    what_left_the_list_can_still_be_had,
    media_sequence_and_discontinuity_sequence_count_what_left,
    every_segment_has_a_date_that_follows_its_predecessor,
    no_date_runs_ahead_of_the_clock,
    parts_appear_evenly,
    parts_carry_one_running_serial,
    the_next_part_is_always_hinted_and_comes_next,
    a_hinted_map_is_the_next_segments,
    there_is_a_report_for_every_other_rendition,
    the_version_is_what_is_needed,
    three_target_durations_are_listed,
    segments_are_independent_and_the_list_is_no_recording,
    a_delta_update_is_the_playlist_less_what_it_skips,
    the_multivariant_playlist_describes_the_stream,
];

/// All states.
fn states(watched: &Watched) -> impl Iterator<Item = &Playlist> {
    watched.revisions.iter().map(|seen| &seen.playlist)
}

fn tag<'a>(playlist: &'a Playlist, name: &str) -> Option<&'a str> {
    let mut found = playlist.tags.iter().filter(|tag| tag.name == name);
    found.next().map(|tag| tag.value.as_str())
}

fn target(playlist: &Playlist) -> Duration {
    Duration::from_secs(playlist.target_duration)
}

fn seconds(playlist: &Playlist, name: &str) -> Result<Duration> {
    let value = playlist
        .server_control
        .get(name)
        .with_context(|| format!("SERVER-CONTROL has no {name}"))?;
    Ok(Duration::from_nanos(
        (value.parse::<f64>()? * 1e9).round() as u64
    ))
}

fn parts(segment: &Segment) -> Duration {
    segment.parts.iter().map(|part| part.duration).sum()
}

/// What a segment lasts as far as it is listed.
fn length(segment: &Segment) -> Duration {
    segment.duration.unwrap_or_else(|| parts(segment))
}

/// 4.4.3.1, 6.2.1.
fn the_target_duration_is_whole_and_never_changes(watched: &Watched, _: &Scene) -> Result<()> {
    let first = tag(watched.last(), "EXT-X-TARGETDURATION").context("there is none")?;
    ensure!(
        first.parse::<u64>()? >= 1,
        "{first} is no whole number from 1 on"
    );
    for state in states(watched) {
        let count = state
            .tags
            .iter()
            .filter(|tag| tag.name == "EXT-X-TARGETDURATION");
        ensure!(count.count() == 1, "not one, but:\n{}", state.text);
        ensure!(
            tag(state, "EXT-X-TARGETDURATION") == Some(first),
            "{first} became another"
        );
    }
    Ok(())
}

/// 4.4.3.1.
fn every_segment_rounds_to_at_most_the_target_duration(watched: &Watched, _: &Scene) -> Result<()> {
    let most = target(watched.last()) + Duration::from_millis(500);
    for segment in watched.segments() {
        ensure!(
            length(&segment) < most,
            "segment {} lasts {:?}",
            segment.sequence,
            length(&segment)
        );
    }
    Ok(())
}

/// 4.4.3.7, and our own: a whole number of nominal frames, an even one where there is one.
fn the_part_target_never_changes_and_is_whole_frames(
    watched: &Watched,
    scene: &Scene,
) -> Result<()> {
    let first = watched.last().part_target;
    for state in states(watched) {
        ensure!(
            state.part_target == first,
            "{first:?} became {:?}",
            state.part_target
        );
    }
    let Some(fps) = scene.fps else { return Ok(()) };
    let frame = Duration::from_secs(1) / fps;
    let wanted = Duration::from_millis(scene.part_ms.into());
    // 333 ms are meant to hold ten frames of 33.3.
    let fit = ((wanted + Duration::from_millis(1)).as_micros() / frame.as_micros()) as u32;
    let frames = if fit < 2 { 1 } else { fit & !1 };
    // A camera's rate is measured, to within a percent on a busy machine.
    let exact = frame * frames;
    let slack = exact / 50 + Duration::from_millis(3);
    ensure!(
        first >= exact.saturating_sub(exact / 50) && first <= exact + slack,
        "{first:?} are not {frames} frames of {frame:?}"
    );
    Ok(())
}

/// 4.4.3.8, 6.2.4, Appendix B.1.
fn server_control_never_changes_and_keeps_its_distances(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    let last = watched.last();
    for state in states(watched) {
        ensure!(
            state.server_control == last.server_control,
            "{:?} became {:?}",
            state.server_control,
            last.server_control
        );
    }
    let yes = last.server_control.get("CAN-BLOCK-RELOAD");
    ensure!(
        yes.is_some_and(|yes| yes == "YES"),
        "CAN-BLOCK-RELOAD={yes:?}"
    );
    for (name, least) in [
        ("PART-HOLD-BACK", 3 * last.part_target),
        ("HOLD-BACK", 3 * target(last)),
        ("CAN-SKIP-UNTIL", 6 * target(last)),
    ] {
        let value = seconds(last, name)?;
        ensure!(value >= least, "{name} is {value:?}, less than {least:?}");
    }
    Ok(())
}

/// 4.4.4.9: AVPlayer refuses the whole asset for one.
fn no_part_is_longer_than_the_part_target(watched: &Watched, _: &Scene) -> Result<()> {
    let most = watched.last().part_target;
    for segment in watched.segments() {
        for part in &segment.parts {
            ensure!(
                part.duration <= most,
                "{part:?} in segment {}",
                segment.sequence
            );
            ensure!(!part.duration.is_zero(), "{part:?} lasts no time");
        }
    }
    Ok(())
}

/// 4.4.4.9.
fn every_part_is_85_percent_of_the_part_target_unless_exempt(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    let least = watched.last().part_target * 85 / 100;
    for segment in watched.segments() {
        for (at, part) in segment.parts.iter().enumerate() {
            let before_gap = segment.parts.get(at + 1).is_some_and(|next| next.gap);
            let last = at + 1 == segment.parts.len();
            let exempt = part.independent || part.gap || before_gap || last;
            ensure!(
                exempt || part.duration >= least,
                "part {at} of segment {} lasts {:?}, less than {least:?}",
                segment.sequence,
                part.duration
            );
        }
    }
    Ok(())
}

/// hls.js indexes parts by their sum, and Chromium freezes on a rounding error.
fn a_segment_lasts_as_long_as_its_parts(watched: &Watched, _: &Scene) -> Result<()> {
    let seen_from_its_start = |segment: &&Segment| !segment.parts.is_empty();
    for segment in watched.segments().iter().filter(seen_from_its_start) {
        if let Some(duration) = segment.duration {
            ensure!(
                duration == parts(segment),
                "segment {} lasts {duration:?}, its parts {:?}",
                segment.sequence,
                parts(segment)
            );
        }
    }
    Ok(())
}

/// 4.4.4.3, 4.4.4.5, 4.4.4.6 with 4.4.4.9.
fn discontinuity_map_and_date_come_before_the_first_part(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    for state in states(watched) {
        for segment in &state.segments {
            let place = |name: &str| segment.order.iter().position(|tag| tag == name);
            let Some(part) = place("EXT-X-PART") else {
                continue;
            };
            for name in [
                "EXT-X-DISCONTINUITY",
                "EXT-X-MAP",
                "EXT-X-PROGRAM-DATE-TIME",
            ] {
                ensure!(
                    place(name).is_none_or(|at| at < part),
                    "{name} of segment {} comes late:\n{}",
                    segment.sequence,
                    state.text
                );
            }
            ensure!(
                segment.map.is_some(),
                "segment {} has no map",
                segment.sequence
            );
        }
    }
    Ok(())
}

/// 6.2.1: lines are added at the end and removed from the front, and nothing else.
fn what_was_listed_never_changes(watched: &Watched, _: &Scene) -> Result<()> {
    let finished = watched.segments();
    for state in states(watched) {
        for segment in &state.segments {
            let at = finished.partition_point(|known| known.sequence < segment.sequence);
            let known = &finished[at];
            let differs = known.map != segment.map
                || known.discontinuity != segment.discontinuity
                || known.program_date_time != segment.program_date_time
                || known.gap != segment.gap
                || !known.parts.starts_with(&segment.parts)
                || (segment.uri.is_some()
                    && (&known.uri, known.duration) != (&segment.uri, segment.duration));
            ensure!(!differs, "{segment:?}\nbecame\n{known:?}");
        }
    }
    Ok(())
}

/// 6.2.2, and hls.js, which counts parts.
fn parts_leave_by_whole_segments_and_in_order(watched: &Watched, _: &Scene) -> Result<()> {
    let finished = watched.segments();
    for state in states(watched) {
        let mut begun = false;
        for segment in &state.segments {
            let at = finished.partition_point(|known| known.sequence < segment.sequence);
            ensure!(
                !begun || !segment.parts.is_empty(),
                "segment {} has no parts, and an older one has:\n{}",
                segment.sequence,
                state.text
            );
            begun |= !segment.parts.is_empty();
            ensure!(
                segment.uri.is_none()
                    || segment.parts.is_empty()
                    || segment.parts.len() == finished[at].parts.len(),
                "segment {} is listed with {} of {} parts",
                segment.sequence,
                segment.parts.len(),
                finished[at].parts.len()
            );
        }
        ensure!(
            begun || state.segments.is_empty(),
            "no parts at all are listed:\n{}",
            state.text
        );
    }
    Ok(())
}

/// 6.2.2.
fn parts_are_gone_three_target_durations_from_the_end(watched: &Watched, _: &Scene) -> Result<()> {
    for state in states(watched) {
        let mut behind = Duration::ZERO;
        for segment in state.segments.iter().rev() {
            ensure!(
                behind <= 3 * target(state) || segment.parts.is_empty(),
                "parts {behind:?} from the end are listed:\n{}",
                state.text
            );
            behind += length(segment);
        }
    }
    Ok(())
}

/// 6.2.2: parts for three target durations, segments for as long as the playlist was.
fn what_left_the_list_can_still_be_had(watched: &Watched, _: &Scene) -> Result<()> {
    // Asking takes time, too.
    const MARGIN: Duration = Duration::from_secs(1);
    let three = 3 * target(watched.last());
    let mut checked = 0;
    for (uri, gone, again) in &watched.removed {
        if *gone + MARGIN > three {
            continue;
        }
        checked += 1;
        ensure!(
            again.status == 200,
            "{uri} left the list {gone:?} ago and answers {}",
            again.status
        );
        ensure!(
            watched
                .media
                .get(uri)
                .is_some_and(|before| before.body == again.body),
            "{uri} has other bytes now"
        );
    }
    ensure!(
        checked > 0 || watched.segments().len() < 4,
        "nothing left the list while this was watched"
    );
    Ok(())
}

/// 4.4.3.2, 4.4.3.3, 6.2.2.
fn media_sequence_and_discontinuity_sequence_count_what_left(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    let all = watched.segments();
    for pair in watched.revisions.windows(2) {
        let (before, after) = (&pair[0].playlist, &pair[1].playlist);
        ensure!(
            after.media_sequence >= before.media_sequence,
            "the media sequence fell from {} to {}",
            before.media_sequence,
            after.media_sequence
        );
        let left = all.iter().filter(|segment| {
            (before.media_sequence..after.media_sequence).contains(&segment.sequence)
        });
        let counted = left.filter(|segment| segment.discontinuity).count() as u64;
        ensure!(
            after.discontinuity_sequence == before.discontinuity_sequence + counted,
            "the discontinuity sequence went from {} to {} as {counted} discontinuities left",
            before.discontinuity_sequence,
            after.discontinuity_sequence
        );
    }
    for pair in all.windows(2) {
        ensure!(
            pair[1].sequence == pair[0].sequence + 1,
            "{} follows {}",
            pair[1].sequence,
            pair[0].sequence
        );
    }
    Ok(())
}

/// Since 1970.
pub fn date(segment: &Segment) -> Result<Duration> {
    let written = segment
        .program_date_time
        .as_ref()
        .with_context(|| format!("segment {} has no date", segment.sequence))?;
    let date = chrono::DateTime::parse_from_rfc3339(written)
        .with_context(|| format!("{written:?} is no date"))?;
    let micros = u64::try_from(date.timestamp_micros()).context("before 1970")?;
    Ok(Duration::from_micros(micros))
}

/// 4.4.4.6: within a frame, except where there is a discontinuity.
fn every_segment_has_a_date_that_follows_its_predecessor(
    watched: &Watched,
    scene: &Scene,
) -> Result<()> {
    for pair in watched.segments().windows(2) {
        let (here, next) = (date(&pair[0])?, date(&pair[1])?);
        let expected = here + length(&pair[0]);
        if pair[1].discontinuity {
            ensure!(
                next > here,
                "time went back at segment {}",
                pair[1].sequence
            );
            continue;
        }
        ensure!(
            next.abs_diff(expected) <= scene.longest_frame(),
            "segment {} should begin at {expected:?} and says {next:?} ({:?} off)",
            pair[1].sequence,
            next.abs_diff(expected)
        );
    }
    Ok(())
}

/// Players report nonsense otherwise. A last frame is said to last until the next, which is not there yet.
fn no_date_runs_ahead_of_the_clock(watched: &Watched, scene: &Scene) -> Result<()> {
    for seen in &watched.revisions {
        let Some(last) = seen.playlist.segments.last() else {
            continue;
        };
        let end = date(last)? + length(last);
        let ahead = end.saturating_sub(seen.at);
        ensure!(
            ahead <= 2 * scene.longest_frame(),
            "the end of segment {} is {ahead:?} ahead of the clock",
            last.sequence
        );
    }
    Ok(())
}

/// 6.2.1: within one part target of the last. What a loaded machine does to some of them is no matter, so this looks at
/// the median, and at the longest only as far as the slate is concerned.
fn parts_appear_evenly(watched: &Watched, scene: &Scene) -> Result<()> {
    let mut waits: Vec<Duration> = watched
        .revisions
        .windows(2)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at))
        .collect();
    waits.sort_unstable();
    let Some(longest) = waits.last() else {
        return Ok(());
    };
    ensure!(
        *longest < Duration::from_secs(6),
        "nothing came for {longest:?}"
    );
    let median = waits[waits.len() / 2];
    let most = watched.last().part_target * 3 / 2;
    ensure!(
        !scene.even || median <= most,
        "the median of the waits for a part is {median:?}, more than {most:?}"
    );
    Ok(())
}

/// 4.4.5.3: so that a hint stays right when a key frame closes the segment.
fn parts_carry_one_running_serial(watched: &Watched, _: &Scene) -> Result<()> {
    // Where a plugin names some parts and numbers take its place for others, each way of naming counts from somewhere else.
    let mut starts: BTreeMap<String, u64> = BTreeMap::new();
    let all = watched.segments();
    let parts = all.iter().skip_while(|segment| segment.parts.is_empty());
    for (place, part) in parts.flat_map(|segment| &segment.parts).enumerate() {
        let (digits, way): (String, String) = part.uri.chars().partition(char::is_ascii_digit);
        // The container's ending has a digit, too.
        let serial = digits
            .strip_suffix('4')
            .and_then(|digits| digits.parse::<u64>().ok())
            .with_context(|| format!("{:?} has no serial", part.uri))?;
        let start = serial.wrapping_sub(place as u64);
        let before = *starts.entry(way).or_insert(start);
        ensure!(
            start == before,
            "part {place} is called {}, by a serial that began at {before}",
            part.uri
        );
    }
    Ok(())
}

/// 4.4.5.3.
fn the_next_part_is_always_hinted_and_comes_next(watched: &Watched, _: &Scene) -> Result<()> {
    let order: Vec<String> = watched
        .segments()
        .into_iter()
        .flat_map(|segment| segment.parts)
        .map(|part| part.uri)
        .collect();
    let mut came = 0;
    for state in states(watched) {
        let hinted: Vec<_> = state
            .hints
            .iter()
            .filter(|hint| hint.get("TYPE").is_some_and(|kind| kind == "PART"))
            .filter_map(|hint| hint.get("URI"))
            .collect();
        if state.ended {
            ensure!(
                state.hints.is_empty(),
                "hints after the end:\n{}",
                state.text
            );
            continue;
        }
        let [hint] = hinted[..] else {
            bail!("{} parts are hinted:\n{}", hinted.len(), state.text)
        };
        let newest = state
            .segments
            .iter()
            .rev()
            .find_map(|segment| segment.parts.last());
        let newest = newest.and_then(|part| order.iter().position(|uri| *uri == part.uri));
        if let Some(next) = newest.and_then(|at| order.get(at + 1)) {
            ensure!(next == hint, "{hint} was hinted and {next} came");
            came += 1;
        }
    }
    ensure!(came > 0 || order.len() < 2, "no hinted part ever came");
    Ok(())
}

/// 4.4.5.3.
fn a_hinted_map_is_the_next_segments(watched: &Watched, _: &Scene) -> Result<()> {
    let all = watched.segments();
    for state in states(watched) {
        for hint in &state.hints {
            if hint.get("TYPE").is_none_or(|kind| kind != "MAP") {
                continue;
            }
            let last = state.segments.last().map_or(0, |segment| segment.sequence);
            let Some(next) = all.iter().find(|segment| segment.sequence > last) else {
                continue;
            };
            ensure!(
                next.map.as_ref() == hint.get("URI"),
                "{hint:?} was hinted, and {:?} came",
                next.map
            );
        }
    }
    Ok(())
}

/// 4.4.5.4, Appendix B.1.
fn there_is_a_report_for_every_other_rendition(watched: &Watched, _: &Scene) -> Result<()> {
    let others = watched
        .multivariant
        .lines()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF"))
        .count()
        - 1;
    for state in states(watched) {
        ensure!(
            state.reports.len() == others,
            "{} reports",
            state.reports.len()
        );
        for report in &state.reports {
            for name in ["URI", "LAST-MSN", "LAST-PART"] {
                ensure!(report.contains_key(name), "{report:?} has no {name}");
            }
        }
    }
    Ok(())
}

/// Section 8: over-declaring shuts old clients out.
fn the_version_is_what_is_needed(watched: &Watched, _: &Scene) -> Result<()> {
    for state in states(watched).chain(&watched.deltas) {
        let needed = if state.skipped > 0 { "9" } else { "6" };
        let version = tag(state, "EXT-X-VERSION");
        ensure!(
            version == Some(needed),
            "version {version:?} where {needed} is needed:\n{}",
            state.text
        );
    }
    Ok(())
}

/// 6.2.2, once anything has left the list.
fn three_target_durations_are_listed(watched: &Watched, scene: &Scene) -> Result<()> {
    let first = watched.revisions[0].playlist.media_sequence;
    let window = Duration::from_secs(scene.window_s.into());
    for state in states(watched) {
        if state.media_sequence == first || state.ended {
            continue;
        }
        let listed: Duration = state.complete().map(length).sum();
        ensure!(
            listed >= 3 * target(state),
            "{listed:?} are listed:\n{}",
            state.text
        );
        ensure!(
            listed >= window,
            "{listed:?} of {window:?} are listed:\n{}",
            state.text
        );
    }
    Ok(())
}

/// 4.4.2.1, 4.4.3.5, 4.4.3.4.
fn segments_are_independent_and_the_list_is_no_recording(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    let mut maps = BTreeSet::new();
    for (at, state) in states(watched).enumerate() {
        ensure!(
            tag(state, "EXT-X-INDEPENDENT-SEGMENTS").is_some(),
            "EXT-X-INDEPENDENT-SEGMENTS is missing:\n{}",
            state.text
        );
        ensure!(
            tag(state, "EXT-X-PLAYLIST-TYPE").is_none(),
            "a rolling list has a type"
        );
        ensure!(
            !state.ended || at + 1 == watched.revisions.len(),
            "the list went on after its end"
        );
        maps.extend(
            state
                .segments
                .iter()
                .filter_map(|segment| segment.map.clone()),
        );
    }
    ensure!(
        maps.iter()
            .all(|uri| !uri.contains("://") && !uri.starts_with('/')),
        "addresses are relative: {maps:?}"
    );
    Ok(())
}

/// 6.2.5.1.
fn a_delta_update_is_the_playlist_less_what_it_skips(
    watched: &Watched,
    scene: &Scene,
) -> Result<()> {
    let mut compared = 0;
    for delta in &watched.deltas {
        // The two requests went out together and may have been answered at two positions.
        let whole = states(watched)
            .find(|state| state.position() == delta.position() && state.ended == delta.ended);
        let Some(whole) = whole else { continue };
        ensure!(
            delta.media_sequence == whole.media_sequence,
            "the media sequence of a delta update differs"
        );
        let complete: Vec<_> = whole.complete().collect();
        let boundary = seconds(whole, "CAN-SKIP-UNTIL")?;
        // How many lie wholly further from the end of the last complete segment than the boundary.
        let mut behind = Duration::ZERO;
        let mut may = 0;
        for (at, segment) in complete.iter().enumerate().rev() {
            if behind > boundary {
                may = at as u64 + 1;
                break;
            }
            behind += length(segment);
        }
        ensure!(
            delta.skipped == may,
            "{} segments are skipped and {may} are older than the boundary:\n{}",
            delta.skipped,
            delta.text
        );
        let kept = &whole.segments[usize::try_from(delta.skipped)?..];
        for (a, b) in delta.segments.iter().zip(kept) {
            // A map may be stated anew for what is left.
            let order = |segment: &Segment| {
                let tags = segment.order.iter().filter(|tag| *tag != "EXT-X-MAP");
                tags.cloned().collect::<Vec<_>>()
            };
            ensure!(
                order(a) == order(b)
                    && Segment {
                        order: Vec::new(),
                        ..a.clone()
                    } == Segment {
                        order: Vec::new(),
                        ..b.clone()
                    },
                "{a:?}\nis, in the whole playlist,\n{b:?}"
            );
        }
        ensure!(
            delta.segments.len() == kept.len(),
            "segments are missing at the end"
        );
        ensure!(delta.hints == whole.hints, "the hints differ");
        ensure!(
            delta.text.len() <= whole.text.len(),
            "a delta update is longer than the playlist"
        );
        compared += 1;
    }
    ensure!(
        compared > 0 || watched.deltas.len() < 20,
        "no delta update could be compared with its playlist"
    );
    ensure!(
        !scene.skips || watched.deltas.iter().any(|delta| delta.skipped > 0),
        "nothing was ever skipped"
    );
    Ok(())
}

/// 4.4.6.2.
fn the_multivariant_playlist_describes_the_stream(watched: &Watched, scene: &Scene) -> Result<()> {
    let (_, list) = m3u8_rs::parse_master_playlist(watched.multivariant_after.as_bytes())
        .map_err(|error| anyhow::anyhow!("m3u8-rs can't read it: {error}"))?;
    let variant = list.variants.first().context("it names nothing")?;
    let average = variant.average_bandwidth.context("no AVERAGE-BANDWIDTH")?;
    ensure!(
        average <= variant.bandwidth,
        "the average {average} is above the peak {}",
        variant.bandwidth
    );
    // The peak over every stretch of half to one and a half target durations; whole segments are such stretches.
    // (Of a presentation that ended, the multivariant playlist that led there is all there is: it measured less.)
    let measured = watched.last().complete().filter(|_| !watched.last().ended);
    for segment in measured {
        let Some(media) = segment.uri.as_ref().and_then(|uri| watched.media.get(uri)) else {
            continue;
        };
        if length(segment) * 2 < target(watched.last()) {
            continue;
        }
        let rate = media.body.len() as f64 * 8.0 / length(segment).as_secs_f64();
        ensure!(
            rate <= variant.bandwidth as f64 + 1.0,
            "segment {} has {rate} bits a second, BANDWIDTH is {}",
            segment.sequence,
            variant.bandwidth
        );
    }
    let last = watched.segments().pop().context("there is no segment")?;
    let uri = last.map.context("there is no map")?;
    let init = watched.media.get(&uri).context("the map was not fetched")?;
    let moov = picam_tests::media::init(&init.body)?;
    let entry = moov.trak[0].mdia.minf.stbl.stsd.codecs.first();
    let Some(mp4_atom::Codec::Avc1(avc1)) = entry else {
        bail!("the sample entry is {entry:?}")
    };
    let codecs = format!(
        "avc1.{:02x}{:02x}{:02x}",
        avc1.avcc.avc_profile_indication,
        avc1.avcc.profile_compatibility,
        avc1.avcc.avc_level_indication
    );
    ensure!(
        variant.codecs.as_deref().map(str::to_ascii_lowercase) == Some(codecs.clone()),
        "CODECS is {:?}, the stream {codecs}",
        variant.codecs
    );
    let size = variant.resolution.context("no RESOLUTION")?;
    ensure!(
        (size.width, size.height) == (avc1.visual.width.into(), avc1.visual.height.into()),
        "RESOLUTION is {size:?}, the stream {}x{}",
        avc1.visual.width,
        avc1.visual.height
    );
    let rate = variant.frame_rate.context("no FRAME-RATE")?;
    if let Some(fps) = scene.fps {
        ensure!(
            (rate / f64::from(fps) - 1.0).abs() < 0.02,
            "FRAME-RATE is {rate}"
        );
    }
    Ok(())
}
