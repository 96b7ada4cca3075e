use std::{collections::VecDeque, time::Duration};

use super::{Timing, plan::near_enough};
use crate::time::MediaTime;

/// Where a sample stands, and what begins and ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Decoding time. It is where the sample before ended, unless a discontinuity begins here.
    pub start: MediaTime,
    /// How long it lasts.
    pub duration: Duration,
    /// It is the first of a segment.
    pub begins_segment: bool,
    /// It doesn't join up with the sample before.
    pub discontinuity: bool,
    /// It is the last of its part: another frame would make the part too long.
    pub ends_part: bool,
}

/// Puts samples on the presentation clock as they arrive.
///
/// A sample's duration has to be said when it arrives, before its successor is there to measure it (a frame that waits
/// for the next costs a frame of delay). So it is predicted from the recent intervals, and whatever the prediction got
/// wrong is made good in the durations that follow: decoding times always join up, since MSE drops everything up to the
/// next IDR picture after a jump, and stay within a frame of the capture clock.
///
/// Durations also obey the rule of parts (RFC 8216bis, 4.4.4.9): none is longer than the target, and only the last one
/// of a segment is shorter than 85 % of it. A part is closed with the sample that leaves no room for another frame, so
/// it never waits for that frame.
///
/// A silence longer than a part is a discontinuity at the next IDR picture: from there the decoding time is the capture
/// clock's again. The pictures up to there play on, so that none is lost.
#[derive(Debug)]
pub struct Timeline {
    timing: Timing,
    /// Intervals between the last captures, for the median.
    intervals: VecDeque<u64>,
    /// Capture of the last sample, while the next is expected to continue it.
    last_capture: Option<MediaTime>,
    /// End of the last sample.
    end: MediaTime,
    part: u64,
    segment: u64,
    /// A silence or a break has to show as a discontinuity at the next IDR picture.
    broken: bool,
    /// No segment has begun.
    fresh: bool,
}

/// How many intervals the prediction looks at. A rate that changes is believed after half as many.
const MEMORY: usize = 9;

/// So far behind the clock, in microseconds, no hiccup that was made good leaves a timeline.
const LAGGING: u64 = 500_000;

impl Timeline {
    /// A timeline whose first sample starts no earlier than `start`.
    pub fn new(timing: Timing, start: MediaTime) -> Self {
        Self {
            timing,
            intervals: VecDeque::with_capacity(MEMORY),
            last_capture: None,
            end: start,
            part: 0,
            segment: 0,
            broken: false,
            fresh: true,
        }
    }

    /// End of the last sample: where the next one starts, unless behind a discontinuity.
    pub fn end(&self) -> MediaTime {
        self.end
    }

    /// The next sample doesn't continue the last one: the source began anew, or another source takes over. The next
    /// IDR picture begins a segment behind a discontinuity.
    pub fn break_here(&mut self) {
        self.broken = true;
        self.last_capture = None;
    }

    /// The expected time to the next picture.
    pub fn frame(&self) -> Duration {
        Duration::from_micros(self.expected())
    }

    /// Pictures come so slowly, for so long that it is no hiccup, that one doesn't fit into a part.
    ///
    /// A median just above the target is no proof: a camera at half its rate fills its parts to within a millisecond, and
    /// a busy machine takes notice of its pictures a little early or late. Then it is the timeline that tells, by falling
    /// behind for good.
    pub fn outgrown(&self) -> bool {
        let (frame, target) = (self.expected(), micros(self.timing.part_target));
        let behind = self
            .last_capture
            .map_or(0, |capture| capture.0.saturating_sub(self.end.0));
        self.intervals.len() == MEMORY
            && (frame > target + target / 16 || (frame > target && behind > LAGGING))
    }

    /// Length of the segment so far.
    pub fn segment_length(&self) -> Duration {
        Duration::from_micros(self.segment)
    }

    /// Places the sample that was captured at `capture`. `idr`: decoding can begin with it; `anew`: it needs another
    /// init segment, so that a segment has to begin with it.
    pub fn place(&mut self, capture: MediaTime, idr: bool, anew: bool) -> Placement {
        self.learn(capture);
        let frame = self.expected();
        let enough = self.segment + frame / 2 >= micros(near_enough(self.timing.segment));
        let begins_segment = self.fresh || anew || (idr && (self.broken || enough));
        let mut discontinuity = anew && !self.fresh;
        if begins_segment {
            let behind = capture.0.saturating_sub(self.end.0);
            // A silence that the durations have made good meanwhile is no discontinuity any more.
            if !self.fresh && self.broken && (self.last_capture.is_none() || behind > frame) {
                discontinuity = true;
            }
            if self.fresh || discontinuity {
                self.end = self.end.max(capture);
            }
            self.broken = false;
            self.fresh = false;
            self.segment = 0;
            self.part = 0;
        }
        self.last_capture = Some(capture);

        let start = self.end;
        let (duration, ends_part) = self.duration(capture, frame);
        self.end = MediaTime(start.0 + duration);
        self.segment += duration;
        self.part = if ends_part { 0 } else { self.part + duration };
        Placement {
            start,
            duration: Duration::from_micros(duration),
            begins_segment,
            discontinuity,
            ends_part,
        }
    }

