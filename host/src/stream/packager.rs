use std::{num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context;

use super::{clock::Clock, counts::Counts};
use crate::{
    cmaf::{DisplayTimes, Placement, Sample, Timeline, Timing, chunk_head, init_segment},
    h264::{AccessUnit, ParameterSets},
    live::{Chunk, EdgeChunk, Frame, InitSegment, Live, Media, Names, Opening, Presentation, Ring},
    source::Picture,
    time::{MediaTime, Monotonic, Wall},
};

/// Why a presentation can't go on as it began.
#[derive(Debug, PartialEq, Eq)]
pub enum Outgrown {
    /// Pictures come so slowly that one doesn't fit into a part.
    FrameRate,
    /// Key frames come so rarely that a segment breaks the target duration.
    KeyInterval,
}

impl Outgrown {
    /// For the log.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::FrameRate => "pictures come too slowly for the length of a part",
            Self::KeyInterval => "key frames come too rarely for the length of a segment",
        }
    }
}

/// Turns access units into the chunks, parts and segments of one presentation, and publishes them.
#[derive(Debug)]
pub struct Packager {
    live: Arc<Live>,
    ring: Ring,
    timing: Timing,
    timeline: Timeline,
    display: DisplayTimes,
    clock: Clock,
    /// Init segments in use lately: a camera that returns after a slate finds its own again.
    inits: Vec<(Arc<InitSegment>, bool)>,
    current_init: Option<Arc<InitSegment>>,
    /// Start and date of the open segment.
    dated: (MediaTime, Wall),
    part: OpenPart,
    chunks: u32,
    /// The stream shows pictures in another order than it decodes them.
    reorders: bool,
    counts: Arc<Counts>,
    /// When the pictures of the camera were captured that the next publication makes available.
    fresh: Vec<Monotonic>,
}

/// The part that is growing.
#[derive(Debug, Default)]
struct OpenPart {
    chunks: Vec<Chunk>,
    duration: Duration,
    independent: bool,
    /// When each picture was captured that the camera sent.
    captured: Vec<Monotonic>,
}

/// Who made a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Camera,
    /// In the place of a camera whose last picture was captured at this moment.
    Slate(Wall),
}

impl Origin {
    fn lost_since(self) -> Option<Wall> {
        match self {
            Self::Camera => None,
            Self::Slate(since) => Some(since),
        }
    }
}

/// How many init segments are kept for reuse.
const INITS: usize = 4;

impl Packager {
    /// Begins a presentation. Nothing is published before the first part.
    pub fn new(
        live: Arc<Live>,
        id: Arc<str>,
        timing: Timing,
        names: Names,
        window_bytes: u64,
        clock: Clock,
        reorders: bool,
    ) -> Self {
        let presentation = Arc::new(Presentation {
            id,
            timing,
            clock: clock.presentation(),
        });
        Self {
            live,
            ring: Ring::new(presentation, names, window_bytes),
            timing,
            timeline: Timeline::new(timing, MediaTime(0)),
            display: DisplayTimes::default(),
            clock,
            inits: Vec::new(),
            current_init: None,
            dated: (MediaTime(0), Wall(0)),
            part: OpenPart::default(),
            chunks: 0,
            reorders,
            counts: Arc::default(),
            fresh: Vec::new(),
        }
    }

    /// The same, counted here.
    pub fn counting(mut self, counts: Arc<Counts>) -> Self {
        self.counts = counts;
        self
    }

    /// What objects will be called: to be waited for at the start, and taken for the next presentation at the end.
    pub fn names(&mut self) -> &mut Names {
        self.ring.names()
    }

    /// The clock with its latest label.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How long a still lasts that fills one part.
    pub fn part_target(&self) -> Duration {
        self.timing.part_target
    }

    /// How many of these make a segment.
    pub fn parts_a_segment(&self) -> NonZeroU32 {
        let parts = self.timing.segment.as_micros() / self.timing.part_target.as_micros().max(1);
        let parts = u32::try_from(parts).unwrap_or(u32::MAX).clamp(1, 64);
        NonZeroU32::new(parts).expect("1 at least")
    }

