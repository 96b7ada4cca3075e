use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use h264_reader::{
    annexb::AnnexBReader,
    nal::{Nal, NalHeader, RefNal, WritableNal, sps::SeqParameterSet},
    push::NalInterest,
};
use proptest::prelude::*;

use super::*;

pub(super) const BASELINE: &[u8] = include_bytes!("../../tests/data/h264/baseline.h264");
const SLICES: &[u8] = include_bytes!("../../tests/data/h264/main-4slices-b2.h264");
const PYRAMID: &[u8] = include_bytes!("../../tests/data/h264/high-pyramid.h264");
const SMALL: &[u8] = include_bytes!("../../tests/data/h264/small.h264");

const STREAMS: [(&[u8], &str); 4] = [
    (
        BASELINE,
        include_str!("../../tests/data/h264/baseline.order"),
    ),
    (
        SLICES,
        include_str!("../../tests/data/h264/main-4slices-b2.order"),
    ),
    (
        PYRAMID,
        include_str!("../../tests/data/h264/high-pyramid.order"),
    ),
    (SMALL, include_str!("../../tests/data/h264/small.order")),
];

/// The NAL units of a stream, found by another reader.
fn nals(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    let mut reader = AnnexBReader::accumulate(|nal: RefNal<'_>| {
        if nal.is_complete() {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut nal.reader(), &mut bytes).unwrap();
            nals.push(bytes);
        }
        NalInterest::Buffer
    });
    reader.push(stream);
    reader.reset();
    nals
}

fn kind(nal: &[u8]) -> u8 {
    nal[0] & 0x1f
}

fn is_slice(nal: &[u8]) -> bool {
    matches!(kind(nal), 1 | 5)
}

/// NAL units as a stream, with start codes of three bytes.
fn stream<'a>(nals: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    nals.into_iter()
        .flat_map(|nal| [&[0, 0, 1], &nal[..]].concat())
        .collect()
}

/// The NAL units of an access unit.
fn contents(unit: &AccessUnit) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    let mut rest = &unit.data[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        nals.push(nal.to_vec());
        rest = after;
    }
    nals
}

fn read_all(stream: &[u8]) -> (Vec<AccessUnit>, Loss) {
    let mut reader = Reader::new();
    reader.push(stream, ());
    reader.flush();
    let units = std::iter::from_fn(|| reader.take());
    (units.map(|found| found.unit).collect(), reader.loss())
}

/// Where access units begin in one of our streams: from their first NAL unit on, by the first slice of each picture.
fn pictures(nals: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let mut pictures: Vec<Vec<Vec<u8>>> = vec![vec![]];
    for nal in nals {
        let last = pictures.last_mut().unwrap();
        let starts = !is_slice(nal) || nal[1] & 0x80 != 0;
        if starts && last.iter().any(|nal| is_slice(nal)) {
            pictures.push(vec![]);
        }
        pictures.last_mut().unwrap().push(nal.clone());
    }
    pictures
}

#[test]
fn every_slice_comes_out_bit_for_bit_in_the_access_unit_of_its_picture() {
    for (bytes, _) in STREAMS {
        let (units, loss) = read_all(bytes);
        assert_eq!(loss, Loss::default());
        let expected: Vec<Vec<_>> = pictures(&nals(bytes))
            .into_iter()
            .map(|nals| {
                nals.into_iter()
                    .filter(|nal| is_slice(nal) || kind(nal) == 6)
                    .collect()
            })
            .collect();
        let found: Vec<_> = units.iter().map(contents).collect();
        assert_eq!(found, expected);
        for (unit, nals) in units.iter().zip(&found) {
            assert_eq!(unit.idr, nals.iter().any(|nal| kind(nal) == 5));
        }
    }
}

#[test]
fn pictures_are_shown_in_the_order_in_which_ffmpeg_shows_them() {
    for (bytes, order) in STREAMS {
        let (units, _) = read_all(bytes);
        let mut shown: Vec<_> = units
            .iter()
            .enumerate()
            .map(|(decoded, unit)| (decoded as i32 + unit.display_shift, decoded))
            .collect();
        shown.sort_unstable();
        let places: Vec<_> = shown.iter().map(|&(place, _)| place).collect();
        assert_eq!(places, (0..units.len() as i32).collect::<Vec<_>>());
        let order: Vec<usize> = order
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        assert_eq!(
            shown
                .iter()
                .map(|&(_, decoded)| decoded)
                .collect::<Vec<_>>(),
            order
        );
    }
}

