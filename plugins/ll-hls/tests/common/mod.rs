//! A made-up stream, asked at any position, and just enough reading of playlists to check what was written.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::HashMap;

use ll_hls::LlHls;
use picam_plugin::{Config, KeyValue, Plugin, Position, playlist::*};

/// 200 ms, as six frames of 33,333 µs.
pub const PART: u64 = 199_998;
/// What the host's timing says: the part, and room for a drifting clock.
pub const PART_TARGET: u64 = 202_000;
pub const TARGET_DURATION: u32 = 2;
/// 2026-11-25T00:00:00Z
pub const START: u64 = 1_795_564_800_000_000;
/// Sequence number of the first segment of a stream.
pub const FIRST: u64 = 1_000;

/// A segment of the script.
#[derive(Clone, Debug)]
pub struct Scripted {
    pub parts: Vec<u64>,
    pub discontinuity: bool,
    pub init: u32,
    /// It shows the slate, since then.
    pub lost_since: Option<u64>,
    /// Correction of the wall clock that shows from here on.
    pub correction: u64,
}

impl Scripted {
    fn duration(&self) -> u64 {
        self.parts.iter().sum()
    }
}

/// A whole stream, of which [`Stream::at`] shows the window at a position.
#[derive(Clone, Debug)]
pub struct Stream {
    pub script: Vec<Scripted>,
    pub window: u64,
    pub timing: Timing,
    /// As hosts do: parts of segments that ended longer ago are forgotten.
    pub keeps_parts: u64,
}

impl Stream {
    /// Segments of five parts each.
    pub fn new(segments: usize) -> Self {
        let segment = Scripted {
            parts: vec![PART; 5],
            discontinuity: false,
            init: 1,
            lost_since: None,
            correction: 0,
        };
        Self {
            script: vec![segment; segments],
            window: 30_000_000,
            timing: Timing {
                part_target: PART_TARGET,
                target_duration: TARGET_DURATION,
                segment: 1_000_000,
                frame: 33_333,
                window: 30_000_000,
            },
            keeps_parts: 6 * 2_000_000,
        }
    }

    /// The presentation after `complete` segments and `parts` parts of the next.
    pub fn at(&self, complete: usize, parts: usize) -> Presentation {
        let mut serial = 0;
        let mut start = 0;
        let mut segments = Vec::new();
        for (index, scripted) in self.script.iter().enumerate().take(complete + 1) {
            let sequence = FIRST + index as u64;
            let is_complete = index < complete;
            let count = if is_complete {
                scripted.parts.len()
            } else {
                parts
            };
            let parts: Vec<_> = scripted.parts[..count]
                .iter()
                .enumerate()
                .map(|(at, duration)| Part {
                    path: format!("part-{}.m4s", serial + at),
                    duration: *duration,
                    independent: at == 0,
                    size: 50_000,
                })
                .collect();
            segments.push(Segment {
                sequence,
                path: format!("segment-{sequence}.m4s"),
                init: format!("init-{}.mp4", scripted.init),
                start,
                captured: START + start + scripted.correction,
                duration: parts.iter().map(|part| part.duration).sum(),
                size: parts.iter().map(|part| part.size).sum(),
                discontinuity: scripted.discontinuity,
                lost_since: scripted.lost_since,
                complete: is_complete,
                parts,
            });
            serial += count;
            start += scripted.duration();
        }
        let complete_duration = |segments: &[Segment]| -> u64 {
            segments
                .iter()
                .filter(|segment| segment.complete)
                .map(|segment| segment.duration)
                .sum()
        };
        let mut discontinuity_sequence = 0;
        while complete_duration(&segments[1..]) >= self.window {
            discontinuity_sequence += u64::from(segments.remove(0).discontinuity);
        }
        let mut age = 0;
        for segment in segments.iter_mut().rev().filter(|segment| segment.complete) {
            if age > self.keeps_parts {
                segment.parts.clear();
            }
            age += segment.duration;
        }
        Presentation {
            id: "5f3a".into(),
            epoch: START,
            ended: false,
            superseded: false,
            timing: self.timing,
            renditions: vec![Rendition {
                id: "video".into(),
                codecs: "avc1.64001f".into(),
                width: 1280,
                height: 720,
                frame_rate_milli: 29_970,
                peak_bitrate: 2_400_001,
                average_bitrate: 2_000_000,
                position: Position {
                    sequence: FIRST + complete as u64,
                    parts: parts as u32,
                },
                discontinuity_sequence,
                segments,
                periods: Vec::new(),
                next_part: Some(format!("part-{serial}.m4s")),
                next_init: None,
            }],
        }
    }

    /// The presentation after `complete` segments, the last of all.
    pub fn ended(&self, complete: usize) -> Presentation {
        let mut presentation = self.at(complete, 0);
        presentation.ended = true;
        let rendition = &mut presentation.renditions[0];
        rendition.segments.retain(|segment| segment.complete);
        rendition.next_part = None;
        presentation
    }

    /// Every position from `from` complete segments to before `to`, in the order of publication.
    pub fn positions(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
        (from..to).flat_map(|segment| {
            (0..self.script[segment].parts.len()).map(move |parts| (segment, parts))
        })
    }
}

/// The plugin with its defaults.
pub fn plugin() -> LlHls {
    LlHls::start(&Config::default()).unwrap()
}

