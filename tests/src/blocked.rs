use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Client, Host, PATIENCE, Playlist,
    crowd::{Crowd, Line, Manners, Protocol, Receipt},
};

/// Requests of one connection, with HTTP/2. Fewer than servers allow as a rule.
const STREAMS: usize = 100;

/// Many requests that waited for the same position of a media playlist.
#[derive(Debug)]
pub struct Blocked {
    /// What each got.
    pub receipts: Vec<Receipt>,
    /// The playlist they got; there was but one.
    pub playlist: Playlist,
    /// Calls of plugins that write playlists, from the first request to the last response.
    pub calls: u64,
    /// Of these, calls from the moment when all waited.
    pub calls_to_wake: u64,
}

/// Has so many requests wait for the first part of the segment after the next one, all at once, and sees to it that all
/// really wait before it comes. Segments must be long enough for that.
///
/// # Errors
/// One of them isn't answered, or not with 200; some didn't wait; not all got the same.
pub async fn blocked(
    host: &Host,
    requests: usize,
    protocol: Protocol,
    manners: Manners,
) -> Result<Blocked> {
    let client = host.http1()?;
    let operator = Client::http1(host.operator().context("there is an operator's listener")?)?;
    let lines = match protocol {
        Protocol::Http1 => 1,
        Protocol::Http2 => STREAMS,
    };
    ensure!(
        requests.is_multiple_of(lines),
        "{requests} is no multiple of {lines}"
    );
    let path = host.media_playlist_path().await?;
    let playlist = Playlist::get(&client, &path, "").await?;
    let last = playlist.segments.last().context("no segment is listed")?;
    // As far ahead as may be asked for.
    let sequence = last.sequence + 2;
    let before = calls(&operator).await?;
    let (receipts, mut received) = mpsc::unbounded_channel();
    let asked = format!("{path}?_HLS_msn={sequence}&_HLS_part=0");
    let crowd = Crowd::gather(manners, requests / lines, host.address(), move |stream| {
        ask(stream, protocol, lines, asked.clone(), receipts.clone())
    })
    .await?;
    let began = Instant::now();
    loop {
        let waiting = operator.metric("picam_http_requests_waiting").await?;
        if waiting as usize == requests {
            break;
        }
        if let Ok(answered) = received.try_recv() {
            let Receipt { status, body, .. } = answered?;
            bail!(
                "{waiting} of {requests} waited when one was answered {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        ensure!(began.elapsed() < PATIENCE, "{waiting} of {requests} wait");
        sleep(Duration::from_millis(20)).await;
    }
    let waiting = calls(&operator).await?;
    ensure!(
        received.is_empty(),
        "the first was answered while it was counted who waits"
    );

    let mut all = Vec::with_capacity(requests);
    for _ in 0..requests {
        let receipt: Receipt = received.recv().await.context("one is missing")??;
        ensure!(
            receipt.status == 200,
            "{}",
            String::from_utf8_lossy(&receipt.body)
        );
        all.push(receipt);
    }
    let after = calls(&operator).await?;
    crowd.disperse()?;
    let bodies: HashSet<_> = all.iter().map(|receipt| &receipt.body).collect();
    ensure!(
        bodies.len() == 1,
        "{} playlists for one position",
        bodies.len()
    );
    let playlist = std::str::from_utf8(&all[0].body).context("a playlist is UTF-8")?;
    Ok(Blocked {
        playlist: Playlist::read(&path, playlist)?,
        receipts: all,
        calls: after - before,
        calls_to_wake: after - waiting,
    })
}

/// Asks on all lines of a connection at once.
async fn ask(
    stream: TcpStream,
    protocol: Protocol,
    lines: usize,
    path: String,
    receipts: mpsc::UnboundedSender<Result<Receipt>>,
) {
    let lines = match Line::open(stream, protocol, lines).await {
        Ok(lines) => lines,
        Err(error) => {
            // Whoever waits for it may have given up.
            let _ = receipts.send(Err(error));
            return;
        }
    };
    let mut asked = JoinSet::new();
    for mut line in lines {
        let (path, receipts) = (path.clone(), receipts.clone());
        asked.spawn(async move {
            let _ = receipts.send(line.get(&path).await);
        });
    }
    asked.join_all().await;
}

async fn calls(operator: &Client) -> Result<u64> {
    let calls = operator
        .metric("picam_plugin_calls_total{plugin=\"ll-hls\",hook=\"playlist\"}")
        .await?;
    Ok(calls as u64)
}
