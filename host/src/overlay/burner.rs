use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::runtime::Handle;

use super::{Artist, Fonts, Ground, Plate, Raster};
use crate::{
    line_gate::LineGate,
    live::Frame,
    picture::{Canvas, Size},
    studio::Retouch,
    time::{MediaTime, Monotonic, Wall},
};

/// The longest that a picture waits for its drawings, however few pictures there are a second: less than what anybody
/// sees of a delay, and many times what a plugin and the rasteriser take for a few lines of text.
const LONGEST: Duration = Duration::from_millis(8);
/// How often it is said that somebody draws too slowly.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Burns drawings into pictures.
///
/// Each artist has a thread of his own, which asks him and turns his operations into pixels. A picture that his last
/// drawing doesn't hold for is shown to him, and waits for the drawing, but not longer than its `patience`: one for all
/// artists. Who comes too late is not waited for again, nor asked, until he has answered; what he drew before stays where
/// it holds or where he keeps his last drawing, else the picture goes without.
///
/// The threads end when it is dropped, each after what it is at.
pub struct Burner {
    seats: Vec<Seat>,
    patience: Duration,
    /// When the first picture was captured.
    start: Option<Monotonic>,
}

/// How long a picture waits for its drawings at this rate: a quarter of the time that it has, since it has to be encoded,
/// too, and 8 ms at most.
pub fn patience(fps: u32) -> Duration {
    (Duration::from_secs(1) / fps.max(1).saturating_mul(4)).min(LONGEST)
}

impl Burner {
    /// Burns in what these draw, later ones above earlier ones; they are asked within a runtime.
    ///
    /// # Errors
    /// If there are no threads to be had.
    pub fn new(
        artists: Vec<(Arc<str>, Arc<dyn Artist>)>,
        fonts: &Fonts,
        patience: Duration,
        runtime: &Handle,
    ) -> anyhow::Result<Self> {
        let seats = artists
            .into_iter()
            .map(|(name, artist)| Seat::new(name, artist, fonts, runtime));
        Ok(Self {
            seats: seats.collect::<anyhow::Result<_>>()?,
            patience,
            start: None,
        })
    }

    fn frame(&mut self, size: Size, captured: Monotonic) -> Frame {
        let start = *self.start.get_or_insert(captured);
        let wall = Wall::now().before(Monotonic::now().since(captured));
        Frame {
            time: MediaTime::default().after(captured.since(start)),
            captured: wall,
            date: wall,
            width: size.width(),
            height: size.height(),
        }
    }
}

impl Retouch for Burner {
    fn retouch(&mut self, picture: &mut Canvas, captured: Monotonic) {
        let ground = Ground::of(picture);
        let frame = self.frame(ground.size, captured);
        // All draw at once.
        let seats = self.seats.iter_mut();
        seats.for_each(|seat| seat.ask(frame, ground));
        let deadline = Instant::now() + self.patience;
        for seat in &mut self.seats {
            if let Some(plate) = seat.plate(&frame, deadline) {
                plate.blend(picture);
            }
        }
    }
}

/// Where an artist sits.
struct Seat {
    name: Arc<str>,
    artist: Arc<dyn Artist>,
    pictures: mpsc::Sender<(Frame, Ground)>,
    answers: mpsc::Receiver<Answer>,
    /// A picture is with him.
    asked: bool,
    /// It is the one at hand.
    awaited: bool,
    last: Option<Last>,
    complaints: LineGate,
}

/// What came of a picture that an artist was shown.
struct Answer {
    frame: Frame,
    edition: u64,
    /// None if he failed.
    drawing: Option<(Plate, MediaTime)>,
}

/// The last drawing.
struct Last {
    made_for: MediaTime,
    edition: u64,
    plate: Plate,
    until: MediaTime,
}

impl Seat {
    fn new(
        name: Arc<str>,
        artist: Arc<dyn Artist>,
        fonts: &Fonts,
        runtime: &Handle,
    ) -> anyhow::Result<Self> {
        let (pictures, shown) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let (his, raster, runtime) = (artist.clone(), Raster::new(fonts), runtime.clone());
        thread::Builder::new()
            .name("overlay".to_owned())
            .spawn(move || work(&*his, raster, &runtime, &shown, &answered))
            .with_context(|| format!("can't start a thread for what plugin {name} draws"))?;
        Ok(Self {
            name,
            artist,
            pictures,
            answers,
            asked: false,
            awaited: false,
            last: None,
            complaints: LineGate::new(1, COMPLAIN_EVERY),
        })
    }

    /// Shows him a picture, if his last drawing doesn't hold for it and he isn't at another one.
    fn ask(&mut self, frame: Frame, ground: Ground) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take(answer);
        }
        let edition = self.artist.edition();
        let holds = self.last.as_ref().is_some_and(|last| {
            frame.time < last.until && last.edition == edition && last.plate.ground() == ground
        });
        self.awaited = !self.asked && !holds;
        if self.awaited {
            // His thread ends before he does only if it panicked, which the log then has; he draws no more.
            self.asked = self.pictures.send((frame, ground)).is_ok();
        }
    }

    /// His drawing for a picture, if there is one before the deadline.
    fn plate(&mut self, frame: &Frame, deadline: Instant) -> Option<&Plate> {
        if self.awaited
            && let Ok(answer) = self
                .answers
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.take(answer);
        }
        if self.asked {
            self.complain();
        }
        let edition = self.artist.edition();
        let keeps = self.artist.keeps_last();
        self.last
            .as_ref()
            .filter(|last| {
                let holds = frame.time < last.until && last.edition == edition;
                keeps || holds || last.made_for == frame.time
            })
            .map(|last| &last.plate)
    }

    fn take(&mut self, answer: Answer) {
        self.asked = false;
        self.last = match answer.drawing {
            Some((plate, until)) => Some(Last {
                made_for: answer.frame.time,
                edition: answer.edition,
                plate,
                until,
            }),
            // Asked again about the next picture.
            None if self.artist.keeps_last() => self.last.take().map(|last| Last {
                until: MediaTime::default(),
                ..last
            }),
            None => None,
        };
    }

    fn complain(&mut self) {
        if let Some(before) = self.complaints.pass(Instant::now()) {
            tracing::warn!(
                "plugin {} is too slow: a picture goes on without what it draws on it, as did {before} before; let its \
                 drawings hold for longer, or draw less",
                self.name
            );
        }
    }
}

/// What an artist's thread does.
fn work(
    artist: &dyn Artist,
    mut raster: Raster,
    runtime: &Handle,
    shown: &mpsc::Receiver<(Frame, Ground)>,
    answers: &mpsc::Sender<Answer>,
) {
    while let Ok((frame, ground)) = shown.recv() {
        let edition = artist.edition();
        let drawing = runtime.block_on(artist.draw(frame));
        let answer = Answer {
            frame,
            edition,
            drawing: drawing
                .map(|drawing| (raster.draw(ground, &drawing.operations), drawing.until)),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
