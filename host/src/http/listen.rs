//! A listener and its connections, whatever they lead to: the viewers' site or the operator's.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use hyper::{body::Incoming, http::request::Parts};
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::Instrument as _;

use super::{
    connection::{self, Admission},
    counts::Traffic,
    hold::Phase,
    reply::Response,
    state::Limits,
};

/// Connections waiting to be accepted: after a pause of the network everybody comes back at once.
const BACKLOG: u32 = 4_096;

/// Bytes that the kernel takes beyond what the network does: half a second of a common stream.
const UNSENT: u32 = 128 * 1024;

/// Connections beyond the limit that are told so.
const REFUSALS: usize = 64;

/// What a listener leads to: it reads requests and answers them.
pub(crate) trait Site: Send + Sync + 'static {
    /// A request, read: it owns little, and nothing of the connection's buffer.
    type Asked: Send + 'static;

    /// Finds out what a request wants.
    fn read(&self, head: &Parts, body: Incoming, peer: IpAddr) -> Self::Asked;

    /// Answers, as soon as there is an answer. Whatever waits for something lets go when the phase changes.
    fn answer(
        &self,
        asked: Self::Asked,
        phase: &mut watch::Receiver<Phase>,
    ) -> impl Future<Output = Response> + Send;

    /// The answer where there are too many connections already.
    fn refuse(&self, asked: Self::Asked) -> Response;

    /// Where its connections are counted.
    fn traffic(&self) -> &Arc<Traffic>;
}

/// Bound addresses, at which nothing is answered yet.
pub(crate) struct Listeners {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Listeners {
    /// Binds every address. Needs a Tokio runtime around it. An error names the address, and says what to do with the
    /// option that named it.
    pub(crate) fn bind(listen: &[SocketAddr], option: &str) -> anyhow::Result<Self> {
        let listeners = listen
            .iter()
            .map(|&address| {
                listener(address, listen).map_err(|error| cannot_listen(address, option, &error))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()
            .context("asking for the address that was bound")?;
        Ok(Self {
            listeners,
            addresses,
        })
    }

    /// The addresses, in the order in which they were named; port 0 has become the port that was given.
    pub(crate) fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted, held requests are let go, and what is being sent
    /// may end within [`Limits::stop`].
    pub(crate) async fn serve<S: Site>(
        self,
        site: Arc<S>,
        limits: Limits,
        shutdown: impl Future<Output = ()>,
    ) {
        let limits = Arc::new(limits);
        let door = Arc::new(Door {
            site,
            protocol: Arc::new(connection::protocol()),
            places: Arc::new(Semaphore::new(limits.connections)),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            limits: limits.clone(),
            phase: watch::Sender::new(Phase::Serving),
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
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
struct Door<S> {
    site: Arc<S>,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

impl<S: Site> Door<S> {
    /// Starts a connection, if there is a place for it, even one for being refused. The place moves into its task.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let places = [
            (&self.places, Admission::Served),
            (&self.refusals, Admission::Full),
        ];
        let place = places.into_iter().find_map(|(places, admission)| {
            let place = places.clone().try_acquire_owned().ok()?;
            Some((place, admission))
        });
        if !matches!(place, Some((_, Admission::Served))) {
            self.site.traffic().turned_away.one();
        }
        let Some((place, admission)) = place else {
            return;
        };
        // Parts are to leave at once. A socket that refuses the option still works.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("TCP_NODELAY could not be set: {error}");
        }
        // What a slow viewer hasn't taken waits with us, who know what to leave out, rather than in the kernel.
        let unsent = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        if let Err(error) = unsent {
            tracing::debug!("TCP_NOTSENT_LOWAT could not be set: {error}");
        }
        let protocol = self.protocol.clone();
        let site = self.site.clone();
        let limits = self.limits.clone();
        let phase = self.phase.subscribe();
        let task = async move {
            let traffic = site.traffic().clone();
            let _inside = traffic.connections.enter();
            let ip = peer.ip();
            connection::serve(stream, ip, &protocol, site, admission, &limits, phase).await;
            drop(place);
        };
        tokio::spawn(task.instrument(tracing::debug_span!("connection", %peer)));
    }
}

async fn accept<S: Site>(listener: TcpListener, door: Arc<Door<S>>) {
    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut pause = SHORTEST;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = SHORTEST;
                door.admit(stream, peer);
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

/// Whether an address could be listened on right now; the error says what to do. Needs a Tokio runtime.
pub(crate) fn could_listen(address: SocketAddr, option: &str) -> anyhow::Result<()> {
    listener(address, &[address])
        .map(drop)
        .map_err(|error| cannot_listen(address, option, &error))
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
        SockRef::from(&socket).set_only_v6(v4_apart)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An error that says what to do about an address that can't be bound.
fn cannot_listen(address: SocketAddr, option: &str, error: &io::Error) -> anyhow::Error {
    let help = match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                ": is another picam-host running? Stop it, or choose another port with {option}"
            )
        }
        ErrorKind::PermissionDenied if address.port() < 1_024 => {
            format!(
                ": ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher one with {option}, or put \
                 a reverse proxy in front"
            )
        }
        ErrorKind::AddrNotAvailable => {
            ": no network interface has this address; 0.0.0.0 and [::] stand for all of them".into()
        }
        _ => String::new(),
    };
    anyhow!("cannot listen on {address}: {error}{help}")
}
