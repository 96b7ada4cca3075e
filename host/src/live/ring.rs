use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    InitSegment, Media, Object, Part, Position, Presentation, Rendition, Segment, Snapshot,
};
use crate::time::{MediaTime, Wall};

/// How a segment begins.
#[derive(Debug)]
pub struct Opening {
    /// What it needs to be decoded.
    pub init: Arc<InitSegment>,
    /// Presentation time of its first sample.
    pub start: MediaTime,
    /// When its first picture was captured.
    pub captured: Wall,
    /// It doesn't continue the segment before.
    pub discontinuity: bool,
}

/// The publisher's side of the window: the segments of one presentation, of which [`Ring::snapshot`] makes what readers
/// see.
///
/// A segment is listed while the window needs it, and stays available for as long again afterwards, since a player may
/// hold a playlist of that age (RFC 8216bis, 6.2.2). Its parts are forgotten three target durations after the playlist
/// stops listing them; the same bytes remain in the segment.
#[derive(Debug)]
pub struct Ring {
    presentation: Arc<Presentation>,
    byte_limit: u64,
    /// No longer listed, still available.
    unlisted: VecDeque<Arc<Segment>>,
    listed: VecDeque<Arc<Segment>>,
    open: Option<Open>,
    next_sequence: u64,
    next_serial: u64,
    discontinuity_sequence: u64,
    peak_bitrate: u64,
    over_limit: bool,
    ended: bool,
}

#[derive(Debug)]
struct Open {
    sequence: u64,
    path: Arc<str>,
    opening: Opening,
    duration: Duration,
    parts: Vec<Arc<Part>>,
}

/// Numbers that go on through all presentations of a run.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Media sequence number of the next segment.
    pub sequence: u64,
    /// Serial of the next part.
    pub serial: u64,
}

impl Ring {
    /// An empty window that holds at most about `byte_limit` bytes of media.
    pub fn new(presentation: Arc<Presentation>, numbers: Numbers, byte_limit: u64) -> Self {
        Self {
            presentation,
            byte_limit,
            unlisted: VecDeque::new(),
            listed: VecDeque::new(),
            open: None,
            next_sequence: numbers.sequence,
            next_serial: numbers.serial,
            discontinuity_sequence: 0,
            peak_bitrate: 0,
            over_limit: false,
            ended: false,
        }
    }

