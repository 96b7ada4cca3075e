//! What a plugin stores with `kv = "persistent"`, over restarts of the host, graceful and not.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use picam_guests::{Guest, Guests};
use picam_tests::{Client, Host, PATIENCE, Setup};
use reqwest::Method;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

/// Counts its starts: it stores a stroke more each time, and writes `starts.txt` of them.
fn starts() -> Guest {
    let mut guest = Guest::new("starts")
        .import("kv", "get", "(param i32 i32 i32)")
        .import("kv", "set", "(param i32 i32 i32 i32 i32)");
    let key = guest.text("starts");
    let found = guest.words(&[0; 3]);
    let told = guest.words(&[0; 3]);
    let strokes = guest.string(&"|".repeat(1_000))[0];
    let read = format!("(call $get {key} (i32.const {found}))");
    let length = format!("(i32.load offset=8 (i32.const {found}))");
    guest
        .init(&format!(
            "{read} (call $set {key} (i32.const {strokes}) (i32.add {length} (i32.const 1)) (i32.const {told}))"
        ))
        .render(&format!(
            "{read} (call $document (i32.load offset=4 (i32.const {found})) {length} (i32.const 0))"
        ))
}

/// A directory with the plugin in it, a configuration, and what is stored.
struct Place(Guests);

impl Place {
    fn new() -> Self {
        let place = Self(Guests::new());
        place.0.build(starts());
        place.0.add(
            "picam.toml",
            b"state-dir = \"state\"\n[stream]\nsource = \"pattern\"\nsize = \"320x180\"\n\
              [[plugin]]\nfile = \"starts.wasm\"\ngrants = [\"kv\"]\nkv = \"persistent\"\n",
        );
        place
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("state/kv/starts.kv")
    }

    async fn start(&self) -> Result<Host> {
        let config = self.0.path().join("picam.toml");
        let config = config.to_str().context("a path in UTF-8")?;
        Host::spawn(["--config", config]).await
    }

    /// How many starts are stored.
    fn stored(&self) -> usize {
        let store = std::fs::read(self.store()).unwrap_or_default();
        // The only value is the last thing in the file.
        store.iter().rev().take_while(|byte| **byte == b'|').count()
    }

    /// Waits until so many are.
    async fn until_stored(&self, starts: usize) -> Result<()> {
        let began = Instant::now();
        while self.stored() != starts {
            ensure!(
                began.elapsed() < PATIENCE,
                "{} starts are stored, and not {starts}",
                self.stored()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// How often the plugin was started, as it tells.
async fn count(host: &Host) -> Result<usize> {
    let client = host.http1()?;
    let began = Instant::now();
    loop {
        let reply = client.get("/cam/starts.txt").await?;
        if reply.status == 200 {
            return Ok(reply.body.len());
        }
        ensure!(began.elapsed() < PATIENCE, "{}", reply.text());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn kill(mut host: Host) -> Result<()> {
    let id = host.id().context("it runs")?.to_string();
    let sent = Command::new("kill").args(["-9", &id]).status().await?;
    ensure!(sent.success());
    ensure!(host.wait().await?.is_none(), "it was killed");
    ensure!(!host.said().contains("damaged"), "{}", host.said());
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_when_the_host_stops_and_at_most_a_minute_when_it_is_killed() -> Result<()>
{
    let place = Place::new();
    let host = place.start().await?;
    ensure!(count(&host).await? == 1);
    // Perhaps sooner than it would be written by itself.
    ensure!(host.stop().await? == Some(0));
    ensure!(place.stored() == 1);

    let host = place.start().await?;
    ensure!(count(&host).await? == 2);
    place.until_stored(2).await?;
    kill(host).await?;
    let host = place.start().await?;
    ensure!(count(&host).await? == 3);
    ensure!(host.stop().await? == Some(0));

    // Killed at any time, it leaves a whole file behind, with what was stored before or what is stored now.
    for n in 0..8 {
        let before = place.stored();
        let host = place.start().await?;
        ensure!(count(&host).await? == before + 1);
        sleep(Duration::from_millis(150 * n)).await;
        kill(host).await?;
        let now = place.stored();
        ensure!(now == before || now == before + 1, "{now} after {before}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_store_is_put_aside_and_told_of() -> Result<()> {
    let place = Place::new();
    let host = place.start().await?;
    count(&host).await?;
    host.stop().await?;
    let mut store = std::fs::read(place.store())?;
    store[20] ^= 1;
    std::fs::write(place.store(), &store)?;
    let host = place.start().await?;
    ensure!(count(&host).await? == 1, "it starts with nothing");
    let said = host.said();
    let line = said.lines().find(|line| line.contains("is damaged"));
    let line = line.with_context(|| said.clone())?;
    for words in [
        "starts.kv",
        "its checksum is wrong",
        "plugin starts",
        "is kept as",
    ] {
        ensure!(line.contains(words), "{line}");
    }
    let (_, aside) = line.rsplit_once("is kept as ").context("where it is")?;
    let aside = place.store().with_file_name(aside.trim());
    ensure!(
        std::fs::read(&aside)? == store,
        "{} is another",
        aside.display()
    );
    Ok(())
}

#[tokio::test]
async fn what_a_generation_stored_that_is_rolled_back_is_not_what_a_restart_finds() -> Result<()> {
    let place = Place::new();
    let host = place.start().await?;
    count(&host).await?;
    place.until_stored(1).await?;
    // It stores a second stroke as it starts, and fails in its first call.
    place.0.build(starts().render_live("(unreachable)"));
    let operator = Client::http1(host.operator().context("there is an operator's listener")?)?;
    let reload = operator.request(Method::POST, "/api/v1/plugins/starts/reload");
    ensure!(operator.send(reload).await?.status == 200);
    ensure!(count(&host).await? == 1, "the one before serves again");
    ensure!(host.said().contains("rolled back"), "{}", host.said());
    host.stop().await?;
    ensure!(place.stored() == 1);
    Ok(())
}

#[tokio::test]
async fn two_hosts_can_not_have_one_store() -> Result<()> {
    let place = Place::new();
    let _host = place.start().await?;
    let config = place.0.path().join("picam.toml");
    let config = config.to_str().context("a path in UTF-8")?;
    let (code, said) = Setup::default()
        .arguments(["--config", config])
        .run()
        .await?;
    ensure!(code == Some(1), "{code:?}: {said}");
    ensure!(
        said.contains("give this one a `state-dir` of its own"),
        "{said}"
    );
    Ok(())
}
