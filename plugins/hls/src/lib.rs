//! Classic HLS (RFC 8216, whose clauses these are): whole segments and nothing newer, for televisions, set-top boxes and
//! old libraries that stumble over parts. It plays beside the other playlist plugins, from the same bytes.
//!
//! Two documents. `hls.m3u8`, the master playlist, keeps its address for as long as the stream exists and leads to the
//! media playlist of the presentation that is on, which lies beside its media. Neither reads anything of a request, so
//! both can as well lie in a directory as files.

mod media;

use picam_plugin::{Config, Description, Number, Plugin, m3u8, playlist::*, text};

/// The master playlist.
pub const MASTER: &str = "hls.m3u8";

/// The media playlist of the first rendition; that of another is named after it.
pub const MEDIA: &str = "hls-video.m3u8";

const SEGMENT: Number = Number::whole(
    "segment-ms",
    1_000,
    (500, 30_000),
    "ms",
    "length of a segment, which ends at the next key frame; if it isn't set, other plugins decide",
);
const WINDOW: Number = Number::whole(
    "window-s",
    30,
    (3, 86_400),
    "s",
    "how much media is listed; if it isn't set, all that is listed for other plugins",
);

/// The plugin.
#[derive(Debug)]
pub struct Hls {
    /// Microseconds; `None` for what is left to others.
    segment: Option<u64>,
    window: Option<u64>,
}

impl Plugin for Hls {
    fn describe() -> Description {
        Description::new(
            "hls",
            env!("CARGO_PKG_VERSION"),
            "classic HLS: hls.m3u8, for players that know nothing newer",
        )
        .number(&SEGMENT)
        .number(&WINDOW)
    }

    fn start(config: &Config) -> Result<Self, String> {
        // Only what was asked for: what is said here must be the same in all plugins.
        let set = |key: &str, number: &Number, micros: u64| match config.get(key) {
            Some(_) => config.number(number).map(|value| Some(value * micros)),
            None => Ok(None),
        };
        Ok(Self {
            segment: set("segment-ms", &SEGMENT, 1_000)?,
            window: set("window-s", &WINDOW, 1_000_000)?,
        })
    }
}

impl Playlist for Hls {
    fn wanted_timing(&self) -> TimingRequest {
        TimingRequest {
            segment: self.segment,
            part: None,
            window: self.window,
        }
    }

    fn documents(&self) -> Vec<Document> {
        vec![
            Document::new(MASTER, Scope::Stream, m3u8::CONTENT_TYPE, &[]),
            Document::new(MEDIA, Scope::Presentation, m3u8::CONTENT_TYPE, &[]),
        ]
    }

    fn render(&mut self, request: &Request, presentation: &Presentation) -> Answer {
        let target_duration = presentation.timing.target_duration;
        // Players ask again after a target duration, or half of one (6.3.4): what a cache keeps must not be older.
        let max_age = (target_duration / 2).max(1);
        if request.document == MASTER {
            return Answer::text(master(presentation), max_age);
        }
        let Some(index) = (0..presentation.renditions.len())
            .find(|index| name(presentation, *index) == request.document)
        else {
            return Answer::refuse(404, "there is no rendition of this name");
        };
        let text = media::write(presentation, index, self.window);
        Answer::text(text, max_age)
    }
}

/// The name of a rendition's media playlist.
fn name(presentation: &Presentation, index: usize) -> String {
    match index {
        0 => MEDIA.into(),
        _ => text::joined(&["hls-", &presentation.renditions[index].id, ".m3u8"]),
    }
}

/// Writes the master playlist. It needs no EXT-X-VERSION: nothing in it is newer than version 1 (section 7).
fn master(presentation: &Presentation) -> String {
    let mut list = m3u8::Writer::with_capacity(64 + 256 * presentation.renditions.len());
    list.tag("EXT-X-INDEPENDENT-SEGMENTS");
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let (peak, average) = rendition.bandwidth();
        list.attributes("EXT-X-STREAM-INF")
            .number("BANDWIDTH", peak)
            .number("AVERAGE-BANDWIDTH", average)
            .quoted("CODECS", &rendition.codecs)
            .resolution("RESOLUTION", rendition.width, rendition.height)
            .thousandths("FRAME-RATE", rendition.frame_rate_milli.into());
        list.uri(&text::joined(&[
            &presentation.id,
            "/",
            &name(presentation, index),
        ]));
    }
    list.finish()
}

picam_plugin::export!(Hls: playlist);
