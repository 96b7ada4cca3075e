//! Classic HLS over the wire: the rules of RFC 8216 (whose clauses these are) that a program can check, and what other
//! people's programs make of it, beside Low-Latency HLS from the same bytes.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use picam_tests::{
    Client, Host, PATIENCE, Playlist,
    players::{Decoded, gstreamer, pipelines, run},
};
use tokio::{process::Command, time::sleep};

/// Both playlist plugins, on segments of half a second.
async fn host(options: &str) -> Result<Host> {
    Host::source("pattern")
        .arguments(["--size", "320x180", "--fps", "30"])
        .plugin("ll-hls.wasm,segment-ms=500,window-s=10")
        .plugin(&format!("hls.wasm{options}"))
        .start()
        .await
}

/// The path of the media playlist, once there is a master playlist, and the master playlist.
async fn media_path(client: &Client) -> Result<(String, String)> {
    let began = Instant::now();
    loop {
        let reply = client.get("/cam/hls.m3u8").await?;
        if reply.status == 200 {
            ensure!(reply.header("content-type") == "application/vnd.apple.mpegurl");
            let text = reply.text();
            let (_, master) = m3u8_rs::parse_master_playlist(text.as_bytes())
                .map_err(|error| anyhow::anyhow!("m3u8-rs: {error}\n{text}"))?;
            let [variant] = &master.variants[..] else {
                bail!("one variant was expected:\n{text}")
            };
            return Ok((format!("/cam/{}", variant.uri), text.clone()));
        }
        ensure!(
            reply.status == 503 && began.elapsed() < PATIENCE,
            "{}",
            reply.text()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Reloads as a player does, until so many segments were seen to come.
async fn follow(client: &Client, path: &str, segments: u64) -> Result<Vec<Playlist>> {
    let mut states: Vec<Playlist> = Vec::new();
    let began = Instant::now();
    loop {
        let now = Playlist::get(client, path, "").await?;
        if states.last().is_none_or(|last| last.text != now.text) {
            states.push(now);
        }
        let (first, last) = (&states[0], &states[states.len() - 1]);
        if last.position().0 >= first.position().0 + segments {
            return Ok(states);
        }
        ensure!(
            began.elapsed() < 2 * PATIENCE,
            "too few segments:\n{}",
            last.text
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn every_state_of_the_playlist_keeps_the_rules() -> Result<()> {
    let host = host("").await?;
    let client = host.http1()?;
    let (path, _) = media_path(&client).await?;
    // Until the window of 10 s has been left by some.
    let states = follow(&client, &path, 26).await?;
    for state in &states {
        let text = &state.text;
        // 4.3.3.1: every EXTINF, rounded, is at most the target duration. 6.2.1: that never changes.
        ensure!(state.target_duration == states[0].target_duration, "{text}");
        for segment in &state.segments {
            let duration = segment.duration.context("whole segments only")?;
            ensure!(
                duration.as_secs_f64().round() <= state.target_duration as f64,
                "{text}"
            );
            ensure!(
                segment.program_date_time.is_some() && segment.map.is_some(),
                "{text}"
            );
        }
        // Nothing newer than RFC 8216, and no more than its version 6 (section 7).
        let known = [
            "EXTM3U",
            "EXT-X-VERSION",
            "EXT-X-TARGETDURATION",
            "EXT-X-INDEPENDENT-SEGMENTS",
            "EXT-X-MEDIA-SEQUENCE",
            "EXT-X-DISCONTINUITY-SEQUENCE",
            "EXT-X-DISCONTINUITY",
            "EXT-X-MAP",
            "EXT-X-PROGRAM-DATE-TIME",
            "EXTINF",
        ];
        for tag in &state.tags {
            ensure!(known.contains(&&*tag.name), "{}: {text}", tag.name);
        }
        ensure!(state.parsed.version == Some(6), "{text}");
    }
    for pair in states.windows(2) {
        let [before, after] = pair else {
            unreachable!("pairs")
        };
        // 6.2.1: segments are added at the end and removed at the beginning, and that alone.
        let gone = usize::try_from(after.media_sequence - before.media_sequence)?;
        ensure!(gone <= before.segments.len());
        for (old, new) in before.segments[gone..].iter().zip(&after.segments) {
            ensure!((&old.uri, old.duration, &old.map) == (&new.uri, new.duration, &new.map));
        }
        // 6.2.2: three target durations stay, once there were as many.
        if gone > 0 {
            let left: Duration = after
                .segments
                .iter()
                .filter_map(|segment| segment.duration)
                .sum();
            ensure!(
                left.as_secs() >= 3 * after.target_duration,
                "{}",
                after.text
            );
        }
    }
    let last = &states[states.len() - 1];
    ensure!(
        last.media_sequence > states[0].media_sequence,
        "the window never moved"
    );
    // Half a target duration, so that a cache in front is never behind by more than a reload.
    let reply = client.get(&path).await?;
    ensure!(reply.max_age() == Some((last.target_duration / 2).max(1)));
    Ok(())
}

#[tokio::test]
async fn both_kinds_of_hls_list_the_same_segments() -> Result<()> {
    let host = host("").await?;
    let client = host.http2()?;
    let (path, _) = media_path(&client).await?;
    follow(&client, &path, 6).await?;
    let newer = host.media_playlist().await?;
    let older = Playlist::get(&client, &path, "").await?;
    let uris = |playlist: &Playlist| -> BTreeSet<String> {
        playlist
            .complete()
            .filter_map(|segment| segment.uri.clone())
            .collect()
    };
    let both: Vec<_> = uris(&newer).intersection(&uris(&older)).cloned().collect();
    ensure!(both.len() >= 5, "{}\n{}", newer.text, older.text);
    for uri in both {
        let (one, other) = (newer.resolve(&uri), older.resolve(&uri));
        ensure!(one == other, "{one} and {other}");
        ensure!(!client.fetch(&one).await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_shorter_window_lists_less_of_the_same() -> Result<()> {
    let host = host(",window-s=4").await?;
    let client = host.http1()?;
    let (path, _) = media_path(&client).await?;
    let states = follow(&client, &path, 20).await?;
    let last = &states[states.len() - 1];
    let listed: Duration = last
        .segments
        .iter()
        .filter_map(|segment| segment.duration)
        .sum();
    ensure!(
        listed.as_secs() >= 3 * last.target_duration,
        "{}",
        last.text
    );
    let newer = host.media_playlist().await?;
    ensure!(
        newer.complete().count() > last.segments.len(),
        "{}\n{}",
        newer.text,
        last.text
    );
    Ok(())
}

#[tokio::test]
async fn two_lengths_of_segments_are_refused_with_both_names() -> Result<()> {
    let (code, said) = Host::source("pattern")
        .plugin("ll-hls.wasm,segment-ms=500")
        .plugin("hls.wasm,segment-ms=2000")
        .run()
        .await?;
    ensure!(
        code == Some(1) && said.contains("ll-hls") && said.contains("plugin hls"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn m3u8_parser_reads_both_playlists_without_a_complaint() -> Result<()> {
    let host = host("").await?;
    let client = host.http1()?;
    let (path, master) = media_path(&client).await?;
    let states = follow(&client, &path, 6).await?;
    let last = &states[states.len() - 1];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let (fine, said, complaints) = run(
        Command::new("node")
            .arg("parse.mjs")
            .current_dir(&directory),
        &serde_json::to_vec(&[&master, &last.text])?,
    )
    .await?;
    ensure!(
        fine,
        "node parse.mjs (run `npm ci` in tests/browser first): {complaints}"
    );
    let found: Vec<serde_json::Value> = serde_json::from_str(&said)?;
    for found in &found {
        ensure!(found["complaints"] == serde_json::json!([]), "{found}");
    }
    ensure!(
        found[0]["playlists"][0]["uri"] == path["/cam/".len()..],
        "{}",
        found[0]
    );
    ensure!(
        found[1]["targetDuration"] == last.target_duration,
        "{}",
        found[1]
    );
    ensure!(
        found[1]["mediaSequence"] == last.media_sequence,
        "{}",
        found[1]
    );
    let segments = found[1]["segments"].as_array().context("a list")?;
    ensure!(segments.len() == last.segments.len(), "{}", found[1]);
    for (theirs, ours) in segments.iter().zip(&last.segments) {
        ensure!(theirs["uri"].as_str() == ours.uri.as_deref(), "{theirs}");
        ensure!(theirs["map"].as_str() == ours.map.as_deref(), "{theirs}");
    }
    Ok(())
}

#[tokio::test]
async fn ffmpeg_plays_five_seconds() -> Result<()> {
    let host = host("").await?;
    media_path(&host.http1()?).await?;
    let decoded = Decoded::by_ffmpeg(&host.url("/cam/hls.m3u8"), &["-t", "5"]).await?;
    decoded.check(120..=151)?;
    ensure!(decoded.complaints.is_empty(), "{:#?}", decoded.complaints);
    Ok(())
}

/// The older of GStreamer's HLS readers, which classic HLS is for, and the one that `playbin3` takes.
#[tokio::test]
async fn gstreamer_plays_a_hundred_pictures() -> Result<()> {
    let host = host("").await?;
    media_path(&host.http1()?).await?;
    for pipeline in pipelines(&host.url("/cam/hls.m3u8"), "hlsdemux") {
        gstreamer(&pipeline, 100).await?;
    }
    Ok(())
}

/// How many files with this ending are in a directory.
fn count(directory: &Path, ending: &str) -> Result<usize> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let ours = entries.iter().filter(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|found| found == ending)
    });
    Ok(ours.count())
}

/// VLC writes every picture that it shows into a file. It refuses to run as root.
#[tokio::test]
async fn vlc_plays_eight_seconds() -> Result<()> {
    let host = host("").await?;
    media_path(&host.http1()?).await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().to_str().context("a path in UTF-8")?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let (_, _, complaints) = run(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc"])
            .args([
                "--no-audio",
                "--vout=vdummy",
                "--video-filter=scene",
                "--scene-format=jpg",
                "--scene-ratio=1",
            ])
            .arg(format!("--scene-path={path}"))
            .args([
                "--run-time=8",
                "--play-and-exit",
                &host.url("/cam/hls.m3u8"),
                "vlc://quit",
            ])
            .env("HOME", path),
        b"",
    )
    .await?;
    let pictures = count(directory.path(), "jpg")?;
    println!("VLC showed {pictures} pictures in 8 s");
    ensure!(pictures >= 60, "{pictures} pictures\n{complaints}");
    Ok(())
}

#[tokio::test]
async fn mpv_plays_a_hundred_pictures() -> Result<()> {
    let host = host("").await?;
    media_path(&host.http1()?).await?;
    let directory = tempfile::tempdir()?;
    let (fine, said, complaints) = run(
        Command::new("mpv")
            .args([
                "--no-config",
                "--ao=null",
                "--vo=image",
                "--vo-image-format=jpg",
                "--frames=100",
            ])
            .arg(format!("--vo-image-outdir={}", directory.path().display()))
            .arg(host.url("/cam/hls.m3u8")),
        b"",
    )
    .await?;
    let pictures = count(directory.path(), "jpg")?;
    ensure!(
        fine && pictures >= 100,
        "{pictures} pictures\n{said}\n{complaints}"
    );
    Ok(())
}
