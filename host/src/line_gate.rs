//! Keeps what may come in floods from filling the log.

use std::time::{Duration, Instant};

/// Lets so many lines pass in a period, and counts the others.
#[derive(Debug)]
pub(crate) struct LineGate {
    lines: u32,
    period: Duration,
    began: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl LineGate {
    /// A period begins with the first line after the one before.
    pub(crate) fn new(lines: u32, period: Duration) -> Self {
        Self {
            lines,
            period,
            began: None,
            passed: 0,
            held_back: 0,
        }
    }

    /// Whether a line may pass now, and if so, how many were held back since the last one that did.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        let fresh = self
            .began
            .is_none_or(|began| now.duration_since(began) >= self.period);
        if fresh {
            self.began = Some(now);
            self.passed = 0;
        }
        if self.passed >= self.lines {
            self.held_back += 1;
            return None;
        }
        self.passed += 1;
        Some(self.take_held_back())
    }

    /// How many were held back since the last one that passed; they count as told.
    pub(crate) fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_lines_pass_in_a_period_and_the_next_one_says_how_many_did_not() {
        let period = Duration::from_secs(1);
        let mut gate = LineGate::new(10, period);
        let start = Instant::now();
        let passed = (0..25).filter_map(|_| gate.pass(start)).count();
        assert_eq!(passed, 10);
        let later = start + period;
        assert_eq!(gate.pass(later), Some(15));
        assert_eq!(gate.pass(later), Some(0));
        assert_eq!(gate.take_held_back(), 0);
    }
}
