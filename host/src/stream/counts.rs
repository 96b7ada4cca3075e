use std::time::Duration;

use crate::figures::{Count, Times};

/// What the publisher has done since it started.
#[derive(Debug)]
pub struct Counts {
    /// Pictures of the source that were published.
    pub pictures: Count,
    /// IDR pictures among them.
    pub key_frames: Count,
    /// Their bytes.
    pub bytes: Count,
    /// Pictures that could not follow the slate, since they were no IDR pictures.
    pub after_slate: Count,
    /// Segments that don't continue the one before.
    pub discontinuities: Count,
    /// Presentations that were begun.
    pub presentations: Count,
    /// From capture to the moment at which viewers can have the picture, which is the end of its part.
    pub delay: Times,
    slate: Count,
}

/// Seconds. Parts last 33 ms to a second; what the host adds to that should be below the first bound.
const DELAYS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];

impl Default for Counts {
    fn default() -> Self {
        Self {
            pictures: Count::default(),
            key_frames: Count::default(),
            bytes: Count::default(),
            after_slate: Count::default(),
            discontinuities: Count::default(),
            presentations: Count::default(),
            delay: Times::new(&DELAYS),
            slate: Count::default(),
        }
    }
}

impl Counts {
    pub(super) fn slate_for(&self, length: Duration) {
        // Half a million years fit.
        self.slate.add(length.as_micros() as u64);
    }

    /// How long the slate was shown, all in all.
    pub fn slate(&self) -> Duration {
        Duration::from_micros(self.slate.get())
    }
}
