use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{Client, Host, PATIENCE, Playlist, Segment};

/// One state of a media playlist.
#[derive(Clone, Debug)]
pub struct Revision {
    /// What it said.
    pub playlist: Playlist,
    /// When its last byte was there, since 1970 by this machine's clock.
    pub at: Duration,
}

/// A media object, fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Status.
    pub status: u16,
    /// When the head of the response was there, since 1970.
    pub answered: Duration,
    /// The request went out because of a preload hint.
    pub hinted: bool,
    /// The body.
    pub body: Bytes,
}

/// What a viewer saw of one presentation: every state of its playlist that a viewer sees who reloads it as fast as it
/// changes, and all the media that it named.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The multivariant playlist that led here.
    pub multivariant: String,
    /// The multivariant playlist when watching ended, or the last one that led here.
    pub multivariant_after: String,
    /// States of the media playlist, oldest first; no two have the same position.
    pub revisions: Vec<Revision>,
    /// The answers to the same requests with `_HLS_skip=YES`.
    pub deltas: Vec<Playlist>,
    /// Parts, segments and init segments, by address as written.
    pub media: BTreeMap<String, Fetched>,
    /// Addresses that had left the playlist a moment ago when watching ended, with how long before and what came of
    /// asking for them again.
    pub removed: Vec<(String, Duration, Fetched)>,
}

impl Watched {
    /// Every segment that was listed, in its last and fullest form: with all of its parts, or with none where they had
    /// left the list before they were all seen.
    pub fn segments(&self) -> Vec<Segment> {
        let mut all: BTreeMap<u64, (Segment, bool)> = BTreeMap::new();
        for segment in self
            .revisions
            .iter()
            .flat_map(|seen| &seen.playlist.segments)
        {
            let (known, whole) = all.entry(segment.sequence).or_default();
            let parts = match segment.parts.is_empty() {
                true => std::mem::take(&mut known.parts),
                false => segment.parts.clone(),
            };
            *whole |= segment.uri.is_none() || !segment.parts.is_empty();
            if segment.uri.is_some() && segment.parts.is_empty() && known.uri.is_none() {
                // It was complete, and too old for its parts, when it was seen again.
                *whole = false;
            }
            *known = Segment {
                parts,
                ..segment.clone()
            };
        }
        all.into_values()
            .map(|(segment, whole)| match whole {
                true => segment,
                false => Segment {
                    parts: Vec::new(),
                    ..segment
                },
            })
            .collect()
    }

    /// The newest state.
    pub fn last(&self) -> &Playlist {
        &self
            .revisions
            .last()
            .expect("a presentation is watched from its first playlist on")
            .playlist
    }
}

