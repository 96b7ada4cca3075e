//! Plugins as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plugin::{Hook, HookStatus, Metric, Outcome, PluginStatus, Reloads};

#[derive(Debug, Serialize)]
pub(super) struct Plugin {
    name: String,
    version: String,
    summary: String,
    origin: String,
    hooks: Vec<HookFacts>,
    generation: u64,
    on_probation: bool,
    from_cache: bool,
    calls: u64,
    failures: u64,
    traps: u64,
    restarts: u64,
    benched_instances: usize,
    answer_cache_hits: u64,
    memory_bytes: usize,
    last_error: Option<String>,
    reloads: ReloadFacts,
    metrics: BTreeMap<String, f64>,
}

/// Times are seconds, and bounds that so large a share of the calls kept to.
#[derive(Debug, Serialize)]
struct HookFacts {
    name: &'static str,
    calls: u64,
    failures: u64,
    traps: u64,
    mean_seconds: Option<f64>,
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ReloadFacts {
    published: u64,
    refused: u64,
    rolled_back: u64,
    last: Option<LastReload>,
}

#[derive(Debug, Serialize)]
struct LastReload {
    at: String,
    outcome: &'static str,
    /// The one that was published, or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl From<PluginStatus> for Plugin {
    fn from(status: PluginStatus) -> Self {
        Self {
            origin: status.origin.to_string(),
            name: status.name,
            version: status.version,
            summary: status.summary,
            hooks: status.hooks.iter().map(HookFacts::of).collect(),
            generation: status.generation,
            on_probation: status.on_probation,
            from_cache: status.from_cache,
            calls: status.calls,
            failures: status.failures,
            traps: status.traps,
            restarts: status.restarts,
            benched_instances: status.benched,
            answer_cache_hits: status.cache_hits,
            memory_bytes: status.memory,
            last_error: status.last_error,
            reloads: status.reloads.into(),
            metrics: status
                .metrics
                .into_iter()
                .map(|(name, metric)| (name, value(metric)))
                .collect(),
        }
    }
}

impl HookFacts {
    fn of(status: &HookStatus) -> Self {
        let times = &status.times;
        Self {
            name: Hook::name(status.hook),
            calls: times.count,
            failures: status.failures,
            traps: status.traps,
            mean_seconds: (times.count > 0).then(|| times.seconds / times.count as f64),
            p50_seconds: times.bound(0.5),
            p99_seconds: times.bound(0.99),
        }
    }
}

impl From<Reloads> for ReloadFacts {
    fn from(reloads: Reloads) -> Self {
        Self {
            published: reloads.succeeded,
            refused: reloads.refused,
            rolled_back: reloads.rolled_back,
            last: reloads.last.map(|last| {
                let (outcome, generation, cause) = match last.outcome {
                    Outcome::Published { generation } => ("published", Some(generation), None),
                    Outcome::Refused { cause } => ("refused", None, Some(cause)),
                    Outcome::RolledBack {
                        generation, cause, ..
                    } => ("rolled_back", Some(generation), Some(cause)),
                };
                LastReload {
                    at: last.at.date_time(),
                    outcome,
                    generation,
                    cause,
                }
            }),
        }
    }
}

/// Of a figure that a plugin reports.
pub(super) fn value(metric: Metric) -> f64 {
    match metric {
        Metric::Counter(value) | Metric::Gauge(value) => value,
    }
}