#[test]
fn how_the_stream_is_cut_changes_nothing() {
    for (bytes, _) in STREAMS {
        for seed in 0..8 {
            fuzzing::h264_reader(&[&[seed], bytes].concat());
        }
    }
}

#[test]
fn parameter_sets_say_what_ffprobe_says() {
    let sets = |bytes| read_all(bytes).0[0].parameter_sets.clone();
    let baseline = sets(BASELINE);
    assert_eq!((baseline.width, baseline.height), (320, 180));
    assert_eq!(baseline.frame_rate, Some((30, 1)));
    assert_eq!(baseline.sample_aspect_ratio, (1, 1));
    assert_eq!(baseline.chroma, [1, 0, 0]);
    assert_eq!(baseline.codecs(), "avc1.42c00d");
    assert_eq!(sets(SMALL).frame_rate, Some((25, 1)));
    assert_eq!(sets(PYRAMID).profile[0], 100);
}

#[test]
fn an_access_unit_is_complete_when_the_next_begins_and_not_before() {
    let mut reader = Reader::new();
    let mut found = Vec::new();
    for (number, picture) in pictures(&nals(BASELINE)).iter().enumerate() {
        let before = found.len();
        reader.push(&stream(picture), number);
        found.extend(std::iter::from_fn(|| reader.take()).map(|found| found.mark));
        assert_eq!(found.len() - before, usize::from(number > 0));
    }
    assert_eq!(found, (0..23).collect::<Vec<_>>());
}

#[test]
fn a_device_flushes_after_each_buffer_and_waits_for_nothing() {
    let mut reader = Reader::new();
    for (number, picture) in pictures(&nals(SLICES)).iter().enumerate() {
        // Some devices send parameter sets in a buffer of their own.
        let (sets, rest): (Vec<_>, Vec<_>) = picture.iter().partition(|nal| kind(nal) >= 7);
        for part in [sets, rest] {
            reader.push(&stream(part), number);
            reader.flush();
        }
        let found = reader.take().expect("the access unit is complete");
        assert_eq!((found.mark, found.end), (number, reader.offset()));
        assert!(reader.take().is_none());
    }
    assert_eq!(reader.loss(), Loss::default());
}

#[test]
fn an_access_unit_flushed_too_early_is_damage_until_the_next_idr_picture() {
    for cut in [300, 20, 5] {
        let mut reader = Reader::new();
        let pictures = pictures(&nals(BASELINE));
        let mut found = 0;
        for (number, picture) in pictures.iter().enumerate() {
            let bytes = stream(picture);
            if number == 3 {
                let (now, later) = bytes.split_at(cut);
                reader.push(now, ());
                reader.flush();
                reader.push(later, ());
            } else {
                reader.push(&bytes, ());
            }
            found += std::iter::from_fn(|| reader.take()).count();
        }
        reader.flush();
        found += std::iter::from_fn(|| reader.take()).count();
        let loss = reader.loss();
        assert_eq!(loss.false_ends, 1, "cut after {cut} bytes: {loss:?}");
        assert_eq!(found as u64 + loss.dropped_units, 24);
        // The half picture may have come out; pictures 4 to 7 have not.
        assert!((4..=5).contains(&loss.dropped_units), "{loss:?}");
    }
}

#[test]
fn a_slice_after_the_end_of_its_picture_was_declared_is_a_false_end() {
    let mut reader = Reader::new();
    for nal in nals(SLICES) {
        reader.push(&stream([&nal]), ());
        reader.flush();
    }
    let loss = reader.loss();
    assert!(loss.false_ends > 0, "{loss:?}");
    assert_eq!(
        std::iter::from_fn(|| reader.take()).count(),
        2,
        "the first slice of each IDR picture"
    );
}

#[test]
fn what_comes_before_the_first_idr_picture_is_dropped_and_counted() {
    let nals = nals(BASELINE);
    let slices: Vec<_> = nals.iter().filter(|nal| is_slice(nal)).cloned().collect();
    // Headers are known only from the second IDR picture on.
    let late = nals
        .iter()
        .enumerate()
        .filter(|(_, nal)| kind(nal) == 7)
        .nth(1)
        .unwrap()
        .0;
    let from_middle: Vec<_> = slices[3..8].iter().chain(&nals[late..]).cloned().collect();
    let (units, loss) = read_all(&stream(&from_middle));
    assert_eq!((units.len(), units[0].idr), (16, true));
    assert_eq!(
        loss,
        Loss {
            dropped_units: 5,
            ..Loss::default()
        }
    );
}

