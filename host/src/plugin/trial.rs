//! Made-up windows, on which a plugin is tried before it is let at the stream, and by which it is measured.

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    h264::ParameterSets,
    live::{
        Chunk, InitSegment, Media, Part, Period, Position, Presentation, Rendition, Segment,
        Snapshot, Timing,
    },
    time::{MediaTime, Monotonic, PresentationClock, Wall},
};

const PART: Duration = Duration::from_micros(199_998);
const PARTS_A_SEGMENT: u32 = 5;
const FRAME: Duration = Duration::from_micros(33_333);
const PART_TARGET: Duration = Duration::from_millis(200);
/// Which segments show the slate.
const SLATE: Range<u32> = 4..6;
/// A camera that started in May 2026.
pub const CAPTURED: Wall = Wall(1_780_000_000_000_000);

/// Any stream a while after its start: ten segments, two of which show the slate of a lost camera, parts in the last
/// four, and a growing one.
pub fn running() -> Snapshot {
    window(1_000..1_011, 4, 2)
}

/// A stream that has just begun: no part is complete yet.
pub fn begun() -> Snapshot {
    window(1_000..1_001, 1, 0)
}

/// A stream that came to its end.
pub fn ended() -> Snapshot {
    let mut snapshot = window(1_000..1_011, 4, 2);
    snapshot.segments.pop();
    snapshot.position.parts = 0;
    snapshot.ended = true;
    snapshot.next_part = None;
    snapshot
}

/// A window of these segments, the last of which is growing and has `growing` parts; of the complete ones, the last
/// `with_parts` still list theirs, five each. Names are as long as real ones; objects can't be fetched.
pub fn window(sequences: Range<u64>, with_parts: u64, growing: u32) -> Snapshot {
    let init = Arc::new(InitSegment {
        path: "init-1.mp4".into(),
        data: Bytes::from_static(b"init"),
        parameter_sets: Arc::new(ParameterSets {
            sps: vec![Bytes::from_static(&[0x67, 0x64, 0x00, 0x1f])],
            pps: vec![Bytes::from_static(&[0x68])],
            width: 1280,
            height: 720,
            sample_aspect_ratio: (1, 1),
            frame_rate: Some((30, 1)),
            profile: [0x64, 0x00, 0x1f],
            chroma: [1, 0, 0],
        }),
    });
    let last = sequences.end.saturating_sub(1);
    let length = PART * PARTS_A_SEGMENT;
    // Where the camera is lost, and where it comes back.
    let periods: Vec<_> = [0, SLATE.start, SLATE.end]
        .map(|age| Arc::new(period(sequences.start, age, length)))
        .into();
    let segments: Vec<_> = sequences
        .clone()
        .map(|sequence| {
            let complete = sequence < last;
            let count = if complete { PARTS_A_SEGMENT } else { growing };
            let age = u32::try_from(sequence - sequences.start).unwrap_or(u32::MAX);
            let parts: Vec<_> = (0..count).map(|number| part(sequence, number)).collect();
            let media = Media {
                len: parts.iter().map(|part| part.media.len).sum(),
                pieces: parts.iter().flat_map(|p| p.media.pieces.clone()).collect(),
            };
            Arc::new(Segment {
                sequence,
                path: format!("seg-{sequence}.m4s").into(),
                period: periods
                    .iter()
                    .rfind(|period| period.sequence <= sequence)
                    .expect("the first one begins with the window")
                    .clone(),
                init: init.clone(),
                start: MediaTime::default().after(length * age),
                captured: CAPTURED.after(length * age),
                duration: PART * count,
                discontinuity: age == SLATE.start || age == SLATE.end,
                lost_since: SLATE
                    .contains(&age)
                    .then_some(CAPTURED.after(length * SLATE.start)),
                complete,
                media: if complete { media } else { Media::default() },
                parts: if sequence + with_parts >= last {
                    parts
                } else {
                    Vec::new()
                },
            })
        })
        .collect();
    Snapshot {
        presentation: Arc::new(Presentation {
            id: "trial".into(),
            timing: Timing {
                part_target: PART_TARGET,
                target_duration: 2,
                segment: Duration::from_secs(1),
                frame: FRAME,
                window: Duration::from_secs(30),
            },
            clock: PresentationClock::new(Monotonic(0), CAPTURED),
        }),
        position: Position {
            sequence: last,
            parts: growing,
        },
        ended: false,
        superseded: false,
        rendition: Rendition {
            peak_bitrate: 2_400_000,
            average_bitrate: 2_000_000,
        },
        segments,
        discontinuity_sequence: 0,
        next_part: Some(part_path(last, growing)),
        objects: Arc::new(HashMap::new()),
    }
}

/// The period that begins with the segment of this age.
fn period(first: u64, age: u32, length: Duration) -> Period {
    let slate = SLATE.contains(&age);
    let sequence = first + u64::from(age);
    Period {
        sequence,
        start: MediaTime::default().after(length * age),
        segment: (!slate).then_some(length),
        chunk: if slate { PART_TARGET } else { FRAME },
        template: Some(format!("chunked/{sequence}/seg-$Number$.m4s").into()),
    }
}

fn part(sequence: u64, number: u32) -> Arc<Part> {
    let chunk = Chunk {
        head: Bytes::from_static(b"head"),
        sample: Bytes::from_static(b"sample"),
    };
    Arc::new(Part {
        path: part_path(sequence, number),
        duration: PART,
        independent: number == 0,
        media: Media::of([&chunk]),
    })
}

fn part_path(sequence: u64, number: u32) -> Arc<str> {
    let serial = sequence * u64::from(PARTS_A_SEGMENT) + u64::from(number);
    format!("part-{serial}.m4s").into()
}
