//! What viewers see, in a real browser: hls.js as it comes from npm, and our own page.
//!
//! Figures are printed, not judged: `cargo test -p picam-tests --test browser -- --nocapture`.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use picam_tests::{
    Guest, HICCUP, Host, Player, Report, Viewer, hiccups_during, media, target_directory, token,
};
use tokio::{process::Command, time::sleep};

/// A picture that two cores encode and decode in software, besides whatever else they have to do.
const SMALL: [&str; 4] = ["--size", "640x360", "--bitrate", "800k"];
/// The ways in which our page plays.
const WAYS: [&str; 3] = ["webcodecs", "mse", "hls.js"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hls_js_plays_a_minute_without_a_stall() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    // On a machine that stands still now and then, a stall proves nothing: then it is tried again.
    for attempt in 1..=3 {
        let mut viewer = Viewer::open(Player::HlsJs, &host.url("/cam/live.m3u8")).await?;
        viewer.until("a picture", |seen| seen.frames > 30).await?;
        viewer.restart().await?;
        let frozen = hiccups_during(Duration::from_secs(60)).await;
        let seen = viewer.report().await?;
        println!("hls.js, part-ms=200, 60 s: {}", seen.figures());
        seen.healthy()?;
        ensure!(
            seen.readings > 0,
            "no picture's clock could be read: {seen:#?}"
        );
        ensure!(seen.rewinds == 0, "pictures went backwards: {seen:#?}");
        if seen.waits.count == 0 {
            return Ok(());
        }
        let hiccup = frozen.max(seen.hiccup);
        ensure!(
            hiccup > HICCUP,
            "it stalled though nothing held the machine up for longer than {hiccup:.0} ms: {seen:#?}"
        );
        println!("attempt {attempt} says nothing: the machine stood still for {hiccup:.0} ms");
    }
    println!(
        "no attempt was undisturbed: whether hls.js stalls by itself remains open on this machine"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hls_js_plays_pictures_that_come_in_another_order_than_they_are_shown() -> Result<()> {
    let camera = Unplugged::new().await?;
    let encoder = "ffmpeg -hide_banner -loglevel error -fflags nobuffer -f h264 -i - -c:v libx264 -preset veryfast -bf 3 \
                   -x264-params keyint=30:min-keyint=30:scenecut=0:b-adapt=0:rc-lookahead=0:repeat-headers=1:threads=1 \
                   -f h264 -";
    let host = Host::source(&format!("exec:{} | {encoder}", camera.program.display()))
        .start()
        .await?;
    let mut viewer = Viewer::open(Player::HlsJs, &host.url("/cam/live.m3u8")).await?;
    let seen = viewer
        .until("pictures with a clock", |seen| seen.readings > 300)
        .await?;
    ensure!(seen.sizes == [(640, 360)], "unexpected sizes: {seen:#?}");
    ensure!(seen.rewinds == 0, "pictures went backwards: {seen:#?}");
    // That they really came in another order: a player is told when to show each.
    let playlist = host.media_playlist().await?;
    let part = playlist
        .segments
        .iter()
        .flat_map(|segment| &segment.parts)
        .next_back();
    let part = host
        .http1()?
        .fetch(&playlist.resolve(&part.context("no part is listed")?.uri))
        .await?;
    let fragments = media::fragments(&part)?;
    let mut samples = fragments.iter().flat_map(|fragment| &fragment.samples);
    let reordered = samples.any(|sample| sample.composition_offset != 0);
    ensure!(reordered, "there are no B pictures in it");
    seen.healthy()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hls_js_plays_on_when_the_camera_was_lost_and_came_back() -> Result<()> {
    let camera = Unplugged::new().await?;
    let host = Host::source(&camera.source())
        .arguments(SMALL)
        .start()
        .await?;
    let mut viewer = Viewer::open(Player::HlsJs, &host.url("/cam/live.m3u8")).await?;
    viewer.until("a picture", |seen| seen.readings > 60).await?;

    camera.unplug().await?;
    // The slate has no clock bar: that it shows is that pictures come which can't be read.
    let before = viewer.report().await?;
    let slate = viewer
        .until("the slate", |seen| {
            seen.frames - seen.readings > before.frames - before.readings + 5
        })
        .await?;
    sleep(Duration::from_secs(5)).await;
    camera.plug_in().await?;
    viewer
        .until("the camera's return", |seen| {
            seen.readings > slate.readings + 60
        })
        .await?;
    viewer.restart().await?;
    sleep(Duration::from_secs(10)).await;
    let seen = viewer.report().await?;
    println!(
        "hls.js, part-ms=200, after the camera's return: {}",
        seen.figures()
    );
    ensure!(seen.readings > 0, "the pictures stopped again: {seen:#?}");
    seen.healthy()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_page_says_what_it_shows_and_outlives_a_restart_of_the_host() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    let address = host.address().to_string();
    let mut viewer = Viewer::open(Player::Page, &host.url("/")).await?;
    let seen = viewer
        .until("the word Live", |seen| {
            seen.readings > 60
                && seen
                    .picam
                    .as_ref()
                    .is_some_and(|page| page.state == "live" && page.latency.is_some())
        })
        .await?;
    seen.healthy()?;
    ensure!(seen.sizes == [(640, 360)], "unexpected sizes: {seen:#?}");
    println!("our page, part-ms=200: {}", seen.figures());

    // What the page says agrees with what the picture says, clocks and all.
    viewer.restart().await?;
    sleep(Duration::from_secs(10)).await;
    let seen = viewer.report().await?;
    let deviation = seen
        .deviation
        .context("the page knows its delay, and the clock bar was read")?;
    println!("our page is off by {deviation:.0} ms; {}", seen.figures());
    ensure!(
        deviation < 250.0,
        "the page's delay is off by {deviation:.0} ms: {seen:#?}"
    );

    host.stop().await?;
    viewer
        .until("the news that the host is gone", |seen| {
            seen.picam
                .as_ref()
                .is_some_and(|page| page.state == "offline")
        })
        .await?;
    let before = viewer.report().await?.readings;
    let host = Host::source("pattern")
        .arguments(SMALL)
        .arguments(["--listen", &address])
        .start()
        .await?;
    let seen = viewer
        .until("pictures from the new host", |seen| {
            seen.readings > before + 60
                && seen.picam.as_ref().is_some_and(|page| page.state == "live")
        })
        .await?;
    seen.healthy()?;
    println!("our page, after a restart of the host: {}", seen.figures());
    drop(host);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_player_finds_back_from_where_nothing_is() -> Result<()> {
    let host = Host::source("pattern").arguments(SMALL).start().await?;
    let mut viewer = Viewer::open(Player::Page, &host.url("/?player=mse")).await?;
    viewer.until("a picture", |seen| seen.readings > 30).await?;
    viewer.astray().await?;
    viewer.restart().await?;
    let seen = viewer
        .until("more pictures", |seen| seen.readings > 30)
        .await?;
    seen.healthy()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_page_shows_what_a_plugin_draws_on_the_picture_it_was_drawn_for() -> Result<()> {
    let host = Host::encoded(640, 360)?
        .plugin("ll-hls.wasm")
        .plugin(&Guest::overlay().build()?)
        .start()
        .await?;
    ensure!(
        host.said()
            .contains("what plugin everything draws is shown by the page"),
        "{}",
        host.said()
    );
    for way in WAYS {
        let url = host.url(&format!("/?player={way}"));
        shows_what_is_drawn(&mut Viewer::open(Player::Page, &url).await?)
            .await
            .context(way)?;
    }
    Ok(())
}

async fn shows_what_is_drawn(viewer: &mut Viewer) -> Result<()> {
    let second = |seen: &Report| {
        let drawn = seen.picam.as_ref()?.drawn.as_ref()?;
        let text = drawn.get(1)?["text"]["content"].as_str()?;
        text.parse::<i64>().ok()
    };
    viewer
        .until("a drawing over the picture", |seen| {
            seen.readings > 30 && second(seen).is_some()
        })
        .await?;

    // The picture's own clock and the drawing's text agree, whatever the delay. The presentation's clock began at any
    // point of a second, so of the two counts of seconds the difference is one of two neighbours.
    let mut differences = std::collections::BTreeSet::new();
    let mut seconds = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let seen = viewer.report().await?;
        let (Some(drawn), Some(shown)) = (second(&seen), seen.shown) else {
            continue;
        };
        seconds.insert(drawn);
        differences.insert(shown as i64 / 1_000 - drawn);
        sleep(Duration::from_millis(100)).await;
    }
    ensure!(seconds.len() >= 3, "the drawing stands still: {seconds:?}");
    let (first, last) = (differences.first(), differences.last());
    ensure!(
        first
            .zip(last)
            .is_some_and(|(first, last)| last - first <= 1),
        "drawings belong to other pictures: seconds of capture less seconds drawn are {differences:?}"
    );

    // What is on the canvas: an edge, letters on their ground, a line, two halves of an image.
    let colours = viewer
        .colours(&[
            (100, 500),
            (500, 420),
            (500, 700),
            (900, 950),
            (990, 950),
            (50, 50),
        ])
        .await?;
    let near = |at: usize, [red, green, blue, alpha]: [u8; 4]| {
        let wanted = [red, green, blue, alpha];
        colours[at]
            .iter()
            .zip(wanted)
            .all(|(is, wanted)| is.abs_diff(wanted) < 40)
    };
    ensure!(near(0, [0, 255, 0, 255]), "the edge: {colours:?}");
    ensure!(
        near(1, [0, 0, 255, 255]),
        "the ground of the text: {colours:?}"
    );
    ensure!(near(2, [255, 255, 255, 255]), "the line: {colours:?}");
    ensure!(
        near(3, [255, 0, 255, 255]),
        "the left of the image: {colours:?}"
    );
    ensure!(
        near(4, [0, 255, 255, 255]),
        "the right of the image: {colours:?}"
    );
    ensure!(colours[5][3] == 0, "nothing is drawn there: {colours:?}");

    let seen = viewer.report().await?;
    seen.healthy()?;
    if let Some(directory) = std::env::var_os("PICAM_SCREENSHOTS") {
        let path = PathBuf::from(directory).join("overlay.png");
        viewer.screenshot(&path).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_over_the_picture_is_that_of_the_picture() -> Result<()> {
    // Tenths, so that a drawing on the wrong picture shows.
    let host = Host::encoded(640, 360)?
        .plugin("overlay-clock.wasm,format=%H:%M:%S.%1N,position=top-left,size=80")
        .start()
        .await?;
    for way in WAYS {
        let url = host.url(&format!("/?player={way}"));
        draws_the_time_of_the_picture(&mut Viewer::open(Player::Page, &url).await?)
            .await
            .context(way)?;
    }
    Ok(())
}

async fn draws_the_time_of_the_picture(viewer: &mut Viewer) -> Result<()> {
    let drawn = |seen: &Report| {
        let drawn = seen.picam.as_ref()?.drawn.as_ref()?;
        Some(drawn.first()?["text"]["content"].as_str()?.to_owned())
    };
    viewer
        .until("a time over the picture", |seen| {
            seen.readings > 60 && drawn(seen).is_some()
        })
        .await?;
    // By how much the two are off, in tenths of a second: the picture by its clock bar, the drawing by its text.
    let mut off = Vec::new();
    while off.len() < 40 {
        let seen = viewer.report().await?;
        let (Some(text), Some(shown)) = (drawn(&seen), seen.shown) else {
            continue;
        };
        let (time, tenths) = text.split_once('.').context("tenths")?;
        let seconds = time.split(':').try_fold(0, |sum, digits| {
            Ok::<_, std::num::ParseIntError>(60 * sum + digits.parse::<i64>()?)
        })?;
        let day = 864_000;
        let picture = (shown / 100.0).floor() as i64 % day;
        off.push((10 * seconds + tenths.parse::<i64>()? - picture + day + day / 2) % day - day / 2);
        sleep(Duration::from_millis(70)).await;
    }
    off.sort_unstable();
    println!("the drawing is off by {off:?} tenths of a second");
    // A drawing changes with the first picture of its tenth, so both are the same but for rounding at the edges.
    let same = off.iter().filter(|off| **off == 0).count();
    ensure!(
        off.iter().all(|off| off.abs() <= 1) && same * 2 > off.len(),
        "drawings are on pictures that they were not made for: {off:?}"
    );
    let seen = viewer.report().await?;
    seen.healthy()?;
    if let Some(directory) = std::env::var_os("PICAM_SCREENSHOTS") {
        let path = PathBuf::from(directory).join("overlay-clock.png");
        viewer.screenshot(&path).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hls_js_and_our_page_play_below_a_token() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .start()
        .await?;
    // Both find their way by relative addresses alone: they can't send anything along.
    let at = format!("/~{}", token::lasting(3_600)?);
    let playlist = host.url(&format!("{at}/cam/live.m3u8"));
    let mut viewer = Viewer::open(Player::HlsJs, &playlist).await?;
    let seen = viewer.until("pictures", |seen| seen.readings > 60).await?;
    println!("hls.js, below a token: {}", seen.figures());
    seen.healthy()?;
    drop(viewer);
    let mut viewer = Viewer::open(Player::Page, &host.url(&format!("{at}/"))).await?;
    let seen = viewer
        .until("the word Live", |seen| {
            seen.readings > 60 && seen.picam.as_ref().is_some_and(|page| page.state == "live")
        })
        .await?;
    println!("our page, below a token: {}", seen.figures());
    seen.healthy()
}

/// A camera with a clock bar that can be unplugged: `host/examples/pattern.rs`, which waits while a file is there.
struct Unplugged {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Unplugged {
    async fn new() -> Result<Self> {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let program = target_directory().join(profile).join("examples/pattern");
        ensure!(
            program.exists(),
            "{} does not exist: run `cargo build -p picam-host --examples` first",
            program.display()
        );
        Ok(Self {
            directory: tempfile::tempdir()?,
            program,
        })
    }

    fn source(&self) -> String {
        let directory = self.directory.path().display();
        format!(
            "exec:cd {directory}; while [ -e unplugged ]; do sleep 0.1; done; echo $$ > id; exec {}",
            self.program.display()
        )
    }

    async fn unplug(&self) -> Result<()> {
        std::fs::write(self.directory.path().join("unplugged"), "")?;
        let id = std::fs::read_to_string(self.directory.path().join("id"))?;
        let killed = Command::new("kill")
            .args(["-9", id.trim()])
            .status()
            .await?;
        ensure!(killed.success(), "kill -9 {id} failed");
        Ok(())
    }

    async fn plug_in(&self) -> Result<()> {
        std::fs::remove_file(self.directory.path().join("unplugged"))?;
        Ok(())
    }
}
