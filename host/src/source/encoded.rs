//! What a studio makes, on its way out of a source.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use super::{Damage, Event, Picture};
use crate::{
    h264::AccessUnit,
    line_gate::LineGate,
    picture::EncodeError,
    studio::{Readiness, Sink},
    time::Monotonic,
};

/// What went wrong is said at once, then not more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

const TOO_SLOW: &str =
    "encoding takes too long; ask for a smaller size or fewer pictures a second (--size, --fps)";

/// Sends pictures, and counts those that were left out. They are left out before they are encoded, so the stream has no
/// damage.
#[derive(Debug)]
pub(super) struct Encoded {
    /// What to call the source in the log.
    name: String,
    events: mpsc::Sender<Event>,
    damage: watch::Sender<Damage>,
    complaints: Mutex<LineGate>,
}

impl Encoded {
    pub(super) fn new(
        name: impl Into<String>,
        events: mpsc::Sender<Event>,
        damage: watch::Sender<Damage>,
    ) -> Self {
        Self {
            name: name.into(),
            events,
            damage,
            complaints: Mutex::new(LineGate::new(1, COMPLAIN_EVERY)),
        }
    }

    /// Counts pictures that were left out, and says so now and then.
    pub(super) fn late(&self, pictures: u64, why: &str) {
        if pictures == 0 {
            return;
        }
        self.damage.send_modify(|damage| {
            damage.dropped_units += pictures;
            damage.late_units += pictures;
        });
        self.complain(why);
    }

    /// Counts a picture that was damaged when it came, and says so now and then.
    pub(super) fn damaged(&self, why: &str) {
        self.damage.send_modify(|damage| damage.dropped_units += 1);
        self.complain(why);
    }

    fn complain(&self, why: &str) {
        let passed = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pass(Instant::now());
        if let Some(unsaid) = passed {
            let more = match unsaid {
                0 => String::new(),
                more => format!(" (and {more} before it)"),
            };
            tracing::warn!("{}: a picture{more} was left out: {why}", self.name);
        }
    }
}

impl Sink for Encoded {
    fn readiness(&self) -> Readiness {
        if self.events.is_closed() {
            Readiness::Closed
        } else if self.events.capacity() == 0 {
            Readiness::Full
        } else {
            Readiness::Ready
        }
    }

    fn deliver(&self, unit: AccessUnit, captured: Monotonic) {
        // Only one thread sends pictures: there still is the room that was found. Else, nobody wants them any more.
        let sent = self
            .events
            .try_send(Event::Picture(Picture { unit, captured }));
        debug_assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))));
    }

    fn too_slow(&self) {
        self.late(1, TOO_SLOW);
    }

    fn not_taken(&self) {
        self.late(1, "the pictures aren't taken in time");
    }

    fn failed(&self, error: EncodeError) {
        self.damaged(&format!("{:#}", anyhow::Error::from(error)));
    }
}
