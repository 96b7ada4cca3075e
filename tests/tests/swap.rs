//! A plugin is swapped again and again, now and then for something that is none, while viewers keep asking.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Host, PATIENCE, Playlist};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Swaps, of which every fifth is to something broken.
const SWAPS: u64 = 100;
const BROKEN: u64 = 5;

/// Viewers. Every other one waits for each part; those between ask as fast as they are answered.
const VIEWERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_swapped_a_hundred_times_and_no_request_fails() -> Result<()> {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/stock");
    let good = std::fs::read(stock.join("ll-hls.wasm"))?;
    let other = std::fs::read(stock.join("name-date.wasm"))?;
    // What it is, and words that a stranger understands.
    let broken: [(&[u8], &str); 4] = [
        (b"garbage", "not WebAssembly"),
        (b"", "empty"),
        (&good[..good.len() / 2], "damaged"),
        (&other, "now holds plugin `name-date`"),
    ];
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("mine.wasm");
    std::fs::write(&file, &good)?;
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin(file.to_str().context("a path in UTF-8")?)
        .start()
        .await?;
    let operator = Client::http1(host.operator().context("there is an operator's listener")?)?;
    let path = host.media_playlist_path().await?;

    let (stop, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|n| {
            let (path, stop, asked) = (path.clone(), stop.clone(), asked.clone());
            tokio::spawn(watch(host.http1(), path, n % 2 == 0, stop, asked))
        })
        .collect();

    let began = Instant::now();
    let beside = directory.path().join("next");
    let mut refused = 0;
    for swap in 1..=SWAPS {
        let (bytes, why) = match swap % BROKEN {
            0 => {
                refused += 1;
                let (bytes, why) = broken[refused as usize % broken.len()];
                (bytes, Some(why))
            }
            _ => (&good[..], None),
        };
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, &file)?;
        let reloads = until(&operator, swap - refused, refused).await?;
        if let Some(why) = why {
            let cause = reloads["last"]["cause"].as_str().unwrap_or_default();
            ensure!(cause.contains(why) && !cause.contains('\n'), "{reloads}");
        }
    }
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    for viewer in viewers {
        viewer.await??;
    }
    let asked = asked.load(Ordering::Relaxed);
    println!(
        "{SWAPS} swaps, {refused} of them to what is no plugin, and {asked} requests in {:.1} s: {:.0} a second, none failed",
        took.as_secs_f64(),
        asked as f64 / took.as_secs_f64()
    );
    Ok(())
}

/// Waits until so many reloads were published and so many refused, and returns what is told of them.
async fn until(operator: &Client, published: u64, refused: u64) -> Result<Value> {
    let began = Instant::now();
    loop {
        let reply = operator.get("/api/v1/plugins/ll-hls").await?;
        let plugin: Value = serde_json::from_slice(&reply.body)?;
        let reloads = &plugin["reloads"];
        if reloads["published"] == published && reloads["refused"] == refused {
            return Ok(reloads.clone());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "waited for {published} and {refused}: {plugin}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// Asks for the playlists and the last part, and perhaps for the next playlist, which has to be waited for.
async fn watch(
    client: Result<Client>,
    path: String,
    waits: bool,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
) -> Result<()> {
    let client = client?;
    while !stop.load(Ordering::Relaxed) {
        client.fetch("/cam/live.m3u8").await?;
        let playlist = Playlist::get(&client, &path, "").await?;
        let last = playlist
            .segments
            .iter()
            .flat_map(|segment| &segment.parts)
            .last();
        let last = playlist.resolve(&last.context("a playlist without parts")?.uri);
        ensure!(!client.fetch(&last).await?.is_empty(), "{last} is empty");
        asked.fetch_add(3, Ordering::Relaxed);
        if waits {
            playlist.next(&client).await?;
            asked.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
