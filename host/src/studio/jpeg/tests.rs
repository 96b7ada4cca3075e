use super::*;
use crate::{
    picture::{Canvas, Color, Colors, Size},
    studio::{BadPicture, Converter, Layout, Pixels},
};

/// FFmpeg's `testsrc2` of 64x48, behind the four bytes that say so to the fuzz target.
const JPEG_420: &[u8] = include_bytes!("../../../fuzz/corpus/picture/jpeg_420");
const JPEG_422: &[u8] = include_bytes!("../../../fuzz/corpus/picture/jpeg_422");
const JPEG_444: &[u8] = include_bytes!("../../../fuzz/corpus/picture/jpeg_444");
const JPEG_GREY: &[u8] = include_bytes!("../../../fuzz/corpus/picture/jpeg_grey");

fn decode(jpeg: &[u8], width: u32, height: u32) -> Result<Canvas, BadPicture> {
    let layout = Layout {
        pixels: Pixels::Mjpg,
        width,
        height,
        stride: 0,
        // Drivers say all sorts of things.
        colors: Colors::BT709,
    };
    let mut converter = Converter::new(layout).unwrap();
    let mut canvas = converter.canvas();
    converter.convert(jpeg, &mut canvas)?;
    Ok(canvas)
}

/// The mean of the squares of the differences.
fn error(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2));
    squares.sum::<f64>() / a.len() as f64
}

#[test]
fn every_kind_of_chroma_gives_the_same_picture() {
    let mut whole = decode(&JPEG_420[4..], 64, 48).unwrap();
    assert_eq!(whole.colors(), Colors::JPEG);
    let whole = whole.planes_mut();
    for jpeg in [JPEG_422, JPEG_444] {
        let mut other = decode(&jpeg[4..], 64, 48).unwrap();
        let other = other.planes_mut();
        assert!(error(whole.luma, other.luma) < 2.0);
        // Other filters make chroma smaller, which shows at edges.
        for (a, b) in [(&whole.cb, &other.cb), (&whole.cr, &other.cr)] {
            let error = error(a, b);
            assert!(error < 60.0, "{error}");
        }
    }
    let mut grey = decode(&JPEG_GREY[4..], 64, 48).unwrap();
    let grey = grey.planes_mut();
    assert!(
        grey.cb
            .iter()
            .chain(grey.cr.iter())
            .all(|&sample| sample == 128)
    );
}

#[test]
fn a_jpeg_that_is_rounded_up_to_blocks_is_cut() {
    let whole = decode(&JPEG_422[4..], 64, 48).unwrap();
    let cut = decode(&JPEG_422[4..], 60, 40).unwrap();
    assert_eq!(cut.size(), Size::new(60, 40).unwrap());
    for (whole, cut) in whole.luma().chunks(64).zip(cut.luma().chunks(60)) {
        assert_eq!(whole[..60], *cut);
    }
}

#[test]
fn a_jpeg_of_another_size_is_refused() {
    for (width, height) in [(80, 48), (64, 64), (32, 48), (32, 16)] {
        let error = decode(&JPEG_422[4..], width, height).unwrap_err();
        assert!(
            matches!(
                error,
                BadPicture::Jpeg(BadJpeg::Size { .. } | BadJpeg::Damaged(_))
            ),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_jpeg_is_refused_wherever_it_is_cut() {
    let jpeg = &JPEG_422[4..];
    // The last two bytes are the end of image, without which all is there.
    for end in 0..jpeg.len() - 2 {
        assert!(
            decode(&jpeg[..end], 64, 48).is_err(),
            "cut at {end} of {}",
            jpeg.len()
        );
    }
}

#[test]
fn padding_behind_a_jpeg_is_no_damage() {
    let padded = [&JPEG_422[4..], &[0; 4096]].concat();
    let (plain, padded) = (
        decode(&JPEG_422[4..], 64, 48).unwrap(),
        decode(&padded, 64, 48).unwrap(),
    );
    assert_eq!(plain.luma(), padded.luma());
}

#[test]
fn a_damaged_one_does_not_show_in_the_next() {
    let layout = Layout {
        pixels: Pixels::Mjpg,
        width: 64,
        height: 48,
        stride: 0,
        colors: Colors::JPEG,
    };
    let mut converter = Converter::new(layout).unwrap();
    let mut canvas = Canvas::with_colors(converter.size(), Color::WHITE, converter.colors());
    let jpeg = &JPEG_444[4..];
    converter
        .convert(&jpeg[..jpeg.len() / 2], &mut canvas)
        .unwrap_err();
    converter.convert(jpeg, &mut canvas).unwrap();
    assert_eq!(canvas.luma(), decode(jpeg, 64, 48).unwrap().luma());
}

#[test]
fn a_jpeg_without_its_tables_means_the_standard_ones() {
    // Written with the standard tables, by libjpeg.
    let jpeg = &JPEG_GREY[4..];
    let mut bare = jpeg[..2].to_vec();
    let mut at = 2;
    while jpeg[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != 0xc4 {
            bare.extend_from_slice(&jpeg[at..at + length]);
        }
        at += length;
    }
    bare.extend_from_slice(&jpeg[at..]);
    assert!(bare.len() < jpeg.len());
    let (whole, bare) = (
        decode(jpeg, 64, 48).unwrap(),
        decode(&bare, 64, 48).unwrap(),
    );
    assert_eq!(whole.luma(), bare.luma());
}
