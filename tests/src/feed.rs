use std::{
    collections::HashMap,
    io::{ErrorKind, Write},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;

use crate::media;

/// Which picture of a clip a slice belongs to: no two are the same.
#[derive(Clone, Debug)]
pub struct Pictures(HashMap<Vec<u8>, usize>);

impl Pictures {
    /// Of pictures with the delimiters that end them, as [`Clip::ended_units`](crate::Clip::ended_units) has them.
    pub fn of(pictures: &[Vec<u8>]) -> Self {
        let slices = pictures.iter().enumerate().filter_map(|(number, picture)| {
            let mut nals = media::annex_b(picture);
            // The last one is the delimiter.
            nals.pop();
            Some((nals.pop()?.to_vec(), number))
        });
        Self(slices.collect())
    }

    /// The picture that a part ends with.
    ///
    /// # Errors
    /// It is no part, or ends with another picture.
    pub fn last_of(&self, part: &Bytes) -> Result<usize> {
        let fragments = media::fragments(part)?;
        let samples = &fragments.last().context("a part without media")?.samples;
        let slice = samples.last().and_then(|sample| sample.nals.last());
        self.0
            .get(&slice.context("a fragment without media")?[..])
            .copied()
            .context("a part ends with a picture that was never sent")
    }
}

/// Writes pictures to pipes in real time, over and over, and keeps account of when. For measurements: several programs
/// get the same bytes at the same moments.
///
/// It ends when it is told to, or when nobody reads any more. Unlike [`Camera`](crate::Camera) it runs in this process,
/// so that moments of writing and of receiving are read from one clock.
#[derive(Debug)]
pub struct Feed {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<Vec<Sent>>>,
}

/// A picture that was written.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Which one of the pictures.
    pub picture: usize,
    /// When its last byte was in the (last) pipe.
    pub at: SystemTime,
}

impl Sent {
    /// When a picture was written the last time before it was seen.
    ///
    /// # Errors
    /// It never was.
    pub fn before(all: &[Self], picture: usize, seen: SystemTime) -> Result<SystemTime> {
        let last = all.iter().rev();
        last.filter(|sent| sent.picture == picture)
            .map(|sent| sent.at)
            .find(|at| *at <= seen)
            .context("a picture was received that was never sent")
    }
}

impl Feed {
    /// Starts a thread that writes these pictures, so many a second, to each of the pipes.
    pub fn start(
        pictures: Vec<Vec<u8>>,
        fps: u32,
        mut pipes: Vec<Box<dyn Write + Send>>,
    ) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || feed(&pictures, fps, &mut pipes, &stopped))
            .context("starting a thread that feeds pictures")?;
        Ok(Self { stop, thread })
    }

    /// Stops it, and tells what was written when.
    pub fn stop(self) -> Result<Vec<Sent>> {
        // It may have ended by itself; joining tells.
        let _ = self.stop.send(());
        self.thread
            .join()
            .map_err(|_| anyhow!("the thread that feeds pictures panicked"))?
    }
}

fn feed(
    pictures: &[Vec<u8>],
    fps: u32,
    pipes: &mut [Box<dyn Write + Send>],
    stopped: &mpsc::Receiver<()>,
) -> Result<Vec<Sent>> {
    let start = Instant::now();
    let mut sent = Vec::new();
    for (count, (picture, bytes)) in (0_u32..).zip(pictures.iter().enumerate().cycle()) {
        let due = start + Duration::from_secs(1) * count / fps;
        match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(sent),
        }
        for pipe in &mut *pipes {
            match pipe.write_all(bytes).and_then(|()| pipe.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(sent),
                written => written.context("feeding a picture")?,
            }
        }
        sent.push(Sent {
            picture,
            at: SystemTime::now(),
        });
    }
    Ok(sent)
}

/// Milliseconds from one moment to another, below zero if it is the earlier one.
pub fn millis_between(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(later) => later.as_secs_f64() * 1e3,
        Err(earlier) => -earlier.duration().as_secs_f64() * 1e3,
    }
}

/// The number below which this share of the sorted numbers lies; not a number without any.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        assert_eq!(percentile(&[1.0, 2.0, 9.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 9.0], 0.99), 9.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn every_reader_gets_the_same_pictures_in_turn() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let pipes: Vec<Box<dyn Write + Send>> =
            vec![Box::new(writer.try_clone().unwrap()), Box::new(writer)];
        let feed = Feed::start(vec![b"a".to_vec(), b"b".to_vec()], 100, pipes).unwrap();
        let mut first = [0; 6];
        std::io::Read::read_exact(&mut reader, &mut first).unwrap();
        assert_eq!(&first, b"aabbaa");
        let sent = feed.stop().unwrap();
        assert!(sent.len() >= 2 && sent[1].picture == 1, "{sent:?}");
    }
}
