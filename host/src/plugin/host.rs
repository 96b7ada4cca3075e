use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Grants, Limits,
    bindings::picam::plugin::{clock, kv, log, metrics, random, types},
    budget::Budget,
    failure::{Ungranted, flat},
    limits::Meter,
};
use crate::{line_gate::LineGate, time::Wall};

/// Longest answer of `random.bytes`.
const RANDOM_MOST: u32 = 4_096;
/// Lines that a plugin may log at once, and a second.
const LINES_A_SECOND: u32 = 10;
/// Metrics of its own that a plugin may have, and bytes of a metric's name.
const METRICS_MOST: usize = 100;
const METRIC_NAME_MOST: usize = 100;

/// What the instances of one generation share, and what outlives each of them.
#[derive(Debug, Default)]
pub(super) struct Shared {
    kv: Mutex<Store>,
    /// Of all generations: figures go on.
    metrics: Arc<Mutex<BTreeMap<String, Metric>>>,
}

impl Shared {
    /// A copy to try things on.
    pub(super) fn fork(&self) -> Self {
        Self {
            kv: Mutex::new(locked(&self.kv).clone()),
            metrics: Arc::default(),
        }
    }

    /// For the generation that follows. It goes on with what is stored, in a store of its own: should it be rolled back,
    /// what it wrote goes with it, and this one is as it was.
    pub(super) fn handed_on(&self) -> Self {
        Self {
            kv: Mutex::new(locked(&self.kv).clone()),
            metrics: self.metrics.clone(),
        }
    }

    /// The plugin's own figures, by name.
    pub(super) fn metrics(&self) -> BTreeMap<String, Metric> {
        locked(&self.metrics).clone()
    }
}

/// A figure that a plugin reports of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// Only ever grows.
    Counter(f64),
    /// Goes up and down.
    Gauge(f64),
}

/// No code that can panic runs under these locks but our own few lines, and what they guard is whole between statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The small store of `kv`.
#[derive(Clone, Debug, Default)]
struct Store {
    values: BTreeMap<String, Vec<u8>>,
    /// Bytes of all keys and values.
    size: usize,
}

impl Store {
    const SIZE_MOST: usize = 64 << 10;
    const KEY_MOST: usize = 256;

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        if key.len() > Self::KEY_MOST {
            return Err(format!(
                "the key has {} bytes; at most {} are allowed",
                key.len(),
                Self::KEY_MOST
            ));
        }
        let freed = self.values.get(&key).map_or(0, |old| key.len() + old.len());
        let size = self.size - freed + key.len() + value.len();
        if size > Self::SIZE_MOST {
            return Err(format!(
                "keys and values would take {size} bytes; at most {} are allowed",
                Self::SIZE_MOST
            ));
        }
        self.values.insert(key, value);
        self.size = size;
        Ok(())
    }

    /// Sets or deletes if the value is the expected one. Whether it was.
    fn replace(
        &mut self,
        key: String,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
    ) -> Result<bool, String> {
        if self.values.get(&key).map(Vec::as_slice) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => self.set(key, value)?,
            None => self.delete(&key),
        }
        Ok(true)
    }

    fn delete(&mut self, key: &str) {
        if let Some(old) = self.values.remove(key) {
            self.size -= key.len() + old.len();
        }
    }
}

/// What belongs to one instance: the data of its Wasmtime store.
pub(super) struct HostState {
    plugin: Arc<str>,
    grants: Grants,
    /// Grants count from `init` on.
    pub(super) granting: bool,
    shared: Arc<Shared>,
    lines: LineGate,
    /// The last error that the plugin logged during this call: where the SDK puts the message of a panic.
    pub(super) last_words: Option<String>,
    pub(super) meter: Meter,
    pub(super) budget: Budget,
}

impl HostState {
    pub(super) fn new(
        plugin: Arc<str>,
        grants: Grants,
        limits: Limits,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            plugin,
            grants,
            granting: false,
            shared,
            lines: line_gate(),
            last_words: None,
            meter: Meter::new(limits),
            budget: Budget::new(limits.start, "start-time"),
        }
    }

    /// From `describe` on the plugin is called what it calls itself.
    pub(super) fn rename(&mut self, plugin: Arc<str>) {
        self.plugin = plugin;
    }

    fn demand(&self, grant: &'static str) -> Result<(), Ungranted> {
        if !self.grants.has(grant) {
            Err(Ungranted::Missing(grant))
        } else if !self.granting {
            Err(Ungranted::Early(grant))
        } else {
            Ok(())
        }
    }

    fn metric(&mut self, name: String, change: impl FnOnce(Option<Metric>) -> Option<Metric>) {
        let mut metrics = locked(&self.shared.metrics);
        let old = metrics.get(&name).copied();
        let refused = if name.is_empty() || name.len() > METRIC_NAME_MOST {
            Some(format!("its name must have 1 to {METRIC_NAME_MOST} bytes"))
        } else if old.is_none() && metrics.len() >= METRICS_MOST {
            Some(format!("a plugin has at most {METRICS_MOST}"))
        } else if let Some(new) = change(old) {
            metrics.insert(name.clone(), new);
            None
        } else {
            Some(
                "a counter takes finite amounts of 0 and more, a gauge finite values, and neither becomes the other"
                    .to_owned(),
            )
        };
        drop(metrics);
        if let Some(why) = refused {
            let line = format!("metric `{}` is not recorded: {why}", flat(&name));
            self.say(log::Level::Warn, &line);
        }
    }

    fn say(&mut self, level: log::Level, message: &str) {
        let Some(suppressed) = self.lines.pass(Instant::now()) else {
            return;
        };
        let plugin = &*self.plugin;
        if suppressed > 0 {
            tracing::warn!(
                plugin,
                "{suppressed} lines are left out: a plugin may log {LINES_A_SECOND} a second"
            );
        }
        match level {
            log::Level::Error => tracing::error!(plugin, "{message}"),
            log::Level::Warn => tracing::warn!(plugin, "{message}"),
            log::Level::Info => tracing::info!(plugin, "{message}"),
            log::Level::Debug => tracing::debug!(plugin, "{message}"),
        }
    }
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let message = flat(&message);
        self.say(level, &message);
        if level == log::Level::Error {
            self.last_words = Some(message);
        }
        Ok(())
    }
}

