use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{runtime::Runtime, sync::watch};

use super::*;
use crate::{
    overlay::{Colour, Drawing, Drawn, Operation, Point},
    picture::{Color, Colors},
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
        let artists: Vec<(Arc<str>, Arc<dyn Artist>)> = vec![("painter".into(), painter.clone())];
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
        let painted = |n| Color::rgb(grey(n), grey(n), grey(n)).samples(Colors::BT709);
        (0..15).find(|&n| painted(n).y == luma)
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
            answers
                .into_iter()
                .for_each(|answer| self.burner.seats[0].take(answer));
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
    assert!(patience(0) <= LONGEST && patience(u32::MAX) < Duration::from_micros(1));
}
