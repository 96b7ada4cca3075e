//! `pattern`: a moving test card, drawn and encoded here, exact in time.
//!
//! A thread of its own draws picture `n` at `start + n / fps` on the monotonic clock, never earlier, and gives that
//! moment as the time of capture; the picture shows what the wall clock said then, as text and as
//! [`clockbar`](crate::picture::clockbar), below whatever is drawn on it. What comes after the deadline, waking up late,
//! drawing and encoding, thus counts as latency, as it would with a camera. A [studio](crate::studio) encodes it.
//!
//! A thread that falls behind by more than a picture leaves out whole pictures before they are drawn, and the studio
//! those that nobody takes before they are encoded, so the stream has no damage and no queue. The threads end at the
//! next picture after their [`Source`] was dropped.

use std::{num::NonZeroU32, sync::Arc, thread, time::Duration};

use anyhow::{Context, ensure};
use tokio::sync::{mpsc, watch};

use super::{Damage, KeyFrames, Nominal, Source, Wanted, encoded::Encoded};
use crate::{
    picture::{Canvas, Card, Colors, Size},
    studio::{Openh264, Readiness, Retouch, Sink as _, Studio, Work},
    time::{Monotonic, Wall},
};

/// Pictures that may wait to be taken: enough for a hiccup of the one who takes them, too few to add much delay.
const QUEUE: usize = 4;
/// Below this the clock bar's blocks and the text can't be read.
const SMALLEST: (u32, u32) = (160, 90);

/// Starts the test pattern.
///
/// # Errors
///
/// If it can't have the size, the rate or the bitrate: the message says what it can have. An odd size is rounded down,
/// and the log says so.
pub fn open(wanted: &Wanted, retouch: Option<Box<dyn Retouch>>) -> anyhow::Result<Source> {
    let size = size(wanted)?;
    let fps = NonZeroU32::new(wanted.fps)
        .context("the test pattern needs at least 1 picture a second")?;

    let (events, receiver) = mpsc::channel(QUEUE);
    let (key_frames, asked) = KeyFrames::new();
    let (damage, damage_receiver) = watch::channel(Damage::default());
    let sink = Arc::new(Encoded::new("test pattern", events, damage));
    let work = Work {
        fps: wanted.fps,
        bitrate: wanted.bitrate,
        key_interval: wanted.key_interval,
    };
    let pictures = (size, Colors::BT709);
    let studio = Studio::start(Openh264::open, work, pictures, retouch, sink.clone())
        .context("can't make the test pattern")?;
    let pattern = Pattern {
        card: Card::new(size, &format!("{size} {fps}/s")),
        fps,
        asked,
        studio,
        sink,
    };
    thread::Builder::new()
        .name("pattern".to_owned())
        .spawn(move || pattern.run())
        .context("can't start a thread for the test pattern")?;

    Ok(Source {
        events: receiver,
        nominal: Nominal {
            frame: Some(Duration::from_secs(1) / fps.get()),
            key_interval: Some(key_interval(wanted.key_interval, fps)),
        },
        key_frames,
        name: "test pattern".into(),
        description: format!(
            "test pattern, {size} at {fps}/s, encoded by {}",
            Openh264::NAME
        ),
        encoded_here: true,
        controls: None,
        damage: damage_receiver,
    })
}

fn size(wanted: &Wanted) -> anyhow::Result<Size> {
    let Wanted { width, height, .. } = *wanted;
    let (least_width, least_height) = SMALLEST;
    ensure!(
        width >= least_width && height >= least_height,
        "the test pattern can't be read at {width}x{height}: ask for {least_width}x{least_height} or more"
    );
    let even = Size::new(width & !1, height & !1).context("can't make the test pattern")?;
    if (even.width(), even.height()) != (width, height) {
        tracing::warn!(
            "the test pattern is {even} instead of {width}x{height}: 4:2:0 wants even sides"
        );
    }
    Ok(even)
}

