use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::{
    super::{
        CallError, Hook,
        budget::{BRIEF, thread_time},
        generation::Generation,
        instance::Instance,
        worker::{Fault, Keeper, Vitals},
    },
    queue::Queue,
};

/// Instances and threads of a plugin at most; fewer where there are fewer processors.
const THREADS_MOST: usize = 16;

/// How long a request waits for its turn and its call.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `nice` adds to the threads: no password hash takes the processor from a frame.
const NICE: i32 = 5;

/// Instances of one generation, as many as there are processors, and threads for them.
///
/// Handing a call to a thread and its result back costs some 20 µs, several times what checking a token does. So a plugin
/// that has shown to be quick is called by whoever asks, on his own thread. One that has once been slow isn't, from then on:
/// a password hash, or a loop, is nothing for a thread that serves viewers. Should that come without warning, the call is
/// broken off after a few milliseconds and made again on a thread of the pool's.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

type Job = Box<dyn FnOnce(&Shared) + Send>;

struct Shared {
    name: Arc<str>,
    /// Those that call nothing now.
    keepers: Mutex<Vec<Keeper>>,
    /// One has come back.
    returned: Condvar,
    queue: Queue<Job>,
    pace: Pace,
}

impl Pool {
    /// `first`, if there is one, is an instance to begin with. The others start when they are needed.
    pub(super) fn start(
        generation: &Arc<Generation>,
        first: Option<Instance>,
        vitals: &Arc<Vitals>,
    ) -> anyhow::Result<Self> {
        let size = thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MOST));
        let mut keepers: Vec<_> = (1..size)
            .map(|_| Keeper::new(generation.clone(), None, vitals.clone()))
            .collect();
        // The last one is taken first.
        keepers.push(Keeper::new(generation.clone(), first, vitals.clone()));
        let pool = Self {
            shared: Arc::new(Shared {
                name: generation.name.clone(),
                keepers: Mutex::new(keepers),
                returned: Condvar::new(),
                queue: Queue::new(),
                pace: Pace::default(),
            }),
        };
        for _ in 0..size {
            let shared = pool.shared.clone();
            // The kernel keeps 15 bytes of a thread's name.
            thread::Builder::new()
                .name(format!("auth {}", generation.name))
                .spawn(move || shared.work())
                .with_context(|| format!("starting a thread for plugin {}", generation.name))?;
        }
        Ok(pool)
    }

    /// Calls the plugin on behalf of a peer. `subject` is what the call is about, in the words of an error.
    ///
    /// If the caller goes away before its turn comes, the plugin isn't called.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        peer: IpAddr,
        subject: impl Display + Send + 'static,
        call: impl Fn(&mut Instance) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, CallError> {
        if self.shared.pace.is_quick()
            && let Some(keeper) = self.shared.ready()
            && let Some(result) = self.shared.run_briefly(keeper, &subject, &call)
        {
            return result;
        }
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |shared| {
            if !reply.is_closed() {
                let result = shared.run(shared.wait_for_one(), &subject, call);
                // The caller may have gone away meanwhile.
                let _ = reply.send(result);
            }
        });
        // The one who is displaced learns of it by his job being dropped, be it another or this one.
        drop(self.shared.queue.push(peer.into(), job));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(CallError::Busy {
                plugin: self.shared.name.to_string(),
            }),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Shared {
    fn work(&self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(
                "threads of plugin {} keep their priority: {error}",
                self.name
            );
        }
        while let Some(job) = self.queue.pop() {
            job(self);
        }
    }

    fn run<T>(
        &self,
        keeper: Keeper,
        subject: &dyn Display,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, CallError> {
        let mut seat = Seat::of(self, keeper);
        let before = thread_time();
        let result = seat.keeper().call(Hook::Auth, subject, call);
        self.pace.took(thread_time().saturating_sub(before));
        result
    }

    /// `None`: the plugin isn't as quick as it was.
    fn run_briefly<T>(
        &self,
        keeper: Keeper,
        subject: &dyn Display,
        call: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Option<Result<T, CallError>> {
        let mut seat = Seat::of(self, keeper);
        let before = thread_time();
        let result = seat
            .keeper()
            .call_briefly(before, Hook::Auth, subject, call);
        self.pace.took(thread_time().saturating_sub(before));
        if result.is_none() {
            tracing::info!(
                "plugin {} was quick so far and is no more: a call was broken off after {BRIEF:?}, and is made again on a \
                 thread of its own, as all are from now on",
                self.name
            );
        }
        result
    }

    /// One that can be called without being started first.
    fn ready(&self) -> Option<Keeper> {
        self.keepers().pop_if(|keeper| keeper.is_ready())
    }

    fn wait_for_one(&self) -> Keeper {
        let mut keepers = self.keepers();
        loop {
            if let Some(keeper) = keepers.pop() {
                return keeper;
            }
            keepers = self
                .returned
                .wait(keepers)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing under this lock panics.
    fn keepers(&self) -> MutexGuard<'_, Vec<Keeper>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Seat<'a> {
    pool: &'a Shared,
    keeper: Option<Keeper>,
}

/// However a call ends, its place is free again.
impl<'a> Seat<'a> {
    fn of(pool: &'a Shared, keeper: Keeper) -> Self {
        Self {
            pool,
            keeper: Some(keeper),
        }
    }

    fn keeper(&mut self) -> &mut Keeper {
        self.keeper.as_mut().expect("it goes back on drop")
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            let mut keepers = self.pool.keepers();
            // The last one is taken first; what has to wait is taken if there is nothing else.
            match keeper.is_paused() {
                true => keepers.insert(0, keeper),
                false => keepers.push(keeper),
            }
            drop(keepers);
            self.pool.returned.notify_one();
        }
    }
}

/// How long the plugin's calls take of a processor: quick once so many in a row were, slow for good after one that was.
#[derive(Debug, Default)]
struct Pace(AtomicU32);

impl Pace {
    const QUICK: Duration = Duration::from_micros(200);
    const SLOW: Duration = Duration::from_millis(1);
    const ROW: u32 = 32;
    const NEVER: u32 = u32::MAX;

    fn is_quick(&self) -> bool {
        (Self::ROW..Self::NEVER).contains(&self.0.load(Ordering::Relaxed))
    }

    fn took(&self, time: Duration) {
        let row = self.0.load(Ordering::Relaxed);
        let new = match row {
            Self::NEVER => return,
            _ if time >= Self::SLOW => Self::NEVER,
            Self::ROW => return,
            _ if time >= Self::QUICK => 0,
            row => row + 1,
        };
        // Another call may have counted at the same time: the slower of the two is what must not be lost.
        if new == Self::NEVER {
            self.0.store(new, Ordering::Relaxed);
        } else {
            // It fails if something else was counted, which is then all there is to know.
            let _ = self
                .0
                .compare_exchange(row, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_quick_after_a_row_of_quick_calls_and_never_again_after_a_slow_one() {
        let pace = Pace::default();
        let quick = Duration::from_micros(5);
        for _ in 1..Pace::ROW {
            pace.took(quick);
        }
        pace.took(Pace::QUICK);
        assert!(!pace.is_quick(), "the row was broken");
        for _ in 0..Pace::ROW {
            assert!(!pace.is_quick());
            pace.took(quick);
        }
        assert!(pace.is_quick());
        pace.took(Pace::QUICK * 2);
        assert!(pace.is_quick(), "not yet slow");
        pace.took(Pace::SLOW);
        for _ in 0..10 * Pace::ROW {
            pace.took(quick);
        }
        assert!(!pace.is_quick());
    }
}
