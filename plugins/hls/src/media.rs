//! The media playlist.

use picam_plugin::{
    m3u8::Writer,
    playlist::{Presentation, Segment},
};

/// Writes the media playlist of a rendition: the newest `window` microseconds, or all there is.
pub fn write(presentation: &Presentation, index: usize, window: Option<u64>) -> String {
    let rendition = &presentation.renditions[index];
    let complete = rendition.complete();
    let target_duration = presentation.timing.target_duration;
    let first = first_listed(complete, window, u64::from(target_duration) * 1_000_000);
    let (gone, listed) = complete.split_at(first);

    let mut list = Writer::with_capacity(expected_length(listed));
    // Section 7: EXT-X-MAP in a playlist of whole pictures needs 6, and nothing else in here more than 3.
    list.number("EXT-X-VERSION", 6);
    list.number("EXT-X-TARGETDURATION", target_duration.into());
    list.tag("EXT-X-INDEPENDENT-SEGMENTS");
    list.number(
        "EXT-X-MEDIA-SEQUENCE",
        listed
            .first()
            .map_or(rendition.position.sequence, |first| first.sequence),
    );
    // 6.2.2: those that went with the segments before.
    let discontinuities = gone.iter().filter(|segment| segment.discontinuity).count();
    list.number(
        "EXT-X-DISCONTINUITY-SEQUENCE",
        rendition.discontinuity_sequence + discontinuities as u64,
    );
    let mut map = None;
    for segment in listed {
        if segment.discontinuity {
            list.tag("EXT-X-DISCONTINUITY");
        }
        if map != Some(segment.init.as_str()) {
            list.attributes("EXT-X-MAP").quoted("URI", &segment.init);
            map = Some(&segment.init);
        }
        // With every segment, so that a corrected clock shows at once.
        list.program_date_time(segment.captured);
        list.extinf(segment.duration);
        list.uri(&segment.path);
    }
    if presentation.ended {
        list.tag("EXT-X-ENDLIST");
    }
    list.finish()
}

/// Index of the first segment that is listed: as many as the window holds, and never fewer than three target durations
/// (6.2.2).
fn first_listed(complete: &[Segment], window: Option<u64>, target_duration: u64) -> usize {
    let Some(window) = window else { return 0 };
    let wanted = window.max(3 * target_duration);
    let mut listed = 0;
    for (at, segment) in complete.iter().enumerate().rev() {
        listed += segment.duration;
        if listed >= wanted {
            return at;
        }
    }
    0
}

/// About how many bytes the playlist will have, so that it is allocated once: addresses are some twenty bytes long.
fn expected_length(listed: &[Segment]) -> usize {
    const HEAD_AND_TAIL: usize = 320;
    const SEGMENT: usize = 136;
    HEAD_AND_TAIL + listed.len() * SEGMENT
}
