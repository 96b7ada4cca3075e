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
    let (outlet, source) = Outlet::new("file", description, media.nominal);
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::{Event, Picture};

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/h264");
    const WANTED: Wanted = Wanted {
        width: 1280,
        height: 720,
        fps: 15,
        bitrate: 2_000_000,
        key_interval: Duration::from_secs(1),
    };

    /// The pictures of one run through the file, and of what comes after the break the first.
    async fn once(source: &mut Source) -> (Vec<Picture>, Picture) {
        let mut pictures = Vec::new();
        loop {
            match source.events.recv().await {
                Some(Event::Picture(picture)) => pictures.push(picture),
                Some(Event::Break { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
        match source.events.recv().await {
            Some(Event::Picture(next)) => (pictures, next),
            other => panic!("{other:?}"),
        }
    }

    async fn play(name: &str) -> Source {
        open(&Path::new(DATA).join(name), &WANTED).await.unwrap()
    }

    fn frame(number: u64) -> Duration {
        FrameRate {
            pictures: 30,
            seconds: 1,
        }
        .time(number)
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_stream_is_played_at_its_own_rate_and_loops_without_a_gap() {
        let mut source = play("high-pyramid.h264").await;
        assert_eq!(source.nominal.frame, Some(frame(1)));
        assert_eq!(source.nominal.key_interval, Some(12));
        assert!(
            source
                .description
                .ends_with("high-pyramid.h264, H264 320x180 at 30/s"),
            "{}",
            source.description
        );
        let (pictures, next) = once(&mut source).await;
        assert_eq!(pictures.len(), 24);
        assert!(next.unit.idr);
        assert_eq!(next.unit.data, pictures[0].unit.data);
        let times: Vec<_> = pictures
            .iter()
            .chain([&next])
            .map(|picture| picture.captured)
            .collect();
        for (number, time) in times.iter().enumerate() {
            let should = frame(number as u64).as_micros() as u64;
            assert!(
                time.since(times[0]).as_micros() as u64 == should,
                "picture {number}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn mp4_files_give_the_pictures_and_times_of_the_stream_within() {
        let (stream, _) = once(&mut play("high-pyramid.h264").await).await;
        for name in ["end.mp4", "front.mp4", "fragments.mp4"] {
            let mut source = play(name).await;
            assert_eq!(source.nominal.frame, Some(frame(24) / 24), "{name}");
            let (pictures, next) = once(&mut source).await;
            assert_eq!(pictures.len(), 24, "{name}");
            for (number, (one, other)) in pictures.iter().zip(&stream).enumerate() {
                assert_eq!(one.unit.data, other.unit.data, "{name}, picture {number}");
                assert_eq!(one.unit.display_shift, other.unit.display_shift);
                assert_eq!(one.unit.idr, other.unit.idr);
                assert_eq!(
                    one.captured.since(pictures[0].captured).as_micros(),
                    frame(number as u64).as_micros()
                );
            }
            assert_eq!(
                next.captured.since(pictures[0].captured),
                Duration::from_millis(800)
            );
            assert_eq!(source.damage.borrow().dropped_units, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_mp4_file_that_was_cut_off_is_played_as_far_as_it_goes() {
        for (name, least) in [("front.mp4", 12), ("fragments.mp4", 12)] {
            let bytes = std::fs::read(Path::new(DATA).join(name)).unwrap();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes[..bytes.len() * 4 / 5]).unwrap();
            let mut source = open(file.path(), &WANTED).await.unwrap();
            let (pictures, _) = once(&mut source).await;
            assert!(
                (least..24).contains(&pictures.len()),
                "{name}: {}",
                pictures.len()
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_played_is_refused_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let with = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let stream = std::fs::read(Path::new(DATA).join("baseline.h264")).unwrap();
        let idr_ends = memchr::memmem::find_iter(&stream, &[0, 0, 1])
            .find(|&at| stream[at + 3] & 0x1f == 1)
            .unwrap();
        let next_idr = memchr::memmem::find_iter(&stream, &[0, 0, 1])
            .find(|&at| at > idr_ends && stream[at + 3] & 0x1f == 7)
            .unwrap();
        let end = std::fs::read(Path::new(DATA).join("end.mp4")).unwrap();
        for (path, reason) in [
            (directory.path().join("missing"), "No such file"),
            (directory.path().to_owned(), "is a directory"),
            (with("empty", b""), "is empty"),
            (
                with("text", b"This is no video at all, but a text."),
                "nothing in it is H.264",
            ),
            (
                with("no-idr", &stream[idr_ends..next_idr]),
                "none is a key frame",
            ),
            (
                with("matroska", b"\x1a\x45\xdf\xa3 and so on and on"),
                "Matroska",
            ),
            (with("unfinished", &end[..end.len() / 2]), "no `moov`"),
            (
                with("sound.mp4", b"\0\0\0\x08ftyp\0\0\0\x08free"),
                "no `moov`",
            ),
        ] {
            let error = format!("{:#}", open(&path, &WANTED).await.unwrap_err());
            assert!(error.contains(reason), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_vanishes_is_lost_and_played_again_when_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.h264");
        let original = Path::new(DATA).join("small.h264");
        std::fs::copy(&original, &path).unwrap();
        let mut source = open(&path, &WANTED).await.unwrap();
        assert!(source.events.recv().await.is_some());
        std::fs::remove_file(&path).unwrap();
        let lost = |event: &Event| matches!(event, Event::Lost { .. });
        while !lost(&source.events.recv().await.unwrap()) {}
        std::fs::copy(&original, &path).unwrap();
        loop {
            match source.events.recv().await.unwrap() {
                Event::Picture(picture) => {
                    assert!(picture.unit.idr);
                    break;
                }
                event => assert!(lost(&event), "{event:?}"),
            }
        }
        assert_eq!(source.damage.borrow().restarts, 1);
    }
}
