use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use wasmtime::{
    Config, Engine,
    component::{HasSelf, Linker},
};

use super::{bindings::Plugin, host::HostState};

/// How often calls that are running are looked at. A call that went over its time ends at most this much later.
const TICK: Duration = Duration::from_millis(5);

/// What all plugins of a host share: the compiler with its settings, the host's imports, and the ticker.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<HostState>,
    ticker: Arc<Ticker>,
    thread: thread::Thread,
}

impl Runtime {
    pub(super) fn new() -> anyhow::Result<Self> {
        let engine = Engine::new(&config())
            .map_err(anyhow::Error::from)
            .context("starting the WebAssembly engine")?;
        let mut linker = Linker::new(&engine);
        Plugin::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)
            .map_err(anyhow::Error::from)
            .context("preparing what plugins may import")?;
        let ticker = Arc::new(Ticker::default());
        let thread = thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn({
                let (ticker, engine) = (ticker.clone(), engine.clone());
                move || ticker.run(&engine)
            })
            .context("starting the thread that ends endless loops in plugins")?
            .thread()
            .clone();
        Ok(Self {
            engine,
            linker,
            ticker,
            thread,
        })
    }

    /// To be held while a plugin runs: without it, the epoch stands still and nothing ends a loop.
    pub(super) fn watch(&self) -> Watch<'_> {
        // The ticker looks at the count before it parks, and `unpark` outlasts a race with that.
        if self.ticker.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Watch(&self.ticker)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.ticker.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Memory settings for small boards: a Pi's kernel gives a process 39 bits of address space, and the defaults would
/// reserve 4 GiB of it for each memory.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_reservation(32 << 20)
        .memory_guard_size(64 << 10)
        .memory_reservation_for_growth(0)
        .guard_before_linear_memory(false)
        .max_wasm_stack(512 << 10);
    config
}

/// Counts the calls that run, and advances the epoch while there are any. With none it sleeps without a timer.
#[derive(Default)]
struct Ticker {
    running: AtomicUsize,
    stop: AtomicBool,
}

impl Ticker {
    fn run(&self, engine: &Engine) {
        while !self.stop.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) == 0 {
                thread::park();
            } else {
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        }
    }
}

/// One call that is running.
pub(super) struct Watch<'a>(&'a Ticker);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
