//! Follows an MPD as a player does, and keeps all that it saw.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use dash_mpd_core::{AdaptationSet, MPD, Period, Representation, SegmentTemplate};
use tokio::task::JoinSet;

use crate::{Client, Host, PATIENCE};

/// Where the MPD is.
pub const MPD_PATH: &str = "/cam/live.mpd";

const NUMBER: &str = "$Number$";

/// An MPD, read by `dash-mpd-core`.
#[derive(Clone, Debug)]
pub struct Mpd {
    /// As it was sent.
    pub text: String,
    /// As it was read.
    pub read: MPD,
}

/// A period of an MPD with what it consists of, none of which may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The period.
    pub period: &'a Period,
    /// Its one adaptation set.
    pub set: &'a AdaptationSet,
    /// The template of that.
    pub template: &'a SegmentTemplate,
    /// The one representation.
    pub representation: &'a Representation,
    /// No segment follows its last one.
    pub over: bool,
}

/// A segment that an MPD lists, or expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `$Number$`.
    pub number: u64,
    /// Media time of its start, in the template's timescale.
    pub start: u64,
    /// In the same.
    pub duration: u64,
    /// It grows, or is only expected.
    pub open: bool,
}

impl Mpd {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self> {
        let read = dash_mpd_core::parse(text)
            .with_context(|| format!("dash-mpd-core can't read\n{text}"))?;
        let text = text.to_owned();
        Ok(Self { text, read })
    }

    /// Fetches and reads it.
    pub async fn get(client: &Client) -> Result<Self> {
        let body = client.fetch(MPD_PATH).await?;
        Self::parse(std::str::from_utf8(&body).context("an MPD is UTF-8")?)
    }

    /// Waits until there is one.
    pub async fn first(host: &Host) -> Result<Self> {
        let client = host.http1()?;
        let began = Instant::now();
        loop {
            let reply = client.get(MPD_PATH).await?;
            if reply.status == 200 {
                return Self::parse(&reply.text());
            }
            ensure!(
                reply.status == 503 && began.elapsed() < PATIENCE,
                "{MPD_PATH} answers {}: {}\nThe host said:\n{}",
                reply.status,
                reply.text(),
                host.said()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its periods, taken apart.
    pub fn periods(&self) -> Result<Vec<Parts<'_>>> {
        let last = self.read.periods.len().saturating_sub(1);
        let periods = self.read.periods.iter().enumerate();
        periods
            .map(|(at, period)| Parts::of(period, at < last))
            .collect()
    }

    /// The period that is growing, or was the last to.
    pub fn last(&self) -> Result<Parts<'_>> {
        let last = self.read.periods.last();
        Parts::of(last.context("an MPD without a period")?, false)
    }
}

impl<'a> Parts<'a> {
    fn of(period: &'a Period, followed: bool) -> Result<Self> {
        let [set] = &period.adaptations[..] else {
            anyhow::bail!("{} adaptation sets", period.adaptations.len());
        };
        let [representation] = &set.representations[..] else {
            anyhow::bail!("{} representations", set.representations.len());
        };
        let template = set.SegmentTemplate.as_ref().context("no SegmentTemplate")?;
        Ok(Self {
            period,
            set,
            template,
            representation,
            over: followed || period.duration.is_some(),
        })
    }

    /// Its id.
    pub fn id(&self) -> &'a str {
        self.period.id.as_deref().unwrap_or_default()
    }

    /// The path of its segments, in which `$Number$` stands once.
    pub fn media(&self) -> Result<String> {
        let media = self.template.media.as_deref().context("no @media")?;
        ensure!(
            media.matches(NUMBER).count() == 1,
            "@media is {media}, without one {NUMBER}"
        );
        Ok(crate::client::resolve(MPD_PATH, media))
    }

    /// The path of a segment.
    pub fn segment(&self, number: u64) -> Result<String> {
        Ok(self.media()?.replace(NUMBER, &number.to_string()))
    }

    /// The path of the init segment.
    pub fn init(&self) -> Result<String> {
        let address = self.template.initialization.as_deref();
        let address = address.context("no @initialization")?;
        Ok(crate::client::resolve(MPD_PATH, address))
    }

    /// The segments of its SegmentTimeline; `None` if it has none.
    pub fn timeline(&self) -> Option<Vec<Listed>> {
        let timeline = self.template.SegmentTimeline.as_ref()?;
        let mut number = self.template.startNumber.unwrap_or(1);
        let mut listed = Vec::new();
        let mut start = 0;
        let growing = timeline
            .segments
            .len()
            .checked_sub(1)
            .filter(|_| !self.over);
        for (at, s) in timeline.segments.iter().enumerate() {
            start = s.t.unwrap_or(start);
            let repeat = s.r.unwrap_or(0);
            for _ in 0..=repeat.max(0) {
                listed.push(Listed {
                    number,
                    start,
                    duration: s.d,
                    open: growing == Some(at),
                });
                number += 1;
                start += s.d;
            }
        }
        Some(listed)
    }
}

