use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use crate::{Client, client::resolve};

/// One line of a playlist that begins with `#EXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Name, as in `EXT-X-PART`.
    pub name: String,
    /// What follows the colon; empty without one.
    pub value: String,
}

/// An attribute list (RFC 8216bis section 4.2). Quotes are taken off the values.
pub type Attributes = BTreeMap<String, String>;

/// A part as the playlist lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As written.
    pub uri: String,
    /// DURATION, exact.
    pub duration: Duration,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
}

/// A segment as the playlist lists it. The last one may have parts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Media sequence number.
    pub sequence: u64,
    /// As written; none while the segment is growing.
    pub uri: Option<String>,
    /// EXTINF, exact; none while the segment is growing.
    pub duration: Option<Duration>,
    /// URI of the EXT-X-MAP in force.
    pub map: Option<String>,
    /// EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// EXT-X-GAP stands before it.
    pub gap: bool,
    /// EXT-X-PROGRAM-DATE-TIME, as written.
    pub program_date_time: Option<String>,
    /// Its parts, as far as they are listed.
    pub parts: Vec<Part>,
    /// Names of the tags that belong to it, in order.
    pub order: Vec<String>,
}

/// A media playlist: read by a reader of our own that knows the low-latency tags, after `m3u8-rs` has accepted it.
#[derive(Clone, Debug)]
pub struct Playlist {
    /// Path it was fetched from, without its query.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// What `m3u8-rs` made of it.
    pub parsed: m3u8_rs::MediaPlaylist,
    /// Every tag, in order.
    pub tags: Vec<Tag>,
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: u64,
    /// PART-TARGET of EXT-X-PART-INF; zero without one.
    pub part_target: Duration,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Attributes,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// SKIPPED-SEGMENTS of EXT-X-SKIP: this many segments from `media_sequence` on are left out.
    pub skipped: u64,
    /// Listed segments, oldest first; the last may be growing.
    pub segments: Vec<Segment>,
    /// EXT-X-PRELOAD-HINT.
    pub hints: Vec<Attributes>,
    /// EXT-X-RENDITION-REPORT.
    pub reports: Vec<Attributes>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

impl Playlist {
    /// Fetches and reads a playlist. The query goes without its `?`, and may be empty.
    pub async fn get(client: &Client, path: &str, query: &str) -> Result<Self> {
        let address = match query {
            "" => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let text = client.fetch(&address).await?;
        Self::read(
            path,
            std::str::from_utf8(&text).context("a playlist is UTF-8")?,
        )
        .with_context(|| format!("reading {address}"))
    }

    /// Fetches it again, waiting for what follows its end: the next part, with blocking reload.
    pub async fn next(&self, client: &Client) -> Result<Self> {
        let (sequence, part) = self.position();
        Self::get(
            client,
            &self.path,
            &format!("_HLS_msn={sequence}&_HLS_part={part}"),
        )
        .await
    }

    /// Sequence number and part number of what comes next.
    pub fn position(&self) -> (u64, u64) {
        match self.segments.last() {
            Some(last) if last.uri.is_none() => (last.sequence, last.parts.len() as u64),
            Some(last) => (last.sequence + 1, 0),
            None => (self.media_sequence + self.skipped, 0),
        }
    }

    /// Finished segments.
    pub fn complete(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.uri.is_some())
    }

    /// A listed address as a path to be asked for.
    pub fn resolve(&self, uri: &str) -> String {
        resolve(&self.path, uri)
    }

    /// Fetches every init segment, segment and part that is listed now; each must answer 200. In the order of the list,
    /// by address as written.
    pub async fn media(&self, client: &Client) -> Result<Vec<(String, Bytes)>> {
        let mut fetched: Vec<(String, Bytes)> = Vec::new();
        for segment in &self.segments {
            let parts = segment
                .parts
                .iter()
                .filter(|part| !part.gap)
                .map(|part| &part.uri);
            let whole = segment.uri.iter().filter(|_| !segment.gap);
            for uri in segment.map.iter().chain(parts).chain(whole) {
                if !fetched.iter().any(|(known, _)| known == uri) {
                    fetched.push((uri.clone(), client.fetch(&self.resolve(uri)).await?));
                }
            }
        }
        Ok(fetched)
    }

    /// Reads a playlist's text.
    pub fn read(path: &str, text: &str) -> Result<Self> {
        ensure!(
            text.starts_with("#EXTM3U\n"),
            "the first line is not #EXTM3U:\n{text}"
        );
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes())
            .map_err(|error| anyhow::anyhow!("m3u8-rs can't read it: {error}\n{text}"))?;
        let mut playlist = Self {
            path: path.split('?').next().unwrap_or(path).to_owned(),
            text: text.to_owned(),
            parsed,
            tags: Vec::new(),
            target_duration: 0,
            part_target: Duration::ZERO,
            server_control: Attributes::new(),
            media_sequence: 0,
            discontinuity_sequence: 0,
            skipped: 0,
            segments: Vec::new(),
            hints: Vec::new(),
            reports: Vec::new(),
            ended: false,
        };
        let mut open = Segment::default();
        for line in text.lines() {
            playlist
                .line(line, &mut open)
                .with_context(|| format!("in the line {line:?} of\n{text}"))?;
        }
        if !open.parts.is_empty() {
            open.sequence = playlist.next_sequence();
            playlist.segments.push(open);
        }
        Ok(playlist)
    }

    fn next_sequence(&self) -> u64 {
        self.media_sequence + self.skipped + self.segments.len() as u64
    }

