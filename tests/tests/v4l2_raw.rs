//! The host against cameras that don't encode, in a virtual machine: v4l2loopback, which FFmpeg feeds with known pictures
//! in one format after another, and vivid, which has controls and breaks on demand.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, ensure};
use picam_tests::{
    program,
    vm::{Image, Options, Vm},
};

/// Hang guard: emulated, on a machine that builds something else, a second can take many.
const PATIENCE: Duration = Duration::from_secs(300);

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
/// Bytes of a picture in 4:2:0.
const PICTURE: usize = WIDTH * HEIGHT * 3 / 2;
/// Different pictures that are fed, over and over.
const FED: usize = 10;
/// Pictures that are taken of each format.
const TAKEN: usize = 20;
/// What must be left of a picture, in dB.
const ENOUGH: f64 = 35.0;

#[tokio::test]
async fn what_goes_into_a_raw_camera_comes_out_of_the_encoder_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let clip = Clip::make(directory).unwrap();
    let mut image = Image::new(&["v4l2loopback"])
        .and_then(|image| image.stripped("v4l2_dump", &dump()?))
        .and_then(|image| image.tool("ffmpeg"))
        .unwrap();
    for format in FORMATS {
        image = image.file(format.name, clip.feed(format).unwrap());
    }
    let mut vm = Vm::boot(&image, &Options::default()).await.unwrap();
    // As many buffers as it can have: a reader that copies late must not see a picture overwritten.
    vm.must("load v4l2loopback video_nr=0 exclusive_caps=0 max_buffers=32")
        .await
        .unwrap();
    for format in FORMATS {
        if let Err(error) = compare(&mut vm, directory, &clip, format).await {
            let log = vm.run("cat /tmp/dump.log /tmp/feed.log").await;
            let log = log.map_or_else(|error| error.to_string(), |output| output.text());
            panic!("{}: {error:?}\n--- the guest:\n{log}", format.name);
        }
    }
}

/// How pictures are fed.
#[derive(Clone, Copy)]
struct Format {
    /// As FFmpeg calls it.
    name: &'static str,
    /// As V4L2 calls it.
    code: &'static str,
    /// What the stream must say of its range, as FFmpeg calls it.
    range: &'static str,
}

const FORMATS: [Format; 6] = [
    Format::limited("yuyv422", "YUYV"),
    Format::limited("uyvy422", "UYVY"),
    Format::limited("nv12", "NV12"),
    Format::limited("yuv420p", "YU12"),
    Format::limited("gray", "GREY"),
    Format {
        name: "mjpeg",
        code: "MJPG",
        range: "pc",
    },
];

impl Format {
    const fn limited(name: &'static str, code: &'static str) -> Self {
        Self {
            name,
            code,
            range: "tv",
        }
    }
}

async fn compare(vm: &mut Vm, directory: &Path, clip: &Clip, format: Format) -> anyhow::Result<()> {
    let Format { name, code, range } = format;
    let input = match name {
        "mjpeg" => "-f mjpeg -framerate 10 -i - -c:v copy".to_owned(),
        _ => format!(
            "-f rawvideo -pixel_format {name} -video_size {WIDTH}x{HEIGHT} -framerate 10 -i -"
        ),
    };
    vm.must(&format!(
        "while cat /{name}; do :; done 2>/dev/null | \
         ffmpeg -v error -nostdin -re {input} -f v4l2 /dev/video0 >>/tmp/feed.log 2>&1 & echo $! >/tmp/feed.pid"
    ))
    .await?;
    vm.until(
        &format!("grep -q {code} /sys/class/video4linux/video0/format"),
        PATIENCE,
    )
    .await?;
    vm.must(&format!(
        "v4l2_dump /dev/video0 /tmp/dump.h264 {TAKEN} >/tmp/dump.log 2>&1"
    ))
    .await?;
    let log = vm.must("cat /tmp/dump.log").await?;
    ensure!(
        log.contains(&format!(
            "{code} {WIDTH}x{HEIGHT} at 10/s, encoded by openh264"
        )),
        "the description says nothing of {code}:\n{log}"
    );
    let coded = directory.join("dump.h264");
    std::fs::write(&coded, vm.file("/tmp/dump.h264").await?)?;
    vm.must(
        "kill $(cat /tmp/feed.pid); while kill -0 $(cat /tmp/feed.pid) 2>/dev/null; do sleep 0.1; done",
    )
    .await?;

    let says = ffmpeg(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "stream=color_range,color_space",
            "-of",
            "csv=p=0",
            text(&coded)?,
        ],
    )?;
    let says = String::from_utf8(says)?;
    ensure!(
        says.trim() == format!("{range},smpte170m"),
        "the stream says {says:?} of its colours"
    );
    // In the stream's own format: samples are compared, not what a conversion makes of them.
    let shown = ffmpeg(
        "ffmpeg",
        &["-v", "error", "-i", text(&coded)?, "-f", "rawvideo", "-"],
    )?;
    ensure!(
        shown.len() == TAKEN * PICTURE,
        "{} bytes decoded are not {TAKEN} pictures",
        shown.len()
    );
    let fed = clip.expected(format);
    let psnr = clip.psnr(directory, &shown, &fed)?;
    println!("{code}: {psnr} dB");
    ensure!(psnr >= ENOUGH, "{psnr} dB is not what went in");
    Ok(())
}

