//! Debian's nginx in front, as a cache, with our example of a configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Host, PATIENCE, Playlist, WebServer};
use tokio::{
    task::JoinSet,
    time::{Duration, sleep},
};

const VIEWERS: usize = 500;

/// How many requests of a kind the host has answered, by status.
async fn answered(operator: &Client, kind: &str) -> Result<BTreeMap<String, u64>> {
    let metrics = operator.get("/metrics").await?.text();
    let mut found = BTreeMap::new();
    for line in metrics
        .lines()
        .filter(|line| line.starts_with("picam_http_requests_total{"))
    {
        if line.contains(&format!("kind=\"{kind}\"")) {
            let (labels, count) = line.rsplit_once(' ').context("a value")?;
            let status = labels
                .split("code=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            found.insert(status.context("a status")?.to_owned(), count.parse()?);
        }
    }
    Ok(found)
}

/// What viewers asked for, by address.
type Asked = Arc<Mutex<BTreeMap<String, u64>>>;

/// Follows the stream as a player does: each state of the playlist, and each part once.
async fn view(
    client: Client,
    path: String,
    from: (u64, u64),
    states: usize,
    asked: Asked,
) -> Result<()> {
    let fetch = async |address: String| {
        *asked
            .lock()
            .expect("nobody panics")
            .entry(address.clone())
            .or_default() += 1;
        let reply = client.get(&address).await?;
        ensure!(
            reply.status == 200,
            "{address} answers {}: {}",
            reply.status,
            reply.text()
        );
        anyhow::Ok(reply)
    };
    let (mut sequence, mut part) = from;
    let mut seen = BTreeSet::new();
    for _ in 0..states {
        let reply = fetch(format!("{path}?_HLS_msn={sequence}&_HLS_part={part}")).await?;
        let playlist = Playlist::read(&path, &reply.text())?;
        (sequence, part) = playlist.position();
        let newest = playlist
            .segments
            .iter()
            .flat_map(|segment| &segment.parts)
            .next_back();
        let newest = newest.context("a part")?.uri.clone();
        if seen.insert(newest.clone()) {
            fetch(playlist.resolve(&newest)).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_viewers_cost_the_host_one_request_for_each_object_and_position() -> Result<()>
{
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm,part-ms=500")
        .start()
        .await?;
    let operator = Client::http1(host.operator().context("an operator's listener")?)?;
    let path = host.media_playlist_path().await?;
    let edge = WebServer::nginx_edge(host.address()).await?;
    // All look at the same state first, which one of them fetches.
    let first = Playlist::get(&host.http1()?, &path, "").await?;
    let before = [
        answered(&operator, "document").await?,
        answered(&operator, "media").await?,
    ];

    let asked = Asked::default();
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        // A connection each.
        let client = Client::http1(edge.address())?;
        viewers.spawn(view(
            client,
            path.clone(),
            first.position(),
            8,
            asked.clone(),
        ));
    }
    let began = Instant::now();
    while let Some(viewer) = viewers.join_next().await {
        viewer??;
    }
    println!(
        "{VIEWERS} viewers saw eight states in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let after = [
        answered(&operator, "document").await?,
        answered(&operator, "media").await?,
    ];
    let asked = asked.lock().expect("nobody panics").clone();
    for ((kind, before), after) in ["document", "media"].into_iter().zip(before).zip(after) {
        let is_document = |address: &&String| address.contains(".m3u8");
        let addresses = asked
            .keys()
            .filter(|address| is_document(address) == (kind == "document"));
        let (mut objects, mut requests) = (0, 0);
        for address in addresses {
            objects += 1;
            requests += asked[address];
        }
        ensure!(
            after.keys().all(|status| status == "200"),
            "{kind}: {after:?}"
        );
        let cost = after["200"] - before.get("200").copied().unwrap_or(0);
        println!("{kind}: {requests} requests for {objects} addresses cost the host {cost}");
        ensure!(
            requests >= VIEWERS as u64 * 4,
            "{kind}: {requests} requests are no crowd"
        );
        ensure!(
            cost == objects,
            "{kind}: {objects} addresses cost the host {cost} requests"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_cache_keeps_what_may_be_kept_and_nothing_else() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .start()
        .await?;
    let path = host.media_playlist_path().await?;
    let edge = WebServer::nginx_edge(host.address()).await?;
    let client = Client::http1(edge.address())?;
    let state = async |address: &str| {
        let reply = client.get(address).await?;
        anyhow::Ok((reply.status, reply.header("x-cache").to_owned(), reply))
    };

    // A segment, and a range of it, from one request of the host.
    let playlist = Playlist::get(&client, &path, "")
        .await?
        .next(&client)
        .await?;
    let part = playlist
        .segments
        .iter()
        .flat_map(|segment| &segment.parts)
        .next_back();
    let part = playlist.resolve(&part.context("a part")?.uri);
    let (status, from, whole) = state(&part).await?;
    ensure!((status, &*from) == (200, "MISS"), "{status} {from}");
    let (status, from, again) = state(&part).await?;
    ensure!(
        (status, &*from) == (200, "HIT") && again.body == whole.body,
        "{status} {from}"
    );
    let range = client.get_with(&part, &[("range", "bytes=10-19")]).await?;
    ensure!(
        (range.status, range.header("x-cache")) == (206, "HIT"),
        "{}",
        range.status
    );
    ensure!(range.body == whole.body.slice(10..20));

    // A playlist at a position lasts; both kinds of viewers get it from the one copy.
    let (sequence, part) = playlist.position();
    let blocked = format!("{path}?_HLS_msn={sequence}&_HLS_part={part}");
    let plain = state(&blocked).await?;
    ensure!(
        (plain.0, &*plain.1) == (200, "MISS"),
        "{} {}",
        plain.0,
        plain.1
    );
    ensure!(plain.2.header("content-encoding").is_empty());
    let packed = client
        .get_with(&blocked, &[("accept-encoding", "gzip")])
        .await?;
    ensure!(packed.header("x-cache") == "HIT" && packed.header("content-encoding") == "gzip");
    ensure!(packed.body.len() < plain.2.body.len());

    // One without a position is asked for anew a moment later.
    let began = Instant::now();
    let first = state(&path).await?.2.text();
    while state(&path).await?.2.text() == first {
        ensure!(began.elapsed() < PATIENCE, "the playlist stays as it is");
        sleep(Duration::from_millis(100)).await;
    }

    // Errors stop being true at once, and aren't kept.
    let (far, _) = playlist.position();
    let (status, _, refused) = state(&format!("{path}?_HLS_msn={}", far + 100)).await?;
    ensure!(
        (status, refused.header("cache-control")) == (400, "no-store"),
        "{status}"
    );
    for _ in 0..2 {
        let (status, from, _) = state("/cam/nothing.m4s").await?;
        ensure!((status, &*from) == (404, "MISS"), "{status} {from}");
    }
    Ok(())
}
