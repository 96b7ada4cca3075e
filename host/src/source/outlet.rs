use std::fmt;

use tokio::sync::{mpsc, watch};

use super::{Damage, Event, KeyFrames, Nominal, Picture, Source};
use crate::{
    h264::{AccessUnit, Loss},
    time::Monotonic,
};

/// Pictures that may wait to be taken: enough for a hiccup of the one who takes them. A pipe holds what comes after.
const PICTURES: usize = 4;

/// Nobody wants pictures any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// What a source that can wait has to say, and to whom.
#[derive(Debug)]
pub(super) struct Outlet {
    events: mpsc::Sender<Event>,
    damage: watch::Sender<Damage>,
    /// What readers lost that are no more.
    before: Damage,
    /// It was lost, and has not come back.
    lost: bool,
    /// Pictures sent since it was last lost.
    pub(super) pictures: u64,
}

impl Outlet {
    /// The sending end, and the source that receives from it, which can't be asked for key frames.
    pub(super) fn new(
        name: &str,
        description: impl fmt::Display,
        nominal: Nominal,
    ) -> (Self, Source) {
        let (events, receiver) = mpsc::channel(PICTURES);
        let (damage, damage_receiver) = watch::channel(Damage::default());
        let (key_frames, _) = KeyFrames::new();
        let outlet = Self {
            events,
            damage,
            before: Damage::default(),
            lost: false,
            pictures: 0,
        };
        let source = Source {
            events: receiver,
            nominal,
            key_frames,
            name: name.to_owned(),
            description: description.to_string(),
            encoded_here: false,
            controls: None,
            damage: damage_receiver,
        };
        (outlet, source)
    }

    /// Sends a picture, once there is room for it.
    pub(super) async fn picture(
        &mut self,
        unit: AccessUnit,
        captured: Monotonic,
    ) -> Result<(), Gone> {
        if std::mem::take(&mut self.lost) {
            self.before.restarts += 1;
            self.damage.send_modify(|damage| damage.restarts += 1);
        }
        self.pictures += 1;
        self.send(Event::Picture(Picture { unit, captured })).await
    }

    /// Says that the next picture doesn't continue the last.
    pub(super) async fn broken(&mut self, reason: String) -> Result<(), Gone> {
        self.send(Event::Break { reason }).await
    }

    /// Says that there are no pictures for now.
    pub(super) async fn lost(&mut self, reason: String) -> Result<(), Gone> {
        self.lost = true;
        self.pictures = 0;
        self.send(Event::Lost { reason }).await
    }

    /// Says that nothing will follow.
    pub(super) async fn ended(&mut self) -> Result<(), Gone> {
        self.send(Event::Ended).await
    }

    async fn send(&mut self, event: Event) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }

    /// Takes note of all that the present reader has lost.
    pub(super) fn loss(&self, loss: Loss) {
        let damage = self.total(loss);
        self.damage.send_if_modified(|known| {
            let more = *known != damage;
            *known = damage;
            more
        });
    }

    /// The present reader is no more, having lost this.
    pub(super) fn reader_is_done(&mut self, loss: Loss) {
        self.before = self.total(loss);
    }

    fn total(&self, loss: Loss) -> Damage {
        Damage {
            dropped_units: self.before.dropped_units + loss.dropped_units,
            late_units: self.before.late_units,
            bad_nals: self.before.bad_nals + loss.bad_nals,
            restarts: self.before.restarts,
        }
    }

    /// Returns when nobody wants pictures any more.
    pub(super) async fn closed(&self) {
        self.events.closed().await;
    }
}
