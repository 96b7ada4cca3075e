use std::{
    fmt::Display,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    Answer, CallError, DocumentSpec, Hook, Inputs, Outcome, PluginSpec, PluginStatus, RenderError,
    Request, Storage, TimingRequest,
    agreement::Agreement,
    answer,
    auth::Asker,
    cache::{self, Cache},
    engine::Runtime,
    failure::flat,
    files::FileState,
    generation::Generation,
    host::Shared,
    instance::Instance,
    kept::Kept,
    lookup::{self, PluginOrigin},
    probation::Probation,
    status::ReloadLog,
    window,
    worker::{Fault, Vitals, Worker},
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
    /// Where persistent stores are kept; `None` keeps them in memory, for a trial.
    /// [`default_state_dir`](super::default_state_dir) is where they belong.
    pub state_dir: Option<PathBuf>,
}

/// All plugins of a host, running.
///
/// What serves is one immutable lineup, which whoever calls a plugin takes hold of. A reload publishes another lineup;
/// the old one drops with the last call in it.
pub struct Plugins {
    pub(super) loader: Arc<Loader>,
    /// One for each plugin, in order. Which plugins there are doesn't change while the host runs.
    pub(super) slots: Vec<Slot>,
    lineup: ArcSwap<Lineup>,
    /// Held while another lineup is made from the current one and published: never while a plugin is called.
    change: Mutex<()>,
    /// One reload at a time: its trial is about the others as they are.
    pub(super) turn: tokio::sync::Mutex<()>,
    timing: watch::Sender<TimingRequest>,
    /// Counts how often a plugin that decides who may watch was replaced.
    guards: watch::Sender<u64>,
}

/// What is needed to make a generation of any plugin.
pub(super) struct Loader {
    pub(super) runtime: Arc<Runtime>,
    pub(super) cache: Option<Cache>,
    pub(super) directories: Vec<PathBuf>,
}

/// What stays of a plugin while its generations come and go.
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    pub(super) spec: PluginSpec,
    pub(super) vitals: Arc<Vitals>,
    pub(super) reloads: ReloadLog,
    /// What it stores, if that is persistent.
    kept: Option<Kept>,
    /// The number of the next generation.
    pub(super) next: std::sync::atomic::AtomicU64,
    /// What its file was when it was loaded last, or tried.
    tried: Mutex<Option<FileState>>,
}

impl Slot {
    pub(super) fn tried(&self) -> MutexGuard<'_, Option<FileState>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The generations that serve, one of each plugin, and what they say together.
pub(super) struct Lineup {
    pub(super) plugins: Vec<Arc<Running>>,
    pub(super) agreement: Agreement,
}

/// A generation that serves, or that is kept to serve again.
pub(super) struct Running {
    /// Which one of the plugin's generations it is, counted from 1.
    pub(super) number: u64,
    pub(super) worker: Worker,
    /// If it decides who may watch.
    pub(super) asker: Option<Asker>,
    pub(super) probation: Probation<Running>,
}

impl Loader {
    pub(super) fn load(
        &self,
        spec: &PluginSpec,
        shared: Arc<Shared>,
    ) -> anyhow::Result<Generation> {
        let cache = self.cache.as_ref();
        Generation::load(&self.runtime, spec, &self.directories, cache, shared)
    }

    /// The file that a plugin would be loaded from; those inside the binary have none.
    pub(super) fn file(&self, spec: &PluginSpec) -> Option<PathBuf> {
        match lookup::find(&spec.file, &self.directories) {
            Ok(PluginOrigin::File(path)) => Some(path),
            Ok(PluginOrigin::Stock(_)) | Err(_) => None,
        }
    }

