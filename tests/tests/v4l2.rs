//! The binary against a real V4L2 driver, in a virtual machine: v4l2loopback as a camera that encodes H.264, which FFmpeg
//! feeds.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use picam_tests::{
    Client, Clip, Playlist,
    media::{annex_b, fragments, pictures},
    program,
    vm::{Image, Options, Vm},
};
use tokio::time::{Instant, sleep};

/// Hang guards: emulated, on a machine that builds something else, a second can take many.
const PATIENCE: Duration = Duration::from_secs(300);

/// Feeds the device like a camera that encodes by itself.
const FEED: &str = "ffmpeg -v error -nostdin -re -framerate 30";

#[tokio::test]
async fn h264_of_a_camera_comes_out_bit_for_bit_and_again_after_the_camera_was_away() {
    // What is to come out, and what is fed until the host is up and between: what of that is lost doesn't matter.
    let clip = Fed::read(Clip {
        pictures: 360,
        slices: 2,
        ..Clip::default()
    })
    .await
    .unwrap();
    let other = Fed::read(Clip {
        pictures: 60,
        slices: 1,
        ..clip.clip.clone()
    })
    .await
    .unwrap();
    let mut image = Image::new(&["v4l2loopback"])
        .and_then(|image| image.stripped("picam-host", &program()?))
        .and_then(|image| image.tool("ffmpeg"))
        .and_then(|image| image.tool("chrt"))
        .unwrap()
        .file("clip.h264", clip.bytes.clone())
        .file("other.h264", other.bytes.clone());
    // A fresh build of the plugin, if there is one; else the one in the binary.
    let mut plugin = "ll-hls.wasm";
    if let Some(built) = std::env::var_os("PICAM_PLUGINS") {
        let file = Path::new(&built).join(plugin);
        if file.exists() {
            image = image.file("ll-hls.wasm", std::fs::read(file).unwrap());
            plugin = "/ll-hls.wasm";
        }
    }
    let options = Options {
        limit: 4 * PATIENCE,
        ports: vec![8080],
        ..Options::default()
    };
    let mut vm = Vm::boot(&image, &options).await.unwrap();
    if let Err(error) = camera_comes_and_goes(&mut vm, plugin, &clip, &other).await {
        let log = vm.run("cat /tmp/host.log /tmp/feed.log").await;
        let log = log.map_or_else(|error| error.to_string(), |output| output.text());
        panic!(
            "{error:?}\n--- the guest:\n{log}\n--- its console:\n{}",
            vm.console()
        );
    }
}

async fn camera_comes_and_goes(
    vm: &mut Vm,
    plugin: &str,
    clip: &Fed,
    other: &Fed,
) -> anyhow::Result<()> {
    plug_in(vm).await?;
    feed_the_other(vm).await?;
    // A v4l2loopback device has a format once something was sent to it.
    vm.until(
        "grep -q H264 /sys/class/video4linux/video0/format",
        PATIENCE,
    )
    .await?;
    vm.must(&format!(
        "picam-host --plugin {plugin} --source /dev/video0 --size 320x180 --fps 30 \
         --listen 0.0.0.0:8080 >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid"
    ))
    .await?;
    let player = Player::start(Client::http1(vm.port(8080))?);
    player
        .wait("the first pictures", |stream| stream.has(other))
        .await?;

    // v4l2loopback overwrites what isn't taken in time (two pictures). From now on FFmpeg runs only while the host has
    // nothing to do. (While the host was starting, it would have kept FFmpeg from feeding like a camera.)
    vm.must("chrt --all-tasks --fifo --pid 1 $(cat /tmp/host.pid)")
        .await?;
    // The clip, once the host has shown that it listens: every picture of it counts.
    feed_the_clip(vm).await?;
    player
        .wait("the end of the clip", |stream| stream.ends_of(clip) == 1)
        .await?;

    // Its driver can be removed as soon as the host has given the silent device up and closed it.
    vm.until("rmmod v4l2loopback", PATIENCE).await?;
    vm.must("[ ! -e /dev/video0 ] && kill -0 $(cat /tmp/host.pid)")
        .await?;
    let away = player.stream().last();
    plug_in(vm).await?;
    feed_the_other(vm).await?;
    player
        .wait("pictures after the camera was away", |stream| {
            stream.after(away).has(other)
        })
        .await?;
    feed_the_clip(vm).await?;
    player
        .wait("the end of the clip, again", |stream| {
            stream.ends_of(clip) == 2
        })
        .await?;

    let stream = player.stream();
    let runs = stream.runs_of(clip);
    ensure!(
        runs == [clip.units.len(); 2],
        "of {} access units, {runs:?} came out in a row and unchanged",
        clip.units.len()
    );
    ensure!(
        stream.after(away).discontinuities() > 0,
        "the camera was away, and no discontinuity says so"
    );
    let (first, last) = (stream.first(), stream.last());
    ensure!(
        stream.segments.len() as u64 == last - first + 1,
        "segments {first} to {last} are {} of them",
        stream.segments.len()
    );

    let shown = stream.decode().await?;
    let wanted = pictures(&clip.bytes).await?;
    ensure!(wanted.len() == clip.units.len());
    let times = shown
        .windows(wanted.len())
        .filter(|window| *window == wanted)
        .count();
    ensure!(
        times == 2,
        "the clip's pictures came out {times} times in a row"
    );
    println!(
        "{} segments, {} pictures; the {} pictures of the clip came out twice, bit for bit",
        stream.segments.len(),
        shown.len(),
        wanted.len()
    );
    Ok(())
}

