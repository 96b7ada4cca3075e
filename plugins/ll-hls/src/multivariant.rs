//! The multivariant playlist.

use picam_plugin::{m3u8::Writer, playlist::Presentation, text};

use crate::name;

/// Writes the multivariant playlist. It needs no EXT-X-VERSION: nothing in it is newer than version 1 (section 8).
pub fn write(presentation: &Presentation) -> String {
    let mut list = Writer::with_capacity(64 + 256 * presentation.renditions.len());
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