    /// Takes one line in; `open` is the segment to which it belongs, if it belongs to one.
    fn line(&mut self, line: &str, open: &mut Segment) -> Result<()> {
        if line.is_empty() || (line.starts_with('#') && !line.starts_with("#EXT")) {
            return Ok(());
        }
        let Some(tag) = line.strip_prefix('#') else {
            open.uri = Some(line.to_owned());
            open.sequence = self.next_sequence();
            let map = open.map.clone();
            self.segments.push(std::mem::take(open));
            open.map = map;
            return Ok(());
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        self.tags.push(Tag {
            name: name.into(),
            value: value.into(),
        });
        match name {
            "EXT-X-TARGETDURATION" => self.target_duration = value.parse()?,
            "EXT-X-MEDIA-SEQUENCE" => self.media_sequence = value.parse()?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => self.discontinuity_sequence = value.parse()?,
            "EXT-X-PART-INF" => {
                self.part_target = seconds(required(&attributes(value)?, "PART-TARGET")?)?
            }
            "EXT-X-SERVER-CONTROL" => self.server_control = attributes(value)?,
            "EXT-X-SKIP" => {
                self.skipped = required(&attributes(value)?, "SKIPPED-SEGMENTS")?.parse()?
            }
            "EXT-X-PRELOAD-HINT" => self.hints.push(attributes(value)?),
            "EXT-X-RENDITION-REPORT" => self.reports.push(attributes(value)?),
            "EXT-X-ENDLIST" => self.ended = true,
            "EXTINF" => open.duration = Some(seconds(value.split(',').next().unwrap_or_default())?),
            "EXT-X-MAP" => open.map = Some(required(&attributes(value)?, "URI")?.to_owned()),
            "EXT-X-DISCONTINUITY" => open.discontinuity = true,
            "EXT-X-GAP" => open.gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => open.program_date_time = Some(value.to_owned()),
            "EXT-X-PART" => {
                let attributes = attributes(value)?;
                let yes = |name| attributes.get(name).is_some_and(|value| value == "YES");
                open.parts.push(Part {
                    uri: required(&attributes, "URI")?.to_owned(),
                    duration: seconds(required(&attributes, "DURATION")?)?,
                    independent: yes("INDEPENDENT"),
                    gap: yes("GAP"),
                });
            }
            _ => {}
        }
        let of_segment = [
            "EXTINF",
            "EXT-X-MAP",
            "EXT-X-DISCONTINUITY",
            "EXT-X-GAP",
            "EXT-X-PROGRAM-DATE-TIME",
            "EXT-X-PART",
        ];
        if of_segment.contains(&name) {
            open.order.push(name.to_owned());
        }
        Ok(())
    }
}

fn required<'a>(attributes: &'a Attributes, name: &str) -> Result<&'a str> {
    attributes
        .get(name)
        .map(String::as_str)
        .with_context(|| format!("{name} is missing"))
}

/// Decimal seconds, exact to the nanosecond.
fn seconds(text: &str) -> Result<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    ensure!(
        fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit()),
        "{text:?} is not a decimal number of seconds"
    );
    Ok(Duration::new(
        whole
            .parse()
            .with_context(|| format!("{text:?} is not a number"))?,
        format!("{fraction:0<9}").parse()?,
    ))
}

fn attributes(list: &str) -> Result<Attributes> {
    let mut attributes = Attributes::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .with_context(|| format!("{rest:?} is no attribute"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').context("a quote is not closed")?;
                (value, after)
            }
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if attributes
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            bail!("the attribute {name} is there twice");
        }
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => bail!("{after:?} should begin with a comma"),
        };
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.133334\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.4\n#EXT-X-MEDIA-SEQUENCE:7\n\
        #EXT-X-MAP:URI=\"a,b.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2025-01-01T00:00:00.000Z\n#EXTINF:1.000001,\n7.m4s\n\
        #EXT-X-PART:DURATION=0.133333,URI=\"p1.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.133334,URI=\"p2.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p3.m4s\"\n";

    #[test]
    fn parts_after_the_last_address_are_the_growing_segment() {
        let playlist = Playlist::read("/cam/x/media.m3u8?_HLS_msn=7", LIVE).unwrap();
        assert_eq!(playlist.path, "/cam/x/media.m3u8");
        assert_eq!(playlist.segments.len(), 2);
        assert_eq!(
            playlist.segments[0].duration,
            Some(Duration::from_micros(1_000_001))
        );
        let growing = &playlist.segments[1];
        assert_eq!((growing.sequence, growing.uri.as_deref()), (8, None));
        assert_eq!(growing.map.as_deref(), Some("a,b.mp4"));
        assert!(growing.parts[0].independent && !growing.parts[1].independent);
        assert_eq!(growing.parts[1].duration, playlist.part_target);
        assert_eq!(playlist.position(), (8, 2));
        assert_eq!(playlist.server_control["PART-HOLD-BACK"], "0.4");
    }

    #[test]
    fn skipped_segments_count() {
        let delta = LIVE.replace(
            "#EXT-X-MAP:URI=\"a,b.mp4\"\n",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n",
        );
        let playlist = Playlist::read("/", &delta).unwrap();
        assert_eq!(playlist.segments[0].sequence, 10);
        assert_eq!(playlist.position(), (11, 2));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for wrong in ["0,133", "x", "-1", "1.0000000001"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        for wrong in ["A=1,A=2", "A=\"1", "A", "A=\"1\"B=2"] {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }
}