pub fn request(document: &str, query: &[(&str, &str)]) -> Request {
    Request {
        document: document.into(),
        query: query
            .iter()
            .map(|(key, value)| KeyValue {
                key: (*key).into(),
                value: (*value).into(),
            })
            .collect(),
        headers: Vec::new(),
        cookies: Vec::new(),
    }
}

/// What the plugin says to a request for the media playlist.
pub fn ask(presentation: &Presentation, query: &[(&str, &str)]) -> Answer {
    plugin().render(&request("video.m3u8", query), presentation)
}

/// The media playlist that answers a request.
pub fn media(presentation: &Presentation, query: &[(&str, &str)]) -> String {
    text(ask(presentation, query)).body
}

pub fn text(answer: Answer) -> Text {
    match answer {
        Answer::Document(text) => text,
        other => panic!("a document was expected, not {other:?}"),
    }
}

pub fn refusal(answer: Answer) -> (u16, String) {
    match answer {
        Answer::Refuse(refusal) => (refusal.status, refusal.reason),
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

pub fn position(sequence: u64, parts: u32) -> Answer {
    Answer::Wait(Position { sequence, parts })
}

/// The values of the lines with this tag.
pub fn tags<'a>(playlist: &'a str, tag: &str) -> Vec<&'a str> {
    playlist
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.strip_prefix(tag))
        .filter_map(|rest| {
            if rest.is_empty() {
                Some(rest)
            } else {
                rest.strip_prefix(':')
            }
        })
        .collect()
}

/// The value of the only line with this tag.
pub fn tag<'a>(playlist: &'a str, name: &str) -> &'a str {
    let [value] = tags(playlist, name)[..] else {
        panic!("one {name} was expected in\n{playlist}");
    };
    value
}

/// An attribute list. Values keep their quotation marks.
pub fn attributes(list: &str) -> HashMap<String, String> {
    let mut map = HashMap::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').expect("an attribute has a value");
        let end = if let Some(quoted) = after.strip_prefix('"') {
            quoted.find('"').expect("a closing quotation mark") + 2
        } else {
            after.find(',').unwrap_or(after.len())
        };
        assert!(
            map.insert(name.to_owned(), after[..end].to_owned())
                .is_none()
        );
        rest = after[end..].strip_prefix(',').unwrap_or_default();
    }
    map
}

/// A decimal number of seconds in microseconds, exactly.
pub fn micros(seconds: &str) -> u64 {
    let (whole, decimals) = seconds.split_once('.').expect("a decimal point");
    whole.parse::<u64>().unwrap() * 1_000_000 + format!("{decimals:0<6}").parse::<u64>().unwrap()
}

/// Address and duration of every listed part.
pub fn parts(playlist: &str) -> Vec<(String, u64)> {
    tags(playlist, "EXT-X-PART")
        .into_iter()
        .map(|list| {
            let attributes = attributes(list);
            (
                attributes["URI"].trim_matches('"').to_owned(),
                micros(&attributes["DURATION"]),
            )
        })
        .collect()
}

/// A segment as a player keeps it: all that applies to it, wherever it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub uri: Option<String>,
    pub duration: u64,
    pub map: Option<String>,
    pub discontinuity: bool,
    pub date: Option<String>,
    pub parts: Vec<(String, u64)>,
}

/// Reads a media playlist as a player does (6.3): the segments that it lists, by sequence number, and the tail that has
/// parts only. Lines that it doesn't know are a failure.
pub fn read(playlist: &str) -> (u64, Vec<Listed>) {
    let empty = Listed {
        uri: None,
        duration: 0,
        map: None,
        discontinuity: false,
        date: None,
        parts: Vec::new(),
    };
    let mut sequence = 0;
    let mut listed = Vec::new();
    let mut next = empty.clone();
    for line in playlist.lines() {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXTM3U"
            | "#EXT-X-VERSION"
            | "#EXT-X-TARGETDURATION"
            | "#EXT-X-PART-INF"
            | "#EXT-X-SERVER-CONTROL"
            | "#EXT-X-INDEPENDENT-SEGMENTS"
            | "#EXT-X-DISCONTINUITY-SEQUENCE"
            | "#EXT-X-DATERANGE"
            | "#EXT-X-PRELOAD-HINT"
            | "#EXT-X-ENDLIST"
            | "#EXT-X-RENDITION-REPORT" => {}
            "#EXT-X-MEDIA-SEQUENCE" => sequence = value.parse().unwrap(),
            "#EXT-X-SKIP" => {
                sequence += attributes(value)["SKIPPED-SEGMENTS"]
                    .parse::<u64>()
                    .unwrap();
            }
            "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
            "#EXT-X-MAP" => next.map = Some(attributes(value)["URI"].clone()),
            "#EXT-X-PROGRAM-DATE-TIME" => next.date = Some(value.to_owned()),
            "#EXT-X-PART" => next.parts.extend(parts(line)),
            "#EXTINF" => next.duration = micros(value.strip_suffix(',').unwrap()),
            _ => {
                assert!(!line.starts_with('#') && next.duration > 0, "{line}");
                next.uri = Some(line.to_owned());
                let map = next.map.clone();
                listed.push(std::mem::replace(
                    &mut next,
                    Listed {
                        map,
                        ..empty.clone()
                    },
                ));
            }
        }
    }
    if !next.parts.is_empty() {
        listed.push(next);
    }
    (sequence, listed)
}
