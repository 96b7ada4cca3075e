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
    kept::Desk,
    limits::Meter,
    store::Store,
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
    pub(super) kv: Arc<Mutex<Store>>,
    /// Where to tell of changes, if what is stored is kept in a file.
    desk: Option<Arc<Desk>>,
    /// Of all generations: figures go on.
    metrics: Arc<Mutex<BTreeMap<String, Metric>>>,
}

impl Shared {
    /// With what was stored before, and is kept.
    pub(super) fn kept(kv: Arc<Mutex<Store>>, desk: Arc<Desk>) -> Self {
        Self {
            kv,
            desk: Some(desk),
            metrics: Arc::default(),
        }
    }

    /// A copy to try things on.
    pub(super) fn fork(&self) -> Self {
        Self {
            kv: self.copied(),
            ..Self::default()
        }
    }

    /// For the generation that follows. It goes on with what is stored, in a store of its own: should it be rolled back,
    /// what it wrote goes with it, and this one is as it was.
    pub(super) fn handed_on(&self) -> Self {
        Self {
            kv: self.copied(),
            desk: self.desk.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn copied(&self) -> Arc<Mutex<Store>> {
        Arc::new(Mutex::new(locked(&self.kv).clone()))
    }

    /// Changes what is stored.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = locked(&self.kv);
        let before = store.version;
        let result = change(&mut store);
        let changed = store.version != before;
        drop(store);
        if changed && let Some(desk) = &self.desk {
            desk.ring();
        }
        result
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
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(self.shared.change(|store| store.set(key, value)))
    }

    fn replace(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> wasmtime::Result<Result<bool, String>> {
        self.demand("kv")?;
        Ok(self
            .shared
            .change(|store| store.replace(key, expected.as_deref(), value)))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.demand("kv")?;
        self.shared.change(|store| store.delete(&key));
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
    fn a_fork_sees_what_was_stored_and_changes_nothing() {
        let shared = Shared::default();
        locked(&shared.kv).set("a".into(), vec![1]).unwrap();
        let fork = shared.fork();
        assert_eq!(locked(&fork.kv).values["a"], [1]);
        locked(&fork.kv).delete("a");
        assert_eq!(locked(&shared.kv).values["a"], [1]);
    }
}
