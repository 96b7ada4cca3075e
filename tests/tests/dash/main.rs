//! DASH over the wire: a viewer follows the running binary's MPD, fetches all that it leads to, and each rule is held
//! against all that he saw. The rules are those of ISO/IEC 23009-1 and 23000-19, and, with "9.X", of the DASH-IF guidelines'
//! "Low-Latency Modes for DASH".

mod clients;
mod media_rules;
mod mpd_rules;
mod requests;

use std::time::Duration;

use anyhow::{Context, Result};
use picam_tests::{
    Camera, Clip, Host,
    dash::{WatchedMpd, watch_mpd},
};

/// What a stream is known to be.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For messages.
    name: String,
    /// `target-ms`.
    target_ms: u64,
    /// `window-s`.
    window_s: u64,
    /// Nominal time between two pictures.
    frame: Duration,
    /// Its key frames keep their places.
    steady: bool,
}

/// A rule, and whether it holds for what was seen.
type Rule = (&'static str, fn(&WatchedMpd, &Scene) -> Result<()>);

/// Holds all rules against all that was seen.
fn check(watched: &WatchedMpd, scene: &Scene) -> Vec<String> {
    println!(
        "{}: {} MPDs, {} segments",
        scene.name,
        watched.revisions.len(),
        watched.segments.len()
    );
    let rules = mpd_rules::RULES.iter().chain(media_rules::RULES);
    rules
        .filter_map(|(rule, holds)| {
            let broken = holds(watched, scene).err()?;
            Some(format!("{}: {rule}: {broken:#}", scene.name))
        })
        .collect()
}

fn none(breaches: Vec<String>) {
    assert!(
        breaches.is_empty(),
        "{} rules are broken:\n\n{}",
        breaches.len(),
        breaches.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_steady_stream() {
    for (fps, target_ms) in [(30, 500), (25, 200)] {
        let host = Host::source("pattern")
            .arguments(["--size", "320x180", "--fps", &fps.to_string()])
            .plugin(&format!("dash.wasm,target-ms={target_ms},window-s=6"))
            .start()
            .await
            .unwrap();
        let watched = watch_mpd(&host, Duration::from_secs(14)).await.unwrap();
        let scene = Scene {
            name: format!("pattern, {fps} fps, target-ms={target_ms}"),
            target_ms,
            window_s: 6,
            frame: Duration::from_secs(1) / fps,
            steady: true,
        };
        none(check(&watched, &scene));
    }
}

/// A camera through all that happens to one: half its rate in the dark, a long silence, a restart with another size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_camera_in_trouble() {
    let small = Clip {
        size: (160, 90),
        ..Clip::default()
    };
    let (first, second) = ("clip {} rate 30", "clip {} rate 30 play");
    let mut camera = Camera::new(&[first, second], &[Clip::default(), small])
        .await
        .unwrap();
    let host = Host::source(&camera.source())
        .plugin("ll-hls.wasm,window-s=20")
        .plugin("dash.wasm,window-s=20")
        .start()
        .await
        .unwrap();
    let script = async {
        camera.started().await?;
        let dark = "play 90 silence 400 play 60 rate 15.0 play 90 rate 30 play 60";
        camera.run(dark).await?;
        camera.run("silence 5000 play 60").await?;
        camera.run("exit 0").await?;
        camera.started().await.context("the camera's second start")
    };
    let (watched, script) = tokio::join!(watch_mpd(&host, Duration::from_secs(32)), script);
    script.unwrap();
    let watched = watched.unwrap();
    let scene = Scene {
        name: "camera".into(),
        target_ms: 500,
        window_s: 20,
        frame: Duration::from_secs(1) / 30,
        steady: false,
    };
    let mut breaches = check(&watched, &scene);
    // The slate, the camera's return, its restart with another size; the silence of 400 ms may be made good.
    let ids: std::collections::BTreeSet<_> =
        watched.segments.keys().map(|(period, _)| period).collect();
    if ids.len() < 4 {
        breaches.push(format!("{} periods: {ids:?}", ids.len()));
    }
    let last = watched.last().last().unwrap();
    if (last.representation.width, last.representation.height) != (Some(160), Some(90)) {
        breaches.push(format!(
            "the last period has another size:\n{}",
            watched.last().text
        ));
    }
    none(breaches);
}
