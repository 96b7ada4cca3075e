//! Windows in files: what a stream looked like at one moment, as a playlist plugin sees it.
//!
//! The names are those of the contract's `presentation` and `rendition`, as are the units (microseconds). JSON or TOML, by
//! the file's ending. `plugin test --print-window running` writes one to begin with.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    h264::ParameterSets,
    live::{
        InitSegment, Media, Part, Period, Position, Presentation, Rendition, Segment, Snapshot,
        Timing,
    },
    time::{MediaTime, Monotonic, PresentationClock, Wall},
};

/// A window.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Recording {
    id: String,
    epoch: u64,
    #[serde(default)]
    ended: bool,
    #[serde(default)]
    superseded: bool,
    width: u32,
    height: u32,
    /// Profile, constraints and level of the SPS: `[100, 0, 31]` for `avc1.64001f`.
    profile: [u8; 3],
    peak_bitrate: u64,
    average_bitrate: u64,
    #[serde(default)]
    discontinuity_sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_part: Option<String>,
    timing: RecordedTiming,
    position: RecordedPosition,
    segments: Vec<RecordedSegment>,
    periods: Vec<RecordedPeriod>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RecordedTiming {
    part_target: u64,
    /// Seconds, as in the contract.
    target_duration: u32,
    segment: u64,
    frame: u64,
    window: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedPosition {
    sequence: u64,
    parts: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedSegment {
    sequence: u64,
    path: String,
    init: String,
    start: u64,
    captured: u64,
    duration: u64,
    size: u64,
    #[serde(default)]
    discontinuity: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost_since: Option<u64>,
    complete: bool,
    #[serde(default)]
    parts: Vec<RecordedPart>,
}

/// Its coding is that of the recording.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RecordedPeriod {
    sequence: u64,
    start: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<u64>,
    chunk: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment_template: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedPart {
    path: String,
    duration: u64,
    #[serde(default)]
    independent: bool,
    size: u64,
}

impl Recording {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the window {}", path.display()))?;
        let parsed = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => serde_json::from_str(&text).map_err(|error| error.to_string()),
            Some("toml") => toml::from_str(&text).map_err(|error| error.to_string()),
            _ => Err("it is neither .json nor .toml".to_owned()),
        };
        parsed.map_err(|why| anyhow!("the window {} can't be read: {why}", path.display()))
    }

    /// What is recorded of a window that has begun.
    pub(super) fn of(snapshot: &Snapshot) -> anyhow::Result<Self> {
        let last = snapshot
            .segments
            .last()
            .context("a window without a segment can't be recorded")?;
        let coding = &last.init.parameter_sets;
        let timing = snapshot.presentation.timing;
        Ok(Self {
            id: snapshot.presentation.id.to_string(),
            epoch: snapshot.presentation.clock.epoch().0,
            ended: snapshot.ended,
            superseded: snapshot.superseded,
            width: coding.width,
            height: coding.height,
            profile: coding.profile,
            peak_bitrate: snapshot.rendition.peak_bitrate,
            average_bitrate: snapshot.rendition.average_bitrate,
            discontinuity_sequence: snapshot.discontinuity_sequence,
            next_part: snapshot.next_part.as_deref().map(str::to_owned),
            timing: RecordedTiming {
                part_target: micros(timing.part_target),
                target_duration: timing.target_duration,
                segment: micros(timing.segment),
                frame: micros(timing.frame),
                window: micros(timing.window),
            },
            position: RecordedPosition {
                sequence: snapshot.position.sequence,
                parts: snapshot.position.parts,
            },
            segments: snapshot
                .segments
                .iter()
                .map(|it| RecordedSegment {
                    sequence: it.sequence,
                    path: it.path.to_string(),
                    init: it.init.path.to_string(),
                    start: it.start.0,
                    captured: it.captured.0,
                    duration: micros(it.duration),
                    size: it.media.len,
                    discontinuity: it.discontinuity,
                    lost_since: it.lost_since.map(|since| since.0),
                    complete: it.complete,
                    parts: it
                        .parts
                        .iter()
                        .map(|part| RecordedPart {
                            path: part.path.to_string(),
                            duration: micros(part.duration),
                            independent: part.independent,
                            size: part.media.len,
                        })
                        .collect(),
                })
                .collect(),
            periods: snapshot
                .segments
                .chunk_by(|one, next| Arc::ptr_eq(&one.period, &next.period))
                .map(|segments| RecordedPeriod::of(&segments[0].period))
                .collect(),
        })
    }

    /// The window. Its media can't be fetched: plugins see lengths of them, and never bytes.
    ///
    /// # Errors
    /// A segment before the first period.
    pub(super) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let coding = Arc::new(ParameterSets {
            sps: vec![Bytes::from([&[0x67][..], &self.profile[..]].concat())],
            pps: vec![Bytes::from_static(&[0x68])],
            width: self.width,
            height: self.height,
            sample_aspect_ratio: (1, 1),
            frame_rate: None,
            profile: self.profile,
            chroma: [1, 0, 0],
        });
        let mut inits: HashMap<&str, Arc<InitSegment>> = HashMap::new();
        for segment in &self.segments {
            inits.entry(&segment.init).or_insert_with(|| {
                Arc::new(InitSegment {
                    path: segment.init.as_str().into(),
                    data: Bytes::new(),
                    parameter_sets: coding.clone(),
                })
            });
        }
        let periods: Vec<_> = self
            .periods
            .iter()
            .map(|it| Arc::new(it.period()))
            .collect();
        let segment = |it: &RecordedSegment| {
            let period = periods
                .iter()
                .rfind(|period| period.sequence <= it.sequence)
                .with_context(|| format!("none of `periods` holds segment {}", it.sequence))?;
            anyhow::Ok(Arc::new(it.segment(&inits[it.init.as_str()], period)))
        };
        let timing = &self.timing;
        let length = Duration::from_micros;
        Ok(Snapshot {
            presentation: Arc::new(Presentation {
                id: self.id.as_str().into(),
                timing: Timing {
                    part_target: length(timing.part_target),
                    target_duration: timing.target_duration,
                    segment: length(timing.segment),
                    frame: length(timing.frame),
                    window: length(timing.window),
                },
                clock: PresentationClock::new(Monotonic(0), Wall(self.epoch)),
            }),
            position: Position {
                sequence: self.position.sequence,
                parts: self.position.parts,
            },
            ended: self.ended,
            superseded: self.superseded,
            rendition: Rendition {
                peak_bitrate: self.peak_bitrate,
                average_bitrate: self.average_bitrate,
            },
            segments: self
                .segments
                .iter()
                .map(segment)
                .collect::<anyhow::Result<_>>()?,
            discontinuity_sequence: self.discontinuity_sequence,
            next_part: self.next_part.as_deref().map(Into::into),
            objects: Arc::new(HashMap::new()),
        })
    }
}

