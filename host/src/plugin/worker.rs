use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    Answer, RenderError, Request, answer,
    bindings::exports::picam::plugin::playlist::KeyValue,
    failure::flat,
    generation::Generation,
    health::Health,
    host::LineGate,
    instance::Instance,
    window::{self, Presentation},
};
use crate::live::Snapshot;

/// Calls that may wait for a plugin. Callers beyond that wait to be let in, so a slow plugin costs no memory.
const QUEUE: usize = 64;

/// A plugin that runs, seen from outside: its thread works off what is sent.
///
/// A plugin has a thread of its own, so that whatever it does with its time, no connection and no other plugin waits for
/// it. The thread ends when this is dropped, after the call that is running.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    generation: Arc<Generation>,
}

/// What is counted while a plugin runs.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    pub(super) calls: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) traps: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) memory: AtomicUsize,
    last_error: Mutex<Option<String>>,
}

impl Vitals {
    pub(super) fn last_error(&self) -> Option<String> {
        self.error_cell().clone()
    }

    fn error_cell(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document that is asked for.
struct Job {
    document: Arc<str>,
    request: Request,
    snapshot: Arc<Snapshot>,
    reply: oneshot::Sender<Result<Answer, RenderError>>,
}

impl Worker {
    /// Starts a thread that calls `instance`, and new instances of `generation` when that one dies.
    ///
    /// What happens is counted in `vitals`, which outlives a generation.
    pub(super) fn start(
        generation: Arc<Generation>,
        instance: Instance,
        vitals: Arc<Vitals>,
    ) -> anyhow::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        vitals.memory.store(instance.memory(), Ordering::Relaxed);
        let keeper = Keeper {
            generation: generation.clone(),
            instance: Some(instance),
            health: Health::default(),
            window: None,
            vitals,
            lines: LineGate::default(),
        };
        // The kernel keeps 15 bytes of a thread's name.
        thread::Builder::new()
            .name(format!("plugin {}", generation.name))
            .spawn(move || keeper.run(queue))
            .with_context(|| format!("starting a thread for plugin {}", generation.name))?;
        Ok(Self { jobs, generation })
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Has the plugin write a document. If the caller goes away before its turn comes, the plugin isn't called.
    pub(super) async fn render(
        &self,
        document: Arc<str>,
        request: Request,
        snapshot: Arc<Snapshot>,
    ) -> Result<Answer, RenderError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            document,
            request,
            snapshot,
            reply,
        };
        let gone = || {
            RenderError::Failed {
            plugin: self.generation.name.to_string(),
            cause: "its thread has ended, which is a bug in picam-host; restart it, and report the lines before this \
                    one in the log"
                .to_owned(),
        }
        };
        self.jobs.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Lives on the plugin's thread: owns the instance, and replaces it when it died.
struct Keeper {
    generation: Arc<Generation>,
    /// None after a trap, until the next call.
    instance: Option<Instance>,
    health: Health,
    /// The window that was lowered last. Several documents are written from each.
    window: Option<(Weak<Snapshot>, Arc<Presentation>)>,
    vitals: Arc<Vitals>,
    lines: LineGate,
}

impl Keeper {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            if job.reply.is_closed() {
                continue;
            }
            let result = self.render(job.document, job.request, &job.snapshot);
            // The caller may have gone away meanwhile.
            let _ = job.reply.send(result);
        }
    }

    fn render(
        &mut self,
        document: Arc<str>,
        request: Request,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Answer, RenderError> {
        let mut instance = self.take_instance()?;
        let presentation = self.presentation(snapshot);
        self.vitals.calls.fetch_add(1, Ordering::Relaxed);
        let what = document.clone();
        match instance.render(lower(document, request), &presentation) {
            Ok(said) => {
                self.vitals
                    .memory
                    .store(instance.memory(), Ordering::Relaxed);
                self.instance = Some(instance);
                answer::check(said, snapshot, self.generation.limits().output).map_err(|why| {
                    let cause = format!("{what}: {why}");
                    self.report(&cause, "");
                    self.failed(cause)
                })
            }
            Err(trapped) => {
                drop(instance);
                Err(self.trapped(&format!("{what}: {trapped}")))
            }
        }
    }

    /// The instance, or a new one if the last one died and its time on the bench is over.
    fn take_instance(&mut self) -> Result<Instance, RenderError> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        if let Some(retry_in) = self.health.benched(Instant::now()) {
            return Err(RenderError::Benched {
                plugin: self.generation.name.to_string(),
                retry_in,
                cause: self.vitals.last_error().unwrap_or_default(),
            });
        }
        self.vitals.restarts.fetch_add(1, Ordering::Relaxed);
        self.generation
            .start()
            .map_err(|error| self.trapped(&flat(&format!("it can't be started again: {error:#}"))))
    }

    fn presentation(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Presentation> {
        // As long as there is a weak pointer, no other snapshot can have its address.
        if let Some((known, presentation)) = &self.window
            && known.as_ptr() == Arc::as_ptr(snapshot)
        {
            return presentation.clone();
        }
        let presentation = Arc::new(Presentation::of(snapshot));
        self.window = Some((Arc::downgrade(snapshot), presentation.clone()));
        presentation
    }

    fn trapped(&mut self, cause: &str) -> RenderError {
        self.vitals.traps.fetch_add(1, Ordering::Relaxed);
        self.vitals.memory.store(0, Ordering::Relaxed);
        let pause = self.health.failed(Instant::now());
        let then = if pause.is_zero() {
            "; it starts afresh with the next call".to_owned()
        } else {
            format!("; it starts afresh in {} ms", pause.as_millis())
        };
        self.report(cause, &then);
        self.failed(cause.to_owned())
    }

    fn report(&mut self, cause: &str, then: &str) {
        if let Some(suppressed) = self.lines.pass(Instant::now()) {
            let plugin = &*self.generation.name;
            if suppressed > 0 {
                tracing::warn!(plugin, "{suppressed} failures are left out here");
            }
            tracing::error!(plugin, "plugin {plugin}: {cause}{then}");
        }
    }

    fn failed(&self, cause: String) -> RenderError {
        self.vitals.failures.fetch_add(1, Ordering::Relaxed);
        *self.vitals.error_cell() = Some(cause.clone());
        RenderError::Failed {
            plugin: self.generation.name.to_string(),
            cause,
        }
    }
}

fn lower(document: Arc<str>, request: Request) -> window::Request {
    let pairs = |pairs: Vec<(String, String)>| {
        pairs
            .into_iter()
            .map(|(key, value)| KeyValue { key, value })
            .collect()
    };
    window::Request {
        document,
        query: pairs(request.query),
        headers: pairs(request.headers),
        cookies: pairs(request.cookies),
    }
}
