//! The beginning of a connection where TLS is spoken.

use std::{borrow::Cow, io, sync::Arc};

use hyper::{
    StatusCode,
    body::Incoming,
    header::{HOST, LOCATION},
    http::{HeaderValue, request::Parts},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    counts::Traffic,
    hold::Phase,
    listen::{Peer, Site},
    reply::{self, Response},
    state::Limits,
};
use crate::tls::Tls;

/// What a viewer speaks.
pub(super) enum Opened {
    Secure(Box<TlsStream<TcpStream>>),
    /// HTTP, most likely: he typed an address without its scheme.
    Plain(TcpStream),
}

/// The type of a TLS record that holds a handshake (RFC 8446, 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 22;

/// Agrees with a viewer on how to speak, within the time that a request's header may take. `None` if that failed.
pub(super) async fn open(
    stream: TcpStream,
    tls: &Tls,
    traffic: &Traffic,
    limits: &Limits,
    phase: &mut watch::Receiver<Phase>,
) -> Option<Opened> {
    let opening = tokio::time::timeout(limits.header, agree(stream, tls));
    let outcome = tokio::select! {
        outcome = opening => outcome.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"))
        }),
        // The server stops. Nothing has been asked for yet.
        _ = phase.changed() => return None,
    };
    outcome
        .inspect_err(|error| {
            traffic.failed_handshakes.one();
            tracing::debug!("no TLS with this viewer: {error}");
        })
        .ok()
}

async fn agree(stream: TcpStream, tls: &Tls) -> io::Result<Opened> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
        return Ok(Opened::Plain(stream));
    }
    let config = tls.config(stream.local_addr()?.ip());
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    Ok(Opened::Secure(Box::new(stream)))
}

/// Leads to the same address with TLS, whatever is asked for.
///
/// For now only: browsers remember for ever what moved permanently, and TLS may be turned off again.
pub(super) struct Signpost(pub(super) Arc<Traffic>);

impl Site for Signpost {
    type Asked = Response;

    fn read(&self, head: &Parts, _: Incoming, _: Peer) -> Response {
        let authority = match head.uri.authority() {
            Some(authority) => Some(Cow::from(authority.as_str())),
            None => head
                .headers
                .get(HOST)
                .map(|host| String::from_utf8_lossy(host.as_bytes())),
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let location =
            authority.and_then(|host| HeaderValue::from_str(&format!("https://{host}{path}")).ok());
        let Some(location) = location else {
            return reply::line(
                StatusCode::BAD_REQUEST,
                "TLS is spoken here: ask by https://",
            );
        };
        let mut response = reply::line(
            StatusCode::TEMPORARY_REDIRECT,
            "TLS is spoken here: ask by https://",
        );
        response.headers_mut().insert(LOCATION, location);
        response
    }

    async fn answer(&self, response: Response, _: &mut watch::Receiver<Phase>) -> Response {
        response
    }

    fn refuse(&self, response: Response) -> Response {
        response
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.0
    }
}