    /// Places a still that lasts one whole part, such as a slate's picture, to be shown as if captured at `capture`.
    pub fn place_still(&mut self, capture: MediaTime, idr: bool, anew: bool) -> Placement {
        let enough = self.segment >= micros(near_enough(self.timing.segment));
        let begins_segment = self.fresh || anew || (idr && (self.broken || enough));
        let discontinuity = !self.fresh && begins_segment && (anew || self.broken);
        if begins_segment {
            if self.fresh || discontinuity {
                self.end = self.end.max(capture);
            }
            (self.broken, self.fresh, self.segment) = (false, false, 0);
        }
        let (start, duration) = (self.end, self.timing.part_target);
        self.end = start.after(duration);
        self.segment += micros(duration);
        self.part = 0;
        self.last_capture = None;
        Placement {
            start,
            duration,
            begins_segment,
            discontinuity,
            ends_part: true,
        }
    }

    /// Notes the interval that ends with this capture.
    fn learn(&mut self, capture: MediaTime) {
        let Some(last) = self.last_capture else {
            return;
        };
        let interval = capture.0.saturating_sub(last.0);
        if interval > micros(self.timing.part_target) + self.expected() {
            // A silence longer than a part says nothing about the rate, unless it keeps happening.
            self.broken = true;
        }
        if self.intervals.len() == MEMORY {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
    }

    /// Median of the recent intervals; the nominal one until there are enough. Their mean where pictures come in bursts:
    /// what lies between two in a pipe says nothing of when they were captured.
    fn expected(&self) -> u64 {
        if self.intervals.len() < MEMORY / 2 {
            return micros(self.timing.frame);
        }
        let mut sorted = [0; MEMORY];
        let sorted = &mut sorted[..self.intervals.len()];
        for (slot, interval) in sorted.iter_mut().zip(&self.intervals) {
            *slot = *interval;
        }
        sorted.sort_unstable();
        let median = sorted[sorted.len() / 2];
        // A silence is none of the pauses between bursts.
        let longest = 2 * micros(self.timing.part_target);
        let sum: u64 = sorted.iter().map(|interval| longest.min(*interval)).sum();
        let mean = sum / sorted.len() as u64;
        match median < mean / 4 {
            true => mean,
            false => median,
        }
        .max(1000)
    }

    /// Duration of the sample that starts at `self.end`, and whether its part ends with it.
    fn duration(&self, capture: MediaTime, frame: u64) -> (u64, bool) {
        let target = micros(self.timing.part_target);
        let least = (target * 85).div_ceil(100);
        let room = target - self.part;

        // Positive when the timeline is behind the clock. Jitter is smoothed; what is more than half a frame off is made
        // good at half a frame a sample, which halves or doubles the playing speed of nothing longer than a part.
        let error = capture.0 as i64 - self.end.0 as i64;
        let half = (frame / 2) as i64;
        let correction = if error.abs() < half {
            error / 8
        } else {
            error.clamp(-half, half)
        };
        let wanted = frame.saturating_add_signed(correction).clamp(1, room);

        let after = self.part + wanted;
        let left = target - after;
        // Jitter within the slack is no reason to close a part a frame early.
        if left + frame / 64 >= frame {
            return (wanted, false);
        }
        if after >= least {
            return (wanted, true);
        }
        // Too short to close, and too little room for a whole frame. Either this sample is stretched until the part may
        // close, or the next one is squeezed into what is left: whichever keeps closer to the clock.
        let stretched = least - self.part;
        let ahead = (stretched as i64 - frame as i64 - error).abs();
        let behind = (frame as i64 - left as i64) + (wanted as i64 - frame as i64 - error).abs();
        if left < frame / 4 || ahead <= behind {
            (stretched, true)
        } else {
            (wanted, false)
        }
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cmaf::{Observed, Wish};

    fn timing(frame_us: u64, part_ms: u64, gop: u64) -> Timing {
        Timing::plan(
            &Wish {
                segment: Duration::from_secs(1),
                part: Duration::from_millis(part_ms),
                window: Duration::from_secs(10),
            },
            &Observed {
                frame: Duration::from_micros(frame_us),
                key_interval: Duration::from_micros(frame_us * gop),
            },
        )
    }

    /// Places pictures that come after these intervals, an IDR picture every `gop`.
    fn run(
        timing: Timing,
        intervals: impl IntoIterator<Item = u64>,
        gop: usize,
    ) -> Vec<(u64, Placement)> {
        let mut timeline = Timeline::new(timing, MediaTime(0));
        let mut now = 0;
        let mut placed = Vec::new();
        for (n, interval) in intervals.into_iter().enumerate() {
            now += interval;
            placed.push((now, timeline.place(MediaTime(now), n % gop == 0, false)));
        }
        placed
    }

    /// Durations of the parts, each with whether it is the last of its segment.
    fn parts(placed: &[(u64, Placement)]) -> Vec<(Duration, bool)> {
        let mut parts = Vec::new();
        let mut open = Duration::ZERO;
        for (_, placement) in placed {
            if placement.begins_segment {
                if open > Duration::ZERO {
                    parts.push((open, true));
                    open = Duration::ZERO;
                } else if let Some(last) = parts.last_mut() {
                    last.1 = true;
                }
            }
            open += placement.duration;
            if placement.ends_part {
                parts.push((open, false));
                open = Duration::ZERO;
            }
        }
        parts
    }

    fn check_parts(timing: &Timing, placed: &[(u64, Placement)]) {
        for (duration, last) in parts(placed) {
            assert!(duration <= timing.part_target, "{duration:?} of {timing:?}");
            assert!(
                last || duration * 100 >= timing.part_target * 85,
                "{duration:?} of {timing:?}"
            );
        }
    }

    fn check_joints(placed: &[(u64, Placement)]) {
        for pair in placed.windows(2) {
            let end = pair[0].1.start.after(pair[0].1.duration);
            let next = pair[1].1;
            assert!(
                next.start == end || (next.discontinuity && next.start >= end),
                "{pair:?}"
            );
            assert!(next.duration > Duration::ZERO);
        }
    }

    #[test]
    fn pictures_that_come_in_bursts_are_spread_over_the_time_between() {
        for burst in [2, 3, 4, 6] {
            let timing = timing(33_333, 200, 30);
            let intervals = (0..600).map(|n| match n % burst {
                0 => 33_333 * burst,
                _ => 20,
            });
            let placed = run(timing, intervals, 30);
            check_joints(&placed);
            check_parts(&timing, &placed);
            for (captured, placement) in &placed[60..] {
                let late = *captured as i64 - placement.start.0 as i64;
                assert!(late.abs() < 200_000, "{late} in bursts of {burst}");
                assert!(!placement.discontinuity, "bursts of {burst}");
            }
        }
    }

    #[test]
    fn a_steady_camera_gets_even_parts_and_segments() {
        let timing = timing(33_333, 200, 30);
        let placed = run(timing, std::iter::repeat_n(33_333, 300), 30);
        check_joints(&placed);
        let parts = parts(&placed);
        assert_eq!(parts.len(), 50);
        assert!(
            parts
                .iter()
                .all(|(duration, _)| *duration == Duration::from_micros(6 * 33_333))
        );
        assert_eq!(placed.iter().filter(|(_, p)| p.begins_segment).count(), 10);
        assert!(placed.iter().all(|(_, p)| !p.discontinuity));
    }

    #[test]
    fn jitter_at_half_the_rate_is_not_a_rate_that_a_part_has_no_room_for() {
        // Two frames of 33.3 ms a part; then one of 66.7 ms, most of which are taken notice of late.
        let timing = timing(33_333, 100, 30);
        let mut timeline = Timeline::new(timing, MediaTime(0));
        let mut now = 0;
        for (n, interval) in [70_000, 70_000, 70_000, 70_000, 53_330]
            .into_iter()
            .cycle()
            .take(300)
            .enumerate()
        {
            now += interval;
            timeline.place(MediaTime(now), n % 30 == 0, false);
            assert!(!timeline.outgrown(), "picture {n}");
        }
    }

    #[test]
    fn a_rate_just_too_low_shows_by_the_lag_and_a_much_too_low_one_at_once() {
        for (interval, at_most) in [(70_000, 400), (100_000, 12)] {
            let mut timeline = Timeline::new(timing(33_333, 100, 30), MediaTime(0));
            let outgrown = (0..at_most).any(|n| {
                timeline.place(MediaTime(n * interval), n % 30 == 0, false);
                timeline.outgrown()
            });
            assert!(outgrown, "{interval}");
        }
    }

    #[test]
    fn a_part_closes_with_the_frame_that_leaves_no_room_for_another() {
        let placed = run(timing(40_000, 200, 25), std::iter::repeat_n(40_000, 25), 25);
        let ends: Vec<_> = placed.iter().map(|(_, p)| p.ends_part).collect();
        assert_eq!(
            &ends[..8],
            &[false, false, false, true, false, false, false, true]
        );
    }

    #[test]
    fn decoding_times_stay_within_a_frame_of_the_clock_for_hours() {
        // 30 fps by a crystal that is 200 ppm slow, and stamps that jitter by 3 ms.
        let jitter = [0, 3_000, 1_000, 4_000, 2_000];
        let mut intervals = Vec::new();
        for n in 0..400_000usize {
            intervals.push(33_340 + jitter[(n + 1) % 5] - jitter[n % 5]);
        }
        let timing = timing(33_333, 200, 30);
        let placed = run(timing, intervals, 30);
        check_joints(&placed);
        check_parts(&timing, &placed);
        for (captured, placement) in &placed {
            assert!(
                placement.start.0.abs_diff(*captured) <= 33_340,
                "{captured} {placement:?}"
            );
        }
    }

    #[test]
    fn a_camera_that_halves_its_rate_still_fills_its_parts() {
        for (frame, part_ms) in [
            (33_333, 100),
            (33_333, 200),
            (33_333, 333),
            (40_000, 100),
            (40_000, 200),
            (66_667, 200),
        ] {
            let timing = timing(frame, part_ms, 30);
            let intervals =
                std::iter::repeat_n(frame, 90).chain(std::iter::repeat_n(2 * frame, 200));
            let placed = run(timing, intervals, 30);
            check_joints(&placed);
            check_parts(&timing, &placed);
            assert!(
                placed.iter().all(|(_, p)| !p.discontinuity),
                "{frame} {part_ms}"
            );
            let (captured, last) = placed.last().unwrap();
            assert!(last.start.0.abs_diff(*captured) <= 2 * frame);
        }
    }

    #[test]
    fn a_silence_longer_than_a_part_is_a_discontinuity_at_the_next_idr() {
        let timing = timing(33_333, 200, 30);
        let mut intervals = vec![33_333; 90];
        intervals[58] = 700_000;
        let placed = run(timing, intervals, 30);
        check_joints(&placed);
        check_parts(&timing, &placed);
        let jumps: Vec<_> = (0..90).filter(|n| placed[*n].1.discontinuity).collect();
        assert_eq!(jumps, [60]);
        assert_eq!(placed[60].1.start, MediaTime(placed[60].0));
    }

    #[test]
    fn lateness_up_to_a_part_is_made_good_in_durations() {
        let timing = timing(33_333, 200, 30);
        let mut intervals = vec![33_333; 90];
        intervals[40] = 180_000;
        let placed = run(timing, intervals, 30);
        check_joints(&placed);
        check_parts(&timing, &placed);
        assert!(placed.iter().all(|(_, p)| !p.discontinuity));
        let (captured, last) = placed.last().unwrap();
        assert!(last.start.0.abs_diff(*captured) <= 33_333);
    }

    #[test]
    fn pictures_too_slow_for_a_part_are_noticed() {
        let mut timeline = Timeline::new(timing(33_333, 100, 30), MediaTime(0));
        for n in 0..20u64 {
            timeline.place(MediaTime(n * 150_000), n == 0, false);
            assert_eq!(timeline.outgrown(), n >= MEMORY as u64);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_camera_does_times_join_up_and_parts_keep_the_rule(
            frame in 8_000u64..120_000,
            part_ms in 50u64..1_000,
            gop in 1usize..90,
            noise in prop::collection::vec((0u64..100, 0u64..100), 50..400),
        ) {
            let timing = timing(frame, part_ms, gop as u64);
            let intervals = noise.iter().map(|(kind, amount)| match kind {
                0..3 => frame * amount,
                3..6 => amount * 10,
                6..30 => frame / 2 + frame * amount / 100,
                _ => frame,
            });
            let placed = run(timing, intervals, gop);
            check_joints(&placed);
            check_parts(&timing, &placed);
            for (_, placement) in placed.iter().filter(|(_, p)| p.begins_segment).skip(1) {
                prop_assert!(placement.start > MediaTime(0));
            }
        }
    }
}