    /// Publishes a picture of the source. The first of a presentation must be an IDR picture.
    ///
    /// # Errors
    /// A picture that can't be described in MP4.
    pub fn picture(&mut self, picture: &Picture) -> anyhow::Result<Result<(), Outgrown>> {
        let unit = &picture.unit;
        self.reorders |= unit.display_shift != 0;
        let init = self.init_for(unit, picture.captured)?;
        let anew = init.is_some();
        let placement = self
            .timeline
            .place(self.clock.media(picture.captured), unit.idr, anew);
        self.counts.pictures.one();
        self.counts.key_frames.add(unit.idr.into());
        self.counts.bytes.add(unit.data.len() as u64);
        self.add(unit, picture.captured, placement, init, Origin::Camera);
        Ok(if self.timeline.outgrown() {
            Err(Outgrown::FrameRate)
        } else if self.timeline.segment_length() + self.timeline.frame()
            > self.timing.longest_segment()
        {
            Err(Outgrown::KeyInterval)
        } else {
            Ok(())
        })
    }

    /// Publishes a still that lasts one part, shown as of `shown` in the place of a camera that is lost `since` then.
    ///
    /// # Errors
    /// A picture that can't be described in MP4.
    pub fn still(
        &mut self,
        unit: &AccessUnit,
        shown: Monotonic,
        since: Wall,
    ) -> anyhow::Result<()> {
        let init = self.init_for(unit, shown)?;
        let placement =
            self.timeline
                .place_still(self.clock.media(shown), unit.idr, init.is_some());
        self.counts.slate_for(placement.duration);
        self.add(unit, shown, placement, init, Origin::Slate(since));
        Ok(())
    }

    /// A key frame is overdue: the segment is longer than it was meant to be.
    pub fn wants_key_frame(&self) -> bool {
        self.timeline.segment_length() > self.timing.segment + self.timing.segment / 4
    }

    /// Pictures stop, or don't continue the last one: what there is of the growing part is published, and the next IDR
    /// picture begins a segment behind a discontinuity.
    pub fn break_here(&mut self) {
        self.timeline.break_here();
        if self.close_part() {
            self.publish();
        }
    }

    /// Ends the presentation: its playlists say so. If it is superseded, another one will begin.
    pub fn end(&mut self, superseded: bool) {
        self.close_part();
        self.ring.end(superseded);
        self.publish();
    }

