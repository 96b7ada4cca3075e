//! LL-HLS over the wire: a viewer follows the running binary's playlists as fast as they change and fetches all that
//! they name; then each rule is held against all that he saw.
//!
//! What is said is judged exactly. What depends on how fast a busy machine gets round to things is judged with patience.

mod delivery;
mod ends;
mod media_rules;
mod playlist_rules;
mod requests;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use picam_tests::{Camera, Clip, Guest, Host, Playlist, Watched, watch};

/// What a stream is known to be.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For messages.
    name: String,
    /// Pictures a second that the source promises; none where the camera has changed its mind.
    fps: Option<u32>,
    /// The longest that a picture lasts.
    frame: Duration,
    /// `part-ms`.
    part_ms: u32,
    /// `window-s`.
    window_s: u32,
    /// How late a picture may be taken notice of.
    jitter: Duration,
    /// Pictures come evenly throughout.
    even: bool,
    /// It is watched for long enough that a delta update leaves something out.
    skips: bool,
    /// Something happened that may show as a discontinuity.
    discontinuities: bool,
}

impl Scene {
    /// How far times may be off that are to be right within a frame.
    fn longest_frame(&self) -> Duration {
        self.frame + self.jitter
    }
}

/// Holds all rules against all that was seen.
fn check(watched: &[Watched], scene: &Scene) -> Vec<String> {
    let mut breaches = Vec::new();
    for (at, presentation) in watched.iter().enumerate() {
        let scene = Scene {
            // Later presentations are there because the source did not keep its promise.
            fps: scene.fps.filter(|_| at == 0),
            skips: scene.skips && at == 0,
            ..scene.clone()
        };
        println!(
            "{}, presentation {at}: {} states, {} segments, {} objects, {} removed ones",
            scene.name,
            presentation.revisions.len(),
            presentation.segments().len(),
            presentation.media.len(),
            presentation.removed.len()
        );
        for (rule, holds) in playlist_rules::RULES.iter().chain(media_rules::RULES) {
            if let Err(error) = holds(presentation, &scene) {
                breaches.push(format!(
                    "{}, presentation {at}: {rule}: {error:#}",
                    scene.name
                ));
            }
        }
    }
    breaches
}

/// Runs streams side by side, and reports all that is wrong with any.
async fn all_rules_hold<F>(streams: impl IntoIterator<Item = F>)
where
    F: Future<Output = Result<Vec<String>>> + Send + 'static,
{
    let running: Vec<_> = streams.into_iter().map(tokio::spawn).collect();
    let mut breaches = Vec::new();
    for stream in running {
        match stream.await.expect("a stream's task ends by itself") {
            Ok(found) => breaches.extend(found),
            Err(error) => breaches.push(format!("{error:#}")),
        }
    }
    assert!(
        breaches.is_empty(),
        "{} rules are broken:\n\n{}",
        breaches.len(),
        breaches.join("\n\n")
    );
}

/// The test pattern, undisturbed.
async fn pattern(fps: u32, part_ms: u32, options: &str, window_s: u32) -> Result<Vec<String>> {
    pattern_and(fps, part_ms, options, window_s, &[]).await
}

/// The same, with other plugins beside.
async fn pattern_and(
    fps: u32,
    part_ms: u32,
    options: &str,
    window_s: u32,
    plugins: &[String],
) -> Result<Vec<String>> {
    let skips = options.contains("segment-ms=500");
    let mut name = format!("pattern, {fps} fps, part-ms={part_ms}{options}");
    for plugin in plugins {
        name += &format!(", {plugin}");
    }
    let mut scene = Scene {
        fps: Some(fps),
        frame: Duration::from_secs(1) / fps,
        part_ms,
        window_s,
        jitter: Duration::from_millis(100),
        even: true,
        skips,
        discontinuities: false,
        name,
    };
    let mut setup = Host::source("pattern")
        .arguments(["--size", "320x180", "--fps", &fps.to_string()])
        .plugin(&format!(
            "ll-hls.wasm,part-ms={part_ms},window-s={window_s}{options}"
        ));
    for plugin in plugins {
        setup = setup.plugin(plugin);
    }
    let host = setup.start().await?;
    let watched = watch(&host, Duration::from_secs(16)).await?;
    // A machine that stood still for longer than a part lasts.
    scene.discontinuities = host.said().contains("was left out");
    let mut breaches = check(&watched, &scene);
    if skips {
        breaches.extend(delta_with_date_ranges(&host, &watched, &scene).await?);
    }
    if watched.len() != 1 {
        breaches.push(format!("{}: {} presentations", scene.name, watched.len()));
    }
    Ok(breaches)
}

/// 6.2.5.1: CAN-SKIP-DATERANGES is not offered, and who asks for such a delta update all the same gets a whole playlist.
async fn delta_with_date_ranges(
    host: &Host,
    watched: &[Watched],
    scene: &Scene,
) -> Result<Option<String>> {
    let path = &watched.last().context("nothing was watched")?.last().path;
    let whole = Playlist::get(&host.http1()?, path, "_HLS_skip=v2").await?;
    let skips = |tag: &&str| tag.contains("EXT-X-SKIP") || tag.contains("CAN-SKIP-DATERANGES");
    let wrong = whole.text.lines().find(skips);
    Ok(wrong.map(|_| format!("{}: _HLS_skip=v2 gives\n{}", scene.name, whole.text)))
}

