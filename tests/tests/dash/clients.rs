//! Other people's programs read and play what the binary serves: FFmpeg, GStreamer, dash-mpd-core and mpd-parser.
//!
//! (`dash-mpd-core` reads every MPD of every test: `Mpd::parse` passes each through it.)

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use picam_tests::{
    Camera, Clip, Host,
    dash::{Mpd, Parts, watch_mpd},
    players::{Decoded, gstreamer, pipelines, run},
};
use serde::Deserialize;
use tokio::process::Command;

async fn pattern(window_s: u32) -> Result<Host> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180", "--fps", "30"])
        .plugin(&format!("dash.wasm,window-s={window_s}"))
        .start()
        .await?;
    Mpd::first(&host).await?;
    Ok(host)
}

/// A camera whose rate has halved in the dark, so that segments are longer than they were meant to be, and listed.
async fn camera() -> Result<(Host, Camera)> {
    let mut camera = Camera::playing(&Clip::default()).await?;
    let host = Host::source(&camera.source())
        .plugin("dash.wasm")
        .start()
        .await?;
    camera.started().await?;
    Mpd::first(&host).await?;
    camera.run("rate 15.0 play").await?;
    let client = host.http1()?;
    while Mpd::get(&client).await?.last()?.timeline().is_none() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok((host, camera))
}

/// Of counted segments, and of a stream that is older than its window. The rest FFmpeg 5.1 reads over and over
/// (libavformat/dashdec.c): of a younger stream, what it takes for the oldest segment is less than nothing, and so more
/// than any (`calc_min_seg_no`); of listed segments, it takes an index into the list of the MPD that it has renewed for a
/// `$Number$` (`refresh_manifest`), which is before `@startNumber` then, and begins the list anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_plays_five_seconds() {
    let host = pattern(5).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let decoded = Decoded::by_ffmpeg(&host.url("/cam/live.mpd"), &["-t", "5"]).await;
    // A picture that the source left out on a busy machine is no fault of what is served.
    decoded.unwrap().check(30 * 4..=30 * 5 + 2).unwrap();
}

/// Both of GStreamer's readers of DASH: the one that `playbin3` takes, which gathers half a minute first (`max-buffering-time`
/// of `dashdemux2`, which a live stream doesn't lower), and the older one.
///
/// Of counted segments: among listed ones, `dashdemux2` 1.22 looks for the present in
/// `gst_mpd_client2_stream_seek` (gstmpdclient.c), which adds the start of the whole list to the place within a run of
/// segments, and so waits for one that is as far in the future as the stream is old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gstreamer_plays_a_hundred_pictures() {
    let host = pattern(30).await.unwrap();
    for pipeline in pipelines(&host.url("/cam/live.mpd"), "dashdemux") {
        gstreamer(&pipeline, 100).await.unwrap();
    }
}

/// What mpd-parser, which is video.js's, makes of an MPD.
#[derive(Debug, Deserialize)]
struct Parsed {
    complaints: Vec<String>,
    playlists: Vec<ParsedPlaylist>,
    #[serde(rename = "minimumUpdatePeriod")]
    minimum_update_period: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct ParsedPlaylist {
    codecs: Option<String>,
    bandwidth: Option<u64>,
    resolution: Option<ParsedSize>,
    discontinuities: usize,
    segments: Vec<ParsedSegment>,
}

#[derive(Debug, Deserialize)]
struct ParsedSize {
    width: u64,
    height: u64,
}

#[derive(Debug, Deserialize)]
struct ParsedSegment {
    uri: String,
    map: Option<String>,
}

async fn mpd_parser(host: &Host, texts: &[&str]) -> Result<Vec<Parsed>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let (fine, said, complaints) = run(
        Command::new("node")
            .args(["parse-mpd.mjs", &host.url("/cam/live.mpd")])
            .current_dir(directory),
        &serde_json::to_vec(texts)?,
    )
    .await?;
    ensure!(fine, "parse-mpd.mjs failed: {complaints}");
    serde_json::from_str(&said).context("parse-mpd.mjs prints JSON")
}

/// The number of the segment that has this address in a period.
fn number(host: &Host, parts: &Parts<'_>, uri: &str) -> Option<u64> {
    let media = host.url(&parts.media().ok()?);
    let (before, after) = media.split_once("$Number$")?;
    uri.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mpd_parser_finds_the_segments_that_there_are() {
    let steady = pattern(30).await.unwrap();
    let (listed, mut camera) = camera().await.unwrap();
    for (host, breaks) in [(&steady, false), (&listed, true)] {
        let script = async {
            if breaks {
                // A Period more.
                camera.run("silence 1500 play 60").await.unwrap();
            }
        };
        let (watched, ()) = tokio::join!(watch_mpd(host, Duration::from_secs(8)), script);
        let watched = watched.unwrap();
        let texts: Vec<_> = watched
            .revisions
            .iter()
            .map(|seen| &*seen.mpd.text)
            .collect();
        let parsed = mpd_parser(host, &texts).await.unwrap();
        assert_eq!(parsed.len(), texts.len());
        for (parsed, seen) in parsed.iter().zip(&watched.revisions) {
            let text = &seen.mpd.text;
            assert!(
                parsed.complaints.is_empty(),
                "{:?}\n{text}",
                parsed.complaints
            );
            assert_eq!(parsed.minimum_update_period, Some(1_000.0));
            let [playlist] = &parsed.playlists[..] else {
                panic!("{} playlists of\n{text}", parsed.playlists.len());
            };
            // It joins Periods, and describes them all by the first.
            let periods = seen.mpd.periods().unwrap();
            let first = periods[0].representation;
            assert_eq!(playlist.codecs, first.codecs);
            assert_eq!(playlist.bandwidth, first.bandwidth);
            let size = playlist
                .resolution
                .as_ref()
                .map(|size| (size.width, size.height));
            assert_eq!(size, first.width.zip(first.height));
            assert_eq!(playlist.discontinuities + 1, periods.len(), "{text}");
            assert!(!playlist.segments.is_empty(), "{text}");
            for segment in &playlist.segments {
                let of = |parts: &&Parts<'_>| number(host, parts, &segment.uri).is_some();
                let parts = periods.iter().find(of);
                let parts = parts.unwrap_or_else(|| panic!("{segment:?} is none of\n{text}"));
                let init = parts.init().map(|path| host.url(&path)).ok();
                assert_eq!(segment.map, init);
            }
        }
    }
}