/// Pictures from one key frame to the next: the whole number that comes nearest.
fn key_interval(wanted: Duration, fps: NonZeroU32) -> u32 {
    let pictures = (wanted.as_secs_f64() * f64::from(fps.get())).round();
    // A float that is too large becomes `u32::MAX`.
    (pictures as u32).max(1)
}

/// What the thread owns.
struct Pattern {
    card: Card,
    fps: NonZeroU32,
    asked: watch::Receiver<u64>,
    studio: Studio,
    sink: Arc<Encoded>,
}

impl Pattern {
    fn run(mut self) {
        let start = Monotonic::now();
        let mut frame = 0;
        while self.sink.readiness() != Readiness::Closed {
            let deadline = deadline(start, frame, self.fps);
            sleep_until(deadline);
            if !self.show(frame, deadline) {
                return;
            }
            let next = after(frame, start, Monotonic::now(), self.fps);
            self.sink.late(
                next - frame - 1,
                "drawing takes too long; ask for a smaller size or fewer pictures a second",
            );
            frame = next;
        }
    }

    /// Draws a picture and leaves it to be encoded. `false` if nobody encodes any more.
    fn show(&mut self, frame: u64, deadline: Monotonic) -> bool {
        // An error means that nobody is left to ask.
        if self.asked.has_changed().unwrap_or(false) {
            self.asked.mark_unchanged();
            self.studio.ask_for_key_frame();
        }
        let wall = Wall::now().before(Monotonic::now().since(deadline));
        // The clock bar has room for 24 bits of it anyway.
        let picture = self.card.draw(wall, frame as u32);
        // The card goes on with what it has drawn, and others will draw on this.
        let canvas = match self.studio.canvas(|canvas| canvas.size() == picture.size()) {
            Some(mut canvas) => {
                canvas.copy_from(picture, picture.bounds());
                canvas
            }
            None => Canvas::clone(picture),
        };
        self.studio.leave(canvas, deadline)
    }
}

/// When a frame is due; the rounding to microseconds doesn't add up.
fn deadline(start: Monotonic, frame: u64, fps: NonZeroU32) -> Monotonic {
    let micros = u128::from(frame) * 1_000_000 / u128::from(fps.get());
    start.after(Duration::from_micros(micros as u64))
}

/// Which frame comes after this one, if that is done now: the next, unless it would be late by a whole picture or more.
fn after(frame: u64, start: Monotonic, now: Monotonic, fps: NonZeroU32) -> u64 {
    let begun = u128::from(now.since(start).as_micros() as u64) * u128::from(fps.get()) / 1_000_000;
    (frame + 1).max(begun as u64)
}

