//! What each step of a picture that is encoded here takes: from a camera's YUYV or JPEG to planes, a line of text and a
//! drawing of the whole picture, each drawn anew for every picture, and the encoder; beside FFmpeg, that does the same with
//! the same pictures on one thread. `cargo xtask bench pictures` runs it, and prints its lines in a table.
//!
//! FFmpeg's drawing is what its `drawtext` and `drawbox` add to a run without them.

use std::{
    hint::black_box,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use jpeg_encoder::{ColorType, SamplingFactor};
use openh264::formats::YUVSource as _;
use picam_host::{
    overlay::{Anchor, Colour, Fonts, Ground, Operation, Point, Raster},
    picture::{Canvas, Card, Colors, Encoder, Rate, Settings, Size},
    studio::{Converter, Layout, Pixels},
    time::Wall,
};

/// Of every measurement; FFmpeg sees the test card's pictures over and over.
const PICTURES: u32 = 240;
const DIFFERENT: u32 = 60;
const FPS: u32 = 30;

fn main() -> Result<()> {
    for (width, height, bitrate) in [
        (640, 360, 800_000),
        (1280, 720, 2_000_000),
        (1920, 1080, 4_000_000),
    ] {
        measure(Size::new(width, height)?, bitrate)?;
    }
    Ok(())
}

fn measure(size: Size, bitrate: u32) -> Result<()> {
    let pictures = Pictures::make(size)?;
    let conversions = [
        ("from YUYV", Pixels::Yuyv, &pictures.yuyv),
        ("from JPEG", Pixels::Mjpg, &pictures.jpegs),
    ];
    let ffmpeg = Ffmpeg::new(size, &pictures)?;
    let plain = ffmpeg.seconds("yuyv", &["-f", "null"])?;
    let jpeg = ffmpeg.seconds("mjpg", &["-f", "null"])?;
    for ((what, pixels, from), theirs) in conversions.into_iter().zip([plain, jpeg]) {
        let ours = convert(size, pixels, from)?;
        line(
            &format!("{what} to planes"),
            size,
            ours,
            "FFmpeg",
            theirs,
            "",
        );
    }

    let encoded = encode(size, bitrate, &pictures.canvases)?;
    let rate = bitrate.to_string();
    let x264 = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-b:v",
        &rate,
        "-g",
        "30",
        "-f",
        "null",
    ];
    let x264 = ffmpeg.seconds("yuyv", &x264)? - plain;
    line(
        "encoded by openh264",
        size,
        encoded,
        "libx264 -preset ultrafast",
        x264,
        "",
    );

    let text = "drawtext=text='%{pts\\:hms}':fontsize=h/25:fontcolor=white:box=1:boxcolor=black@0.5:x=w*0.6:y=h*0.9";
    let veil = "drawbox=color=0xff50c8@0.5:t=fill";
    for (what, filter, operation) in [
        (
            "a line of text, drawn anew",
            text,
            self::text as fn(u32) -> Operation,
        ),
        ("the whole picture, drawn anew", veil, self::veil),
    ] {
        let ours = draw(size, operation);
        let theirs = ffmpeg.seconds("yuyv", &["-vf", filter, "-f", "null"])? - plain;
        let share = format!("{:.1} % of the encoder's", ours / encoded * 100.0);
        let budget = match size.height() == 720 && filter == text {
            true => "≤ 10 % of the encoder's",
            false => "",
        };
        line(
            &format!("{what} ({share})"),
            size,
            ours,
            "FFmpeg",
            theirs,
            budget,
        );
    }
    Ok(())
}

/// Seconds of a picture, ours and theirs.
fn line(what: &str, size: Size, ours: f64, peer: &str, theirs: f64, budget: &str) {
    println!(
        "| {size}, {what} | {:.0} µs, {:.0} a second | {peer}: {:.0} µs | {:.2} | {budget} |",
        ours * 1e6,
        ours.recip(),
        theirs * 1e6,
        ours / theirs
    );
}

/// The test card, as several kinds of cameras would give it.
struct Pictures {
    canvases: Vec<Canvas>,
    yuyv: Vec<Vec<u8>>,
    jpegs: Vec<Vec<u8>>,
}

impl Pictures {
    fn make(size: Size) -> Result<Self> {
        let mut card = Card::new(size, "cost");
        let canvases: Vec<_> = (0..DIFFERENT)
            .map(|n| card.draw(Wall(u64::from(n) * 33_333), n).clone())
            .collect();
        let yuyv = canvases.iter().map(yuyv).collect();
        let jpegs = canvases.iter().map(jpeg).collect::<Result<_>>()?;
        Ok(Self {
            canvases,
            yuyv,
            jpegs,
        })
    }
}

/// 4:2:2, each chroma row twice.
fn yuyv(canvas: &Canvas) -> Vec<u8> {
    let width = canvas.size().width() as usize;
    let rows = canvas.y().chunks(width).enumerate();
    rows.flat_map(|(row, luma)| {
        let chroma = row / 2 * (width / 2);
        let (cb, cr) = (&canvas.u()[chroma..], &canvas.v()[chroma..]);
        let pairs = luma.chunks(2).zip(cb.iter().zip(cr));
        pairs.flat_map(|(luma, (cb, cr))| [luma[0], *cb, luma[1], *cr])
    })
    .collect()
}

