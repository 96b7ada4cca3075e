//! How long it takes from the last byte of a frame to the last byte of its part at each of many waiting viewers.
//!
//!     bench-viewers [VIEWERS] [SECONDS] [WIDTHxHEIGHT]
//!
//! Each viewer is a connection of its own that asks for the part that the playlist hints at, and so waits for it. The
//! pictures come from x264 and reach the host through its standard input; the moment that counts is when the last byte
//! of a part's last picture was written. A viewer's moment is when the kernel had the last byte of the response ready
//! for it (SO_TIMESTAMPNS), so that the time this program takes to look at a thousand sockets doesn't count as the
//! host's; the time until it has looked is printed, too.
//!
//! Prints a line of the table that `cargo xtask bench` prints.

use std::{
    collections::HashMap,
    io,
    mem::size_of,
    net::SocketAddr,
    os::fd::AsRawFd,
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use picam_tests::{Clip, Feed, Host, Playlist, Sent, media, percentile};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::TcpStream,
    sync::{mpsc, watch},
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

    let pictures = clip.units().await?;
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
    for _ in 0..viewers {
        let stream = connect(host.address()).await?;
        tokio::spawn(view(stream, hint.clone(), receipts.clone()));
    }
    drop((hint, receipts));

    // Last picture of each part.
    let mut parts = HashMap::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        let path = hinted(&playlist)?;
        hints.send_replace(Some(path.clone()));
        playlist = playlist.next(&client).await?;
        let part = client.fetch(&path).await?;
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
    println!(
        "| last byte of a frame → its part readable by {viewers} waiting viewers ({size}, {kilobits} kbit/s) | p50 {:.1} ms, \
         p99 {:.1} ms | | | p99 ≤ 5 ms |",
        percentile(&readable, 0.5),
        percentile(&readable, 0.99),
    );
    Ok(())
}

/// Which picture a slice belongs to: no two pictures of a clip are the same.
fn known(pictures: &[Vec<u8>]) -> HashMap<Vec<u8>, usize> {
    let slices = pictures.iter().enumerate().filter_map(|(number, picture)| {
        let slice = media::annex_b(picture).pop()?;
        Some((slice.to_vec(), number))
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
    let stream = TcpStream::connect(address)
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
