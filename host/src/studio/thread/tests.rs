use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;

use super::*;
use crate::picture::{Color, Encoder, Rect};

/// Tells what a studio does.
#[derive(Default)]
struct Told {
    too_slow: AtomicU64,
    not_taken: AtomicU64,
    failed: AtomicU64,
    ready: Mutex<Option<Readiness>>,
    units: Mutex<Option<mpsc::Sender<(AccessUnit, Monotonic)>>>,
}

impl Sink for Told {
    fn readiness(&self) -> Readiness {
        self.ready.lock().unwrap().unwrap_or(Readiness::Ready)
    }

    fn deliver(&self, unit: AccessUnit, captured: Monotonic) {
        let units = self.units.lock().unwrap();
        units.as_ref().unwrap().send((unit, captured)).unwrap();
    }

    fn too_slow(&self) {
        self.too_slow.fetch_add(1, SeqCst);
    }

    fn not_taken(&self) {
        self.not_taken.fetch_add(1, SeqCst);
    }

    fn failed(&self, _: EncodeError) {
        self.failed.fetch_add(1, SeqCst);
    }
}

const WORK: Work = Work {
    fps: 25,
    bitrate: 1_000_000,
    key_interval: Duration::from_millis(400),
};

fn small() -> Size {
    Size::new(64, 48).unwrap()
}

struct Rig {
    studio: Studio,
    told: Arc<Told>,
    units: mpsc::Receiver<(AccessUnit, Monotonic)>,
}

fn rig(open: Open, retouch: Option<Box<dyn Retouch>>) -> Rig {
    let told = Arc::<Told>::default();
    let (sender, units) = mpsc::channel();
    *told.units.lock().unwrap() = Some(sender);
    let pictures = (small(), Colors::BT709);
    let studio = Studio::start(open, WORK, pictures, retouch, told.clone()).unwrap();
    Rig {
        studio,
        told,
        units,
    }
}

impl Rig {
    /// Leaves a picture and waits for it.
    fn make(&self, canvas: Canvas, number: u64) -> AccessUnit {
        assert!(self.studio.leave(canvas, Monotonic(number * 40_000)));
        let (unit, captured) = self.units.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(captured, Monotonic(number * 40_000));
        unit
    }
}

fn grey() -> Canvas {
    Canvas::new(small(), Color::rgb(90, 90, 90))
}

#[test]
fn every_picture_is_encoded_and_key_frames_come_at_their_interval_and_when_asked_for() {
    let rig = rig(super::super::Openh264::open, None);
    let mut keys = Vec::new();
    for number in 0..30 {
        if number == 15 {
            rig.studio.ask_for_key_frame();
        }
        if rig.make(grey(), number).idr {
            keys.push(number);
        }
    }
    assert_eq!(keys, [0, 10, 15, 25]);
    assert_eq!(rig.told.too_slow.load(SeqCst), 0);
}

#[test]
fn canvases_go_round() {
    let rig = rig(super::super::Openh264::open, None);
    assert!(rig.studio.canvas(|_| true).is_none(), "nobody has made one");
    rig.make(grey(), 0);
    rig.studio.finish();
    assert!(
        rig.studio
            .canvas(|canvas| canvas.size() == small())
            .is_some()
    );
    assert!(rig.studio.canvas(|_| true).is_none(), "it was the only one");
    rig.make(grey(), 1);
    rig.studio.finish();
    assert!(rig.studio.canvas(|_| false).is_none(), "of another size");
    assert!(rig.studio.canvas(|_| true).is_none(), "it was thrown away");
}

/// An encoder that waits to be let on.
struct Slow(Encoder);

static GATE: Mutex<()> = Mutex::new(());

impl Encode for Slow {
    fn encode(&mut self, picture: &Canvas, key: bool) -> Result<AccessUnit, EncodeError> {
        let _gate = GATE.lock().unwrap();
        self.0.encode(picture, key)
    }
}

#[test]
fn an_encoder_that_is_too_slow_gets_the_newest_picture_and_never_a_queue() {
    let rig = rig(
        |settings| Ok(Box::new(Slow(Encoder::open(settings)?))),
        None,
    );
    let gate = GATE.lock().unwrap();
    rig.studio.leave(grey(), Monotonic(0));
    while rig.studio.desk.lock().next.is_some() {
        thread::yield_now();
    }
    for number in 1..6 {
        assert!(rig.studio.leave(grey(), Monotonic(number)));
    }
    drop(gate);
    rig.studio.finish();
    let came: Vec<_> = rig
        .units
        .try_iter()
        .map(|(_, captured)| captured.0)
        .collect();
    assert_eq!(came, [0, 5]);
    assert_eq!(rig.told.too_slow.load(SeqCst), 4);
    // One that is encoded, one that waits, one that is filled.
    assert!(rig.studio.desk.lock().free.len() <= 6);
}

