//! What plugins draw, as it is told over the wire.

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Guest, Host, PATIENCE, token};
use serde_json::Value;
use tokio::time::Instant;

const SMALL: [&str; 2] = ["--size", "320x180"];

async fn drawings(client: &Client, path: &str) -> Result<Value> {
    let reply = client.get(path).await?;
    ensure!(reply.status == 200, "{path}: {}", reply.status);
    ensure!(reply.header("content-type") == "application/json");
    serde_json::from_slice(&reply.body).context("JSON")
}

#[tokio::test]
async fn drawings_come_in_order_and_their_images_answer() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin(&Guest::overlay().build()?)
        .plugin("overlay-clock.wasm")
        .start()
        .await?;
    let client = host.http1()?;
    // The playlists come all the same: none of the two writes any.
    host.media_playlist().await?;
    let began = Instant::now();
    let mut news = drawings(&client, "/cam/overlay").await?;
    let (mut times, mut image) = ([Vec::new(), Vec::new()], None);
    while times.iter().any(|times| times.len() < 3) {
        ensure!(began.elapsed() < PATIENCE, "{times:?}");
        for (layer, times) in times.iter_mut().enumerate() {
            for drawing in news["layers"][layer].as_array().context("a layer")? {
                times.push(drawing["time"].as_u64().context("a time")?);
                let kinds: Vec<_> = drawing["operations"]
                    .as_array()
                    .context("operations")?
                    .iter()
                    .flat_map(|operation| {
                        operation
                            .as_object()
                            .into_iter()
                            .flat_map(|kinds| kinds.keys())
                    })
                    .collect();
                match layer {
                    0 => ensure!(kinds == ["rectangle", "text", "line", "image"], "{drawing}"),
                    _ => ensure!(kinds == ["text"], "{drawing}"),
                }
                if let Some(png) = drawing["operations"][3]["image"]["png"].as_str() {
                    image = Some(png.to_owned());
                }
            }
        }
        let version = news["version"].as_u64().context("a version")?;
        // Held until there is something new.
        news = drawings(&client, &format!("/cam/overlay?after={version}")).await?;
    }
    for times in &times {
        ensure!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }
    let reply = client
        .get(&format!("/cam/overlay/{}", image.context("an image")?))
        .await?;
    ensure!(reply.status == 200 && reply.header("content-type") == "image/png");
    ensure!(reply.body.starts_with(b"\x89PNG"));
    Ok(())
}

#[tokio::test]
async fn where_nobody_draws_there_is_nothing() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    let reply = host.http1()?.get("/cam/overlay").await?;
    ensure!(
        reply.status == 204 && reply.body.is_empty(),
        "{}",
        reply.status
    );
    ensure!(!host.said().contains("draws"), "{}", host.said());
    Ok(())
}

#[tokio::test]
async fn drawings_are_for_those_who_may_watch() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin("overlay-clock.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .start()
        .await?;
    let client = host.http1()?;
    for path in ["/cam/overlay", "/cam/overlay?after=1", "/cam/overlay/x.png"] {
        let reply = client.get(path).await?;
        ensure!(
            [401, 403].contains(&reply.status),
            "{path}: {}",
            reply.status
        );
    }
    let path = format!("/~{}/cam/overlay", token::lasting(3_600)?);
    drawings(&client, &path).await?;
    Ok(())
}