    pub(super) fn file_state(&self, spec: &PluginSpec) -> Option<FileState> {
        self.file(spec).and_then(|path| FileState::of(&path))
    }
}

/// A query parameter by which a plugin knows that what it writes will lie in a file: nobody can wait for it, or ask for
/// media before it is complete. A plugin that declares it is asked with it.
const AS_FILE: &str = "as-file";

fn knows_files(document: &DocumentSpec) -> bool {
    document.reads.query.iter().any(|name| name == AS_FILE)
}

/// Whether a document that doesn't know of files can lie in one all the same. An MPD can't, though it reads nothing: it
/// leads to segments that grow and to the host's own clock, and neither is there.
fn needs_nothing_else(document: &DocumentSpec) -> bool {
    document.reads == Inputs::default() && !document.is_mpd()
}

impl Plugins {
    /// Finds, checks, compiles and tries each plugin, and starts them all. Compiling can take seconds: not to be called
    /// on a thread that serves connections.
    ///
    /// An error is one chain of causes, to be shown in one line: which plugin, what was wrong, what would be right.
    pub fn load(specs: &[PluginSpec], environment: &Environment) -> anyhow::Result<Self> {
        Self::load_with(specs, &[], environment)
    }

    /// The same, with `others` beside them if none of them writes documents.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_with(
        specs: &[PluginSpec],
        others: &[PluginSpec],
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let cache = environment.cache_dir.as_deref().and_then(|path| {
            Cache::open(path)
                .inspect_err(|error| {
                    tracing::warn!(
                        "compiled plugins can't be kept, so every start takes longer: {error:#}"
                    );
                })
                .ok()
        });
        let loader = Loader {
            runtime: Arc::new(Runtime::new()?),
            cache,
            directories: environment.plugin_dirs.clone(),
        };
        let load = |spec: &PluginSpec| loader.load(spec, Arc::default());
        let mut specs: Vec<_> = specs.iter().collect();
        // Before they are read, so that what is written from here on is a change.
        let mut tried: Vec<_> = specs.iter().map(|spec| loader.file_state(spec)).collect();
        let mut generations: Vec<_> = specs
            .iter()
            .copied()
            .map(load)
            .collect::<anyhow::Result<_>>()?;
        if !generations.iter().any(|plugin| plugin.has(Hook::Playlist)) {
            for spec in others {
                let other = load(spec)?;
                let mut namers = generations
                    .iter()
                    .filter(|plugin| plugin.has(Hook::Naming) && !plugin.has_segment_template());
                if let Some(namer) = namers.next()
                    && other.facts.documents.iter().any(DocumentSpec::is_mpd)
                {
                    tracing::warn!(
                        "{} is left out, and with it DASH, which wants the names of all segments as one template: those that \
                         plugin {} gives are none",
                        spec.file,
                        namer.name
                    );
                    continue;
                }
                tried.push(loader.file_state(spec));
                generations.push(other);
                specs.push(spec);
            }
        }
        let agreement = Agreement::of(&generations.iter().collect::<Vec<_>>())?;
        let mut slots = Vec::new();
        let mut plugins = Vec::new();
        for ((mut generation, spec), tried) in generations.into_iter().zip(specs).zip(tried) {
            let name = generation.name.clone();
            let kept = match (spec.storage, &environment.state_dir) {
                (Storage::Persistent, Some(directory)) => {
                    let (kept, shared) = Kept::open(directory, &name)?;
                    generation.shared = Arc::new(shared);
                    Some(kept)
                }
                _ => None,
            };
            let slot = Slot {
                name: name.clone(),
                spec: spec.clone(),
                vitals: Arc::default(),
                reloads: ReloadLog::default(),
                kept,
                next: 2.into(),
                tried: Mutex::new(tried),
            };
            let starting = || format!("plugin `{name}` can't be started");
            let instance = generation.start().with_context(starting)?;
            let running = Running::start(generation, instance, 1, slot.vitals.clone(), None)
                .with_context(starting)?;
            let generation = running.worker.generation();
            tracing::info!(
                "plugin {name} {} runs, from {}: {}",
                generation.description.version,
                generation.origin,
                generation.description.summary
            );
            slots.push(slot);
            plugins.push(Arc::new(running));
        }
        Ok(Self {
            loader: Arc::new(loader),
            slots,
            timing: watch::Sender::new(agreement.timing),
            guards: watch::Sender::new(0),
            lineup: ArcSwap::from_pointee(Lineup { plugins, agreement }),
            change: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Word of every change of who decides who may watch.
    pub(super) fn watch_guards(&self) -> watch::Receiver<u64> {
        self.guards.subscribe()
    }

    /// What they together ask of the packager.
    pub fn timing(&self) -> TimingRequest {
        *self.timing.borrow()
    }

    /// The same, and word of every change: a reload may ask for something else.
    pub fn watch_timing(&self) -> watch::Receiver<TimingRequest> {
        self.timing.subscribe()
    }

    /// All documents that they write. No two have the same address. After a reload it is another list, in another place
    /// in memory, even if the documents are the same.
    pub fn documents(&self) -> Arc<[DocumentSpec]> {
        self.lineup.load().agreement.documents.clone()
    }

    /// Those of the documents that can lie in files, where nothing is known of requests, and what to ask for each: of
    /// plugins all of whose documents read nothing, or know of files ([`AS_FILE`]). The others of a plugin would lead to
    /// what isn't there.
    pub fn documents_for_files(&self) -> Vec<(DocumentSpec, Request)> {
        let lineup = self.lineup.load();
        let agreement = &lineup.agreement;
        let mut fit = vec![true; lineup.plugins.len()];
        let documents = || agreement.documents.iter().zip(agreement.writers());
        for (document, writer) in documents() {
            fit[writer] &= knows_files(document) || needs_nothing_else(document);
        }
        let fit = documents().filter(|&(_, writer)| fit[writer]);
        fit.map(|(document, _)| {
            let mut request = Request::default();
            if knows_files(document) {
                request.query.push((AS_FILE.to_owned(), "yes".to_owned()));
            }
            (document.clone(), request)
        })
        .collect()
    }

    /// Has one of [`documents`](Self::documents) written. `request` holds the inputs that it declares, and no others.
    ///
    /// The plugin is called each time: it is the caller who shares answers. If it is a new generation that fails, it is
    /// rolled back, and the one before answers. Dropping the future before it is the call's turn spares the call; later it
    /// changes nothing.
    pub async fn render(
        &self,
        document: &DocumentSpec,
        request: &Request,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Answer, RenderError> {
        let path: Arc<str> = document.path.as_str().into();
        let writer = |lineup: &Lineup| lineup.agreement.writer(document);
        let answer = self.call(Hook::Playlist, path.clone(), writer, || {
            let lowered = window::Request::of(path.clone(), request);
            let snapshot = snapshot.clone();
            move |instance: &mut Instance| {
                let said = instance.render(lowered, &snapshot)?;
                answer::check(said, &snapshot, instance.limits().output).map_err(Fault::Unusable)
            }
        });
        match answer.await {
            Some(answer) => Ok(answer?),
            None => Err(RenderError::NoWriter {
                document: document.path.clone(),
            }),
        }
    }

    /// Calls a hook of the plugin that `choose` finds in the lineup; `None` if it finds none. `make` says what to call.
    ///
    /// If it is a new generation that fails, it is rolled back, and the plugin is chosen and called anew.
    pub(super) async fn call<T, C>(
        &self,
        hook: Hook,
        subject: impl Display + Clone + Send + 'static,
        choose: impl Fn(&Lineup) -> Option<usize>,
        make: impl Fn() -> C,
    ) -> Option<Result<T, CallError>>
    where
        T: Send + 'static,
        C: FnOnce(&mut Instance) -> Result<T, Fault> + Send + 'static,
    {
        let mut lineup = self.lineup.load_full();
        loop {
            let index = choose(&lineup)?;
            let running = &lineup.plugins[index];
            let error = match running.worker.call(hook, subject.clone(), make()).await {
                Ok(said) => {
                    self.passed(index, running);
                    return Some(Ok(said));
                }
                Err(error) => error,
            };
            // Each round is another generation's.
            match self.after_failure(index, running, &error) {
                Some(other) => lineup = other,
                None => return Some(Err(error)),
            }
        }
    }

    /// Writes what plugins with a persistent store have stored and isn't on the disk yet. What they store from here on is
    /// lost with the process. Blocks.
    pub fn close(&self) {
        for kept in self.slots.iter().filter_map(|slot| slot.kept.as_ref()) {
            kept.close();
        }
    }

    /// How each is doing.
    pub fn status(&self) -> Vec<PluginStatus> {
        let lineup = self.lineup.load();
        lineup
            .plugins
            .iter()
            .zip(&self.slots)
            .map(|(running, slot)| running.status(slot))
            .collect()
    }
}

/// How lineups follow each other.
impl Plugins {
    pub(super) fn lineup(&self) -> Arc<Lineup> {
        self.lineup.load_full()
    }

    /// Puts a generation in the place of the one that serves now, which is kept while the new one is on probation.
    pub(super) fn publish(
        &self,
        index: usize,
        (generation, instance): (Generation, Instance),
        number: u64,
    ) -> anyhow::Result<()> {
        let slot = &self.slots[index];
        let _change = self.changing();
        let old = self.lineup.load_full();
        // Another plugin may have been rolled back since this was looked at.
        let agreement = old.agreement_with(index, &generation)?;
        let last = old.plugins[index].clone();
        // What the last one was to be replaced with stays, too, as long as it is on probation itself; more don't.
        if let Some(before) = last.probation.fallback() {
            before.end_probation();
        }
        let vitals = slot.vitals.clone();
        let running = Running::start(generation, instance, number, vitals, Some(last))?;
        self.replace(&old, index, Arc::new(running), agreement, false);
        Ok(())
    }

    /// What is to be done about a call that failed: `Some` lineup to call instead, if a new generation was to blame.
    pub(super) fn after_failure(
        &self,
        index: usize,
        failed: &Arc<Running>,
        error: &CallError,
    ) -> Option<Arc<Lineup>> {
        let _change = self.changing();
        let current = self.lineup.load_full();
        if !Arc::ptr_eq(&current.plugins[index], failed) {
            // It was replaced or rolled back while the call waited for its turn.
            return Some(current);
        }
        let slot = &self.slots[index];
        let passed_on = matches!(error, CallError::RolledBack { .. });
        let Some(fallback) = failed.probation.fallback() else {
            // It proved itself at the moment when it failed.
            failed.worker.generation().acquit();
            return passed_on.then_some(current);
        };
        // One that was passed on may be here before the one that failed.
        let cause = match slot.vitals.last_error().filter(|_| passed_on) {
            Some(cause) => format!("plugin {}: {cause}", slot.name),
            None => flat(&error.to_string()),
        };
        let agreement = match current.agreement_with(index, fallback.worker.generation()) {
            Ok(agreement) => agreement,
            Err(conflict) => {
                tracing::error!(
                    "plugin {}: generation {} fails and can't be rolled back to {}, since meanwhile {conflict:#}",
                    slot.name,
                    failed.number,
                    fallback.number,
                );
                failed.end_probation();
                return passed_on.then_some(current);
            }
        };
        failed.probation.end()?;
        tracing::error!(
            "generation {} of plugin {} is rolled back, and generation {} serves again, since {cause}",
            failed.number,
            slot.name,
            fallback.number,
        );
        slot.reloads.record(Outcome::RolledBack {
            generation: failed.number,
            to: fallback.number,
            cause,
        });
        Some(self.replace(&current, index, fallback, agreement, true))
    }

    /// A call went well.
    pub(super) fn passed(&self, index: usize, running: &Running) {
        if running.probation.passed() {
            running.worker.generation().acquit();
            tracing::info!(
                "generation {} of plugin {} has proved itself; the one before is gone",
                running.number,
                self.slots[index].name
            );
        }
    }

    /// To be called under the lock.
    fn replace(
        &self,
        old: &Lineup,
        index: usize,
        running: Arc<Running>,
        agreement: Agreement,
        rolled_back: bool,
    ) -> Arc<Lineup> {
        let timing = agreement.timing;
        if let Some(kept) = &self.slots[index].kept {
            let shared = &running.worker.generation().shared;
            kept.follow(shared.kv.clone(), rolled_back);
        }
        let mut plugins = old.plugins.clone();
        plugins[index] = running;
        let lineup = Arc::new(Lineup { plugins, agreement });
        self.lineup.store(lineup.clone());
        if let Some(asker) = &old.plugins[index].asker {
            // Should it come back, it is asked anew.
            asker.forget();
        }
        if lineup.plugins[index].asker.is_some() || old.plugins[index].asker.is_some() {
            self.guards.send_modify(|count| *count += 1);
        }
        self.timing.send_if_modified(|known| {
            let changed = *known != timing;
            *known = timing;
            changed
        });
        lineup
    }

    /// What it guards is nothing but the order of things, which no panic upsets.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lineup {
    /// What the plugins would say together, were this generation among them.
    pub(super) fn agreement_with(
        &self,
        index: usize,
        generation: &Generation,
    ) -> anyhow::Result<Agreement> {
        let mut generations: Vec<_> = self
            .plugins
            .iter()
            .map(|running| running.worker.generation())
            .collect();
        generations[index] = generation;
        Agreement::of(&generations)
    }
}

impl Running {
    fn start(
        mut generation: Generation,
        instance: Instance,
        number: u64,
        vitals: Arc<Vitals>,
        fallback: Option<Arc<Self>>,
    ) -> anyhow::Result<Self> {
        generation.number = number;
        let generation = Arc::new(generation);
        if fallback.is_some() {
            generation.try_out();
        }
        // Whoever needs it gets the instance that there is; the other starts one when it is called, if ever.
        let serves_stream = [Hook::Playlist, Hook::Naming, Hook::Overlay]
            .into_iter()
            .any(|hook| generation.has(hook));
        let (first, first_of_pool) = match serves_stream {
            true => (Some(instance), None),
            false => (None, Some(instance)),
        };
        let asker = match generation.has(Hook::Auth) {
            true => Some(Asker::start(&generation, first_of_pool, &vitals)?),
            false => None,
        };
        Ok(Self {
            number,
            worker: Worker::start(generation, first, vitals)?,
            asker,
            probation: Probation::new(fallback),
        })
    }

    /// Nothing can take its place any more.
    fn end_probation(&self) {
        self.probation.end();
        self.worker.generation().acquit();
    }

    fn status(&self, slot: &Slot) -> PluginStatus {
        let generation = self.worker.generation();
        let vitals = &slot.vitals;
        let description = generation.description.clone();
        PluginStatus {
            name: description.name,
            version: description.version,
            summary: description.summary,
            hooks: Hook::ALL
                .into_iter()
                .filter(|&hook| generation.has(hook))
                .map(|hook| vitals.hook(hook))
                .collect(),
            origin: generation.origin.clone(),
            generation: self.number,
            on_probation: self.probation.is_on(),
            from_cache: generation.code == cache::Origin::Cached,
            calls: vitals.calls.load(Ordering::Relaxed),
            failures: vitals.failures.load(Ordering::Relaxed),
            traps: vitals.traps.load(Ordering::Relaxed),
            restarts: vitals.restarts.load(Ordering::Relaxed),
            benched: vitals.benched.load(Ordering::Relaxed),
            cache_hits: vitals.hits.load(Ordering::Relaxed),
            last_error: vitals.last_error(),
            memory: vitals.memory.load(Ordering::Relaxed),
            metrics: generation.shared.metrics(),
            reloads: slot.reloads.read(),
        }
    }
}