impl RecordedPeriod {
    fn of(period: &Period) -> Self {
        Self {
            sequence: period.sequence,
            start: period.start.0,
            segment: period.segment.map(micros),
            chunk: micros(period.chunk),
            segment_template: period.template.as_deref().map(str::to_owned),
        }
    }

    fn period(&self) -> Period {
        Period {
            sequence: self.sequence,
            start: MediaTime(self.start),
            segment: self.segment.map(Duration::from_micros),
            chunk: Duration::from_micros(self.chunk),
            template: self.segment_template.as_deref().map(Into::into),
        }
    }
}

impl RecordedSegment {
    fn segment(&self, init: &Arc<InitSegment>, period: &Arc<Period>) -> Segment {
        Segment {
            sequence: self.sequence,
            path: self.path.as_str().into(),
            period: period.clone(),
            init: init.clone(),
            start: MediaTime(self.start),
            captured: Wall(self.captured),
            duration: Duration::from_micros(self.duration),
            discontinuity: self.discontinuity,
            lost_since: self.lost_since.map(Wall),
            complete: self.complete,
            media: media(self.size),
            parts: self
                .parts
                .iter()
                .map(|part| {
                    Arc::new(Part {
                        path: part.path.as_str().into(),
                        duration: Duration::from_micros(part.duration),
                        independent: part.independent,
                        media: media(part.size),
                    })
                })
                .collect(),
        }
    }
}

fn media(len: u64) -> Media {
    Media {
        len,
        ..Media::default()
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::trial;

    #[test]
    fn a_window_comes_back_from_either_kind_of_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for window in [trial::running(), trial::begun(), trial::ended()] {
            let recording = Recording::of(&window).unwrap();
            let files = [
                ("w.json", serde_json::to_string(&recording).unwrap()),
                ("w.toml", toml::to_string(&recording).unwrap()),
            ];
            for (name, text) in files {
                let path = folder.path().join(name);
                std::fs::write(&path, text).unwrap();
                let read = Recording::read(&path).unwrap();
                assert_eq!(read, recording, "{name}");
                let again = Recording::of(&read.snapshot().unwrap()).unwrap();
                assert_eq!(again, recording, "{name}");
            }
        }
    }

    #[test]
    fn a_mistyped_key_is_told_with_those_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.json");
        std::fs::write(&path, r#"{"id": "1", "endet": true}"#).unwrap();
        let error = Recording::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("`endet`") && error.contains("`ended`"),
            "{error}"
        );
    }
}
