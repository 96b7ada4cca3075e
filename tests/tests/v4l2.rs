//! The binary against real V4L2 drivers, in a virtual machine: v4l2loopback as a camera that encodes H.264 (FFmpeg feeds
//! it), vivid as one that doesn't.
//!
//! Needs QEMU, a Debian kernel with v4l2loopback, busybox and FFmpeg; what is missing is named. The binary is the one
//! beside this test in the target directory, or `PICAM_HOST`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use mp4_atom::{DecodeMaybe, Header};
use picam_tests::vm::{Image, Options, Vm};
use reqwest::Url;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Hang guards: emulated, on a machine that builds something else, a second can take many.
const PATIENCE: Duration = Duration::from_secs(240);

/// Feeds the device like a camera that encodes by itself. v4l2loopback overwrites what isn't taken in time (two
/// pictures), so the host runs under real-time priority, and FFmpeg only while the host has nothing to do.
const FEED: &str = "ffmpeg -v error -nostdin -re -framerate 30";

#[tokio::test]
async fn a_camera_without_h264_ends_the_host_with_an_error_that_teaches() {
    let directory = tempfile::tempdir().unwrap();
    let image = Image::new(&["vivid"])
        .and_then(|image| image.program("picam-host", &stripped(&directory)?))
        .unwrap();
    let mut vm = Vm::boot(&image, &Options::default()).await.unwrap();
    vm.must("load vivid n_devs=1 vid_cap_nr=0").await.unwrap();

    let output = vm.run("picam-host --source /dev/video0").await.unwrap();
    let text = output.text();
    assert_ne!(output.status, 0, "{text}");
    assert!(text.contains("/dev/video0 (vivid) offers YUYV, "), "{text}");
    assert!(text.contains("but not H.264"), "{text}");

    let output = vm.run("picam-host --source auto").await.unwrap();
    let text = output.text();
    assert_ne!(output.status, 0, "{text}");
    assert!(text.contains("/dev/video0 (vivid) offers"), "{text}");
    assert!(
        text.contains("/dev/video1 (vivid) captures no pictures"),
        "{text}"
    );
    assert!(text.contains("--source pattern"), "{text}");

    let output = vm.run("picam-host --source /dev/video9").await.unwrap();
    let text = output.text();
    assert_ne!(output.status, 0, "{text}");
    assert!(text.contains("there is no /dev/video9"), "{text}");
}

#[tokio::test]
async fn h264_of_a_camera_comes_out_bit_for_bit_and_again_after_the_camera_was_away() {
    let directory = tempfile::tempdir().unwrap();
    // What is to come out, and what is fed until the host is up and between: what of that is lost doesn't matter.
    let clip = Clip::encode(&directory, "clip", "testsrc2", 12).unwrap();
    let other = Clip::encode(&directory, "other", "smptebars", 4).unwrap();
    let image = Image::new(&["v4l2loopback"])
        .and_then(|image| image.program("picam-host", &stripped(&directory)?))
        .and_then(|image| image.tool("ffmpeg"))
        .and_then(|image| image.tool("chrt"))
        .unwrap()
        .file("clip.h264", clip.bytes.clone())
        .file("other.h264", other.bytes.clone());
    let options = Options {
        limit: 4 * PATIENCE,
        ports: vec![8080],
        ..Options::default()
    };
    let mut vm = Vm::boot(&image, &options).await.unwrap();
    if let Err(error) = camera_comes_and_goes(&mut vm, &clip, &other).await {
        let log = vm.run("cat /tmp/host.log /tmp/feed.log; ps").await;
        let log = log.map_or_else(|error| error.to_string(), |output| output.text());
        panic!(
            "{error:?}\n--- the guest:\n{log}\n--- its console:\n{}",
            vm.console()
        );
    }
}

async fn camera_comes_and_goes(vm: &mut Vm, clip: &Clip, other: &Clip) -> anyhow::Result<()> {
    plug_in(vm).await?;
    feed_the_other(vm).await?;
    // A camera has a format when it has begun to send.
    vm.until(
        "grep -q H264 /sys/class/video4linux/video0/format",
        PATIENCE,
    )
    .await?;
    vm.must(
        "chrt -f 1 picam-host --plugin ll-hls.wasm --source /dev/video0 --size 320x240 --fps 30 \
         --listen 0.0.0.0:8080 >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid",
    )
    .await?;
    let address = vm.port(8080);
    let player = Player::start(format!("http://{address}/cam/live.m3u8").parse()?);
    player
        .wait("the first pictures", |stream| stream.has(other))
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
    let away = player.stream().segments.len();
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
        stream
            .segments
            .values()
            .any(|segment| segment.discontinuity),
        "the camera was away, and no discontinuity says so"
    );
    let (first, last) = (stream.first(), stream.last());
    ensure!(
        stream.segments.len() as u64 == last - first + 1,
        "segments {first} to {last} are {} of them",
        stream.segments.len()
    );

    let pictures = stream.decode()?;
    let wanted = decode(&clip.bytes, "h264")?;
    ensure!(wanted.len() == clip.units.len());
    let times = pictures
        .windows(wanted.len())
        .filter(|window| *window == wanted)
        .count();
    ensure!(
        times == 2,
        "the clip's pictures came out {times} times in a row"
    );
    println!(
        "{} segments, {} access units; the clip of {} came out twice, bit for bit",
        stream.segments.len(),
        stream.units().count(),
        clip.units.len()
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
    vm.must(&format!(
        "{FEED} -stream_loop -1 -i /other.h264 -c:v copy -f v4l2 /dev/video0 >>/tmp/feed.log 2>&1 & \
         echo $! >/tmp/feed.pid"
    ))
    .await?;
    Ok(())
}

