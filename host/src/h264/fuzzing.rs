//! What must hold of the readers whatever comes in: the body of the fuzz target, which a test runs over its corpus.

use super::{AccessUnit, Loss, Reader, SampleReader};

/// Reads `data` as a stream in one piece, in pieces, with the end declared at odd places, and as MP4 samples. The first
/// byte chooses the pieces.
///
/// # Panics
///
/// If a rule is broken.
pub fn h264_reader(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    let whole = read(stream, |_| usize::MAX, false);
    let mut random = u32::from(seed) | 0x100;
    let mut sizes = |_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match random >> 29 {
            0..4 => 1 + (random >> 16) as usize % 4,
            4..7 => 1 + (random >> 16) as usize % 64,
            _ => 1 + (random >> 16) as usize % 4096,
        }
    };
    let pieces = read(stream, &mut sizes, false);
    assert_eq!(whole.1, pieces.1, "losses depend on how the stream is cut");
    assert_eq!(
        whole.0.len(),
        pieces.0.len(),
        "access units depend on how the stream is cut"
    );
    for (one, other) in whole.0.iter().zip(&pieces.0) {
        assert_eq!(one.data, other.data);
        assert_eq!(one.idr, other.idr);
        assert_eq!(one.display_shift, other.display_shift);
        assert_eq!(one.parameter_sets, other.parameter_sets);
    }
    check(&whole.0, stream.len());
    check(&read(stream, &mut sizes, true).0, stream.len());

    let mut samples = SampleReader::new(seed % 4 + 1, stream.chunks(64).take(2));
    let units: Vec<_> = stream
        .chunks(usize::from(seed) * 8 + 16)
        .filter_map(|sample| samples.sample(sample))
        .collect();
    check(&units, 4 * stream.len());
}

fn read(
    mut stream: &[u8],
    mut size: impl FnMut(()) -> usize,
    flush: bool,
) -> (Vec<AccessUnit>, Loss) {
    let mut reader = Reader::new();
    while !stream.is_empty() {
        let (now, later) = stream.split_at(size(()).min(stream.len()));
        reader.push(now, ());
        reader.may_end_here();
        if flush {
            reader.flush();
        }
        stream = later;
    }
    reader.flush();
    let units = std::iter::from_fn(|| reader.take())
        .map(|found| found.unit)
        .collect();
    (units, reader.loss())
}

fn check(units: &[AccessUnit], read: usize) {
    assert!(units.first().is_none_or(|unit| unit.idr));
    let mut written = 0;
    for unit in units {
        written += unit.data.len();
        let mut rest = &unit.data[..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            assert!(length > 0, "no NAL unit is empty");
            rest = &after[length..];
        }
        assert!(rest.is_empty());
        assert!(unit.display_shift.abs() <= 16);
        let sets = &unit.parameter_sets;
        assert!(sets.width > 0 && sets.height > 0 && !sets.pps.is_empty());
        assert_eq!(sets.sps_for_avcc(false).len(), sets.sps.len());
        assert_eq!(sets.sps_for_avcc(true), sets.sps);
    }
    // A start code of three bytes becomes a length of four; parameter sets that are put in came in.
    assert!(written <= 2 * read, "{written} bytes out of {read}");
}
