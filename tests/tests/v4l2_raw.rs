//! The host against cameras that don't encode, in a virtual machine: v4l2loopback, which FFmpeg feeds with known pictures
//! in one format after another.

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
        log.contains(&format!("v4l2 loopback), {code} {WIDTH}x{HEIGHT} at "))
            && log.contains(", encoded by openh264"),
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
