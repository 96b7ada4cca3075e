//! When a picture was captured, in spite of drivers.

use std::time::Duration;

use crate::time::Monotonic;

/// The time that a driver wrote on a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// By CLOCK_MONOTONIC.
    Kernel(Monotonic),
    /// By a clock that the driver doesn't name, or none at all. (Drivers before Linux 3.9 took the wall clock;
    /// v4l2loopback takes the right clock without saying so.)
    Unknown,
}

/// Why stamps are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// [`Stamp::Unknown`], or zero.
    NoClock,
    /// It lies in the future.
    Future,
    /// It lies so far back that it can't be this clock.
    Past,
    /// It lies before the stamp of the picture before.
    Backwards,
}

impl Distrust {
    /// For the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoClock => "are of no known clock",
            Self::Future => "lie in the future",
            Self::Past => "lie long in the past",
            Self::Backwards => "go backwards",
        }
    }
}

/// A queue of eight buffers at one picture a second is the longest time a picture may rightly have waited; beyond it,
/// the stamp is of another clock (or from before the device was opened).
const OLDEST: Duration = Duration::from_secs(10);

/// Chooses between a driver's stamps and the time of arrival, and never goes backwards.
///
/// A stamp that was rejected leaves the time of arrival as the last one, which later good stamps lie before, since
/// they always are older than their arrival: so the clock stays with arrivals until a stamp overtakes it, rather than
/// jump between the two.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: Option<Monotonic>,
}

impl Stamps {
    /// When the picture was captured that carries `stamp` and was handed over at `now`, and why that isn't the stamp.
    pub(super) fn captured(
        &mut self,
        stamp: Stamp,
        now: Monotonic,
    ) -> (Monotonic, Option<Distrust>) {
        let distrust = match stamp {
            Stamp::Unknown | Stamp::Kernel(Monotonic(0)) => Some(Distrust::NoClock),
            Stamp::Kernel(at) if at > now => Some(Distrust::Future),
            Stamp::Kernel(at) if now.since(at) > OLDEST => Some(Distrust::Past),
            Stamp::Kernel(at) if self.last.is_some_and(|last| at < last) => {
                Some(Distrust::Backwards)
            }
            Stamp::Kernel(_) => None,
        };
        let captured = match (stamp, distrust) {
            (Stamp::Kernel(at), None) => at,
            _ => now,
        };
        self.last = Some(captured);
        (captured, distrust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn kernel(at: u64) -> Stamp {
        Stamp::Kernel(Monotonic(at))
    }

    #[test]
    fn a_stamp_of_the_right_clock_is_believed() {
        let mut stamps = Stamps::default();
        let (captured, distrust) = stamps.captured(kernel(99 * SECOND), Monotonic(100 * SECOND));
        assert_eq!((captured, distrust), (Monotonic(99 * SECOND), None));
    }

    #[test]
    fn two_buffers_may_carry_the_same_stamp() {
        // bcm2835-v4l2 hands out the parameter sets in a buffer of their own.
        let mut stamps = Stamps::default();
        stamps.captured(kernel(99 * SECOND), Monotonic(100 * SECOND));
        let again = stamps.captured(kernel(99 * SECOND), Monotonic(100 * SECOND));
        assert_eq!(again, (Monotonic(99 * SECOND), None));
    }

    #[test]
    fn anything_else_is_replaced_by_the_time_of_arrival() {
        let now = Monotonic(100 * SECOND);
        for (stamp, why) in [
            (Stamp::Unknown, Distrust::NoClock),
            (kernel(0), Distrust::NoClock),
            (kernel(100 * SECOND + 1), Distrust::Future),
            (kernel(89 * SECOND), Distrust::Past),
        ] {
            assert_eq!(Stamps::default().captured(stamp, now), (now, Some(why)));
        }
    }

    #[test]
    fn time_never_goes_backwards() {
        let mut stamps = Stamps::default();
        let mut last = Monotonic(0);
        // Good, backwards, future, good again but before the arrival that stood in, then overtaking it.
        for (stamp, now) in [
            (1_000, 1_050),
            (900, 1_083),
            (2_000, 1_116),
            (1_099, 1_149),
            (1_150, 1_182),
        ] {
            let (captured, _) = stamps.captured(kernel(stamp), Monotonic(now));
            assert!(captured >= last, "{captured:?} after {last:?}");
            last = captured;
        }
        assert_eq!(
            last,
            Monotonic(1_150),
            "a stamp that has caught up is believed again"
        );
    }
}
