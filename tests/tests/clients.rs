//! Other people's programs read and play what the binary serves: FFmpeg, GStreamer, m3u8-rs and m3u8-parser.
//!
//! (`m3u8-rs` reads every playlist of every test: `Playlist::read` passes each through it.)

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use picam_tests::{
    Host, Playlist, Watched,
    players::{Decoded, gstreamer, pipelines, run},
    watch,
};
use serde::Deserialize;
use tokio::process::Command;

async fn host(options: &str) -> Result<Host> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180", "--fps", "30"])
        .plugin(&format!("ll-hls.wasm{options}"))
        .start()
        .await?;
    let playlist = host.media_playlist().await?;
    ensure!(!playlist.ended, "a test pattern has no end");
    Ok(host)
}

#[tokio::test]
async fn ffmpeg_plays_five_seconds_without_a_complaint() {
    let host = host("").await.unwrap();
    let url = host.url("/cam/live.m3u8");
    let decoded = Decoded::by_ffmpeg(&url, &["-t", "5"]).await.unwrap();
    // A picture that the source left out on a busy machine is no fault of what is served.
    decoded.check(120..=151).unwrap();
    assert!(decoded.complaints.is_empty(), "{:#?}", decoded.complaints);
}

/// Both of GStreamer's HLS readers: the one that `playbin3` takes, which knows parts, and the older one. What counts is
/// that a hundred pictures are decoded; a pipeline of the older one would not end by itself.
#[tokio::test]
async fn gstreamer_plays_a_hundred_pictures() {
    let host = host("").await.unwrap();
    for pipeline in pipelines(&host.url("/cam/live.m3u8"), "hlsdemux") {
        gstreamer(&pipeline, 100).await.unwrap();
    }
}

/// What `parse.mjs` says of a playlist.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    complaints: Vec<String>,
    playlists: Vec<serde_json::Value>,
    target_duration: Option<u64>,
    part_target: Option<f64>,
    media_sequence: Option<u64>,
    discontinuity_sequence: Option<u64>,
    skipped: u64,
    ended: bool,
    segments: Vec<FoundSegment>,
    growing: Vec<String>,
    hints: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct FoundSegment {
    uri: String,
    duration: f64,
    map: Option<String>,
    dated: bool,
    discontinuity: bool,
    parts: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m3u8_parser_reads_every_playlist_as_it_is_meant() {
    let host = host(",segment-ms=500,window-s=8").await.unwrap();
    let watched = watch(&host, Duration::from_secs(10)).await.unwrap();
    let [watched] = &watched[..] else {
        panic!("{} presentations", watched.len())
    };
    let found = parse(watched).await.unwrap();
    let (multivariant, media) = found.split_first().unwrap();
    assert_eq!(multivariant.playlists.len(), 1, "{multivariant:?}");
    assert!(multivariant.complaints.is_empty(), "{multivariant:?}");
    for (found, playlist) in media.iter().zip(lists(watched)) {
        agree(found, playlist)
            .with_context(|| format!("{found:#?}\n{}", playlist.text))
            .unwrap();
    }
    assert!(
        media.iter().any(|found| found.skipped > 0),
        "no delta update among them"
    );
}

/// All states, and all delta updates.
fn lists(watched: &Watched) -> impl Iterator<Item = &Playlist> {
    let states = watched.revisions.iter().map(|seen| &seen.playlist);
    states.chain(&watched.deltas)
}

async fn parse(watched: &Watched) -> Result<Vec<Found>> {
    let mut texts = vec![watched.multivariant.as_str()];
    texts.extend(lists(watched).map(|playlist| playlist.text.as_str()));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let (fine, said, complaints) = run(
        Command::new("node")
            .arg("parse.mjs")
            .current_dir(&directory),
        &serde_json::to_vec(&texts)?,
    )
    .await?;
    if !fine {
        bail!(
            "node parse.mjs in {} (run `npm ci` there first): {complaints}",
            directory.display()
        );
    }
    let found: Vec<Found> = serde_json::from_str(&said)?;
    ensure!(
        found.len() == texts.len(),
        "{} of {} answers",
        found.len(),
        texts.len()
    );
    Ok(found)
}

fn agree(found: &Found, playlist: &Playlist) -> Result<()> {
    ensure!(
        found.complaints.is_empty(),
        "complaints: {:?}",
        found.complaints
    );
    ensure!(found.target_duration == Some(playlist.target_duration));
    ensure!(found.part_target == Some(playlist.part_target.as_secs_f64()));
    ensure!(found.media_sequence == Some(playlist.media_sequence));
    ensure!(found.discontinuity_sequence == Some(playlist.discontinuity_sequence));
    ensure!(found.skipped == playlist.skipped);
    ensure!(found.ended == playlist.ended);
    let complete: Vec<_> = playlist.complete().collect();
    ensure!(found.segments.len() == complete.len(), "segments");
    for (theirs, ours) in found.segments.iter().zip(&complete) {
        let exact = ours.duration.unwrap_or_default().as_secs_f64();
        ensure!(Some(&theirs.uri) == ours.uri.as_ref());
        ensure!((theirs.duration - exact).abs() < 1e-9);
        ensure!(theirs.map == ours.map);
        ensure!(theirs.dated == ours.program_date_time.is_some());
        ensure!(theirs.discontinuity == ours.discontinuity);
        ensure!(
            theirs
                .parts
                .iter()
                .eq(ours.parts.iter().map(|part| &part.uri))
        );
    }
    let growing = playlist.segments.last().filter(|last| last.uri.is_none());
    let growing = growing.map_or(&[][..], |segment| &segment.parts);
    ensure!(
        found
            .growing
            .iter()
            .eq(growing.iter().map(|part| &part.uri)),
        "growing"
    );
    let hints = playlist.hints.iter().filter_map(|hint| hint.get("URI"));
    ensure!(found.hints.iter().eq(hints), "hints");
    Ok(())
}