/// Feeds the clip instead of the other one.
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

/// An H.264 file.
struct Clip {
    bytes: Bytes,
    units: Vec<Unit>,
}

impl Clip {
    fn encode(
        directory: &TempDir,
        name: &str,
        picture: &str,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        let path = directory.path().join(format!("{name}.h264"));
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
            .arg(format!("{picture}=size=320x240:rate=30:duration={seconds}"))
            .args([
                "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0",
            ])
            .args([
                "-x264-params",
                "keyint=30:min-keyint=30:scenecut=0:repeat-headers=1:slices=2",
            ])
            .args(["-f", "h264"])
            .arg(&path)
            .output()
            .context("running ffmpeg")?;
        ensure!(
            output.status.success(),
            "ffmpeg: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bytes = Bytes::from(std::fs::read(&path)?);
        let units = units_of_annex_b(&bytes);
        ensure!(
            units.len() == 30 * seconds as usize,
            "{} pictures",
            units.len()
        );
        Ok(Self { bytes, units })
    }
}

/// Annex B, cut into pictures.
fn units_of_annex_b(bytes: &Bytes) -> Vec<Unit> {
    let starts: Vec<usize> = bytes
        .windows(3)
        .enumerate()
        .filter_map(|(at, window)| (window == [0, 0, 1]).then_some(at))
        .collect();
    let mut units: Vec<Unit> = Vec::new();
    for (number, &start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(bytes.len());
        // Zeros before the next start code belong to nobody: a NAL unit ends in a stop bit.
        let length = bytes[start + 3..end]
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let nal = bytes.slice(start + 3..start + 3 + length);
        if is_slice(&nal) {
            // `first_mb_in_slice` is 0, which Exp-Golomb writes as a single set bit: a new picture.
            if nal[1] & 0x80 != 0 {
                units.push(Vec::new());
            }
            units
                .last_mut()
                .expect("a picture begins with its first slice")
                .push(nal);
        }
    }
    units
}

fn is_slice(nal: &[u8]) -> bool {
    matches!(nal.first().map(|byte| byte & 0x1f), Some(1 | 5)) && nal.len() > 1
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
        *self
            .segments
            .first_key_value()
            .expect("there are segments")
            .0
    }

    fn last(&self) -> u64 {
        *self
            .segments
            .last_key_value()
            .expect("there are segments")
            .0
    }

    /// Without the first `count` segments.
    fn after(&self, count: usize) -> Self {
        let segments = self.segments.clone().into_iter().skip(count).collect();
        Self { segments }
    }

    fn has(&self, clip: &Clip) -> bool {
        self.units().any(|unit| clip.units.contains(unit))
    }

    fn ends_of(&self, clip: &Clip) -> usize {
        let end = clip.units.last();
        self.units().filter(|unit| Some(*unit) == end).count()
    }

    /// Wherever the clip begins in what was served, how many of its access units follow unchanged and in order.
    fn runs_of(&self, clip: &Clip) -> Vec<usize> {
        let units: Vec<_> = self.units().collect();
        (0..units.len())
            .filter(|&at| *units[at] == clip.units[0])
            .map(|at| {
                let pairs = units[at..].iter().zip(&clip.units);
                pairs.take_while(|(served, fed)| *served == fed).count()
            })
            .collect()
    }

    /// What FFmpeg makes of it: a hash of each picture. Segments with the same init segment are one file.
    fn decode(&self) -> anyhow::Result<Vec<String>> {
        let segments: Vec<_> = self.segments.values().collect();
        let mut pictures = Vec::new();
        for run in segments.chunk_by(|a, b| a.init == b.init) {
            let mut file = run[0].init.to_vec();
            for segment in run {
                file.extend_from_slice(&segment.bytes);
            }
            pictures.extend(decode(&file, "mp4")?);
        }
        Ok(pictures)
    }
}

/// A hash of each picture in a file.
fn decode(bytes: &[u8], format: &str) -> anyhow::Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new()?;
    std::io::Write::write_all(&mut file, bytes)?;
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", format, "-i"])
        .arg(file.path())
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .stdin(Stdio::null())
        .output()
        .context("running ffmpeg")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg can't decode it: {errors}");
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(',').next())
        .map(|hash| hash.trim().to_owned())
        .collect())
}

