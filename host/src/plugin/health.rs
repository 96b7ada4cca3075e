use std::time::{Duration, Instant};

/// A plugin that went this long without a failure starts with a clean slate.
const HEALTHY: Duration = Duration::from_secs(60);

/// How often an instance that died may be replaced before its plugin is left alone for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// Restarts in a row. With one failure more the plugin is benched. What went well for 60 seconds ends a row.
    pub budget: u32,
    /// The first restart is at once, since nobody should wait for a rare bug; the second after this time, the third after
    /// twice as long, and so on, up to `bench`.
    pub backoff: Duration,
    /// For how long a plugin that used its budget up isn't called, again after each further failure.
    pub bench: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            budget: 3,
            backoff: Duration::from_millis(200),
            bench: Duration::from_secs(5),
        }
    }
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Start afresh after so long; at once, if that is zero.
    Restart(Duration),
    /// The budget is used up, by so many failures in a row: leave it alone for so long.
    Bench(u32, Duration),
}

/// When a plugin that trapped may be started again.
#[derive(Debug)]
pub(super) struct Health {
    restarts: Restarts,
    failures: u32,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Health {
    pub(super) fn new(restarts: Restarts) -> Self {
        Self {
            restarts,
            failures: 0,
            last: None,
            until: None,
        }
    }

    /// Takes down a failure.
    pub(super) fn failed(&mut self, now: Instant) -> Pause {
        let Restarts {
            budget,
            backoff,
            bench,
        } = self.restarts;
        let healthy = self
            .last
            .is_none_or(|last| now.duration_since(last) >= HEALTHY);
        let before = if healthy { 0 } else { self.failures };
        self.failures = before.saturating_add(1);
        self.last = Some(now);
        let (pause, length) = if self.failures > budget {
            (Pause::Bench(self.failures, bench), bench)
        } else {
            let length = backoff.saturating_mul(before).min(bench);
            (Pause::Restart(length), length)
        };
        self.until = Some(now + length);
        pause
    }

    /// For how much longer the plugin isn't called.
    pub(super) fn paused(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(200);
    const BENCH: Duration = Duration::from_secs(5);

    #[test]
    fn restarts_take_longer_each_time_and_then_it_is_benched() {
        let mut health = Health::new(Restarts::default());
        let now = Instant::now();
        assert_eq!(health.failed(now), Pause::Restart(Duration::ZERO));
        assert_eq!(health.paused(now), None, "nobody waits for a rare bug");
        assert_eq!(health.failed(now), Pause::Restart(STEP));
        assert_eq!(health.paused(now), Some(STEP));
        assert_eq!(health.paused(now + STEP), None);
        assert_eq!(health.failed(now), Pause::Restart(2 * STEP));
        for failures in 4..2_000 {
            assert_eq!(health.failed(now), Pause::Bench(failures, BENCH));
        }
        assert_eq!(health.paused(now), Some(BENCH));
        assert_eq!(health.paused(now + BENCH), None);
    }

    #[test]
    fn no_restart_waits_longer_than_the_bench_and_a_budget_of_none_benches_at_once() {
        let now = Instant::now();
        let mut health = Health::new(Restarts {
            budget: u32::MAX,
            ..Restarts::default()
        });
        let longest = (0..100).map(|_| health.failed(now)).last();
        assert_eq!(longest, Some(Pause::Restart(BENCH)));
        let mut health = Health::new(Restarts {
            budget: 0,
            ..Restarts::default()
        });
        assert_eq!(health.failed(now), Pause::Bench(1, BENCH));
    }

    #[test]
    fn a_healthy_minute_wipes_the_slate() {
        let mut health = Health::new(Restarts::default());
        let now = Instant::now();
        health.failed(now);
        health.failed(now);
        let almost = now + HEALTHY - Duration::from_millis(1);
        assert_eq!(health.failed(almost), Pause::Restart(2 * STEP));
        assert_eq!(
            health.failed(almost + HEALTHY),
            Pause::Restart(Duration::ZERO)
        );
    }
}
