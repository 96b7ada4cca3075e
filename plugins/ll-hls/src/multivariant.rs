//! The multivariant playlist.

use picam_plugin::{
    m3u8::Writer,
    playlist::{Presentation, Rendition},
    text,
};

use crate::name;

/// Writes the multivariant playlist. It needs no EXT-X-VERSION: nothing in it is newer than version 1 (section 8).
pub fn write(presentation: &Presentation) -> String {
    let mut list = Writer::with_capacity(64 + 256 * presentation.renditions.len());
    list.tag("EXT-X-INDEPENDENT-SEGMENTS");
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let (peak, average) = bandwidth(rendition);
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

/// Peak and average bits a second. The peak is never below the average, nor below what a segment that is still growing
/// is seen to need before there is a complete one to be measured.
fn bandwidth(rendition: &Rendition) -> (u64, u64) {
    let so_far = || {
        let (bits, micros) = rendition
            .segments
            .iter()
            .fold((0u64, 0u64), |(bits, micros), segment| {
                (bits + segment.size * 8, micros + segment.duration)
            });
        (bits * 1_000_000).div_ceil(micros.max(1)).max(1)
    };
    let average = match rendition.average_bitrate {
        0 => so_far(),
        average => average,
    };
    (rendition.peak_bitrate.max(average), average)
}
