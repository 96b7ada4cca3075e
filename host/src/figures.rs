//! What is counted while the host runs, to be read by the operator: cheap where it is counted (an atomic or two, no lock,
//! no memory), read as plain numbers. What the numbers are called outside is not known here.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prometheus::{Histogram, HistogramOpts, core::Metric as _};

/// A number that only grows, from 0 on.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many of something are there, and how many there have been.
#[derive(Debug, Default)]
pub struct Level {
    came: Count,
    went: Count,
}

impl Level {
    /// One more, for as long as the guard lives.
    pub fn enter(&self) -> Inside<'_> {
        self.came.one();
        Inside(self)
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        // In this order, so that one who comes and goes meanwhile isn't seen as having gone alone.
        let went = self.went.get();
        self.came.get().saturating_sub(went)
    }

    /// How many there have been, with those there are.
    pub fn ever(&self) -> u64 {
        self.came.get()
    }
}

/// One that counts in a [`Level`].
#[derive(Debug)]
pub struct Inside<'a>(&'a Level);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.went.one();
    }
}

/// How long something took, each time.
pub struct Times(Histogram);

impl Times {
    /// Nothing yet. The bounds are seconds, growing; what is longer than the last counts, too.
    pub fn new(bounds: &[f64]) -> Self {
        let options =
            HistogramOpts::new("times", "Read by value, never by name.").buckets(bounds.to_vec());
        Self(Histogram::with_opts(options).expect("bounds are constants, which grow"))
    }

    /// It took so long.
    pub fn add(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }

    /// How it was distributed so far.
    pub fn get(&self) -> Distribution {
        let read = self.0.metric();
        let read = read.get_histogram();
        Distribution {
            count: read.get_sample_count(),
            seconds: read.get_sample_sum(),
            within: read
                .get_bucket()
                .iter()
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
        }
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// [`Times`], as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How often.
    pub count: u64,
    /// Together.
    pub seconds: f64,
    /// For each bound, in seconds, how many took no longer. Growing in both.
    pub within: Vec<(f64, u64)>,
}

impl Distribution {
    /// The bound that so large a share of them (0 to 1) kept to; `None` if there is none, or the last bound wasn't kept.
    pub fn bound(&self, share: f64) -> Option<f64> {
        let wanted = self.count as f64 * share;
        self.within
            .iter()
            .find(|&&(_, kept)| self.count > 0 && kept as f64 >= wanted)
            .map(|&(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_falls_when_a_guard_goes_and_remembers_that_it_was_there() {
        let level = Level::default();
        let (first, second) = (level.enter(), level.enter());
        assert_eq!((level.now(), level.ever()), (2, 2));
        drop(first);
        assert_eq!((level.now(), level.ever()), (1, 2));
        drop(second);
        assert_eq!((level.now(), level.ever()), (0, 2));
    }

    #[test]
    fn times_count_below_the_first_bound_they_keep_to_and_above_the_last() {
        let times = Times::new(&[0.001, 0.01, 0.1]);
        for millis in [1, 5, 7, 400] {
            times.add(Duration::from_millis(millis));
        }
        let read = times.get();
        assert_eq!(read.count, 4);
        assert_eq!(read.within, [(0.001, 1), (0.01, 3), (0.1, 3)]);
        assert!((read.seconds - 0.413).abs() < 1e-9, "{read:?}");
        assert_eq!(read.bound(0.5), Some(0.01));
        assert_eq!(read.bound(0.99), None);
        assert_eq!(Distribution::default().bound(0.5), None);
    }
}
