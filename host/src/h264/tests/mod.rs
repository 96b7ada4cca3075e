//! Whole streams of real encoders, whole and damaged.

mod damage;
mod parameter_sets;
mod samples;

use h264_reader::{
    annexb::AnnexBReader,
    nal::{Nal, RefNal},
    push::NalInterest,
};

use super::*;

pub(super) const BASELINE: &[u8] = include_bytes!("../../../tests/data/h264/baseline.h264");
const SLICES: &[u8] = include_bytes!("../../../tests/data/h264/main-4slices-b2.h264");
const PYRAMID: &[u8] = include_bytes!("../../../tests/data/h264/high-pyramid.h264");
const SMALL: &[u8] = include_bytes!("../../../tests/data/h264/small.h264");

const STREAMS: [(&[u8], &str); 4] = [
    (
        BASELINE,
        include_str!("../../../tests/data/h264/baseline.order"),
    ),
    (
        SLICES,
        include_str!("../../../tests/data/h264/main-4slices-b2.order"),
    ),
    (
        PYRAMID,
        include_str!("../../../tests/data/h264/high-pyramid.order"),
    ),
    (SMALL, include_str!("../../../tests/data/h264/small.order")),
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
