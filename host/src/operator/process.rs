//! What the kernel knows of this process, under the names that Prometheus' own libraries use for it.

use std::{fs, time::Instant};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::exposition::Exposition;
use crate::time::Wall;

/// A start that is off by less is left as it was told: it must not seem to change with each correction of the clock.
const TOLERANCE_US: u64 = 1_000_000;

/// When this process started, by both clocks.
#[derive(Debug)]
pub(super) struct Started {
    at: Instant,
    /// Microseconds since 1970 as told last: a Pi boots in 1970 and learns the date later.
    told: std::sync::atomic::AtomicU64,
}

impl Started {
    /// Now.
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            told: Wall::now().0.into(),
        }
    }

    /// How long ago.
    pub(super) fn uptime(&self) -> std::time::Duration {
        self.at.elapsed()
    }

    /// By the wall clock, as far as that is known by now.
    pub(super) fn wall(&self) -> Wall {
        use std::sync::atomic::Ordering::Relaxed;
        let now = Wall::now().before(self.at.elapsed());
        let told = self.told.load(Relaxed);
        if now.0.abs_diff(told) < TOLERANCE_US {
            return Wall(told);
        }
        self.told.store(now.0, Relaxed);
        now
    }

    /// Adds what there is to tell.
    pub(super) fn expose(&self, to: &mut Exposition) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        to.counter(
            "process_cpu_seconds_total",
            "Processor time of this process, user and system.",
            [(vec![], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9)],
        );
        to.gauge(
            "process_start_time_seconds",
            "When this process started, in seconds since 1970.",
            [(vec![], self.wall().0 as f64 / 1e6)],
        );
        let memory = match fs::read_to_string("/proc/self/status") {
            Ok(status) => status,
            Err(error) => {
                tracing::debug!("/proc/self/status can't be read: {error}");
                String::new()
            }
        };
        for (name, help, key) in [
            (
                "process_resident_memory_bytes",
                "Memory of this process that is in RAM.",
                "VmRSS:",
            ),
            (
                "process_virtual_memory_bytes",
                "Address space of this process.",
                "VmSize:",
            ),
        ] {
            to.gauge(
                name,
                help,
                kibibytes(&memory, key).map(|bytes| (vec![], bytes)),
            );
        }
        match fs::read_dir("/proc/self/fd") {
            // The directory that is being read is one of them.
            Ok(open) => to.gauge(
                "process_open_fds",
                "Files, sockets and devices that this process has open.",
                [(vec![], open.count().saturating_sub(1) as f64)],
            ),
            Err(error) => tracing::debug!("/proc/self/fd can't be read: {error}"),
        }
        to.gauge(
            "process_max_fds",
            "How many this process may have open.",
            getrlimit(Resource::Nofile)
                .current
                .map(|most| (vec![], most as f64)),
        );
    }
}

/// The value of a line like `VmRSS:     5432 kB`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tx\nVmSize:\t   20 kB\nVmRSS:\t    5 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(5_120.0));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }

    #[test]
    fn a_start_does_not_move_with_small_corrections_of_the_clock() {
        let started = Started::now();
        let told = started.wall();
        assert_eq!(started.wall(), told);
        let later = Started {
            told: 0.into(),
            ..Started::now()
        };
        assert!(later.wall().0.abs_diff(Wall::now().0) < TOLERANCE_US);
    }
}
