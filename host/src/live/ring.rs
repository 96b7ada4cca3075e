use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Chunk, Chunked, InitSegment, Kind, Media, Names, Object, Part, Period, Position, Presentation,
    Rendition, Segment, Snapshot, chunks::Growth, naming::CHUNKED,
};
use crate::{
    h264::ParameterSets,
    time::{MediaTime, Wall},
};

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
    /// It shows the slate: when the last picture of the camera was captured.
    pub lost_since: Option<Wall>,
    /// How long segments are meant to be from here on.
    pub segment: Duration,
    /// Nominal length of a chunk.
    pub chunk: Duration,
}

/// The publisher's side of the window: the segments of one presentation, of which [`Ring::snapshot`] makes what readers
/// see.
///
/// A segment is listed while the window needs it, and stays available for as long again afterwards, since a player may
/// hold a playlist of that age (RFC 8216bis, 6.2.2). Its parts are forgotten three target durations after the playlist
/// stops listing them; the same bytes remain in the segment.
///
/// An object gets its name when the window first mentions it, and keeps it: a segment as it begins, a part as the one
/// before it is complete. With the object, the window forgets the name.
#[derive(Debug)]
pub struct Ring {
    presentation: Arc<Presentation>,
    byte_limit: u64,
    names: Names,
    /// All that may still be asked for, or used again.
    inits: Vec<Weak<InitSegment>>,
    /// No longer listed, still available.
    unlisted: VecDeque<Arc<Segment>>,
    listed: VecDeque<Arc<Segment>>,
    open: Option<Open>,
    /// That of the open segment, or of the last one.
    period: Option<Arc<Period>>,
    /// What the part that comes next is called.
    next_part: Arc<str>,
    discontinuity_sequence: u64,
    peak_bitrate: u64,
    over_limit: bool,
    ended: bool,
    superseded: bool,
}

#[derive(Debug)]
struct Open {
    sequence: u64,
    path: Arc<str>,
    period: Arc<Period>,
    opening: Opening,
    duration: Duration,
    parts: Vec<Arc<Part>>,
    growth: Growth,
}

impl Ring {
    /// An empty window that holds at most about `byte_limit` bytes of media.
    pub fn new(presentation: Arc<Presentation>, mut names: Names, byte_limit: u64) -> Self {
        names.forget_given();
        Self {
            presentation,
            byte_limit,
            next_part: names.take(Kind::Part),
            names,
            inits: Vec::new(),
            unlisted: VecDeque::new(),
            listed: VecDeque::new(),
            open: None,
            period: None,
            discontinuity_sequence: 0,
            peak_bitrate: 0,
            over_limit: false,
            ended: false,
            superseded: false,
        }
    }

    /// What objects will be called, to be waited for where there is time, or to be handed to the next presentation. The
    /// ring is of no use without.
    pub fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// Names an init segment. It may be used for any number of segments, as long as somebody keeps it.
    pub fn init_segment(
        &mut self,
        data: Bytes,
        parameter_sets: Arc<ParameterSets>,
        captured: Wall,
    ) -> Arc<InitSegment> {
        let init = Arc::new(InitSegment {
            path: self.names.take(Kind::Init),
            data,
            parameter_sets,
        });
        // When the next one is needed, nobody knows.
        self.names.foresee(Kind::Init, captured, Duration::ZERO);
        self.inits.push(Arc::downgrade(&init));
        init
    }

    /// Completes the open segment and begins another.
    pub fn begin_segment(&mut self, opening: Opening) {
        let empty = self.open.take_if(|open| open.parts.is_empty());
        self.complete_segment();
        self.tell_names_in_use(opening.start);
        // Of an empty one nothing was published but its number and its name.
        let (sequence, path) = match empty {
            Some(empty) => (empty.sequence, empty.path),
            None => (self.names.next_sequence(), self.names.take(Kind::Segment)),
        };
        let length = self.presentation.timing.segment;
        self.names
            .foresee(Kind::Segment, opening.captured.after(length), length);
        let period = self.period_of(sequence, &opening);
        self.period = Some(period.clone());
        self.open = Some(Open {
            sequence,
            path,
            period,
            opening,
            duration: Duration::ZERO,
            parts: Vec::new(),
            growth: Growth::new(),
        });
    }

