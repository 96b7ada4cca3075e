//! How long it takes from the last byte of a frame to the last byte of its part at each of many waiting viewers.
//!
//!     bench-viewers [VIEWERS] [SECONDS] [WIDTHxHEIGHT]
//!
//! Each viewer is a connection of its own that asks for the part that the playlist hints at, and so waits for it. The
//! pictures come from x264 and reach the host through its standard input, each with the delimiter that ends it, as a
//! camera's buffer tells where a picture ends; the moment that counts is when the last byte of a part's last picture was
//! written. A viewer's moment is when the kernel had the last byte of the response ready for it (SO_TIMESTAMPNS).
//!
//! Viewers have machines of their own, as a rule. So this one gives its processors to the viewers only when the host
//! doesn't want them (SCHED_IDLE), and their sockets have room for a whole part. The time until they have looked is
//! printed, too.
//!
//! Beside it, the same bytes are written to as many sockets by a loop that does nothing else: what the kernel takes.
//!
//! Prints a line of the table that `cargo xtask bench` prints.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    mem::size_of,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    process::Stdio,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use picam_tests::{Clip, Feed, Host, Playlist, Sent, media, percentile};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot, watch},
};

/// Parts that are not counted, while everything warms up.
const WARM_UP: usize = 3;

/// What a viewer got.
struct Receipt {
    path: String,
    /// When it had asked.
    asked: SystemTime,
    /// When the kernel had the last byte.
    readable: SystemTime,
    /// When the viewer had it.
    read: SystemTime,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u64| match arguments.next() {
        Some(word) => word
            .parse()
            .with_context(|| format!("{word:?} is no number")),
        None => Ok(otherwise),
    };
    let (viewers, seconds) = (number(1_000)?, number(20)?);
    let size = arguments.next().unwrap_or("1280x720".into());
    let (width, height) = size
        .split_once('x')
        .context("a size is written as in 1280x720")?;
    let clip = Clip::sized(width.parse()?, height.parse()?);
    let pictures = clip.ended_units().await?;
    let bytes: usize = pictures.iter().map(Vec::len).sum();
    let kilobits = bytes as u64 * 8 * u64::from(clip.fps) / pictures.len() as u64 / 1_000;
    let known = known(&pictures);

    let (reader, writer) = std::io::pipe()?;
    let host = Host::source("-").stdin(Stdio::from(reader)).start().await?;
    let feed = Feed::start(pictures, clip.fps, vec![Box::new(writer)])?;
    let client = host.http1()?;
    let mut playlist = host.media_playlist().await?;
    let (hints, hint) = watch::channel(None);
    let (receipts, mut received) = mpsc::unbounded_channel();
    let address = host.address();
    let crowd = Crowd::gather(viewers, address, move |stream| {
        view(stream, hint.clone(), receipts.clone())
    })
    .await?;

    // Last picture of each part.
    let mut parts = HashMap::new();
    let mut media = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let path = hinted(&playlist)?;
        hints.send_replace(Some(path.clone()));
        playlist = playlist.next(&client).await?;
        let part = client.fetch(&path).await?;
        media += part.len();
        parts.insert(
            path,
            (parts.len(), last_picture(&part, &known)?, SystemTime::now()),
        );
    }
    drop(hints);
    let sent = feed.stop()?;

    let (mut readable, mut read, mut late) = (Vec::new(), Vec::new(), 0);
    while let Some(receipt) = received.recv().await {
        let receipt: Receipt = receipt?;
        // The last that was asked for isn't among them.
        let Some(&(number, picture, seen)) = parts.get(&receipt.path) else {
            continue;
        };
        if number < WARM_UP {
            continue;
        }
        let written = written(&sent, picture, seen)?;
        if receipt.asked > written {
            // It didn't wait: the part was there, or nearly so, before it was asked for.
            late += 1;
            continue;
        }
        readable.push(millis(written, receipt.readable));
        read.push(millis(written, receipt.read));
    }
    crowd.disperse()?;
    readable.sort_by(f64::total_cmp);
    read.sort_by(f64::total_cmp);
    ensure!(!readable.is_empty(), "no viewer waited for any part");
    eprintln!(
        "{} receipts of {} parts, {late} more asked too late to have waited; read by this program: p50 {:.1} ms, p99 {:.1} ms",
        readable.len(),
        parts.len() - WARM_UP,
        percentile(&read, 0.5),
        percentile(&read, 0.99),
    );
    let floor = floor(viewers, media / parts.len().max(1)).await?;
    let (p50, p99) = (percentile(&readable, 0.5), percentile(&readable, 0.99));
    println!(
        "| last byte of a frame → its part readable by {viewers} waiting viewers ({size}, {kilobits} kbit/s) | p50 {p50:.1} ms, \
         p99 {p99:.1} ms | the same bytes from a loop of `write`: p50 {:.1} ms, p99 {:.1} ms | {:.2} | p99 ≤ 5 ms |",
        percentile(&floor, 0.5),
        percentile(&floor, 0.99),
        p99 / percentile(&floor, 0.99),
    );
    Ok(())
}

