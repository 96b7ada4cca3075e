//! Many viewers at once, and the moments when the kernel had something for them to read.

use std::{
    io,
    mem::size_of,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as Task, Poll, ready},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpSocket, TcpStream},
    sync::oneshot,
};

/// What a crowd does when the processors are wanted by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It waits until nobody else wants one (SCHED_IDLE): its viewers stand for those that have machines of their own.
    GivesWay,
    /// It takes its share.
    TakesItsShare,
}

/// Viewers on a thread of their own.
#[derive(Debug)]
pub struct Crowd(thread::JoinHandle<Result<()>>);

impl Crowd {
    /// Connects them one after the other, and has each do the same.
    ///
    /// # Errors
    /// One of them can't connect.
    pub async fn gather<F>(
        manners: Manners,
        connections: usize,
        address: SocketAddr,
        each: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (connected, ready) = oneshot::channel();
        let crowd = async move {
            let mut tasks = Vec::new();
            for _ in 0..connections {
                let stream = connect(address).await?;
                tasks.push(tokio::spawn(each(stream)));
            }
            drop(each);
            // The one who waits may have given up.
            let _ = connected.send(());
            for task in tasks {
                task.await?;
            }
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("viewers".into())
            .spawn(move || {
                if manners == Manners::GivesWay {
                    give_way()?;
                }
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(crowd)
            })?;
        match ready.await {
            Ok(()) => Ok(Self(thread)),
            Err(_) => Err(Self(thread)
                .disperse()
                .err()
                .context("the viewers went away")?),
        }
    }

    /// Waits until each is done.
    ///
    /// # Errors
    /// The thread failed.
    pub fn disperse(self) -> Result<()> {
        self.0
            .join()
            .unwrap_or_else(|_| bail!("the viewers' thread panicked"))
    }
}

/// From here on this thread runs only on processors that nobody else wants.
fn give_way() -> Result<()> {
    // SAFETY: all zero is a valid parameter, and the only one that this policy takes.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the parameter lives through the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) } != 0 {
        return Err(io::Error::last_os_error()).context("giving way to the host");
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // Before connecting, since that is when the window is agreed on.
    socket.set_recv_buffer_size(1 << 20)?;
    let stream = socket
        .connect(address)
        .await
        .context("connecting a viewer (does `ulimit -n` allow for so many?)")?;
    stream.set_nodelay(true)?;
    let on: libc::c_int = 1;
    // SAFETY: the option's value is a `c_int` that lives through the call.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error()).context("asking for times of receipt");
    }
    Ok(stream)
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request of a connection at a time.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Just before it was asked for.
    pub asked: SystemTime,
    /// When the kernel had the last byte that was read until it was whole. On a connection with several requests that may
    /// be a byte of another response behind it, so it is never too early.
    pub readable: SystemTime,
    /// As in 200.
    pub status: u16,
    /// All of it.
    pub body: Bytes,
}

/// Something to ask on: a connection, or one of several requests that go on at once on a connection.
#[derive(Debug)]
pub struct Line {
    sender: Sender,
    last: Arc<Mutex<SystemTime>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Line {
    /// So many lines of one connection; with HTTP/1.1 there is always just one.
    ///
    /// # Errors
    /// The other side doesn't speak the protocol.
    pub async fn open(stream: TcpStream, protocol: Protocol, lines: usize) -> Result<Vec<Self>> {
        let last = Arc::new(Mutex::new(UNIX_EPOCH));
        let io = TokioIo::new(Stamped {
            stream,
            last: last.clone(),
        });
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                let sender = Sender::Http1(sender);
                Ok(vec![Self { sender, last }])
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                let line = |_| Self {
                    sender: Sender::Http2(sender.clone()),
                    last: last.clone(),
                };
                Ok((0..lines).map(line).collect())
            }
        }
    }

    /// Asks for a path, and reads the whole response.
    ///
    /// # Errors
    /// The connection ends before the response does.
    pub async fn get(&mut self, path: &str) -> Result<Receipt> {
        let request = Request::get(path).header("host", "crowd");
        let asked = SystemTime::now();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request.body(Empty::new())?).await
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("http://crowd{path}"));
                sender.ready().await?;
                sender.send_request(request.body(Empty::new())?).await
            }
        };
        let response = response.with_context(|| format!("GET {path}"))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.with_context(|| format!("GET {path}"))?.to_bytes();
        let readable = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Receipt {
            asked,
            readable,
            status,
            body,
        })
    }
}

/// A stream that takes down when the kernel had what was read last.
struct Stamped {
    stream: TcpStream,
    last: Arc<Mutex<SystemTime>>,
}

impl AsyncRead for Stamped {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(task))?;
            let room = buffer.initialize_unfilled();
            match self
                .stream
                .try_io(Interest::READABLE, || receive(&self.stream, room))
            {
                Ok((len, at)) => {
                    buffer.advance(len);
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = at;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

/// Reads what is there, and when the kernel got the last of it. For streams of a [`Crowd`].
pub fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, SystemTime)> {
    // Aligned for the control message's header, and roomy.
    let mut control = [0_u64; 16];
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zero is a message without name, buffers and flags.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: buffer and control live through the call, and are as long as is said.
    let len = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) };
    let Ok(len) = usize::try_from(len) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has filled in the message, and `control` still lives.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        // The end of a stream has no time.
        return Ok((len, SystemTime::now()));
    }
    // SAFETY: it is the first header, whole, within `control`.
    let kind = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
    if kind != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return Err(io::Error::other("the kernel gives no time of receipt"));
    }
    // SAFETY: a control message of this kind is a `timespec`; it may be unaligned.
    let stamp: libc::timespec = unsafe {
        libc::CMSG_DATA(header)
            .cast::<libc::timespec>()
            .read_unaligned()
    };
    let since = Duration::new(stamp.tv_sec.cast_unsigned(), stamp.tv_nsec as u32);
    Ok((len, UNIX_EPOCH + since))
}
