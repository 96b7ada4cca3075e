use std::sync::Arc;

use bytes::Bytes;
use h264_reader::nal::{NalHeader, WritableNal, sps::SeqParameterSet};

use super::*;
use crate::h264::parameter_sets;

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
