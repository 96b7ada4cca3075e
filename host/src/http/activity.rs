//! What a connection is doing, as far as it matters for cutting it off: written from wherever it happens (an HTTP/2
//! stream is a task of its own), read by the connection's one timer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{counts::Traffic, state::Limits};

/// Times are milliseconds since `opened`. The order of the writes among each other doesn't matter: a reader that sees an
/// older mix closes nothing early by more than the moment in between, since every state has its own full time.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// A request has come; before that, the header limit counts from the opening.
    asked: AtomicBool,
    /// HTTP/2: what arrives between requests is no beginning of a request.
    multiplexed: AtomicBool,
    /// Requests whose response has not gone yet.
    requests: AtomicU32,
    /// Responses among them that have begun, with bytes left.
    sending: AtomicU32,
    /// When the last response had gone.
    quiet: AtomicU64,
    /// When the first byte of the request came that is not complete yet, or `NEVER`.
    head: AtomicU64,
    /// When a viewer last took bytes of a response, or a response began.
    progress: AtomicU64,
    traffic: Arc<Traffic>,
}

const NEVER: u64 = u64::MAX;

/// What the connection's timer should do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again then.
    Until(Instant),
    /// Nobody asks for anything: say goodbye.
    Idle,
    /// Cut it off, for this reason.
    Cut(&'static str),
}

impl Activity {
    pub(super) fn new(traffic: Arc<Traffic>) -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            asked: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            requests: AtomicU32::new(0),
            sending: AtomicU32::new(0),
            quiet: AtomicU64::new(0),
            head: AtomicU64::new(NEVER),
            progress: AtomicU64::new(0),
            traffic,
        })
    }

    /// A request has come. The guard lives until the last byte of its response has gone.
    pub(super) fn request(self: &Arc<Self>, multiplexed: bool) -> InFlight {
        self.multiplexed.store(multiplexed, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.head.store(NEVER, Relaxed);
        self.asked.store(true, Relaxed);
        InFlight {
            activity: self.clone(),
            sending: false,
        }
    }

    /// What is to be done now.
    pub(super) fn verdict(&self, limits: &Limits) -> Verdict {
        let now = self.now();
        let (since, limit, verdict) = if self.requests.load(Relaxed) > 0 {
            if self.sending.load(Relaxed) == 0 {
                // Held: whoever holds it has a limit of his own.
                (now, limits.stall, Verdict::Idle)
            } else {
                let verdict = Verdict::Cut("the viewer took no byte of the response for too long");
                (self.progress.load(Relaxed), limits.stall, verdict)
            }
        } else if !self.asked.load(Relaxed) {
            let verdict = Verdict::Cut("no complete request came in time");
            (0, limits.header, verdict)
        } else {
            match self.head.load(Relaxed) {
                NEVER => (self.quiet.load(Relaxed), limits.idle, Verdict::Idle),
                _ if self.multiplexed.load(Relaxed) => {
                    (self.quiet.load(Relaxed), limits.idle, Verdict::Idle)
                }
                head => {
                    let verdict = Verdict::Cut("the rest of the request did not come in time");
                    (head, limits.header, verdict)
                }
            }
        };
        let deadline = since.saturating_add(millis(limit));
        if deadline > now {
            Verdict::Until(self.opened + Duration::from_millis(deadline))
        } else {
            verdict
        }
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }

    /// When the request must be complete that has begun to arrive, if one has.
    pub(super) fn head_due(&self, limits: &Limits) -> Option<Instant> {
        match self.head.load(Relaxed) {
            NEVER => None,
            _ if self.multiplexed.load(Relaxed) => None,
            head => Some(self.opened + Duration::from_millis(head) + limits.header),
        }
    }

    fn received(&self) {
        if self.requests.load(Relaxed) == 0 && self.head.load(Relaxed) == NEVER {
            self.head.store(self.now(), Relaxed);
        }
    }

    fn sent(&self, write: &Poll<io::Result<usize>>) {
        let Poll::Ready(outcome) = write else { return };
        if let Ok(bytes) = outcome {
            self.traffic.sent.add(*bytes as u64);
        }
        // Over HTTP/2 these may be pings. There the data itself tells.
        if !self.multiplexed.load(Relaxed) {
            self.progress.store(self.now(), Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A request that has not been answered to the last byte.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    sending: bool,
}

impl InFlight {
    /// The response begins.
    pub(super) fn sending(&mut self) {
        if !self.sending {
            self.sending = true;
            self.progress();
            self.activity.sending.fetch_add(1, Relaxed);
        }
    }

    /// A piece of a response that has more to come: between its pieces nobody has to take anything, so each is sent for
    /// itself.
    pub(super) fn piece(&self) -> Self {
        self.activity.requests.fetch_add(1, Relaxed);
        let mut piece = Self {
            activity: self.activity.clone(),
            sending: false,
        };
        piece.sending();
        piece
    }

    /// Bytes of the response have been taken.
    pub(super) fn progress(&self) {
        self.activity.progress.store(self.activity.now(), Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.quiet.store(self.activity.now(), Relaxed);
        if self.sending {
            self.activity.sending.fetch_sub(1, Relaxed);
        }
        self.activity.requests.fetch_sub(1, Relaxed);
    }
}

/// A socket that tells the activity when something arrives or leaves.
pub(super) struct Watched<T> {
    pub(super) inner: T,
    pub(super) activity: Arc<Activity>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
        }
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.activity.sent(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.activity.sent(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
