use std::sync::Arc;

use bytes::Bytes;
use zune_jpeg::{JpegDecoder, zune_core::bytestream::ZCursor};

use super::*;
use crate::{
    cmaf::{Sample, chunk_head},
    live::{Chunk, InitSegment},
    picture::{Card, Colors, Encoder, Rate, Settings, Size, clockbar},
    time::MediaTime,
};

const FRAME: u64 = 40_000;
const EPOCH: u64 = 1_772_719_402_000_000;

/// A camera that shows the test card, with a key frame every five pictures.
struct Camera {
    card: Card,
    encoder: Encoder,
    live: Arc<Live>,
    init: Option<Arc<InitSegment>>,
    count: u32,
}

impl Camera {
    fn new() -> Self {
        let size = Size::new(320, 180).unwrap();
        let settings = Settings {
            size,
            colors: Colors::BT709,
            fps: 25,
            rate: Rate::Bits(500_000),
        };
        Self {
            card: Card::new(size, "test"),
            encoder: Encoder::open(settings).unwrap(),
            live: Arc::default(),
            init: None,
            count: 0,
        }
    }

    fn send(&mut self, pictures: u32) {
        for _ in 0..pictures {
            let number = self.count;
            self.count += 1;
            let start = MediaTime(u64::from(number) * FRAME);
            let wall = Wall(EPOCH + start.0);
            let picture = self.card.draw(wall, number);
            let unit = self
                .encoder
                .encode(picture, number.is_multiple_of(5))
                .unwrap();
            let init = self.init.get_or_insert_with(|| {
                Arc::new(InitSegment {
                    path: "init.mp4".into(),
                    data: Bytes::new(),
                    parameter_sets: unit.parameter_sets.clone(),
                })
            });
            let head = chunk_head(&Sample {
                number,
                start,
                duration: FRAME as u32,
                composition_offset: 0,
                size: unit.data.len() as u32,
                sync: unit.idr,
                captured: wall,
            });
            self.live.push(EdgeChunk {
                chunk: Chunk {
                    head,
                    sample: unit.data,
                },
                init: init.clone(),
                start,
                end: MediaTime(start.0 + FRAME),
                idr: unit.idr,
                lost_since: None,
            });
        }
    }
}

/// Which picture of the camera it is, by its clock bar.
fn number(still: &Still) -> u32 {
    let mut decoder = JpegDecoder::new(ZCursor::new(&still.jpeg[..]));
    let rgb = decoder.decode().expect("a JPEG");
    let (width, height) = decoder.dimensions().expect("it has a size");
    assert_eq!((width, height), (320, 180));
    // The bar is black and white.
    let luma: Vec<_> = rgb.chunks(3).map(|pixel| pixel[1]).collect();
    let reading = clockbar::read(&luma, width, width, height);
    reading.expect("the bar can be read").frame
}

#[tokio::test]
async fn a_snapshot_is_the_latest_key_frame_and_made_once() {
    let mut camera = Camera::new();
    let stills = Stills::new(camera.live.clone());
    assert!(stills.snapshot().await.unwrap().is_none());
    camera.send(8);
    let (one, other) = tokio::join!(stills.snapshot(), stills.snapshot());
    let (one, other) = (one.unwrap().unwrap(), other.unwrap().unwrap());
    assert_eq!(number(&one), 5);
    assert_eq!(one.jpeg.as_ptr(), other.jpeg.as_ptr(), "shared");
    camera.send(3);
    let next = stills.snapshot().await.unwrap().unwrap();
    assert_eq!(number(&next), 10);
    assert_ne!(next.number, one.number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_watch_share_the_jpeg_of_every_picture() {
    let mut camera = Camera::new();
    let stills = Stills::new(camera.live.clone());
    let (mut one, mut other) = (stills.motion(), stills.motion());
    for count in 1..=12 {
        camera.send(1);
        let seen = |still: &Option<Still>| {
            let still = still.as_ref();
            still.is_some_and(|still| number(still) + 1 == count)
        };
        let first = one.wait_for(seen).await.unwrap().clone().unwrap();
        let second = other.wait_for(seen).await.unwrap().clone().unwrap();
        assert_eq!(first.jpeg.as_ptr(), second.jpeg.as_ptr(), "shared");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_when_the_others_have_left_begins_with_the_latest_key_frame() {
    let mut camera = Camera::new();
    let stills = Stills::new(camera.live.clone());
    for _ in 0..3 {
        camera.send(7);
        let mut pictures = stills.motion();
        let newest = camera.count - 1;
        let seen =
            |still: &Option<Still>| still.as_ref().is_some_and(|still| number(still) == newest);
        pictures.wait_for(seen).await.unwrap();
    }
}
