use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

/// A new generation has proved itself after so many calls, and not before so long.
const CALLS: u64 = 100;
const TIME: Duration = Duration::from_secs(10);

/// The time in which a new generation may be taken back, and what takes its place then: the generation before it, idle.
///
/// It lasts for 100 calls and for ten seconds, whichever ends later: few calls in a long time prove as little as many in
/// a short one. There is no timer: who calls finds out, and a plugin that nobody calls goes on being on probation.
pub(super) struct Probation<T> {
    began: Instant,
    calls: AtomicU64,
    fallback: ArcSwapOption<T>,
}

impl<T> Probation<T> {
    /// Begins now. `None` is no probation at all: nothing could take the place.
    pub(super) fn new(fallback: Option<Arc<T>>) -> Self {
        Self {
            began: Instant::now(),
            calls: AtomicU64::new(0),
            fallback: ArcSwapOption::new(fallback),
        }
    }

    /// Whether there is something to go back to.
    pub(super) fn is_on(&self) -> bool {
        self.fallback.load().is_some()
    }

    /// A call went well. True when this was the one that ended the probation.
    pub(super) fn passed(&self) -> bool {
        // The usual case, for all but the first moments of a generation.
        if !self.is_on() {
            return false;
        }
        let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        calls >= CALLS && self.began.elapsed() >= TIME && self.end().is_some()
    }

    /// Ends the probation, and hands over what was kept. One caller gets it.
    pub(super) fn end(&self) -> Option<Arc<T>> {
        self.fallback.swap(None)
    }

    /// What is kept.
    pub(super) fn fallback(&self) -> Option<Arc<T>> {
        self.fallback.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began(ago: Duration) -> Probation<&'static str> {
        Probation {
            began: Instant::now()
                .checked_sub(ago)
                .expect("a machine that runs for a while"),
            ..Probation::new(Some(Arc::new("old")))
        }
    }

    #[test]
    fn many_calls_in_a_short_time_prove_nothing() {
        let probation = began(Duration::ZERO);
        assert!((0..10 * CALLS).all(|_| !probation.passed()));
        assert_eq!(probation.end().as_deref(), Some(&"old"));
    }

    #[test]
    fn few_calls_in_a_long_time_prove_nothing_either() {
        let probation = began(2 * TIME);
        assert!((1..CALLS).all(|_| !probation.passed()));
        assert!(probation.is_on());
        assert!(probation.passed());
        assert!(!probation.is_on() && !probation.passed());
        assert_eq!(probation.end(), None);
    }
}
