//! The thread that takes pictures from a camera, and from nobody while there is no camera.

use std::{
    collections::BTreeSet,
    io,
    os::fd::AsFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use super::{
    capture::{Filled, Queue},
    comeback::Appearance,
    control,
    delivery::Delivery,
    device::Device,
    error::OpenError,
    stamp::Stamps,
    wake::{Orders, Woken},
};
use crate::{
    h264,
    source::{Damage, Event, Picture, Wanted},
    time::Monotonic,
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
    orders: Orders,
    delivery: Delivery,
    silence: Duration,
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
        path: PathBuf,
        wanted: Wanted,
        events: mpsc::Sender<Event>,
        key_frames: watch::Receiver<u64>,
        damage: watch::Sender<Damage>,
    ) -> io::Result<Self> {
        Ok(Self {
            path,
            wanted,
            orders: Orders::new(events.clone(), key_frames)?,
            delivery: Delivery::new(events, damage),
            silence: SILENCE,
        })
    }

    /// Runs until nobody wants the pictures any more.
    pub(super) fn run(mut self, mut queue: Queue) {
        loop {
            match self.stream(queue) {
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
            queue = match self.come_back() {
                Some(queue) => queue,
                None => return,
            };
            self.delivery.came_back();
        }
    }

    /// Takes pictures until something ends it. The device is closed then.
    fn stream(&mut self, mut queue: Queue) -> End {
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
        let mut session = Session::new();
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
                        self.picture(&mut session, &queue, &filled);
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
                    session.restarted = true;
                    session.sequence = None;
                    // The parameter sets it knows may be the only ones that the camera ever sends.
                    session.reader.lost();
                    deadline = Instant::now() + self.silence;
                }
                Err(error) => lost!("can't be waited for: {error}"),
            }
        }
    }

    /// From a buffer to events.
    fn picture(&mut self, session: &mut Session, queue: &Queue, filled: &Filled) {
        let now = Monotonic::now();
        let (captured, distrust) = session.stamps.captured(filled.stamp, now);
        if let Some(distrust) = distrust
            && !session.told_distrust
        {
            session.told_distrust = true;
            tracing::info!(
                "{}: its time stamps {}; the time of arrival is used instead",
                queue.device().name(),
                distrust.as_str()
            );
        }
        session.note_sequence(filled.sequence);

        let bytes = queue.bytes(filled);
        if filled.damaged || bytes.is_empty() {
            // What was in it may have been a reference for all that follows.
            session.reader.lost();
            self.delivery.damaged();
            session.ask_for_key_frame(queue);
            return;
        }
        session.reader.push(bytes, captured);
        if session.whole_pictures {
            session.reader.flush();
        }
        let mut in_time = true;
        while let Some(found) = session.reader.take() {
            in_time &= self.delivery.deliver(Picture {
                unit: found.unit,
                captured: found.mark,
            });
        }
        let loss = session.reader.loss();
        let lost = self.delivery.loss(loss);
        if loss.false_ends > 0 && session.whole_pictures {
            session.whole_pictures = false;
            tracing::warn!(
                "{}: its buffers don't hold whole pictures; each picture now waits for the next to begin",
                queue.device().name()
            );
        }
        if lost || !in_time {
            session.ask_for_key_frame(queue);
        }
    }

    /// Waits until the device can be taken up again; `None` when nobody wants it any more.
    fn come_back(&mut self) -> Option<Queue> {
        let mut told = BTreeSet::new();
        loop {
            // Before the attempt, so that nothing that happens in between is missed.
            let appearance = Appearance::watch(&self.path)
                .inspect_err(|errno| {
                    tracing::debug!("no inotify for {}: {errno}", self.path.display());
                })
                .ok();
            match take_up(&self.path, &self.wanted) {
                Ok(queue) => return Some(queue),
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

/// Opens a camera, sets it up and starts it.
pub(super) fn take_up(path: &std::path::Path, wanted: &Wanted) -> Result<Queue, OpenError> {
    let device = Device::open(path, wanted)?;
    Queue::start(device).map_err(|error| OpenError::of(path, "start its stream", error))
}

/// What is known of a stream from its start to its end.
struct Session {
    /// Marks are the times of capture.
    reader: h264::Reader<Monotonic>,
    stamps: Stamps,
    told_distrust: bool,
    told_no_key_frames: bool,
    /// The driver's count of the last buffer.
    sequence: Option<u32>,
    /// It was started anew, in vain so far.
    restarted: bool,
    /// Each buffer holds whole access units, as the kernel's description of the format promises: a picture needn't
    /// wait for the next one to begin.
    whole_pictures: bool,
}

impl Session {
    fn new() -> Self {
        Self {
            reader: h264::Reader::new(),
            stamps: Stamps::default(),
            told_distrust: false,
            told_no_key_frames: false,
            sequence: None,
            restarted: false,
            whole_pictures: true,
        }
    }

    fn ask_for_key_frame(&mut self, queue: &Queue) {
        if !queue.device().settings.controls.key_frames_on_request {
            return;
        }
        if let Err(error) = control::force_key_frame(queue.device().as_fd())
            && !self.told_no_key_frames
        {
            self.told_no_key_frames = true;
            tracing::warn!(
                "{}: makes no key frame on request: {error}",
                queue.device().name()
            );
        }
    }

    /// A gap in the driver's count is told, and nothing more. Some drivers count what the sensor gave, before the
    /// encoder was to drop pictures to keep its rate: then nothing is amiss. Others count coded pictures, and a gap
    /// means that one is lost which the next ones refer to; that shows in the bitstream itself (`frame_num`), where
    /// the reader sees it without doubt.
    fn note_sequence(&mut self, sequence: u32) {
        if let Some(last) = self.sequence.replace(sequence) {
            let missed = sequence.wrapping_sub(last).wrapping_sub(1);
            // Drivers that don't count say 0 for ever; those that begin anew fall back.
            if (1..1000).contains(&missed) {
                tracing::debug!("the driver skipped {missed} pictures before {sequence}");
            }
        }
    }
}
