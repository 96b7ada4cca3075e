use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context as _, bail};

use super::{
    Answer, DocumentSpec, Hook, Metric, PluginOrigin, PluginSpec, RenderError, Request,
    TimingRequest, answer,
    cache::{self, Cache},
    documents,
    engine::Runtime,
    generation::Generation,
    timing, window,
    worker::{Fault, Worker},
};
use crate::live::Snapshot;

/// Where plugins come from, and where their compiled code is kept.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Directories in which plugins are looked for by name, first to last.
    pub plugin_dirs: Vec<PathBuf>,
    /// Where compiled code is kept; `None` compiles at every start. [`default_cache_dir`](super::default_cache_dir) is
    /// where it belongs.
    pub cache_dir: Option<PathBuf>,
}

/// All plugins of a host, running.
pub struct Plugins {
    plugins: Vec<Plugin>,
    timing: TimingRequest,
    documents: Arc<[DocumentSpec]>,
    /// For each of `documents`, which plugin writes it, and its path.
    writers: Vec<(usize, Arc<str>)>,
}

struct Plugin {
    /// Which one of the plugin's generations runs, counted from 1.
    number: u64,
    worker: Worker,
}

/// How a plugin is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// Its short name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// What it decides.
    pub hooks: Vec<Hook>,
    /// Where it came from.
    pub origin: PluginOrigin,
    /// Which one of its generations runs, counted from 1.
    pub generation: u64,
    /// Its code didn't have to be compiled.
    pub from_cache: bool,
    /// Calls since the start.
    pub calls: u64,
    /// Calls without a usable answer.
    pub failures: u64,
    /// Failures that cost the instance its life: traps, loops, too much memory.
    pub traps: u64,
    /// Instances started to replace one that died.
    pub restarts: u64,
    /// The last failure, in one line.
    pub last_error: Option<String>,
    /// Bytes of memory that the running instance holds; 0 while there is none.
    pub memory: usize,
    /// Figures that the plugin reports itself.
    pub metrics: BTreeMap<String, Metric>,
}

impl Plugins {
    /// Finds, checks, compiles and tries each plugin, and starts them all. Compiling can take seconds: not to be called
    /// on a thread that serves connections.
    ///
    /// An error is one chain of causes, to be shown in one line: which plugin, what was wrong, what would be right.
    pub fn load(specs: &[PluginSpec], environment: &Environment) -> anyhow::Result<Self> {
        let runtime = Arc::new(Runtime::new()?);
        let cache = environment.cache_dir.as_deref().and_then(|path| {
            Cache::open(path)
                .inspect_err(|error| {
                    tracing::warn!(
                        "compiled plugins can't be kept, so every start takes longer: {error:#}"
                    );
                })
                .ok()
        });
        let generations: Vec<_> = specs
            .iter()
            .map(|spec| {
                let directories = &environment.plugin_dirs;
                Generation::load(&runtime, spec, directories, cache.as_ref(), Arc::default())
            })
            .collect::<anyhow::Result<_>>()?;
        for (index, generation) in generations.iter().enumerate() {
            if generations[..index]
                .iter()
                .any(|other| other.name == generation.name)
            {
                bail!(
                    "plugin `{}` is loaded twice; once is enough",
                    generation.name
                );
            }
        }
        let timing = timing::merge(generations.iter().map(|g| (&*g.name, g.facts.timing)))
            .map_err(anyhow::Error::msg)?;
        let (documents, writers) = merge_documents(&generations)?;
        let plugins = generations
            .into_iter()
            .map(|generation| {
                let name = generation.name.clone();
                Self::start(generation).with_context(|| format!("plugin `{name}` can't be started"))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            plugins,
            timing,
            documents: documents.into(),
            writers,
        })
    }

    fn start(generation: Generation) -> anyhow::Result<Plugin> {
        let instance = generation.start()?;
        tracing::info!(
            "plugin {} {} runs, from {}: {}",
            generation.name,
            generation.description.version,
            generation.origin,
            generation.description.summary
        );
        Ok(Plugin {
            number: 1,
            worker: Worker::start(Arc::new(generation), instance)?,
        })
    }

    /// What they together ask of the packager.
    pub fn timing(&self) -> TimingRequest {
        self.timing
    }

    /// All documents that they write. No two have the same address.
    pub fn documents(&self) -> &Arc<[DocumentSpec]> {
        &self.documents
    }

    /// Has one of [`documents`](Self::documents) written. `request` holds the inputs that it declares, and no others.
    ///
    /// The plugin is called each time: it is the caller who shares answers. Dropping the future before it is the call's
    /// turn spares the call; later it changes nothing.
    pub async fn render(
        &self,
        document: &DocumentSpec,
        request: &Request,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Answer, RenderError> {
        let writer = self
            .documents
            .iter()
            .position(|known| documents::same_address(known, document))
            .map(|index| &self.writers[index]);
        let Some((plugin, path)) = writer else {
            return Err(RenderError::NoWriter {
                document: document.path.clone(),
            });
        };
        let lowered = window::Request::of(path.clone(), request);
        let snapshot = snapshot.clone();
        let answer = self.plugins[*plugin]
            .worker
            .call(Hook::Playlist, path.clone(), move |instance| {
                let said = instance.render(lowered, &snapshot)?;
                answer::check(said, &snapshot, instance.limits().output).map_err(Fault::Unusable)
            })
            .await?;
        Ok(answer)
    }

    /// How each is doing.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.plugins.iter().map(Plugin::status).collect()
    }
}

impl Plugin {
    fn status(&self) -> PluginStatus {
        let generation = self.worker.generation();
        let vitals = self.worker.vitals();
        let description = generation.description.clone();
        PluginStatus {
            name: description.name,
            version: description.version,
            summary: description.summary,
            hooks: Hook::ALL
                .into_iter()
                .filter(|&hook| generation.has(hook))
                .collect(),
            origin: generation.origin.clone(),
            generation: self.number,
            from_cache: generation.code == cache::Origin::Cached,
            calls: vitals.calls.load(Ordering::Relaxed),
            failures: vitals.failures.load(Ordering::Relaxed),
            traps: vitals.traps.load(Ordering::Relaxed),
            restarts: vitals.restarts.load(Ordering::Relaxed),
            last_error: vitals.last_error(),
            memory: vitals.memory.load(Ordering::Relaxed),
            metrics: generation.shared.metrics(),
        }
    }
}

type Written = (Vec<DocumentSpec>, Vec<(usize, Arc<str>)>);

fn merge_documents(generations: &[Generation]) -> anyhow::Result<Written> {
    let mut merged: Written = Default::default();
    for (plugin, generation) in generations.iter().enumerate() {
        for document in &generation.facts.documents {
            let taken = merged
                .0
                .iter()
                .position(|other| documents::same_address(other, document));
            if let Some(taken) = taken {
                bail!(
                    "plugins {} and {} both write `{}`; load one of them, or configure one to write another name",
                    generations[merged.1[taken].0].name,
                    generation.name,
                    document.path
                );
            }
            merged.0.push(document.clone());
            merged.1.push((plugin, document.path.as_str().into()));
        }
    }
    Ok(merged)
}
