use std::time::Duration;

use crate::{
    cmaf::Observed,
    source::{Event, Nominal, Picture},
    time::Monotonic,
};

/// How long a second IDR picture is waited for. A source whose key frames are further apart than this is published
/// all the same; if they turn out too far apart for the target duration, another presentation begins.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much is held back meanwhile.
const MOST_BYTES: usize = 64 << 20;

/// What to expect of a source that shows a single picture and says nothing.
const USUAL_FRAME: Duration = Duration::from_nanos(33_333_333);

/// Watches a source until it is known how it paces its pictures and its key frames, and holds back what it gave
/// meanwhile, so that nothing is lost.
#[derive(Debug)]
pub struct Probe {
    nominal: Nominal,
    held: Vec<Event>,
    bytes: usize,
    captures: Vec<Monotonic>,
    /// Indices into `captures` of IDR pictures.
    keys: Vec<usize>,
    reorders: bool,
}

/// What a probe found.
#[derive(Debug)]
pub struct Finding {
    /// Rate and key-frame interval.
    pub observed: Observed,
    /// Pictures are shown in another order than they are decoded.
    pub reorders: bool,
    /// What was held back; it begins with an IDR picture.
    pub held: Vec<Event>,
}

impl Probe {
    /// A probe of a source of which this is known.
    pub fn new(nominal: Nominal) -> Self {
        Self {
            nominal,
            held: Vec::new(),
            bytes: 0,
            captures: Vec::new(),
            keys: Vec::new(),
            reorders: false,
        }
    }

    /// Takes a picture. `Some` once enough was seen.
    pub fn picture(&mut self, picture: Picture) -> Option<Finding> {
        let idr = picture.unit.idr;
        if self.keys.is_empty() && !idr {
            return None;
        }
        if idr {
            self.keys.push(self.captures.len());
        }
        self.captures.push(picture.captured);
        self.bytes += picture.unit.data.len();
        self.reorders |= picture.unit.display_shift != 0;
        let waited = picture.captured.since(self.captures[0]);
        self.held.push(Event::Picture(picture));
        (self.keys.len() >= 2 || waited >= PATIENCE || self.bytes >= MOST_BYTES)
            .then(|| self.finish())
    }

    /// The next picture doesn't continue the last one, and is an IDR picture.
    pub fn break_here(&mut self, event: Event) {
        if !self.held.is_empty() {
            self.held.push(event);
        }
    }

    /// The source was lost: what was seen of it is of no use to anybody any more.
    pub fn forget(&mut self) {
        *self = Self::new(self.nominal);
    }

    /// The source ended: whatever was seen has to do. `None` if that is nothing.
    pub fn end(&mut self) -> Option<Finding> {
        (!self.held.is_empty()).then(|| self.finish())
    }

    fn finish(&mut self) -> Finding {
        let stated = self.nominal.frame.or_else(|| self.stated_frame());
        let measured = mean_interval(&self.captures);
        let frame = match (stated, measured) {
            // So few pictures say little.
            _ if self.captures.len() < 8 => stated.or(measured),
            // Measured a little short, as happens where pictures come through a pipe, it would cost each part a frame.
            (Some(stated), Some(measured)) if near(stated, measured) => Some(stated.max(measured)),
            _ => measured,
        };
        let frame = frame
            .filter(|frame| !frame.is_zero())
            .unwrap_or(USUAL_FRAME);
        let counted = match self.keys[..] {
            [first, second, ..] => second - first,
            _ => self.captures.len(),
        };
        let pictures = counted.max(self.nominal.key_interval.unwrap_or(1) as usize);
        Finding {
            observed: Observed {
                frame,
                key_interval: frame * u32::try_from(pictures).unwrap_or(u32::MAX),
            },
            reorders: self.reorders,
            held: std::mem::take(&mut self.held),
        }
    }

    /// The rate that the SPS states.
    fn stated_frame(&self) -> Option<Duration> {
        let Some(Event::Picture(first)) = self.held.first() else {
            return None;
        };
        let (pictures, seconds) = first.unit.parameter_sets.frame_rate?;
        (pictures > 0).then(|| Duration::from_secs(seconds.into()) / pictures)
    }
}

/// Within three percent.
fn near(stated: Duration, measured: Duration) -> bool {
    stated.abs_diff(measured) * 33 <= stated
}

/// The mean of the intervals that are near their median: exact, and not misled by a hiccup.
fn mean_interval(captures: &[Monotonic]) -> Option<Duration> {
    let mut intervals: Vec<_> = captures
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    intervals.sort_unstable();
    let median = *intervals.get(intervals.len() / 2)?;
    let near: Vec<_> = intervals
        .into_iter()
        .filter(|interval| interval.abs_diff(median) * 2 <= median)
        .collect();
    Some(near.iter().sum::<Duration>() / u32::try_from(near.len()).ok()?.max(1))
}
