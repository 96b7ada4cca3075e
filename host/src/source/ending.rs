//! When an access unit on a pipe is complete.
//!
//! A byte stream has no mark at the end of an access unit: that it is complete shows only when the next one begins, which
//! costs a frame of delay. Most cameras' programs write each access unit in one go when it is encoded, though, so when
//! the pipe runs dry the access unit is there. Not always: a large key frame comes in several pieces because the pipe is
//! full or the program writes 32 KiB at a time; and a program whose output is buffered holds back the last bytes of
//! each access unit until there are more. Ending one too early breaks a picture, and all that refer to it.
//!
//! So this watches where in the stream each wait for bytes was, and how long it took, until the H.264 reader tells where
//! access units really ended. A wait *inside* one is what mustn't be taken for an end, and an end is only declared when
//! the pipe has been dry for twice the longest of those, in the picture group before and, fading, in those before that.
//! An access unit much larger than all before is not ended early either: nobody has seen how such a one is written. Where the
//! time to wait comes to more than half a frame there is little to gain and much to lose, and nothing is declared. The
//! program that buffers falls under that by itself: its waits inside access units are as long as a frame.
//!
//! A program that is kept from running between two writes has a pause there that it never had before. So nothing is declared
//! where a write may have ended that wasn't the last: standard output of C writes whole blocks and holds back the rest until
//! it is flushed, a full pipe takes whole pages, and standard output of Rust ends at the last line feed. Of access units
//! that really end there, which are few, each costs a frame of delay.
//!
//! If an end was wrong after all (the reader sees bytes that belong before it), that stream is never trusted again.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Never waits less: timers and the scheduler aren't finer on a busy board.
const SHORTEST: Duration = Duration::from_millis(2);

/// A picture group shorter than this shows too little of how a program writes.
const ENOUGH_UNITS: u32 = 8;

/// What libraries and pipes cut into is a multiple of this.
const BLOCK: u64 = 1024;

/// Waits that are remembered until it is known where they were. One more means that the stream is dribbled in.
const MOST_WAITS: usize = 256;

/// Learns how access units are written to a pipe.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Where the access unit at hand began.
    start: u64,
    /// Waits since then: where in the stream, and how long.
    waits: VecDeque<(u64, Duration)>,
    /// The picture group at hand, once an IDR picture began it.
    group: Option<Group>,
    /// The longest wait inside an access unit, over all groups, fading.
    longest: Duration,
    largest: usize,
    /// How long the pipe has to be dry.
    settle: Option<Duration>,
    distrusted: bool,
}

#[derive(Debug)]
struct Group {
    began: Instant,
    units: u32,
    /// The longest wait inside an access unit.
    longest: Duration,
}

impl Ending {
    /// The next bytes of the stream, from `offset` on, took `wait` to come.
    pub(super) fn waited(&mut self, offset: u64, wait: Duration) {
        self.waits.push_back((offset, wait));
        if self.waits.len() > MOST_WAITS
            && let (Some((_, first)), Some((_, second))) =
                (self.waits.pop_front(), self.waits.front_mut())
        {
            // The first may have been between two access units; then this errs on the side of caution.
            *second = first.max(*second);
        }
    }

    /// The reader found an access unit of `len` bytes to end at `end`, whose first bytes came at `arrived`.
    pub(super) fn unit(&mut self, end: u64, idr: bool, len: usize, arrived: Instant) {
        let mut longest = Duration::ZERO;
        while let Some(&(offset, wait)) = self.waits.front()
            && offset < end
        {
            if offset > self.start {
                longest = longest.max(wait);
            }
            self.waits.pop_front();
        }
        self.start = end;
        self.largest = self.largest.max(len);
        if idr && let Some(group) = self.group.take_if(|group| group.units >= ENOUGH_UNITS) {
            self.learn(&group, arrived);
        }
        if idr {
            self.group.get_or_insert(Group {
                began: arrived,
                units: 0,
                longest: Duration::ZERO,
            });
        }
        if let Some(group) = &mut self.group {
            group.units += 1;
            group.longest = group.longest.max(longest);
        }
    }

    fn learn(&mut self, group: &Group, end: Instant) {
        let frame = end.duration_since(group.began) / group.units;
        self.longest = group.longest.max(self.longest * 3 / 4);
        let settle = SHORTEST.max(self.longest * 2);
        let settle = (settle <= frame / 2 && !self.distrusted).then_some(settle);
        if settle.is_some() != self.settle.is_some() {
            match settle {
                Some(settle) => {
                    tracing::debug!("access units are complete after {settle:?} of silence")
                }
                None => tracing::debug!("access units are complete when the next begins"),
            }
        }
        self.settle = settle;
    }

    /// Access units were dropped, the last at most up to `offset`: where they ended isn't known.
    pub(super) fn disturbed(&mut self, offset: u64) {
        self.start = offset;
        self.waits.clear();
        self.group = None;
    }

    /// An access unit was ended too early. True if that had not happened before.
    pub(super) fn wrong(&mut self) -> bool {
        self.settle = None;
        !std::mem::replace(&mut self.distrusted, true)
    }

