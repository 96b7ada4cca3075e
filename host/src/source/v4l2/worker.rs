//! The thread that takes pictures from a camera, and from nobody while there is no camera.

use std::{
    collections::BTreeSet,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use super::{
    capture::Queue,
    comeback::Appearance,
    delivery::Delivery,
    device::Device,
    error::OpenError,
    panel::CameraControls,
    session::{Outcome, Raw, Session},
    wake::{Orders, Woken},
};
use crate::{
    source::{Damage, Event, Wanted, encoded::Encoded},
    studio::{Converter, Openh264, Retouch, Studio, Work},
};

/// Without a buffer for this long, the stream is started anew; without one for as long again, the device is opened
/// anew. Cameras take up to three seconds for the first picture.
const SILENCE: Duration = Duration::from_secs(5);

/// [`SILENCE`] doubles up to this with each vain attempt, so that a dead camera doesn't fill the log.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// How often to try a device that exists but can't be opened (in use, no format yet): nothing tells when that ends.
const RETRY: Duration = Duration::from_secs(2);

pub(super) struct Worker {
    path: PathBuf,
    wanted: Wanted,
    controls: CameraControls,
    /// Its pictures have to be encoded here.
    raw: bool,
    orders: Orders,
    delivery: Delivery,
    silence: Duration,
    sink: Arc<Encoded>,
    /// Where raw pictures go, once there were any. It stays: whoever draws on them knows no other camera.
    studio: Option<Arc<Studio>>,
    /// For the studio.
    retouch: Option<Box<dyn Retouch>>,
}

/// How a stream came to its end.
enum End {
    /// Nobody wants it.
    Unwanted,
    /// The device failed.
    Lost {
        /// One line for people.
        reason: String,
        /// There was something before it failed.
        worked: bool,
    },
}

impl Worker {
    pub(super) fn new(
        path: &Path,
        wanted: &Wanted,
        controls: CameraControls,
        retouch: Option<Box<dyn Retouch>>,
        events: mpsc::Sender<Event>,
        key_frames: watch::Receiver<u64>,
        damage: watch::Sender<Damage>,
    ) -> io::Result<Self> {
        let name = path.display().to_string();
        Ok(Self {
            path: path.to_owned(),
            wanted: wanted.clone(),
            controls,
            raw: must_be_raw(retouch.as_deref()),
            orders: Orders::new(events.clone(), key_frames)?,
            sink: Arc::new(Encoded::new(name, events.clone(), damage.clone())),
            delivery: Delivery::new(events, damage),
            silence: SILENCE,
            studio: None,
            retouch,
        })
    }

    /// Gets ready for what this device gives.
    pub(super) fn session(&mut self, device: &Device) -> Result<Session, OpenError> {
        let settings = &device.settings;
        let Some(layout) = settings.layout else {
            return Ok(Session::new(None));
        };
        let unencodable = |why: String| OpenError::Unencodable {
            path: self.path.clone(),
            why,
        };
        let converter = Converter::new(layout).map_err(|error| unencodable(error.to_string()))?;
        let rate = settings.interval.map(|interval| interval.rate().round());
        let work = Work {
            // A float that is too large becomes `u32::MAX`.
            fps: rate.map_or(self.wanted.fps, |rate| rate as u32),
            bitrate: self.wanted.bitrate,
            key_interval: self.wanted.key_interval,
        };
        let studio = match &self.studio {
            Some(studio) => {
                studio.begin_anew(work);
                studio.clone()
            }
            None => {
                // Whoever draws on the pictures doesn't look for others from now on.
                self.raw |= self.retouch.is_some();
                let pictures = (converter.size(), converter.colors());
                let retouch = self.retouch.take();
                let studio =
                    Studio::start(Openh264::open, work, pictures, retouch, self.sink.clone())
                        .map_err(|error| unencodable(format!("{error:#}")))?;
                self.studio.insert(Arc::new(studio)).clone()
            }
        };
        Ok(Session::new(Some(Raw {
            converter,
            studio,
            sink: self.sink.clone(),
        })))
    }

    /// Runs until nobody wants the pictures any more.
    pub(super) fn run(mut self, mut queue: Queue, mut session: Session) {
        loop {
            let end = self.stream(queue, session);
            if let Some(studio) = &self.studio {
                // What was captured comes before the news that nothing more will be.
                studio.finish();
            }
            match end {
                End::Unwanted => return,
                End::Lost { reason, worked } => {
                    if !self.delivery.lost(reason) {
                        return;
                    }
                    // An error of one transfer (EIO) leaves a device that works when it is opened anew. One that
                    // can be opened and then always fails must not keep us busy.
                    if !worked && !self.wait_for_change(None) {
                        return;
                    }
                }
            }
            (queue, session) = match self.come_back() {
                Some(back) => back,
                None => return,
            };
            self.delivery.came_back();
        }
    }

    /// Takes pictures until something ends it. The device is closed then.
    fn stream(&mut self, mut queue: Queue, mut session: Session) -> End {
        let name = queue.device().name();
        let mut worked = false;
        macro_rules! lost {
            ($($what:tt)*) => {
                return End::Lost {
                    reason: format!("{name}: {}", format_args!($($what)*)),
                    worked,
                }
            };
        }
        let mut deadline = Instant::now() + self.silence;
        loop {
            match self.orders.wait(queue.device().as_fd(), Some(deadline)) {
                Ok(Woken::Stop) => return End::Unwanted,
                Ok(Woken::KeyFrame) => session.ask_for_key_frame(&queue),
                Ok(Woken::Readable { broken }) => match queue.take() {
                    Ok(Some(filled)) => {
                        deadline = Instant::now() + SILENCE;
                        self.silence = SILENCE;
                        session.restarted = false;
                        worked = true;
                        let outcome = session.picture(&mut self.delivery, &queue, &filled);
                        if outcome == Outcome::Over {
                            return End::Unwanted;
                        }
                        if let Err(error) = queue.give_back(filled) {
                            lost!("takes no buffer back: {error}");
                        }
                    }
                    Ok(None) if broken => lost!("reports an error"),
                    Ok(None) => {}
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                        lost!("was unplugged")
                    }
                    Err(error) => lost!("gives no picture: {error}"),
                },
                Ok(Woken::Deadline) if session.restarted => {
                    self.silence = (self.silence * 2).min(LONGEST_SILENCE);
                    lost!("still sends nothing");
                }
                Ok(Woken::Deadline) => {
                    tracing::warn!(
                        "{name}: nothing for {} s, starting the stream anew",
                        self.silence.as_secs()
                    );
                    if let Err(error) = queue.restart() {
                        lost!("can't be started anew: {error}");
                    }
                    session.start_anew();
                    deadline = Instant::now() + self.silence;
                }
                Err(error) => lost!("can't be waited for: {error}"),
            }
        }
    }

    /// Waits until the device can be taken up again; `None` when nobody wants it any more.
    fn come_back(&mut self) -> Option<(Queue, Session)> {
        let mut told = BTreeSet::new();
        loop {
            // Before the attempt, so that nothing that happens in between is missed.
            let appearance = Appearance::watch(&self.path)
                .inspect_err(|errno| {
                    tracing::debug!("no inotify for {}: {errno}", self.path.display());
                })
                .ok();
            self.wanted.controls = self.controls.kept();
            let taken = take_up(&self.path, &self.wanted, self.raw).and_then(|queue| {
                let session = self.session(queue.device())?;
                Ok((queue, session))
            });
            match taken {
                Ok(back) => return Some(back),
                Err(error) => {
                    let error = error.to_string();
                    if told.insert(error.clone()) {
                        tracing::info!("not yet: {error}");
                    }
                }
            }
            if !self.wait_for_change(appearance) {
                return None;
            }
        }
    }

    /// Sleeps until it makes sense to try again; false when nobody wants that.
    fn wait_for_change(&mut self, appearance: Option<Appearance>) -> bool {
        let will_tell = appearance.as_ref().is_some_and(Appearance::will_tell);
        let deadline = (!will_tell).then(|| Instant::now() + RETRY);
        loop {
            let woken = match &appearance {
                Some(appearance) => self.orders.wait(appearance.as_fd(), deadline),
                None => self.orders.wait_for_orders(deadline),
            };
            match woken {
                Ok(Woken::Stop) => return false,
                Ok(Woken::KeyFrame) => {}
                Ok(Woken::Deadline) => return true,
                Ok(Woken::Readable { .. }) => match appearance.as_ref().map(Appearance::take) {
                    Some(Ok(false)) => {}
                    Some(Ok(true)) | None => return true,
                    Some(Err(errno)) => {
                        tracing::warn!("inotify fails: {errno}");
                        return self.wait_for_change(None);
                    }
                },
                Err(error) => {
                    tracing::error!("can't wait for {}: {error}", self.path.display());
                    return false;
                }
            }
        }
    }
}

/// Opens a camera, sets it up and starts it; `raw` if its pictures have to be encoded here.
pub(super) fn take_up(path: &Path, wanted: &Wanted, raw: bool) -> Result<Queue, OpenError> {
    let device = Device::open(path, wanted, raw)?;
    Queue::start(device).map_err(|error| OpenError::of(path, "start its stream", error))
}

/// Whether pictures that a camera has encoded are of no use.
pub(super) fn must_be_raw(retouch: Option<&(dyn Retouch + 'static)>) -> bool {
    retouch.is_some_and(Retouch::is_required)
}
