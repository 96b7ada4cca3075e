//! Which pictures are key frames.

use std::time::Duration;

use crate::time::Monotonic;

/// Decides it by the time of capture, so that a camera that halves its rate in the dark doesn't double the length of
/// segments.
///
/// The next key frame is the picture that is nearest to an interval after the last, by the camera's own clock: there is
/// no drift against it that would make an interval a picture shorter now and then. One that is asked for begins the
/// interval anew. One that is late, since pictures were left out, doesn't: the next comes when it would have come.
#[derive(Debug)]
pub(super) struct Keys {
    interval: Duration,
    /// Half the time between two pictures: what is this much too early is nearer than the next.
    half: Duration,
    /// The time of the next one; `None` for at once.
    due: Option<Monotonic>,
}

impl Keys {
    /// One every `interval`, of pictures that come every `frame`.
    pub(super) fn new(interval: Duration, frame: Duration) -> Self {
        Self {
            interval: interval.max(Duration::from_micros(1)),
            half: frame / 2,
            due: None,
        }
    }

    /// The next picture is one.
    pub(super) fn ask(&mut self) {
        self.due = None;
    }

    /// Whether the picture that was captured then is one.
    pub(super) fn take(&mut self, captured: Monotonic) -> bool {
        let Some(due) = self.due else {
            self.due = Some(captured.after(self.interval));
            return true;
        };
        if captured.after(self.half) < due {
            return false;
        }
        let late = captured.since(due);
        self.due = Some(if late <= self.half {
            captured.after(self.interval)
        } else {
            let missed = late.as_micros() / self.interval.as_micros() + 1;
            let micros = missed.saturating_mul(self.interval.as_micros());
            due.after(Duration::from_micros(
                u64::try_from(micros).unwrap_or(u64::MAX),
            ))
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the key frames among pictures that come every `frame` microseconds.
    fn keyed(keys: &mut Keys, frame: u64, numbers: std::ops::Range<u64>) -> Vec<u64> {
        numbers
            .filter(|number| keys.take(Monotonic(1_000_000 + number * frame)))
            .collect()
    }

    fn keys(interval: u64, frame: u64) -> Keys {
        Keys::new(
            Duration::from_micros(interval),
            Duration::from_micros(frame),
        )
    }

    #[test]
    fn key_frames_keep_their_interval() {
        let mut keys = keys(400_000, 40_000);
        assert_eq!(keyed(&mut keys, 40_000, 0..35), [0, 10, 20, 30]);
        // 40 was left out: the next takes its place, and the grid stays.
        assert_eq!(keyed(&mut keys, 40_000, 41..65), [41, 50, 60]);
        keys.ask();
        keys.ask();
        assert_eq!(keyed(&mut keys, 40_000, 65..90), [65, 75, 85]);
    }

    #[test]
    fn a_clock_that_is_a_little_off_costs_no_picture() {
        // 29.97 pictures a second by the camera, 30 by the settings, for two minutes.
        let mut keys = keys(1_000_000, 33_333);
        let keyed = keyed(&mut keys, 33_367, 0..3_600);
        assert!(keyed.windows(2).all(|pair| pair[1] - pair[0] == 30));
    }

    #[test]
    fn a_camera_that_halves_its_rate_does_not_double_the_interval() {
        let mut keys = keys(1_000_000, 33_333);
        assert_eq!(keyed(&mut keys, 66_667, 0..46), [0, 15, 30, 45]);
    }

    #[test]
    fn pictures_that_come_unevenly_are_keyed_once_an_interval() {
        let mut keys = keys(1_000_000, 33_333);
        let jitter = |number: u64| (number * 7_919) % 12_000;
        let keyed: Vec<_> = (0..300)
            .filter(|number| keys.take(Monotonic(number * 33_333 + jitter(*number))))
            .collect();
        assert_eq!(keyed.len(), 10, "{keyed:?}");
    }

    #[test]
    fn a_long_pause_makes_one_key_frame() {
        let mut keys = keys(1_000_000, 40_000);
        assert_eq!(keyed(&mut keys, 40_000, 0..3), [0]);
        assert_eq!(keyed(&mut keys, 40_000, 10_001..10_027), [10_001, 10_025]);
    }
}
