//! The whole as JSON, and the facts that it shares with `/metrics`.

use serde::Serialize;

use super::{State, process::Started};
use crate::{
    live::{Object, Snapshot},
    stream::Health,
};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    host: Host,
    stream: Stream,
    viewers: Viewers,
}

#[derive(Debug, Serialize)]
struct Host {
    name: &'static str,
    version: &'static str,
    started: String,
    uptime_seconds: f64,
}

#[derive(Debug, Serialize)]
struct Stream {
    name: &'static str,
    state: &'static str,
    /// What is the matter, while the camera is lost.
    cause: Option<String>,
    /// When its last picture was captured.
    lost_since: Option<String>,
    source: Source,
    /// Of the pictures that are served; none before there are any.
    #[serde(flatten)]
    coding: Option<Coding>,
    presentation: Option<Presentation>,
    window: Option<Window>,
    pictures: u64,
    bytes: u64,
    dropped_pictures: Drops,
    bad_nal_units: u64,
    discontinuities: u64,
    presentations: u64,
    slate_seconds: f64,
}

#[derive(Debug, Serialize)]
struct Source {
    name: String,
    description: String,
    restarts: u64,
}

#[derive(Debug, Serialize)]
struct Coding {
    width: u32,
    height: u32,
    frame_rate: f64,
    codecs: String,
    average_bitrate: u64,
    peak_bitrate: u64,
}

#[derive(Debug, Serialize)]
struct Presentation {
    id: String,
    segment_seconds: f64,
    part_target_seconds: f64,
    target_duration_seconds: u32,
    ended: bool,
}

/// What is listed, and how much memory it takes with what was listed lately.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Window {
    pub(super) segments: usize,
    pub(super) seconds: f64,
    pub(super) bytes: u64,
    pub(super) position: Position,
}

/// Every segment before `sequence` is complete, and `parts` parts of that one.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) parts: u32,
}

/// Pictures that were not published, by cause.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Drops {
    /// They came damaged, or before a key frame that makes them useful.
    pub(super) damaged: u64,
    /// Nobody took or made them in time.
    pub(super) late: u64,
    /// They could not follow the slate.
    pub(super) after_slate: u64,
}

#[derive(Debug, Serialize)]
struct Viewers {
    connections: u64,
    connections_total: u64,
    turned_away: u64,
    requests: u64,
    requests_waiting: u64,
    sent_bytes: u64,
}

impl Status {
    pub(super) fn of(state: &State, started: &Started) -> Self {
        let health = state.health.borrow().clone();
        let window = state.live.current();
        let damage = *state.source.damage.borrow();
        let counts = &state.stream;
        let viewers = &state.viewers;
        let (cause, lost_since) = match &health {
            Health::Lost { since, cause, .. } => (Some(cause.clone()), Some(since.date_time())),
            _ => (None, None),
        };
        Self {
            host: Host {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                started: started.wall().date_time(),
                uptime_seconds: started.uptime().as_secs_f64(),
            },
            stream: Stream {
                name: "cam",
                state: name(&health),
                cause,
                lost_since,
                source: Source {
                    name: state.source.name.clone(),
                    description: state.source.description.clone(),
                    restarts: damage.restarts,
                },
                coding: window.as_deref().and_then(Coding::of),
                presentation: window.as_deref().map(Presentation::of),
                window: window.as_deref().map(Window::of),
                pictures: counts.pictures.get(),
                bytes: counts.bytes.get(),
                dropped_pictures: Drops::of(state),
                bad_nal_units: damage.bad_nals,
                discontinuities: counts.discontinuities.get(),
                presentations: counts.presentations.get(),
                slate_seconds: counts.slate().as_secs_f64(),
            },
            viewers: Viewers {
                connections: viewers.traffic.connections.now(),
                connections_total: viewers.traffic.connections.ever(),
                turned_away: viewers.traffic.turned_away.get(),
                requests: viewers.requests.all(),
                requests_waiting: viewers.waiting.now(),
                sent_bytes: viewers.traffic.sent.get(),
            },
        }
    }
}

impl Coding {
    fn of(window: &Snapshot) -> Option<Self> {
        let sets = &window.segments.last()?.init.parameter_sets;
        Some(Self {
            width: sets.width,
            height: sets.height,
            frame_rate: 1.0 / window.presentation.timing.frame.as_secs_f64(),
            codecs: sets.codecs(),
            average_bitrate: window.rendition.average_bitrate,
            peak_bitrate: window.rendition.peak_bitrate,
        })
    }
}

impl Presentation {
    fn of(window: &Snapshot) -> Self {
        let presentation = &window.presentation;
        Self {
            id: presentation.id.to_string(),
            segment_seconds: presentation.timing.segment.as_secs_f64(),
            part_target_seconds: presentation.timing.part_target.as_secs_f64(),
            target_duration_seconds: presentation.timing.target_duration,
            ended: window.ended,
        }
    }
}

impl Window {
    pub(super) fn of(window: &Snapshot) -> Self {
        let held = window.objects.values().map(|object| match object {
            Object::Init(init) => init.data.len() as u64,
            Object::Segment(segment) => segment.media.len,
            // Their bytes are those of their segment.
            Object::Part(_)
            | Object::NextPart(_)
            | Object::GrowingSegment(_)
            | Object::Chunked(_) => 0,
        });
        let growing = window.segments.iter().filter(|segment| !segment.complete);
        let growing = growing
            .flat_map(|segment| &segment.parts)
            .map(|part| part.media.len);
        Self {
            segments: window.segments.len(),
            seconds: window
                .segments
                .iter()
                .map(|segment| segment.duration.as_secs_f64())
                .sum(),
            bytes: held.chain(growing).sum(),
            position: Position {
                sequence: window.position.sequence,
                parts: window.position.parts,
            },
        }
    }
}

impl Drops {
    pub(super) fn of(state: &State) -> Self {
        let damage = *state.source.damage.borrow();
        Self {
            damaged: damage.dropped_units.saturating_sub(damage.late_units),
            late: damage.late_units,
            after_slate: state.stream.after_slate.get(),
        }
    }
}

/// All states that a stream can be in.
pub(super) const STATES: [&str; 4] = ["starting", "live", "camera-lost", "ended"];

/// In a word.
pub(super) fn name(health: &Health) -> &'static str {
    match health {
        Health::Waiting => STATES[0],
        Health::Live => STATES[1],
        Health::Lost { .. } => STATES[2],
        Health::Ended => STATES[3],
    }
}
