use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

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
