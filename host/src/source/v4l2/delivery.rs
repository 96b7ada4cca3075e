//! What the capture thread tells, and to whom: events into a channel that may be full, damage into a count.

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use crate::source::{Damage, Event, Picture};

/// The sending side of a device's source.
///
/// A device doesn't wait. When nobody takes the pictures in time, whole ones are dropped up to the next IDR picture,
/// since those in between refer to dropped ones.
#[derive(Debug)]
pub(super) struct Delivery {
    events: mpsc::Sender<Event>,
    damage: watch::Sender<Damage>,
    /// Nothing goes out before an IDR picture.
    until_idr: bool,
    /// The present run of drops was told.
    told_late: bool,
}

impl Delivery {
    pub(super) fn new(events: mpsc::Sender<Event>, damage: watch::Sender<Damage>) -> Self {
        Self {
            events,
            damage,
            until_idr: true,
            told_late: false,
        }
    }

    /// Sends the picture, or counts it as dropped. False if it had to be dropped because nobody took it: a key frame
    /// would help.
    pub(super) fn deliver(&mut self, picture: Picture) -> bool {
        if self.until_idr && !picture.unit.idr {
            self.dropped();
            return true;
        }
        match self.events.try_send(Event::Picture(picture)) {
            Ok(()) => {
                self.until_idr = false;
                self.told_late = false;
                true
            }
            Err(TrySendError::Full(_)) => {
                if !self.told_late {
                    self.told_late = true;
                    tracing::warn!(
                        "pictures come faster than they are taken; dropping them up to a key frame"
                    );
                }
                self.until_idr = true;
                self.dropped();
                false
            }
            // The thread learns of it when it next looks for orders.
            Err(TrySendError::Closed(_)) => true,
        }
    }

    /// A picture never arrived, or arrived broken.
    pub(super) fn damaged(&mut self) {
        self.until_idr = true;
        self.dropped();
    }

    /// The stream was started anew: what comes next doesn't continue it.
    pub(super) fn resynchronise(&mut self) {
        self.until_idr = true;
    }

    /// The device is lost. False if nobody wants to know. Waits for its turn: there are no pictures to miss.
    pub(super) fn lost(&mut self, reason: String) -> bool {
        self.until_idr = true;
        self.events.blocking_send(Event::Lost { reason }).is_ok()
    }

    /// The device is back.
    pub(super) fn came_back(&self) {
        self.damage.send_modify(|damage| damage.restarts += 1);
    }

    fn dropped(&self) {
        self.damage.send_modify(|damage| damage.dropped_units += 1);
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
                parameter_sets: Arc::new(ParameterSets {
                    sps: Vec::new(),
                    pps: Vec::new(),
                    width: 320,
                    height: 240,
                    sample_aspect_ratio: (1, 1),
                    frame_rate: None,
                    profile: [66, 0, 30],
                    chroma: [1, 0, 0],
                }),
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
    fn nothing_comes_before_the_first_idr_picture() {
        let mut rig = rig(8);
        for (number, idr) in [false, false, true, false].into_iter().enumerate() {
            rig.delivery.deliver(picture(idr, number as u64));
        }
        assert_eq!(rig.came(), [2, 3]);
        assert_eq!(rig.damage.borrow().dropped_units, 2);
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
        assert_eq!(rig.damage.borrow().dropped_units, 2);
    }

    #[test]
    fn after_damage_nothing_comes_before_an_idr_picture() {
        let mut rig = rig(8);
        rig.delivery.deliver(picture(true, 0));
        rig.delivery.damaged();
        rig.delivery.deliver(picture(false, 1));
        rig.delivery.deliver(picture(true, 2));
        assert_eq!(rig.came(), [0, 2]);
        assert_eq!(rig.damage.borrow().dropped_units, 2);
    }

    #[test]
    fn a_device_that_comes_back_begins_with_an_idr_picture() {
        let mut rig = rig(8);
        rig.delivery.deliver(picture(true, 0));
        assert!(rig.delivery.lost("unplugged".into()));
        rig.delivery.came_back();
        rig.delivery.deliver(picture(false, 1));
        rig.delivery.deliver(picture(true, 2));
        let mut lost = 0;
        let mut numbers = Vec::new();
        while let Ok(event) = rig.events.try_recv() {
            match event {
                Event::Picture(picture) => numbers.push(picture.captured.0),
                Event::Lost { .. } => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((numbers, lost), (vec![0, 2], 1));
        assert_eq!(rig.damage.borrow().restarts, 1);
    }

    #[test]
    fn one_who_went_away_is_not_waited_for() {
        let mut rig = rig(1);
        rig.events.close();
        assert!(rig.delivery.deliver(picture(true, 0)));
        assert!(!rig.delivery.lost("unplugged".into()));
    }
}