async fn plug_in(vm: &mut Vm) -> anyhow::Result<()> {
    // As many buffers as it can have: a reader that copies late must not see a picture overwritten.
    vm.must("load v4l2loopback video_nr=0 exclusive_caps=0 max_buffers=32")
        .await?;
    Ok(())
}

async fn feed_the_other(vm: &mut Vm) -> anyhow::Result<()> {
    // FFmpeg can't loop a file without an index by itself. Its number is that of the last in the pipe.
    vm.must(&format!(
        "while cat /other.h264; do :; done 2>/dev/null | \
         {FEED} -f h264 -i - -c:v copy -f v4l2 /dev/video0 >>/tmp/feed.log 2>&1 & \
         echo $! >/tmp/feed.pid"
    ))
    .await?;
    Ok(())
}

/// Feeds the clip instead of the other one, to its end.
async fn feed_the_clip(vm: &mut Vm) -> anyhow::Result<()> {
    vm.must(&format!(
        "kill $(cat /tmp/feed.pid)\n\
         while kill -0 $(cat /tmp/feed.pid) 2>/dev/null; do sleep 0.1; done\n\
         {FEED} -i /clip.h264 -c:v copy -f v4l2 /dev/video0 2>&1"
    ))
    .await?;
    Ok(())
}

/// The slices of a picture, as the encoder wrote them.
type Unit = Vec<Bytes>;

fn slices<T: AsRef<[u8]>>(nals: impl IntoIterator<Item = T>) -> Unit {
    nals.into_iter()
        .filter(|nal| matches!(nal.as_ref().first().map(|byte| byte & 0x1f), Some(1 | 5)))
        .map(|nal| Bytes::copy_from_slice(nal.as_ref()))
        .collect()
}

/// A file that FFmpeg feeds.
struct Fed {
    clip: Clip,
    bytes: Bytes,
    units: Vec<Unit>,
}

impl Fed {
    async fn read(clip: Clip) -> anyhow::Result<Self> {
        let bytes = Bytes::from(std::fs::read(clip.file().await?)?);
        let units: Vec<_> = clip
            .units()
            .await?
            .iter()
            .map(|unit| slices(annex_b(unit)))
            .collect();
        ensure!(
            units.len() == clip.pictures as usize
                && units.iter().all(|unit| unit.len() == clip.slices as usize),
            "{clip:?} isn't what it says"
        );
        Ok(Self { clip, bytes, units })
    }
}

/// A segment, as it was served.
#[derive(Clone)]
struct Segment {
    init: Bytes,
    bytes: Bytes,
    discontinuity: bool,
    units: Vec<Unit>,
}

/// All that was served, by sequence number.
#[derive(Clone, Default)]
struct Stream {
    segments: BTreeMap<u64, Segment>,
}

impl Stream {
    fn units(&self) -> impl Iterator<Item = &Unit> {
        self.segments.values().flat_map(|segment| &segment.units)
    }

    fn first(&self) -> u64 {
        self.segments
            .first_key_value()
            .map_or(0, |(first, _)| *first)
    }

