use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::runtime::Handle;

use super::{Artist, Fonts, Plate, Raster};
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
/// Each artist has a thread of his own, which asks him and turns his operations into pixels. A picture that his last drawing doesn't
/// hold for is shown to him, and waits for the drawing, but not longer than its `patience`: one for all artists. Who
/// comes too late is not waited for again, nor asked, until he has answered; what he drew before stays where it holds
/// or where he keeps his last drawing, else the picture goes without.
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
    (Duration::from_secs(1) / (4 * fps.max(1))).min(LONGEST)
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
        let size = picture.size();
        let frame = self.frame(size, captured);
        // All draw at once.
        self.seats.iter_mut().for_each(|seat| seat.ask(frame, size));
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
    pictures: mpsc::Sender<(Frame, Size)>,
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
    fn ask(&mut self, frame: Frame, size: Size) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take(answer);
        }
        let edition = self.artist.edition();
        let holds = self.last.as_ref().is_some_and(|last| {
            frame.time < last.until && last.edition == edition && last.plate.size() == size
        });
        self.awaited = !self.asked && !holds;
        if self.awaited {
            // His thread ends before he does only if it panicked, which the log then has; he draws no more.
            self.asked = self.pictures.send((frame, size)).is_ok();
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
    shown: &mpsc::Receiver<(Frame, Size)>,
    answers: &mpsc::Sender<Answer>,
) {
    while let Ok((frame, size)) = shown.recv() {
        let edition = artist.edition();
        let drawing = runtime.block_on(artist.draw(frame));
        let answer = Answer {
            frame,
            edition,
            drawing: drawing.map(|drawing| (raster.draw(size, &drawing.operations), drawing.until)),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    use tokio::{runtime::Runtime, sync::watch};

    use super::*;
    use crate::{
        overlay::{Colour, Drawing, Drawn, Operation, Point},
        picture::Color,
    };

    /// Long enough for whatever a test waits for, however busy the machine is.
    const EVER: Duration = Duration::from_secs(60);
    const FRAME: u64 = 40_000;

    /// Fills the picture with a grey that tells its number, where the test lets him.
    struct Painter {
        asked: Mutex<Vec<u64>>,
        /// He draws, and doesn't fail, up to this picture.
        works_until: AtomicU64,
        holds: u64,
        keeps: AtomicBool,
        edition: AtomicU64,
        open: watch::Sender<bool>,
    }

    impl Artist for Painter {
        fn draw(&self, frame: Frame) -> Drawn<'_> {
            Box::pin(async move {
                let n = frame.time.0 / FRAME;
                self.asked.lock().unwrap().push(n);
                let mut open = self.open.subscribe();
                open.wait_for(|open| *open).await.unwrap();
                let grey = grey(n);
                (n < self.works_until.load(Ordering::SeqCst)).then(|| Drawing {
                    operations: vec![Operation::Rectangle {
                        from: Point(0, 0),
                        to: Point(1_000, 1_000),
                        fill: Some(Colour([grey, grey, grey, 255])),
                        stroke: None,
                        width: 0,
                    }],
                    until: MediaTime((n + self.holds) * FRAME),
                })
            })
        }

        fn keeps_last(&self) -> bool {
            self.keeps.load(Ordering::SeqCst)
        }

        fn edition(&self) -> u64 {
            self.edition.load(Ordering::SeqCst)
        }
    }

    fn grey(n: u64) -> u8 {
        100 + 10 * n as u8
    }

    struct Stage {
        painter: Arc<Painter>,
        burner: Burner,
        _runtime: Runtime,
    }

    impl Stage {
        fn new(holds: u64) -> Self {
            let runtime = Runtime::new().unwrap();
            let painter = Arc::new(Painter {
                asked: Mutex::default(),
                works_until: AtomicU64::new(u64::MAX),
                holds,
                keeps: AtomicBool::new(false),
                edition: AtomicU64::new(1),
                open: watch::Sender::new(true),
            });
            let artists: Vec<(Arc<str>, Arc<dyn Artist>)> =
                vec![("painter".into(), painter.clone())];
            let fonts = Fonts::default();
            let burner = Burner::new(artists, &fonts, EVER, runtime.handle()).unwrap();
            Self {
                painter,
                burner,
                _runtime: runtime,
            }
        }

        /// The number that is drawn on a picture, if any.
        fn show(&mut self, n: u64) -> Option<u64> {
            let mut canvas = Canvas::new(Size::new(16, 16).unwrap(), Color::BLACK);
            self.burner.retouch(&mut canvas, Monotonic(7 + n * FRAME));
            let luma = canvas.luma()[0];
            assert!(canvas.luma().iter().all(|&other| other == luma));
            (0..15).find(|&n| Color::rgb(grey(n), grey(n), grey(n)).y == luma)
        }

        fn asked(&self) -> Vec<u64> {
            std::mem::take(&mut self.painter.asked.lock().unwrap())
        }

        /// Shows a picture again and again until the one who was late has answered.
        fn until_answered(&mut self, n: u64) -> Option<u64> {
            let began = Instant::now();
            while self.burner.seats[0].asked {
                assert!(began.elapsed() < EVER);
                thread::sleep(Duration::from_millis(1));
                let answers: Vec<_> = self.burner.seats[0].answers.try_iter().collect();
                answers.into_iter().for_each(|answer| self.burner.seats[0].take(answer));
            }
            self.show(n)
        }
    }

    #[test]
    fn each_picture_has_the_drawing_that_was_made_for_it() {
        let mut stage = Stage::new(0);
        for n in 0..6 {
            assert_eq!(stage.show(n), Some(n));
        }
        assert_eq!(stage.asked(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_drawing_stays_as_long_as_it_holds() {
        let mut stage = Stage::new(3);
        let shown: Vec<_> = (0..7).map(|n| stage.show(n)).collect();
        assert_eq!(shown, [0, 0, 0, 3, 3, 3, 6].map(Some));
        stage.painter.edition.store(2, Ordering::SeqCst);
        assert_eq!(stage.show(7), Some(7), "another edition");
        assert_eq!(stage.asked(), [0, 3, 6, 7]);
    }

    #[test]
    fn one_who_is_late_is_neither_waited_for_nor_asked_until_he_has_answered() {
        let mut stage = Stage::new(4);
        stage.painter.open.send_replace(false);
        stage.burner.patience = Duration::ZERO;
        assert_eq!(stage.show(0), None);
        // With this, waiting for him would show.
        stage.burner.patience = EVER;
        assert_eq!((stage.show(1), stage.show(2)), (None, None));
        stage.painter.open.send_replace(true);
        assert_eq!(stage.until_answered(3), Some(0), "it still holds");
        assert_eq!(stage.show(4), Some(4));
        assert_eq!(stage.asked(), [0, 4]);
    }

    #[test]
    fn a_late_drawing_for_one_picture_is_shown_on_no_other() {
        let mut stage = Stage::new(0);
        stage.painter.open.send_replace(false);
        stage.burner.patience = Duration::ZERO;
        assert_eq!(stage.show(0), None);
        stage.burner.patience = EVER;
        stage.painter.open.send_replace(true);
        assert_eq!(stage.until_answered(1), Some(1), "he is asked anew");
    }

    #[test]
    fn one_who_keeps_his_last_drawing_is_seen_while_he_is_late_or_fails() {
        let mut stage = Stage::new(0);
        stage.painter.keeps.store(true, Ordering::SeqCst);
        stage.painter.works_until.store(2, Ordering::SeqCst);
        let shown: Vec<_> = (0..5).map(|n| stage.show(n)).collect();
        assert_eq!(shown, [0, 1, 1, 1, 1].map(Some));
        stage.painter.keeps.store(false, Ordering::SeqCst);
        assert_eq!(stage.show(5), None, "he fails, and keeps nothing");
        assert_eq!(stage.asked(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn nobody_waits_longer_than_a_quarter_of_a_picture() {
        let millis = |fps| patience(fps).as_micros();
        assert_eq!([millis(5), millis(25), millis(50)], [8_000, 8_000, 5_000]);
        assert!(patience(0) <= LONGEST && patience(u32::MAX / 8) < Duration::from_micros(1));
    }
}
