//! DASH and Low-Latency DASH: a stock playlist plugin. Clauses in this crate are those of ISO/IEC 23009-1, or, with "9.X",
//! of the DASH-IF guidelines' "Low-Latency Modes for DASH".
//!
//! One document, `live.mpd`, for the whole stream. [`mpd`] writes the presentation, [`period`] each of its Periods.

mod mpd;
mod period;

use picam_plugin::{Config, Description, Number, Plugin, playlist::*, xml};

/// The MPD.
pub const MPD: &str = "live.mpd";

const TARGET: Number = Number::whole(
    "target-ms",
    500,
    (100, 30_000),
    "ms",
    "how far behind the camera players stay; more rides out worse networks",
);
const WINDOW: Number = Number::whole(
    "window-s",
    30,
    (3, 86_400),
    "s",
    "how much media is listed, for viewers to go back in",
);

/// The plugin.
#[derive(Debug)]
pub struct Dash {
    /// Microseconds, as everywhere in here.
    target: u64,
    window: u64,
}

impl Plugin for Dash {
    fn describe() -> Description {
        Description::new(
            "dash",
            env!("CARGO_PKG_VERSION"),
            "DASH with low latency: live.mpd, for dash.js, Shaka Player and others",
        )
        .number(&TARGET)
        .number(&WINDOW)
    }

    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self {
            target: config.number(&TARGET)? * 1_000,
            window: config.number(&WINDOW)? * 1_000_000,
        })
    }
}

impl Playlist for Dash {
    /// Segments and parts are as others want them: low latency comes from chunks, of which a segment has many whatever its
    /// length, and parts don't show in DASH.
    fn wanted_timing(&self) -> TimingRequest {
        TimingRequest {
            segment: None,
            part: None,
            window: Some(self.window),
        }
    }

    fn documents(&self) -> Vec<Document> {
        vec![Document::new(
            MPD,
            Scope::Stream,
            xml::MPD_CONTENT_TYPE,
            &[],
        )]
    }

    fn render(&mut self, _: &Request, presentation: &Presentation) -> Answer {
        match mpd::write(presentation, self.target) {
            // No longer than it is before a player asks again.
            Some(text) => Answer::text(text, (mpd::UPDATE / 1_000_000) as u32),
            None => Answer::refuse(503, "the stream has only just begun: ask again in a moment"),
        }
    }
}

picam_plugin::export!(Dash: playlist);