    /// For how long the pipe has to be dry for an access unit of which `len` bytes are there to be complete; `None` if
    /// that says nothing. The stream's next byte has this `offset`; its last was `last`.
    pub(super) fn settle(&self, len: usize, offset: u64, last: u8) -> Option<Duration> {
        let between_writes = (offset - self.start).is_multiple_of(BLOCK) || last == b'\n';
        let usual = len <= self.largest + self.largest / 4;
        self.settle.filter(|_| usual && !between_writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(40);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When so many bytes of an access unit are there, and a few of what stands before it.
    fn settle(ending: &Ending, len: usize) -> Option<Duration> {
        ending.settle(len, ending.start + len as u64 + 6, 0x80)
    }

    /// Groups of ten pictures of 10,000 bytes, the IDR picture 100,000, in pieces with these waits between them.
    fn watch(ending: &mut Ending, groups: u32, mut inside: impl FnMut(u32, bool) -> Vec<Duration>) {
        let (mut at, mut now) = (ending.start, Instant::now());
        for number in 0..groups * 10 + 1 {
            let idr = number % 10 == 0;
            let len = if idr { 100_000 } else { 10_000 };
            let waits = inside(number, idr);
            ending.waited(at, FRAME);
            for (piece, wait) in waits.iter().enumerate() {
                ending.waited(at + 1 + piece as u64, *wait);
            }
            at += len as u64;
            ending.unit(at, idr, len, now);
            now += FRAME;
        }
    }

    #[test]
    fn a_writer_of_whole_access_units_is_trusted_after_a_group() {
        let mut ending = Ending::default();
        watch(&mut ending, 1, |_, _| vec![]);
        assert_eq!(settle(&ending, 50_000), Some(SHORTEST));
    }

    #[test]
    fn nothing_is_trusted_before_a_whole_group_was_seen() {
        let mut ending = Ending::default();
        watch(&mut ending, 0, |_, _| vec![]);
        for unit in 0..9 {
            ending.unit(200_000 + unit, false, 10_000, Instant::now());
        }
        assert_eq!(settle(&ending, 10_000), None);
    }

    #[test]
    fn pauses_within_key_frames_are_waited_out() {
        let mut ending = Ending::default();
        let pauses = |_, idr| if idr { vec![ms(5); 3] } else { vec![] };
        watch(&mut ending, 2, pauses);
        assert_eq!(settle(&ending, 10_000), Some(ms(10)));
    }

    #[test]
    fn pauses_longer_than_a_quarter_of_a_frame_leave_no_room() {
        let mut ending = Ending::default();
        watch(
            &mut ending,
            2,
            |_, idr| if idr { vec![ms(11)] } else { vec![] },
        );
        assert_eq!(settle(&ending, 10_000), None);
    }

    #[test]
    fn a_writer_that_holds_back_the_last_bytes_is_not_trusted() {
        let mut ending = Ending::default();
        watch(&mut ending, 3, |_, _| vec![FRAME]);
        assert_eq!(settle(&ending, 10_000), None);
    }

    #[test]
    fn a_single_hiccup_fades() {
        let mut ending = Ending::default();
        let hiccup = |number, _| if number == 5 { vec![ms(30)] } else { vec![] };
        watch(&mut ending, 1, hiccup);
        assert_eq!(settle(&ending, 10_000), None);
        watch(&mut ending, 4, |_, _| vec![]);
        assert!(settle(&ending, 10_000).is_some());
    }

    #[test]
    fn an_access_unit_much_larger_than_all_before_is_not_ended_early() {
        let mut ending = Ending::default();
        watch(&mut ending, 1, |_, _| vec![]);
        assert_eq!(settle(&ending, 125_001), None);
    }

    #[test]
    fn where_a_write_may_have_ended_is_no_end() {
        let mut ending = Ending::default();
        watch(&mut ending, 1, |_, _| vec![]);
        let after = |bytes: u64, last| ending.settle(8_000, ending.start + bytes, last);
        assert!(after(8_191, 0x80).is_some() && after(8_193, 0x80).is_some());
        assert_eq!(after(8_192, 0x80), None, "blocks of stdio, pages of a pipe");
        assert_eq!(after(8_191, b'\n'), None, "a line");
    }

    #[test]
    fn one_wrong_end_is_enough() {
        let mut ending = Ending::default();
        watch(&mut ending, 1, |_, _| vec![]);
        assert!(ending.wrong());
        assert!(!ending.wrong());
        watch(&mut ending, 3, |_, _| vec![]);
        assert_eq!(settle(&ending, 10_000), None);
    }

    #[test]
    fn dropped_access_units_prove_nothing() {
        let mut ending = Ending::default();
        watch(&mut ending, 0, |_, _| vec![]);
        ending.waited(150_000, FRAME);
        ending.disturbed(160_000);
        assert_eq!(ending.longest, Duration::ZERO);
        ending.unit(170_000, true, 100, Instant::now());
        assert_eq!(
            ending.group.as_ref().map(|group| group.longest),
            Some(Duration::ZERO)
        );
    }
}
