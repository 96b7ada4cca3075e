use crate::time::{MediaTime, Monotonic, PresentationClock, Wall};

/// The clock of one run: presentation time is monotonic time since the run began, and the wall clock labels it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    presentation: PresentationClock,
    /// A moment that both clocks were read at.
    label: (Monotonic, Wall),
}

/// A label that is off by less is left alone, so that a clock that is disciplined all the time doesn't shake dates.
const TOLERANCE_US: u64 = 10_000;

impl Clock {
    /// A clock that starts with the call.
    pub fn start() -> Self {
        let now = Monotonic::now();
        Self::at(now, Wall::now())
    }

    fn at(epoch: Monotonic, wall: Wall) -> Self {
        Self {
            presentation: PresentationClock::new(epoch, wall),
            label: (epoch, wall),
        }
    }

    /// The clock without its label.
    pub fn presentation(&self) -> PresentationClock {
        self.presentation
    }

    /// Where a moment stands on the presentation clock; what came before the run counts as its start.
    pub fn media(&self, moment: Monotonic) -> MediaTime {
        self.presentation.media(moment)
    }

    /// What the wall clock said at a moment, as far as is known.
    pub fn wall(&self, moment: Monotonic) -> Wall {
        let (at, wall) = self.label;
        match moment >= at {
            true => wall.after(moment.since(at)),
            false => wall.before(at.since(moment)),
        }
    }

    /// Reads the wall clock anew. Called where a segment begins, the only place where the label may change: a Pi boots
    /// in 1970 and learns the date later.
    pub fn relabel(&mut self) {
        self.relabel_at(Monotonic::now(), Wall::now());
    }

    fn relabel_at(&mut self, now: Monotonic, wall: Wall) {
        let labelled = self.wall(now);
        let off = labelled.0.abs_diff(wall.0);
        if off <= TOLERANCE_US {
            return;
        }
        if off >= 1_000_000 {
            tracing::info!(
                "the wall clock was set {} s {}: dates follow, the stream goes on",
                off / 1_000_000,
                if wall > labelled { "forward" } else { "back" }
            );
        }
        self.label = (now, wall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_moves_labels_and_nothing_else() {
        let mut clock = Clock::at(Monotonic(1_000), Wall(5_000_000));
        assert_eq!(clock.wall(Monotonic(3_000)), Wall(5_002_000));
        let before = clock.media(Monotonic(10_000));
        clock.relabel_at(Monotonic(3_000), Wall(1_700_000_000_000_000));
        assert_eq!(clock.media(Monotonic(10_000)), before);
        let presentation = clock.presentation();
        assert_eq!(presentation.epoch(), Wall(5_000_000));
        assert_eq!(presentation.wall(Monotonic(10_000)), Wall(5_009_000));
        assert_eq!(clock.wall(Monotonic(3_500)), Wall(1_700_000_000_000_500));
        assert_eq!(clock.wall(Monotonic(2_000)), Wall(1_699_999_999_999_000));
    }

    #[test]
    fn a_clock_that_is_disciplined_does_not_shake_dates() {
        let mut clock = Clock::at(Monotonic(0), Wall(0));
        clock.relabel_at(Monotonic(1_000_000), Wall(1_004_000));
        assert_eq!(clock.wall(Monotonic(1_000_000)), Wall(1_000_000));
    }
}