    /// The period of the segment that begins: the one before, if that can go on.
    ///
    /// Its addresses are its own, so that whoever waits for the segment after the last one of a period is told that there
    /// is none when another period begins, rather than given what it can't use.
    fn period_of(&self, sequence: u64, opening: &Opening) -> Arc<Period> {
        let template = self.names.segment_template();
        let mut segment = Some(opening.segment);
        if let Some(last) = self.period.as_ref().filter(|_| !opening.discontinuity) {
            let named_alike = last.template == chunked_template(last.sequence, template.as_deref());
            let in_place = last.has_place_for(sequence, opening.start);
            if named_alike && in_place {
                return last.clone();
            }
            // A camera's clock differs a little, and is now known better. One that is off soon has no pace.
            segment = match in_place {
                true => last.segment,
                false => last.measured(sequence, opening.start),
            };
        }
        Arc::new(Period {
            sequence,
            start: opening.start,
            segment,
            chunk: opening.chunk,
            template: chunked_template(sequence, template.as_deref()),
        })
    }

    /// Adds a chunk to the open segment, at whose chunked address it is sent at once. One must be open. The part that it
    /// belongs to is [pushed](Self::push_part) when it is complete.
    pub fn push_chunk(&mut self, chunk: Chunk) {
        let open = self.open.as_mut();
        open.expect("a chunk is pushed into an open segment")
            .growth
            .push(chunk);
    }

    /// Adds a part to the open segment. One must be open.
    pub fn push_part(&mut self, duration: Duration, independent: bool, media: Media) {
        let open = self
            .open
            .as_mut()
            .expect("a part is pushed into an open segment");
        open.duration += duration;
        let target = self.presentation.timing.part_target;
        // The part after the one that begins now.
        let after_next = open.opening.captured.after(open.duration + target);
        let next = self.names.take(Kind::Part);
        self.names.foresee(Kind::Part, after_next, target);
        open.parts.push(Arc::new(Part {
            path: std::mem::replace(&mut self.next_part, next),
            duration,
            independent,
            media,
        }));
    }

    /// Nothing will follow here; if it is superseded, another presentation does.
    pub fn end(&mut self, superseded: bool) {
        self.complete_segment();
        self.ended = true;
        self.superseded = superseded;
    }

    fn tell_names_in_use(&mut self, now: MediaTime) {
        self.inits.retain(|init| init.strong_count() > 0);
        let inits: Vec<_> = self.inits.iter().filter_map(Weak::upgrade).collect();
        let names = [&self.next_part]
            .into_iter()
            .chain(inits.iter().map(|init| &init.path))
            .chain(
                self.unlisted
                    .iter()
                    .chain(&self.listed)
                    .flat_map(|segment| {
                        segment
                            .parts
                            .iter()
                            .map(|part| &part.path)
                            .chain([&segment.path])
                    }),
            );
        // RFC 8216bis, B.1: caches keep media for six target durations. The seventh is for the segment that passes between
        // two looks at what is in use.
        let reserved = Duration::from_secs(u64::from(self.presentation.timing.target_duration) * 7);
        self.names.in_use(now, reserved, names.map(|name| &**name));
    }

    fn complete_segment(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.parts.is_empty() {
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
                sequence: match self.listed.back() {
                    Some(last) => last.sequence + 1,
                    None => self.names.next_sequence(),
                },
                parts: 0,
            },
        };
        let next_part = (!self.ended).then(|| self.next_part.clone());
        Snapshot {
            presentation: self.presentation.clone(),
            position,
            ended: self.ended,
            superseded: self.superseded,
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
            let chunked = match &self.open {
                Some(open) if !segment.complete => Chunked::Growing(open.growth.first().clone()),
                _ => Chunked::Complete(segment.clone()),
            };
            if let Some(path) = segment.period.chunked(segment.sequence) {
                objects.insert(path, Object::Chunked(chunked));
            }
        }
        let next = self.open.as_ref().filter(|_| !self.ended);
        if let Some(path) = next.and_then(|open| open.period.chunked(open.sequence + 1)) {
            objects.insert(path, Object::Chunked(Chunked::Next));
        }
        if let Some(path) = next_part {
            objects.insert(path.clone(), Object::NextPart(position));
        }
        objects
    }
}

