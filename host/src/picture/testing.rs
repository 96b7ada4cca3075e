//! For tests: access units back to pictures, by openh264's decoder.

use openh264::{decoder::Decoder, formats::YUVSource};

use super::clockbar::{self, Reading};
use crate::h264::AccessUnit;

/// A picture that was decoded.
pub(crate) struct Decoded {
    pub width: usize,
    pub height: usize,
    /// Without padding.
    pub luma: Vec<u8>,
    /// Full-range RGBA, as a page reads it from a canvas.
    pub rgba: Vec<u8>,
}

impl Decoded {
    pub fn reading(&self) -> Option<Reading> {
        clockbar::read(&self.luma, self.width, self.width, self.height)
    }
}

/// The access unit as a byte stream (Annex B), parameter sets before an IDR picture.
pub(crate) fn annex_b(unit: &AccessUnit) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut push = |nal: &[u8]| {
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(nal);
    };
    if unit.idr {
        let sets = &unit.parameter_sets;
        sets.sps.iter().chain(&sets.pps).for_each(|nal| push(nal));
    }
    nals(unit).for_each(push);
    stream
}

/// The NAL units of an access unit.
pub(crate) fn nals(unit: &AccessUnit) -> impl Iterator<Item = &[u8]> {
    let mut rest = &unit.data[..];
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        rest = after;
        Some(nal)
    })
}

/// Decodes one access unit, which must give one picture.
pub(crate) fn decode(decoder: &mut Decoder, unit: &AccessUnit) -> Decoded {
    let picture = decoder
        .decode(&annex_b(unit))
        .expect("what we encoded can be decoded")
        .expect("one access unit in, one picture out");
    let (width, height) = picture.dimensions();
    let stride = picture.strides().0;
    let luma = picture
        .y()
        .chunks(stride)
        .take(height)
        .flat_map(|row| &row[..width])
        .copied()
        .collect();
    let mut rgba = vec![0; picture.rgba8_len()];
    picture.write_rgba8(&mut rgba);
    Decoded {
        width,
        height,
        luma,
        rgba,
    }
}
