use openh264::decoder::Decoder as Viewer;

use super::*;
use crate::{
    h264::Reader,
    overlay::{Mask, Masks},
    picture::{Color, testing},
    source::Nominal,
};

/// 24 pictures of FFmpeg's test source at 320x180, every eighth an IDR picture.
const BASELINE: &[u8] = include_bytes!("../../../tests/data/h264/baseline.h264");
const SMALL: &[u8] = include_bytes!("../../../tests/data/h264/small.h264");
const REORDERED: &[u8] = include_bytes!("../../../tests/data/h264/high-pyramid.h264");

fn units(stream: &[u8]) -> Vec<AccessUnit> {
    let mut reader = Reader::new();
    reader.push(stream, ());
    reader.flush();
    std::iter::from_fn(|| reader.take())
        .map(|found| found.unit)
        .collect()
}

/// A source that a test feeds, and what comes of it.
struct Stage {
    camera: mpsc::Sender<Event>,
    source: Source,
    clock: u64,
}

impl Stage {
    fn new(retouch: Option<Box<dyn Retouch>>) -> Self {
        let (camera, events) = mpsc::channel(16);
        let (_, damage) = watch::channel(Damage::default());
        let source = Source {
            events,
            nominal: Nominal::default(),
            key_frames: KeyFrames::new().0,
            name: "camera".into(),
            description: "camera, H264".into(),
            encoded_here: false,
            controls: None,
            damage,
        };
        let wanted = Wanted {
            width: 320,
            height: 180,
            fps: 30,
            bitrate: 1_000_000,
            key_interval: Duration::from_secs(1),
            controls: Vec::new(),
        };
        Self {
            camera,
            source: open(source, &wanted, retouch).unwrap(),
            clock: 0,
        }
    }

    async fn feed(&mut self, unit: AccessUnit) -> Monotonic {
        self.clock += 33_333;
        let captured = Monotonic(self.clock);
        self.camera
            .send(Event::Picture(Picture { unit, captured }))
            .await
            .unwrap();
        captured
    }

    async fn next(&mut self) -> Event {
        self.source.events.recv().await.expect("it goes on")
    }

    async fn picture(&mut self) -> Picture {
        match self.next().await {
            Event::Picture(picture) => picture,
            other => panic!("{other:?}"),
        }
    }

    async fn lost(&mut self) -> String {
        match self.next().await {
            Event::Lost { reason } => reason,
            other => panic!("{other:?}"),
        }
    }
}

fn viewer() -> Viewer {
    Viewer::new().unwrap()
}

#[tokio::test]
async fn pictures_keep_their_times_and_places_and_masks_are_black_in_each() {
    let mask = Mask::new(500, 500, 1_000, 1_000).unwrap();
    let mut stage = Stage::new(Some(Box::new(Masks(vec![mask]))));
    assert!(stage.source.encoded_here);
    let (mut before, mut after) = (viewer(), viewer());
    for unit in units(BASELINE) {
        let idr = unit.idr;
        let original = testing::decode(&mut before, &unit);
        let captured = stage.feed(unit).await;
        let picture = stage.picture().await;
        assert_eq!((picture.captured, picture.unit.idr), (captured, idr));
        let seen = testing::decode(&mut after, &picture.unit);
        assert_eq!((seen.width, seen.height), (320, 180));
        let mut difference = 0;
        for (at, (&was, &is)) in original.luma.iter().zip(&seen.luma).enumerate() {
            if at % 320 >= 160 && at / 320 >= 90 {
                assert!(is.abs_diff(16) < 8, "{at}: {is}");
            } else {
                difference += u64::from(was.abs_diff(is));
            }
        }
        assert!(difference < 5 * 320 * 180 * 3 / 4, "{difference}");
    }
    assert_eq!(*stage.source.damage.borrow(), Damage::default());
}

