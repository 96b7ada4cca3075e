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

/// No camera for a small board is faster: 240 pictures a second.
const FASTEST: Duration = Duration::from_millis(4);

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
        let frame = interval(stated, &self.captures)
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

/// The time between two pictures: measured, unless what the stream says of itself is the better guess.
fn interval(stated: Option<Duration>, captures: &[Monotonic]) -> Option<Duration> {
    let Some((mean, pace)) = measure(captures) else {
        return stated;
    };
    match stated {
        // So few pictures say little.
        _ if captures.len() < 8 => Some(stated.unwrap_or(mean)),
        // What comes in one burst, as when an encoder has been waiting for its reader, says nothing of the rate.
        _ if mean < FASTEST => stated,
        Some(stated) if mean * 4 < stated => Some(stated),
        _ if pace == Pace::Exact => Some(mean),
        _ if pace == Pace::Steady => Some(usual(mean, 200).unwrap_or(mean)),
        // Pictures that come through a pipe are taken notice of early or late, and a rate that is measured a little wrong
        // costs each part a frame.
        Some(stated) if stated.abs_diff(mean) * 10 <= stated => Some(stated),
        _ => Some(usual(mean, 25).unwrap_or(mean)),
    }
}

/// Pictures a second that cameras and encoders are made for.
const USUAL_RATES: [f64; 17] = [
    5.0,
    7.5,
    10.0,
    12.5,
    15.0,
    20.0,
    24_000.0 / 1001.0,
    24.0,
    25.0,
    30_000.0 / 1001.0,
    30.0,
    50.0,
    60_000.0 / 1001.0,
    60.0,
    90.0,
    100.0,
    120.0,
];

/// The usual time between two pictures that is nearest to this one, and not further away than such a part of it.
fn usual(frame: Duration, part: u32) -> Option<Duration> {
    USUAL_RATES
        .into_iter()
        .map(|rate| Duration::from_secs_f64(rate.recip()))
        .filter(|usual| usual.abs_diff(frame) * part <= *usual)
        .min_by_key(|usual| usual.abs_diff(frame))
}

/// How regularly pictures come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Most on time to within a two hundredth of the interval, as the kernel stamps them: the captures' clock is exact.
    Exact,
    /// Most to within a twentieth, as those that come through a pipe to a machine that has nothing else to do.
    Steady,
    /// As it happens.
    Uneven,
}