#[test]
fn a_lost_reference_picture_drops_the_rest_of_its_group() {
    let mut pictures = pictures(&nals(BASELINE));
    pictures.remove(3);
    let (units, loss) = read_all(&stream(pictures.iter().flatten()));
    assert_eq!(units.len(), 3 + 16);
    assert!(units[3].idr);
    assert_eq!(
        loss,
        Loss {
            dropped_units: 4,
            ..Loss::default()
        }
    );
}

#[test]
fn a_lost_first_slice_damages_its_picture() {
    let mut pictures = pictures(&nals(SLICES));
    let first = pictures[2].iter().position(|nal| is_slice(nal)).unwrap();
    pictures[2].remove(first);
    let (units, loss) = read_all(&stream(pictures.iter().flatten()));
    assert_eq!(units.len(), 2 + 12);
    assert_eq!(loss.dropped_units, 10);
}

#[test]
fn bytes_between_nal_units_are_damage() {
    let pictures = pictures(&nals(BASELINE));
    let mut bytes = stream(pictures[..2].iter().flatten());
    bytes.extend([0, 0, 0, 0xba, 0xad]);
    bytes.extend(stream(pictures[2..].iter().flatten()));
    let (units, loss) = read_all(&bytes);
    assert_eq!(units.len(), 1 + 16);
    assert_eq!((loss.bad_nals, loss.dropped_units), (1, 7));
}

#[test]
fn a_slice_that_refers_to_an_unknown_pps_is_damage() {
    let mut nals = nals(BASELINE);
    let damaged = nals.iter().position(|nal| kind(nal) == 1).unwrap();
    // first_mb_in_slice 0, slice_type 0, then 00000000 1 in the place of PPS 0: another PPS.
    nals[damaged][1] = 0b1100_0100;
    let (units, loss) = read_all(&stream(&nals));
    assert_eq!(units.len(), 1 + 16);
    assert_eq!((loss.bad_nals, loss.dropped_units), (1, 7));
}

#[test]
fn repeated_parameter_sets_keep_their_arc_and_changed_ones_take_effect_at_an_idr_picture() {
    let (units, loss) = read_all(&[BASELINE, SMALL, BASELINE].concat());
    assert_eq!(loss, Loss::default());
    let mut arcs: Vec<&Arc<ParameterSets>> = Vec::new();
    for unit in &units {
        if arcs
            .last()
            .is_none_or(|last| !Arc::ptr_eq(last, &unit.parameter_sets))
        {
            assert!(unit.idr);
            arcs.push(&unit.parameter_sets);
        }
        assert!(contents(unit).iter().all(|nal| !matches!(kind(nal), 7 | 8)));
    }
    let widths: Vec<_> = arcs.iter().map(|sets| sets.width).collect();
    assert_eq!(widths, [320, 160, 320]);
    assert_eq!(arcs[0], arcs[2]);
}

#[test]
fn a_pps_that_changes_within_a_sequence_goes_into_the_sample_and_into_force_at_the_next_idr_picture()
 {
    let mut pictures = pictures(&nals(BASELINE));
    let changed = {
        // PPS 5 for the same SPS, otherwise like PPS 0: ue(5) is 00110 where ue(0) is 1.
        let pps = pictures[0].iter().find(|nal| kind(nal) == 8).unwrap();
        let bits: Vec<_> = pps[1..]
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
            .collect();
        let last = bits.iter().rposition(|&bit| bit == 1).unwrap();
        let mut bits = [&[0, 0, 1, 1, 0], &bits[1..=last]].concat();
        bits.resize(bits.len().next_multiple_of(8), 0);
        let mut nal = vec![pps[0]];
        nal.extend(
            bits.chunks(8)
                .map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)),
        );
        nal
    };
    pictures[2].insert(0, changed.clone());
    let (units, loss) = read_all(&stream(pictures.iter().flatten()));
    assert_eq!(loss, Loss::default());
    assert_eq!(contents(&units[2])[0], changed);
    assert!(Arc::ptr_eq(
        &units[0].parameter_sets,
        &units[7].parameter_sets
    ));
    assert_eq!(units[8].parameter_sets.pps.len(), 2);
    assert_eq!(units[8].parameter_sets.pps[1], changed);
    assert!(Arc::ptr_eq(
        &units[8].parameter_sets,
        &units[23].parameter_sets
    ));
}

#[test]
fn parameter_sets_may_come_from_outside_the_stream_and_in_any_order() {
    let nals = nals(BASELINE);
    let slices: Vec<_> = nals.iter().filter(|nal| is_slice(nal)).collect();
    let mut reader = Reader::new();
    for kind_wanted in [8, 7] {
        let set = nals.iter().find(|nal| kind(nal) == kind_wanted).unwrap();
        assert!(reader.put_parameter_set(set));
    }
    reader.push(&stream(slices), ());
    reader.flush();
    assert_eq!(std::iter::from_fn(|| reader.take()).count(), 24);
    assert_eq!(reader.loss(), Loss::default());
}

