//! `file:PATH`: an H.264 byte stream or the H.264 track of an MP4 file, played in real time and looped.

mod media;
#[cfg(test)]
mod tests;

use std::{
    io::SeekFrom,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use self::media::{FrameRate, Kind, Media, samples, usable_size};
use super::{
    Source, Wanted,
    mp4::Track,
    outlet::{Gone, Outlet},
    pace::Pace,
};
use crate::h264::{AccessUnit, Reader};

const CHUNK: usize = 256 << 10;

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
        let mut samples = samples(track);
        let mut sample = Vec::new();
        for place in &track.samples {
            let Some(size) = usable_size(place.size) else {
                continue;
            };
            sample.resize(size, 0);
            file.seek(SeekFrom::Start(place.offset)).await?;
            file.read_exact(&mut sample).await?;
            let unit = samples.sample(&sample);
            self.outlet.loss(samples.loss());
            if let Some(unit) = unit {
                self.show(unit, track.time(place)).await?;
            }
        }
        self.outlet.reader_is_done(samples.loss());
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
