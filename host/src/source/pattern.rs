//! `pattern`: a moving test card, drawn and encoded here, exact in time.
//!
//! A thread of its own draws picture `n` at `start + n / fps` on the monotonic clock, never earlier, and gives that
//! moment as the time of capture; the picture shows what the wall clock said then, as text and as
//! [`clockbar`](crate::picture::clockbar), under whatever is drawn on it. What comes after the deadline, waking up late, drawing and encoding, thus
//! counts as latency, as it would with a camera.
//!
//! A thread that falls behind by more than a picture, or that nobody takes pictures from, leaves out whole pictures
//! before they are drawn, so the stream has no damage and no queue. The thread ends at the next picture after its
//! [`Source`] was dropped.

use std::{
    num::NonZeroU32,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::sync::{mpsc, watch};

use super::{Damage, Event, KeyFrames, Nominal, Picture, Source, Wanted};
use crate::{
    picture::{Canvas, Card, Color, Encoder, Rate, Settings, Size},
    studio::Retouch,
    time::{Monotonic, Wall},
};

/// Pictures that may wait to be taken: enough for a hiccup of the one who takes them, too few to add much delay.
const QUEUE: usize = 4;
/// Below this the clock bar's blocks and the text can't be read.
const SMALLEST: (u32, u32) = (160, 90);
/// What went wrong is said at once, then not more often than this.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

const TOO_SLOW: &str =
    "drawing and encoding take too long; ask for a smaller size or fewer pictures a second";

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
    let encoder = Encoder::open(Settings {
        size,
        fps: wanted.fps,
        rate: Rate::Bits(wanted.bitrate),
    })
    .context("can't make the test pattern")?;
    let key_interval = key_interval(wanted.key_interval, fps);

    let (events, receiver) = mpsc::channel(QUEUE);
    let (key_frames, asked) = KeyFrames::new();
    let (damage, damage_receiver) = watch::channel(Damage::default());
    let pattern = Pattern {
        card: Card::new(size, &format!("{size} {fps}/s")),
        retouch: retouch.map(|retouch| (retouch, Canvas::new(size, Color::BLACK))),
        encoder,
        fps,
        keys: Keys {
            interval: key_interval,
            due: 0,
            asked,
        },
        events,
        skipped: Skipped {
            damage,
            unsaid: 0,
            said: None,
        },
    };
    thread::Builder::new()
        .name("pattern".to_owned())
        .spawn(move || pattern.run())
        .context("can't start a thread for the test pattern")?;

    Ok(Source {
        events: receiver,
        nominal: Nominal {
            frame: Some(Duration::from_secs(1) / fps.get()),
            key_interval: Some(key_interval),
        },
        key_frames,
        name: "test pattern".into(),
        description: format!("test pattern, H264 {size} at {fps}/s"),
        encodes: true,
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
    /// Who changes its pictures, on this copy: the card draws only what changed since its last one.
    retouch: Option<(Box<dyn Retouch>, Canvas)>,
    encoder: Encoder,
    fps: NonZeroU32,
    keys: Keys,
    events: mpsc::Sender<Event>,
    skipped: Skipped,
}

impl Pattern {
    fn run(mut self) {
        let start = Monotonic::now();
        let mut frame = 0;
        while !self.events.is_closed() {
            let deadline = deadline(start, frame, self.fps);
            sleep_until(deadline);
            if !self.show(frame, deadline) {
                return;
            }
            let next = after(frame, start, Monotonic::now(), self.fps);
            self.skipped.count(next - frame - 1, TOO_SLOW);
            frame = next;
        }
    }

    /// Draws, encodes and reports a picture. `false` if nobody wants any more.
    fn show(&mut self, frame: u64, deadline: Monotonic) -> bool {
        let permit = match self.events.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Full(())) => {
                self.skipped.count(1, "the pictures aren't taken in time");
                return true;
            }
            Err(mpsc::error::TrySendError::Closed(())) => return false,
        };
        let wall = Wall::now().before(Monotonic::now().since(deadline));
        // The clock bar has room for 24 bits of it anyway.
        let card = self.card.draw(wall, frame as u32);
        let picture = match &mut self.retouch {
            None => card,
            Some((retouch, copy)) => {
                copy.copy_from(card, card.bounds());
                retouch.retouch(copy, deadline);
                copy
            }
        };
        match self.encoder.encode(picture, self.keys.take(frame)) {
            Ok(unit) => permit.send(Event::Picture(Picture {
                unit,
                captured: deadline,
            })),
            Err(error) => {
                drop(permit);
                // What follows may refer to the picture that is missing.
                self.keys.due = frame + 1;
                self.skipped
                    .count(1, &format!("{:#}", anyhow::Error::from(error)));
            }
        }
        true
    }
}

/// Decides which pictures are key frames.
#[derive(Debug)]
struct Keys {
    interval: u32,
    /// The first picture from this number on is one.
    due: u64,
    asked: watch::Receiver<u64>,
}

impl Keys {
    /// Whether this picture, about to be encoded, is a key frame. One that is asked for starts the interval anew, one that a skipped picture
    /// should have been doesn't.
    fn take(&mut self, frame: u64) -> bool {
        // An error means that nobody is left to ask.
        let asked = self.asked.has_changed().unwrap_or(false);
        if asked {
            self.asked.mark_unchanged();
            self.due = frame;
        }
        if frame < self.due {
            return false;
        }
        let interval = u64::from(self.interval);
        self.due += ((frame - self.due) / interval + 1) * interval;
        true
    }
}

/// Counts the pictures that were left out, and says so now and then.
#[derive(Debug)]
struct Skipped {
    damage: watch::Sender<Damage>,
    unsaid: u64,
    said: Option<Instant>,
}

impl Skipped {
    fn count(&mut self, pictures: u64, why: &str) {
        if pictures == 0 {
            return;
        }
        self.damage.send_modify(|damage| {
            damage.dropped_units += pictures;
            damage.late_units += pictures;
        });
        self.unsaid += pictures;
        if self
            .said
            .is_none_or(|said| said.elapsed() >= COMPLAIN_EVERY)
        {
            tracing::warn!("the test pattern left out {} pictures: {why}", self.unsaid);
            self.unsaid = 0;
            self.said = Some(Instant::now());
        }
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
    use super::*;

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
    fn key_frames_keep_their_interval() {
        let (ask, asked) = KeyFrames::new();
        let mut keys = Keys {
            interval: 10,
            due: 0,
            asked,
        };
        let keyed = |keys: &mut Keys, frames: std::ops::Range<u64>| {
            frames.filter(|&n| keys.take(n)).collect::<Vec<_>>()
        };
        assert_eq!(keyed(&mut keys, 0..35), [0, 10, 20, 30]);
        // 40 was left out: the next takes its place, and the grid stays.
        assert_eq!(keyed(&mut keys, 41..65), [41, 50, 60]);
        ask.ask();
        ask.ask();
        assert_eq!(keyed(&mut keys, 65..90), [65, 75, 85]);
        drop(ask);
        assert_eq!(keyed(&mut keys, 90..100), [95]);
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