#[tokio::test]
async fn after_damage_nothing_is_shown_until_the_next_key_frame() {
    let mut stage = Stage::new(None);
    let mut units = units(BASELINE);
    // The beginning of its slice, and nothing of most of its macroblocks.
    units[3].data = [&20u32.to_be_bytes()[..], &units[3].data[4..24]]
        .concat()
        .into();
    let mut fed = Vec::new();
    for unit in units.drain(..16) {
        fed.push(stage.feed(unit).await);
        if ![3, 4, 5, 6, 7].contains(&(fed.len() - 1)) {
            let picture = stage.picture().await;
            assert_eq!(Some(&picture.captured), fed.last());
        }
    }
    assert_eq!(stage.source.damage.borrow().dropped_units, 5);
}

#[tokio::test]
async fn a_stream_for_which_there_is_no_decoder_is_lost_and_says_why() {
    let mut stage = Stage::new(None);
    for unit in units(REORDERED).into_iter().take(12) {
        stage.feed(unit).await;
    }
    let reason = stage.lost().await;
    assert!(
        reason.contains("B pictures") && reason.contains("-bf 0"),
        "{reason}"
    );
    // One that can be decoded is shown again; nothing of the other one was.
    let unit = units(BASELINE).remove(0);
    let captured = stage.feed(unit).await;
    assert_eq!(stage.picture().await.captured, captured);
    assert_eq!(stage.source.damage.borrow().restarts, 1);
}

#[tokio::test]
async fn what_a_source_says_is_passed_on_in_its_place() {
    let mut stage = Stage::new(None);
    let mut first = units(BASELINE);
    stage.feed(first.remove(0)).await;
    let reason = "looped".to_owned();
    stage.camera.send(Event::Break { reason }).await.unwrap();
    // This one continues nothing any more.
    stage.feed(first.remove(0)).await;
    stage.feed(units(SMALL).remove(0)).await;
    stage.camera.send(Event::Ended).await.unwrap();
    stage.picture().await;
    assert!(matches!(stage.next().await, Event::Break { reason } if reason == "looped"));
    let other = stage.picture().await;
    assert!(other.unit.idr && other.unit.parameter_sets.width == 160);
    assert!(matches!(stage.next().await, Event::Ended));
}

#[tokio::test]
async fn a_key_frame_that_is_asked_for_comes_where_the_source_has_none() {
    let mut stage = Stage::new(None);
    for (n, unit) in units(BASELINE).into_iter().take(5).enumerate() {
        if n == 3 {
            stage.source.key_frames.ask();
        }
        stage.feed(unit).await;
        assert_eq!(stage.picture().await.unit.idr, n == 0 || n == 3, "{n}");
    }
}

/// Takes as long for each picture as the test wants.
struct Slow(std::sync::mpsc::Receiver<()>);

impl Retouch for Slow {
    fn retouch(&mut self, picture: &mut Canvas, _captured: Monotonic) {
        self.0.recv().unwrap();
        picture.fill(picture.bounds(), Color::BLACK);
    }
}

#[tokio::test]
async fn pictures_that_take_too_long_are_left_out_and_key_frames_never() {
    let (go, wait) = std::sync::mpsc::channel();
    let mut stage = Stage::new(Some(Box::new(Slow(wait))));
    let mut fed = Vec::new();
    for unit in units(BASELINE).into_iter().take(12) {
        fed.push(stage.feed(unit).await);
    }
    // All wait behind the first; the last two are not too many.
    for _ in 0..12 {
        go.send(()).unwrap();
    }
    let mut shown = Vec::new();
    while shown.last() != fed.last() {
        shown.push(stage.picture().await.captured);
    }
    let wanted: Vec<_> = [0, 8, 10, 11].map(|n: usize| fed[n]).to_vec();
    assert_eq!(shown, wanted);
    stage
        .source
        .damage
        .wait_for(|damage| damage.late_units == 8)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_source_ends_when_nobody_takes_its_pictures() {
    let mut stage = Stage::new(None);
    let unit = units(BASELINE).remove(0);
    stage.feed(unit).await;
    stage.picture().await;
    let Stage { camera, source, .. } = stage;
    drop(source);
    camera.closed().await;
}
