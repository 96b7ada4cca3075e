use super::{Converter, Layout, Pixels};
use crate::picture::Colors;

const PIXELS: [Pixels; 7] = [
    Pixels::Nv12,
    Pixels::Yu12,
    Pixels::Yv12,
    Pixels::Yuyv,
    Pixels::Uyvy,
    Pixels::Grey,
    Pixels::Mjpg,
];

/// Body of the fuzz target `picture`: whatever a camera's buffer holds, it makes a picture or an error. The first four
/// bytes say what it should hold.
///
/// # Panics
///
/// When a rule is broken.
pub fn picture(input: &[u8]) {
    let Some(([pixels, width, height, padding], bytes)) = input.split_first_chunk::<4>() else {
        return;
    };
    let width = 16 + 2 * u32::from(*width);
    let layout = Layout {
        pixels: PIXELS[usize::from(*pixels) % PIXELS.len()],
        width,
        height: 16 + 2 * u32::from(*height),
        stride: width + u32::from(*padding),
        colors: Colors::BT709,
    };
    let mut converter = Converter::new(layout).expect("the size can be encoded");
    let mut canvas = converter.canvas();
    let first = converter.convert(bytes, &mut canvas);
    let picture = canvas.clone();
    // What one picture left behind doesn't show in the next.
    assert_eq!(first, converter.convert(bytes, &mut canvas), "not twice");
    if first.is_ok() {
        let whole = picture.bounds();
        assert!(picture.luma() == canvas.luma(), "{whole:?} changed");
    }
}
