//! Low-Latency HLS, as draft-pantos-hls-rfc8216bis-22 has it: the stock playlist plugin. Clauses in this crate are
//! that draft's.
//!
//! Two documents. `live.m3u8`, the multivariant playlist, keeps its address for as long as the stream exists and leads
//! to the media playlist of the presentation that is on. `video.m3u8`, the media playlist, lies beside the
//! presentation's media and answers the delivery directives (6.2.5): blocking reload and delta updates.
//!
//! A request goes through [`directives`] (what is asked, and whether it can be answered yet), then [`media`].

mod directives;
mod losses;
mod media;
mod multivariant;

use directives::{Directives, Verdict};
use picam_plugin::{Config, Description, Number, Plugin, m3u8, playlist::*, text};

/// The multivariant playlist.
pub const MULTIVARIANT: &str = "live.m3u8";

/// The media playlist of the first rendition; that of another is named after it.
pub const MEDIA: &str = "video.m3u8";

const SEGMENT: Number = Number::whole(
    "segment-ms",
    1_000,
    (500, 30_000),
    "ms",
    "length of a segment, which ends at the next key frame",
);
const PART: Number = Number::whole(
    "part-ms",
    200,
    (20, 5_000),
    "ms",
    "longest length of a part; the shorter, the closer viewers are to the camera",
);
const WINDOW: Number = Number::whole(
    "window-s",
    30,
    (3, 86_400),
    "s",
    "how much media is listed, for viewers to go back in",
);
/// In part targets rather than in time, because the part target follows the camera's frame rate. The draft permits 2
/// and recommends 3 (4.4.3.8); below 3, players were seen to stall.
const HOLD_BACK: Number = Number::thousandths(
    "hold-back",
    3_000,
    (3_000, 100_000),
    "part targets",
    "how far behind the newest part players stay; more rides out worse networks",
);

/// The plugin.
#[derive(Debug)]
pub struct LlHls {
    wanted: TimingRequest,
    policy: Policy,
}

/// What of the configuration shows in the playlists.
#[derive(Clone, Copy, Debug)]
struct Policy {
    /// PART-HOLD-BACK in thousandths of the part target.
    hold_back: u64,
}

/// What the playlists of a presentation state, and never change (4.4.3.7, 4.4.3.8). Microseconds.
#[derive(Clone, Copy, Debug)]
struct Limits {
    target_duration: u64,
    part_target: u64,
    hold_back: u64,
    part_hold_back: u64,
    can_skip_until: u64,
}

impl Policy {
    fn limits(&self, timing: &Timing) -> Limits {
        let target_duration = u64::from(timing.target_duration) * 1_000_000;
        Limits {
            target_duration,
            part_target: timing.part_target,
            hold_back: 3 * target_duration,
            part_hold_back: (timing.part_target * self.hold_back).div_ceil(1_000),
            can_skip_until: 6 * target_duration,
        }
    }
}

impl Plugin for LlHls {
    fn describe() -> Description {
        Description::new(
            "ll-hls",
            env!("CARGO_PKG_VERSION"),
            "Low-Latency HLS: live.m3u8, for every player there is",
        )
        .number(&SEGMENT)
        .number(&PART)
        .number(&WINDOW)
        .number(&HOLD_BACK)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let segment = config.number(&SEGMENT)?;
        let part = config.number(&PART)?;
        if part > segment {
            return Err(
                "part-ms is longer than segment-ms: a part is a piece of a segment, a fifth of it or less"
                    .into(),
            );
        }
        Ok(Self {
            wanted: TimingRequest {
                segment: Some(segment * 1_000),
                part: Some(part * 1_000),
                window: Some(config.number(&WINDOW)? * 1_000_000),
            },
            policy: Policy {
                hold_back: config.number(&HOLD_BACK)?,
            },
        })
    }
}

impl Playlist for LlHls {
    fn wanted_timing(&self) -> TimingRequest {
        self.wanted
    }

    fn documents(&self) -> Vec<Document> {
        vec![
            Document::new(MULTIVARIANT, Scope::Stream, m3u8::CONTENT_TYPE, &[]),
            Document::new(
                MEDIA,
                Scope::Presentation,
                m3u8::CONTENT_TYPE,
                &directives::PARAMETERS,
            ),
        ]
    }

    fn render(&mut self, request: &Request, presentation: &Presentation) -> Answer {
        let target_duration = presentation.timing.target_duration;
        // Appendix B.1: half a target duration for what nobody waited for. The multivariant playlist counts as such:
        // it must lead to a new presentation soon after there is one.
        let soon = (target_duration / 2).max(1);
        if request.document == MULTIVARIANT {
            return Answer::text(multivariant::write(presentation), soon);
        }
        let Some(index) = (0..presentation.renditions.len())
            .find(|index| name(presentation, *index) == request.document)
        else {
            return Answer::refuse(404, "there is no rendition of this name");
        };
        let limits = self.policy.limits(&presentation.timing);
        // 6.2.5: directives mean nothing once the playlist has ended.
        let directives = match Directives::read(&request.query) {
            Ok(directives) if directives.as_file => {
                return Answer::text(media::write_file(presentation, index), soon);
            }
            _ if presentation.ended => Directives::default(),
            Ok(directives) => directives,
            Err(reason) => return Answer::refuse(400, reason),
        };
        match directives.judge(&presentation.renditions[index], &limits) {
            Verdict::Ready => {}
            Verdict::Wait(position) => return Answer::Wait(position),
            Verdict::Refuse(reason) => return Answer::refuse(400, reason),
        }
        let text = media::write(presentation, index, &limits, directives.skip == Some(true));
        // Appendix B.1: six target durations for an answer to a blocking request: its address names a moment that
        // doesn't come back.
        let blocking = directives.sequence.is_some();
        Answer::text(text, if blocking { 6 * target_duration } else { soon })
    }
}

/// The name of a rendition's media playlist.
fn name(presentation: &Presentation, index: usize) -> String {
    match index {
        0 => MEDIA.into(),
        _ => text::joined(&[&presentation.renditions[index].id, ".m3u8"]),
    }
}

picam_plugin::export!(LlHls: playlist);
