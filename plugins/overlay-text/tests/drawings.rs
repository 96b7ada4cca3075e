//! Drawings as the host asks for them.

use overlay_text::OverlayText;
use picam_plugin::{Config, Plugin, kv, overlay::*};

const FRAME: Frame = Frame {
    time: 5_000_000,
    captured: 0,
    width: 1_280,
    height: 720,
};

/// A PNG of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn plugin<const N: usize>(pairs: [(&str, &str); N]) -> OverlayText {
    OverlayText::start(&Config::from(pairs)).unwrap()
}

fn contents(drawing: &Drawing) -> Vec<&str> {
    let texts = drawing
        .operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Text(text) => Some(&*text.content),
            _ => None,
        });
    texts.collect()
}

#[test]
fn lines_lie_below_each_other_from_the_corner_on() {
    let drawing = plugin([("text", "one\n\nthree"), ("position", "bottom-right")]).draw(&FRAME);
    assert_eq!(contents(&drawing), ["one", "three"]);
    let places: Vec<_> = drawing
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::Text(text) => (text.at.y, text.anchor),
            other => panic!("{other:?}"),
        })
        .collect();
    // Three lines of 40 above 980.
    assert_eq!(places, [(860, Anchor::TopRight), (940, Anchor::TopRight)]);
    assert_eq!(drawing.until, u64::MAX, "it never changes");
}

#[test]
fn a_value_is_shown_from_the_next_frame_on() {
    let mut plugin = plugin([("text", "{temperature} °C"), ("missing", "?")]);
    let drawing = plugin.draw(&FRAME);
    assert_eq!(contents(&drawing), ["? °C"]);
    assert_eq!(drawing.until, 0, "asked again for each frame");
    kv::set("value/temperature", b"21.5").unwrap();
    assert_eq!(contents(&plugin.draw(&FRAME)), ["21.5 °C"]);
    kv::delete("value/temperature");
    assert_eq!(contents(&plugin.draw(&FRAME)), ["? °C"]);
}

#[test]
fn an_image_comes_from_the_configuration_or_from_a_value() {
    let drawing = plugin([("image", PNG), ("text", "below")]).draw(&FRAME);
    let [Operation::Image(image), Operation::Text(text)] = &drawing.operations[..] else {
        panic!("{drawing:?}")
    };
    assert_eq!((image.at.y, image.size, text.at.y), (20, 100, 120));
    let png = image.png.clone();
    let mut plugin = plugin([("image", "{logo}")]);
    assert!(plugin.draw(&FRAME).operations.is_empty());
    kv::set("value/logo", b"no PNG").unwrap();
    assert!(plugin.draw(&FRAME).operations.is_empty());
    kv::set("value/logo", &png).unwrap();
    assert_eq!(plugin.draw(&FRAME).operations.len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_its_key() {
    for (key, written) in [
        ("text", "{temp"),
        ("image", "{a b}"),
        ("image", "aGVsbG8="),
        ("colour", "none"),
        ("background", "reddish"),
        ("size", "5"),
    ] {
        let error = OverlayText::start(&Config::from([(key, written)])).unwrap_err();
        assert!(error.contains(key), "{key}: {error}");
    }
}
