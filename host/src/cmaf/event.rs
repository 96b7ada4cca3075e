use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{Emsg, EmsgTimestamp, Encode};

use crate::time::{MediaTime, TIMESCALE, Wall};

/// What an endless stream tells besides pictures, as an `emsg` box (ISO/IEC 23009-1, 5.10.3.3) before the chunk that it is
/// about. Players that don't know the scheme pass over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Decoding times don't join up: the time before the chunk is missing.
    Gap {
        /// How much is missing.
        missing: Duration,
        /// Who reads was too slow for what there was; otherwise the camera sent nothing.
        slow: bool,
    },
    /// From here on the picture is a stand-in for a camera that is lost: its last picture was captured then.
    CameraLost(Wall),
}

/// `value` is `slow` or `source`, `event_duration` is what is missing.
const GAP: &str = "urn:picam-host:gap:2026";
/// `value` is when the camera's last picture was captured, in milliseconds since 1970. The duration is unknown.
const CAMERA_LOST: &str = "urn:picam-host:camera-lost:2026";

/// A duration that isn't known (23009-1, 5.10.3.3.4).
const UNKNOWN: u32 = u32::MAX;

impl Event {
    fn encode(self, start: MediaTime, id: u32, into: &mut Vec<u8>) {
        let (scheme, value, duration) = match self {
            Self::Gap { missing, slow } => {
                let ticks = u32::try_from(missing.as_micros()).unwrap_or(UNKNOWN - 1);
                let value = if slow { "slow" } else { "source" };
                (GAP, value.to_owned(), ticks)
            }
            Self::CameraLost(since) => (CAMERA_LOST, (since.0 / 1_000).to_string(), UNKNOWN),
        };
        let emsg = Emsg {
            timescale: TIMESCALE,
            presentation_time: EmsgTimestamp::Absolute(start.0),
            event_duration: duration,
            id,
            scheme_id_uri: scheme.to_owned(),
            value,
            message_data: Vec::new(),
        };
        emsg.encode(into)
            .expect("a box of a few short strings encodes");
    }
}

/// A chunk's boxes up to its sample with events in them, which start when the chunk does and are numbered from `id` on. CMAF
/// has them between `prft` and `moof` (23000-19, 7.3.2.3).
pub fn with_events(head: &Bytes, start: MediaTime, id: u32, events: &[Event]) -> [Bytes; 3] {
    let size = head
        .first_chunk()
        .map_or(0, |size| u32::from_be_bytes(*size));
    let prft = (size as usize).min(head.len());
    let mut boxes = Vec::with_capacity(96 * events.len());
    for (id, event) in (id..).zip(events) {
        event.encode(start, id, &mut boxes);
    }
    [head.slice(..prft), boxes.into(), head.slice(prft..)]
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Any, Decode};

    use super::*;
    use crate::cmaf::{Sample, chunk_head};

    #[test]
    fn events_stand_between_the_time_stamp_and_the_fragment() {
        let start = MediaTime(12_345_678);
        let head = chunk_head(&Sample {
            number: 7,
            start,
            duration: 33_333,
            composition_offset: 0,
            size: 5,
            sync: true,
            captured: Wall(1_700_000_000_500_000),
        });
        let gap = Event::Gap {
            missing: Duration::from_millis(1_500),
            slow: true,
        };
        let lost = Event::CameraLost(Wall(1_700_000_000_000_999));
        let pieces = with_events(&head, start, 3, &[gap, lost]);
        assert_eq!(pieces[2].as_ptr_range().end, head.as_ptr_range().end);
        let bytes = pieces.concat();
        let mut rest = &bytes[..];
        let emsg = |rest: &mut &[u8]| match Any::decode(rest).unwrap() {
            Any::Emsg(emsg) => emsg,
            other => panic!("{other:?}"),
        };
        assert!(matches!(Any::decode(&mut rest), Ok(Any::Prft(_))));
        let gap = emsg(&mut rest);
        assert_eq!((gap.id, gap.event_duration), (3, 1_500_000));
        assert_eq!((&*gap.scheme_id_uri, &*gap.value), (GAP, "slow"));
        assert_eq!(gap.presentation_time, EmsgTimestamp::Absolute(start.0));
        let lost = emsg(&mut rest);
        assert_eq!((lost.id, &*lost.value), (4, "1700000000000"));
        assert!(matches!(Any::decode(&mut rest), Ok(Any::Moof(_))));
    }
}