/// Viewers on a thread of their own, which runs when nothing else wants to.
struct Crowd(thread::JoinHandle<Result<()>>);

impl Crowd {
    /// Connects them all, and has each do the same.
    async fn gather<F>(
        viewers: u64,
        address: SocketAddr,
        each: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (connected, ready) = oneshot::channel();
        let crowd = async move {
            let mut streams = Vec::new();
            for _ in 0..viewers {
                streams.push(connect(address).await?);
            }
            let tasks: Vec<_> = streams
                .into_iter()
                .map(|stream| tokio::spawn(each(stream)))
                .collect();
            drop(each);
            // The one who waits may have given up.
            let _ = connected.send(());
            for task in tasks {
                task.await?;
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("viewers".into()).spawn(|| {
            give_way()?;
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
    fn disperse(self) -> Result<()> {
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

/// Milliseconds until so many bytes can be read from each of so many sockets, when nothing is done but writing them, on
/// as many threads as there are processors; sorted. Several rounds in one list.
async fn floor(viewers: u64, bytes: usize) -> Result<Vec<f64>> {
    const ROUNDS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let crowd = Crowd::gather(viewers, listener.local_addr()?, move |mut stream| {
        let sender = sender.clone();
        async move {
            for round in 0..ROUNDS {
                let readable = skip(&mut stream, bytes).await;
                let failed = readable.is_err();
                if sender.send((round, readable)).is_err() || failed {
                    return;
                }
            }
        }
    });
    let accept = tokio::task::spawn_blocking(move || {
        (0..viewers)
            .map(|_| {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                Ok(socket)
            })
            .collect::<Result<Vec<_>>>()
    });
    let (crowd, sockets) = tokio::join!(crowd, accept);
    let (crowd, mut sockets) = (crowd?, sockets??);
    let threads = thread::available_parallelism()?.get();
    let share = sockets.len().div_ceil(threads).max(1);
    let shares: Vec<Vec<_>> = std::iter::from_fn(|| {
        let rest = sockets.split_off(share.min(sockets.len()));
        let share = std::mem::replace(&mut sockets, rest);
        (!share.is_empty()).then_some(share)
    })
    .collect();
    let barrier = Arc::new(Barrier::new(shares.len() + 1));
    let writers: Vec<_> = shares
        .into_iter()
        .map(|mut share| {
            let barrier = barrier.clone();
            thread::spawn(move || -> io::Result<()> {
                let data = vec![0; bytes];
                for _ in 0..ROUNDS {
                    barrier.wait();
                    for socket in &mut share {
                        socket.write_all(&data)?;
                    }
                }
                Ok(())
            })
        })
        .collect();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        // As far apart as parts are, so that the processors are as awake as they would be.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = SystemTime::now();
        barrier.wait();
        for _ in 0..viewers {
            let (of, readable) = receiver.recv().await.context("a viewer is missing")?;
            ensure!(of == round, "a viewer is a round behind");
            times.push(millis(began, readable?));
        }
    }
    for writer in writers {
        writer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a writer panicked")))?;
    }
    crowd.disperse()?;
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Reads so many bytes, and tells when the last of them was there.
async fn skip(stream: &mut TcpStream, mut bytes: usize) -> Result<SystemTime> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (len, readable) = stream
            .async_io(Interest::READABLE, || receive(stream, &mut buffer))
            .await?;
        ensure!(len > 0, "the connection was closed");
        bytes = bytes.checked_sub(len).context("more came than was sent")?;
        if bytes == 0 {
            return Ok(readable);
        }
    }
}

/// Which picture a slice belongs to: no two pictures of a clip are the same.
fn known(pictures: &[Vec<u8>]) -> HashMap<Vec<u8>, usize> {
    let slices = pictures.iter().enumerate().filter_map(|(number, picture)| {
        let mut nals = media::annex_b(picture);
        // The last one is the delimiter.
        nals.pop();
        Some((nals.pop()?.to_vec(), number))
    });
    slices.collect()
}

fn last_picture(part: &Bytes, known: &HashMap<Vec<u8>, usize>) -> Result<usize> {
    let fragments = media::fragments(part)?;
    let samples = &fragments.last().context("a part without media")?.samples;
    let slice = samples.last().and_then(|sample| sample.nals.last());
    known
        .get(&slice.context("a fragment without media")?[..])
        .copied()
        .context("a part ends with a picture that was never sent")
}

/// When a picture was written the last time before it was seen.
fn written(sent: &[Sent], picture: usize, seen: SystemTime) -> Result<SystemTime> {
    let last = sent.iter().rev();
    last.filter(|sent| sent.picture == picture)
        .map(|sent| sent.at)
        .find(|at| *at <= seen)
        .context("a picture was received that was never sent")
}

fn hinted(playlist: &Playlist) -> Result<String> {
    let hint = playlist.hints.iter().find(|hint| hint["TYPE"] == "PART");
    let uri = &hint.context("the playlist hints at no part")?["URI"];
    Ok(playlist.resolve(uri))
}

fn millis(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(later) => later.as_secs_f64() * 1e3,
        Err(earlier) => -earlier.duration().as_secs_f64() * 1e3,
    }
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

/// Asks for whatever is hinted, until nothing is hinted any more.
async fn view(
    mut stream: TcpStream,
    mut hint: watch::Receiver<Option<String>>,
    receipts: mpsc::UnboundedSender<Result<Receipt>>,
) {
    while hint.changed().await.is_ok() {
        let Some(path) = hint.borrow_and_update().clone() else {
            continue;
        };
        let receipt = ask(&mut stream, path).await;
        let failed = receipt.is_err();
        if receipts.send(receipt).is_err() || failed {
            return;
        }
    }
}

async fn ask(stream: &mut TcpStream, path: String) -> Result<Receipt> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let asked = SystemTime::now();
    let mut head = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut left = None;
    loop {
        let (len, readable) = stream
            .async_io(Interest::READABLE, || receive(stream, &mut buffer))
            .await?;
        ensure!(
            len > 0,
            "the host closed the connection in the middle of {path}"
        );
        let body = match left {
            Some(left) => left,
            None => {
                head.extend(&buffer[..len]);
                let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                    continue;
                };
                let length = content_length(&head[..end]).with_context(|| format!("GET {path}"))?;
                // What is in the buffer is taken off below.
                length + end + 4 - (head.len() - len)
            }
        };
        left = Some(
            body.checked_sub(len)
                .context("more was sent than announced")?,
        );
        if left == Some(0) {
            return Ok(Receipt {
                path,
                asked,
                readable,
                read: SystemTime::now(),
            });
        }
    }
}

/// Reads what is there, and when the kernel got the last of it.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, SystemTime)> {
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

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("the header is no text")?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 200 "),
        "the answer is {status:?}"
    );
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return value.trim().parse().context("content-length");
        }
    }
    bail!("the response has no content-length")
}
