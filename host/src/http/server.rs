use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    connection::{self, Admission},
    documents::Cache,
    hold::Phase,
    route::Shared,
    state::{Limits, State},
};

/// Connections waiting to be accepted: after a pause of the network everybody comes back at once.
const BACKLOG: u32 = 4_096;

/// Connections beyond the limit that are told so.
const REFUSALS: usize = 64;

/// Files that the rest of the program may have open: cameras, plugins, logs.
const OTHER_FILES: u64 = 128;

/// The viewers' server, bound to its addresses.
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    door: Door,
}

impl Server {
    /// Binds every address, and raises the limit of open files as far as it goes, since every viewer is one.
    ///
    /// Needs a Tokio runtime around it. An error names the address and says what to do.
    pub fn bind(listen: &[SocketAddr], state: State) -> anyhow::Result<Self> {
        let mut limits = state.limits;
        limits.connections = connections(limits.connections, raise_file_limit());
        let listeners = listen
            .iter()
            .map(|&address| {
                listener(address, listen).map_err(|error| cannot_listen(address, &error))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()
            .context("asking for the address that was bound")?;
        let cache = Cache::new(state.documents, state.live.clone());
        Ok(Self {
            listeners,
            addresses,
            door: Door {
                shared: Arc::new(Shared {
                    live: state.live,
                    cache,
                    page: state.page,
                    health: state.health,
                }),
                protocol: Arc::new(connection::protocol()),
                places: Arc::new(Semaphore::new(limits.connections)),
                refusals: Arc::new(Semaphore::new(REFUSALS)),
                limits: Arc::new(limits),
                phase: watch::Sender::new(Phase::Serving),
            },
        })
    }

    /// The addresses, in the order of `listen`; port 0 has become the port that was given.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted, held requests are let go, and what is being sent
    /// may end within [`Limits::stop`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listeners, door, ..
        } = self;
        let limits = door.limits.clone();
        let door = Arc::new(door);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, door.clone()));
        }
        shutdown.await;
        accepting.shutdown().await;
        door.phase.send_replace(Phase::Stopping);
        // Every connection has a receiver.
        if tokio::time::timeout(limits.stop, door.phase.closed())
            .await
            .is_err()
        {
            tracing::info!(
                connections = door.phase.receiver_count(),
                "connections are cut off that did not end in time"
            );
            door.phase.send_replace(Phase::Over);
        }
    }
}

/// Whom to let in, and what he finds.
struct Door {
    shared: Arc<Shared>,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

impl Door {
    /// Starts a connection, if there is a place for it, even one for being refused. The place moves into its task.
    fn admit(&self, stream: TcpStream) {
        let places = [
            (&self.places, Admission::Served),
            (&self.refusals, Admission::Full),
        ];
        let Some((place, admission)) = places.into_iter().find_map(|(places, admission)| {
            let place = places.clone().try_acquire_owned().ok()?;
            Some((place, admission))
        }) else {
            return;
        };
        // Parts are to leave at once. A socket that refuses the option still works.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY could not be set: {error}");
        }
        let protocol = self.protocol.clone();
        let shared = self.shared.clone();
        let limits = self.limits.clone();
        let phase = self.phase.subscribe();
        tokio::spawn(async move {
            connection::serve(stream, &protocol, shared, admission, &limits, phase).await;
            drop(place);
        });
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut pause = SHORTEST;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                pause = SHORTEST;
                door.admit(stream);
            }
            // Of the connection that was to be accepted, not of the listener (accept(2)).
            Err(error) if of_the_connection(&error) => {}
            Err(error) => {
                // No files or no memory: what is open has to end first.
                tracing::warn!("no connection can be accepted for {pause:?}: {error}");
                tokio::time::sleep(pause).await;
                pause = LONGEST.min(pause * 2);
            }
        }
    }
}

fn of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
    )
}

fn listener(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart need not wait for the last connections of the process before.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        // `[::]` means IPv4, too, unless that has an address of its own.
        let v4_apart = all
            .iter()
            .any(|other| other.is_ipv4() && other.port() == address.port());
        socket2::SockRef::from(&socket).set_only_v6(v4_apart)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An error that says what to do about an address that can't be bound.
fn cannot_listen(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let help = match error.kind() {
        ErrorKind::AddrInUse => {
            ": is another picam-host running? Stop it, or choose another port with --listen"
        }
        ErrorKind::PermissionDenied if address.port() < 1_024 => {
            ": ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one with --listen, or put a \
             reverse proxy in front"
        }
        ErrorKind::AddrNotAvailable => {
            ": no network interface has this address; 0.0.0.0 and [::] stand for all of them"
        }
        _ => "",
    };
    anyhow!("cannot listen on {address}: {error}{help}")
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
