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
    secure::{self, Opened},
    state::Limits,
};
use crate::tls::Tls;

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
    fn read(&self, head: &Parts, body: Incoming, peer: Peer) -> Self::Asked;

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

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// Nobody on the way can read what is said.
    pub(crate) tls: bool,
}

/// Where to listen, and with what certificate to speak TLS there, if so.
#[derive(Debug)]
pub struct Place {
    /// The address.
    pub at: At,
    /// Who comes without TLS is led to the same place with it.
    pub tls: Option<Arc<Tls>>,
}

/// An address, or a socket that has one already.
#[derive(Debug)]
pub enum At {
    /// Is to be bound. Port 0 becomes one that is free.
    Address(SocketAddr),
    /// Listens, and doesn't block.
    Socket(std::net::TcpListener),
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self {
            at: At::Address(address),
            tls: None,
        }
    }
}

/// Bound addresses, at which nothing is answered yet.
pub(crate) struct Listeners(Vec<Entrance>);

/// A bound address.
struct Entrance {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Listeners {
    /// Binds every address. Needs a Tokio runtime around it. An error names the address, and says what to do with the
    /// option that named it.
    pub(crate) fn bind(places: Vec<Place>, option: &str) -> anyhow::Result<Self> {
        let wanted: Vec<_> = places
            .iter()
            .filter_map(|place| match place.at {
                At::Address(address) => Some(address),
                At::Socket(_) => None,
            })
            .collect();
        let entrances = places.into_iter().map(|Place { at, tls }| {
            let listener = match at {
                At::Address(address) => listener(address, &wanted)
                    .map_err(|error| cannot_listen(address, option, &error))?,
                At::Socket(socket) => TcpListener::from_std(socket)
                    .context("listening at a socket of the service manager")?,
            };
            let address = listener
                .local_addr()
                .context("asking for the address that was bound")?;
            Ok(Entrance {
                listener,
                address,
                tls,
            })
        });
        entrances.collect::<anyhow::Result<_>>().map(Self)
    }

    /// The addresses, in the order in which they were named; port 0 has become the port that was given.
    pub(crate) fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|entrance| entrance.address)
    }

    /// The same for a browser.
    pub(crate) fn urls(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|entrance| {
            let scheme = if entrance.tls.is_some() {
                "https"
            } else {
                "http"
            };
            format!("{scheme}://{}/", entrance.address)
        })
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
        for entrance in self.0 {
            accepting.spawn(accept(entrance, door.clone()));
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
    fn admit(&self, stream: TcpStream, peer: SocketAddr, tls: Option<&Arc<Tls>>) {
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
        let mut phase = self.phase.subscribe();
        let tls = tls.cloned();
        let task = async move {
            let _place = place;
            let traffic = site.traffic().clone();
            let _inside = traffic.connections.enter();
            let ip = peer.ip();
            let plain = Peer { ip, tls: false };
            let Some(tls) = tls else {
                connection::serve(stream, plain, &protocol, site, admission, &limits, phase).await;
                return;
            };
            match secure::open(stream, &tls, &traffic, &limits, &mut phase).await {
                Some(Opened::Secure(stream)) => {
                    let peer = Peer { ip, tls: true };
                    connection::serve(stream, peer, &protocol, site, admission, &limits, phase)
                        .await;
                }
                Some(Opened::Plain(stream)) => {
                    let site = Arc::new(secure::Signpost(traffic.clone()));
                    connection::serve(stream, plain, &protocol, site, admission, &limits, phase)
                        .await;
                }
                None => {}
            }
        };
        tokio::spawn(task.instrument(tracing::debug_span!("connection", %peer)));
    }
}

async fn accept<S: Site>(entrance: Entrance, door: Arc<Door<S>>) {
    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut pause = SHORTEST;
    loop {
        match entrance.listener.accept().await {
            Ok((stream, peer)) => {
                pause = SHORTEST;
                door.admit(stream, peer, entrance.tls.as_ref());
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
                ": ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); let systemd hand the socket over, as in \
                 examples/deploy, or choose a higher one with {option}"
            )
        }
        ErrorKind::AddrNotAvailable => {
            ": no network interface has this address; 0.0.0.0 and [::] stand for all of them".into()
        }
        _ => String::new(),
    };
    anyhow!("cannot listen on {address}: {error}{help}")
}
