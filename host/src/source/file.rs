//! `file:PATH`: an H.264 byte stream or the H.264 track of an MP4 file, played in real time and looped.

use std::{
    io::SeekFrom,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::{
    Nominal, Source, Wanted,
    mp4::Track,
    outlet::{Gone, Outlet},
    pace::Pace,
};
use crate::h264::{AccessUnit, MAX_UNIT, Reader, SampleReader};

const CHUNK: usize = 256 << 10;

/// How much of a byte stream is looked through for a second key frame, to know how far apart they are.
const LOOK_AHEAD: u64 = 64 << 20;

/// Between attempts to read a file that can't be read any more.
const PAUSE: Duration = Duration::from_secs(2);

/// Opens the file, and plays it.
///
/// A byte stream has no times: pictures are as far apart as its VUI says, else as `wanted` says.
///
/// # Errors
///
/// If there is no such file, or nothing in it that can be played: the message says what was found.
pub async fn open(path: &Path, wanted: &Wanted) -> anyhow::Result<Source> {
    let what = || format!("can't play `{}`", path.display());
    let media = Media::open(path, wanted).await.with_context(what)?;
    let description = format!("{}, H264 {}", path.display(), media.description);
    let (outlet, source) = Outlet::new(description, media.nominal);
    let player = Player {
        path: path.to_owned(),
        kind: media.kind,
        pace: Pace::start(),
        began: Duration::ZERO,
        outlet,
    };
    tokio::spawn(player.run());
    Ok(source)
}

/// What is in the file.
#[derive(Debug)]
struct Media {
    kind: Kind,
    nominal: Nominal,
    /// Size and rate.
    description: String,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A byte stream, with a picture each `Duration`.
    Stream(FrameRate),
    Mp4(Arc<Track>),
}

/// Pictures a second, as a fraction.
#[derive(Clone, Copy, Debug)]
struct FrameRate {
    pictures: u32,
    seconds: u32,
}

impl FrameRate {
    /// When a picture is due.
    fn time(self, number: u64) -> Duration {
        let (pictures, number) = (u64::from(self.pictures), number * u64::from(self.seconds));
        let rest = (number % pictures) * 1_000_000_000 / pictures;
        Duration::from_secs(number / pictures) + Duration::from_nanos(rest)
    }
}

impl Media {
    async fn open(path: &Path, wanted: &Wanted) -> anyhow::Result<Self> {
        let mut file = File::open(path).await?;
        let metadata = file.metadata().await?;
        ensure!(!metadata.is_dir(), "it is a directory");
        ensure!(
            metadata.is_file(),
            "it is not a regular file: for a pipe use `exec:cat PATH` or standard input, `-`"
        );
        ensure!(metadata.len() > 0, "it is empty");
        let mut head = [0; 12];
        let length = file.read(&mut head).await?;
        match &head[..length] {
            [_, _, _, _, kind @ .., _, _, _, _]
                if [
                    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp",
                ]
                .iter()
                .any(|known| known[..] == *kind) =>
            {
                Self::of_mp4(file).await
            }
            [0x1a, 0x45, 0xdf, 0xa3, ..] => bail!(
                "it is a Matroska or WebM file; `ffmpeg -i {} -an -c:v copy OUT.mp4` makes an MP4 file of it",
                path.display()
            ),
            _ => {
                file.seek(SeekFrom::Start(0)).await?;
                Self::of_stream(file, wanted).await
            }
        }
    }

    async fn of_stream(mut file: File, wanted: &Wanted) -> anyhow::Result<Self> {
        let mut reader = Reader::new();
        let mut buffer = vec![0; CHUNK];
        let mut first: Option<AccessUnit> = None;
        let (mut pictures, mut key_interval) = (0, None);
        while key_interval.is_none() && (first.is_none() || reader.offset() < LOOK_AHEAD) {
            let length = file.read(&mut buffer).await?;
            match length {
                0 => reader.flush(),
                _ => reader.push(&buffer[..length], ()),
            }
            while let Some(found) = reader.take() {
                if found.unit.idr && first.is_some() {
                    key_interval.get_or_insert(pictures);
                }
                first.get_or_insert(found.unit);
                pictures += 1;
            }
            if length == 0 {
                break;
            }
        }
        let loss = reader.loss();
        let Some(first) = first else {
            match (loss.dropped_units, loss.bad_nals) {
                (0, _) => bail!(
                    "nothing in it is H.264: it has to be a byte stream (Annex B) or an MP4 file; `ffmpeg -i IN -an -c:v \
                     libx264 OUT.mp4` makes one of anything"
                ),
                (units, bad) => bail!(
                    "of its {units} H.264 pictures none is a key frame (IDR) that can be used, with its parameter sets; \
                     {bad} NAL units are damaged"
                ),
            }
        };
        let sets = &first.parameter_sets;
        let (pictures, seconds) = sets.frame_rate.unwrap_or((wanted.fps.max(1), 1));
        let rate = FrameRate { pictures, seconds };
        Ok(Self {
            nominal: Nominal {
                frame: Some(rate.time(1)),
                key_interval,
            },
            description: describe(sets.width, sets.height, rate.time(1)),
            kind: Kind::Stream(rate),
        })
    }

    async fn of_mp4(file: File) -> anyhow::Result<Self> {
        let file = file.into_std().await;
        tokio::task::spawn_blocking(move || {
            let track = Track::read(&file).context("it can't be used as an MP4 file")?;
            let mut samples = Samples::new(&track);
            let mut sample = Vec::new();
            let first = track.samples.iter().find_map(|place| {
                use std::os::unix::fs::FileExt;
                sample.resize(usable_size(place.size)?, 0);
                file.read_exact_at(&mut sample, place.offset).ok()?;
                samples.0.sample(&sample)
            });
            let first = first.context(
                "none of the pictures of its H.264 track is a key frame (IDR) that can be used",
            )?;
            let pictures = u32::try_from(track.samples.len()).unwrap_or(u32::MAX);
            let frame = track.duration() / pictures.max(1);
            let sets = &first.parameter_sets;
            Ok(Self {
                nominal: Nominal {
                    frame: Some(frame).filter(|frame| !frame.is_zero()),
                    key_interval: match track.sync_samples[..] {
                        [first, second, ..] => second.checked_sub(first),
                        _ => None,
                    },
                },
                description: describe(sets.width, sets.height, frame),
                kind: Kind::Mp4(Arc::new(track)),
            })
        })
        .await
        .context("the file's reader failed")?
    }
}

fn describe(width: u32, height: u32, frame: Duration) -> String {
    if frame.is_zero() {
        return format!("{width}x{height}");
    }
    let rate = (100.0 / frame.as_secs_f64()).round() / 100.0;
    format!("{width}x{height} at {rate}/s")
}

fn usable_size(size: u32) -> Option<usize> {
    usize::try_from(size).ok().filter(|&size| size <= MAX_UNIT)
}

/// A reader for the samples of a track.
struct Samples(SampleReader);

impl Samples {
    fn new(track: &Track) -> Self {
        let sets = track.parameter_sets.iter().map(Vec::as_slice);
        Self(SampleReader::new(track.length_size, sets))
    }
}

/// Why a run through the file came to an end.
enum Stop {
    /// Nobody wants pictures any more.
    Gone,
    /// The file can't be read.
    Failed(std::io::Error),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Plays the file over and over.
struct Player {
    path: PathBuf,
    kind: Kind,
    pace: Pace,
    /// When the run through the file at hand began.
    began: Duration,
    outlet: Outlet,
}

impl Player {
    async fn run(mut self) {
        loop {
            let before = self.outlet.pictures;
            let end = match self.kind.clone() {
                Kind::Stream(rate) => self.stream(rate).await,
                Kind::Mp4(track) => self.mp4(&track).await,
            };
            let told = match end {
                Err(Stop::Gone) => return,
                Ok(_) if self.outlet.pictures == before => {
                    self.lost("it has no key frame any more".to_owned()).await
                }
                Ok(length) => {
                    self.began += length;
                    let reason = format!("`{}` begins anew", self.path.display());
                    self.outlet.broken(reason).await
                }
                Err(Stop::Failed(error)) => self.lost(error.to_string()).await,
            };
            if told == Err(Gone) {
                return;
            }
        }
    }

    async fn lost(&mut self, why: String) -> Result<(), Gone> {
        let reason = format!("`{}` can't be played any more: {why}", self.path.display());
        self.outlet.lost(reason).await?;
        tokio::select! {
            () = self.outlet.closed() => return Err(Gone),
            () = tokio::time::sleep(PAUSE) => {}
        }
        self.pace = Pace::start();
        self.began = Duration::ZERO;
        Ok(())
    }

    /// Plays a byte stream once, and returns how long it lasted.
    async fn stream(&mut self, rate: FrameRate) -> Result<Duration, Stop> {
        let mut file = File::open(&self.path).await?;
        let mut reader = Reader::new();
        let mut buffer = vec![0; CHUNK];
        let mut number = 0;
        loop {
            let length = file.read(&mut buffer).await?;
            match length {
                0 => reader.flush(),
                _ => reader.push(&buffer[..length], ()),
            }
            self.outlet.loss(reader.loss());
            while let Some(found) = reader.take() {
                self.show(found.unit, rate.time(number)).await?;
                number += 1;
            }
            if length == 0 {
                self.outlet.reader_is_done(reader.loss());
                return Ok(rate.time(number));
            }
        }
    }

    /// Plays the track of an MP4 file once, and returns how long it lasted.
    async fn mp4(&mut self, track: &Track) -> Result<Duration, Stop> {
        let mut file = File::open(&self.path).await?;
        let mut samples = Samples::new(track);
        let mut sample = Vec::new();
        for place in &track.samples {
            let Some(size) = usable_size(place.size) else {
                continue;
            };
            sample.resize(size, 0);
            file.seek(SeekFrom::Start(place.offset)).await?;
            file.read_exact(&mut sample).await?;
            let unit = samples.0.sample(&sample);
            self.outlet.loss(samples.0.loss());
            if let Some(unit) = unit {
                self.show(unit, track.time(place)).await?;
            }
        }
        self.outlet.reader_is_done(samples.0.loss());
        Ok(track.duration())
    }

    async fn show(&mut self, unit: AccessUnit, time: Duration) -> Result<(), Gone> {
        let captured = tokio::select! {
            () = self.outlet.closed() => return Err(Gone),
            captured = self.pace.until(self.began + time) => captured,
        };
        self.outlet.picture(unit, captured).await
    }
}