/// Pictures that are different from one another.
struct Clip {
    /// Planar 4:2:0, one after the other.
    planar: Vec<u8>,
    /// As JPEG files, one after the other.
    jpeg: Vec<u8>,
    /// What is in those, 4:2:0 in full range.
    jpeg_planar: Vec<u8>,
}

impl Clip {
    fn make(directory: &Path) -> anyhow::Result<Self> {
        let source = format!("testsrc2=size={WIDTH}x{HEIGHT}:rate=10");
        let count = FED.to_string();
        let make = |more: &[&str]| {
            let arguments = [
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                &source,
                "-frames:v",
                &count,
            ];
            ffmpeg("ffmpeg", &[&arguments, more, &["-"]].concat())
        };
        let planar = make(&["-pix_fmt", "yuv420p", "-f", "rawvideo"])?;
        let jpeg = make(&[
            "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "2", "-f", "mjpeg",
        ])?;
        let file = directory.join("clip.mjpeg");
        std::fs::write(&file, &jpeg)?;
        let arguments = ["-v", "error", "-i", text(&file)?, "-f", "rawvideo", "-"];
        let jpeg_planar = ffmpeg("ffmpeg", &arguments)?;
        ensure!(planar.len() == FED * PICTURE && jpeg_planar.len() == FED * PICTURE);
        Ok(Self {
            planar,
            jpeg,
            jpeg_planar,
        })
    }

    /// The bytes to feed. The chroma of packed formats is that of 4:2:0, each row twice.
    fn feed(&self, format: Format) -> anyhow::Result<Vec<u8>> {
        let pictures = self.planar.chunks(PICTURE);
        Ok(match format.name {
            "mjpeg" => self.jpeg.clone(),
            "yuv420p" => self.planar.clone(),
            "gray" => pictures
                .flat_map(|picture| planes(picture).0)
                .copied()
                .collect(),
            "nv12" => pictures
                .flat_map(|picture| {
                    let (luma, cb, cr) = planes(picture);
                    let pairs = cb.iter().zip(cr).flat_map(|(&cb, &cr)| [cb, cr]);
                    luma.iter().copied().chain(pairs)
                })
                .collect(),
            "yuyv422" => pictures
                .flat_map(|picture| packed(picture, |[a, b], cb, cr| [a, cb, b, cr]))
                .collect(),
            "uyvy422" => pictures
                .flat_map(|picture| packed(picture, |[a, b], cb, cr| [cb, a, cr, b]))
                .collect(),
            other => anyhow::bail!("{other} is not known here"),
        })
    }

    /// What is to come out.
    fn expected(&self, format: Format) -> Vec<u8> {
        match format.name {
            "mjpeg" => self.jpeg_planar.clone(),
            "gray" => self
                .planar
                .chunks(PICTURE)
                .flat_map(|picture| {
                    let (luma, cb, cr) = planes(picture);
                    luma.iter().copied().chain(vec![128; cb.len() + cr.len()])
                })
                .collect(),
            _ => self.planar.clone(),
        }
    }

