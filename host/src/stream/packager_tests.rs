//! Whatever pictures go in: what comes out parses, joins up, and keeps the rules of parts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use mp4_atom::{Atom, Decode, Header, Mdat, Moof, Prft};
use proptest::prelude::*;

use super::packager::Packager;
use crate::{
    cmaf::{Observed, Timing, Wish},
    h264::{AccessUnit, ParameterSets},
    live::{Live, Names, Segment},
    source::Picture,
    stream::clock::Clock,
    time::{Monotonic, Wall},
};

fn sets(width: u32) -> Arc<ParameterSets> {
    Arc::new(ParameterSets::example(width))
}

/// One sample as a reader finds it in a segment's bytes.
struct Found {
    start: u64,
    duration: u64,
    size: usize,
}

/// Reads a segment as a player would: nothing but CMAF chunks, to the last byte.
fn chunks(segment: &Segment) -> Vec<Found> {
    let bytes: Vec<u8> = segment
        .media
        .pieces
        .iter()
        .flat_map(|piece| piece.to_vec())
        .collect();
    assert_eq!(bytes.len() as u64, segment.media.len);
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let prft = Prft::decode(&mut rest).expect("each chunk begins with prft");
        let moof = Moof::decode(&mut rest).expect("then moof");
        let header = Header::decode(&mut rest).expect("then mdat");
        assert_eq!(header.kind, Mdat::KIND);
        let size = header.size.expect("mdat says its size");
        rest = &rest[size..];
        let [traf] = &moof.traf[..] else {
            panic!("one traf")
        };
        let start = traf.tfdt.as_ref().expect("tfdt").base_media_decode_time;
        let sample = traf.trun[0].samples.get(0).expect("one sample");
        assert_eq!(sample.size, Some(size as u32));
        assert_eq!(prft.media_time, start);
        found.push(Found {
            start,
            duration: sample.duration.expect("a duration").into(),
            size,
        });
    }
    found
}

proptest! {
    #[test]
    fn whatever_goes_in_the_boxes_parse_times_join_up_and_parts_keep_the_rules(
        frame in 8_000u64..100_000,
        part_ms in 50u64..600,
        gop in 1usize..60,
        pictures in prop::collection::vec((0u64..100, 1usize..300, 0u64..40), 30..250),
    ) {
        let timing = Timing::plan(
            &Wish {
                segment: Duration::from_secs(1),
                part: Duration::from_millis(part_ms),
                window: Duration::from_secs(3600),
            },
            &Observed {
                frame: Duration::from_micros(frame),
                key_interval: Duration::from_micros(frame * gop as u64),
            },
        );
        let live = Arc::new(Live::default());
        let names = Names::new(None, Wall(1_000_000_000));
        let clock = Clock::start();
        let mut packager = Packager::new(live.clone(), "test".into(), timing, names, u64::MAX, clock, false);
        let (mut now, mut set, mut last) = (Monotonic::now(), sets(64), None);
        let mut parts = BTreeMap::new();
        let mut sizes = Vec::new();
        for (n, (kind, size, jitter)) in pictures.into_iter().enumerate() {
            now = now.after(Duration::from_micros(match kind {
                0 => 10 * frame,
                _ => frame + frame * jitter / 100,
            }));
            let idr = n % gop == 0;
            match kind {
                1 if idr => set = sets(if set.width == 64 { 128 } else { 64 }),
                2 if idr => packager.break_here(),
                _ => {}
            }
            let unit = AccessUnit {
                data: Bytes::from(vec![0x5a; size]),
                idr,
                parameter_sets: set.clone(),
                display_shift: 0,
            };
            sizes.push(size);
            let _ = packager.picture(&Picture { unit, captured: now }).unwrap();
            if let Some(snapshot) = live.current() {
                prop_assert!(Some(snapshot.position) >= last);
                last = Some(snapshot.position);
                for segment in &snapshot.segments {
                    for part in &segment.parts {
                        parts.insert(part.path.clone(), (segment.sequence, part.duration));
                    }
                }
            }
        }
        packager.end(false);
        let snapshot = live.current().unwrap();
        prop_assert!(snapshot.ended);
        for segment in &snapshot.segments {
            for part in &segment.parts {
                parts.insert(part.path.clone(), (segment.sequence, part.duration));
            }
        }

        // Parts, by their serial.
        let parts: BTreeMap<u64, _> = parts
            .into_iter()
            .map(|(path, part)| (path["part-".len()..path.len() - ".m4s".len()].parse().unwrap(), part))
            .collect();
        for (serial, (sequence, duration)) in &parts {
            prop_assert!(*duration <= timing.part_target);
            let last = parts.get(&(serial + 1)).is_none_or(|(next, _)| next != sequence);
            prop_assert!(last || *duration * 100 >= timing.part_target * 85);
        }

        // Samples, as the bytes say.
        let mut end = 0;
        let mut found_sizes = Vec::new();
        for segment in &snapshot.segments {
            let chunks = chunks(segment);
            prop_assert_eq!(chunks[0].start, segment.start.0);
            prop_assert_eq!(chunks.iter().map(|chunk| chunk.duration).sum::<u64>(), segment.duration.as_micros() as u64);
            for (n, chunk) in chunks.iter().enumerate() {
                let may_jump = n == 0 && (segment.discontinuity || end == 0);
                prop_assert!(chunk.start == end || (may_jump && chunk.start > end));
                end = chunk.start + chunk.duration;
                found_sizes.push(chunk.size);
            }
        }
        prop_assert_eq!(found_sizes, sizes, "every sample is there, in order");
    }
}
