use proptest::prelude::*;

use super::*;
use crate::picture::Colors;

/// Luma by column and row, chroma by column and row of the chroma plane: all different from their neighbours.
fn luma(x: usize, y: usize) -> u8 {
    (x * 3 + y * 17) as u8
}
fn cb(x: usize, y: usize) -> u8 {
    (40 + x * 5 + y * 7) as u8
}
fn cr(x: usize, y: usize) -> u8 {
    (90 + x * 11 + y * 3) as u8
}

/// A buffer as a driver would fill it; what lies between rows is 0xee.
fn buffer(pixels: Pixels, width: usize, height: usize, stride: usize) -> Vec<u8> {
    let padded = |row: Vec<u8>, stride: usize| {
        let mut row = row;
        row.resize(stride, 0xee);
        row
    };
    let lumas = |y| padded((0..width).map(|x| luma(x, y)).collect(), stride);
    let half = |sample: fn(usize, usize) -> u8| {
        (0..height.div_ceil(2))
            .flat_map(move |y| padded((0..width / 2).map(|x| sample(x, y)).collect(), stride / 2))
    };
    match pixels {
        Pixels::Grey => (0..height).flat_map(lumas).collect(),
        Pixels::Nv12 => (0..height)
            .flat_map(lumas)
            .chain((0..height.div_ceil(2)).flat_map(|y| {
                padded(
                    (0..width / 2).flat_map(|x| [cb(x, y), cr(x, y)]).collect(),
                    stride,
                )
            }))
            .collect(),
        Pixels::Yu12 => (0..height)
            .flat_map(lumas)
            .chain(half(cb))
            .chain(half(cr))
            .collect(),
        Pixels::Yv12 => (0..height)
            .flat_map(lumas)
            .chain(half(cr))
            .chain(half(cb))
            .collect(),
        Pixels::Yuyv | Pixels::Uyvy => (0..height)
            .flat_map(|y| {
                let pair = |x: usize| {
                    // Both rows of a chroma sample have it.
                    let [a, b] = [luma(2 * x, y), luma(2 * x + 1, y)];
                    let [u, v] = [cb(x, y / 2), cr(x, y / 2)];
                    match pixels {
                        Pixels::Yuyv => [a, u, b, v],
                        _ => [u, a, v, b],
                    }
                };
                padded((0..width / 2).flat_map(pair).collect(), stride)
            })
            .collect(),
        Pixels::Mjpg => unreachable!("JPEGs have tests of their own"),
    }
}

const PLAIN: [Pixels; 6] = [
    Pixels::Nv12,
    Pixels::Yu12,
    Pixels::Yv12,
    Pixels::Yuyv,
    Pixels::Uyvy,
    Pixels::Grey,
];

fn least_stride(pixels: Pixels, width: usize) -> usize {
    match pixels {
        Pixels::Yuyv | Pixels::Uyvy => 2 * width,
        _ => width,
    }
}

fn converter(pixels: Pixels, width: usize, height: usize, stride: usize) -> Converter {
    let layout = Layout {
        pixels,
        width: width as u32,
        height: height as u32,
        stride: stride as u32,
        colors: Colors::BT709,
    };
    Converter::new(layout).unwrap()
}

fn check(pixels: Pixels, canvas: &mut Canvas) {
    let (width, height) = (
        canvas.size().width() as usize,
        canvas.size().height() as usize,
    );
    let planes = canvas.planes_mut();
    for y in 0..height {
        for x in 0..width {
            assert_eq!(planes.luma[y * width + x], luma(x, y), "{pixels:?} {x},{y}");
        }
    }
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            let at = y * (width / 2) + x;
            let wanted = match pixels {
                Pixels::Grey => (128, 128),
                _ => (cb(x, y), cr(x, y)),
            };
            assert_eq!((planes.cb[at], planes.cr[at]), wanted, "{pixels:?} {x},{y}");
        }
    }
}

#[test]
fn samples_stay_as_they_are_in_every_layout_and_with_any_padding() {
    // Widths that SIMD has a rest of.
    for (width, height, padding) in [(16, 16, 0), (64, 32, 0), (70, 18, 10), (320, 180, 64)] {
        for pixels in PLAIN {
            let stride = least_stride(pixels, width) + padding;
            let bytes = buffer(pixels, width, height, stride);
            let mut converter = converter(pixels, width, height, stride);
            let mut canvas = converter.canvas();
            converter.convert(&bytes, &mut canvas).unwrap();
            check(pixels, &mut canvas);
        }
    }
}

#[test]
fn a_last_row_may_lack_its_padding() {
    for pixels in PLAIN {
        let stride = least_stride(pixels, 32) + 32;
        let bytes = buffer(pixels, 32, 16, stride);
        let padding = match pixels {
            Pixels::Yu12 | Pixels::Yv12 => 16,
            _ => 32,
        };
        let bytes = &bytes[..bytes.len() - padding];
        let mut converter = converter(pixels, 32, 16, stride);
        let mut canvas = converter.canvas();
        converter.convert(bytes, &mut canvas).unwrap();
        check(pixels, &mut canvas);
        let short = converter.convert(&bytes[..bytes.len() - 1], &mut canvas);
        assert!(matches!(short, Err(BadPicture::Short { .. })), "{pixels:?}");
    }
}

#[test]
fn an_odd_last_row_is_left_out() {
    for pixels in PLAIN {
        let stride = least_stride(pixels, 32);
        let bytes = buffer(pixels, 32, 17, stride);
        let mut converter = converter(pixels, 32, 17, stride);
        let mut canvas = converter.canvas();
        assert_eq!(canvas.size(), Size::new(32, 16).unwrap());
        converter.convert(&bytes, &mut canvas).unwrap();
        check(pixels, &mut canvas);
    }
}

#[test]
fn a_driver_that_says_no_stride_means_none_between_rows() {
    let bytes = buffer(Pixels::Yuyv, 32, 16, 64);
    let mut converter = converter(Pixels::Yuyv, 32, 16, 0);
    let mut canvas = converter.canvas();
    converter.convert(&bytes, &mut canvas).unwrap();
    check(Pixels::Yuyv, &mut canvas);
}

#[test]
fn chroma_of_two_rows_is_their_mean() {
    // Grey above, colour below.
    let row = |u: u8, v: u8| [100, u, 100, v].repeat(8);
    let bytes: Vec<u8> = (0..16)
        .flat_map(|y| {
            if y % 2 == 0 {
                row(128, 128)
            } else {
                row(28, 228)
            }
        })
        .collect();
    let mut converter = converter(Pixels::Yuyv, 16, 16, 32);
    let mut canvas = converter.canvas();
    converter.convert(&bytes, &mut canvas).unwrap();
    let planes = canvas.planes_mut();
    assert!(planes.cb.iter().all(|&cb| cb == 78));
    assert!(planes.cr.iter().all(|&cr| cr == 178));
}

proptest! {
    #[test]
    fn a_buffer_of_any_length_makes_a_picture_or_an_error(length in 0usize..4_000, stride in 0usize..200, which in 0usize..6) {
        let mut converter = converter(PLAIN[which], 32, 18, stride);
        let mut canvas = converter.canvas();
        let _ = converter.convert(&vec![7; length], &mut canvas);
    }
}
