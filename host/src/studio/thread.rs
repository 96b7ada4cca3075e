//! The thread that retouches and encodes.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{Encode, Retouch, keys::Keys};
use crate::{
    h264::AccessUnit,
    picture::{Canvas, Colors, EncodeError, Rate, Settings, Size},
    time::Monotonic,
};

/// Whether what is encoded will be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// At once.
    Ready,
    /// There is no room for it now.
    Full,
    /// Nobody wants it any more.
    Closed,
}

/// Takes what a studio makes. Called on its thread, and by whoever leaves pictures with it.
pub(crate) trait Sink: Send + Sync {
    /// Whether a picture that is encoded now will be taken.
    fn readiness(&self) -> Readiness;

    /// Takes a picture.
    fn deliver(&self, unit: AccessUnit, captured: Monotonic);

    /// A picture was left out since encoding takes too long.
    fn too_slow(&self);

    /// A picture was left out since nobody took those before it.
    fn not_taken(&self);

    /// A picture couldn't be encoded.
    fn failed(&self, error: EncodeError);
}

/// What a studio is to make of the pictures that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Pictures a second, about.
    pub(crate) fps: u32,
    /// Bits a second.
    pub(crate) bitrate: u32,
    /// From one key frame to the next.
    pub(crate) key_interval: Duration,
}

impl Work {
    fn settings(self, size: Size, colors: Colors) -> Settings {
        Settings {
            size,
            colors,
            fps: self.fps.clamp(1, 240),
            rate: Rate::Bits(self.bitrate),
        }
    }
}

/// Opens an encoder.
type Open = fn(Settings) -> Result<Box<dyn Encode>, EncodeError>;

/// Encodes pictures on a thread of its own.
#[derive(Debug)]
pub(crate) struct Studio {
    desk: Arc<Desk>,
    thread: Option<thread::JoinHandle<()>>,
    sink: Arc<dyn Sink>,
}

impl Studio {
    /// Sets the encoder up for pictures of this size, and starts the thread. Other sizes may follow.
    pub(crate) fn start(
        open: Open,
        work: Work,
        (size, colors): (Size, Colors),
        retouch: Option<Box<dyn Retouch>>,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Self> {
        let settings = work.settings(size, colors);
        let encoder = open(settings)?;
        let desk = Arc::<Desk>::default();
        let bench = Bench {
            open,
            encoder: Some((settings, encoder)),
            work,
            keys: keys(work),
            retouch,
            sink: sink.clone(),
            desk: desk.clone(),
        };
        let thread = thread::Builder::new()
            .name("encoder".into())
            .spawn(move || bench.run())?;
        Ok(Self {
            desk,
            thread: Some(thread),
            sink,
        })
    }

    /// A canvas to fill, if one that fits is free.
    pub(crate) fn canvas(&self, fits: impl Fn(&Canvas) -> bool) -> Option<Canvas> {
        let mut pile = self.desk.lock();
        while let Some(canvas) = pile.free.pop() {
            if fits(&canvas) {
                return Some(canvas);
            }
        }
        None
    }

    /// A canvas that was not filled after all.
    pub(crate) fn put_back(&self, canvas: Canvas) {
        self.desk.lock().free.push(canvas);
    }

    /// Leaves a picture to be encoded. One that lies there untouched makes place, and is late. False if nobody encodes
    /// any more.
    pub(crate) fn leave(&self, canvas: Canvas, captured: Monotonic) -> bool {
        let mut pile = self.desk.lock();
        if pile.over {
            return false;
        }
        if let Some((canvas, _)) = pile.next.replace((canvas, captured)) {
            pile.free.push(canvas);
            drop(pile);
            self.sink.too_slow();
        }
        self.desk.changed.notify_all();
        true
    }

    /// The next picture is a key frame.
    pub(crate) fn ask_for_key_frame(&self) {
        self.desk.lock().key = true;
    }

    /// Waits until all that was left is done.
    pub(crate) fn finish(&self) {
        let mut pile = self.desk.lock();
        while (pile.next.is_some() || pile.busy) && !pile.over {
            pile = self.desk.wait(pile);
        }
    }

    /// What follows doesn't continue what was before, and is to be made like this.
    pub(crate) fn begin_anew(&self, work: Work) {
        self.desk.lock().anew = Some(work);
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        self.desk.lock().over = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that encodes has panicked");
        }
    }
}

