//! What of the window a camera was lost for, as EXT-X-DATERANGE (4.4.5.1): pages tell viewers so.

use picam_plugin::{m3u8::Writer, playlist::Segment, text};

use crate::media::begun;

/// The CLASS of these date ranges.
const CLASS: &str = "picam.camera-lost";

/// Writes the losses of which the window still shows something. A range begins with the last picture before, which is why
/// all segments of a loss name the same; it gets its end when the first segment after it is there, which is an attribute
/// more and changes none (4.4.5.1.1).
pub fn write(list: &mut Writer, segments: &[Segment]) {
    let mut loss = None;
    for segment in segments.iter().filter(|segment| begun(segment)) {
        if segment.lost_since == loss {
            continue;
        }
        if let Some(since) = loss {
            push(list, since, Some(segment.captured));
        }
        loss = segment.lost_since;
    }
    if let Some(since) = loss {
        push(list, since, None);
    }
}

fn push(list: &mut Writer, since: u64, until: Option<u64>) {
    let mut id = String::from("lost-");
    text::push_whole(&mut id, since);
    let range = list
        .attributes("EXT-X-DATERANGE")
        .quoted("ID", &id)
        .quoted("CLASS", CLASS)
        .date_time("START-DATE", since);
    if let Some(until) = until {
        // A range doesn't end before it begins, even if the clock was set back meanwhile.
        drop(range.date_time("END-DATE", until.max(since)));
    }
}

/// About how many bytes they take.
pub fn expected_length(segments: &[Segment]) -> usize {
    const RANGE: usize = 160;
    let mut loss = None;
    let mut count = 0;
    for segment in segments {
        count += usize::from(segment.lost_since.is_some() && segment.lost_since != loss);
        loss = segment.lost_since;
    }
    count * RANGE
}