    /// FFmpeg's PSNR between what was shown and those of the fed pictures that they are, in dB.
    fn psnr(&self, directory: &Path, shown: &[u8], fed: &[u8]) -> anyhow::Result<f64> {
        let mut likely = Vec::new();
        for picture in shown.chunks(PICTURE) {
            let difference = |fed: &[u8]| -> u64 {
                let pairs = fed.iter().zip(picture).step_by(7);
                pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
            };
            let all = fed.chunks(PICTURE).enumerate();
            let (best, _) = all
                .min_by_key(|(_, fed)| difference(fed))
                .context("nothing was fed")?;
            likely.push(best);
        }
        let different: std::collections::BTreeSet<_> = likely.iter().collect();
        ensure!(different.len() > FED / 2, "it doesn't move: {likely:?}");
        let meant: Vec<u8> = likely
            .iter()
            .flat_map(|&at| &fed[at * PICTURE..][..PICTURE])
            .copied()
            .collect();
        let (a, b) = (directory.join("shown.yuv"), directory.join("meant.yuv"));
        std::fs::write(&a, shown)?;
        std::fs::write(&b, meant)?;
        let size = format!("{WIDTH}x{HEIGHT}");
        let raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-i"];
        let output = Command::new("ffmpeg")
            .args(["-hide_banner", "-nostdin"])
            .args(raw)
            .arg(&a)
            .args(raw)
            .arg(&b)
            .args(["-lavfi", "psnr", "-f", "null", "-"])
            .output()
            .context("running ffmpeg")?;
        let log = String::from_utf8_lossy(&output.stderr);
        // `PSNR y:42.1 u:45.3 v:44.9 average:42.8 min:41.9 max:43.5`: the worst picture counts.
        log.rsplit_once(" min:")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .and_then(|least| least.parse().ok())
            .with_context(|| format!("ffmpeg tells no PSNR:\n{log}"))
    }
}

fn planes(picture: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (luma, chroma) = picture.split_at(WIDTH * HEIGHT);
    let (cb, cr) = chroma.split_at(chroma.len() / 2);
    (luma, cb, cr)
}

fn packed(picture: &[u8], order: fn([u8; 2], u8, u8) -> [u8; 4]) -> Vec<u8> {
    let (luma, cb, cr) = planes(picture);
    let half = WIDTH / 2;
    (0..HEIGHT)
        .flat_map(|y| (0..half).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            let at = y * WIDTH + 2 * x;
            let chroma = y / 2 * half + x;
            order([luma[at], luma[at + 1]], cb[chroma], cr[chroma])
        })
        .collect()
}

/// Runs a program of FFmpeg here, and gives what it writes.
fn ffmpeg(program: &str, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program} (on Debian: apt-get install ffmpeg)"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

/// What takes pictures from a camera as the host does, and writes them into a file.
fn dump() -> anyhow::Result<PathBuf> {
    let path = program()?.with_file_name("examples").join("v4l2_dump");
    ensure!(
        path.exists(),
        "{} does not exist: run `cargo build --workspace --examples` first",
        path.display()
    );
    Ok(path)
}

#[tokio::test]
async fn a_raw_camera_is_shown_set_streamed_and_streamed_again_after_it_broke() {
    let image = Image::new(&["vivid"])
        .and_then(|image| image.stripped("picam-host", &program()?))
        .and_then(|image| image.tool("v4l2-ctl"))
        .unwrap()
        .file("picam.toml", CONFIG);
    let options = Options {
        limit: 3 * PATIENCE,
        ..Options::default()
    };
    let mut vm = Vm::boot(&image, &options).await.unwrap();
    if let Err(error) = breaks_and_comes_back(&mut vm).await {
        let log = vm.run("cat /tmp/host.log").await;
        let log = log.map_or_else(|error| error.to_string(), |output| output.text());
        panic!(
            "{error:?}\n--- the guest:\n{log}\n--- its console:\n{}",
            vm.console()
        );
    }
}

const CONFIG: &str = r#"
[stream]
source = "/dev/video0"
size = "320x180"
fps = 10
[stream.controls]
brightness = 100
horizontal_flip = true
"#;

