//! The media playlist.

use picam_plugin::{
    m3u8::Writer,
    playlist::{Presentation, Rendition, Segment},
};

use crate::{Limits, losses, name};

/// Writes the media playlist of a rendition; a delta update of it (6.2.5.1) if that is asked for and would be shorter.
pub fn write(presentation: &Presentation, index: usize, limits: &Limits, skip: bool) -> String {
    let rendition = &presentation.renditions[index];
    let segments = &rendition.segments[..];
    let skipped = match skip {
        true => skippable(segments, limits.can_skip_until),
        false => 0,
    };
    let with_parts = first_with_parts(segments, limits).max(skipped);

    let mut list = Writer::with_capacity(expected_length(segments, skipped, with_parts));
    // Section 8: EXT-X-MAP needs 6, EXT-X-SKIP 9, and nothing else in here more than 3.
    list.number("EXT-X-VERSION", if skipped > 0 { 9 } else { 6 });
    list.number(
        "EXT-X-TARGETDURATION",
        presentation.timing.target_duration.into(),
    );
    list.attributes("EXT-X-PART-INF")
        .seconds("PART-TARGET", limits.part_target);
    list.attributes("EXT-X-SERVER-CONTROL")
        .yes("CAN-BLOCK-RELOAD", true)
        .seconds("CAN-SKIP-UNTIL", limits.can_skip_until)
        .seconds("HOLD-BACK", limits.hold_back)
        .seconds("PART-HOLD-BACK", limits.part_hold_back);
    head(&mut list, rendition, segments);
    if skipped > 0 {
        list.attributes("EXT-X-SKIP")
            .number("SKIPPED-SEGMENTS", skipped as u64);
    }
    // All of them, also in a delta update, whose skipped segments take no date ranges along (4.4.5.2).
    losses::write(&mut list, segments);

    // A delta update states the map anew: it applies to what is left, and a client that holds several maps must not
    // guess which.
    let mut map = None;
    for (at, segment) in segments.iter().enumerate().skip(skipped) {
        if !begun(segment) {
            continue;
        }
        begin(&mut list, segment, &mut map);
        if at >= with_parts {
            for part in &segment.parts {
                list.attributes("EXT-X-PART")
                    .seconds("DURATION", part.duration)
                    .quoted("URI", &part.path)
                    .yes("INDEPENDENT", part.independent);
            }
        }
        if segment.complete {
            list.extinf(segment.duration);
            list.uri(&segment.path);
        }
    }
    if !presentation.ended {
        hints(&mut list, rendition, map);
    }
    reports(&mut list, presentation, index);
    if presentation.ended {
        list.tag("EXT-X-ENDLIST");
    }
    list.finish()
}

/// Writes it for a file: whole segments and nothing of low latency, since what can't be waited for would only be asked for
/// more often.
pub fn write_file(presentation: &Presentation, index: usize) -> String {
    let rendition = &presentation.renditions[index];
    let segments = rendition.complete();
    let mut list = Writer::with_capacity(expected_length(segments, 0, segments.len()));
    list.number("EXT-X-VERSION", 6);
    list.number(
        "EXT-X-TARGETDURATION",
        presentation.timing.target_duration.into(),
    );
    head(&mut list, rendition, segments);
    losses::write(&mut list, segments);
    let mut map = None;
    for segment in segments {
        begin(&mut list, segment, &mut map);
        list.extinf(segment.duration);
        list.uri(&segment.path);
    }
    if presentation.ended {
        list.tag("EXT-X-ENDLIST");
    }
    list.finish()
}

/// What says where in the stream the list stands.
fn head(list: &mut Writer, rendition: &Rendition, segments: &[Segment]) {
    list.tag("EXT-X-INDEPENDENT-SEGMENTS");
    list.number(
        "EXT-X-MEDIA-SEQUENCE",
        segments
            .first()
            .map_or(rendition.position.sequence, |first| first.sequence),
    );
    list.number(
        "EXT-X-DISCONTINUITY-SEQUENCE",
        rendition.discontinuity_sequence,
    );
}

/// What comes before the first part of a segment. `map` is the one in force.
fn begin<'a>(list: &mut Writer, segment: &'a Segment, map: &mut Option<&'a str>) {
    if segment.discontinuity {
        list.tag("EXT-X-DISCONTINUITY");
    }
    if *map != Some(segment.init.as_str()) {
        list.attributes("EXT-X-MAP").quoted("URI", &segment.init);
        *map = Some(&segment.init);
    }
    // With every segment, so that a corrected clock shows at once, and nothing is lost when others are skipped.
    list.program_date_time(segment.captured);
}

/// Something of the segment can be had. Before that it isn't listed: what it begins with isn't certain yet, and the
/// hinted part may bring a discontinuity and a map of its own (4.4.5.3).
pub fn begun(segment: &Segment) -> bool {
    segment.complete || !segment.parts.is_empty()
}

/// How many of the oldest segments a delta update may leave out: those that lie wholly further than the skip boundary
/// from the end of the last complete segment. Parts don't count, so that the answer doesn't depend on them.
fn skippable(segments: &[Segment], boundary: u64) -> usize {
    let mut behind = 0;
    for (at, segment) in segments.iter().enumerate().rev() {
        if !segment.complete {
            continue;
        }
        if behind > boundary {
            return at + 1;
        }
        behind += segment.duration;
    }
    0
}

