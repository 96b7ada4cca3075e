//! Plugins that draw: from a frame to operations, and what becomes of bad ones.

use super::*;
use crate::{
    live::Frame,
    overlay::{Anchor, Artist as _, Colour, Drawing, Operation, Point},
    plugin::Painter,
    time::{MediaTime, Wall},
};

/// Bytes of an operation, and the tags of those that are used here, as the canonical ABI has them.
const OPERATION: usize = 52;
/// Memory of zeros, which are texts without letters.
const NOTHING: u32 = 32 << 10;
const TEXT: u32 = 0;
const LINE: u32 = 2;

fn frame(time: u64) -> Frame {
    Frame {
        time: MediaTime(time),
        captured: Wall(1_000),
        date: Wall(1_000),
        width: 640,
        height: 360,
    }
}

/// A line from the left to the right, at this height.
fn line(y: u32) -> Vec<u32> {
    let mut words = vec![LINE, 0, y, 1_000, y, 0x8000_00ff, 10];
    words.resize(OPERATION / 4, 0);
    words
}

/// A text in the middle.
fn text_operation(guest: &mut Guest, content: &str) -> Vec<u32> {
    let [at, len] = guest.string(content);
    // The anchor is a byte, the colours four without a boundary before them.
    let mut words = vec![TEXT, 500, 500, 4, at, len, 50, 0xffff_ffff];
    words.resize(OPERATION / 4, 0);
    words
}

fn painter(name: &str) -> Guest {
    Guest::new(name).hooks(&[Hook::Overlay.name()])
}

/// Draws these operations, until 1,000 after the frame.
fn drawing(mut guest: Guest, operations: &[Vec<u32>]) -> Guest {
    let at = guest.words(&operations.concat());
    guest.draw(&format!(
        "(call $drawing (i32.const {at}) (i32.const {}) (i64.add (local.get $time) (i64.const 1000)))",
        operations.len()
    ))
}

fn started(specs: &[PluginSpec]) -> (Arc<Plugins>, Vec<Painter>) {
    let plugins = Arc::new(load(specs).unwrap());
    let painters = Painter::all(&plugins);
    (plugins, painters)
}

async fn drawn(painter: &Painter, time: u64) -> Option<Drawing> {
    tokio::time::timeout(Duration::from_secs(120), painter.draw(frame(time)))
        .await
        .expect("a drawing in good time")
}

#[tokio::test]
async fn operations_come_over_as_they_were_drawn() {
    let guests = Guests::new();
    let mut guest = painter("both");
    let text = text_operation(&mut guest, "caf\u{e9}");
    let guest = drawing(guest, &[line(250), text]);
    let (plugins, painters) = started(&[PluginSpec::new(guests.build(guest))]);
    let drawing = drawn(&painters[0], 5).await.unwrap();
    assert_eq!(drawing.until, MediaTime(1_005));
    assert_eq!(
        drawing.operations,
        [
            Operation::Line {
                from: Point(0, 250),
                to: Point(1_000, 250),
                colour: Colour([0xff, 0, 0, 0x80]),
                width: 10,
            },
            Operation::Text {
                at: Point(500, 500),
                anchor: Anchor::Centre,
                content: "café".into(),
                size: 50,
                colour: Colour([0xff; 4]),
                background: None,
                outline: None,
                font: String::new(),
            },
        ]
    );
    assert_eq!(status(&plugins).calls, 1);
}

#[test]
fn those_who_draw_stand_in_the_order_in_which_they_were_named() {
    let guests = Guests::new();
    let specs = ["below", "above"].map(|name| PluginSpec::new(guests.build(painter(name))));
    let other = PluginSpec::new(guests.build(Guest::new("other")));
    let [below, above] = specs;
    let (_, painters) = started(&[below, other, above]);
    let names: Vec<_> = painters.iter().map(Painter::name).collect();
    assert_eq!(names, ["below".into(), "above".into()]);
}

#[tokio::test]
async fn a_drawing_that_may_not_be_is_none_and_a_trap_is_survived() {
    let guests = Guests::new();
    let mut guest = painter("bad");
    let good = guest.words(&line(1));
    let wide = guest.words(&line(5_000));
    let guest = guest.draw(&format!(
        "(if (i64.eq (local.get $time) (i64.const 1)) (then (unreachable)))
         (call $drawing
            (select (i32.const {wide})
                (select (i32.const {NOTHING}) (i32.const {good}) (i64.eq (local.get $time) (i64.const 3)))
                (i64.eq (local.get $time) (i64.const 2)))
            (select (i32.const 400) (i32.const 1) (i64.eq (local.get $time) (i64.const 3)))
            (i64.const 0))"
    ));
    let (plugins, painters) = started(&[PluginSpec::new(guests.build(guest))]);
    for time in [2, 3, 1] {
        assert_eq!(drawn(&painters[0], time).await, None, "at {time}");
    }
    assert_eq!(drawn(&painters[0], 4).await.unwrap().operations.len(), 1);
    let status = status(&plugins);
    assert_eq!((status.failures, status.traps), (3, 1));
}

#[test]
fn a_drawing_that_may_not_be_is_found_on_trial() {
    let guests = Guests::new();
    let guest = drawing(painter("far"), &[line(2_001)]);
    let error = refusal(&[PluginSpec::new(guests.build(guest))]);
    assert!(
        error.contains("on trial, for a frame of 1280x720") && error.contains("(0, 2001)"),
        "{error}"
    );
}

#[tokio::test]
async fn another_generation_is_another_edition() {
    let guests = Guests::new();
    let (plugins, painters) = started(&[PluginSpec::new(guests.build(painter("swap")))]);
    let before = painters[0].edition();
    guests.build(drawing(painter("swap"), &[line(1)]));
    plugins.reload("swap").await.unwrap();
    assert_ne!(painters[0].edition(), before);
    assert_eq!(drawn(&painters[0], 1).await.unwrap().operations.len(), 1);
}

#[tokio::test]
async fn a_reload_never_adds_a_drawing_that_nobody_would_see() {
    let guests = Guests::new();
    let plugins = load(&[PluginSpec::new(guests.build(Guest::new("swap")))]).unwrap();
    guests.build(Guest::new("swap").hooks(&[Hook::Playlist.name(), Hook::Overlay.name()]));
    let error = plugins.reload("swap").await.unwrap_err().to_string();
    assert!(error.contains("it draws now"), "{error}");
}
