use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::failure::Exceeded;

/// What a call may use on a thread that has other things to do: longer than what is called there takes, and too short for
/// anybody to notice.
pub(super) const BRIEF: Duration = Duration::from_millis(2);

/// The processor time that one call may use.
///
/// It is the thread's own time that counts, not the clock on the wall: on a machine that is busy with something else, a
/// plugin isn't to blame for waiting. The start is read at the first tick of the epoch that strikes during the call, so a
/// call that ends before one costs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limit: Duration,
    /// Configuration key of the limit.
    key: &'static str,
    started: Option<Duration>,
    /// Another thread has more time for it.
    brief: bool,
    spent: bool,
}

impl Budget {
    pub(super) fn new(limit: Duration, key: &'static str) -> Self {
        Self {
            limit,
            key,
            started: None,
            brief: false,
            spent: false,
        }
    }

    /// For a call on a thread that has other things to do, from this point of the thread's time on.
    pub(super) fn brief(started: Duration) -> Self {
        Self {
            started: Some(started),
            brief: true,
            ..Self::new(BRIEF, "call-time")
        }
    }

    /// The call was broken off for no other reason than that it isn't as quick as was thought.
    pub(super) fn was_too_brief(&self) -> bool {
        self.brief && self.spent
    }

    /// Called from within the plugin's thread at every tick: goes on for another one, or ends the call.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_time();
        let started = *self.started.get_or_insert(now);
        if now.saturating_sub(started) < self.limit {
            Ok(UpdateDeadline::Continue(1))
        } else {
            self.spent = true;
            Err(Exceeded::Time {
                limit: self.limit,
                key: self.key,
            }
            .into())
        }
    }
}

/// Processor time that this thread has used.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a thread's time is never negative"),
        u32::try_from(time.tv_nsec).expect("tv_nsec is below a second"),
    )
}