/// What lies between those who capture and the one who encodes.
#[derive(Debug, Default)]
struct Desk {
    pile: Mutex<Pile>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pile {
    next: Option<(Canvas, Monotonic)>,
    free: Vec<Canvas>,
    /// A key frame is asked for.
    key: bool,
    /// The next picture begins something new.
    anew: Option<Work>,
    /// A picture is being encoded.
    busy: bool,
    /// Nobody leaves or encodes any more.
    over: bool,
}

impl Desk {
    // Whoever panicked has left nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, pile: MutexGuard<'a, Pile>) -> MutexGuard<'a, Pile> {
        self.changed
            .wait(pile)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(work: Work) -> Keys {
    Keys::new(work.key_interval, Duration::from_secs(1) / work.fps.max(1))
}

/// What the thread owns.
struct Bench {
    open: Open,
    /// With what it was opened for. `None` if that failed.
    encoder: Option<(Settings, Box<dyn Encode>)>,
    work: Work,
    keys: Keys,
    retouch: Option<Box<dyn Retouch>>,
    sink: Arc<dyn Sink>,
    desk: Arc<Desk>,
}

/// However the thread ends, nobody waits for it.
struct Over(Arc<Desk>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl Bench {
    fn run(mut self) {
        let _over = Over(self.desk.clone());
        let desk = self.desk.clone();
        let mut pile = desk.lock();
        while !pile.over {
            let Some((mut canvas, captured)) = pile.next.take() else {
                pile = desk.wait(pile);
                continue;
            };
            pile.busy = true;
            let (key, anew) = (std::mem::take(&mut pile.key), pile.anew.take());
            drop(pile);
            if let Some(work) = anew {
                self.work = work;
                self.keys = keys(work);
            }
            if key {
                self.keys.ask();
            }
            let wanted = self.picture(&mut canvas, captured);
            pile = desk.lock();
            pile.busy = false;
            pile.free.push(canvas);
            pile.over |= !wanted;
            desk.changed.notify_all();
        }
    }

    /// From a canvas to an access unit. False if nobody wants any more.
    fn picture(&mut self, canvas: &mut Canvas, captured: Monotonic) -> bool {
        match self.sink.readiness() {
            Readiness::Ready => {}
            Readiness::Full => {
                self.sink.not_taken();
                return true;
            }
            Readiness::Closed => return false,
        }
        if let Some(retouch) = &mut self.retouch {
            retouch.retouch(canvas, captured);
        }
        match self.encode(canvas, captured) {
            Ok(unit) => self.sink.deliver(unit, captured),
            Err(error) => {
                // What follows may refer to the picture that is missing, and openh264 never encodes again after some of
                // its errors: another one begins, with a key frame.
                self.encoder = None;
                self.keys.ask();
                self.sink.failed(error);
            }
        }
        true
    }

    fn encode(&mut self, canvas: &Canvas, captured: Monotonic) -> Result<AccessUnit, EncodeError> {
        let settings = self.work.settings(canvas.size(), canvas.colors());
        if let Some((opened, encoder)) = &mut self.encoder
            && *opened == settings
        {
            return encoder.encode(canvas, self.keys.take(captured));
        }
        // Its memory, before there is more.
        self.encoder = None;
        let (_, encoder) = self.encoder.insert((settings, (self.open)(settings)?));
        self.keys.ask();
        encoder.encode(canvas, self.keys.take(captured))
    }
}

impl std::fmt::Debug for dyn Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

#[cfg(test)]
mod tests;
