use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Jobs that may wait, of all peers together. At 100 ms for a password hash and four processors, the last one waits three
/// seconds.
const MOST: usize = 128;

/// Whom a job is for, as far as taking turns goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    /// A network of IPv6 (/64) is one peer: whoever has one address of it has all of them.
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        })
    }
}

/// Jobs that wait. Each peer has a line of its own, and the lines take turns, so that one who guesses passwords waits
/// behind himself.
pub(super) struct Queue<J> {
    lines: Mutex<Lines<J>>,
    /// A job has come, or the queue was closed.
    changed: Condvar,
}

struct Lines<J> {
    /// Next one first. None is empty.
    lines: VecDeque<(Peer, VecDeque<J>)>,
    waiting: usize,
    closed: bool,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Self {
        Self {
            lines: Mutex::new(Lines {
                lines: VecDeque::new(),
                waiting: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Adds a job at the end of its peer's line. When there are too many in all, the last job of the longest line makes
    /// room: that one is returned, or this one if its line is as long.
    pub(super) fn push(&self, peer: Peer, job: J) -> Option<J> {
        let mut lines = self.lock();
        let displaced = match lines.waiting < MOST {
            true => None,
            false => match lines.shorten_longest(peer) {
                Some(displaced) => Some(displaced),
                None => return Some(job),
            },
        };
        lines.waiting += 1;
        match lines.lines.iter_mut().find(|(owner, _)| *owner == peer) {
            Some((_, line)) => line.push_back(job),
            None => lines.lines.push_back((peer, VecDeque::from([job]))),
        }
        drop(lines);
        self.changed.notify_one();
        displaced
    }

    /// The next job; waits for one. `None` once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<J> {
        let mut lines = self.lock();
        loop {
            if let Some(job) = lines.next() {
                return Some(job);
            }
            if lines.closed {
                return None;
            }
            lines = self
                .changed
                .wait(lines)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No job will come any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nothing under this lock panics, and all of it is whole between statements.
    fn lock(&self) -> MutexGuard<'_, Lines<J>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> Lines<J> {
    fn next(&mut self) -> Option<J> {
        let (peer, mut line) = self.lines.pop_front()?;
        let job = line.pop_front().expect("no line is empty");
        self.waiting -= 1;
        if !line.is_empty() {
            self.lines.push_back((peer, line));
        }
        Some(job)
    }

    /// Takes the last job of the longest line, if that is longer than the line of `peer`.
    fn shorten_longest(&mut self, peer: Peer) -> Option<J> {
        let own = self
            .lines
            .iter()
            .find(|(owner, _)| *owner == peer)
            .map_or(0, |(_, line)| line.len());
        let longest = self
            .lines
            .iter_mut()
            .map(|(_, line)| line)
            .max_by_key(|line| line.len())
            // One longer than its own would only change places with it.
            .filter(|line| line.len() > own + 1)?;
        self.waiting -= 1;
        longest.pop_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn peers_take_turns_however_much_each_asks() {
        let queue = Queue::new();
        for n in 0..5 {
            assert_eq!(queue.push(peer(1), ("guesser", n)), None);
        }
        queue.push(peer(2), ("a", 0));
        queue.push(peer(3), ("b", 0));
        queue.push(peer(2), ("a", 1));
        let order: Vec<_> = (0..8).map(|_| queue.pop().unwrap()).collect();
        assert_eq!(
            order[..5],
            [("guesser", 0), ("a", 0), ("b", 0), ("guesser", 1), ("a", 1)]
        );
    }

    #[test]
    fn a_full_queue_sheds_the_last_of_who_has_most() {
        let queue = Queue::new();
        for n in 0..MOST {
            assert_eq!(queue.push(peer(1), n), None);
        }
        assert_eq!(queue.push(peer(1), 1_000), Some(1_000));
        assert_eq!(queue.push(peer(2), 2_000), Some(MOST - 1));
        assert_eq!(queue.push(peer(3), 3_000), Some(MOST - 2));
        let order: Vec<_> = (0..3).map(|_| queue.pop().unwrap()).collect();
        assert_eq!(order, [0, 2_000, 3_000]);
    }

    #[test]
    fn a_full_queue_is_shared_in_the_end_by_all_who_ask() {
        let queue = Queue::new();
        let jobs = u8::try_from(MOST).unwrap();
        for n in 0..jobs {
            queue.push(peer(1), n);
        }
        for n in 0..jobs {
            queue.push(peer(2), n);
        }
        let lines = queue.lock();
        let lengths: Vec<_> = lines.lines.iter().map(|(_, line)| line.len()).collect();
        assert_eq!(lengths, [MOST / 2, MOST / 2]);
        assert_eq!(lines.waiting, MOST);
    }

    #[test]
    fn what_waits_when_it_is_closed_is_still_done() {
        let queue = Queue::new();
        queue.push(peer(1), 1);
        queue.close();
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8:0:1::1"), peer("2001:db8:0:1:ffff::2"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }
}
