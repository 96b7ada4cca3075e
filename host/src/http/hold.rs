use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use crate::live::Presentation;

/// How the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// New connections and requests are welcome.
    Serving,
    /// What runs may end; what is held is let go.
    Stopping,
    /// Time is up.
    Over,
}

/// How long a request may be held before anything was published: players give up a manifest after ten seconds or more.
pub(super) const FIRST_PICTURE: Duration = Duration::from_secs(8);

/// Why a held request was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetGo {
    /// It was held for as long as it may be.
    TimedOut,
    /// The server stops.
    Stopping,
}

/// How long requests of a presentation are held at most: three target durations (RFC 8216bis, 6.2.5.2).
pub(super) fn longest(presentation: &Presentation) -> Duration {
    3 * Duration::from_secs(presentation.timing.target_duration.into())
}

/// Waits for `work`, but not past the deadline, and not when the server stops. Work that is done already is never let go.
pub(super) async fn hold<T>(
    deadline: Instant,
    phase: &mut watch::Receiver<Phase>,
    work: impl Future<Output = T>,
) -> Result<T, LetGo> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        // An error means that the server is gone, which is stopping too.
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => Err(LetGo::Stopping),
        () = tokio::time::sleep_until(deadline) => Err(LetGo::TimedOut),
    }
}