async fn breaks_and_comes_back(vm: &mut Vm) -> anyhow::Result<()> {
    // One input, as a webcam.
    const PLUG_IN: &str = "load vivid n_devs=1 vid_cap_nr=0 num_inputs=1 input_types=0";
    vm.must(PLUG_IN).await?;

    let text = vm.must("picam-host cameras").await?;
    for wanted in [
        "/dev/video0: vivid (vivid)\n",
        "\n  YUYV (YUYV 4:2:2), is encoded here\n    320x180 at ",
        "\n    brightness ",
        "= 128  (0 to 255)",
        "/dev/video1 (vivid) captures no pictures",
    ] {
        ensure!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    let json = vm.must("picam-host cameras --json /dev/video0").await?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json[0]["driver"] == "vivid", "{json}");

    for (wrong, told) in [
        ("brightnes = 1", "did you mean `brightness`?"),
        ("brightness = 1000", "expected 0 to 255"),
    ] {
        let output = vm
            .run(&format!(
                "printf '[stream]\\nsource = \"/dev/video0\"\\n[stream.controls]\\n{wrong}\\n' >/tmp/wrong.toml\n\
                 picam-host --config /tmp/wrong.toml"
            ))
            .await?;
        ensure!(
            output.status != 0 && output.text().contains(told),
            "{wrong} is told as {}",
            output.text()
        );
    }
    let output = vm.run("picam-host --source /dev/video9").await?;
    ensure!(output.status != 0 && output.text().contains("there is no /dev/video9"));

    vm.must("picam-host --config /picam.toml >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid")
        .await?;
    grows(vm).await?;
    let log = vm.must("cat /tmp/host.log").await?;
    ensure!(
        log.contains("(vivid, vivid), YU12 320x180 at 10/s, encoded by openh264"),
        "the description is another one"
    );
    is_set(vm).await?;

    // Two buffers are marked as damaged: they are left out, and that is all.
    let before = metric(vm, DROPPED).await?;
    for _ in 0..2 {
        vm.must("v4l2-ctl -d /dev/video0 -c inject_v4l2_buf_flag_error=1 && sleep 1")
            .await?;
    }
    ensure!(
        metric(vm, DROPPED).await? >= before + 2.0,
        "damage isn't counted"
    );
    grows(vm).await?;
    ensure!(metric(vm, RESTARTS).await? == 0.0);

    // The queue breaks: the device is opened anew.
    vm.must("v4l2-ctl -d /dev/video0 -c inject_fatal_streaming_error=1")
        .await?;
    comes_back(vm, 1.0).await?;
    is_set(vm).await?;

    // It is unplugged, and plugged in again.
    vm.must("v4l2-ctl -d /dev/video0 -c disconnect=1").await?;
    vm.until("grep -q 'was unplugged' /tmp/host.log", PATIENCE)
        .await?;
    vm.until("rmmod vivid", PATIENCE).await?;
    vm.must(PLUG_IN).await?;
    comes_back(vm, 2.0).await?;
    is_set(vm).await
}

/// Pictures left out because they were damaged.
const DROPPED: &str = "picam_stream_dropped_pictures_total{reason=\"damaged\"}";
const RESTARTS: &str = "picam_source_restarts_total";

async fn metric(vm: &mut Vm, name: &str) -> anyhow::Result<f64> {
    let text = vm.must("wget -qO- http://127.0.0.1:8081/metrics").await?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .with_context(|| format!("there is no metric {name} in\n{text}"))
}

/// Waits for the stream, and then for more pictures of it.
async fn grows(vm: &mut Vm) -> anyhow::Result<()> {
    vm.until("wget -qO- http://127.0.0.1:8080/healthz", PATIENCE)
        .await?;
    let count = "picam_stream_pictures_total";
    let before = metric(vm, count).await?;
    vm.until(
        &format!(
            "now=$(wget -qO- http://127.0.0.1:8081/metrics | sed -n 's/^{count} //p')\n\
             [ \"$now\" -ge {} ]",
            before + 10.0
        ),
        PATIENCE,
    )
    .await?;
    Ok(())
}

async fn comes_back(vm: &mut Vm, times: f64) -> anyhow::Result<()> {
    vm.until(
        &format!("wget -qO- http://127.0.0.1:8081/metrics | grep -q '^{RESTARTS} {times}$'"),
        PATIENCE,
    )
    .await?;
    grows(vm).await
}

/// The controls are as the configuration has them.
async fn is_set(vm: &mut Vm) -> anyhow::Result<()> {
    let text = vm
        .must("v4l2-ctl -d /dev/video0 -C brightness,horizontal_flip")
        .await?;
    ensure!(
        text == "brightness: 100\nhorizontal_flip: 1\n",
        "the controls are {text:?}"
    );
    Ok(())
}