/// A camera through all that happens to one: a short silence, half its rate in the dark, a long silence, a restart with
/// another size.
async fn camera(fps: u32, part_ms: u32) -> Result<Vec<String>> {
    let scene = Scene {
        name: format!("camera, {fps} fps, part-ms={part_ms}"),
        fps: Some(fps),
        frame: Duration::from_secs(2) / fps,
        part_ms,
        window_s: 6,
        jitter: Duration::from_millis(250),
        even: true,
        skips: false,
        discontinuities: true,
    };
    let small = Clip {
        size: (160, 90),
        ..Clip::at(fps)
    };
    let first = format!("clip {{}} rate {fps}");
    let second = format!("clip {{}} rate {fps} play");
    let mut camera = Camera::new(&[&first, &second], &[Clip::at(fps), small]).await?;
    let host = Host::source(&camera.source())
        .arguments(["--fps", &fps.to_string()])
        .plugin(&format!("ll-hls.wasm,part-ms={part_ms},window-s=6"))
        .start()
        .await?;
    let script = async {
        camera.started().await?;
        let (half, three, two) = (f64::from(fps) / 2.0, 3 * fps, 2 * fps);
        let dark =
            format!("play {three} silence 400 play {two} rate {half:?} play {three} rate {fps}");
        camera.run(&dark).await?;
        camera
            .run(&format!("play {two} silence 5000 play {two}"))
            .await?;
        camera.run("exit 0").await?;
        camera.started().await.context("the camera's second start")
    };
    let (watched, script) = tokio::join!(watch(&host, Duration::from_secs(32)), script);
    script?;
    let watched = watched?;
    let mut breaches = check(&watched, &scene);

    // At half its rate, a picture of a camera whose parts hold but one is longer than a part.
    let outgrows = part_ms * fps < 2_000;
    if outgrows != (watched.len() > 1) {
        breaches.push(format!("{}: {} presentations", scene.name, watched.len()));
    }

    let last = watched.last().context("nothing was watched")?;
    let resized = last.multivariant_after.contains("RESOLUTION=160x90");
    if !resized {
        breaches.push(format!(
            "{}: the multivariant playlist does not follow the size:\n{}",
            scene.name, last.multivariant_after
        ));
    }
    let breaks = watched
        .iter()
        .flat_map(Watched::segments)
        .filter(|segment| segment.discontinuity)
        .count();
    // Into the slate and out of it, and the other size; the short silence is one more where it can't be made good.
    if breaks < 3 {
        breaches.push(format!("{}: {breaks} discontinuities", scene.name));
    }
    breaches.extend(losses(&watched).map(|why| format!("{}: {why}", scene.name)));
    let maps: std::collections::BTreeSet<_> = watched
        .iter()
        .flat_map(Watched::segments)
        .filter_map(|segment| segment.map)
        .collect();
    if maps.len() < 3 {
        breaches.push(format!("{}: maps {maps:?}", scene.name));
    }
    Ok(breaches)
}

/// 4.4.5.1: a silence that the slate bridges is a date range, which gets its end when pictures come again, and of which
/// nothing else ever changes.
fn losses(watched: &[Watched]) -> impl Iterator<Item = String> {
    let mut seen = std::collections::BTreeMap::<&str, &str>::new();
    let mut wrong = Vec::new();
    let lines = watched
        .iter()
        .flat_map(|watched| &watched.revisions)
        .flat_map(|revision| revision.playlist.text.lines());
    for range in lines.filter_map(|line| line.strip_prefix("#EXT-X-DATERANGE:")) {
        let (begin, _) = range.split_once(",END-DATE=").unwrap_or((range, ""));
        let id = begin.split(',').next().unwrap_or_default();
        let whole = begin.contains(",CLASS=\"picam.camera-lost\",START-DATE=\"");
        let before = seen.insert(id, range);
        // Nothing is taken back, and the end stays what it was.
        if !whole || before.is_some_and(|before| !range.starts_with(before)) {
            wrong.push(format!("the date range {range} follows {before:?}"));
        }
    }
    if !seen.values().any(|range| range.contains(",END-DATE=\"")) {
        wrong.push(format!("no loss that began and ended among {seen:?}"));
    }
    wrong.into_iter()
}

const PART_MS: [u32; 3] = [100, 200, 333];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_steady_stream() {
    let streams =
        [(30, 100), (25, 200), (15, 333)].map(|(fps, part_ms)| pattern(fps, part_ms, "", 6));
    // Short segments, so that there is something to skip: six target durations of one second each.
    let short =
        [(30, 200), (30, 100)].map(|(fps, part_ms)| pattern(fps, part_ms, ",segment-ms=500", 10));
    all_rules_hold(streams.into_iter().chain(short)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_when_a_plugin_names_media_and_when_it_keeps_failing() {
    // Every third part it traps, and every seventh it is not to be had.
    let failing = "
        (if (i32.eqz (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 3)))) (then (unreachable)))
        (if (i32.eqz (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 7))))
            (then (loop $for_ever (br $for_ever))))";
    let streams = ["", failing].map(|trouble| {
        let guest = Guest::naming(trouble);
        async move { pattern_and(30, 200, "", 6, &[guest.build()?]).await }
    });
    all_rules_hold(streams).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_camera_in_trouble_at_30_fps() {
    all_rules_hold(PART_MS.map(|part_ms| camera(30, part_ms))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_camera_in_trouble_at_25_fps() {
    all_rules_hold(PART_MS.map(|part_ms| camera(25, part_ms))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_rules_hold_for_a_camera_in_trouble_at_15_fps() {
    all_rules_hold(PART_MS.map(|part_ms| camera(15, part_ms))).await;
}

/// A host with the test pattern, for questions that need no particular stream.
async fn any_host() -> Result<Host> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .start()
        .await?;
    let playlist = host.media_playlist().await?;
    ensure!(!playlist.ended, "a test pattern has no end");
    Ok(host)
}
