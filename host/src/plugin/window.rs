use std::{sync::Arc, time::Duration};

use wasmtime::component::{ComponentType, Lower};

use super::bindings::exports::picam::plugin::playlist::KeyValue;
use crate::{
    live::{self, Snapshot},
    plugin,
};

/// Name of the one rendition.
pub(super) const RENDITION: &str = "video";

// The arguments of `render`, as `wit/playlist.wit` has them. They differ from the generated types in that their strings
// are shared with the live window: a render of 200 names copies none of them before they go into the plugin's memory.

/// `playlist.request`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Request {
    pub(super) document: Arc<str>,
    pub(super) query: Vec<KeyValue>,
    pub(super) headers: Vec<KeyValue>,
    pub(super) cookies: Vec<KeyValue>,
}

impl Request {
    /// A request for a document, with the inputs that it declares.
    pub(super) fn of(document: Arc<str>, request: &plugin::Request) -> Self {
        let pairs = |pairs: &[(String, String)]| {
            pairs
                .iter()
                .map(|(key, value)| KeyValue {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect()
        };
        Self {
            document,
            query: pairs(&request.query),
            headers: pairs(&request.headers),
            cookies: pairs(&request.cookies),
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Part {
    path: Arc<str>,
    duration: u64,
    independent: bool,
    size: u64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Segment {
    sequence: u64,
    path: Arc<str>,
    init: Arc<str>,
    start: u64,
    captured: u64,
    duration: u64,
    size: u64,
    discontinuity: bool,
    #[component(name = "lost-since")]
    lost_since: Option<u64>,
    complete: bool,
    parts: Vec<Part>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Period {
    sequence: u64,
    start: u64,
    segment: Option<u64>,
    chunk: u64,
    #[component(name = "segment-template")]
    segment_template: Option<Arc<str>>,
    init: Arc<str>,
    codecs: String,
    width: u32,
    height: u32,
    #[component(name = "sample-aspect-ratio")]
    sample_aspect_ratio: (u32, u32),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Position {
    sequence: u64,
    parts: u32,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Timing {
    #[component(name = "part-target")]
    part_target: u64,
    #[component(name = "target-duration")]
    target_duration: u32,
    segment: u64,
    frame: u64,
    window: u64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Rendition {
    id: &'static str,
    codecs: String,
    width: u32,
    height: u32,
    #[component(name = "frame-rate-milli")]
    frame_rate_milli: u32,
    #[component(name = "peak-bitrate")]
    peak_bitrate: u64,
    #[component(name = "average-bitrate")]
    average_bitrate: u64,
    position: Position,
    #[component(name = "discontinuity-sequence")]
    discontinuity_sequence: u64,
    segments: Vec<Segment>,
    periods: Vec<Period>,
    #[component(name = "next-part")]
    next_part: Option<Arc<str>>,
    #[component(name = "next-init")]
    next_init: Option<Arc<str>>,
}

/// `playlist.presentation`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Presentation {
    id: Arc<str>,
    epoch: u64,
    ended: bool,
    superseded: bool,
    timing: Timing,
    renditions: Vec<Rendition>,
}

impl Presentation {
    /// The window as plugins see it.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let timing = snapshot.presentation.timing;
        Self {
            id: snapshot.presentation.id.clone(),
            epoch: snapshot.presentation.clock.epoch().0,
            ended: snapshot.ended,
            superseded: snapshot.superseded,
            timing: Timing {
                part_target: micros(timing.part_target),
                target_duration: timing.target_duration,
                segment: micros(timing.segment),
                frame: micros(timing.frame),
                window: micros(timing.window),
            },
            renditions: rendition(snapshot).into_iter().collect(),
        }
    }
}

/// The rendition, unless there is no segment yet that would tell what it is.
fn rendition(snapshot: &Snapshot) -> Option<Rendition> {
    let coding = &snapshot.segments.last()?.init.parameter_sets;
    let with_parts = first_with_parts(snapshot);
    let segments = snapshot.segments.iter().enumerate();
    Some(Rendition {
        id: RENDITION,
        codecs: coding.codecs(),
        width: coding.width,
        height: coding.height,
        frame_rate_milli: frame_rate_milli(snapshot.presentation.timing.frame),
        peak_bitrate: snapshot.rendition.peak_bitrate,
        average_bitrate: snapshot.rendition.average_bitrate,
        position: Position {
            sequence: snapshot.position.sequence,
            parts: snapshot.position.parts,
        },
        discontinuity_sequence: snapshot.discontinuity_sequence,
        segments: segments
            .map(|(index, s)| segment(s, index >= with_parts))
            .collect(),
        periods: snapshot
            .segments
            .chunk_by(|one, next| Arc::ptr_eq(&one.period, &next.period))
            .map(|segments| period(&segments[0]))
            .collect(),
        next_part: snapshot.next_part.clone(),
        // A change of the coding is learnt of with the access unit that brings it, so it is never known beforehand.
        next_init: None,
    })
}

/// Index of the first segment whose parts a playlist may list: they are gone three target durations before the end
/// (RFC 8216bis, 6.2.2). The parts of a long window are most of what a plugin would have to take in.
fn first_with_parts(snapshot: &Snapshot) -> usize {
    let reach = Duration::from_secs(3 * u64::from(snapshot.presentation.timing.target_duration));
    let mut behind = Duration::ZERO;
    let mut segments = snapshot.segments.iter().rev();
    let listed = segments.by_ref().take_while(|segment| {
        let within = behind <= reach;
        behind += segment.duration;
        within
    });
    snapshot.segments.len() - listed.count()
}

fn segment(segment: &live::Segment, with_parts: bool) -> Segment {
    let parts: Vec<_> = match with_parts {
        true => segment.parts.iter().map(|p| part(p)).collect(),
        false => Vec::new(),
    };
    Segment {
        sequence: segment.sequence,
        path: segment.path.clone(),
        init: segment.init.path.clone(),
        start: segment.start.0,
        captured: segment.captured.0,
        duration: micros(segment.duration),
        size: if segment.complete {
            segment.media.len
        } else {
            parts.iter().map(|part| part.size).sum()
        },
        discontinuity: segment.discontinuity,
        lost_since: segment.lost_since.map(|since| since.0),
        complete: segment.complete,
        parts,
    }
}

/// The period of this segment.
fn period(segment: &live::Segment) -> Period {
    let (period, coding) = (&segment.period, &segment.init.parameter_sets);
    let (width, height) = coding.sample_aspect_ratio;
    Period {
        sequence: period.sequence,
        start: period.start.0,
        segment: period.segment.map(micros),
        chunk: micros(period.chunk),
        segment_template: period.template.clone(),
        init: segment.init.path.clone(),
        codecs: coding.codecs(),
        width: coding.width,
        height: coding.height,
        sample_aspect_ratio: (width.into(), height.into()),
    }
}

fn part(part: &live::Part) -> Part {
    Part {
        path: part.path.clone(),
        duration: micros(part.duration),
        independent: part.independent,
        size: part.media.len,
    }
}

/// Pictures in 1,000 seconds, from the time between two.
fn frame_rate_milli(frame: Duration) -> u32 {
    let nanos = frame.as_nanos().max(1);
    let rate = (1_000_000_000_000 + nanos / 2) / nanos;
    u32::try_from(rate).unwrap_or(u32::MAX)
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::trial;

    #[test]
    fn a_plugin_sees_the_window_as_it_is() {
        let snapshot = trial::running();
        let seen = Presentation::of(&snapshot);
        assert_eq!(seen.id, snapshot.presentation.id);
        let [rendition] = &seen.renditions[..] else {
            panic!("one rendition");
        };
        assert_eq!(rendition.codecs, "avc1.64001f");
        assert_eq!((rendition.width, rendition.height), (1280, 720));
        assert_eq!(rendition.position.sequence, snapshot.position.sequence);
        assert_eq!(rendition.segments.len(), snapshot.segments.len());
        assert_eq!(rendition.next_part, snapshot.next_part);
        for (seen, real) in rendition.segments.iter().zip(&snapshot.segments) {
            assert!(Arc::ptr_eq(&seen.path, &real.path), "shared, not copied");
            assert_eq!(seen.sequence, real.sequence);
            assert_eq!(seen.start, real.start.0);
            assert_eq!(seen.parts.len(), real.parts.len());
            assert_eq!(seen.complete, real.complete);
            assert_eq!(seen.lost_since, real.lost_since.map(|since| since.0));
        }
        let growing = rendition.segments.last().unwrap();
        assert_eq!(
            growing.size,
            growing.parts.iter().map(|p| p.size).sum::<u64>()
        );
        assert!(growing.size > 0);
        let first: Vec<u64> = rendition.periods.iter().map(|p| p.sequence).collect();
        assert_eq!(first, [1_000, 1_004, 1_006]);
        assert_eq!(rendition.periods[1].chunk, 200_000, "a still lasts a part");
    }

    #[test]
    fn parts_are_told_of_as_far_back_as_they_may_be_listed() {
        // Segments of a second, of which all have parts, behind 0.4 s of a growing one; TARGETDURATION is two.
        let seen = Presentation::of(&trial::window(0..31, 30, 2));
        let parts: Vec<_> = seen.renditions[0]
            .segments
            .iter()
            .map(|segment| segment.parts.len())
            .collect();
        // The sixth from the end of those that are complete ends 5.4 s before the end, the seventh 6.4 s.
        let (without, with) = parts.split_at(24);
        assert!(without.iter().all(|count| *count == 0), "{parts:?}");
        assert_eq!(with, [5, 5, 5, 5, 5, 5, 2]);
    }

    #[test]
    fn before_the_first_segment_there_is_no_rendition() {
        let mut snapshot = trial::running();
        snapshot.segments.clear();
        assert!(Presentation::of(&snapshot).renditions.is_empty());
    }

    #[test]
    fn frame_rates_are_those_that_people_know() {
        assert_eq!(frame_rate_milli(Duration::from_micros(33_333)), 30_000);
        assert_eq!(frame_rate_milli(Duration::from_nanos(33_366_667)), 29_970);
        assert_eq!(frame_rate_milli(Duration::from_millis(40)), 25_000);
        assert_eq!(frame_rate_milli(Duration::ZERO), u32::MAX);
    }
}
