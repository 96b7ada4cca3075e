use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use crate::live::{Live, Snapshot};

/// Follows the live window from one complete segment to the next.
pub(super) struct Follower {
    live: Arc<Live>,
    windows: watch::Receiver<Option<Arc<Snapshot>>>,
    current: Option<Arc<Snapshot>>,
    /// Presentations that ended while players may still be reading them.
    past: Vec<(Arc<Snapshot>, Instant)>,
}

impl Follower {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self {
            windows: live.subscribe(),
            live,
            current: None,
            past: Vec::new(),
        }
    }

    /// The windows of all presentations that players read, the current one last; as soon as there is more in them than
    /// there was. `None` once nothing more will come.
    pub(super) async fn next(&mut self) -> Option<Vec<Arc<Snapshot>>> {
        let current = &self.current;
        let news = self
            .windows
            .wait_for(|window| {
                window
                    .as_ref()
                    .is_some_and(|window| is_news(current.as_deref(), window))
            })
            .await;
        let window = news.ok()?.clone()?;
        let id = &window.presentation.id;
        if let Some(before) = self
            .current
            .take()
            .filter(|before| before.presentation.id != *id)
        {
            // Its end may have passed unseen.
            let last = self.live.presentation(&before.presentation.id);
            self.past.push((last.unwrap_or(before), Instant::now()));
        }
        self.past
            .retain(|(window, ended)| ended.elapsed() < window.presentation.timing.window);
        let past = self.past.iter().map(|(window, _)| window.clone());
        let windows = past.chain([window.clone()]).collect();
        self.current = Some(window);
        Some(windows)
    }
}

/// Whether there is a segment more, or an end, or another presentation.
fn is_news(before: Option<&Snapshot>, now: &Snapshot) -> bool {
    let state = |window: &Snapshot| {
        (
            window.presentation.id.clone(),
            window.position.sequence,
            window.ended,
        )
    };
    let complete = now.segments.iter().any(|segment| segment.complete);
    complete && before.is_none_or(|before| state(before) != state(now))
}
