use std::{net::SocketAddr, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    documents::Cache,
    listen::{Listeners, Place},
    overlay::Overlay,
    route::Shared,
    state::{Limits, State},
};
use crate::stills::Stills;

/// Files that the rest of the program may have open: cameras, plugins, logs, the operator's connections.
const OTHER_FILES: u64 = 128;

/// The viewers' server, bound to its addresses.
pub struct Server {
    listeners: Listeners,
    site: Arc<Shared>,
    limits: Limits,
}

impl Server {
    /// Binds every address, and raises the limit of open files as far as it goes, since every viewer is one.
    ///
    /// Needs a Tokio runtime around it. An error names the address and says what to do.
    pub fn bind(places: Vec<Place>, state: State) -> anyhow::Result<Self> {
        let mut limits = state.limits;
        limits.connections = connections(limits.connections, raise_file_limit());
        let cache = Cache::new(state.documents, state.live.clone(), state.counts.clone());
        Ok(Self {
            listeners: Listeners::bind(places, "--listen")?,
            site: Arc::new(Shared {
                stills: Stills::new(state.live.clone()),
                live: state.live,
                cache,
                guard: state.guard,
                overlay: Overlay::new(state.overlay),
                page: state.page,
                health: state.health,
                counts: state.counts,
            }),
            limits,
        })
    }

    /// The addresses, in the order of `places`; port 0 has become the port that was given.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.local_addrs()
    }

    /// The same for a browser.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        self.listeners.urls()
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted, held requests are let go, and what is being sent
    /// may end within [`Limits::stop`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        self.listeners.serve(self.site, self.limits, shutdown).await;
    }
}

/// How many connections the limit of open files leaves room for.
fn connections(wanted: usize, files: Option<u64>) -> usize {
    let Some(files) = files else {
        return wanted;
    };
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            "the system permits {files} open files (ulimit -n), so at most {room} viewers at once instead of {wanted}"
        );
    }
    wanted.min(room).max(1)
}

/// Raises the soft limit of open files to the hard one, and says what it is now; `None` if there is none.
fn raise_file_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!("the limit of open files stays at {current:?}: {error}");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_leave_files_for_everything_else() {
        assert_eq!(connections(10_000, None), 10_000);
        assert_eq!(connections(10_000, Some(1 << 20)), 10_000);
        assert_eq!(connections(10_000, Some(1_024)), 896);
        assert_eq!(connections(10_000, Some(100)), 1);
    }
}
