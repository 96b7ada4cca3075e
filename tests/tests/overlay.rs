//! What plugins draw, as it is told over the wire.

use anyhow::{Context, Result, ensure};
use picam_guests::{self as guests, Guests};
use picam_host::picture::clockbar;
use picam_tests::{Client, Guest, Host, PATIENCE, encoded_source, token};
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
    let host = Host::encoded(320, 180)?
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
    let host = Host::encoded(320, 180)?.start().await?;
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
    let host = Host::encoded(320, 180)?
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

/// Bits of the time of capture that are drawn, and the width of a block in thousandths: eight pixels of 320.
const BITS: u32 = 24;
const BLOCK: u32 = 25;

/// A plugin that draws when the picture was captured: the lower bits of the milliseconds as blocks along the upper edge,
/// from the lowest on, white for 1.
fn clock_of_blocks() -> guests::Guest {
    let mut guest = guests::Guest::new("blocks").hooks(&["overlay"]);
    // Each is a rectangle filled with black, without an edge, in 13 words.
    let blocks = (0..BITS).flat_map(|bit| {
        let left = bit * BLOCK;
        [
            1,
            left,
            0,
            left + BLOCK,
            100,
            0x0000_0001,
            0x0000_00ff,
            0,
            0,
            0,
            0,
            0,
            0,
        ]
    });
    let blocks = guest.words(&blocks.collect::<Vec<_>>());
    let colours: String = (0..BITS)
        .map(|bit| {
            format!(
                "(i32.store (i32.const {fill}) (select (i32.const 0xffffff01) (i32.const 0x00000001)
                    (i32.wrap_i64 (i64.and (i64.const 1) (i64.shr_u
                        (i64.div_u (local.get $captured) (i64.const 1000)) (i64.const {bit}))))))",
                fill = blocks + 52 * bit + 20
            )
        })
        .collect();
    guest.draw(&format!(
        "{colours} (call $drawing (i32.const {blocks}) (i32.const {BITS}) (i64.const 0))"
    ))
}

/// What the blocks in a picture of 320x180 say, if they are there.
fn read_blocks(luma: &[u8]) -> Option<u64> {
    let mut millis = 0;
    for bit in 0..BITS as usize {
        // In the middle of the block, and of its 18 rows.
        let at = 9 * 320 + bit * 8 + 3;
        match luma[at] {
            0..80 => {}
            160.. => millis |= 1 << bit,
            _ => return None,
        }
    }
    Some(millis)
}

#[tokio::test]
async fn what_is_burnt_into_a_picture_was_drawn_for_that_very_picture() -> Result<()> {
    let files = Guests::new();
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin(&files.build(clock_of_blocks()))
        .start()
        .await?;
    ensure!(
        host.said().contains("is in the pictures"),
        "{}",
        host.said()
    );
    let told = host.http1()?.get("/cam/overlay").await?;
    ensure!(
        told.status == 204,
        "the page would draw it a second time: {}",
        told.status
    );
    host.segments(3).await?;
    let pictures = host.luma((320, 180)).await?;
    let (mut drawn, mut off) = (0, 0);
    for picture in &pictures {
        let card = clockbar::read(picture, 320, 320, 180).context("the clock bar")?;
        let card = card.millis % (1 << BITS);
        // A picture may go without its drawing, where the machine is busy, but never has another one's.
        if let Some(block) = read_blocks(picture) {
            drawn += 1;
            off = off.max(block.abs_diff(card));
        }
    }
    println!(
        "{drawn} of {} pictures have a drawing, off by {off} ms at most",
        pictures.len()
    );
    ensure!(drawn > 0, "nothing was drawn on any of {}", pictures.len());
    ensure!(
        off < 33,
        "a drawing is on a picture that it was not made for: {off} ms"
    );
    Ok(())
}

/// Pixels of a picture of 320x180 that a mask over its lower right quarter hides, but for those at its edge: an encoder's
/// block that lies across, and its filter between blocks, leave a breath of what is outside.
fn hidden(luma: &[u8]) -> impl Iterator<Item = u8> {
    let rows = luma.chunks(320).skip(96);
    rows.flat_map(|row| row[164..].iter().copied())
}

/// Draws a white block in the upper left, and every tenth picture of a second or so, but not the one of the trial, is
/// trouble.
fn troubled(trouble: &str) -> guests::Guest {
    let mut guest = guests::Guest::new("troubled").hooks(&["overlay"]);
    let block = [
        1,
        0,
        0,
        100,
        100,
        0xffff_ff01,
        0x0000_00ff,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let block = guest.words(&block);
    guest.draw(&format!(
        "(if (i64.eq (i64.const 7) (i64.rem_u (i64.div_u (local.get $time) (i64.const 33000)) (i64.const 10)))
             (then {trouble}))
         (call $drawing (i32.const {block}) (i32.const 1) (i64.const 0))"
    ))
}

