use std::time::Duration;

use tokio::time::Instant;

use crate::time::Monotonic;

/// Later than this, the rest is put off too: who slept for an hour doesn't want the hour at once.
const LATE: Duration = Duration::from_secs(1);

/// Lets things happen when they are due, counted from one moment on, so that errors don't add up.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    started: Monotonic,
}

impl Pace {
    /// Time 0 is now.
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            started: Monotonic::now(),
        }
    }

    /// Waits until `time`, and returns it on the monotonic clock.
    pub(super) async fn until(&mut self, time: Duration) -> Monotonic {
        let late = self.start.elapsed().saturating_sub(time);
        if late > LATE {
            self.start += late;
            self.started = self.started.after(late);
        }
        tokio::time::sleep_until(self.start + time).await;
        self.started.after(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pictures_are_as_far_apart_as_they_should_be_however_long_their_making_took() {
        let mut pace = Pace::start();
        let (began, first) = (Instant::now(), pace.until(Duration::ZERO).await);
        for number in 1..=100 {
            tokio::time::advance(Duration::from_millis(number % 20)).await;
            let due = Duration::from_millis(40) * number as u32;
            assert_eq!(pace.until(due).await.since(first), due);
        }
        // Tokio's timers count milliseconds.
        let late = began.elapsed() - Duration::from_secs(4);
        assert!(late <= Duration::from_millis(1), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_stop_it_goes_on_from_there() {
        let mut pace = Pace::start();
        let first = pace.until(Duration::ZERO).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        let after = pace.until(Duration::from_millis(40)).await;
        assert_eq!(after.since(first), Duration::from_secs(3600));
        let next = pace.until(Duration::from_millis(80)).await;
        assert_eq!(next.since(after), Duration::from_millis(40));
    }
}
