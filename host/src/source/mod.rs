//! Where pictures come from.
//!
//! A source runs on its own (a thread for a device, a task for a pipe) and reports through a bounded channel of
//! [`Event`]s. It knows how to come back: a camera that is unplugged, a command that dies, a file at its end are each a
//! [`Event::Lost`] or [`Event::Break`], then pictures again. It ends when its [`Source`] is dropped. It knows nothing of
//! segments, players or plugins.

mod auto;
mod complaints;
mod encoded;
mod ending;
mod exec;
mod file;
pub(crate) mod fuzzing;
mod mp4;
mod outlet;
mod pace;
pub mod pattern;
mod pipe;
mod spec;
mod stdin;
pub mod v4l2;

use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::spec::{BadSource, SourceSpec};
use crate::{h264::AccessUnit, studio::Retouch, time::Monotonic};

/// A picture as the source gave it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The coded picture.
    pub unit: AccessUnit,
    /// When it was captured: the kernel's stamp of a V4L2 buffer, else the moment its first byte arrived.
    pub captured: Monotonic,
}

/// What a source reports.
#[derive(Clone, Debug)]
pub enum Event {
    /// The next picture, in decoding order.
    Picture(Picture),
    /// The next picture does not continue the last one (a file looped, a command was started anew), though there is no
    /// silence to speak of. It will be an IDR picture.
    Break {
        /// One line for the log and the status page.
        reason: String,
    },
    /// No pictures for now. The source tries by itself to come back, with an IDR picture.
    Lost {
        /// One line for the log and the status page: what happened, to what.
        reason: String,
    },
    /// Nothing will follow: standard input ended.
    Ended,
}

/// What the source is known to do, before it has shown any of it. Wherever this and the pictures differ, the pictures
/// are right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Nominal {
    /// Time between two pictures.
    pub frame: Option<Duration>,
    /// Pictures from one IDR picture to the next.
    pub key_interval: Option<u32>,
}

/// What a source is asked for. It does what it can, and says in the log what it can't.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// Time from one IDR picture to the next: the length of a segment.
    pub key_interval: Duration,
    /// Controls of a camera (brightness, exposure) by name, and what to set them to, as text.
    pub controls: Vec<(String, String)>,
}

/// Opens a source and starts it. Must be called within a Tokio runtime.
///
/// `retouch` changes pictures that are encoded here. A source that gives them encoded drops it:
/// [`Source::encoded_here`] tells.
///
/// # Errors
///
/// If there is no such source, or it can't be used, or a camera gives its pictures encoded only and the retouch is
/// [required](Retouch::is_required): the message says why, and what to do.
pub async fn open(
    spec: &SourceSpec,
    wanted: &Wanted,
    retouch: Option<Box<dyn Retouch>>,
) -> anyhow::Result<Source> {
    match spec {
        SourceSpec::Auto => auto::open(wanted, retouch),
        SourceSpec::Device(path) => v4l2::open(path, wanted, retouch),
        SourceSpec::Pattern => pattern::open(wanted, retouch),
        SourceSpec::File(path) => file::open(path, wanted).await,
        SourceSpec::Exec(command) => exec::open(command),
        SourceSpec::Stdin => stdin::open(),
    }
}

/// A running source.
#[derive(Debug)]
pub struct Source {
    /// What it reports. The channel holds a few pictures at most: one who doesn't take them makes the source wait (a
    /// pipe, a file) or drop whole pictures and say so (a device).
    pub events: mpsc::Receiver<Event>,
    /// What is known of it beforehand.
    pub nominal: Nominal,
    /// Asks for an IDR picture as soon as may be.
    pub key_frames: KeyFrames,
    /// What viewers may read of it, on the slate and on `/healthz`: no command line, and no path but that of a device.
    pub name: String,
    /// What it is, for the person who runs the host: `/dev/video0 (bcm2835-v4l2), H264 1280x720 at 30/s`.
    pub description: String,
    /// Its pictures are encoded here, and were retouched before.
    pub encoded_here: bool,
    /// What the camera can be set to, if it is one that can.
    pub controls: Option<v4l2::CameraControls>,
    /// Counts of what went wrong.
    pub damage: watch::Receiver<Damage>,
}

/// Asks a source for key frames. Each call counts up; a source that can't be asked never looks.
#[derive(Clone, Debug)]
pub struct KeyFrames(watch::Sender<u64>);

impl KeyFrames {
    /// The asking end and the source's end.
    pub fn new() -> (Self, watch::Receiver<u64>) {
        let (sender, receiver) = watch::channel(0);
        (Self(sender), receiver)
    }

    /// Asks for an IDR picture as soon as may be.
    pub fn ask(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// What was lost on the way, counted since the source started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Access units dropped: before the first IDR, after damage until the next IDR, or not taken in time.
    pub dropped_units: u64,
    /// Those among them that nobody took, or made, in time.
    pub late_units: u64,
    /// Bytes that belong to no NAL unit, and NAL units that can't be parsed.
    pub bad_nals: u64,
    /// Times the source was lost and came back.
    pub restarts: u64,
}
