//! The MPD element.

use picam_plugin::{
    playlist::{Presentation, Rendition, Segment},
    xml::{Element, Writer},
};

use crate::period;

/// How often players look for a new MPD. Segments they find by themselves in between; what they can't foresee is the next
/// Period.
pub const UPDATE: u64 = 1_000_000;

/// A target below so many chunks leaves nothing to ride out an uneven one. 9.X.4.5 wants two at least.
const LEAST_CHUNKS: u64 = 3;

/// What all Periods share.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    pub presentation: &'a Presentation,
    pub rendition: &'a Rendition,
    /// How far behind the camera players are to stay.
    pub target: u64,
    /// Peak bits a second.
    pub bandwidth: u64,
}

/// Writes the MPD. None if there is nothing yet to make a Period of, or to tell the bandwidth by.
pub fn write(presentation: &Presentation, target: u64) -> Option<String> {
    let rendition = presentation.renditions.first()?;
    let (first, last) = (rendition.segments.first()?, rendition.segments.last()?);
    let timing = &presentation.timing;
    let common = Common {
        presentation,
        rendition,
        target: target.max(LEAST_CHUNKS * timing.frame),
        bandwidth: bandwidth(rendition)?,
    };
    let mut xml = Writer::with_capacity(
        2_048 + 1_400 * rendition.periods.len() + 24 * rendition.segments.len(),
    );
    let longest = rendition.segments.iter().map(|segment| segment.duration);
    let mpd = xml
        .element("MPD")
        .attribute("xmlns", "urn:mpeg:dash:schema:mpd:2011")
        .attribute(
            "profiles",
            "urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5",
        )
        .attribute("type", "dynamic")
        // So that a presentation time is a capture time by the clock that UTCTiming answers.
        .date_time("availabilityStartTime", presentation.epoch)
        .date_time("publishTime", presentation.epoch + published(presentation, last))
        .duration("timeShiftBufferDepth", timing.window)
        .duration("maxSegmentDuration", longest.max().unwrap_or(0).max(timing.segment))
        .duration("minBufferTime", common.target)
        .duration("suggestedPresentationDelay", common.target);
    until(mpd, presentation, last).open();
    service_description(&mut xml, common.target);
    for (at, period) in rendition.periods.iter().enumerate() {
        let next = rendition.periods.get(at + 1);
        period::write(&mut xml, &common, period, next)?;
    }
    debug_assert!(rendition.periods[0].sequence <= first.sequence);
    utc_timing(&mut xml);
    Some(xml.finish())
}

/// Peak bits a second; of the first segment, as far as it has come.
fn bandwidth(rendition: &Rendition) -> Option<u64> {
    let segments = &rendition.segments;
    let bits: u64 = segments.iter().map(|segment| segment.size * 8).sum();
    let micros: u64 = segments.iter().map(|segment| segment.duration).sum();
    match rendition.peak_bitrate {
        0 if micros == 0 => None,
        0 => Some((bits * 1_000_000).div_ceil(micros)),
        peak => Some(peak),
    }
}

/// For how long the MPD is right: until players look again; if nothing will follow, until its end.
fn until<'a>(mpd: Element<'a>, presentation: &Presentation, last: &Segment) -> Element<'a> {
    match presentation.ended && !presentation.superseded {
        true => mpd.duration("mediaPresentationDuration", last.start + last.duration),
        false => mpd.duration("minimumUpdatePeriod", UPDATE),
    }
}

/// When it became as it is: with its last segment, or with the end of that.
fn published(presentation: &Presentation, last: &Segment) -> u64 {
    match presentation.ended {
        true => last.start + last.duration,
        false => last.start,
    }
}

/// What players are to aim at (annex K). dash.js seeks rather than speeds up half a second beyond `max`.
fn service_description(xml: &mut Writer, target: u64) {
    let target = target / 1_000;
    xml.element("ServiceDescription").number("id", 0).open();
    xml.element("Latency")
        .number("referenceId", period::REFERENCE)
        .number("target", target)
        .number("min", target / 2)
        .number("max", target + 1_000);
    // Faster changes settle in two seconds, and nobody hears them: there is no sound.
    xml.element("PlaybackRate")
        .attribute("min", "0.8")
        .attribute("max", "1.2");
    xml.close();
}

/// The host's own clock, which a board on a private network always reaches.
pub fn utc_timing(xml: &mut Writer) {
    xml.element("UTCTiming")
        .attribute("schemeIdUri", "urn:mpeg:dash:utc:http-iso:2014")
        .attribute("value", "time");
}