    /// Where the next presentation goes on counting.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            sequence: self.next_sequence,
            serial: self.next_serial,
        }
    }

    /// Completes the open segment and begins another.
    pub fn begin_segment(&mut self, opening: Opening) {
        self.complete_segment();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.open = Some(Open {
            sequence,
            path: format!("segment-{sequence}.m4s").into(),
            opening,
            duration: Duration::ZERO,
            parts: Vec::new(),
        });
    }

    /// Adds a part to the open segment. One must be open.
    pub fn push_part(&mut self, duration: Duration, independent: bool, media: Media) {
        let path = self.part_path();
        self.next_serial += 1;
        let open = self
            .open
            .as_mut()
            .expect("a part is pushed into an open segment");
        open.duration += duration;
        open.parts.push(Arc::new(Part {
            path,
            duration,
            independent,
            media,
        }));
    }

    /// Nothing will follow.
    pub fn end(&mut self) {
        self.complete_segment();
        self.ended = true;
    }

    fn part_path(&self) -> Arc<str> {
        format!("part-{}.m4s", self.next_serial).into()
    }

    fn complete_segment(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.parts.is_empty() {
            // Nothing of it was published but its number, which the next segment takes.
            self.next_sequence = open.sequence;
            return;
        }
        let segment = open.segment(true);
        let timing = &self.presentation.timing;
        // RFC 8216bis, 4.4.6.2: the peak is over stretches of half a target duration and more.
        if segment.duration * 2 >= Duration::from_secs(timing.target_duration.into()) {
            self.peak_bitrate = self
                .peak_bitrate
                .max(bitrate(segment.media.len, segment.duration));
        }
        self.listed.push_back(Arc::new(segment));
        self.forget_old();
    }

    /// Takes from the list, from availability and from the parts what has become too old.
    fn forget_old(&mut self) {
        let timing = self.presentation.timing;
        let mut listed: Duration = self.listed.iter().map(|segment| segment.duration).sum();
        while let Some(first) = self.listed.front()
            && listed - first.duration >= timing.window
        {
            listed -= first.duration;
            self.unlist_first();
        }
        let mut unlisted: Duration = self.unlisted.iter().map(|segment| segment.duration).sum();
        while let Some(first) = self.unlisted.front()
            && unlisted - first.duration >= listed
        {
            unlisted -= first.duration;
            self.unlisted.pop_front();
        }
        self.keep_within_bytes(listed);

        let target = Duration::from_secs(timing.target_duration.into());
        let mut age = Duration::ZERO;
        for segment in self.listed.iter_mut().rev() {
            if age > 6 * target && !segment.parts.is_empty() {
                *segment = Arc::new(segment.without_parts());
            }
            age += segment.duration;
        }
    }

    fn keep_within_bytes(&mut self, mut listed: Duration) {
        let mut bytes: u64 = self
            .unlisted
            .iter()
            .chain(&self.listed)
            .map(|segment| segment.media.len)
            .sum();
        while bytes > self.byte_limit
            && let Some(first) = self.unlisted.pop_front()
        {
            bytes -= first.media.len;
        }
        let least = 3 * Duration::from_secs(self.presentation.timing.target_duration.into());
        while bytes > self.byte_limit
            && let Some(first) = self.listed.front()
            && listed - first.duration >= least
        {
            bytes -= first.media.len;
            listed -= first.duration;
            self.unlist_first();
            self.unlisted.pop_back();
        }
        if !self.over_limit && bytes > self.byte_limit {
            self.over_limit = true;
            tracing::warn!(
                "the window needs {bytes} bytes for the three target durations that players must find, more than its \
                 limit of {}: lower the bitrate or raise `window-bytes`",
                self.byte_limit
            );
        }
    }

    fn unlist_first(&mut self) {
        if let Some(first) = self.listed.pop_front() {
            self.discontinuity_sequence += u64::from(first.discontinuity);
            self.unlisted.push_back(first);
        }
    }

    /// The window as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let growing = self.open.as_ref().map(|open| Arc::new(open.segment(false)));
        let segments: Vec<_> = self.listed.iter().cloned().chain(growing).collect();
        let position = match &self.open {
            Some(open) => Position {
                sequence: open.sequence,
                parts: u32::try_from(open.parts.len()).unwrap_or(u32::MAX),
            },
            None => Position {
                sequence: self.next_sequence,
                parts: 0,
            },
        };
        let next_part = (!self.ended).then(|| self.part_path());
        Snapshot {
            presentation: self.presentation.clone(),
            position,
            ended: self.ended,
            rendition: self.figures(&segments),
            objects: Arc::new(self.objects(&segments, position, next_part.as_ref())),
            segments,
            discontinuity_sequence: self.discontinuity_sequence,
            next_part,
        }
    }

    fn figures(&self, segments: &[Arc<Segment>]) -> Rendition {
        let duration = segments.iter().map(|segment| segment.duration).sum();
        let bytes = segments
            .iter()
            .map(|segment| match segment.complete {
                true => segment.media.len,
                false => segment.parts.iter().map(|part| part.media.len).sum(),
            })
            .sum();
        let average_bitrate = bitrate(bytes, duration);
        Rendition {
            peak_bitrate: self.peak_bitrate.max(average_bitrate),
            average_bitrate,
        }
    }

    fn objects(
        &self,
        segments: &[Arc<Segment>],
        position: Position,
        next_part: Option<&Arc<str>>,
    ) -> HashMap<Arc<str>, Object> {
        let mut objects = HashMap::with_capacity(16 + 8 * segments.len());
        for segment in self.unlisted.iter().chain(segments) {
            objects.insert(
                segment.init.path.clone(),
                Object::Init(segment.init.clone()),
            );
            for part in &segment.parts {
                objects.insert(part.path.clone(), Object::Part(part.clone()));
            }
            let object = match segment.complete {
                true => Object::Segment(segment.clone()),
                false => Object::GrowingSegment(segment.sequence),
            };
            objects.insert(segment.path.clone(), object);
        }
        if let Some(path) = next_part {
            objects.insert(path.clone(), Object::NextPart(position));
        }
        objects
    }
}

impl Open {
    fn segment(&self, complete: bool) -> Segment {
        let media = match complete {
            true => Media::joined(self.parts.iter().map(|part| &part.media)),
            false => Media::default(),
        };
        Segment {
            sequence: self.sequence,
            path: self.path.clone(),
            init: self.opening.init.clone(),
            start: self.opening.start,
            captured: self.opening.captured,
            duration: self.duration,
            discontinuity: self.opening.discontinuity,
            complete,
            parts: self.parts.clone(),
            media,
        }
    }
}

