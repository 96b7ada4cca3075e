//! A Period: a stretch of segments that continue each other.

use picam_plugin::{
    playlist::{Period, Segment},
    text,
    xml::Writer,
};

use crate::mpd::{Common, UPDATE, utc_timing};

/// The id of each Period's ProducerReferenceTime.
pub const REFERENCE: u64 = 0;

/// What `tfdt` counts in, and so what this does.
const TIMESCALE: u64 = 1_000_000;

/// Writes a Period, which `next` follows. None if its segments have no template.
pub fn write(
    xml: &mut Writer,
    common: &Common<'_>,
    period: &Period,
    next: Option<&Period>,
) -> Option<()> {
    let template = period.segment_template.as_deref()?;
    let segments = segments(common, period, next);
    let mut id = String::new();
    text::push_whole(&mut id, period.sequence);
    let element = xml
        .element("Period")
        .attribute("id", &id)
        .duration("start", period.start);
    // Closed, so that no player asks for what would come next (it did not continue).
    match segments.last() {
        Some(last) if next.is_some() || common.presentation.ended => element
            .duration("duration", last.start + last.duration - period.start)
            .open(),
        _ => element.open(),
    }
    xml.element("AdaptationSet")
        .number("id", 0)
        .attribute("contentType", "video")
        .attribute("mimeType", "video/mp4")
        .attribute("containerProfiles", "cmfc")
        .attribute("segmentAlignment", "true")
        .attribute("startWithSAP", "1")
        .open();
    producer_reference_time(xml, common, period);
    if 2 * period.chunk <= common.target {
        // Each chunk is a point to join its segment's parsing at; a picture can be decoded from the segment's first alone.
        xml.element("Resync")
            .number("type", 0)
            .number("dT", period.chunk)
            .attribute("marker", "true");
    }
    segment_template(xml, common, period, template, segments);
    representation(xml, common, period);
    xml.close();
    xml.close();
    Some(())
}

/// The listed segments of a period.
fn segments<'a>(common: &Common<'a>, period: &Period, next: Option<&Period>) -> &'a [Segment] {
    let segments = &common.rendition.segments[..];
    let at = |sequence| segments.partition_point(|segment| segment.sequence < sequence);
    let end = next.map_or(segments.len(), |next| at(next.sequence));
    &segments[at(period.sequence)..end]
}

/// When a presentation time was captured (9.X.4.3): any will do, since presentation time is capture time. Dates have whole
/// milliseconds, so the time does.
fn producer_reference_time(xml: &mut Writer, common: &Common<'_>, period: &Period) {
    let time = period.start.div_ceil(1_000) * 1_000;
    xml.element("ProducerReferenceTime")
        .number("id", REFERENCE)
        .attribute("type", "captured")
        .date_time("wallClockTime", common.presentation.epoch + time)
        .number("presentationTime", time)
        .attribute("inband", "true")
        .open();
    utc_timing(xml);
    xml.close();
}

/// Segments that keep their place are counted; others are listed, with those that will begin before players look again.
fn segment_template(
    xml: &mut Writer,
    common: &Common<'_>,
    period: &Period,
    template: &str,
    segments: &[Segment],
) {
    let id = &common.presentation.id;
    let length = period.segment.unwrap_or(common.presentation.timing.segment);
    let element = xml
        .element("SegmentTemplate")
        .number("timescale", TIMESCALE)
        .attribute("media", &text::joined(&[id, "/", template]))
        .attribute("initialization", &text::joined(&[id, "/", &period.init]))
        .number("presentationTimeOffset", period.start)
        .seconds(
            "availabilityTimeOffset",
            length.saturating_sub(period.chunk),
        )
        .attribute("availabilityTimeComplete", "false");
    match period.segment {
        Some(length) => drop(
            element
                .number("startNumber", period.sequence)
                .number("duration", length),
        ),
        None => {
            let first = segments
                .first()
                .map_or(period.sequence, |first| first.sequence);
            element.number("startNumber", first).open();
            timeline(xml, segments, length);
            xml.close();
        }
    }
}

/// SegmentTimeline (5.3.9.6). `length` is what is expected of a segment that grows, and of those after it: as many as begin
/// within two updates. (`r="-1"`, which says the same for good, ends FFmpeg 5 with a division by zero, and Shaka Player
/// leaves it out.)
fn timeline(xml: &mut Writer, segments: &[Segment], length: u64) {
    xml.element("SegmentTimeline").open();
    let mut begun = false;
    for run in segments
        .chunk_by(|one, next| one.complete && next.complete && one.duration == next.duration)
    {
        let first = &run[0];
        let mut element = xml.element("S");
        if !begun || !first.complete {
            element = element.number("t", first.start);
        }
        begun = true;
        let (duration, more) = match first.complete {
            true => (first.duration, run.len() as u64 - 1),
            false => (
                length.max(first.duration),
                (2 * UPDATE).div_ceil(length.max(1)),
            ),
        };
        element = element.number("d", duration);
        if more > 0 {
            drop(element.number("r", more));
        }
    }
    xml.close();
}

fn representation(xml: &mut Writer, common: &Common<'_>, period: &Period) {
    let (width, height) = period.sample_aspect_ratio;
    let mut sar = String::new();
    text::push_whole(&mut sar, width.into());
    sar.push(':');
    text::push_whole(&mut sar, height.into());
    let element = xml
        .element("Representation")
        .attribute("id", &common.rendition.id)
        .number("bandwidth", common.bandwidth)
        .attribute("codecs", &period.codecs)
        .number("width", period.width.into())
        .number("height", period.height.into())
        .attribute("sar", &sar);
    // The slate has a rate of its own.
    if period.chunk == common.presentation.timing.frame {
        drop(element.attribute("frameRate", &frame_rate(common.rendition.frame_rate_milli)));
    }
}

/// Pictures a second, as a whole number or a fraction (5.3.7.2).
fn frame_rate(milli: u32) -> String {
    let mut rate = String::new();
    let whole = u64::from(milli).div_ceil(1_000);
    // 29.97, 59.94 and 23.976 are exactly 1,000 to 1,001 of the next whole number.
    if milli.is_multiple_of(1_000) {
        text::push_whole(&mut rate, whole);
    } else if whole * 1_000_000 / 1_001 == u64::from(milli) {
        text::push_whole(&mut rate, whole * 1_000);
        rate.push_str("/1001");
    } else {
        text::push_whole(&mut rate, milli.into());
        rate.push_str("/1000");
    }
    rate
}
