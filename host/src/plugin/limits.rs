use std::time::Duration;

use super::failure::Exceeded;

const MIB: usize = 1 << 20;

/// What one instance of a plugin may use. The defaults are what a Raspberry Pi bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, all memories together. A plugin in Rust or C needs about one MiB, one in Python 25.
    pub memory: usize,
    /// Processor time of one call of a hook.
    pub call: Duration,
    /// Processor time of each step of starting up: instantiating, `describe`, `init`, a trial call.
    pub start: Duration,
    /// Bytes that a plugin may return from one call.
    pub output: usize,
    /// Core module instances; a plugin in Python has some forty.
    pub instances: usize,
    /// Tables.
    pub tables: usize,
    /// Entries of all tables together.
    pub table_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 32 * MIB,
            // A render takes well below a millisecond in Rust on a desktop; JavaScript on a Pi takes some thirty.
            call: Duration::from_millis(200),
            start: Duration::from_secs(2),
            output: MIB,
            instances: 128,
            tables: 64,
            table_entries: 100_000,
        }
    }
}

/// Counts what an instance holds, and refuses more than its limits with an error that names the limit.
///
/// An error, not `Ok(false)`: that would let `memory.grow` return -1, and the plugin would abort somewhere later for a
/// reason that nobody can see.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    memory: usize,
    table_entries: usize,
    /// What the growth that is under way added, to be taken back if the system can't give it.
    growing: usize,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory: 0,
            table_entries: 0,
            growing: 0,
        }
    }

    /// Bytes of linear memory in use.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

impl wasmtime::ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The bound is the plugin's own: it learns of it as the specification says.
            self.growing = 0;
            return Ok(false);
        }
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.limits.memory {
            return Err(Exceeded::Memory {
                wanted: total,
                limit: self.limits.memory,
            }
            .into());
        }
        self.growing = total - self.memory;
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory -= std::mem::take(&mut self.growing);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self
            .table_entries
            .saturating_add(desired.saturating_sub(current));
        if total > self.limits.table_entries {
            return Err(Exceeded::TableEntries {
                limit: self.limits.table_entries,
            }
            .into());
        }
        self.table_entries = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::ResourceLimiter as _;

    use super::*;

    #[test]
    fn memory_is_bounded_over_all_memories_and_what_could_not_be_had_is_given_back() {
        let mut meter = Meter::new(Limits {
            memory: 3 * MIB,
            ..Limits::default()
        });
        assert!(meter.memory_growing(0, MIB, None).unwrap());
        assert!(meter.memory_growing(0, MIB, None).unwrap());
        assert!(!meter.memory_growing(MIB, 2 * MIB, Some(MIB)).unwrap());
        assert_eq!(meter.memory(), 2 * MIB);
        assert!(meter.memory_growing(MIB, 2 * MIB, None).unwrap());
        meter
            .memory_grow_failed(wasmtime::Error::msg("no memory left"))
            .unwrap();
        assert_eq!(meter.memory(), 2 * MIB);
        let error = meter.memory_growing(MIB, 4 * MIB, None).unwrap_err();
        assert!(error.to_string().contains("limit is 3.0 MiB"), "{error}");
    }
}
