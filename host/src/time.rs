//! The three times of a picture: where it stands on the presentation clock ([`MediaTime`]), when it was captured
//! ([`Monotonic`]), and what the wall clock said then ([`Wall`]).
//!
//! The presentation clock and the monotonic clock run at the same rate and differ by a constant, fixed when the run
//! starts. The wall clock only labels them, since it may be stepped at any time: a Pi boots in 1970.

use std::time::Duration;

/// Ticks a second of every track we write, and of [`MediaTime`]. Microseconds, so that the ends of segments are exact:
/// with 90,000 Chromium's buffered ranges end a microsecond short of the next segment, which stalls hls.js.
pub const TIMESCALE: u32 = 1_000_000;

/// When this was written, on the wall clock since 1970. A clock that is behind it has not been set.
pub(crate) const BUILT: Duration = Duration::from_secs(1_764_000_000);

/// A point on the presentation clock: microseconds since the run started. It is what `tfdt` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(pub u64);

impl MediaTime {
    /// This point moved on by `length`, which is cut to whole microseconds.
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The presentation clock read as a wall clock: what that said when the run started, and the monotonic time since. Nobody
/// sets it, so that what is dated by it stays consistent all through a run, even on a board that began in 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentationClock {
    start: Monotonic,
    epoch: Wall,
}

impl PresentationClock {
    /// A clock whose presentation time 0 is a moment that both clocks were read at, moved back to a whole millisecond of
    /// the wall clock: dates in documents have no more digits.
    pub fn new(start: Monotonic, epoch: Wall) -> Self {
        let rest = epoch.0 % 1_000;
        Self {
            start: Monotonic(start.0.saturating_sub(rest)),
            epoch: Wall(epoch.0 - rest),
        }
    }

    /// What it says at presentation time 0.
    pub fn epoch(&self) -> Wall {
        self.epoch
    }

    /// Where a moment stands in presentation time; what came before the run counts as its start.
    pub fn media(&self, moment: Monotonic) -> MediaTime {
        MediaTime(moment.0.saturating_sub(self.start.0))
    }

    /// What it says at a moment.
    pub fn wall(&self, moment: Monotonic) -> Wall {
        self.epoch
            .after(Duration::from_micros(self.media(moment).0))
    }
}

/// A moment of `CLOCK_MONOTONIC`, in microseconds. V4L2 drivers stamp their buffers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The moment of the call.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).expect("CLOCK_MONOTONIC is never negative");
        let nanos = u64::try_from(now.tv_nsec).expect("tv_nsec is never negative");
        Self(seconds * 1_000_000 + nanos / 1_000)
    }

    /// This moment moved on by `length`.
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A moment of the wall clock: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// The moment of the call. A clock set before 1970 reads as 1970.
    pub fn now() -> Self {
        Self(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, micros),
        )
    }

    /// As RFC 3339 and `xs:dateTime` have it, in UTC, to the millisecond.
    pub fn date_time(self) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(date) => format!("{date:.3}"),
            // After the year 9999.
            Err(_) => micros.to_string(),
        }
    }

    /// This moment moved on by `length`.
    pub fn after(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }

    /// This moment moved back by `length`, not before 1970.
    pub fn before(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(micros(length)))
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_to_the_millisecond() {
        assert_eq!(Wall(0).date_time(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Wall(1_700_000_000_123_456).date_time(),
            "2023-11-14T22:13:20.123Z"
        );
    }
}
