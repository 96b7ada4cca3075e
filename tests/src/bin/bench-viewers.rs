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
    net::TcpListener,
    process::Stdio,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use picam_tests::{
    Clip, Feed, Host, Pictures, Playlist, Sent,
    crowd::{Crowd, Line, Manners, Protocol, receive},
    millis_between, percentile,
};
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{mpsc, watch},
};

/// Parts that are not counted, while everything warms up.
const WARM_UP: usize = 3;

/// What a viewer got.
struct Part {
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
    let (viewers, seconds) = (number(1_000)? as usize, number(20)?);
    let size = arguments.next().unwrap_or("1280x720".into());
    let (width, height) = size
        .split_once('x')
        .context("a size is written as in 1280x720")?;
    let clip = Clip::sized(width.parse()?, height.parse()?);
    let pictures = clip.ended_units().await?;
    let bytes: usize = pictures.iter().map(Vec::len).sum();
    let kilobits = bytes as u64 * 8 * u64::from(clip.fps) / pictures.len() as u64 / 1_000;
    let known = Pictures::of(&pictures);

    let (reader, writer) = std::io::pipe()?;
    let host = Host::source("-").stdin(Stdio::from(reader)).start().await?;
    let feed = Feed::start(pictures, clip.fps, vec![Box::new(writer)])?;
    let client = host.http1()?;
    let mut playlist = host.media_playlist().await?;
    let (hints, hint) = watch::channel(None);
    let (receipts, mut received) = mpsc::unbounded_channel();
    let address = host.address();
    let crowd = Crowd::gather(Manners::GivesWay, viewers, address, move |stream| {
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
            (parts.len(), known.last_of(&part)?, SystemTime::now()),
        );
    }
    drop(hints);
    let sent = feed.stop()?;

    let (mut readable, mut read, mut late) = (Vec::new(), Vec::new(), 0);
    while let Some(receipt) = received.recv().await {
        let receipt: Part = receipt?;
        // The last that was asked for isn't among them.
        let Some(&(number, picture, seen)) = parts.get(&receipt.path) else {
            continue;
        };
        if number < WARM_UP {
            continue;
        }
        let written = Sent::before(&sent, picture, seen)?;
        if receipt.asked > written {
            // It didn't wait: the part was there, or nearly so, before it was asked for.
            late += 1;
            continue;
        }
        readable.push(millis_between(written, receipt.readable));
        read.push(millis_between(written, receipt.read));
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

/// Milliseconds until so many bytes can be read from each of so many sockets, when nothing is done but writing them, on
/// as many threads as there are processors; sorted. Several rounds in one list.
async fn floor(viewers: usize, bytes: usize) -> Result<Vec<f64>> {
    const ROUNDS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let crowd = Crowd::gather(
        Manners::GivesWay,
        viewers,
        listener.local_addr()?,
        move |mut stream| {
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
        },
    );
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
            times.push(millis_between(began, readable?));
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

fn hinted(playlist: &Playlist) -> Result<String> {
    let hint = playlist.hints.iter().find(|hint| hint["TYPE"] == "PART");
    let uri = &hint.context("the playlist hints at no part")?["URI"];
    Ok(playlist.resolve(uri))
}

/// Asks for whatever is hinted, until nothing is hinted any more.
async fn view(
    stream: TcpStream,
    mut hint: watch::Receiver<Option<String>>,
    receipts: mpsc::UnboundedSender<Result<Part>>,
) {
    let mut line = match Line::open(stream, Protocol::Http1, 1).await {
        Ok(mut lines) => lines.remove(0),
        Err(error) => {
            // Whoever waits for it has given up then.
            let _ = receipts.send(Err(error));
            return;
        }
    };
    while hint.changed().await.is_ok() {
        let Some(path) = hint.borrow_and_update().clone() else {
            continue;
        };
        let part = line.get(&path).await.map(|receipt| Part {
            path,
            asked: receipt.asked,
            readable: receipt.readable,
            read: SystemTime::now(),
        });
        let failed = part.is_err();
        if receipts.send(part).is_err() || failed {
            return;
        }
    }
}
