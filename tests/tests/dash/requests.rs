//! Requests for segments, for the time, and for what can't be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Guest, Host, dash::Mpd, token};
use serde_json::Value;

/// A host whose MPD is there, the MPD, and the number of the segment that grows.
async fn playing(setup: picam_tests::Setup) -> Result<(Host, Mpd, u64)> {
    let host = setup.start().await?;
    let mpd = Mpd::first(&host).await?;
    let number = growing(&host.http1()?).await?;
    Ok((host, mpd, number))
}

fn pattern() -> picam_tests::Setup {
    Host::source("pattern").arguments(["--size", "320x180"])
}

/// The number of the segment that grows, as the HLS playlist has it.
async fn growing(client: &Client) -> Result<u64> {
    let multivariant = client.fetch("/cam/live.m3u8").await?;
    let multivariant = String::from_utf8(multivariant.to_vec())?;
    let media = multivariant.lines().find(|line| !line.starts_with('#'));
    let path = format!("/cam/{}", media.context("a media playlist")?);
    let playlist = picam_tests::Playlist::get(client, &path, "").await?;
    Ok(playlist.position().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_is_there_from_just_before_it_begins_until_it_leaves_the_window() {
    let setup = pattern()
        .plugin("ll-hls.wasm,window-s=6,segment-ms=500")
        .plugin("dash.wasm,window-s=6");
    let (host, mpd, number) = playing(setup).await.unwrap();
    let parts = mpd.last().unwrap();
    let segment = |number| parts.segment(number).unwrap();
    for client in [host.http1().unwrap(), host.http2().unwrap()] {
        // By now another one may be growing.
        for ahead in [10, 100, 1 << 40] {
            let early = client.get(&segment(number + ahead)).await.unwrap();
            assert_eq!(early.status, 404, "{}", early.text());
            assert_eq!(early.header("cache-control"), "no-store");
        }
        let old = client
            .get(&segment(number.saturating_sub(1_000)))
            .await
            .unwrap();
        assert!([404, 410].contains(&old.status), "{}", old.text());
    }

    // The next one waits, and then comes bit by bit.
    let client = host.http2().unwrap();
    let mut number = growing(&client).await.unwrap();
    let response = loop {
        number += 1;
        let asked = Instant::now();
        let response = client.open(&segment(number)).await.unwrap();
        if response.status() == 200 && asked.elapsed() > Duration::from_millis(20) {
            break response;
        }
        assert_eq!(response.status(), 200, "it was the next one, or grew");
    };
    assert!(response.headers().get("content-length").is_none());
    let grown = response.bytes().await.unwrap();
    let whole = client.fetch(&segment(number)).await.unwrap();
    assert_eq!(grown, whole, "it stays what it was");
    let lasting = client.get(&segment(number)).await.unwrap();
    assert_eq!(lasting.header("content-length"), whole.len().to_string());
    assert!(lasting.max_age().is_some_and(|age| age >= 6), "{lasting:?}");

    // It lies in the window for that long, and is available for as long again.
    let began = Instant::now();
    loop {
        let reply = client.get(&segment(number)).await.unwrap();
        if reply.status != 200 {
            assert!([404, 410].contains(&reply.status));
            break;
        }
        assert!(began.elapsed() < picam_tests::PATIENCE, "it never goes");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(
        began.elapsed() > Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_sends_a_growing_segment_chunk_by_chunk() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let setup = pattern().plugin("ll-hls.wasm").plugin("dash.wasm");
    let (host, mpd, number) = playing(setup).await.unwrap();
    let path = mpd.last().unwrap().segment(number + 1).unwrap();
    let mut socket = tokio::net::TcpStream::connect(host.address())
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    socket.read_to_end(&mut response).await.unwrap();
    let head = response
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let (head, mut rest) = response.split_at(head + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    // Each chunk of the transfer is a chunk of CMAF, whole.
    let mut chunks = 0;
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        let chunk = bytes::Bytes::copy_from_slice(&rest[..size]);
        let boxes = picam_tests::media::boxes(chunk).unwrap();
        let kinds: Vec<_> = boxes.iter().map(|found| found.kind.as_str()).collect();
        assert_eq!(kinds, ["prft", "moof", "mdat"]);
        rest = &rest[size + 2..];
        chunks += 1;
    }
    assert!(chunks > 10, "{chunks} chunks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_hls_never_sends_what_is_still_growing() {
    let setup = pattern().plugin("ll-hls.wasm").plugin("dash.wasm");
    let (host, mpd, _) = playing(setup).await.unwrap();
    let client = host.http2().unwrap();
    let media = mpd.last().unwrap().media().unwrap();
    let path = host.media_playlist_path().await.unwrap();
    let playlist = picam_tests::Playlist::get(&client, &path, "")
        .await
        .unwrap();
    assert!(!playlist.text.contains("chunked/"), "{}", playlist.text);
    assert!(media.contains("/chunked/"), "{media}");
    for hint in &playlist.hints {
        let part = playlist.resolve(hint.get("URI").unwrap());
        let response = client.open(&part).await.unwrap();
        assert!(response.content_length().is_some(), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_is_that_of_this_machine_and_whoever_may_not_watch_may_not_ask() {
    let setup = pattern()
        .plugin("dash.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY));
    let host = setup.start().await.unwrap();
    let client = host.http1().unwrap();
    let denied = client.get("/cam/time").await.unwrap();
    assert!([401, 403].contains(&denied.status), "{}", denied.text());
    let token = token::lasting(3_600).unwrap();
    let path = format!("/~{token}/cam/time");
    let now = || chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let before = now();
    let reply = client.get(&path).await.unwrap();
    let after = now();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(
        reply.header("cache-control").contains("no-store"),
        "{reply:?}"
    );
    let text = reply.text();
    assert!(
        text.ends_with('Z') && text.len() == "2026-11-25T00:00:00.000Z".len(),
        "{text:?}"
    );
    let time = chrono::DateTime::parse_from_rfc3339(&text)
        .unwrap()
        .to_utc();
    // Clocks may be disciplined meanwhile.
    let slack = chrono::TimeDelta::milliseconds(50);
    assert!(
        before - slack <= time && time <= after + slack,
        "{before} {time} {after}"
    );
    let mpd = client
        .get(&format!("/~{token}/cam/live.mpd"))
        .await
        .unwrap();
    assert_eq!(mpd.status, 200, "relative addresses keep the token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_no_template_and_dash_are_told_apart() {
    // Asked for together: an error, with both names.
    let setup = pattern().plugin("dash.wasm").plugin("name-secret.wasm");
    let (code, said) = setup.run().await.unwrap();
    assert_ne!(code, Some(0));
    for word in ["plugin dash ", "live.mpd", "name-secret"] {
        assert!(said.contains(word), "{said}");
    }
    // Not asked for: left out, and said so.
    let host = pattern().plugin("name-secret.wasm").start().await.unwrap();
    host.media_playlist().await.unwrap();
    let reply = host.http1().unwrap().get("/cam/live.mpd").await.unwrap();
    assert_eq!(reply.status, 404);
    assert!(
        host.said().contains("dash.wasm is left out"),
        "{}",
        host.said()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namer_with_a_template_names_segments_that_grow_until_it_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("letters.wasm");
    let put = |guest: Guest| -> Result<()> {
        std::fs::copy(guest.build()?, &file)?;
        Ok(())
    };
    put(Guest::naming("")).unwrap();
    let setup = pattern()
        .plugin("ll-hls.wasm")
        .plugin("dash.wasm")
        .plugin(file.to_str().unwrap());
    let (host, mpd, number) = playing(setup).await.unwrap();
    let parts = mpd.last().unwrap();
    assert!(
        parts.media().unwrap().ends_with("/s/$Number$.m4s"),
        "{}",
        mpd.text
    );
    let client = host.http2().unwrap();
    let segment = client.fetch(&parts.segment(number).unwrap()).await.unwrap();
    assert!(picam_tests::media::fragments(&segment).unwrap().len() > 1);

    // A reload to one whose names are no template is refused, with both names, and what ran before runs on.
    put(Guest::naming("").without_template()).unwrap();
    let operator = Client::http1(host.operator().unwrap()).unwrap();
    let reload = operator.request(reqwest::Method::POST, "/api/v1/plugins/letters/reload");
    let reply = operator.send(reload).await.unwrap();
    assert_eq!(reply.status, 422, "{}", reply.text());
    let problem: Value = serde_json::from_str(&reply.text()).unwrap();
    let detail = problem["detail"].as_str().unwrap_or_default();
    for word in ["plugin dash ", "letters"] {
        assert!(detail.contains(word), "{detail}");
    }
    let again = Mpd::get(&client).await.unwrap();
    assert!(
        again
            .last()
            .unwrap()
            .media()
            .unwrap()
            .ends_with("/s/$Number$.m4s")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stock_playlists_load_by_themselves() {
    let host = Host::spawn([
        "--source",
        "pattern",
        "--size",
        "320x180",
        "--config",
        "/dev/null",
    ])
    .await
    .unwrap();
    let mpd = Mpd::first(&host).await.unwrap();
    assert_eq!(mpd.read.periods.len(), 1);
    host.media_playlist().await.unwrap();
    let reply = host.http1().unwrap().get("/cam/live.mpd").await.unwrap();
    assert_eq!(reply.header("content-type"), "application/dash+xml");
    assert_eq!(reply.max_age(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finite_stream_ends_in_the_mpd() -> Result<()> {
    use std::process::Stdio;
    let clip = picam_tests::Clip::default();
    let camera = picam_tests::Camera::new(
        &["clip {} rate 30 play 150 exit 0"],
        std::slice::from_ref(&clip),
    )
    .await?;
    let mut child = camera.command().stdout(Stdio::piped()).spawn()?;
    let pipe: Stdio = child.stdout.take().context("piped")?.try_into()?;
    let host = Host::source("-")
        .stdin(pipe)
        .plugin("dash.wasm")
        .start()
        .await?;
    let first = Mpd::first(&host).await?;
    ensure!(first.read.mediaPresentationDuration.is_none());
    let client = host.http1()?;
    let began = Instant::now();
    loop {
        let mpd = Mpd::get(&client).await?;
        if let Some(length) = mpd.read.mediaPresentationDuration {
            ensure!(mpd.read.minimumUpdatePeriod.is_none(), "{}", mpd.text);
            let last = mpd.last()?;
            let end =
                last.period.start.context("@start")? + last.period.duration.context("@duration")?;
            ensure!(
                end.abs_diff(length) < Duration::from_millis(1),
                "{}",
                mpd.text
            );
            return Ok(());
        }
        ensure!(
            began.elapsed() < picam_tests::PATIENCE,
            "no end in\n{}",
            mpd.text
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
