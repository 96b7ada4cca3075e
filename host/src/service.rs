//! What a service manager hands over and wants to hear, as systemd does it: sockets that it has bound for us
//! (sd_listen_fds(3)), so that nobody needs a privilege for a port below 1024 and no connection is refused during a restart;
//! and how we are (sd_notify(3)). Where there is no service manager, all of it is nothing.

use std::{
    net::TcpListener,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use sd_notify::NotifyState;
use socket2::{SockRef, Type};

/// Sockets that listen already.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// For viewers, and whether TLS is spoken there, if their names say so.
    pub(crate) viewers: Vec<(TcpListener, Option<bool>)>,
    /// For the operator.
    pub(crate) operator: Option<TcpListener>,
}

/// Takes the sockets that were handed over. To be called once.
///
/// Their names (`FileDescriptorName=`) say what they are for: `operator`; `http` and `https`, for viewers without and with
/// TLS; with any other, TLS is spoken to viewers if there is a certificate.
///
/// # Errors
/// One of them is nothing to listen at.
pub(crate) fn sockets() -> anyhow::Result<Sockets> {
    let mut sockets = Sockets::default();
    let handed =
        sd_notify::listen_fds_with_names().context("taking the sockets of the service manager")?;
    for (descriptor, name) in handed {
        let listener = listener(descriptor).with_context(|| {
            format!("socket {name:?} of the service manager (descriptor {descriptor})")
        })?;
        match &*name {
            "operator" => {
                ensure!(
                    sockets.operator.is_none(),
                    "two sockets of the service manager are called `operator`; there is one place for him"
                );
                sockets.operator = Some(listener);
            }
            "http" => sockets.viewers.push((listener, Some(false))),
            "https" => sockets.viewers.push((listener, Some(true))),
            _ => sockets.viewers.push((listener, None)),
        }
    }
    Ok(sockets)
}

fn listener(descriptor: RawFd) -> anyhow::Result<TcpListener> {
    // SAFETY: The service manager handed it over for us alone, and it is taken once.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let kind = SockRef::from(&socket).r#type();
    ensure!(
        kind.is_ok_and(|kind| kind == Type::STREAM),
        "it is no stream socket; it takes ListenStream= with a port"
    );
    let listener = TcpListener::from(socket);
    listener
        .local_addr()
        .context("it has no Internet address; it takes ListenStream= with a port")?;
    ensure!(
        SockRef::from(&listener).peer_addr().is_err(),
        "it is a connection and listens to nobody; it takes Accept=no"
    );
    listener
        .set_nonblocking(true)
        .context("setting it up for many connections")?;
    Ok(listener)
}

/// Says that the stream is served, and from now on that we live, if somebody wants to hear it. Needs a Tokio runtime
/// around it.
pub(crate) fn ready() {
    tell(NotifyState::Ready);
    if let Some(patience) = sd_notify::watchdog_enabled() {
        // Half of it, as sd_watchdog_enabled(3) asks.
        let period = (patience / 2).max(Duration::from_millis(1));
        tokio::spawn(async move {
            loop {
                tell(NotifyState::Watchdog);
                tokio::time::sleep(period).await;
            }
        });
    }
}

/// Says that we are about to end.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!("the service manager can't be told: {error}");
    }
}
