use super::*;

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
