use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    CallError, Hook, HookStatus,
    failure::flat,
    generation::Generation,
    health::{Health, Pause},
    host::line_gate,
    instance::{Instance, Trapped},
};
use crate::{
    figures::{Count, Times},
    line_gate::LineGate,
};

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
    /// Questions that an answer from before covered, so that there was no call.
    pub(super) hits: AtomicU64,
    /// Of all instances.
    pub(super) memory: AtomicUsize,
    /// Keepers whose instances died once too often, and have not run since.
    pub(super) benched: AtomicUsize,
    /// By [`Hook`].
    hooks: [HookVitals; Hook::ALL.len()],
    last_error: Mutex<Option<String>>,
}

/// What is counted of one hook.
#[derive(Debug)]
struct HookVitals {
    /// How long each call took.
    times: Times,
    failures: Count,
    traps: Count,
}

/// Seconds: a permission takes some five microseconds, a document below a hundred, JavaScript on a Pi thirty
/// milliseconds, and 200 milliseconds are the usual limit.
const CALL_TIMES: [f64; 16] = [
    5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
    100e-3, 250e-3, 1.0,
];

impl Default for HookVitals {
    fn default() -> Self {
        Self {
            times: Times::new(&CALL_TIMES),
            failures: Count::default(),
            traps: Count::default(),
        }
    }
}

impl Vitals {
    /// What was counted of a hook, over all generations.
    pub(super) fn hook(&self, hook: Hook) -> HookStatus {
        let HookVitals {
            times,
            failures,
            traps,
        } = &self.hooks[hook as usize];
        HookStatus {
            hook,
            times: times.get(),
            failures: failures.get(),
            traps: traps.get(),
        }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.error_cell().clone()
    }

    fn error_cell(&self) -> MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for its turn. Whoever asks for one says in a closure what to call and what to make of what comes back,
/// so that the worker knows of no hook.
type Job = Box<dyn FnOnce(&mut Keeper) + Send>;

/// Why a call of an instance has no usable result.
pub(super) enum Fault {
    /// It didn't return, and the instance is dead.
    Trapped(Trapped),
    /// It returned, and said in one line what it may not. The instance lives.
    Unusable(String),
}

impl From<Fault> for anyhow::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Trapped(trapped) => trapped.into(),
            Fault::Unusable(why) => anyhow::Error::msg(why),
        }
    }
}

impl From<Trapped> for Fault {
    fn from(trapped: Trapped) -> Self {
        Self::Trapped(trapped)
    }
}

impl Worker {
    /// Starts a thread that calls `instance`, and new instances of `generation` when there is none, or it died.
    ///
    /// What happens is counted in `vitals`, which outlives a generation.
    pub(super) fn start(
        generation: Arc<Generation>,
        instance: Option<Instance>,
        vitals: Arc<Vitals>,
    ) -> anyhow::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let keeper = Keeper::new(generation.clone(), instance, vitals);
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