    /// The init segment that has to be put before this unit, if it isn't the one in force.
    fn init_for(
        &mut self,
        unit: &AccessUnit,
        captured: Monotonic,
    ) -> anyhow::Result<Option<Arc<InitSegment>>> {
        if !unit.idr {
            return Ok(None);
        }
        let wanted = |(init, reorders): &(Arc<InitSegment>, bool)| {
            *reorders == self.reorders && same(&init.parameter_sets, &unit.parameter_sets)
        };
        let init = match self.inits.iter().find(|init| wanted(init)) {
            Some((init, _)) => init.clone(),
            None => self.make_init(&unit.parameter_sets, captured)?,
        };
        let in_force = self
            .current_init
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &init));
        Ok((!in_force).then_some(init))
    }

    fn make_init(
        &mut self,
        sets: &Arc<ParameterSets>,
        captured: Monotonic,
    ) -> anyhow::Result<Arc<InitSegment>> {
        let data = init_segment(sets, &sets.sps_for_avcc(self.reorders)).with_context(|| {
            format!(
                "can't write an init segment for {}x{}",
                sets.width, sets.height
            )
        })?;
        let captured = self.clock.wall(captured);
        let init = self.ring.init_segment(data, sets.clone(), captured);
        if self.inits.len() == INITS {
            self.inits.remove(0);
        }
        self.inits.push((init.clone(), self.reorders));
        Ok(init)
    }

    fn add(
        &mut self,
        unit: &AccessUnit,
        captured: Monotonic,
        placement: Placement,
        init: Option<Arc<InitSegment>>,
        origin: Origin,
    ) {
        let mut changed = false;
        if let Some(init) = init {
            self.current_init = Some(init);
        }
        if placement.begins_segment {
            self.close_part();
            self.counts
                .discontinuities
                .add(placement.discontinuity.into());
            self.clock.relabel();
            self.dated = (placement.start, self.clock.wall(captured));
            self.ring.begin_segment(Opening {
                init: self
                    .current_init
                    .clone()
                    .expect("a presentation begins with an IDR picture"),
                start: placement.start,
                captured: self.dated.1,
                discontinuity: placement.discontinuity,
                lost_since: origin.lost_since(),
                segment: match origin {
                    Origin::Camera => to_micros(self.timing.segment),
                    Origin::Slate(_) => self.part_target() * self.parts_a_segment().get(),
                },
                chunk: match origin {
                    Origin::Camera => self.timing.frame,
                    Origin::Slate(_) => self.timing.part_target,
                },
            });
            changed = true;
        }
        let duration = micros(placement.duration);
        let sample = Sample {
            number: self.chunks,
            start: placement.start,
            duration,
            composition_offset: self.display.offset(
                placement.start,
                unit.display_shift,
                self.timeline.frame(),
            ),
            size: u32::try_from(unit.data.len()).expect("the reader bounds access units"),
            sync: unit.idr,
            // Not the label, which may be corrected: whoever measures by this does so by the presentation clock.
            captured: self.clock.presentation().wall(captured),
        };
        self.chunks = self.chunks.wrapping_add(1);
        let chunk = Chunk {
            head: chunk_head(&sample),
            sample: unit.data.clone(),
        };
        self.ring.push_chunk(chunk.clone());
        if let Some(init) = &self.current_init {
            self.live.push(EdgeChunk {
                chunk: chunk.clone(),
                init: init.clone(),
                start: placement.start,
                end: placement.start.after(placement.duration),
                idr: unit.idr,
                lost_since: origin.lost_since(),
            });
        }
        self.part.chunks.push(chunk);
        if origin == Origin::Camera {
            self.part.captured.push(captured);
        }
        self.part.duration += placement.duration;
        self.part.independent |= unit.idr;
        if placement.ends_part {
            changed |= self.close_part();
        }
        if changed {
            self.publish();
        }
        self.tell(&sample, captured, &unit.parameter_sets);
    }

    fn tell(&self, sample: &Sample, captured: Monotonic, sets: &ParameterSets) {
        let offset = sample.composition_offset.into();
        let time = MediaTime(sample.start.0.saturating_add_signed(offset));
        let (start, date) = self.dated;
        self.live.tell(Frame {
            time,
            captured: self.clock.wall(captured),
            date: date.after(time.since(start)),
            width: sets.width,
            height: sets.height,
        });
    }

    fn close_part(&mut self) -> bool {
        if self.part.chunks.is_empty() {
            return false;
        }
        let mut part = std::mem::take(&mut self.part);
        self.fresh.append(&mut part.captured);
        self.ring
            .push_part(part.duration, part.independent, Media::of(&part.chunks));
        true
    }

    fn publish(&mut self) {
        self.live.publish(self.ring.snapshot());
        let now = Monotonic::now();
        for captured in self.fresh.drain(..) {
            self.counts.delay.add(now.since(captured));
        }
    }
}

/// To the nearest microsecond: what is cut off adds up with every segment.
fn to_micros(length: Duration) -> Duration {
    Duration::from_micros((length + Duration::from_nanos(500)).as_micros() as u64)
}

fn same(a: &Arc<ParameterSets>, b: &Arc<ParameterSets>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn micros(length: Duration) -> u32 {
    u32::try_from(length.as_micros()).unwrap_or(u32::MAX)
}