/// Index of the first segment that is listed with its parts.
///
/// Parts of whole segments, no longer than a player at the live edge can need them: those of the growing and of the
/// last complete segment, and as far back as PART-HOLD-BACK and the part after it reach. The draft has them gone three
/// target durations from the end at the latest (6.2.2); hls.js was seen to freeze, after joining, for as long as the
/// parts of a segment are listed, so no longer than that pays.
fn first_with_parts(segments: &[Segment], limits: &Limits) -> usize {
    let reach = limits.part_hold_back + limits.part_target;
    let mut first = segments.len();
    let mut complete_seen = false;
    let mut behind = 0;
    for (at, segment) in segments.iter().enumerate().rev() {
        let starts = behind + segment.duration;
        let needed = !complete_seen || behind < reach;
        if !needed || starts > 3 * limits.target_duration {
            break;
        }
        complete_seen |= segment.complete;
        first = at;
        behind = starts;
    }
    first
}

/// EXT-X-PRELOAD-HINT, for the part that comes next and for the map that it needs, if that is known to be another.
fn hints(list: &mut Writer, rendition: &Rendition, map: Option<&str>) {
    let opening = rendition
        .segments
        .last()
        .filter(|segment| !begun(segment))
        .map(|segment| segment.init.as_str());
    let next = rendition.next_init.as_deref().or(opening);
    if let Some(init) = next.filter(|init| map != Some(*init)) {
        list.attributes("EXT-X-PRELOAD-HINT")
            .word("TYPE", "MAP")
            .quoted("URI", init);
    }
    if let Some(part) = &rendition.next_part {
        list.attributes("EXT-X-PRELOAD-HINT")
            .word("TYPE", "PART")
            .quoted("URI", part);
    }
}

/// EXT-X-RENDITION-REPORT, for every other rendition (Appendix B.1).
fn reports(list: &mut Writer, presentation: &Presentation, index: usize) {
    for (other, rendition) in presentation.renditions.iter().enumerate() {
        if other == index {
            continue;
        }
        let tag = list
            .attributes("EXT-X-RENDITION-REPORT")
            .quoted("URI", &name(presentation, other));
        match rendition.newest_part() {
            Some(newest) => drop(
                tag.number("LAST-MSN", newest.sequence)
                    .number("LAST-PART", newest.parts.into()),
            ),
            None => drop(tag.number("LAST-MSN", rendition.position.sequence.saturating_sub(1))),
        }
    }
}

/// About how many bytes the playlist will have, so that it is allocated once: addresses are some twenty bytes long.
fn expected_length(segments: &[Segment], skipped: usize, with_parts: usize) -> usize {
    const HEAD_AND_TAIL: usize = 640;
    const SEGMENT: usize = 136;
    const PART: usize = 96;
    let parts: usize = segments[with_parts..]
        .iter()
        .map(|segment| segment.parts.len())
        .sum();
    HEAD_AND_TAIL
        + losses::expected_length(segments)
        + (segments.len() - skipped) * SEGMENT
        + parts * PART
}

#[cfg(test)]
mod tests {
    use picam_plugin::{
        Position,
        playlist::{Part, Timing},
    };

    use super::*;
    use crate::Policy;

    /// A window like those of a real stream: names with sixteen digits, a discontinuity in every tenth segment.
    fn presentation(segments: u64, parts: u64) -> Presentation {
        let serial = 1_795_564_800_000_000;
        let segments: Vec<_> = (serial..serial + segments)
            .map(|sequence| Segment {
                sequence,
                path: format!("segment-{sequence}.m4s"),
                init: format!("init-{}.mp4", sequence / 10),
                start: 0,
                captured: sequence,
                duration: parts * 199_998,
                size: 1,
                discontinuity: sequence % 10 == 0,
                lost_since: (sequence % 10 == 3).then_some(sequence),
                complete: true,
                parts: (0..parts)
                    .map(|part| Part {
                        path: format!("part-{}.m4s", serial + part),
                        duration: 199_998,
                        independent: part == 0,
                        size: 1,
                    })
                    .collect(),
            })
            .collect();
        Presentation {
            id: "id".into(),
            epoch: 0,
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
                frame_rate_milli: 30_000,
                peak_bitrate: 1,
                average_bitrate: 1,
                position: Position {
                    sequence: serial + segments.len() as u64,
                    parts: 0,
                },
                discontinuity_sequence: u64::MAX,
                segments,
                periods: Vec::new(),
                next_part: Some(format!("part-{serial}.m4s")),
                next_init: Some(format!("init-{serial}.mp4")),
            }],
        }
    }

    #[test]
    fn the_text_is_allocated_once_and_not_much_too_large() {
        for (segments, parts) in [(0, 0), (1, 1), (6, 5), (30, 5), (30, 10), (300, 5)] {
            let presentation = presentation(segments, parts);
            let limits = Policy { hold_back: 3_000 }.limits(&presentation.timing);
            let listed = &presentation.renditions[0].segments;
            for skip in [false, true] {
                let skipped = match skip {
                    true => skippable(listed, limits.can_skip_until),
                    false => 0,
                };
                let expected = expected_length(
                    listed,
                    skipped,
                    first_with_parts(listed, &limits).max(skipped),
                );
                let text = write(&presentation, 0, &limits, skip);
                assert_eq!(
                    text.capacity(),
                    expected,
                    "{segments} segments took {}",
                    text.len()
                );
                assert!(expected < text.len() * 3 / 2 + 300);
            }
        }
    }
}
