use std::time::Duration;

/// What is wanted of the timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Length of a segment.
    pub segment: Duration,
    /// Longest length of a part.
    pub part: Duration,
    /// How much media is listed.
    pub window: Duration,
}

/// What a source was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Time between two pictures.
    pub frame: Duration,
    /// Time between two IDR pictures.
    pub key_interval: Duration,
}

/// The timing that holds for the whole of a presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// No part is longer, and none is shorter than 85 % of it, unless it ends its segment.
    pub part_target: Duration,
    /// Every segment, rounded to the nearest second, is at most this many seconds.
    pub target_duration: u32,
    /// Nominal length of a segment.
    pub segment: Duration,
    /// Nominal time between two pictures.
    pub frame: Duration,
    /// How much media is listed.
    pub window: Duration,
}

/// What a part may grow beyond its frames: the room in which a camera's clock is followed.
const SLACK: Duration = Duration::from_millis(1);

/// A segment may end at an IDR picture that comes this much too early, so that a camera whose second is 990 ms long
/// doesn't get segments of two.
pub(super) fn near_enough(segment: Duration) -> Duration {
    segment * 9 / 10
}

impl Timing {
    /// The timing that meets the wish as far as the source permits.
    ///
    /// The part target is a whole number of frames within the wish, and an even one where there is one: then a camera
    /// that halves its rate in the dark still fills its parts (RFC 8216bis, 4.4.4.9: a part is at least 85 % of the
    /// target). It is rounded up to a millisecond, with [`SLACK`].
    ///
    /// The target duration has room for the same: a key-frame interval that is counted in frames doubles too.
    pub fn plan(wish: &Wish, observed: &Observed) -> Self {
        let frame = observed.frame.max(Duration::from_millis(1));
        // A rate measured a little low must not cost a frame: 200 ms hold six frames of 33.34 ms, and where pictures come
        // through a pipe on a busy machine, the measure is off by a percent.
        let fit = (wish.part + wish.part / 50).as_micros() / frame.as_micros();
        let frames = match u32::try_from(fit).unwrap_or(u32::MAX) {
            0 | 1 => 1,
            fit => fit & !1,
        };
        let part_target = ceil_to_millis(frame * frames + SLACK);

        let usual = whole_intervals(wish.segment, observed.key_interval);
        let in_the_dark = whole_intervals(wish.segment, observed.key_interval * 2);
        let longest = usual.max(in_the_dark);
        // Segments are compared after rounding (4.4.3.1), so the two seconds and two milliseconds of 60 pictures at 29.97
        // a second don't need a third; what is left up to the half is for the camera's clock.
        let target_duration = u32::try_from(longest.as_millis().saturating_sub(100).div_ceil(1000))
            .unwrap_or(u32::MAX)
            .max(1);

        // RFC 8216bis, 6.2.2: a live playlist holds three target durations at least.
        let least = Duration::from_secs(u64::from(target_duration) * 3) + usual;
        Self {
            part_target,
            target_duration,
            segment: usual,
            frame,
            window: wish.window.max(least),
        }
    }

    /// How long a segment may become before it breaks the target duration, which it is compared with after rounding.
    pub fn longest_segment(&self) -> Duration {
        Duration::from_secs(self.target_duration.into()) + Duration::from_millis(499)
    }
}

/// The least multiple of `interval` that is (nearly) `segment`.
fn whole_intervals(segment: Duration, interval: Duration) -> Duration {
    let interval = interval.max(Duration::from_millis(1));
    let count = near_enough(segment)
        .as_micros()
        .div_ceil(interval.as_micros())
        .max(1);
    interval * u32::try_from(count).unwrap_or(u32::MAX)
}

fn ceil_to_millis(length: Duration) -> Duration {
    Duration::from_millis(u64::try_from(length.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(fps: u32, part_ms: u64, key_interval_ms: u64) -> Timing {
        Timing::plan(
            &Wish {
                segment: Duration::from_secs(1),
                part: Duration::from_millis(part_ms),
                window: Duration::from_secs(6),
            },
            &Observed {
                frame: Duration::from_secs(1) / fps,
                key_interval: Duration::from_millis(key_interval_ms),
            },
        )
    }

    #[test]
    fn a_part_holds_an_even_number_of_frames_where_there_is_one() {
        for (fps, part_ms, frames) in [
            (30, 100, 2),
            (30, 200, 6),
            (30, 333, 10),
            (25, 100, 2),
            (25, 200, 4),
            (25, 333, 8),
            (15, 100, 1),
            (15, 200, 2),
            (15, 333, 4),
        ] {
            let exact = Duration::from_secs(frames) / fps;
            let target = timing(fps, part_ms, 1000).part_target;
            assert!(
                exact < target && target <= exact + 2 * SLACK,
                "{fps} fps, {part_ms} ms: {target:?}"
            );
        }
    }

    #[test]
    fn the_target_duration_survives_a_camera_that_halves_its_rate() {
        assert_eq!(timing(30, 200, 1000).target_duration, 2);
        assert_eq!(timing(30, 200, 2000).target_duration, 4);
        assert_eq!(timing(30, 200, 500).target_duration, 1);
        assert_eq!(timing(30, 200, 1001).target_duration, 2);
        assert_eq!(timing(30, 200, 1100).target_duration, 3);
    }

    #[test]
    fn a_segment_is_a_whole_number_of_key_intervals() {
        assert_eq!(timing(30, 200, 990).segment, Duration::from_millis(990));
        assert_eq!(timing(30, 200, 400).segment, Duration::from_millis(1200));
        assert_eq!(timing(30, 200, 4000).segment, Duration::from_secs(4));
    }

    #[test]
    fn the_window_holds_three_target_durations() {
        let timing = timing(30, 200, 4000);
        assert_eq!(timing.window, Duration::from_secs(8 * 3 + 4));
    }
}