    /// Calls the plugin. `subject` is what the call is about, in the words of an error: a document's path, for one.
    ///
    /// If the caller goes away before its turn comes, the plugin isn't called.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        hook: Hook,
        subject: impl Display + Send + 'static,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CallError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |keeper| {
            if !reply.is_closed() {
                // The caller may have gone away meanwhile.
                let _ = reply.send(keeper.call(hook, &subject, call));
            }
        });
        let gone = || {
            CallError::Failed {
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

impl Worker {
    /// What is to survive this generation, in the plugin's own words. `None` if there is no instance that could tell: the
    /// last one died, or none was needed yet.
    pub(super) async fn save(&self) -> Option<Result<Vec<u8>, Trapped>> {
        let (reply, saved) = oneshot::channel();
        let job: Job = Box::new(move |keeper| {
            // Who asks may have gone away meanwhile.
            let _ = reply.send(keeper.save());
        });
        self.jobs.send(job).await.ok()?;
        saved.await.ok()?
    }
}

/// Owns an instance, and replaces it when it died.
pub(super) struct Keeper {
    generation: Arc<Generation>,
    /// None before the first call and after a trap, until the next call.
    instance: Option<Instance>,
    /// The last one died.
    died: bool,
    /// It is counted as benched in `vitals`.
    benched: bool,
    /// Bytes of it that are counted in `vitals`.
    memory: usize,
    health: Health,
    vitals: Arc<Vitals>,
    lines: LineGate,
}

impl Keeper {
    pub(super) fn new(
        generation: Arc<Generation>,
        instance: Option<Instance>,
        vitals: Arc<Vitals>,
    ) -> Self {
        let mut keeper = Self {
            health: Health::new(generation.restarts),
            generation,
            died: false,
            benched: false,
            memory: 0,
            vitals,
            lines: line_gate(),
            instance,
        };
        keeper.count_memory();
        keeper
    }

    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            job(&mut self);
        }
    }

    /// Calls the instance, which is started first if there is none.
    pub(super) fn call<T>(
        &mut self,
        hook: Hook,
        subject: &dyn Display,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, CallError> {
        let instance = self.take_instance()?;
        let called = self.call_instance(instance, hook, subject, call);
        called.unwrap_or_else(|trapped| {
            Err(self.trapped(&format!("{}, {subject}: {trapped}", hook.name())))
        })
    }

    /// The same on a thread that has other things to do, and has used so much time until now: a call that doesn't return at
    /// once is broken off, and its instance is gone. `None`: so it was, or there is no instance to be called; nothing is to be
    /// concluded from that.
    pub(super) fn call_briefly<T>(
        &mut self,
        now: Duration,
        hook: Hook,
        subject: &dyn Display,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Option<Result<T, CallError>> {
        if self.generation.is_condemned() {
            return None;
        }
        let mut instance = self.instance.take()?;
        instance.hurry(Some(now));
        let called = self.call_instance(instance, hook, subject, call);
        if let Some(instance) = &mut self.instance {
            instance.hurry(None);
        }
        match called {
            Ok(result) => Some(result),
            Err(trapped) if trapped.hurried => {
                self.died = true;
                self.count_memory();
                None
            }
            Err(trapped) => Some(Err(
                self.trapped(&format!("{}, {subject}: {trapped}", hook.name()))
            )),
        }
    }

    /// Calls this instance, which is kept unless it dies.
    fn call_instance<T>(
        &mut self,
        mut instance: Instance,
        hook: Hook,
        subject: &dyn Display,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<Result<T, CallError>, Trapped> {
        let span = tracing::debug_span!(
            "call",
            plugin = &*self.generation.name,
            hook = hook.name(),
            generation = self.generation.number
        );
        let began = Instant::now();
        let result = span.in_scope(|| call(&mut instance));
        // One that was broken off is made again, and counts then.
        if !matches!(&result, Err(Fault::Trapped(trapped)) if trapped.hurried) {
            self.vitals.calls.fetch_add(1, Ordering::Relaxed);
            let counted = &self.vitals.hooks[hook as usize];
            counted.times.add(began.elapsed());
            if let Err(fault) = &result {
                counted.failures.one();
                if matches!(fault, Fault::Trapped(_)) {
                    counted.traps.one();
                }
            }
        }
        let result = match result {
            Err(Fault::Trapped(trapped)) => return Err(trapped),
            Err(Fault::Unusable(why)) => Err(format!("{}, {subject}: {why}", hook.name())),
            Ok(value) => Ok(value),
        };
        self.instance = Some(instance);
        self.count_memory();
        self.leave_bench();
        Ok(result.map_err(|cause| {
            self.report(&cause, "");
            self.failed(cause)
        }))
    }

    /// Whether there is an instance that can be called at once.
    pub(super) fn is_ready(&self) -> bool {
        self.instance.is_some()
    }

    /// Whether no call would be made now.
    pub(super) fn is_paused(&self) -> bool {
        self.instance.is_none() && self.health.paused(Instant::now()).is_some()
    }

    fn save(&mut self) -> Option<Result<Vec<u8>, Trapped>> {
        let mut instance = self.instance.take()?;
        let saved = instance.save();
        match &saved {
            Ok(_) => {
                self.instance = Some(instance);
                self.count_memory();
            }
            Err(trapped) => {
                drop(instance);
                self.trapped(&trapped.to_string());
            }
        }
        Some(saved)
    }

    /// The instance, or a new one if the last one died and its time on the bench is over.
    fn take_instance(&mut self) -> Result<Instance, CallError> {
        if self.generation.is_condemned() {
            return Err(CallError::RolledBack {
                plugin: self.generation.name.to_string(),
            });
        }
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        if let Some(retry_in) = self.health.paused(Instant::now()) {
            return Err(CallError::Benched {
                plugin: self.generation.name.to_string(),
                retry_in,
                cause: self.vitals.last_error().unwrap_or_default(),
            });
        }
        if std::mem::take(&mut self.died) {
            self.vitals.restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.generation
            .start()
            .map_err(|error| self.trapped(&flat(&format!("it can't be started: {error:#}"))))
    }

    /// Several keepers count into one sum.
    fn count_memory(&mut self) {
        let now = self.instance.as_ref().map_or(0, Instance::memory);
        if now != self.memory {
            self.vitals.memory.fetch_add(now, Ordering::Relaxed);
            self.vitals.memory.fetch_sub(self.memory, Ordering::Relaxed);
            self.memory = now;
        }
    }

    fn trapped(&mut self, cause: &str) -> CallError {
        self.vitals.traps.fetch_add(1, Ordering::Relaxed);
        self.died = true;
        self.count_memory();
        let then = match self.health.failed(Instant::now()) {
            Pause::Restart(after) if after.is_zero() => {
                "; it starts afresh with the next call".to_owned()
            }
            Pause::Restart(after) => format!("; it starts afresh in {} ms", after.as_millis()),
            Pause::Bench(failures, length) => {
                if !std::mem::replace(&mut self.benched, true) {
                    self.vitals.benched.fetch_add(1, Ordering::Relaxed);
                }
                format!(
                    "; it is benched, since that was failure {failures} in a row: it is not called for {length:?}, and then \
                     tried again"
                )
            }
        };
        self.report(cause, &then);
        self.failed(cause.to_owned())
    }

    /// It was called and is alive.
    fn leave_bench(&mut self) {
        if std::mem::take(&mut self.benched) {
            self.vitals.benched.fetch_sub(1, Ordering::Relaxed);
            let plugin = &*self.generation.name;
            tracing::info!(plugin, "plugin {plugin} runs again");
        }
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

    fn failed(&self, cause: String) -> CallError {
        self.vitals.failures.fetch_add(1, Ordering::Relaxed);
        *self.vitals.error_cell() = Some(cause.clone());
        self.generation.failed();
        CallError::Failed {
            plugin: self.generation.name.to_string(),
            cause,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.instance = None;
        self.count_memory();
        if self.benched {
            self.vitals.benched.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