/// The template of the names at which segments of a period can be had chunk by chunk.
fn chunked_template(first: u64, template: Option<&str>) -> Option<Arc<str>> {
    Some(format!("{CHUNKED}{first}/{}", template?).into())
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
            period: self.period.clone(),
            init: self.opening.init.clone(),
            start: self.opening.start,
            captured: self.opening.captured,
            duration: self.duration,
            discontinuity: self.opening.discontinuity,
            lost_since: self.opening.lost_since,
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
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        cmaf::Timing,
        h264::ParameterSets,
        live::{Answer, Nameless, Naming},
        time::{Monotonic, PresentationClock},
    };

    fn ring(byte_limit: u64) -> Ring {
        let timing = Timing {
            part_target: Duration::from_millis(500),
            target_duration: 2,
            segment: Duration::from_secs(1),
            frame: Duration::from_millis(500),
            window: Duration::from_secs(10),
        };
        let id = "abc".into();
        let names = Names::new(None, Wall(100_000_000));
        let clock = PresentationClock::new(Monotonic(0), Wall(0));
        let presentation = Presentation { id, timing, clock };
        Ring::new(Arc::new(presentation), names, byte_limit)
    }

    fn push(ring: &mut Ring, discontinuity: bool) {
        let sets = Arc::new(ParameterSets::example(64));
        let init = ring.init_segment(Bytes::from_static(b"init"), sets, Wall(0));
        ring.begin_segment(Opening {
            init,
            start: MediaTime(0),
            captured: Wall(0),
            discontinuity,
            lost_since: None,
            segment: Duration::from_secs(1),
            chunk: Duration::from_millis(500),
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
        assert_eq!(snapshot.next_part.as_deref(), Some("part-80.m4s"));
        assert!(matches!(
            snapshot.objects.get("part-80.m4s"),
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
            clock: ring.presentation.clock,
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

    /// Answers at once with what a test says.
    struct Says<F>(F);

    impl<F: Fn(Nameless) -> String + Send + Sync> Naming for Says<F> {
        fn name(&self, object: Nameless) -> Answer {
            let (sender, answer) = oneshot::channel();
            sender.send(Some(self.0(object))).unwrap();
            answer
        }

        fn instead(&self) -> Option<String> {
            None
        }

        fn segment_template(&self) -> Option<String> {
            None
        }
    }

    fn named(say: impl Fn(Nameless) -> String + Send + Sync + 'static) -> Ring {
        let mut ring = ring(u64::MAX);
        let mut names = Names::new(Some(Arc::new(Says(say))), Wall(100_000_000));
        for kind in [Kind::Init, Kind::Segment, Kind::Part] {
            names.foresee(kind, Wall(0), Duration::from_secs(1));
        }
        ring = Ring::new(ring.presentation, names, u64::MAX);
        ring
    }

    /// What a name leads to, among all there are.
    fn kinds(snapshot: &Snapshot) -> [usize; 6] {
        let mut counts = [0; 6];
        for object in snapshot.objects.values() {
            counts[match object {
                Object::Init(_) => 0,
                Object::Segment(_) => 1,
                Object::GrowingSegment(_) => 2,
                Object::Part(_) => 3,
                Object::NextPart(_) => 4,
                Object::Chunked(_) => 5,
            }] += 1;
        }
        counts
    }

    #[test]
    fn objects_are_called_what_they_were_named_and_found_by_it_until_they_are_evicted() {
        let mut ring = named(|object| format!("{:?}/{}", object.kind, object.number));
        push(&mut ring, false);
        let first = ring.snapshot();
        let growing = &first.segments[0];
        assert_eq!(&*growing.path, "Segment/100.m4s");
        assert_eq!(&*growing.parts[0].path, "Part/100000.m4s");
        assert_eq!(&*growing.init.path, "Init/100000.mp4");
        assert_eq!(first.next_part.as_deref(), Some("Part/100002.m4s"));
        assert_eq!(kinds(&first), [1, 0, 1, 2, 1, 0]);
        for _ in 1..40 {
            push(&mut ring, false);
        }
        let snapshot = ring.snapshot();
        assert!(snapshot.objects.contains_key("Segment/119.m4s"));
        assert!(!snapshot.objects.contains_key("Segment/118.m4s"));
        for segment in &snapshot.segments {
            assert!(snapshot.objects.contains_key(&segment.path));
            assert!(snapshot.objects.contains_key(&segment.init.path));
        }
    }

    #[test]
    fn whatever_is_said_each_object_has_an_address_of_its_own() {
        // Two names for everything, and now and then none that is one.
        let mut ring = named(|object| match object.number % 5 {
            0 => "../up".into(),
            1 => String::new(),
            n => format!("name-{}", n % 2),
        });
        for _ in 0..40 {
            push(&mut ring, false);
            let snapshot = ring.snapshot();
            let listed: usize = snapshot.segments.iter().map(|s| s.parts.len()).sum();
            let [inits, segments, growing, parts, next, _] = kinds(&snapshot);
            assert_eq!((growing, next), (1, 1));
            assert!(parts >= listed && segments + growing >= snapshot.segments.len());
            let distinct: std::collections::HashSet<_> = snapshot
                .segments
                .iter()
                .map(|s| Arc::as_ptr(&s.init))
                .collect();
            assert!(inits >= distinct.len());
        }
    }

    /// Begins a segment and gives it a part.
    fn begin(ring: &mut Ring, start_ms: u64, change: impl FnOnce(&mut Opening)) {
        let sets = Arc::new(ParameterSets::example(64));
        let mut opening = Opening {
            init: ring.init_segment(Bytes::from_static(b"init"), sets, Wall(0)),
            start: MediaTime(start_ms * 1_000),
            captured: Wall(0),
            discontinuity: false,
            lost_since: None,
            segment: Duration::from_secs(1),
            chunk: Duration::from_millis(500),
        };
        change(&mut opening);
        ring.begin_segment(opening);
        ring.push_part(Duration::from_secs(1), true, Media::default());
    }

    /// The names of segments that can be had chunk by chunk, sorted, each with a letter: complete, growing or next.
    fn chunked(ring: &Ring) -> Vec<String> {
        let snapshot = ring.snapshot();
        let mut names: Vec<_> = snapshot
            .objects
            .iter()
            .filter_map(|(name, object)| {
                let letter = match object {
                    Object::Chunked(Chunked::Complete(_)) => 'c',
                    Object::Chunked(Chunked::Growing(_)) => 'g',
                    Object::Chunked(Chunked::Next) => 'n',
                    _ => return None,
                };
                Some(format!("{letter} {name}"))
            })
            .collect();
        names.sort_unstable_by(|a, b| a[2..].cmp(&b[2..]));
        names
    }

    #[test]
    fn segments_can_be_had_as_they_grow_below_an_address_of_their_period() {
        let mut ring = ring(u64::MAX);
        begin(&mut ring, 0, |_| {});
        begin(&mut ring, 1_000, |_| {});
        assert_eq!(
            chunked(&ring),
            [
                "c chunked/100/segment-100.m4s",
                "g chunked/100/segment-101.m4s",
                "n chunked/100/segment-102.m4s",
            ]
        );
        assert!(!past(&ring, "chunked/100/segment-102.m4s"));
        // What was held for the next segment isn't there any more, rather than being something else.
        begin(&mut ring, 5_000, |opening| opening.discontinuity = true);
        assert_eq!(
            chunked(&ring),
            [
                "c chunked/100/segment-100.m4s",
                "c chunked/100/segment-101.m4s",
                "g chunked/102/segment-102.m4s",
                "n chunked/102/segment-103.m4s",
            ]
        );
        ring.end(false);
        assert_eq!(
            chunked(&ring).last().unwrap(),
            "c chunked/102/segment-102.m4s"
        );
    }

    fn past(ring: &Ring, name: &str) -> bool {
        ring.snapshot().is_past_a_period(name)
    }

    #[test]
    fn what_would_have_followed_a_period_is_told_from_what_is_too_early_or_too_late() {
        let mut ring = ring(u64::MAX);
        for n in 0..3 {
            begin(&mut ring, n * 1_000, |_| {});
        }
        assert!(!past(&ring, "chunked/100/segment-104.m4s"), "too early");
        begin(&mut ring, 5_000, |opening| opening.discontinuity = true);
        begin(&mut ring, 6_000, |_| {});
        for (name, is) in [
            ("chunked/100/segment-102.m4s", false),
            ("chunked/100/segment-103.m4s", true),
            ("chunked/100/segment-104.m4s", true),
            ("chunked/100/segment-0104.m4s", false),
            ("chunked/100/segment-.m4s", false),
            ("chunked/100/segment-99999999999999999999.m4s", false),
            ("chunked/101/segment-103.m4s", false),
            ("chunked/103/segment-105.m4s", false),
            ("segment-106.m4s", false),
        ] {
            assert_eq!(past(&ring, name), is, "{name}");
        }
        for n in 7..30 {
            begin(&mut ring, n * 1_000, |_| {});
        }
        assert!(!past(&ring, "chunked/100/segment-103.m4s"), "too late");
        ring.end(false);
        assert!(past(&ring, "chunked/103/segment-200.m4s"));
    }

    /// The first segment and the length of each period, milliseconds.
    fn periods(ring: &Ring) -> Vec<(u64, Option<u128>)> {
        let mut periods: Vec<_> = ring
            .listed
            .iter()
            .map(|segment| &segment.period)
            .map(|period| (period.sequence, period.segment.map(|s| s.as_millis())))
            .collect();
        periods.dedup();
        periods
    }

    #[test]
    fn a_segment_too_far_from_its_place_begins_a_period_and_unsteady_ones_have_no_place() {
        let mut ring = ring(u64::MAX);
        // Never a quarter of a second from whole seconds, but for the last.
        for start in [0, 1_000, 2_200, 2_900, 4_240, 5_300, 6_300, 9_900] {
            begin(&mut ring, start, |_| {});
        }
        begin(&mut ring, 20_000, |opening| opening.discontinuity = true);
        ring.end(false);
        let expected = [(100, Some(1_000)), (105, None), (108, Some(1_000))];
        assert_eq!(periods(&ring), expected);
    }

    #[test]
    fn a_period_that_a_drifting_clock_ends_is_followed_by_one_of_the_length_it_had() {
        let mut ring = ring(u64::MAX);
        ring.presentation = Arc::new(Presentation {
            id: "abc".into(),
            timing: Timing {
                window: Duration::from_secs(1_000),
                ..ring.presentation.timing
            },
            clock: ring.presentation.clock,
        });
        for n in 0..500 {
            begin(&mut ring, n * 1_003, |_| {});
        }
        ring.end(false);
        assert_eq!(periods(&ring), [(100, Some(1_000)), (184, Some(1_003))]);
    }

    #[test]
    fn without_a_template_segments_are_to_be_had_when_complete_and_no_sooner() {
        let mut ring = named(|object| format!("{:?}/{}", object.kind, object.number));
        push(&mut ring, false);
        push(&mut ring, false);
        assert!(chunked(&ring).is_empty());
    }

    #[test]
    fn an_end_completes_the_segment_and_hints_nothing() {
        let mut ring = ring(u64::MAX);
        push(&mut ring, false);
        ring.end(false);
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