async fn stays_hidden(source: &str) -> Result<()> {
    let files = Guests::new();
    let plugin = files.build(troubled("(unreachable)"));
    let config = files.add(
        "picam.toml",
        format!(
            "[stream]\nsource = {source:?}\nsize = \"320x180\"\n\
             masks = [{{ left = 500, top = 500, right = 1000, bottom = 1000 }}]\n\
             [[plugin]]\nfile = \"ll-hls.wasm\"\n\
             [[plugin]]\nfile = {plugin:?}\nrestart-budget = 1000\nrestart-backoff = \"1ms\"\nbench-time = \"1ms\"\n"
        )
        .as_bytes(),
    );
    let host = Host::spawn(["--config".to_owned(), config]).await?;
    let operator = Client::http1(host.operator().context("an operator's address")?)?;
    for trouble in [guests::LOOP, "", "(unreachable)", guests::BOMB, ""] {
        host.segments(1).await?;
        files.build(troubled(trouble));
        // It may have been loaded already, by its file: then it is loaded twice.
        let reload = operator.request(reqwest::Method::POST, "/api/v1/plugins/troubled/reload");
        let reply = operator.send(reload).await?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let playlist = host.media_playlist().await?;
        playlist.next(&host.http1()?).await?;
    }
    host.segments(5).await?;
    let pictures = host.luma((320, 180)).await?;
    ensure!(pictures.len() > 60, "{} pictures", pictures.len());
    let mut drawn = 0;
    for (n, picture) in pictures.iter().enumerate() {
        let brightest = hidden(picture).max().unwrap_or_default();
        ensure!(
            brightest < 28,
            "picture {n} shows {brightest} under the mask"
        );
        ensure!(
            picture[45 * 320 + 240] > 40,
            "picture {n} is black elsewhere, too"
        );
        drawn += usize::from(picture[5 * 320 + 5] > 220);
    }
    println!("{drawn} of {} pictures have a drawing", pictures.len());
    ensure!(drawn > 0, "nothing was ever drawn: {}", host.said());
    ensure!(host.said().contains("troubled"), "{}", host.said());
    Ok(())
}

#[tokio::test]
async fn a_mask_stays_black_while_the_plugin_that_draws_is_swapped_and_fails() -> Result<()> {
    stays_hidden("pattern").await
}

#[tokio::test]
async fn a_mask_is_black_in_pictures_that_come_encoded_too() -> Result<()> {
    stays_hidden(&encoded_source(320, 180)?).await
}

#[tokio::test]
async fn pictures_that_come_encoded_are_drawn_on_where_that_is_wanted() -> Result<()> {
    let files = Guests::new();
    let plugin = files.build(clock_of_blocks());
    let config = files.add(
        "picam.toml",
        format!(
            "[stream]\nsource = {:?}\noverlay = \"transcode\"\n\
             [[plugin]]\nfile = \"ll-hls.wasm\"\n[[plugin]]\nfile = {plugin:?}\n",
            encoded_source(320, 180)?
        )
        .as_bytes(),
    );
    let host = Host::spawn(["--config".to_owned(), config]).await?;
    host.segments(3).await?;
    let pictures = host.luma((320, 180)).await?;
    let drawn = pictures
        .iter()
        .filter(|picture| read_blocks(picture).is_some());
    let (drawn, all) = (drawn.count(), pictures.len());
    println!("{drawn} of {all} pictures have a drawing");
    // How many is up to the machine: a picture waits 8 ms at most.
    ensure!(drawn > 0, "nothing was drawn on any of {all}");
    let told = host.http1()?.get("/cam/overlay").await?;
    ensure!(
        told.status == 204,
        "the page would draw it a second time: {}",
        told.status
    );
    Ok(())
}

#[tokio::test]
async fn a_value_that_the_operator_sets_is_drawn_at_once() -> Result<()> {
    // The page tells of drawings where pictures come encoded, so their text can be read.
    let host = Host::encoded(320, 180)?
        .plugin("overlay-text.wasm,text={temperature} °C,missing=?")
        .start()
        .await?;
    let operator = Client::http1(host.operator().context("an operator's address")?)?;
    let client = host.http1()?;
    let put = async |name: &str, value: &str| {
        let path = format!("/api/v1/values/{name}");
        let request = operator.request(reqwest::Method::PUT, &path);
        operator.send(request.body(value.to_owned())).await
    };
    let shown = async |wanted: &str| {
        let began = Instant::now();
        loop {
            let reply = client.get("/cam/overlay").await?;
            if reply.status == 200 {
                let news: Value = serde_json::from_slice(&reply.body)?;
                let last = news["layers"][0].as_array().and_then(|layer| layer.last());
                if last.is_some_and(|last| last["operations"][0]["text"]["content"] == wanted) {
                    return Ok(());
                }
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{wanted} is never shown: {}",
                reply.text()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    shown("? °C").await?;
    let reply = put("temperature", "21.5").await?;
    ensure!(reply.status == 204, "{}: {}", reply.status, reply.text());
    shown("21.5 °C").await?;
    let delete = operator.request(reqwest::Method::DELETE, "/api/v1/values/temperature");
    ensure!(operator.send(delete).await?.status == 204);
    shown("? °C").await?;

    for (name, value, status, word) in [
        ("a%20b", "1", 400, "name"),
        ("", "1", 400, "name"),
        ("long", &*"x".repeat(20_000), 413, "bytes"),
    ] {
        let reply = put(name, value).await?;
        ensure!(
            reply.status == status,
            "{name}: {} {}",
            reply.status,
            reply.text()
        );
        ensure!(reply.text().contains(word), "{name}: {}", reply.text());
    }
    let reply = operator.get("/api/v1/values/temperature").await?;
    ensure!((reply.status, reply.header("allow")) == (405, "PUT, DELETE"));
    // Viewers can't.
    let request = client.request(reqwest::Method::PUT, "/api/v1/values/temperature");
    ensure!(client.send(request.body("1")).await?.status != 204);
    Ok(())
}

#[tokio::test]
async fn without_a_plugin_that_takes_values_one_is_told_so() -> Result<()> {
    let host = Host::encoded(320, 180)?.start().await?;
    let operator = Client::http1(host.operator().context("an operator's address")?)?;
    let request = operator.request(reqwest::Method::PUT, "/api/v1/values/temperature");
    let reply = operator.send(request.body("1")).await?;
    ensure!(reply.status == 404, "{}", reply.status);
    ensure!(
        reply.text().contains("overlay-text.wasm"),
        "{}",
        reply.text()
    );
    Ok(())
}