fn sleep_until(deadline: Monotonic) {
    loop {
        let left = deadline.since(Monotonic::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Event, *};

    fn fps(fps: u32) -> NonZeroU32 {
        NonZeroU32::new(fps).unwrap()
    }

    fn wanted(width: u32, height: u32, fps: u32) -> Wanted {
        Wanted {
            width,
            height,
            fps,
            bitrate: 500_000,
            key_interval: Duration::from_millis(500),
            controls: Vec::new(),
        }
    }

    #[test]
    fn deadlines_do_not_drift() {
        let start = Monotonic(7);
        assert_eq!(deadline(start, 1, fps(30)), Monotonic(33_340));
        assert_eq!(
            deadline(start, 30 * 86_400, fps(30)),
            Monotonic(86_400_000_007)
        );
    }

    #[test]
    fn a_little_late_is_drawn_and_very_late_is_left_out() {
        let (start, fps) = (Monotonic(1_000), fps(25));
        let at = |millis: u64| Monotonic(1_000 + millis * 1_000);
        assert_eq!(after(0, start, at(20), fps), 1);
        assert_eq!(after(0, start, at(79), fps), 1);
        assert_eq!(after(0, start, at(80), fps), 2);
        assert_eq!(after(2, start, at(1_000), fps), 25);
    }

    #[test]
    fn the_interval_is_rounded_to_whole_pictures() {
        assert_eq!(key_interval(Duration::from_secs(2), fps(30)), 60);
        assert_eq!(key_interval(Duration::from_millis(1_010), fps(25)), 25);
        assert_eq!(key_interval(Duration::ZERO, fps(25)), 1);
        assert_eq!(key_interval(Duration::MAX, fps(25)), u32::MAX);
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_what_can() {
        let refusal = |wanted: &Wanted| format!("{:#}", open(wanted, None).unwrap_err());
        assert!(refusal(&wanted(80, 60, 30)).contains("ask for 160x90 or more"));
        assert!(refusal(&wanted(8_000, 4_500, 30)).contains("ask for 3840x2160"));
        assert!(refusal(&wanted(640, 360, 0)).contains("at least 1 picture a second"));
        assert!(
            refusal(&Wanted {
                bitrate: 0,
                ..wanted(640, 360, 30)
            })
            .contains("above 0")
        );
    }

    #[tokio::test]
    async fn an_odd_size_is_rounded_down_and_said() {
        let source = open(&wanted(321, 181, 30), None).unwrap();
        assert!(
            source.description.contains("320x180"),
            "{}",
            source.description
        );
    }

    #[tokio::test]
    async fn pictures_are_captured_at_their_deadlines_and_key_frames_where_they_should_be() {
        let mut source = open(&wanted(160, 90, 50), None).unwrap();
        assert_eq!(source.nominal.frame, Some(Duration::from_millis(20)));
        assert_eq!(source.nominal.key_interval, Some(25));
        let mut first = None;
        let mut seen = 0;
        while seen < 60 {
            let event = tokio::time::timeout(Duration::from_secs(20), source.events.recv()).await;
            let Ok(Some(Event::Picture(picture))) = event else {
                panic!("{event:?}")
            };
            let first = *first.get_or_insert(picture.captured);
            let micros = picture.captured.since(first).as_micros() as u64;
            // On a busy machine pictures may be left out, but those that come keep to the grid.
            assert_eq!(micros % 20_000, 0);
            let frame = micros / 20_000;
            if frame == seen {
                assert_eq!(picture.unit.idr, frame.is_multiple_of(25), "frame {frame}");
            }
            seen = frame + 1;
        }
    }

    #[tokio::test]
    async fn a_key_frame_that_is_asked_for_comes() {
        let mut wanted = wanted(160, 90, 50);
        wanted.key_interval = Duration::from_secs(3_600);
        let mut source = open(&wanted, None).unwrap();
        let mut keys = 0;
        for _ in 0..200 {
            let event = tokio::time::timeout(Duration::from_secs(20), source.events.recv()).await;
            let Ok(Some(Event::Picture(picture))) = event else {
                panic!("{event:?}")
            };
            if picture.unit.idr {
                keys += 1;
                if keys == 3 {
                    return;
                }
                source.key_frames.ask();
            }
        }
        panic!("{keys} key frames in 200 pictures");
    }

    #[tokio::test]
    async fn one_who_takes_no_pictures_costs_pictures_and_no_damage() {
        let mut source = open(&wanted(160, 90, 100), None).unwrap();
        source
            .damage
            .wait_for(|damage| damage.dropped_units > 5)
            .await
            .unwrap();
        let mut decoder = openh264::decoder::Decoder::new().unwrap();
        let mut numbers = Vec::new();
        for _ in 0..QUEUE + 20 {
            let Some(Event::Picture(picture)) = source.events.recv().await else {
                panic!("no picture")
            };
            let decoded = crate::picture::testing::decode(&mut decoder, &picture.unit);
            numbers.push(decoded.reading().expect("a readable bar").frame);
        }
        assert_eq!(numbers[..QUEUE], [0, 1, 2, 3]);
        assert!(numbers[QUEUE] > QUEUE as u32 + 5, "{numbers:?}");
    }

    #[tokio::test]
    async fn the_thread_ends_with_its_source() {
        let source = open(&wanted(160, 90, 100), None).unwrap();
        let Source {
            events, mut damage, ..
        } = source;
        drop(events);
        // The sender lives in the thread.
        while damage.changed().await.is_ok() {}
    }
}
