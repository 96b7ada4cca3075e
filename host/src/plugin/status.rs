use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Hook, Metric, PluginOrigin};
use crate::{figures::Distribution, time::Wall};

/// How a plugin is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// Its short name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// What it decides, and how that goes.
    pub hooks: Vec<HookStatus>,
    /// Where it came from.
    pub origin: PluginOrigin,
    /// Which one of its generations runs, counted from 1. Numbers are not given twice: after a rollback the lower one is
    /// back, and the next reload gets a higher one than that which failed.
    pub generation: u64,
    /// The generation is new, and would be rolled back if it failed; the last one is kept for that.
    pub on_probation: bool,
    /// Its code didn't have to be compiled.
    pub from_cache: bool,
    /// Calls since the start, of all generations.
    pub calls: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// Failures that cost the instance its life: traps, loops, too much memory.
    pub traps: u64,
    /// Instances started to replace one that died.
    pub restarts: u64,
    /// Instances that are benched: they died more often in a row than they may, and have not run since.
    pub benched: usize,
    /// Questions of who may watch that an answer from before covered, so that there was no call.
    pub cache_hits: u64,
    /// The last failure, in one line.
    pub last_error: Option<String>,
    /// Bytes of memory that its instances hold, those of a generation that is kept to go back to included.
    pub memory: usize,
    /// Figures that the plugin reports itself.
    pub metrics: BTreeMap<String, Metric>,
    /// How its reloads went.
    pub reloads: Reloads,
}

/// How a hook of a plugin is doing, over all generations.
#[derive(Clone, Debug, PartialEq)]
pub struct HookStatus {
    /// Which.
    pub hook: Hook,
    /// How often it was called, and how long that took.
    pub times: Distribution,
    /// Calls without a usable answer.
    pub failures: u64,
    /// Those among them that cost the instance its life.
    pub traps: u64,
}

/// How the reloads of a plugin went, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Those that published a new generation, also if it was rolled back later.
    pub succeeded: u64,
    /// Those that were refused: the running generation went on.
    pub refused: u64,
    /// New generations that failed early, so that the one before was put back.
    pub rolled_back: u64,
    /// The last one.
    pub last: Option<LastReload>,
}

/// The last reload of a plugin, or its rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReload {
    /// When it ended.
    pub at: Wall,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This generation was published.
    Published {
        /// Its number.
        generation: u64,
    },
    /// Nothing was published.
    Refused {
        /// Why, in one line, with the whole cause chain.
        cause: String,
    },
    /// It was published, failed early, and was taken back.
    RolledBack {
        /// Number of the generation that failed.
        generation: u64,
        /// Number of the one that runs again.
        to: u64,
        /// How it failed, in one line.
        cause: String,
    },
}

/// Where reloads are taken down.
#[derive(Debug, Default)]
pub(super) struct ReloadLog(Mutex<Reloads>);

impl ReloadLog {
    pub(super) fn record(&self, outcome: Outcome) {
        let mut reloads = self.lock();
        match outcome {
            Outcome::Published { .. } => reloads.succeeded += 1,
            Outcome::Refused { .. } => reloads.refused += 1,
            Outcome::RolledBack { .. } => reloads.rolled_back += 1,
        }
        reloads.last = Some(LastReload {
            at: Wall::now(),
            outcome,
        });
    }

    pub(super) fn read(&self) -> Reloads {
        self.lock().clone()
    }

    /// Nothing under this lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, Reloads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