/// An encoder that gives up for good at its third picture, as openh264 does after some errors.
struct Mortal(Encoder, u32);

impl Encode for Mortal {
    fn encode(&mut self, picture: &Canvas, key: bool) -> Result<AccessUnit, EncodeError> {
        self.1 += 1;
        match self.1 {
            1 | 2 => self.0.encode(picture, key),
            _ => Err(EncodeError::Settings { fps: 0, bitrate: 0 }),
        }
    }
}

#[test]
fn an_encoder_that_fails_is_replaced_and_the_new_one_begins_with_a_key_frame() {
    let rig = rig(
        |settings| Ok(Box::new(Mortal(Encoder::open(settings)?, 0))),
        None,
    );
    for number in 0..6 {
        rig.studio.leave(grey(), Monotonic(number * 40_000));
        rig.studio.finish();
    }
    let units = rig.units.try_iter();
    let came: Vec<_> = units
        .map(|(unit, captured)| (captured.0 / 40_000, unit.idr))
        .collect();
    assert_eq!(came, [(0, true), (1, false), (3, true), (4, false)]);
    assert_eq!(rig.told.failed.load(SeqCst), 2);
}

#[test]
fn what_nobody_takes_is_left_out_before_it_is_encoded() {
    let rig = rig(super::super::Openh264::open, None);
    assert!(rig.make(grey(), 0).idr);
    *rig.told.ready.lock().unwrap() = Some(Readiness::Full);
    rig.studio.leave(grey(), Monotonic(40_000));
    rig.studio.finish();
    *rig.told.ready.lock().unwrap() = None;
    assert!(!rig.make(grey(), 2).idr, "there is no damage to mend");
    assert_eq!(rig.told.not_taken.load(SeqCst), 1);
}

#[test]
fn the_thread_ends_when_nobody_wants_any_more() {
    let rig = rig(super::super::Openh264::open, None);
    *rig.told.ready.lock().unwrap() = Some(Readiness::Closed);
    rig.studio.leave(grey(), Monotonic(0));
    rig.studio.finish();
    while rig.studio.leave(grey(), Monotonic(0)) {
        thread::yield_now();
    }
}

#[test]
fn another_size_or_other_colours_begin_with_a_key_frame() {
    let rig = rig(super::super::Openh264::open, None);
    rig.make(grey(), 0);
    let large = Size::new(128, 96).unwrap();
    let unit = rig.make(Canvas::new(large, Color::WHITE), 1);
    assert!(unit.idr);
    assert_eq!(
        (unit.parameter_sets.width, unit.parameter_sets.height),
        (128, 96)
    );
    assert!(
        rig.make(Canvas::with_colors(large, Color::WHITE, Colors::JPEG), 2)
            .idr
    );
    assert!(
        !rig.make(Canvas::with_colors(large, Color::WHITE, Colors::JPEG), 3)
            .idr
    );
    rig.studio.begin_anew(WORK);
    assert!(
        rig.make(Canvas::with_colors(large, Color::WHITE, Colors::JPEG), 4)
            .idr
    );
}

struct Black;

impl Retouch for Black {
    fn retouch(&mut self, picture: &mut Canvas, _: Monotonic) {
        let whole = picture.bounds();
        picture.fill(Rect { width: 32, ..whole }, Color::BLACK);
    }
}

#[test]
fn what_is_encoded_was_retouched() {
    let rig = rig(super::super::Openh264::open, Some(Box::new(Black)));
    let mut decoder = openh264::decoder::Decoder::new().unwrap();
    for number in 0..5 {
        let unit = rig.make(Canvas::new(small(), Color::WHITE), number);
        let shown = crate::picture::testing::decode(&mut decoder, &unit);
        assert!(
            shown.luma[..24].iter().all(|&y| y < 30),
            "{:?}",
            &shown.luma[..64]
        );
        assert!(shown.luma[40..64].iter().all(|&y| y > 220));
    }
}

struct Dead;

impl Retouch for Dead {
    fn retouch(&mut self, _: &mut Canvas, _: Monotonic) {
        panic!("this panic is part of a test");
    }
}

#[test]
fn a_picture_that_could_not_be_retouched_is_not_shown_and_nobody_waits_for_it() {
    let rig = rig(super::super::Openh264::open, Some(Box::new(Dead)));
    rig.studio.leave(grey(), Monotonic(0));
    rig.studio.finish();
    assert!(!rig.studio.leave(grey(), Monotonic(1)));
    assert!(rig.units.try_recv().is_err());
}
