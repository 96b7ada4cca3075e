use std::{pin::Pin, sync::Arc};

use tokio::sync::watch;

use super::{Board, Drawing};
use crate::{live::Frame, time::MediaTime};

/// A drawing that is being made. `None`: there is none, and whoever was to make it has told the log why.
pub type Drawn<'a> = Pin<Box<dyn Future<Output = Option<Drawing>> + Send + 'a>>;

/// Who draws.
pub trait Artist: Send + Sync + 'static {
    /// Draws on a picture. Never dropped before it is ready.
    fn draw(&self, frame: Frame) -> Drawn<'_>;

    /// Whether his last drawing stays where he fails.
    fn keeps_last(&self) -> bool;

    /// Another number means that what was drawn before doesn't count any more.
    fn edition(&self) -> u64;
}

/// Keeps a layer of the board up to date, as long as pictures come.
///
/// The artist is asked about the newest picture that his last drawing doesn't hold for. Where he fails there is no
/// drawing, or his last one if he keeps that, and he is asked about the next picture.
pub async fn follow(
    artist: impl Artist,
    mut frames: watch::Receiver<Option<Frame>>,
    board: Arc<Board>,
    layer: usize,
) {
    // What the last drawing was made for, and until when it holds.
    let mut last: Option<(Frame, u64, MediaTime)> = None;
    let mut lies = Vec::new();
    while frames.changed().await.is_ok() {
        let Some(frame) = *frames.borrow_and_update() else {
            continue;
        };
        let edition = artist.edition();
        let holds = last.is_some_and(|(made_for, made_by, until)| {
            let size = |frame: Frame| (frame.width, frame.height);
            frame.time < until && made_by == edition && size(made_for) == size(frame)
        });
        if holds {
            continue;
        }
        let (operations, until) = match artist.draw(frame).await {
            Some(drawing) => (drawing.operations, drawing.until),
            None if artist.keeps_last() => (lies.clone(), MediaTime(0)),
            None => (Vec::new(), MediaTime(0)),
        };
        last = Some((frame, edition, until));
        if operations != lies {
            board.put(layer, &frame, operations.clone());
            lies = operations;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::{
        overlay::{Colour, Operation, Point},
        time::Wall,
    };

    fn frame(n: u64) -> Frame {
        Frame {
            time: MediaTime(n * 40_000),
            captured: Wall(n),
            date: Wall(n),
            width: 640,
            height: 360,
        }
    }

    fn line(x: i32) -> Vec<Operation> {
        vec![Operation::Line {
            from: Point(x, 0),
            to: Point(x, 0),
            colour: Colour([0; 4]),
            width: 1,
        }]
    }

    /// Draws what the test says, and remembers for what.
    #[derive(Clone, Default)]
    struct Sketcher(Arc<Sketch>);

    struct Sketch {
        asked: Mutex<Vec<u64>>,
        edition: AtomicU64,
        keeps_last: AtomicBool,
        /// Pictures that a drawing holds for, itself included.
        holds: AtomicU64,
        /// A drawing is ready when there are as many permits.
        open: watch::Sender<bool>,
    }

    impl Default for Sketch {
        fn default() -> Self {
            Self {
                asked: Mutex::default(),
                edition: AtomicU64::new(1),
                keeps_last: AtomicBool::new(false),
                holds: AtomicU64::new(1),
                open: watch::Sender::new(true),
            }
        }
    }

    impl Artist for Sketcher {
        fn draw(&self, frame: Frame) -> Drawn<'_> {
            Box::pin(async move {
                let n = frame.time.0 / 40_000;
                self.0.asked.lock().unwrap().push(n);
                let mut open = self.0.open.subscribe();
                open.wait_for(|open| *open).await.unwrap();
                // Every seventh fails.
                (!n.is_multiple_of(7)).then(|| Drawing {
                    operations: line(n as i32),
                    until: MediaTime((n + self.0.holds.load(Ordering::SeqCst)) * 40_000),
                })
            })
        }

        fn keeps_last(&self) -> bool {
            self.0.keeps_last.load(Ordering::SeqCst)
        }

        fn edition(&self) -> u64 {
            self.0.edition.load(Ordering::SeqCst)
        }
    }

    struct Stage {
        frames: watch::Sender<Option<Frame>>,
        board: Arc<Board>,
        artist: Sketcher,
    }

    impl Stage {
        fn new() -> Self {
            let frames = watch::Sender::new(None);
            let (board, artist) = (Arc::new(Board::new(1)), Sketcher::default());
            tokio::spawn(follow(artist.clone(), frames.subscribe(), board.clone(), 0));
            Self {
                frames,
                board,
                artist,
            }
        }

        /// Shows pictures, and lets everything happen that needs no time.
        async fn show(&self, numbers: impl IntoIterator<Item = u64>) {
            for n in numbers {
                self.frames.send_replace(Some(frame(n)));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        fn asked(&self) -> Vec<u64> {
            std::mem::take(&mut self.artist.0.asked.lock().unwrap())
        }

        fn drawn(&self) -> Vec<(u64, Vec<Operation>)> {
            let sheet = self.board.sheet();
            let drawing = |entry: &Arc<super::super::Entry>| {
                (entry.time.0 / 40_000, entry.operations.clone())
            };
            sheet.layers[0].iter().map(drawing).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_artist_is_asked_when_his_drawing_runs_out() {
        let stage = Stage::new();
        stage.artist.0.holds.store(3, Ordering::SeqCst);
        stage.show(1..=6).await;
        assert_eq!(stage.asked(), [1, 4]);
        assert_eq!(stage.drawn(), [(1, line(1)), (4, line(4))]);
        stage.artist.0.edition.store(2, Ordering::SeqCst);
        stage.show([8]).await;
        assert_eq!(stage.asked(), [8], "another edition");
        let wide = Frame {
            width: 1_280,
            ..frame(9)
        };
        stage.frames.send_replace(Some(wide));
        stage.show([]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(stage.asked(), [9], "another size");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_artist_is_asked_about_fewer_pictures() {
        let stage = Stage::new();
        stage.artist.0.open.send_replace(false);
        stage.show(1..=5).await;
        assert_eq!(stage.asked(), [1]);
        stage.artist.0.open.send_replace(true);
        stage.show([]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(stage.asked(), [5], "the newest, and none between");
        assert_eq!(stage.drawn(), [(1, line(1)), (5, line(5))]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_an_artist_fails_there_is_no_drawing_until_he_draws_again() {
        let stage = Stage::new();
        stage.artist.0.holds.store(100, Ordering::SeqCst);
        stage.show([7, 14]).await;
        assert_eq!(stage.drawn(), [], "nothing to be taken away");
        stage.artist.0.holds.store(1, Ordering::SeqCst);
        stage.show([15, 21, 28, 30]).await;
        assert_eq!(stage.asked(), [7, 14, 15, 21, 28, 30]);
        assert_eq!(
            stage.drawn(),
            [(15, line(15)), (21, vec![]), (30, line(30))]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_artist_who_keeps_his_last_drawing_is_asked_again_all_the_same() {
        let stage = Stage::new();
        stage.artist.0.keeps_last.store(true, Ordering::SeqCst);
        stage.show([7, 8, 14, 15]).await;
        assert_eq!(stage.asked(), [7, 8, 14, 15]);
        assert_eq!(stage.drawn(), [(8, line(8)), (15, line(15))]);
    }
}