/// Watches a host's stream for a time, through all of its presentations.
///
/// The playlist is followed by blocking reload; delta updates are asked for at the same positions; each hinted part is
/// asked for as soon as it is hinted, everything else as soon as it is listed. Parts and segments that left the playlist
/// are asked for again at the end.
pub async fn watch(host: &Host, length: Duration) -> Result<Vec<Watched>> {
    let client = host.http2()?;
    let until = Instant::now() + length;
    let mut all = Vec::new();
    let mut path = host.media_playlist_path().await?;
    loop {
        let watched = Viewer::new(&client, &path).await?.follow(until).await?;
        let ended = watched.last().ended;
        all.push(watched);
        if !ended {
            return Ok(all);
        }
        // The playlist that leads on appears with the next presentation; a source that ended has none.
        loop {
            if Instant::now() >= until {
                return Ok(all);
            }
            let next = host.media_playlist_path().await?;
            if next != path {
                path = next;
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Viewer {
    client: Client,
    watched: Watched,
    asked: BTreeSet<String>,
    fetches: JoinSet<Result<(String, Fetched)>>,
    /// When an address was first missing.
    gone: BTreeMap<String, Instant>,
}

impl Viewer {
    async fn new(client: &Client, path: &str) -> Result<Self> {
        let multivariant = text(client, "/cam/live.m3u8").await?;
        let first = Playlist::get(client, path, "").await?;
        let mut viewer = Self {
            client: client.clone(),
            watched: Watched {
                multivariant_after: multivariant.clone(),
                multivariant,
                revisions: Vec::new(),
                deltas: Vec::new(),
                media: BTreeMap::new(),
                removed: Vec::new(),
            },
            asked: BTreeSet::new(),
            fetches: JoinSet::new(),
            gone: BTreeMap::new(),
        };
        viewer.take(first);
        Ok(viewer)
    }

    async fn follow(mut self, until: Instant) -> Result<Watched> {
        while !self.watched.last().ended && Instant::now() < until {
            let last = self.watched.last();
            let (sequence, part) = last.position();
            let path = last.path.clone();
            let query = format!("{path}?_HLS_msn={sequence}&_HLS_part={part}");
            let skip = format!("{query}&_HLS_skip=YES");
            let (full, delta) = tokio::join!(text(&self.client, &query), text(&self.client, &skip));
            self.watched.deltas.push(Playlist::read(&path, &delta?)?);
            self.take(Playlist::read(&path, &full?)?);
        }
        while let Some(fetched) = self.fetches.join_next().await {
            let (uri, fetched) = fetched??;
            self.watched.media.insert(uri, fetched);
        }
        let path = self.watched.last().path.clone();
        for (uri, since) in &self.gone {
            let gone = since.elapsed();
            let again = fetch(
                self.client.clone(),
                crate::client::resolve(&path, uri),
                false,
            );
            self.watched.removed.push((uri.clone(), gone, again.await?));
        }
        let after = text(&self.client, "/cam/live.m3u8").await?;
        // After the end it may lead elsewhere already.
        if !self.watched.last().ended {
            self.watched.multivariant_after = after;
        }
        Ok(self.watched)
    }

    /// Takes a state in, and asks for what is new in it.
    fn take(&mut self, playlist: Playlist) {
        let at = now();
        for segment in &playlist.segments {
            let parts = segment.parts.iter().filter(|part| !part.gap);
            let whole = segment.uri.iter().filter(|_| !segment.gap);
            for uri in parts.map(|part| &part.uri).chain(&segment.map).chain(whole) {
                self.ask(&playlist, uri, false);
            }
        }
        for hint in &playlist.hints {
            if let Some(uri) = hint.get("URI") {
                self.ask(&playlist, uri, true);
            }
        }
        if let Some(before) = self.watched.revisions.last().map(|seen| &seen.playlist) {
            if before.position() == playlist.position() && before.ended == playlist.ended {
                return;
            }
            let listed = addresses(&playlist);
            for uri in addresses(before).difference(&listed) {
                self.gone.insert(uri.clone(), Instant::now());
            }
        }
        self.watched.revisions.push(Revision { playlist, at });
    }

    fn ask(&mut self, playlist: &Playlist, uri: &str, hinted: bool) {
        if self.asked.insert(uri.to_owned()) {
            let request = fetch(self.client.clone(), playlist.resolve(uri), hinted);
            let uri = uri.to_owned();
            self.fetches.spawn(async move { Ok((uri, request.await?)) });
        }
    }
}

/// Addresses of parts and segments.
fn addresses(playlist: &Playlist) -> BTreeSet<String> {
    let segments = playlist.segments.iter();
    segments
        .flat_map(|segment| {
            let parts = segment.parts.iter().map(|part| part.uri.clone());
            parts.chain(segment.uri.clone())
        })
        .collect()
}

async fn text(client: &Client, path: &str) -> Result<String> {
    let body = client.fetch(path).await?;
    Ok(std::str::from_utf8(&body)
        .with_context(|| format!("{path} is not UTF-8"))?
        .to_owned())
}

async fn fetch(client: Client, path: String, hinted: bool) -> Result<Fetched> {
    let exchange = async {
        let response = client.open(&path).await?;
        let (status, answered) = (response.status().as_u16(), now());
        let length = response.content_length();
        let body = response
            .bytes()
            .await
            .with_context(|| format!("the body of {path}"))?;
        ensure!(
            length == Some(body.len() as u64),
            "{path}: content-length is {length:?}, and {} bytes came",
            body.len()
        );
        Ok(Fetched {
            status,
            answered,
            hinted,
            body,
        })
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("GET {path}: no end"))?
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
