//! Viewers who ask two thousand times a second, as far as the machine can.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, Host, PATIENCE, Playlist, token};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// Viewers, and how often each asks.
const VIEWERS: usize = 40;
const PACE: Duration = Duration::from_millis(20);
/// Permissions that each of them goes through.
const TOKENS: usize = 5;

/// Who asks.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    viewers: JoinSet<Result<Duration>>,
}

/// What came of it.
pub struct Ends {
    /// Requests that were answered, with 200.
    pub answered: u64,
    /// The slowest answer of those that nothing holds.
    pub slowest: Duration,
}

/// Waits until there are parts to be had, and returns the playlist.
pub async fn playing(client: &Client, at: &str) -> Result<Playlist> {
    let began = Instant::now();
    loop {
        let reply = client.get(&format!("{at}/cam/live.m3u8")).await?;
        let text = reply.text();
        let media = text.lines().find(|line| !line.starts_with('#'));
        if let (200, Some(media)) = (reply.status, media) {
            let playlist = Playlist::get(client, &format!("{at}/cam/{media}"), "").await?;
            if newest(&playlist).is_some() {
                return Ok(playlist);
            }
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{at} answers {}: {text}",
            reply.status
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// The address of the newest part.
fn newest(playlist: &Playlist) -> Option<&str> {
    let parts = playlist.segments.iter().flat_map(|segment| &segment.parts);
    parts.last().map(|part| &*part.uri)
}

impl Load {
    /// Starts them. One more follows the playlist, and tells them of the newest part.
    pub async fn start(host: &Host) -> Result<Self> {
        let client = host.http2()?;
        let at = format!("/~{}", token::lasting(4_000)?);
        let playlist = playing(&client, &at).await?;
        let media = playlist.path[at.len()..].to_owned();
        let part = |playlist: &Playlist, at: &str| -> Result<String> {
            let part = newest(playlist).context("a playlist without parts")?;
            Ok(playlist.resolve(part)[at.len()..].to_owned())
        };
        let (tell, told) = watch::channel(part(&playlist, &at)?);
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            viewers: JoinSet::new(),
        };
        let (stop, answered) = (load.stop.clone(), load.answered.clone());
        load.viewers.spawn(async move {
            let mut playlist = playlist;
            while !stop.load(Ordering::Relaxed) {
                playlist = playlist.next(&client).await?;
                answered.fetch_add(1, Ordering::Relaxed);
                tell.send_replace(part(&playlist, &at)?);
            }
            Ok(Duration::ZERO)
        });
        for n in 0..VIEWERS {
            let doors = (0..TOKENS)
                .map(|m| token::lasting(10_000 + (n * TOKENS + m) as u64))
                .map(|token| token.map(|token| format!("/~{token}")))
                .collect::<Result<Vec<_>>>()?;
            let viewer = Viewer {
                client: host.http1()?,
                doors,
                media: media.clone(),
                part: told.clone(),
            };
            load.viewers
                .spawn(viewer.ask(load.stop.clone(), load.answered.clone()));
        }
        Ok(load)
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<Ends> {
        self.stop.store(true, Ordering::Relaxed);
        let mut slowest = Duration::ZERO;
        while let Some(viewer) = self.viewers.join_next().await {
            slowest = slowest.max(viewer??);
        }
        Ok(Ends {
            answered: self.answered.load(Ordering::Relaxed),
            slowest,
        })
    }
}

struct Viewer {
    client: Client,
    /// What stands in front of addresses.
    doors: Vec<String>,
    media: String,
    part: watch::Receiver<String>,
}

impl Viewer {
    /// Asks for playlists and parts in turn, until it is told to stop. Returns how long the slowest answer took.
    async fn ask(self, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Result<Duration> {
        let mut slowest = Duration::ZERO;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            pace.tick().await;
            let door = &self.doors[n % self.doors.len()];
            let path = match n % 4 {
                0 => format!("{door}/cam/live.m3u8"),
                1 => format!("{door}{}", self.media),
                _ => format!("{door}{}", *self.part.borrow()),
            };
            let began = Instant::now();
            let body = self.client.fetch(&path).await?;
            slowest = slowest.max(began.elapsed());
            ensure!(!body.is_empty(), "{path} is empty");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(slowest)
    }
}
