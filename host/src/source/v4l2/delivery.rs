//! What the capture thread tells, and to whom: events into a channel that may be full, damage into a count.

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::{
    h264::Loss,
    source::{Damage, Event, Picture},
};

/// The sending side of a device's source.
///
/// A device doesn't wait. When nobody takes the pictures in time, whole ones are dropped up to the next IDR picture,
/// since those in between refer to dropped ones.
#[derive(Debug)]
pub(super) struct Delivery {
    events: mpsc::Sender<Event>,
    damage: watch::Sender<Damage>,
    /// What the present reader lost, as far as it is counted.
    loss: Loss,
    /// One was dropped: nothing goes out before an IDR picture.
    until_idr: bool,
}

impl Delivery {
    pub(super) fn new(events: mpsc::Sender<Event>, damage: watch::Sender<Damage>) -> Self {
        Self {
            events,
            damage,
            loss: Loss::default(),
            until_idr: false,
        }
    }

    /// Sends the picture, or counts it as dropped. False if it had to be dropped because nobody took it: a key frame
    /// would help.
    pub(super) fn deliver(&mut self, picture: Picture) -> bool {
        if self.until_idr && !picture.unit.idr {
            self.late();
            return true;
        }
        match self.events.try_send(Event::Picture(picture)) {
            Ok(()) => {
                self.until_idr = false;
                true
            }
            Err(TrySendError::Full(_)) => {
                if !self.until_idr {
                    tracing::warn!(
                        "pictures come faster than they are taken; dropping them up to a key frame"
                    );
                }
                self.until_idr = true;
                self.late();
                false
            }
            // The thread learns of it when it next looks for orders.
            Err(TrySendError::Closed(_)) => true,
        }
    }

    fn late(&mut self) {
        self.damage.send_modify(|damage| {
            damage.late_units += 1;
            damage.dropped_units += 1;
        });
    }

    /// Counts a picture that never came out of the device, or came out broken.
    pub(super) fn damaged(&mut self) {
        self.damage.send_modify(|damage| damage.dropped_units += 1);
    }

    /// Takes note of all that the present reader has lost. True if there is more of it than the last time.
    pub(super) fn loss(&mut self, loss: Loss) -> bool {
        let before = std::mem::replace(&mut self.loss, loss);
        if loss == before {
            return false;
        }
        self.damage.send_modify(|damage| {
            damage.dropped_units += loss.dropped_units.saturating_sub(before.dropped_units);
            damage.bad_nals += loss.bad_nals.saturating_sub(before.bad_nals);
        });
        true
    }

    /// The device is lost. False if nobody wants to know. Waits for its turn: there are no pictures to miss.
    pub(super) fn lost(&mut self, reason: String) -> bool {
        self.events.blocking_send(Event::Lost { reason }).is_ok()
    }

    /// The device is back, with a new reader.
    pub(super) fn came_back(&mut self) {
        self.loss = Loss::default();
        self.until_idr = false;
        self.damage.send_modify(|damage| damage.restarts += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{
        h264::{AccessUnit, ParameterSets},
        time::Monotonic,
    };

    fn picture(idr: bool, number: u64) -> Picture {
        Picture {
            unit: AccessUnit {
                data: Bytes::from_static(&[0, 0, 0, 1, 0x65]),
                idr,
                parameter_sets: Arc::new(ParameterSets::example(320)),
                display_shift: 0,
            },
            captured: Monotonic(number),
        }
    }

    struct Rig {
        delivery: Delivery,
        events: mpsc::Receiver<Event>,
        damage: watch::Receiver<Damage>,
    }

    fn rig(capacity: usize) -> Rig {
        let (sender, events) = mpsc::channel(capacity);
        let (counts, damage) = watch::channel(Damage::default());
        Rig {
            delivery: Delivery::new(sender, counts),
            events,
            damage,
        }
    }

    impl Rig {
        /// The numbers of the pictures that came through.
        fn came(&mut self) -> Vec<u64> {
            let mut numbers = Vec::new();
            while let Ok(event) = self.events.try_recv() {
                match event {
                    Event::Picture(picture) => numbers.push(picture.captured.0),
                    other => panic!("{other:?}"),
                }
            }
            numbers
        }
    }

    #[test]
    fn what_is_not_taken_in_time_is_dropped_up_to_the_next_idr_picture() {
        let mut rig = rig(2);
        assert!(rig.delivery.deliver(picture(true, 0)));
        assert!(rig.delivery.deliver(picture(false, 1)));
        assert!(
            !rig.delivery.deliver(picture(false, 2)),
            "a key frame helps"
        );
        assert_eq!(rig.came(), [0, 1]);
        rig.delivery.deliver(picture(false, 3));
        rig.delivery.deliver(picture(true, 4));
        assert_eq!(rig.came(), [4], "3 refers to 2");
        let damage = *rig.damage.borrow();
        assert_eq!((damage.dropped_units, damage.late_units), (2, 2));
    }

    #[test]
    fn what_readers_lost_adds_up_over_restarts() {
        let mut rig = rig(8);
        let loss = |dropped_units, bad_nals| Loss {
            dropped_units,
            bad_nals,
            false_ends: 0,
        };
        rig.delivery.damaged();
        assert!(rig.delivery.loss(loss(2, 1)));
        assert!(!rig.delivery.loss(loss(2, 1)), "nothing new");
        assert!(rig.delivery.lost("unplugged".into()));
        rig.delivery.came_back();
        assert!(!rig.delivery.loss(loss(0, 0)));
        rig.delivery.loss(loss(5, 0));
        let damage = Damage {
            dropped_units: 1 + 2 + 5,
            late_units: 0,
            bad_nals: 1,
            restarts: 1,
        };
        assert_eq!(*rig.damage.borrow(), damage);
    }

    #[test]
    fn a_lost_device_is_reported_after_its_last_picture() {
        let mut rig = rig(8);
        rig.delivery.deliver(picture(true, 0));
        assert!(rig.delivery.lost("unplugged".into()));
        assert!(matches!(rig.events.try_recv(), Ok(Event::Picture(_))));
        assert!(matches!(
            rig.events.try_recv(),
            Ok(Event::Lost { reason }) if reason == "unplugged"
        ));
    }

    #[test]
    fn one_who_went_away_is_not_waited_for() {
        let mut rig = rig(1);
        rig.events.close();
        assert!(rig.delivery.deliver(picture(true, 0)));
        assert!(!rig.delivery.lost("unplugged".into()));
    }
}
