use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use hyper::{Request, Version, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};
use tracing::Instrument as _;

use super::{
    activity::{Activity, Verdict, Watched},
    hold::Phase,
    listen::{Peer, Site},
    query,
    state::Limits,
};

/// Largest header of a request, with its first line. Longer ones get 431.
const HEADER: usize = 16 * 1024;

/// Requests at once on one HTTP/2 connection. A player needs a handful.
const STREAMS: u32 = 100;

/// How long an HTTP/2 viewer may owe the answer to a ping, and how often he gets one.
const PING: Duration = Duration::from_secs(20);

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Everything.
    Served,
    /// There are too many already: 503, and the health of the stream.
    Full,
}

/// How HTTP is spoken. hyper's own time limit for headers is off: it counts idle time and the header as one, and nothing
/// counts while the version is being found out. [`Activity`] does all of it.
pub(super) fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // Bounds the header, since nothing else is read. What is sent is not copied into a buffer.
        .max_buf_size(HEADER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER as u32)
        // Viewers send us nothing but requests: the smallest windows there are.
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    builder
}

enum Step<T> {
    /// The connection is over.
    Ended(T),
    /// A request has begun to arrive, and is to be complete by then.
    Begun(Instant),
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Site>(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    protocol: &auto::Builder<TokioExecutor>,
    site: Arc<S>,
    admission: Admission,
    limits: &Limits,
    mut phase: watch::Receiver<Phase>,
) {
    let activity = Activity::new(site.traffic().clone());
    let io = TokioIo::new(Watched {
        inner: io,
        activity: activity.clone(),
    });
    let service = {
        let (activity, phase) = (activity.clone(), phase.clone());
        service_fn(move |request: Request<Incoming>| {
            let in_flight = activity.request(request.version() == Version::HTTP_2);
            let span = tracing::debug_span!(
                "request",
                method = %request.method(),
                path = %query::shown(request.uri().path())
            );
            // The request is read and let go before anything is waited for: its fields lie in the connection's buffer.
            let (head, body) = request.into_parts();
            let asked = span.in_scope(|| site.read(&head, body, peer));
            drop(head);
            let (site, mut phase) = (site.clone(), phase.clone());
            let answer = async move {
                let response = match admission {
                    Admission::Served => site.answer(asked, &mut phase).await,
                    Admission::Full => site.refuse(asked),
                };
                tracing::trace!(status = response.status().as_u16(), "answered");
                Ok::<_, Infallible>(response.map(|body| body.of_request(in_flight)))
            };
            answer.instrument(span)
        })
    };
    let mut connection = pin!(protocol.serve_connection(io, service));
    let mut timer = pin!(tokio::time::sleep_until(Instant::now() + limits.header));
    let mut stopping = false;
    loop {
        // Whatever arrives, arrives while the connection is polled: the beginning of a request brings the timer forward.
        let due = timer.deadline();
        let step = poll_fn(|cx| match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Step::Ended(ended)),
            Poll::Pending => match activity.head_due(limits) {
                Some(head) if head < due => Poll::Ready(Step::Begun(head)),
                _ => Poll::Pending,
            },
        });
        tokio::select! {
            step = step => match step {
                Step::Begun(head) => timer.as_mut().reset(head),
                Step::Ended(ended) => {
                    if let Err(error) = ended {
                        tracing::debug!("a connection ended early: {error}");
                    }
                    return;
                }
            },
            () = timer.as_mut() => match activity.verdict(limits) {
                Verdict::Until(then) => timer.as_mut().reset(then),
                Verdict::Idle if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    // For the goodbye.
                    timer.as_mut().reset(Instant::now() + limits.header);
                }
                Verdict::Idle => return,
                Verdict::Cut(why) => {
                    tracing::debug!("a connection is cut off: {why}");
                    return;
                }
            },
            changed = phase.changed() => match *phase.borrow_and_update() {
                _ if changed.is_err() => return,
                Phase::Over => return,
                Phase::Stopping => connection.as_mut().graceful_shutdown(),
                Phase::Serving => {}
            },
        }
    }
}
