use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Edge, EdgeChunk, Frame, Snapshot};

/// How many presentations that ended stay available: players of the last one may still be reading its tail.
const REMEMBERED: usize = 2;

/// Where the publisher and the readers meet: the current [`Snapshot`], and the signal that it was replaced.
#[derive(Debug)]
pub struct Live {
    current: watch::Sender<Option<Arc<Snapshot>>>,
    ended: ArcSwap<Vec<Arc<Snapshot>>>,
    edge: watch::Sender<Edge>,
    frames: watch::Sender<Option<Frame>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            current: watch::Sender::new(None),
            ended: ArcSwap::default(),
            edge: watch::Sender::default(),
            frames: watch::Sender::new(None),
        }
    }
}

impl Live {
    /// The window as it is now; `None` before anything was published.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.borrow().clone()
    }

    /// Wakes with every part, every segment, every end and every new presentation.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.current.subscribe()
    }

    /// The newest chunks. Wakes with every one; who is slow finds several, and at last another place to go on.
    pub fn edge(&self) -> watch::Receiver<Edge> {
        self.edge.subscribe()
    }

    /// Adds a chunk to the newest end of the stream. The publisher calls this with every one, before the part that it
    /// belongs to is complete.
    pub fn push(&self, chunk: EdgeChunk) {
        self.edge.send_modify(|edge| edge.push(chunk));
    }

    /// The picture that was published last. Wakes with every one; who is slow misses some.
    pub fn frames(&self) -> watch::Receiver<Option<Frame>> {
        self.frames.subscribe()
    }

    /// Tells of a picture. The publisher calls this, with every one.
    pub fn tell(&self, frame: Frame) {
        self.frames.send_replace(Some(frame));
    }

    /// The window of one presentation: the current one, or one that ended lately.
    pub fn presentation(&self, id: &str) -> Option<Arc<Snapshot>> {
        self.current()
            .filter(|snapshot| &*snapshot.presentation.id == id)
            .or_else(|| {
                let ended = self.ended.load();
                ended
                    .iter()
                    .find(|snapshot| &*snapshot.presentation.id == id)
                    .cloned()
            })
    }

    /// Replaces the window. One publisher calls this.
    ///
    /// A snapshot of another presentation puts the last one among those that ended, so its `ended` must have been
    /// published before.
    pub fn publish(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let last = self.current();
        if let Some(last) = last.filter(|last| last.presentation.id != snapshot.presentation.id) {
            debug_assert!(last.ended, "a presentation ends before the next begins");
            let mut ended = Vec::clone(&self.ended.load());
            ended.push(last);
            let surplus = ended.len().saturating_sub(REMEMBERED);
            ended.drain(..surplus);
            self.ended.store(Arc::new(ended));
        }
        if snapshot.ended {
            self.edge.send_modify(Edge::end);
        }
        self.current.send_replace(Some(snapshot));
    }
}
