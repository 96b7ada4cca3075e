use std::time::{Duration, Instant};

/// What each further failure in a row adds to the time on the bench.
const STEP: Duration = Duration::from_millis(200);
/// The longest time on the bench.
const LONGEST: Duration = Duration::from_secs(5);
/// A plugin that went this long without a failure starts with a clean slate.
const HEALTHY: Duration = Duration::from_secs(60);

/// When a plugin that trapped may be started again: the first time at once, since nobody should wait for a rare bug, then
/// after 200 ms, 400 ms and so on, up to 5 s.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Health {
    /// Takes down a failure, and says for how long the plugin is benched.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let healthy = self
            .last
            .is_none_or(|last| now.duration_since(last) >= HEALTHY);
        if healthy {
            self.failures = 0;
        }
        let pause = (STEP * self.failures).min(LONGEST);
        self.failures = self.failures.saturating_add(1).min(1_000);
        self.last = Some(now);
        self.until = Some(now + pause);
        pause
    }

    /// For how much longer the plugin is benched, if it is.
    pub(super) fn benched(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_the_first_failure_costs_none() {
        let mut health = Health::default();
        let now = Instant::now();
        assert_eq!(health.failed(now), Duration::ZERO);
        assert_eq!(health.benched(now), None);
        assert_eq!(health.failed(now), STEP);
        assert_eq!(health.benched(now), Some(STEP));
        assert_eq!(health.benched(now + STEP), None);
        assert_eq!(health.failed(now), 2 * STEP);
        for _ in 0..2_000 {
            health.failed(now);
        }
        assert_eq!(health.failed(now), LONGEST);
    }

    #[test]
    fn a_healthy_minute_wipes_the_slate() {
        let mut health = Health::default();
        let now = Instant::now();
        health.failed(now);
        health.failed(now);
        let almost = now + HEALTHY - Duration::from_millis(1);
        assert_eq!(health.failed(almost), 2 * STEP);
        assert_eq!(health.failed(almost + HEALTHY), Duration::ZERO);
    }
}