impl clock::Host for HostState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.demand("clock")?;
        Ok(Wall::now().0)
    }
}

impl random::Host for HostState {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.demand("random")?;
        if length > RANDOM_MOST {
            wasmtime::bail!(
                "it asked for {length} random bytes; at most {RANDOM_MOST} can be had in one call"
            );
        }
        let mut bytes = vec![0; length as usize];
        getrandom::fill(&mut bytes)
            .map_err(|error| wasmtime::format_err!("the system has no random bytes: {error}"))?;
        Ok(bytes)
    }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.demand("kv")?;
        Ok(locked(&self.shared.kv).values.get(&key).cloned())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        self.demand("kv")?;
        Ok(locked(&self.shared.kv).set(key, value))
    }

    fn replace(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, String>> {
        self.demand("kv")?;
        Ok(locked(&self.shared.kv).replace(key, expected.as_deref(), value))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.demand("kv")?;
        locked(&self.shared.kv).delete(&key);
        Ok(())
    }

    fn keys(&mut self) -> wasmtime::Result<Vec<String>> {
        self.demand("kv")?;
        Ok(locked(&self.shared.kv).values.keys().cloned().collect())
    }
}

impl metrics::Host for HostState {
    fn add(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.demand("metrics")?;
        self.metric(name, |old| {
            let base = match old {
                None => 0.0,
                Some(Metric::Counter(sum)) => sum,
                Some(Metric::Gauge(_)) => return None,
            };
            (value.is_finite() && value >= 0.0).then_some(Metric::Counter(base + value))
        });
        Ok(())
    }

    fn set(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.demand("metrics")?;
        self.metric(name, |old| {
            let free = !matches!(old, Some(Metric::Counter(_)));
            (free && value.is_finite()).then_some(Metric::Gauge(value))
        });
        Ok(())
    }
}

/// For what a plugin says, or is to be said of it.
pub(crate) fn line_gate() -> LineGate {
    LineGate::new(LINES_A_SECOND, Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_names_the_limit_that_it_keeps() {
        let mut store = Store::default();
        store.set("a".into(), vec![0; 60 << 10]).unwrap();
        let error = store.set("b".into(), vec![0; 10 << 10]).unwrap_err();
        assert!(error.contains("65536"), "{error}");
        store.set("a".into(), vec![0; 10]).unwrap();
        store.set("b".into(), vec![0; 10 << 10]).unwrap();
        store.delete("b");
        store.delete("b");
        assert_eq!(store.size, 11);
        assert!(
            store
                .set("k".repeat(257), vec![])
                .unwrap_err()
                .contains("256")
        );
    }

    #[test]
    fn of_two_who_replace_what_they_saw_the_second_is_told_that_it_changed() {
        let mut store = Store::default();
        let key = || "key".to_owned();
        assert_eq!(store.replace(key(), None, Some(vec![1])), Ok(true));
        assert_eq!(store.replace(key(), None, Some(vec![2])), Ok(false));
        assert_eq!(store.values["key"], [1]);
        assert_eq!(store.replace(key(), Some(&[1]), Some(vec![2, 3])), Ok(true));
        assert_eq!(store.replace(key(), Some(&[1]), None), Ok(false));
        assert_eq!(store.replace(key(), Some(&[2, 3]), None), Ok(true));
        assert_eq!(store.size, 0);
        let error = store
            .replace("k".repeat(257), None, Some(vec![]))
            .unwrap_err();
        assert!(error.contains("256"), "{error}");
    }

    #[test]
    fn a_fork_sees_what_was_stored_and_changes_nothing() {
        let shared = Shared::default();
        locked(&shared.kv).set("a".into(), vec![1]).unwrap();
        let fork = shared.fork();
        assert_eq!(locked(&fork.kv).values["a"], [1]);
        locked(&fork.kv).delete("a");
        assert_eq!(locked(&shared.kv).values["a"], [1]);
    }
}