/// The mean of the intervals that are near their median: of those that are on time where most are, so that a hiccup
/// doesn't mislead.
fn measure(captures: &[Monotonic]) -> Option<(Duration, Pace)> {
    let mut intervals: Vec<_> = captures
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    intervals.sort_unstable();
    let median = *intervals.get(intervals.len() / 2)?;
    let within = |part: u32| {
        let intervals = intervals.iter();
        intervals.filter(move |interval| interval.abs_diff(median) * part <= median)
    };
    let most = |part| within(part).count() * 5 >= intervals.len() * 4;
    let (pace, part) = match (most(200), most(20)) {
        (true, _) => (Pace::Exact, 20),
        (false, true) => (Pace::Steady, 20),
        (false, false) => (Pace::Uneven, 2),
    };
    let count = u32::try_from(within(part).count()).unwrap_or(u32::MAX);
    let mean = within(part).sum::<Duration>() / count.max(1);
    Some((mean, pace))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::h264::{AccessUnit, ParameterSets};

    const STATED: Option<Duration> = Some(Duration::from_micros(33_333));

    fn captures(intervals: impl IntoIterator<Item = u64>) -> Vec<Monotonic> {
        let mut now = 0;
        let later = intervals.into_iter().map(|interval| {
            now += interval;
            Monotonic(now)
        });
        std::iter::once(Monotonic(0)).chain(later).collect()
    }

    #[test]
    fn an_exact_clock_is_believed_more_than_the_stream() {
        let exact = captures(std::iter::repeat_n(34_500, 30));
        assert_eq!(
            interval(STATED, &exact),
            Some(Duration::from_micros(34_500))
        );
    }

    #[test]
    fn a_jittery_clock_is_believed_less_than_the_stream_if_they_are_near() {
        let jitter = [45_000, 21_000, 33_000, 47_000, 28_000];
        let jittery = captures(jitter.into_iter().cycle().take(30));
        assert_eq!(interval(STATED, &jittery), STATED);
        let slow = captures(jitter.map(|length| length * 2).into_iter().cycle().take(30));
        assert_eq!(
            interval(STATED, &slow),
            Some(Duration::from_micros(69_600)),
            "a camera that says 30 and does 15"
        );
    }

    #[test]
    fn a_jittery_source_that_says_nothing_has_a_usual_rate_if_it_is_near_one() {
        let jitter = [45_000, 21_000, 33_000, 45_000, 20_000];
        let measured = captures(jitter.into_iter().cycle().take(30));
        assert_eq!(
            interval(None, &measured),
            Some(Duration::from_nanos(33_333_333))
        );
        let far = captures(
            jitter
                .map(|length| length * 11 / 10)
                .into_iter()
                .cycle()
                .take(30),
        );
        let found = interval(None, &far).expect("a rate");
        assert!(found.abs_diff(Duration::from_micros(36_080)) < Duration::from_micros(10));
    }

    #[test]
    fn a_rate_that_is_measured_through_a_pipe_is_the_usual_one_beside_it() {
        let pipe = [33_100, 33_900, 32_600, 33_200, 34_000];
        let measured = captures(pipe.into_iter().cycle().take(29));
        assert_eq!(
            interval(None, &measured),
            Some(Duration::from_nanos(33_333_333))
        );
        let exact = captures(std::iter::repeat_n(33_360, 29));
        let found = interval(None, &exact);
        assert_eq!(found, Some(Duration::from_micros(33_360)), "the kernel's");
    }

    #[test]
    fn one_late_picture_of_many_on_time_changes_nothing() {
        let late = captures([51_000].into_iter().chain(std::iter::repeat_n(66_900, 14)));
        assert_eq!(interval(None, &late), Some(Duration::from_micros(66_900)));
    }

    /// What a probe finds of pictures that come after these intervals, with an IDR picture every `gop`.
    fn find(nominal: Nominal, interval: Duration, gop: usize) -> Observed {
        let sets = Arc::new(ParameterSets::example(64));
        let mut probe = Probe::new(nominal);
        let mut captured = Monotonic(1_000_000);
        for n in 0.. {
            let unit = AccessUnit {
                data: Bytes::from_static(&[0]),
                idr: n % gop == 0,
                parameter_sets: sets.clone(),
                display_shift: 0,
            };
            if let Some(finding) = probe.picture(Picture { unit, captured }) {
                assert_eq!(finding.held.len(), n + 1, "nothing is lost");
                return finding.observed;
            }
            captured = captured.after(interval);
        }
        unreachable!("a second IDR picture ends the probe")
    }

    #[test]
    fn pictures_are_believed_rather_than_what_is_said_of_them() {
        let nominal = Nominal {
            frame: Some(Duration::from_millis(33)),
            key_interval: None,
        };
        let observed = find(nominal, Duration::from_millis(66), 30);
        assert_eq!(observed.frame, Duration::from_millis(66));
        assert_eq!(observed.key_interval, Duration::from_millis(66 * 30));
    }

    #[test]
    fn a_burst_says_nothing_of_the_rate() {
        let nominal = Nominal {
            frame: Some(Duration::from_millis(33)),
            key_interval: None,
        };
        for interval in [Duration::from_micros(100), Duration::from_millis(6)] {
            let observed = find(nominal, interval, 30);
            assert_eq!(observed.frame, Duration::from_millis(33));
            assert_eq!(observed.key_interval, Duration::from_millis(33 * 30));
        }
        let observed = find(Nominal::default(), Duration::from_micros(100), 30);
        assert_eq!(observed.frame, USUAL_FRAME);
    }
}
