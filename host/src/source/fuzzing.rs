use std::{
    fs::File,
    io::{Seek as _, Write as _},
    os::unix::fs::FileExt as _,
};

use rustix::fs::MemfdFlags;

use super::mp4::Track;
use crate::h264::SampleReader;

/// Body of the fuzz target `mp4`: a track lists no more than the file has, in order, and all of it can be read.
///
/// # Panics
///
/// When a rule is broken.
pub fn mp4(input: &[u8]) {
    let memory = rustix::fs::memfd_create("fuzz.mp4", MemfdFlags::CLOEXEC).expect("memory");
    let mut file = File::from(memory);
    file.write_all(input)
        .and_then(|()| file.rewind())
        .expect("memory takes everything");
    let Ok(track) = Track::read(&file) else {
        return;
    };
    let parameter_sets = track.parameter_sets.iter().map(Vec::as_slice);
    let mut reader = SampleReader::new(track.length_size, parameter_sets);
    let mut listed = 0;
    let mut time = std::time::Duration::ZERO;
    let mut bytes = Vec::new();
    for sample in &track.samples {
        listed += u64::from(sample.size);
        assert!(
            track.time(sample) >= time && track.time(sample) <= track.duration(),
            "times go back"
        );
        time = track.time(sample);
        bytes.resize(sample.size as usize, 0);
        file.read_exact_at(&mut bytes, sample.offset)
            .expect("the sample is in the file");
        reader.sample(&bytes);
    }
    assert!(listed <= input.len() as u64, "samples overlap");
}