    fn last(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(last, _)| *last)
    }

    /// What follows a segment.
    fn after(&self, sequence: u64) -> Self {
        let mut segments = self.segments.clone();
        Self {
            segments: segments.split_off(&(sequence + 1)),
        }
    }

    fn discontinuities(&self) -> usize {
        let mut segments = self.segments.values();
        segments
            .by_ref()
            .filter(|segment| segment.discontinuity)
            .count()
    }

    fn has(&self, fed: &Fed) -> bool {
        self.units().any(|unit| fed.units.contains(unit))
    }

    fn ends_of(&self, fed: &Fed) -> usize {
        let end = fed.units.last();
        self.units().filter(|unit| Some(*unit) == end).count()
    }

    /// Wherever the file begins in what was served, how many of its access units follow unchanged and in order.
    fn runs_of(&self, fed: &Fed) -> Vec<usize> {
        let units: Vec<_> = self.units().collect();
        (0..units.len())
            .filter(|&at| *units[at] == fed.units[0])
            .map(|at| {
                let pairs = units[at..].iter().zip(&fed.units);
                pairs.take_while(|(served, fed)| *served == fed).count()
            })
            .collect()
    }

    /// What FFmpeg makes of it: a hash of each picture. Segments with the same init segment are one file.
    async fn decode(&self) -> anyhow::Result<Vec<String>> {
        let segments: Vec<_> = self.segments.values().collect();
        let mut shown = Vec::new();
        for run in segments.chunk_by(|a, b| a.init == b.init) {
            let mut file = run[0].init.to_vec();
            for segment in run {
                file.extend_from_slice(&segment.bytes);
            }
            shown.extend(pictures(&file).await?);
        }
        Ok(shown)
    }
}

/// A player that keeps every segment that is listed.
struct Player {
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    stream: Stream,
    /// What went wrong last.
    trouble: Option<String>,
}

impl Player {
    fn start(client: Client) -> Self {
        let state = Arc::default();
        let task = tokio::spawn(play(client, Arc::clone(&state)));
        Self { state, task }
    }

    fn stream(&self) -> Stream {
        self.state.lock().unwrap().stream.clone()
    }

    async fn wait(&self, what: &str, done: impl Fn(&Stream) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let stream = self.stream();
            if done(&stream) {
                return Ok(());
            }
            let trouble = self.state.lock().unwrap().trouble.clone();
            ensure!(
                Instant::now() < end,
                "{what} never came; segments {} to {} did; the player's last trouble: {trouble:?}",
                stream.first(),
                stream.last()
            );
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(client: Client, state: Arc<Mutex<State>>) {
    loop {
        // The host may not have started yet, nor have anything to list.
        if let Err(error) = refresh(&client, &state).await {
            state.lock().unwrap().trouble = Some(format!("{error:#}"));
        }
        sleep(Duration::from_millis(300)).await;
    }
}

async fn refresh(client: &Client, state: &Mutex<State>) -> anyhow::Result<()> {
    let text = client.fetch("/cam/live.m3u8").await?;
    let multivariant = m3u8_rs::parse_master_playlist_res(&text)
        .map_err(|error| anyhow::anyhow!("m3u8-rs can't read /cam/live.m3u8: {error}"))?;
    let variant = multivariant.variants.first().context("no variant")?;
    let playlist = Playlist::get(client, &format!("/cam/{}", variant.uri), "").await?;
    for listed in playlist.complete() {
        let known = |state: &State| state.stream.segments.contains_key(&listed.sequence);
        if known(&state.lock().unwrap()) {
            continue;
        }
        let address = |uri: &Option<String>| {
            let uri = uri.as_deref().context("a segment without address or map")?;
            anyhow::Ok(playlist.resolve(uri))
        };
        let init = client.fetch(&address(&listed.map)?).await?;
        let bytes = client.fetch(&address(&listed.uri)?).await?;
        let samples = fragments(&bytes)?
            .into_iter()
            .flat_map(|fragment| fragment.samples);
        let segment = Segment {
            init,
            units: samples.map(|sample| slices(sample.nals)).collect(),
            bytes,
            discontinuity: listed.discontinuity,
        };
        let mut state = state.lock().unwrap();
        state.stream.segments.insert(listed.sequence, segment);
    }
    Ok(())
}