/// 4:2:2 from interleaved samples, as webcams send it.
fn jpeg(canvas: &Canvas) -> Result<Vec<u8>> {
    let (width, height) = (
        canvas.size().width() as usize,
        canvas.size().height() as usize,
    );
    let mut samples = Vec::with_capacity(width * height * 3);
    for (row, luma) in canvas.y().chunks(width).enumerate() {
        for (column, luma) in luma.iter().enumerate() {
            let chroma = row / 2 * (width / 2) + column / 2;
            samples.extend([*luma, canvas.u()[chroma], canvas.v()[chroma]]);
        }
    }
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 85);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    encoder.encode(&samples, width as u16, height as u16, ColorType::Ycbcr)?;
    Ok(jpeg)
}

/// Seconds that a picture takes, at the median.
fn median(mut work: impl FnMut(u32) -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for n in 0..PICTURES {
        let began = Instant::now();
        work(n)?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn convert(size: Size, pixels: Pixels, pictures: &[Vec<u8>]) -> Result<f64> {
    let mut converter = Converter::new(Layout {
        pixels,
        width: size.width(),
        height: size.height(),
        stride: size.width() * 2,
        colors: Colors::BT709,
    })?;
    let mut canvas = converter.canvas();
    median(|n| {
        let picture = &pictures[n as usize % pictures.len()];
        Ok(converter.convert(picture, &mut canvas)?)
    })
}

fn encode(size: Size, bitrate: u32, pictures: &[Canvas]) -> Result<f64> {
    let mut encoder = Encoder::open(Settings {
        size,
        colors: Colors::BT709,
        fps: FPS,
        rate: Rate::Bits(bitrate),
    })?;
    median(|n| {
        let picture = &pictures[n as usize % pictures.len()];
        black_box(encoder.encode(picture, n.is_multiple_of(FPS))?);
        Ok(())
    })
}

/// Draws another one for each picture, and blends it.
fn draw(size: Size, operation: impl Fn(u32) -> Operation) -> f64 {
    let ground = Ground {
        size,
        colors: Colors::BT709,
    };
    let mut canvas = Canvas::clone(Card::new(size, "cost").draw(Wall(0), 0));
    let mut raster = Raster::new(&Fonts::default());
    let drawn = median(|n| {
        raster.draw(ground, &[operation(n)]).blend(&mut canvas);
        Ok(())
    });
    drawn.expect("drawing doesn't fail")
}

fn text(n: u32) -> Operation {
    Operation::Text {
        at: Point(980, 980),
        anchor: Anchor::BottomRight,
        content: format!("2026-11-25 22:30:{:02}.{n:03}", n % 60),
        size: 40,
        colour: Colour([255; 4]),
        background: Some(Colour([0, 0, 0, 128])),
        outline: None,
        font: String::new(),
    }
}

/// Half of a colour over everything.
fn veil(n: u32) -> Operation {
    Operation::Rectangle {
        from: Point(0, 0),
        to: Point(1_000, 1_000),
        fill: Some(Colour([n as u8, 80, 200, 128])),
        stroke: None,
        width: 0,
    }
}

/// FFmpeg, with the same pictures in files.
struct Ffmpeg {
    size: Size,
    directory: tempfile::TempDir,
}

impl Ffmpeg {
    fn new(size: Size, pictures: &Pictures) -> Result<Self> {
        // In memory, where there is such a place.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let write = |path: &Path, pictures: &[Vec<u8>]| -> Result<()> {
            let mut file = std::fs::File::create(path)?;
            for picture in (0..PICTURES).map(|n| &pictures[n as usize % pictures.len()]) {
                file.write_all(picture)?;
            }
            Ok(())
        };
        write(&directory.path().join("yuyv"), &pictures.yuyv)?;
        write(&directory.path().join("mjpg"), &pictures.jpegs)?;
        Ok(Self { size, directory })
    }

    /// Seconds of processor time that a picture takes, from a file of this kind on, at the median of three runs.
    fn seconds(&self, kind: &str, output: &[&str]) -> Result<f64> {
        let size = self.size.to_string();
        let input = match kind {
            "yuyv" => vec!["-f", "rawvideo", "-pix_fmt", "yuyv422", "-s", &size],
            "mjpg" => vec!["-f", "mjpeg"],
            _ => bail!("there is no file `{kind}`"),
        };
        let mut runs = Vec::new();
        for _ in 0..3 {
            let ran = Command::new("ffmpeg")
                .args(["-hide_banner", "-nostdin", "-benchmark", "-threads", "1"])
                .args(["-filter_threads", "1", "-r", "30"])
                .args(&input)
                .arg("-i")
                .arg(self.directory.path().join(kind))
                .args(["-pix_fmt", "yuv420p", "-threads", "1"])
                .args(output)
                .arg("-")
                .stdin(Stdio::null())
                .output()
                .context("starting ffmpeg (on Debian: apt-get install ffmpeg)")?;
            let said = String::from_utf8_lossy(&ran.stderr);
            ensure!(ran.status.success(), "ffmpeg failed: {said}");
            let bench = said.lines().find(|line| line.starts_with("bench: utime="));
            let field = |name: &str| -> Option<f64> {
                let (_, rest) = bench?.split_once(name)?;
                rest.split('s').next()?.parse().ok()
            };
            let seconds = field("utime=").zip(field("stime="));
            let (user, system) =
                seconds.with_context(|| format!("ffmpeg measured nothing: {said}"))?;
            runs.push((user + system) / f64::from(PICTURES));
        }
        runs.sort_by(f64::total_cmp);
        Ok(runs[1])
    }
}
