//! How many finished segments and parts a second the host sends, and how many bytes, beside nginx with the same bytes in
//! files that lie in memory.
//!
//!     bench-serve [CONNECTIONS] [SECONDS] [WIDTHxHEIGHT]
//!
//! wrk asks over HTTP/1.1 and h2load over HTTP/2, both by turns, several rounds each; what counts is the median of the
//! rounds. All of them share the machine's processors.
//!
//! Prints lines of the table that `cargo xtask bench` prints.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use picam_tests::{Host, Playlist, WebServer, percentile};
use tokio::process::Command;

/// Of each server, protocol and object.
const ROUNDS: usize = 5;

/// What is asked for, and how.
struct Load {
    connections: String,
    seconds: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let load = Load {
        connections: arguments.next().unwrap_or("64".into()),
        seconds: arguments.next().unwrap_or("3".into()),
    };
    let size = arguments.next().unwrap_or("1280x720".into());

    let host = Host::source("pattern")
        .arguments(["--size", &size])
        // What is asked for stays until the end.
        .plugin("ll-hls.wasm,window-s=300")
        .start()
        .await?;
    let playlist = finished(&host).await?;
    let segment = playlist
        .segments
        .iter()
        .rfind(|segment| !segment.parts.is_empty());
    let segment = segment.context("no segment lists parts")?;
    let whole = segment.uri.as_deref().context("its segment is complete")?;
    let part = &segment.parts.last().context("it has parts")?.uri;

    // In memory, where there is such a place.
    let files = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let client = host.http1()?;
    for (name, uri) in [("segment", whole), ("part", part)] {
        let path = playlist.resolve(uri);
        let bytes = client.fetch(&path).await?;
        std::fs::write(files.path().join(name), &bytes)?;
        for http2 in [false, true] {
            let nginx = WebServer::nginx_fast(files.path(), http2).await?;
            let urls = [host.url(&path), nginx.url(&format!("/{name}"))];
            let [ours, theirs] = load.compare(urls, http2).await?;
            let protocol = if http2 {
                "HTTP/2 (h2load)"
            } else {
                "HTTP/1.1 (wrk)"
            };
            let megabytes = |rate: f64| rate * bytes.len() as f64 / 1e6;
            println!(
                "| {name}s of {} KiB sent over {protocol} to {} connections | {ours:.0} a second, {:.0} MB/s | nginx, from \
                 memory: {theirs:.0} a second, {:.0} MB/s | {:.2} | ≥ 1 |",
                bytes.len() / 1024,
                load.connections,
                megabytes(ours),
                megabytes(theirs),
                ours / theirs,
            );
        }
    }
    Ok(())
}

/// A playlist with a complete segment whose parts are still listed.
async fn finished(host: &Host) -> Result<Playlist> {
    let client = host.http1()?;
    let mut playlist = host.media_playlist().await?;
    let listed = |playlist: &Playlist| {
        let complete =
            |segment: &&picam_tests::Segment| segment.uri.is_some() && !segment.parts.is_empty();
        playlist.segments.iter().filter(complete).count() > 0
    };
    while !listed(&playlist) {
        playlist = playlist.next(&client).await?;
    }
    Ok(playlist)
}

impl Load {
    /// Requests a second from each of two servers, at the median.
    async fn compare(&self, urls: [String; 2], http2: bool) -> Result<[f64; 2]> {
        let mut rates = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (url, rates) in urls.iter().zip(&mut rates) {
                rates.push(match http2 {
                    false => self.wrk(url).await?,
                    true => self.h2load(url).await?,
                });
            }
        }
        Ok(rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            percentile(&rates, 0.5)
        }))
    }

    /// Requests a second over HTTP/1.1.
    async fn wrk(&self, url: &str) -> Result<f64> {
        let duration = format!("{}s", self.seconds);
        let said = said(
            "wrk",
            &["-t", "1", "-c", &self.connections, "-d", &duration, url],
        )
        .await?;
        ensure!(
            !said.contains("Non-2xx") && !said.contains("Socket errors"),
            "not every request succeeded: {said}"
        );
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        Ok(rate.with_context(|| said.clone())?.trim().parse()?)
    }

    /// Requests a second over HTTP/2 by prior knowledge.
    async fn h2load(&self, url: &str) -> Result<f64> {
        let options = [
            "-t",
            "1",
            "-m",
            "4",
            "-c",
            &self.connections,
            "-D",
            &self.seconds,
            url,
        ];
        let said = said("h2load", &options).await?;
        ensure!(
            said.contains(" 0 failed, 0 errored"),
            "not every request succeeded: {said}"
        );
        let line = said.lines().find(|line| line.starts_with("finished in"));
        let rate = line.and_then(|line| line.split(", ").nth(1)?.strip_suffix(" req/s"));
        Ok(rate.with_context(|| said.clone())?.parse()?)
    }
}

/// Runs a program to its end, and returns what it said.
async fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| {
            format!("starting {program} (on Debian: apt-get install wrk nghttp2-client)")
        })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{program} failed: {said}");
    Ok(said)
}
