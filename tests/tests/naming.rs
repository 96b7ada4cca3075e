//! A plugin names media: playlists list the names, every name leads to its object for as long as it is to, and numbers
//! take their place where there is none.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use picam_tests::{Client, Guest, Host, PATIENCE, Playlist};
use tokio::time::{Instant, sleep};

async fn start(trouble: &str) -> Result<Host> {
    Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm,window-s=6")
        .plugin(&Guest::naming(trouble).build()?)
        .start()
        .await
}

/// All addresses of a playlist, its hint included.
fn addresses(playlist: &Playlist) -> Vec<String> {
    let mut uris: Vec<&str> = Vec::new();
    for segment in &playlist.segments {
        uris.extend(segment.map.as_deref());
        uris.extend(segment.parts.iter().map(|part| &*part.uri));
        uris.extend(segment.uri.as_deref());
    }
    uris.extend(playlist.hints.iter().map(|hint| &*hint["URI"]));
    uris.iter().map(|uri| uri.to_string()).collect()
}

async fn lengths(client: &Client, playlist: &Playlist, uris: &[String]) -> Result<Vec<usize>> {
    let mut lengths = Vec::new();
    for uri in uris {
        let reply = client.get(&playlist.resolve(uri)).await?;
        ensure!(reply.status == 200, "{uri}: {}", reply.status);
        ensure!(reply.header("content-type") == "video/mp4", "{uri}");
        ensure!(
            reply.header("cache-control")
                == format!("public, max-age={}", 6 * playlist.target_duration),
            "{uri} may be given to something else later: {}",
            reply.header("cache-control")
        );
        lengths.push(reply.body.len());
    }
    Ok(lengths)
}

/// A playlist with segments that have parts, and without the ones that were published as the host started.
async fn running(host: &Host, client: &Client) -> Result<Playlist> {
    let mut playlist = host.media_playlist().await?;
    let began = Instant::now();
    while playlist.segments.len() < 4 {
        ensure!(began.elapsed() < PATIENCE, "{}", playlist.text);
        playlist = playlist.next(client).await?;
    }
    Ok(playlist)
}

#[tokio::test]
async fn playlists_list_the_names_from_the_first_object_on_and_each_answers() -> Result<()> {
    let host = start("").await?;
    let client = host.http1()?;
    let first = host.media_playlist().await?;
    let mut seen = BTreeSet::new();
    let mut playlist = first.clone();
    for _ in 0..12 {
        let uris = addresses(&playlist);
        for uri in &uris {
            let (kind, number) = uri.split_once('/').unwrap_or_default();
            let ending = if kind == "i" { ".mp4" } else { ".m4s" };
            let number = number.strip_suffix(ending).unwrap_or_default();
            ensure!(
                ["i", "s", "p"].contains(&kind) && number.parse::<u64>().is_ok(),
                "{uri} is not what the plugin named it:\n{}",
                playlist.text
            );
        }
        seen.extend(uris);
        playlist = playlist.next(&client).await?;
    }
    // The hint is waited for, as all the others are there.
    lengths(&client, &playlist, &addresses(&playlist)).await?;
    ensure!(seen.len() > 12, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn stock_plugins_name_everything_and_nothing_is_left_to_numbers() -> Result<()> {
    for spec in ["name-date.wasm", "name-secret.wasm"] {
        let host = Host::source("pattern")
            .arguments(["--size", "320x180"])
            .plugin("ll-hls.wasm,window-s=6")
            .plugin(spec)
            .start()
            .await?;
        let client = host.http1()?;
        let mut playlist = host.media_playlist().await?;
        let mut seen = BTreeSet::new();
        while seen.len() < 30 {
            seen.extend(addresses(&playlist));
            playlist = playlist.next(&client).await?;
        }
        lengths(&client, &playlist, &addresses(&playlist)).await?;
        let numbered = |uri: &&String| {
            ["init-", "segment-", "part-"]
                .iter()
                .any(|kind| uri.starts_with(kind))
        };
        ensure!(
            seen.iter().find(numbered).is_none() && !host.said().contains("it is called"),
            "{spec}: {seen:?}\n{}",
            host.said()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_hinted_name_is_held_until_the_part_is_there() -> Result<()> {
    let host = start("").await?;
    let client = host.http1()?;
    let mut playlist = running(&host, &client).await?;
    for _ in 0..5 {
        let hint = playlist.hints[0]["URI"].clone();
        let [length] = lengths(&client, &playlist, std::slice::from_ref(&hint)).await?[..] else {
            unreachable!("one answer for one address")
        };
        ensure!(length > 0);
        playlist = playlist.next(&client).await?;
        ensure!(
            addresses(&playlist).contains(&hint),
            "{hint} was hinted and sent, and is not in\n{}",
            playlist.text
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_name_goes_with_its_object() -> Result<()> {
    let host = start("").await?;
    let client = host.http1()?;
    let playlist = running(&host, &client).await?;
    let segment = playlist
        .segments
        .iter()
        .find_map(|segment| segment.uri.clone());
    let segment = playlist.resolve(&segment.expect("a finished segment"));
    // Listed for six seconds, then there for as long again.
    let began = Instant::now();
    loop {
        let reply = client.get(&segment).await?;
        if reply.status == 404 {
            ensure!(reply.header("cache-control") == "no-store");
            break;
        }
        ensure!(reply.status == 200, "{}", reply.status);
        ensure!(began.elapsed() < PATIENCE, "{segment} is still there");
        sleep(Duration::from_millis(500)).await;
    }
    ensure!(
        began.elapsed() > Duration::from_secs(5),
        "gone after {:?}",
        began.elapsed()
    );
    for never in ["p/1", "s/../s/1", "part-0.m4s", "segment-0.m4s"] {
        let reply = client.get(&playlist.resolve(never)).await?;
        ensure!(reply.status == 404, "{never}: {}", reply.status);
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_keeps_trapping_leaves_numbers_and_the_stream_goes_on() -> Result<()> {
    // On trial the number is 1,000.
    let host =
        start("(if (i64.ne (local.get $number) (i64.const 1000)) (then (unreachable)))").await?;
    let client = host.http1()?;
    let playlist = running(&host, &client).await?;
    let uris = addresses(&playlist);
    for uri in &uris {
        ensure!(
            ["init-", "segment-", "part-"]
                .iter()
                .any(|kind| uri.starts_with(kind)),
            "{uri}"
        );
        let reply = client.get(&playlist.resolve(uri)).await?;
        ensure!(reply.status == 200, "{uri}: {}", reply.status);
        ensure!(reply.header("cache-control").contains("immutable"), "{uri}");
    }
    let log = host.said();
    ensure!(
        log.contains("plugin letters") && log.contains("unreachable"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn two_plugins_that_name_are_an_error_at_start() -> Result<()> {
    // The second is another file, and another plugin.
    let letters = Guest::naming("").build()?;
    let directory = tempfile::tempdir()?;
    let other = directory.path().join("other.wasm");
    let bytes = std::fs::read(&letters)?;
    let at = bytes
        .windows(7)
        .position(|name| name == b"letters")
        .expect("its name is in it");
    let renamed = [&bytes[..at], b"numbers", &bytes[at + 7..]].concat();
    std::fs::write(&other, renamed)?;
    let (code, said) = Host::source("pattern")
        .plugin("ll-hls.wasm")
        .plugin(&letters)
        .plugin(&other.display().to_string())
        .run()
        .await?;
    ensure!(code != Some(0), "it starts");
    ensure!(
        said.contains("letters and numbers both name media objects"),
        "{said}"
    );
    Ok(())
}