#[test]
fn pictures_with_equal_headers_are_told_apart_by_their_first_macroblock() {
    // The same IDR picture again and again, as from an encoder that sends nothing else and never counts idr_pic_id.
    let nals = nals(BASELINE);
    let idr = nals.iter().position(|nal| kind(nal) == 5).unwrap();
    let mut bytes = stream(&nals[..=idr]);
    for _ in 0..4 {
        bytes.extend(stream([&nals[idr]]));
    }
    let (units, loss) = read_all(&bytes);
    assert_eq!((units.len(), loss), (5, Loss::default()));
}

#[test]
fn an_access_unit_without_end_is_damage_and_takes_no_memory() {
    let mut reader = Reader::new();
    reader.push(BASELINE, ());
    let filler = vec![0x55; 1 << 20];
    for _ in 0..64 {
        reader.push(&filler, ());
    }
    assert!(reader.may_end_here().is_none());
    reader.push(BASELINE, ());
    reader.flush();
    let units: Vec<_> = std::iter::from_fn(|| reader.take()).collect();
    // The last of the first was overgrown.
    assert_eq!(units.len(), 47);
    assert!(units.iter().all(|found| found.unit.data.len() < 1 << 20));
    assert_eq!(reader.loss().dropped_units, 1);
}

#[test]
fn samples_of_an_mp4_file_are_read_like_the_stream_they_came_from() {
    for (bytes, _) in STREAMS {
        let nals = nals(bytes);
        let sets = nals
            .iter()
            .filter(|nal| matches!(kind(nal), 7 | 8))
            .map(Vec::as_slice);
        let mut reader = SampleReader::new(2, sets);
        let units: Vec<_> = pictures(&nals)
            .iter()
            .map(|nals| {
                let sample: Vec<_> = nals
                    .iter()
                    .flat_map(|nal| [&(nal.len() as u16).to_be_bytes(), &nal[..]].concat())
                    .collect();
                reader.sample(&sample).expect("the sample is good")
            })
            .collect();
        assert_eq!(reader.loss(), Loss::default());
        for (one, other) in units.iter().zip(read_all(bytes).0) {
            assert_eq!(one.data, other.data);
            assert_eq!(one.display_shift, other.display_shift);
        }
    }
}

#[test]
fn a_sample_that_is_cut_off_is_damage() {
    let nals = nals(BASELINE);
    let sets = nals
        .iter()
        .filter(|nal| matches!(kind(nal), 7 | 8))
        .map(Vec::as_slice);
    let mut reader = SampleReader::new(4, sets);
    let idr = nals.iter().find(|nal| kind(nal) == 5).unwrap();
    let sample = [&(idr.len() as u32).to_be_bytes(), &idr[..]].concat();
    assert!(reader.sample(&sample[..sample.len() - 1]).is_none());
    assert!(reader.sample(&sample).is_some());
    assert_eq!(
        reader.loss(),
        Loss {
            bad_nals: 1,
            ..Loss::default()
        }
    );
}

/// A stream's SPS with its bitstream restriction taken out, and the stream with that SPS.
fn without_restriction(bytes: &[u8]) -> (SeqParameterSet, Vec<u8>) {
    let mut changed = None;
    let nals: Vec<_> = nals(bytes)
        .into_iter()
        .map(|nal| {
            if kind(&nal) != 7 {
                return nal;
            }
            let mut sps = parameter_sets::parse_sps(&nal).unwrap();
            sps.vui_parameters.as_mut().unwrap().bitstream_restrictions = None;
            let nal = sps.to_vec_with_header(NalHeader::new(nal[0]).unwrap());
            changed = Some(sps);
            nal
        })
        .collect();
    (changed.unwrap(), stream(&nals))
}

#[test]
fn the_sps_for_avcc_says_that_nothing_is_reordered_and_nothing_else() {
    let (plain, bytes) = without_restriction(BASELINE);
    let sets = &read_all(&bytes).0[0].parameter_sets;
    assert_eq!(sets.sps_for_avcc(true), sets.sps);
    let written = sets.sps_for_avcc(false);
    let mut sps =
        SeqParameterSet::from_bits(RefNal::new(&written[0], &[], true).rbsp_bits()).unwrap();
    let restrictions = sps
        .vui_parameters
        .as_mut()
        .unwrap()
        .bitstream_restrictions
        .take()
        .unwrap();
    assert_eq!(restrictions.max_num_reorder_frames, 0);
    assert!(restrictions.max_dec_frame_buffering >= sps.max_num_ref_frames);
    assert_eq!(sps, plain);
}

