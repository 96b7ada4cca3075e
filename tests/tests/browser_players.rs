//! What viewers see of our own player, by both of its ways, and of the pages that embed the stream in other sites. Players run
//! side by side, since each test is mostly time that passes.
//!
//! Figures are printed, not judged: `cargo test -p picam-tests --test browser_players -- --nocapture`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use picam_tests::{HICCUP, Host, Player, Report, Viewer, profile_directory};
use tokio::{process::Command, time::sleep};

/// A picture that two cores encode and decode twice in software, besides whatever else they have to do.
const SMALL: [&str; 4] = ["--size", "640x360", "--bitrate", "800k"];
/// The ways of our own player.
const WAYS: [&str; 2] = ["webcodecs", "mse"];

/// A viewer of our page by each of its ways, each of whom has seen some pictures.
async fn open(host: &Host, ways: &[&'static str]) -> Result<Vec<(&'static str, Viewer)>> {
    let mut viewers = Vec::new();
    for way in ways {
        let url = host.url(&format!("/?player={way}"));
        viewers.push((*way, Viewer::open(Player::Page, &url).await?));
    }
    for (way, viewer) in &mut viewers {
        let seen = viewer
            .until("the word Live", |seen| {
                seen.readings > 60 && state(seen) == "live"
            })
            .await?;
        let engine = seen.picam.as_ref().map(|page| page.engine.as_str());
        ensure!(engine == Some(way), "it plays with {engine:?}, not {way}");
    }
    Ok(viewers)
}

fn state(seen: &Report) -> &str {
    seen.picam.as_ref().map_or("", |page| page.state.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_player_plays_a_minute_without_a_stall() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    let mut viewers = open(&host, &WAYS).await?;
    // On a machine that stands still now and then, a stall proves nothing: then it is tried again.
    for attempt in 1..=3 {
        for (_, viewer) in &mut viewers {
            viewer.restart().await?;
        }
        sleep(Duration::from_secs(60)).await;
        let mut undisturbed = true;
        for (way, viewer) in &mut viewers {
            let seen = viewer.report().await?;
            let off = seen.deviation.unwrap_or(f64::NAN);
            println!(
                "{way}, 60 s: {}; the page is off by {off:.0} ms",
                seen.figures()
            );
            seen.healthy()?;
            ensure!(seen.readings > 600, "pictures are missing: {seen:#?}");
            ensure!(seen.rewinds == 0, "pictures went backwards: {seen:#?}");
            if seen.waits.count > 0 {
                ensure!(
                    seen.hiccup > HICCUP,
                    "{way} stalled though nothing held it up: {seen:#?}"
                );
                undisturbed = false;
            }
        }
        if undisturbed {
            return Ok(());
        }
        println!("attempt {attempt} says nothing: the machine stood still");
    }
    println!(
        "no attempt was undisturbed: whether it stalls by itself remains open on this machine"
    );
    Ok(())
}

/// A camera with a clock bar that can be unplugged, and whose size can be chosen: `host/examples/pattern.rs`.
struct Camera(tempfile::TempDir);

impl Camera {
    fn new() -> Result<Self> {
        let camera = Self(tempfile::tempdir()?);
        camera.plug_in("640 360")?;
        Ok(camera)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn source(&self) -> String {
        let program = profile_directory().join("examples/pattern");
        format!(
            "exec:cd {}; while [ ! -e size ]; do sleep 0.1; done; echo $$ > id; exec {} $(cat size)",
            self.0.path().display(),
            program.display()
        )
    }

    async fn unplug(&self) -> Result<()> {
        std::fs::remove_file(self.path("size"))?;
        let id = std::fs::read_to_string(self.path("id"))?;
        let killed = Command::new("kill")
            .args(["-9", id.trim()])
            .status()
            .await?;
        ensure!(killed.success(), "kill -9 {id} failed");
        Ok(())
    }

    fn plug_in(&self, size: &str) -> Result<()> {
        std::fs::write(self.path("size"), size)?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_says_that_the_camera_is_lost_and_shows_its_new_size() -> Result<()> {
    let camera = Camera::new()?;
    let host = Host::source(&camera.source()).start().await?;
    let mut viewers = open(&host, &["webcodecs", "mse", "hls.js"]).await?;
    camera.unplug().await?;
    for (way, viewer) in &mut viewers {
        viewer
            .until(
                &format!("the news that the camera is lost ({way})"),
                |seen| state(seen) == "lost",
            )
            .await?;
    }
    camera.plug_in("480 360")?;
    for (way, viewer) in &mut viewers {
        let before = viewer.report().await?.readings;
        let seen = viewer
            .until(&format!("the camera's return ({way})"), |seen| {
                seen.readings > before + 60 && state(seen) == "live"
            })
            .await?;
        println!("{way}, after the camera's return: {}", seen.figures());
        seen.healthy()?;
        ensure!(seen.sizes.first() == Some(&(640, 360)), "{:?}", seen.sizes);
        ensure!(seen.sizes.last() == Some(&(480, 360)), "{:?}", seen.sizes);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_player_outlives_a_restart_of_the_host_and_a_closed_lid() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    let address = host.address().to_string();
    let mut viewers = open(&host, &WAYS).await?;
    host.stop().await?;
    for (way, viewer) in &mut viewers {
        viewer
            .until(&format!("the news that the host is gone ({way})"), |seen| {
                state(seen) == "offline"
            })
            .await?;
    }
    let host = Host::source("pattern")
        .arguments(SMALL)
        .arguments(["--listen", &address])
        .start()
        .await?;
    for (way, viewer) in &mut viewers {
        let before = viewer.report().await?.readings;
        viewer
            .until(&format!("pictures from the new host ({way})"), |seen| {
                seen.readings > before + 60 && state(seen) == "live"
            })
            .await?;
    }

    for (_, viewer) in &mut viewers {
        viewer.freeze(true).await?;
    }
    sleep(Duration::from_secs(12)).await;
    for (way, viewer) in &mut viewers {
        viewer.freeze(false).await?;
        viewer.restart().await?;
        let seen = viewer
            .until(&format!("pictures of now ({way})"), |seen| {
                let latency = seen.picam.as_ref().and_then(|page| page.latency);
                state(seen) == "live" && latency.is_some_and(|latency| latency < 1.0)
            })
            .await?;
        println!("{way}, after a closed lid: {}", seen.figures());
        seen.healthy()?;
    }
    drop(host);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_embed_the_stream() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin("ll-hls.wasm")
        .plugin("dash.wasm")
        .start()
        .await?;
    let mut viewers = Vec::new();
    for page in ["own.html", "hls.html", "dash.html", "native.html"] {
        viewers.push((
            page,
            Viewer::open(Player::Example(page), &host.url("")).await?,
        ));
    }
    for (page, viewer) in &mut viewers {
        let seen = viewer.until(page, |seen| seen.readings > 60).await?;
        println!("{page}: {}", seen.figures());
        seen.healthy()?;
    }
    Ok(())
}