/// Bits a second.
fn bitrate(bytes: u64, duration: Duration) -> u64 {
    let micros = duration.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 8_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{cmaf::Timing, h264::ParameterSets};

    fn ring(byte_limit: u64) -> Ring {
        let timing = Timing {
            part_target: Duration::from_millis(500),
            target_duration: 2,
            segment: Duration::from_secs(1),
            frame: Duration::from_millis(500),
            window: Duration::from_secs(10),
        };
        let id = "abc".into();
        let numbers = Numbers {
            sequence: 100,
            serial: 7,
        };
        Ring::new(Arc::new(Presentation { id, timing }), numbers, byte_limit)
    }

    fn push(ring: &mut Ring, discontinuity: bool) {
        let sets = ParameterSets::example(64);
        let init = Arc::new(InitSegment {
            path: "init-0.mp4".into(),
            data: Bytes::from_static(b"init"),
            parameter_sets: Arc::new(sets),
        });
        ring.begin_segment(Opening {
            init,
            start: MediaTime(0),
            captured: Wall(0),
            discontinuity,
        });
        for _ in 0..2 {
            let media = Media {
                pieces: vec![Bytes::from_static(&[0; 100])],
                len: 100,
            };
            ring.push_part(Duration::from_millis(500), false, media);
        }
    }

    #[test]
    fn what_left_the_list_stays_available_for_as_long_again() {
        let mut ring = ring(u64::MAX);
        for _ in 0..40 {
            push(&mut ring, false);
        }
        let snapshot = ring.snapshot();
        assert_eq!(snapshot.segments.len(), 11);
        assert_eq!(snapshot.segments[0].sequence, 129);
        assert_eq!(
            snapshot.position,
            Position {
                sequence: 139,
                parts: 2
            }
        );
        assert!(matches!(
            snapshot.objects.get("segment-139.m4s"),
            Some(Object::GrowingSegment(139))
        ));
        assert!(matches!(
            snapshot.objects.get("segment-119.m4s"),
            Some(Object::Segment(_))
        ));
        assert!(snapshot.objects.get("segment-118.m4s").is_none());
        assert_eq!(snapshot.next_part.as_deref(), Some("part-87.m4s"));
        assert!(matches!(
            snapshot.objects.get("part-87.m4s"),
            Some(Object::NextPart(_))
        ));
    }

    #[test]
    fn parts_are_forgotten_three_target_durations_after_they_left_the_list() {
        let mut ring = ring(u64::MAX);
        ring.presentation = Arc::new(Presentation {
            id: "abc".into(),
            timing: Timing {
                window: Duration::from_secs(30),
                ..ring.presentation.timing
            },
        });
        for _ in 0..40 {
            push(&mut ring, false);
        }
        let with_parts = ring
            .listed
            .iter()
            .filter(|segment| !segment.parts.is_empty())
            .count();
        assert_eq!(with_parts, 13);
        assert!(ring.listed.iter().all(|segment| segment.media.len == 200));
    }

    #[test]
    fn the_byte_limit_costs_window_but_never_the_last_three_target_durations() {
        let mut ring = ring(1_000);
        for _ in 0..40 {
            push(&mut ring, false);
        }
        assert_eq!(ring.snapshot().segments.len(), 6 + 1);
        assert!(ring.unlisted.is_empty() && ring.over_limit);
    }

    #[test]
    fn discontinuities_that_left_the_list_are_counted() {
        let mut ring = ring(u64::MAX);
        for n in 0..20 {
            push(&mut ring, n == 5 || n == 19);
        }
        let snapshot = ring.snapshot();
        assert_eq!(snapshot.segments[0].sequence, 109);
        assert_eq!(snapshot.discontinuity_sequence, 1);
    }

    #[test]
    fn an_end_completes_the_segment_and_hints_nothing() {
        let mut ring = ring(u64::MAX);
        push(&mut ring, false);
        ring.end();
        let snapshot = ring.snapshot();
        assert!(snapshot.ended && snapshot.next_part.is_none() && snapshot.segments[0].complete);
        assert_eq!(
            snapshot.position,
            Position {
                sequence: 101,
                parts: 0
            }
        );
    }
}
