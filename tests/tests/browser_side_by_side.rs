//! Every stock player on every kind of stream, side by side, as they come from npm: hls.js, dash.js and Shaka Player watch
//! one camera by LL-HLS, classic HLS and DASH, for a minute, and then through a restart of the camera with another size.
//!
//! Figures are printed, not judged: `cargo test -p picam-tests --test browser_side_by_side -- --nocapture`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use picam_tests::{Host, Player, Viewer, hiccups_during, profile_directory};

/// Sizes that two cores decode, show and read five times over in software: the smallest whose clock can be read.
const SIZES: [(u32, u32); 2] = [(160, 90), (200, 112)];

/// Where five browsers have two cores, being kept from running for so many milliseconds is enough for a player that holds
/// half a second to run dry. The tests of a single player permit less.
const HICCUP: f64 = 60.0;

const PLAYERS: [(Player, &str); 5] = [
    (Player::HlsJs, "/cam/live.m3u8"),
    (Player::HlsJs, "/cam/hls.m3u8"),
    (Player::DashJs, "/cam/live.mpd"),
    (Player::Shaka, "/cam/live.mpd"),
    (Player::Shaka, "/cam/hls.m3u8"),
];

/// Seconds: a pause that is shorter than a picture is shown shows nobody anything.
const PICTURE: f64 = 1.0 / 30.0;

/// Milliseconds: who is further behind the camera after its restart has got stuck on the way, even on a slow machine.
const STUCK: f64 = 10_000.0;

/// One of the players, and what it watches.
struct Seat {
    what: String,
    viewer: Viewer,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_player_plays_a_minute_without_a_stall_and_through_another_size() -> Result<()> {
    let camera = Camera::new()?;
    let host = Host::source(&camera.source())
        .plugin("ll-hls.wasm")
        .plugin("hls.wasm")
        .plugin("dash.wasm,target-ms=1000")
        .start()
        .await?;
    let mut seats = Vec::new();
    for (player, path) in PLAYERS {
        let what = format!("{player:?} on {path}");
        let viewer = Viewer::open(player, &host.url(path)).await;
        let mut viewer = viewer.with_context(|| what.clone())?;
        viewer
            .until(&format!("a picture ({what})"), |seen| seen.readings > 90)
            .await?;
        seats.push(Seat { what, viewer });
    }
    without_a_stall(&mut seats).await?;

    camera.restart(SIZES[1]).await?;
    for Seat { what, viewer } in &mut seats {
        let changed = viewer
            .until(&format!("the other size ({what})"), |seen| {
                seen.sizes.last() == Some(&SIZES[1])
            })
            .await?;
        changed.healthy()?;
        println!(
            "{what}, at the change: {} complaints, the first of which: {:?}",
            changed.errors.len(),
            changed.errors.first()
        );
        viewer.restart().await?;
        let seen = viewer
            .until(&format!("pictures of the other size ({what})"), |seen| {
                seen.readings > 60
            })
            .await?;
        println!("{what}, in the other size: {}", seen.figures());
        seen.healthy()?;
        ensure!(
            seen.rewinds == 0,
            "{what}: pictures went backwards: {seen:#?}"
        );
        ensure!(
            seen.median.is_some_and(|behind| behind < STUCK),
            "{what} is far behind the camera: {seen:#?}"
        );
    }
    Ok(())
}

/// On a machine that stands still now and then, a stall proves nothing: then it is tried again.
async fn without_a_stall(seats: &mut [Seat]) -> Result<()> {
    for attempt in 1..=3 {
        for Seat { viewer, .. } in &mut *seats {
            viewer.restart().await?;
        }
        let frozen = hiccups_during(Duration::from_secs(60)).await;
        let mut disturbed = false;
        for Seat { what, viewer } in &mut *seats {
            let seen = viewer.report().await?;
            println!("{what}, 60 s: {}", seen.figures());
            seen.healthy()?;
            ensure!(
                seen.readings > 600,
                "{what}: pictures are missing: {seen:#?}"
            );
            ensure!(
                seen.rewinds == 0,
                "{what}: pictures went backwards: {seen:#?}"
            );
            if seen.waits.seconds > PICTURE {
                let hiccup = frozen.max(seen.hiccup);
                ensure!(
                    hiccup > HICCUP,
                    "{what} stalled though nothing held the machine up for longer than {hiccup:.0} ms: {seen:#?}"
                );
                disturbed = true;
            }
        }
        if !disturbed {
            return Ok(());
        }
        println!("attempt {attempt} says nothing of stalls: the machine stood still");
    }
    println!("no attempt was undisturbed: whether players stall remains open on this machine");
    Ok(())
}

/// Pictures with a clock bar from a command that ends when it is told to, and then starts with another size.
struct Camera(tempfile::TempDir);

impl Camera {
    fn new() -> Result<Self> {
        let camera = Self(tempfile::tempdir()?);
        camera.set_size(SIZES[0])?;
        Ok(camera)
    }

    fn set_size(&self, (width, height): (u32, u32)) -> Result<()> {
        let file = self.0.path().join("size");
        Ok(std::fs::write(file, format!("{width} {height}"))?)
    }

    fn source(&self) -> String {
        let program = profile_directory().join("examples/pattern");
        format!(
            "exec:cd {}; echo $$ > id; exec {} $(cat size)",
            self.0.path().display(),
            program.display()
        )
    }

    async fn restart(&self, size: (u32, u32)) -> Result<()> {
        self.set_size(size)?;
        let id = std::fs::read_to_string(self.0.path().join("id"))?;
        let killed = tokio::process::Command::new("kill")
            .args(["-9", id.trim()])
            .status()
            .await?;
        ensure!(killed.success(), "kill -9 {id} failed");
        Ok(())
    }
}