#[test]
fn an_sps_that_says_how_many_pictures_are_reordered_is_left_alone() {
    for (bytes, _) in STREAMS {
        let sets = &read_all(bytes).0[0].parameter_sets;
        assert_eq!(sets.sps_for_avcc(false), sets.sps);
    }
}

#[test]
fn an_sps_without_vui_gets_one() {
    // From a Raspberry Pi's encoder by the shape of it: high, 4.0, no VUI.
    let (mut plain, _) = without_restriction(PYRAMID);
    plain.vui_parameters = None;
    let nal = Bytes::from(plain.to_vec_with_header(NalHeader::new(0x27).unwrap()));
    let pps = vec![Bytes::from_static(&[0x28, 0xee])];
    let sets = ParameterSets::new(vec![nal], pps).unwrap();
    assert_eq!((sets.width, sets.frame_rate), (320, None));
    let written = parameter_sets::parse_sps(&sets.sps_for_avcc(false)[0]).unwrap();
    assert_eq!(parameter_sets::declares_reordering(&written), Some(false));
    assert_eq!(written.vui_parameters.unwrap().timing_info, None);
}

#[test]
fn an_sps_that_breaks_the_limits_of_its_level_is_used_all_the_same() {
    let mut nal = nals(BASELINE)
        .into_iter()
        .find(|nal| kind(nal) == 7)
        .unwrap();
    nal[3] = 10; // Level 1 has pictures up to 176x144.
    let pps = vec![Bytes::from_static(&[0x68, 0xee])];
    let sets = ParameterSets::new(vec![nal.into()], pps).unwrap();
    assert_eq!((sets.width, sets.height, sets.profile[2]), (320, 180, 10));
    assert_eq!(sets.sps_for_avcc(false), sets.sps);
}

#[test]
fn reordering_that_no_sps_declares_is_learned_and_kept_for_the_next_sequence() {
    let (_, bytes) = without_restriction(PYRAMID);
    let shifts = |bytes| -> Vec<i32> {
        read_all(bytes)
            .0
            .iter()
            .map(|unit| unit.display_shift)
            .collect()
    };
    let (declared, learned) = (shifts(PYRAMID), shifts(&bytes));
    assert_eq!(learned[12..], declared[12..]);
    assert_eq!(learned[..2], [0, 0], "nothing is known yet");
    let (_, bytes) = without_restriction(BASELINE);
    assert!(shifts(&bytes).iter().all(|&shift| shift == 0));
}

#[test]
fn the_fuzzers_corpus_passes() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/h264_reader");
    let mut inputs = 0;
    for entry in std::fs::read_dir(directory).expect("the corpus lies beside the fuzz target") {
        fuzzing::h264_reader(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damage_anywhere_is_survived_and_the_last_group_comes_out_whole(
        edits in proptest::collection::vec((0usize..8000, 0u8..4, any::<u8>()), 1..6),
        which in 0usize..3,
    ) {
        let bytes = STREAMS[which].0;
        // The last IDR picture with its parameter sets, far behind the damage.
        let (whole, _) = read_all(bytes);
        let group = whole.iter().rposition(|unit| unit.idr).unwrap();
        let all = pictures(&nals(bytes));
        let tail: Vec<_> = all[group..].iter().flatten().cloned().collect();
        let mut damaged = bytes.to_vec();
        for (at, what, value) in edits {
            let at = at % damaged.len();
            match what {
                0 => damaged[at] = value,
                1 => { damaged.drain(at..(at + usize::from(value)).min(damaged.len())); }
                2 => damaged.insert(at, value),
                _ => damaged[at] ^= 1 << (value % 8),
            }
        }
        // Parameter sets are repeated with each IDR picture only by some; so put them out of band again.
        let sets: Vec<_> = nals(bytes).into_iter().filter(|nal| matches!(kind(nal), 7 | 8)).collect();
        damaged.extend(stream(sets.iter().take(2)));
        damaged.extend(stream(&tail));
        let (units, _) = read_all(&damaged);
        let by_data: HashMap<_, _> = units.iter().map(|unit| (unit.data.clone(), unit)).collect();
        for unit in &whole[group..] {
            prop_assert!(by_data.contains_key(&unit.data));
        }
        fuzzing::h264_reader(&damaged);
    }
}
