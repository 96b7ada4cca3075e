//! From camera to screen in Chromium: our stream with hls.js and dash.js as they come from npm and with our own player,
//! beside FFmpeg's HLS from nginx.
//!
//!     bench-latency [JOINS] [SECONDS] [WIDTHxHEIGHT]
//!
//! The pictures are those of the test pattern, 30 a second with a key frame each second, and carry the clock that is
//! read back from the screen (`tests/browser/play.mjs`). Each join watches for so many seconds.
//!
//! Prints lines of the table that `cargo xtask bench` prints.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Host, PATIENCE, WebServer, profile_directory};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

/// What `play.mjs` prints, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Played {
    median: Option<f64>,
    p90: Option<f64>,
    waits: u32,
    #[serde(rename = "waitedSeconds")]
    waited_seconds: f64,
    dropped: u64,
    frames: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let joins = arguments.next().unwrap_or("20".into());
    let seconds = arguments.next().unwrap_or("10".into());
    let size = arguments.next().unwrap_or("1280x720".into());

    let peer = Peer::start(&size).await?;
    let theirs = play("hls.js", &peer.url, &joins, &seconds).await?;
    drop(peer);
    let (median, p90) = theirs.seconds()?;
    let beside = format!(
        "FFmpeg's HLS (1 s segments) from nginx: median {median:.2} s, p90 {p90:.2} s, {} stalls",
        theirs.waits
    );
    for (player, name, address, options, budget) in [
        (
            "hls.js",
            "hls.js in Chromium, `part-ms=100`",
            "/cam/live.m3u8",
            ["ll-hls.wasm,part-ms=100", "dash.wasm"],
            "≤ 0.45 s, p90 ≤ 0.6 s",
        ),
        (
            "hls.js",
            "hls.js, `part-ms=200`",
            "/cam/live.m3u8",
            ["ll-hls.wasm", "dash.wasm"],
            "≤ 0.9 s",
        ),
        (
            "dash.js",
            "dash.js, `target-ms=200`",
            "/cam/live.mpd",
            ["ll-hls.wasm", "dash.wasm,target-ms=200"],
            "≤ 0.28 s",
        ),
        (
            "page",
            "our own player through MSE",
            "/?player=mse",
            ["ll-hls.wasm", "dash.wasm"],
            "≤ 0.1 s, no stall",
        ),
        (
            "page",
            "our own player through WebCodecs",
            "/?player=webcodecs",
            ["ll-hls.wasm", "dash.wasm"],
            "≤ 0.05 s",
        ),
    ] {
        let host = options
            .iter()
            .fold(Host::source("pattern"), |host, plugin| host.plugin(plugin))
            .arguments(["--size", &size])
            .start()
            .await?;
        host.media_playlist().await?;
        let ours = play(player, &host.url(address), &joins, &seconds).await?;
        host.stop().await?;
        ours.print(
            name,
            &format!("({size}, {joins} joins of {seconds} s)"),
            (median, &beside),
            budget,
        )?;
    }
    Ok(())
}

impl Played {
    fn seconds(&self) -> Result<(f64, f64)> {
        let read = "the player showed no picture whose clock could be read";
        let (median, p90) = (self.median.context(read)?, self.p90.context(read)?);
        Ok((median / 1e3, p90 / 1e3))
    }

    /// A line of the table. The peer's is its median and what is to be said of it.
    fn print(&self, player: &str, how: &str, peer: (f64, &str), budget: &str) -> Result<()> {
        let (median, p90) = self.seconds()?;
        println!(
            "| camera to screen, {player} {how} | median {median:.3} s, p90 {p90:.3} s, {} stalls | {} | {:.2} | {budget} |",
            self.waits,
            peer.1,
            median / peer.0
        );
        Ok(())
    }
}

/// Watches a stream in Chromium.
async fn play(player: &str, url: &str, joins: &str, seconds: &str) -> Result<Played> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let output = Command::new("node")
        .args([
            "play.mjs",
            player,
            url,
            "--joins",
            joins,
            "--seconds",
            seconds,
        ])
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting node, which drives the browser")?;
    ensure!(
        output.status.success(),
        "play.mjs failed ({})",
        output.status
    );
    let played: Played = serde_json::from_slice(&output.stdout).context("play.mjs prints JSON")?;
    eprintln!(
        "{url}: {} pictures shown, {} dropped, {} waits of {:.1} s in all",
        played.frames, played.dropped, played.waits, played.waited_seconds
    );
    Ok(played)
}

/// The pattern by way of FFmpeg and nginx. Everything ends when this is dropped.
struct Peer {
    url: String,
    _pattern: Child,
    _ffmpeg: Child,
    _nginx: WebServer,
    _directory: TempDir,
}

impl Peer {
    async fn start(size: &str) -> Result<Self> {
        // In memory, where there is such a place, as one would do it.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let path = directory.path();
        std::fs::create_dir(path.join("www"))?;

        let (pictures, to_ffmpeg) = std::io::pipe()?;
        let program = profile_directory().join("examples/pattern");
        let pattern = Command::new(&program)
            .args(size.split('x'))
            .stdin(Stdio::null())
            .stdout(to_ffmpeg)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let ffmpeg = Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-loglevel",
                "error",
                "-f",
                "h264",
                "-framerate",
                "30",
            ])
            .args([
                "-i",
                "-",
                "-c",
                "copy",
                "-f",
                "hls",
                "-hls_time",
                "1",
                "-hls_list_size",
                "30",
            ])
            .args(["-hls_flags", "delete_segments", "-hls_segment_type", "fmp4"])
            .arg(path.join("www/live.m3u8"))
            .stdin(pictures)
            .kill_on_drop(true)
            .spawn()
            .context("starting ffmpeg (on Debian: apt-get install ffmpeg)")?;

        let nginx = WebServer::nginx_files(&path.join("www")).await?;
        let started = Instant::now();
        while std::fs::read_to_string(path.join("www/live.m3u8"))
            .map_or(0, |playlist| playlist.matches("#EXTINF").count())
            < 4
        {
            ensure!(started.elapsed() < PATIENCE, "ffmpeg wrote no playlist");
            sleep(Duration::from_millis(200)).await;
        }
        Ok(Self {
            url: nginx.url("/live.m3u8"),
            _pattern: pattern,
            _ffmpeg: ffmpeg,
            _nginx: nginx,
            _directory: directory,
        })
    }
}
