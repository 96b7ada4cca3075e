use h264_reader::nal::{Nal, RefNal, sps::SeqParameterSet};

use super::*;
use crate::{
    picture::{Card, Color, testing},
    time::Wall,
};

fn size(width: u32, height: u32) -> Size {
    Size::new(width, height).unwrap()
}

fn open(size: Size, fps: u32, bitrate: u32) -> Encoder {
    Encoder::open(Settings {
        size,
        colors: Colors::BT709,
        fps,
        rate: Rate::Bits(bitrate),
    })
    .unwrap()
}

/// Encodes `count` pictures of the test card, keys where `key` says, and gives what came out.
fn encode_card(encoder: &mut Encoder, count: u32, key: impl Fn(u32) -> bool) -> Vec<AccessUnit> {
    let Settings { size, fps, .. } = encoder.settings;
    let mut card = Card::new(size, "test");
    (0..count)
        .map(|frame| {
            let wall = moment(frame, fps);
            encoder.encode(card.draw(wall, frame), key(frame)).unwrap()
        })
        .collect()
}

fn moment(frame: u32, fps: u32) -> Wall {
    Wall(1_772_719_402_123_000 + u64::from(frame) * 1_000_000 / u64::from(fps))
}

#[test]
fn key_frames_come_where_they_are_asked_for_and_nowhere_else() {
    let mut encoder = open(size(320, 180), 25, 300_000);
    let asked = [7, 8, 20, 44];
    let units = encode_card(&mut encoder, 60, |frame| asked.contains(&frame));
    let keys: Vec<_> = (0..)
        .zip(&units)
        .filter(|(_, unit)| unit.idr)
        .map(|(frame, _)| frame)
        .collect();
    assert_eq!(keys, [0, 7, 8, 20, 44]);
    for unit in &units {
        let wanted = if unit.idr { 5 } else { 1 };
        assert!(testing::nals(unit).all(|nal| nal[0] & NAL_TYPE == wanted));
    }
}

#[test]
fn a_cut_to_another_picture_makes_no_key_frame() {
    let size = size(320, 180);
    let mut encoder = open(size, 25, 300_000);
    for frame in 0..20 {
        let color = if frame % 2 == 0 {
            Color::BLACK
        } else {
            Color::WHITE
        };
        let unit = encoder.encode(&Canvas::new(size, color), false).unwrap();
        assert_eq!(unit.idr, frame == 0);
    }
}

#[test]
fn parameter_sets_are_repeated_without_change_and_shared() {
    let mut encoder = open(size(320, 180), 30, 300_000);
    let units = encode_card(&mut encoder, 20, |frame| frame % 5 == 0);
    assert!(
        units
            .iter()
            .all(|unit| Arc::ptr_eq(&unit.parameter_sets, &units[0].parameter_sets))
    );
}

#[test]
fn the_stream_claims_constrained_baseline_at_the_level_it_needs() {
    for (width, height, fps, bitrate, codecs) in [
        (320, 180, 30, 300_000, "avc1.42c00d"),
        (1280, 720, 30, 2_000_000, "avc1.42c01f"),
        (1920, 1080, 30, 4_000_000, "avc1.42c028"),
    ] {
        let mut encoder = open(size(width, height), fps, bitrate);
        let units = encode_card(&mut encoder, 1, |_| true);
        assert_eq!(units[0].parameter_sets.codecs(), codecs);
    }
}

#[test]
fn the_bitrate_is_kept() {
    for (width, height, bitrate) in [
        (320, 180, 200_000),
        (640, 360, 800_000),
        (1280, 720, 1_500_000),
    ] {
        let mut encoder = open(size(width, height), 30, bitrate);
        let units = encode_card(&mut encoder, 150, |frame| frame % 30 == 0);
        let bits: usize = units.iter().map(|unit| unit.data.len() * 8).sum();
        let rate = bits as f64 / 5.0;
        println!("{width}x{height} wanted {bitrate} got {rate}");
        assert!(
            rate < f64::from(bitrate) * 1.15,
            "{width}x{height}: {rate} of {bitrate}"
        );
    }
}

#[test]
fn the_stream_says_that_nothing_is_reordered_and_which_colours_it_means() {
    let limited = Colors {
        full_range: false,
        ..Colors::JPEG
    };
    for (colors, matrix) in [(Colors::BT709, 1), (Colors::JPEG, 6), (limited, 6)] {
        let mut encoder = Encoder::open(Settings {
            size: size(320, 180),
            colors,
            fps: 30,
            rate: Rate::Bits(300_000),
        })
        .unwrap();
        let picture = Canvas::with_colors(size(320, 180), Color::WHITE, colors);
        let unit = encoder.encode(&picture, true).unwrap();
        let sps = RefNal::new(&unit.parameter_sets.sps[0], &[], true);
        let sps = SeqParameterSet::from_bits(sps.rbsp_bits()).unwrap();
        assert_eq!(sps.pixel_dimensions().unwrap(), (320, 180));
        let vui = sps.vui_parameters.unwrap();
        assert_eq!(
            vui.bitstream_restrictions.unwrap().max_num_reorder_frames,
            0
        );
        let signal = vui.video_signal_type.unwrap();
        assert_eq!(signal.video_full_range_flag, colors.full_range);
        let description = signal.colour_description.unwrap();
        assert_eq!(description.matrix_coefficients, matrix);
        assert_eq!(description.colour_primaries, 1);
    }
}

#[test]
fn settings_that_no_stream_can_have_are_refused() {
    for (fps, bitrate) in [(0, 1_000_000), (1_000, 1_000_000), (30, 0), (30, u32::MAX)] {
        let settings = Settings {
            size: size(320, 180),
            colors: Colors::BT709,
            fps,
            rate: Rate::Bits(bitrate),
        };
        assert!(matches!(
            Encoder::open(settings),
            Err(EncodeError::Settings { .. })
        ));
    }
    let mut encoder = open(size(320, 180), 30, 300_000);
    let other = Canvas::new(size(640, 360), Color::BLACK);
    assert!(matches!(
        encoder.encode(&other, true),
        Err(EncodeError::Size { .. })
    ));
    let other = Canvas::with_colors(size(320, 180), Color::BLACK, Colors::JPEG);
    assert!(matches!(
        encoder.encode(&other, true),
        Err(EncodeError::Colors { .. })
    ));
}
