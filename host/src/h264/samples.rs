use super::{AccessUnit, Loss, assembler::Assembler};

/// Reads access units from the samples of an MP4 file: NAL units behind their length (ISO/IEC 14496-15, 5.3.4.2).
///
/// Damage is handled and counted as by [`Reader`](super::Reader).
#[derive(Debug)]
pub struct SampleReader {
    assembler: Assembler<()>,
    length_size: usize,
}

impl SampleReader {
    /// A reader for samples with lengths of 1 to 4 bytes, and the parameter sets of their sample entry.
    pub fn new<'a>(length_size: u8, parameter_sets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut assembler = Assembler::new();
        for nal in parameter_sets {
            assembler.put_parameter_set(nal);
        }
        Self {
            assembler,
            length_size: usize::from(length_size.clamp(1, 4)),
        }
    }

    /// Reads a sample, which is one access unit; `None` if it is dropped.
    pub fn sample(&mut self, mut sample: &[u8]) -> Option<AccessUnit> {
        while let Some((length, rest)) = sample.split_at_checked(self.length_size) {
            let length = length
                .iter()
                .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            let Some((nal, rest)) = rest.split_at_checked(length) else {
                break;
            };
            self.assembler.begin((), 0);
            self.assembler.bytes(nal);
            self.assembler.end();
            sample = rest;
        }
        if !sample.is_empty() {
            self.assembler.stray();
        }
        self.assembler.flush(0);
        let mut unit = None;
        // A sample with two pictures is against the rules; what counts is where decoding can go on.
        while let Some(found) = self.assembler.take() {
            unit = Some(found.unit);
        }
        unit
    }

    /// What has been lost so far.
    pub fn loss(&self) -> Loss {
        self.assembler.loss()
    }
}
