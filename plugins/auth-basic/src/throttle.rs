//! Slows down those who guess. It remembers in `kv`, so all instances count together, and a reload forgets nothing.

use std::net::IpAddr;

use picam_plugin::kv;

const PREFIX: &str = "failed/";
/// Failures that cost nothing yet: people mistype.
const FREE: u32 = 3;
/// The longest wait, and how long after the last failure it is forgotten, in seconds.
const LONGEST_WAIT: u64 = 300;
const FORGOTTEN: u64 = 900;

/// What is known of a peer.
#[derive(Clone, Copy)]
struct Record {
    failures: u32,
    /// Seconds since 1970.
    last: u64,
}

impl Record {
    fn read(bytes: &[u8], now: u64) -> Option<Self> {
        let (failures, last) = bytes.split_at_checked(4)?;
        let record = Self {
            failures: u32::from_le_bytes(failures.try_into().ok()?),
            last: u64::from_le_bytes(last.try_into().ok()?),
        };
        // Neither long ago, nor in a future that the clock has been set back from.
        (now.abs_diff(record.last) < FORGOTTEN).then_some(record)
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::from(self.failures.to_le_bytes());
        bytes.extend(self.last.to_le_bytes());
        bytes
    }

    fn wait(self, now: u64) -> u64 {
        if self.failures < FREE {
            return 0;
        }
        let wait = 1u64
            .checked_shl(self.failures - FREE)
            .unwrap_or(LONGEST_WAIT)
            .min(LONGEST_WAIT);
        (self.last + wait).saturating_sub(now)
    }
}

/// For how many seconds the peer has to wait before another attempt.
pub fn wait(peer: &str, now: u64) -> u64 {
    kv::get(&key(peer))
        .and_then(|bytes| Record::read(&bytes, now))
        .map_or(0, |record| record.wait(now))
}

/// The peer has failed.
pub fn failed(peer: &str, now: u64) {
    let key = key(peer);
    // Others may count at the same time. Each round one of them gets through.
    loop {
        let old = kv::get(&key);
        let known = old.as_deref().and_then(|bytes| Record::read(bytes, now));
        let new = Record {
            failures: known.map_or(0, |record| record.failures).saturating_add(1),
            last: now,
        };
        match kv::replace(&key, old.as_deref(), Some(&new.bytes())) {
            Ok(true) => return,
            Ok(false) => {}
            // The store is full. What it holds of long ago goes first, then everything: an attack from so many addresses
            // isn't slowed down by address.
            Err(_) => {
                if tidy(|record| record.is_none(), now) == 0 && tidy(|_| true, now) == 0 {
                    return;
                }
            }
        }
    }
}

/// The peer knows a password.
pub fn succeeded(peer: &str) {
    kv::delete(&key(peer));
}

/// Deletes what is to go. How many that were.
fn tidy(goes: impl Fn(Option<Record>) -> bool, now: u64) -> usize {
    let mut count = 0;
    for key in kv::keys() {
        if key.starts_with(PREFIX)
            && goes(kv::get(&key).and_then(|bytes| Record::read(&bytes, now)))
        {
            kv::delete(&key);
            count += 1;
        }
    }
    count
}

/// One key for all addresses that one attacker has: of IPv6, the 64 bits that a network is given.
fn key(peer: &str) -> String {
    let mut key = String::from(PREFIX);
    match peer.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
            for segment in &address.segments()[..4] {
                picam_plugin::text::push_whole(&mut key, u64::from(*segment));
                key.push(':');
            }
        }
        _ => key.push_str(peer),
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_564_800;

    #[test]
    fn each_failure_after_the_third_doubles_the_wait_up_to_five_minutes() {
        let waits: Vec<_> = (0..14)
            .map(|_| {
                failed("192.0.2.1", NOW);
                wait("192.0.2.1", NOW)
            })
            .collect();
        assert_eq!(
            waits,
            [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        );
        assert_eq!(wait("192.0.2.1", NOW + 299), 1);
        assert_eq!(wait("192.0.2.1", NOW + 300), 0);
        assert_eq!(wait("192.0.2.2", NOW), 0, "others don't wait");
        succeeded("192.0.2.1");
        assert_eq!(wait("192.0.2.1", NOW), 0);
    }

    #[test]
    fn so_many_failures_that_no_number_holds_them_still_wait() {
        kv::set(
            &key("192.0.2.9"),
            &Record {
                failures: u32::MAX,
                last: NOW,
            }
            .bytes(),
        )
        .unwrap();
        failed("192.0.2.9", NOW);
        assert_eq!(wait("192.0.2.9", NOW), 300);
    }

    #[test]
    fn failures_are_forgotten_and_a_clock_set_back_locks_nobody_out() {
        for _ in 0..20 {
            failed("198.51.100.7", NOW);
        }
        assert_eq!(wait("198.51.100.7", NOW + 900), 0);
        assert_eq!(wait("198.51.100.7", NOW - 86_400), 0);
        failed("198.51.100.7", NOW + 900);
        assert_eq!(wait("198.51.100.7", NOW + 900), 0, "counted from the start");
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        for last in 0..5 {
            failed(&format!("2001:db8:1:2::{last}"), NOW);
        }
        assert_eq!(wait("2001:db8:1:2:ffff::1", NOW), 4);
        assert_eq!(wait("2001:db8:1:3::1", NOW), 0);
    }

    #[test]
    fn a_full_store_makes_room_and_leaves_other_keys_alone() {
        kv::set("session-key", &[7; 32]).unwrap();
        for peer in 0..5_000_u32 {
            failed(
                &format!("10.0.{}.{}", peer / 256, peer % 256),
                NOW + u64::from(peer) / 10,
            );
        }
        assert_eq!(kv::get("session-key"), Some(vec![7; 32]));
        for _ in 0..3 {
            failed("203.0.113.1", NOW + 501);
        }
        assert_eq!(wait("203.0.113.1", NOW + 501), 1);
    }
}