/// A player that keeps every segment that is listed.
struct Player {
    state: Arc<Mutex<(Stream, Option<String>)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Player {
    fn start(address: Url) -> Self {
        let state = Arc::new(Mutex::new((Stream::default(), None)));
        let task = tokio::spawn(play(address, Arc::clone(&state)));
        Self { state, task }
    }

    fn stream(&self) -> Stream {
        self.state.lock().unwrap().0.clone()
    }

    async fn wait(&self, what: &str, done: impl Fn(&Stream) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !done(&self.stream()) {
            let (segments, trouble) = {
                let state = self.state.lock().unwrap();
                (state.0.segments.len(), state.1.clone())
            };
            ensure!(
                Instant::now() < end,
                "{what} never came; {segments} segments did; the player's last trouble: {trouble:?}"
            );
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(address: Url, state: Arc<Mutex<(Stream, Option<String>)>>) {
    let client = reqwest::Client::new();
    loop {
        // The host may not have started yet, nor have anything to list.
        if let Err(error) = refresh(&client, &address, &state).await {
            state.lock().unwrap().1 = Some(format!("{error:#}"));
        }
        sleep(Duration::from_millis(300)).await;
    }
}

async fn refresh(
    client: &reqwest::Client,
    address: &Url,
    state: &Mutex<(Stream, Option<String>)>,
) -> anyhow::Result<()> {
    let text = get(client, address).await?;
    let Ok((_, multivariant)) = m3u8_rs::parse_master_playlist(&text) else {
        bail!("{address} is no multivariant playlist");
    };
    let variant = multivariant.variants.first().context("no variant")?;
    let address = address.join(&variant.uri)?;
    let text = get(client, &address).await?;
    let Ok((_, playlist)) = m3u8_rs::parse_media_playlist(&text) else {
        bail!("{address} is no media playlist");
    };
    let mut map = None;
    for (sequence, segment) in (playlist.media_sequence..).zip(&playlist.segments) {
        map = segment.map.as_ref().map(|map| &map.uri).or(map);
        if state.lock().unwrap().0.segments.contains_key(&sequence) {
            continue;
        }
        let init = address.join(map.context("a segment without a map")?)?;
        let init = get(client, &init).await?;
        let bytes = get(client, &address.join(&segment.uri)?).await?;
        let segment = Segment {
            init,
            units: units_of_segment(&bytes)
                .with_context(|| format!("segment {sequence} ({})", segment.uri))?,
            bytes,
            discontinuity: segment.discontinuity,
        };
        state.lock().unwrap().0.segments.insert(sequence, segment);
    }
    Ok(())
}

async fn get(client: &reqwest::Client, address: &Url) -> anyhow::Result<Bytes> {
    let response = client.get(address.clone()).timeout(PATIENCE).send().await?;
    Ok(response.error_for_status()?.bytes().await?)
}

/// A segment of CMAF chunks, each of one access unit.
fn units_of_segment(bytes: &Bytes) -> anyhow::Result<Vec<Unit>> {
    let mut units = Vec::new();
    let mut rest: &[u8] = bytes;
    while let Some(header) = Header::decode_maybe(&mut rest)? {
        let size = header.size.context("a box without a size")?;
        ensure!(size <= rest.len(), "a {} box is cut short", header.kind);
        let (body, after) = rest.split_at(size);
        rest = after;
        if header.kind == mp4_atom::FourCC::new(b"mdat") {
            units.push(slices(bytes.slice_ref(body))?);
        }
    }
    ensure!(rest.is_empty(), "{} bytes at the end", rest.len());
    Ok(units)
}

/// The slices of an access unit, whose NAL units have their length before them.
fn slices(mut unit: Bytes) -> anyhow::Result<Unit> {
    let mut slices = Vec::new();
    while !unit.is_empty() {
        ensure!(unit.len() >= 4, "a length is cut short");
        let length = bytes::Buf::get_u32(&mut unit) as usize;
        ensure!(length <= unit.len(), "a NAL unit is cut short");
        let nal = unit.split_to(length);
        if is_slice(&nal) {
            slices.push(nal);
        }
    }
    Ok(slices)
}

/// The binary under test without its debugging information, most of its size.
fn stripped(directory: &TempDir) -> anyhow::Result<PathBuf> {
    let binary = match std::env::var_os("PICAM_HOST") {
        Some(path) => PathBuf::from(path),
        None => beside(&std::env::current_exe()?),
    };
    ensure!(
        binary.exists(),
        "{} isn't there: `cargo build -p picam-host` first",
        binary.display()
    );
    let stripped = directory.path().join("picam-host");
    let status = Command::new("strip")
        .arg("-o")
        .args([&stripped, &binary])
        .status()
        .context("running strip (package binutils)")?;
    ensure!(status.success(), "strip fails");
    Ok(stripped)
}

/// `target/debug/picam-host` for `target/debug/deps/v4l2-…`.
fn beside(test: &Path) -> PathBuf {
    let profile = test.ancestors().nth(2).unwrap_or(Path::new("."));
    profile.join("picam-host")
}
