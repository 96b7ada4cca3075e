use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    Hook, Outcome, Plugins,
    cache::Origin,
    failure::flat,
    generation::Generation,
    instance::Instance,
    suggest::{list, suggest},
    worker::Worker,
};

/// Bytes that a generation may leave to the next one.
const STATE_MOST: usize = 1 << 20;

/// A plugin was reloaded: what serves now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Number of the generation that serves now.
    pub generation: u64,
    /// Its code didn't have to be compiled.
    pub from_cache: bool,
    /// From the call to the moment when it served.
    pub took: Duration,
}

/// Why a plugin was not reloaded. What served before goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// There is no such plugin.
    #[error("no plugin `{name}` is loaded{}; loaded are {known}", did_you_mean(.meant.as_deref()))]
    Unknown {
        /// As asked for.
        name: String,
        /// The plugin that is nearest by name.
        meant: Option<String>,
        /// All that are loaded, in words.
        known: String,
    },
    /// The new generation can't be used.
    #[error("{cause}")]
    Refused {
        /// The plugin.
        plugin: String,
        /// Why, in one line, with the whole cause chain.
        cause: String,
    },
}

impl ReloadError {
    /// None of the plugins that are known has this name.
    pub fn unknown<'a, K: Iterator<Item = &'a str>>(name: &str, known: impl Fn() -> K) -> Self {
        Self::Unknown {
            name: name.to_owned(),
            meant: suggest(name, known()).map(str::to_owned),
            known: list(known()),
        }
    }
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

impl Plugins {
    /// Loads a plugin anew from where it was found, while the running generation serves: checks it, compiles it or takes
    /// it from the cache, starts it, tries it on made-up windows, and then lets it take over at once. The generation
    /// before is kept until the new one has proved itself.
    ///
    /// # Errors
    /// There is no such plugin, or what is there now can't be used. Nothing has changed then.
    pub async fn reload(&self, name: &str) -> Result<Reloaded, ReloadError> {
        match self.slots.iter().position(|slot| &*slot.name == name) {
            Some(index) => self.reload_at(index).await,
            None => {
                let known = || self.slots.iter().map(|slot| &*slot.name);
                Err(ReloadError::unknown(name, known))
            }
        }
    }

    /// Reloads every plugin, one after the other. Each succeeds or fails for itself, and the log says how.
    pub async fn reload_all(&self) {
        for index in 0..self.slots.len() {
            // The log has it, and so has the status.
            let _ = self.reload_at(index).await;
        }
    }

    async fn reload_at(&self, index: usize) -> Result<Reloaded, ReloadError> {
        let _turn = self.turn.lock().await;
        self.reload_in_turn(index).await
    }

    /// Reloads every plugin whose file isn't what it was when it was loaded last, or tried. A file that is gone is no
    /// change: another takes its place, or none does and the plugin runs on.
    pub(super) async fn reload_changed(&self) {
        for (index, slot) in self.slots.iter().enumerate() {
            // A reload that is under way may be that of the change.
            let _turn = self.turn.lock().await;
            let now = self.loader.file_state(&slot.spec);
            if now.is_none() || now == *slot.tried() {
                continue;
            }
            tracing::info!("{} has changed", slot.spec.file);
            // The log has how it went, and so has the status.
            let _ = self.reload_in_turn(index).await;
        }
    }

    async fn reload_in_turn(&self, index: usize) -> Result<Reloaded, ReloadError> {
        let slot = &self.slots[index];
        // Before it is read, so that what is written from here on is a change.
        *slot.tried() = self.loader.file_state(&slot.spec);
        match self.next_generation(index).await {
            Ok(reloaded) => {
                tracing::info!(
                    "plugin {} {} reloaded: generation {} serves, {} ms after it was asked for{}",
                    reloaded.plugin,
                    reloaded.version,
                    reloaded.generation,
                    reloaded.took.as_millis(),
                    match reloaded.from_cache {
                        true => "",
                        false => ", since it had to be compiled",
                    }
                );
                let generation = reloaded.generation;
                slot.reloads.record(Outcome::Published { generation });
                Ok(reloaded)
            }
            Err(error) => {
                let cause = flat(&format!("{error:#}"));
                let running = self.lineup().plugins[index].number;
                tracing::error!(
                    "plugin {} is not reloaded, and generation {running} goes on: {cause}",
                    slot.name
                );
                slot.reloads.record(Outcome::Refused {
                    cause: cause.clone(),
                });
                Err(ReloadError::Refused {
                    plugin: slot.name.to_string(),
                    cause,
                })
            }
        }
    }

    async fn next_generation(&self, index: usize) -> anyhow::Result<Reloaded> {
        let began = Instant::now();
        let slot = &self.slots[index];
        let lineup = self.lineup();
        let mut generation = tokio::task::spawn_blocking({
            let (loader, spec) = (self.loader.clone(), slot.spec.clone());
            let shared = lineup.plugins[index].worker.generation().shared.clone();
            move || loader.load(&spec, shared)
        })
        .await
        .context("loading it")??;
        if generation.name != slot.name {
            bail!(
                "{} now holds plugin `{}`; a reload doesn't make another plugin of one: restart the host for that",
                generation.origin,
                generation.name
            );
        }
        let lineup = self.lineup();
        let running = lineup.plugins[index].worker.generation();
        let draws = |generation: &Generation| generation.has(Hook::Overlay);
        if draws(&generation) && !draws(running) {
            bail!(
                "it draws now, and the generation that runs doesn't; who draws is settled when the host starts: restart it \
                 for that"
            );
        }
        lineup.agreement_with(index, &generation)?;
        let number = slot.next.load(Ordering::Relaxed);
        let version = generation.description.version.clone();
        let from_cache = generation.code == Origin::Cached;
        // As late as can be: what the one before stores from here on, the next one doesn't see.
        generation.shared = Arc::new(running.shared.handed_on());
        let saved = match generation.has_state() {
            true => saved(&lineup.plugins[index].worker).await,
            false => None,
        };
        let started = tokio::task::spawn_blocking(move || {
            let mut instance = generation.start()?;
            if let Some(saved) = saved {
                restore(&generation, &mut instance, &saved)?;
            }
            anyhow::Ok((generation, instance))
        })
        .await
        .context("starting it")??;
        self.publish(index, started, number)?;
        slot.next.fetch_add(1, Ordering::Relaxed);
        Ok(Reloaded {
            plugin: slot.name.to_string(),
            version,
            generation: number,
            from_cache,
            took: began.elapsed(),
        })
    }
}

/// What the generation that serves leaves to the next one. Without it the swap goes on, and the log says why.
async fn saved(worker: &Worker) -> Option<Vec<u8>> {
    let running = worker.generation();
    if !running.has_state() {
        return None;
    }
    let why = match worker.save().await? {
        Ok(saved) if saved.len() <= STATE_MOST => return Some(saved),
        Ok(saved) => format!(
            "it saved {} bytes; at most {STATE_MOST} are passed on",
            saved.len()
        ),
        Err(trapped) => flat(&trapped.to_string()),
    };
    tracing::warn!(
        "plugin {}: the next generation starts without the state of this one: {why}",
        running.name
    );
    None
}

/// A plugin that doesn't want what was saved starts without; one that dies of it is not used.
fn restore(generation: &Generation, instance: &mut Instance, saved: &[u8]) -> anyhow::Result<()> {
    if let Err(why) = instance
        .restore(saved)
        .context("taking over the state of the generation before")?
    {
        tracing::warn!(
            "plugin {} starts without the state of the generation before: {}",
            generation.name,
            flat(&why)
        );
    }
    Ok(())
}