/// One state of the MPD.
#[derive(Clone, Debug)]
pub struct Revision {
    /// What it said.
    pub mpd: Mpd,
    /// When it was there, since 1970 by this machine's clock.
    pub at: Duration,
}

/// A segment as it came.
#[derive(Clone, Debug)]
pub struct Grown {
    /// Status.
    pub status: u16,
    /// It had a length when it began.
    pub complete: bool,
    /// The body.
    pub body: Bytes,
    /// How much of it was there, and when (since 1970).
    pub arrivals: Vec<(usize, Duration)>,
    /// When it was asked for.
    pub asked: Duration,
}

impl Grown {
    /// It is what follows the last segment of a period: `styp` alone, which says so.
    pub fn is_none(&self) -> Result<bool> {
        let boxes = crate::media::boxes(self.body.clone())?;
        let [only] = &boxes[..] else {
            return Ok(false);
        };
        let last = only.bytes.windows(4).any(|brand| brand == b"lmsg");
        Ok(only.kind == "styp" && last)
    }
}

/// What was seen of a stream.
#[derive(Clone, Debug, Default)]
pub struct WatchedMpd {
    /// States of the MPD, oldest first; no two say the same.
    pub revisions: Vec<Revision>,
    /// Init segments, by path.
    pub inits: BTreeMap<String, Bytes>,
    /// Segments, by period and number. Those at the live edge were asked for before they began.
    pub segments: BTreeMap<(String, u64), Grown>,
}

impl WatchedMpd {
    /// The newest state.
    pub fn last(&self) -> &Mpd {
        let last = self.revisions.last();
        &last.expect("an MPD is watched from its first state on").mpd
    }
}

/// Watches a host's MPD for a time. It is looked at twice a second; of each period, segments are asked for one after the
/// other, from the last one that there is to the one that is refused or empty.
pub async fn watch_mpd(host: &Host, length: Duration) -> Result<WatchedMpd> {
    let client = host.http2()?;
    let first = Mpd::first(host).await?;
    let until = Instant::now() + length;
    let mut watched = WatchedMpd::default();
    let mut followed = BTreeSet::new();
    let mut followers = JoinSet::new();
    let mut mpd = first;
    loop {
        for parts in mpd.periods()? {
            if !followed.insert(parts.id().to_owned()) {
                continue;
            }
            let init = parts.init()?;
            let body = client.fetch(&init).await?;
            watched.inits.insert(init, body);
            let from = first_number(&client, &mpd, &parts).await?;
            followers.spawn(follow(
                client.clone(),
                parts.id().to_owned(),
                parts.media()?,
                from,
                until,
            ));
        }
        let known = watched.revisions.last().map(|seen| &seen.mpd.text);
        if known != Some(&mpd.text) {
            watched.revisions.push(Revision {
                mpd: mpd.clone(),
                at: now(),
            });
        }
        if Instant::now() >= until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        mpd = Mpd::get(&client).await?;
    }
    while let Some(followed) = followers.join_next().await {
        watched.segments.extend(followed??);
    }
    Ok(watched)
}

/// The number to begin with: the first that is listed; where segments are counted, that of the present.
async fn first_number(client: &Client, mpd: &Mpd, parts: &Parts<'_>) -> Result<u64> {
    if let Some(listed) = parts.timeline() {
        return listed
            .first()
            .map(|listed| listed.number)
            .context("an empty timeline");
    }
    let start = parts.template.startNumber.unwrap_or(1);
    let now = client.fetch("/cam/time").await?;
    let now = chrono::DateTime::parse_from_rfc3339(std::str::from_utf8(&now)?)?;
    let begun = mpd
        .read
        .availabilityStartTime
        .context("no availabilityStartTime")?;
    let into = (now.to_utc() - begun).to_std().unwrap_or_default();
    let into = into.saturating_sub(parts.period.start.unwrap_or_default());
    let length = parts.template.duration.context("no @duration")? / 1e6;
    Ok(start + (into.as_secs_f64() / length) as u64)
}

async fn follow(
    client: Client,
    period: String,
    media: String,
    from: u64,
    until: Instant,
) -> Result<BTreeMap<(String, u64), Grown>> {
    let mut segments = BTreeMap::new();
    for number in from.. {
        let path = media.replace(NUMBER, &number.to_string());
        let grown = fetch(&client, &path).await?;
        let over = grown.status != 200 || grown.is_none()?;
        segments.insert((period.clone(), number), grown);
        if over || Instant::now() >= until {
            break;
        }
    }
    Ok(segments)
}

async fn fetch(client: &Client, path: &str) -> Result<Grown> {
    let asked = now();
    let exchange = async {
        let mut response = client.open(path).await?;
        let mut grown = Grown {
            status: response.status().as_u16(),
            complete: response.content_length().is_some(),
            body: Bytes::new(),
            arrivals: Vec::new(),
            asked,
        };
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await? {
            body.extend_from_slice(&piece);
            grown.arrivals.push((body.len(), now()));
        }
        grown.body = body.freeze();
        anyhow::Ok(grown)
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .with_context(|| format!("GET {path}: no end"))?
        .with_context(|| format!("GET {path}"))
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
