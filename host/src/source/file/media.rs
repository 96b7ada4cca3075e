//! What is in a file.

use std::{io::SeekFrom, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::{
    super::{Nominal, Wanted, mp4::Track},
    CHUNK,
};
use crate::h264::{AccessUnit, MAX_UNIT, Reader, SampleReader};

/// How much of a byte stream is looked through for a second key frame, to know how far apart they are.
const LOOK_AHEAD: u64 = 64 << 20;

/// What is in the file.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) kind: Kind,
    pub(super) nominal: Nominal,
    /// Size and rate.
    pub(super) description: String,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A byte stream, with a picture each `Duration`.
    Stream(FrameRate),
    Mp4(Arc<Track>),
}

/// Pictures a second, as a fraction.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameRate {
    pub(super) pictures: u32,
    pub(super) seconds: u32,
}

impl FrameRate {
    /// When a picture is due.
    pub(super) fn time(self, number: u64) -> Duration {
        let (pictures, number) = (u64::from(self.pictures), number * u64::from(self.seconds));
        let rest = (number % pictures) * 1_000_000_000 / pictures;
        Duration::from_secs(number / pictures) + Duration::from_nanos(rest)
    }
}

impl Media {
    pub(super) async fn open(path: &Path, wanted: &Wanted) -> anyhow::Result<Self> {
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
            let mut samples = samples(&track);
            let mut sample = Vec::new();
            let first = track.samples.iter().find_map(|place| {
                use std::os::unix::fs::FileExt;
                sample.resize(usable_size(place.size)?, 0);
                file.read_exact_at(&mut sample, place.offset).ok()?;
                samples.sample(&sample)
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

pub(super) fn usable_size(size: u32) -> Option<usize> {
    usize::try_from(size).ok().filter(|&size| size <= MAX_UNIT)
}

/// A reader for the samples of a track.
pub(super) fn samples(track: &Track) -> SampleReader {
    let sets = track.parameter_sets.iter().map(Vec::as_slice);
    SampleReader::new(track.length_size, sets)
}
