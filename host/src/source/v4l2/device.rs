//! A camera's node: what it is, what it offers, and making it do what is wanted.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode as FileMode, OFlags};
use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    choice::{Mode, choose, explain},
    coding::{Coding, FourCc},
    control::{self, Controls},
    error::OpenError,
    format::{Interval, Size, two_places},
    ioctl::{Argument, ioctl},
    knobs,
    offer::{formats, modes, set_format, set_interval},
};
use crate::{
    source::Wanted,
    studio::{Layout, Openh264},
};

/// A camera that is open and set up.
#[derive(Debug)]
pub(super) struct Device {
    fd: OwnedFd,
    path: PathBuf,
    /// The device's name.
    card: String,
    driver: String,
    /// What it took.
    pub(super) settings: Settings,
}

/// What a camera agreed to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) coding: Coding,
    pub(super) size: Size,
    /// What its buffers hold, if that is for us to encode.
    pub(super) layout: Option<Layout>,
    /// `None` if it doesn't say.
    pub(super) interval: Option<Interval>,
    /// What its encoder took.
    pub(super) controls: Controls,
}

impl Device {
    /// Opens the camera at `path` and makes it as `wanted` as it can be; `raw` if its pictures have to be encoded here.
    pub(super) fn open(path: &Path, wanted: &Wanted, raw: bool) -> Result<Self, OpenError> {
        let refused = |doing: &'static str| move |error| OpenError::of(path, doing, error);
        let Node { fd, card, driver } = Node::open(path)?;
        let modes = modes(fd.as_fd(), wanted).map_err(refused("list its formats"))?;
        let Some(mode) = choose(&modes, wanted, raw) else {
            let offered = formats(fd.as_fd()).map_err(refused("list its formats"))?;
            return Err(unusable(path, card, driver, &offered, raw));
        };
        let taken =
            set_format(fd.as_fd(), mode, wanted).map_err(refused("set its picture size"))?;
        for (name, value) in &wanted.controls {
            // What one is set to may decide whether another can be set.
            let controls = knobs::list(fd.as_fd());
            knobs::set(fd.as_fd(), &controls, name, value).map_err(|error| OpenError::Control {
                path: path.to_owned(),
                error,
            })?;
        }
        let interval = set_interval(fd.as_fd(), mode.coding, taken.size, wanted.fps);
        let rate = interval.map_or(f64::from(wanted.fps), Interval::rate);
        let device = Self {
            path: path.to_owned(),
            card,
            driver,
            settings: Settings {
                coding: mode.coding,
                size: taken.size,
                layout: taken.layout,
                interval,
                controls: match mode.coding {
                    Coding::H264 => control::set_up(fd.as_fd(), wanted, rate),
                    Coding::Raw(_) => Controls::default(),
                },
            },
            fd,
        };
        device.tell(&modes, mode, wanted);
        Ok(device)
    }

    /// Says in the log what was chosen, and what came of it.
    fn tell(&self, modes: &[Mode], mode: Mode, wanted: &Wanted) {
        let how = match self.settings.layout {
            None => self.settings.controls.to_string(),
            Some(layout) => format!("colours are {}", layout.colors),
        };
        tracing::info!(
            "{} {}: {how}{}",
            self.name(),
            explain(modes, mode, wanted),
            difference(&self.settings, wanted)
        );
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What to call it in a message: `/dev/video0 (HD Pro Webcam C920)`.
    pub(super) fn name(&self) -> String {
        format!("{} ({})", self.path.display(), self.card)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Size { width, height } = self.settings.size;
        write!(
            f,
            "{} ({}, {}), {} {width}x{height}",
            self.path.display(),
            self.card,
            self.driver,
            self.settings.coding
        )?;
        match self.settings.interval {
            Some(interval) => write!(f, " at {}/s", two_places(interval.rate()))?,
            None => write!(f, " at a rate it doesn't tell")?,
        }
        match self.settings.coding {
            Coding::H264 => Ok(()),
            Coding::Raw(_) => write!(f, ", encoded by {}", Openh264::NAME),
        }
    }
}

/// What of the size and the rate isn't as it was wanted, for the log.
fn difference(settings: &Settings, wanted: &Wanted) -> String {
    let size = settings.size;
    let mut text = String::new();
    if (size.width, size.height) != (wanted.width, wanted.height) {
        text += &format!(
            "; asked for {}x{}, it gives {}x{}",
            wanted.width, wanted.height, size.width, size.height
        );
    }
    if let Some(interval) = settings.interval
        && (interval.rate() - f64::from(wanted.fps)).abs() > 0.01
    {
        text += &format!(
            "; asked for {} pictures a second, it gives {}",
            wanted.fps,
            two_places(interval.rate())
        );
    }
    text
}

/// A V4L2 device that captures video.
pub(super) struct Node {
    pub(super) fd: OwnedFd,
    /// The device's name.
    pub(super) card: String,
    pub(super) driver: String,
}

impl Node {
    /// Opens it, and finds out what it is.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let fd = rustix::fs::open(
            path,
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            FileMode::empty(),
        )
        .map_err(|errno| OpenError::of(path, "open it", errno.into()))?;
        let mut capability = sys::v4l2_capability::zeroed();
        ioctl(fd.as_fd(), vidioc::VIDIOC_QUERYCAP, &mut capability)
            .map_err(|error| not_video(path, "ask what it is", error))?;
        let card = text(&capability.card);
        let driver = text(&capability.driver);
        match not_a_camera(&driver, capability.capabilities, capability.device_caps) {
            Some(what) => Err(OpenError::NotCapture {
                path: path.to_owned(),
                card,
                what,
            }),
            None => Ok(Self { fd, card, driver }),
        }
    }
}

/// Whether there is a camera that encodes H.264.
pub(super) fn encodes(path: &Path) -> bool {
    let h264 = Coding::H264.fourcc();
    Node::open(path)
        .ok()
        .and_then(|node| formats(node.fd.as_fd()).ok())
        .is_some_and(|formats| formats.contains(&h264))
}

/// Why none of its formats will do.
fn unusable(path: &Path, card: String, driver: String, offered: &[FourCc], raw: bool) -> OpenError {
    let path = path.to_owned();
    let offered: Vec<_> = offered.iter().map(ToString::to_string).collect();
    if offered.is_empty() {
        OpenError::NoFormat { path, card }
    } else if raw && offered.contains(&Coding::H264.to_string()) {
        OpenError::OnlyCoded { path, card }
    } else {
        OpenError::NoKnownFormat {
            path,
            card,
            driver,
            offered,
        }
    }
}

/// The error of the first call to a file: nearly any errno means that it isn't a device of this kind.
fn not_video(path: &Path, doing: &'static str, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::InvalidInput => OpenError::NotVideo {
            path: path.to_owned(),
        },
        _ => OpenError::of(path, doing, error),
    }
}

/// Inputs and formats are set up through the media controller (videodev2.h since Linux 5.9).
const V4L2_CAP_IO_MC: u32 = 0x2000_0000;

/// What a device of this driver with these capabilities is, if it's no camera that we can use.
fn not_a_camera(driver: &str, whole: u32, node: u32) -> Option<&'static str> {
    // The capabilities of the node, unless the driver is too old to tell them from the whole device's.
    let capabilities = if whole & sys::V4L2_CAP_DEVICE_CAPS != 0 {
        node
    } else {
        whole
    };
    let has = |flag| capabilities & flag != 0;
    // The image processors of Raspberry Pis don't say that they are none.
    if has(sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE)
        || ["bcm2835-isp", "pispbe"].contains(&driver)
    {
        Some("it converts pictures of other devices")
    } else if has(V4L2_CAP_IO_MC) {
        Some(
            "until another program (libcamera) has set its parts up: a Raspberry Pi's camera is used with \
             --source 'exec:rpicam-vid -t 0 --inline --flush -o -'",
        )
    } else if has(sys::V4L2_CAP_VIDEO_CAPTURE) {
        (!has(sys::V4L2_CAP_STREAMING)).then_some("at least not through memory-mapped buffers")
    } else if has(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE) {
        Some("at least not in a single plane")
    } else if has(sys::V4L2_CAP_META_CAPTURE) {
        Some("only data about pictures")
    } else if has(sys::V4L2_CAP_VIDEO_OUTPUT) {
        Some("it takes pictures")
    } else {
        Some("it has another purpose")
    }
}

/// Zero-terminated text, of any encoding.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_node_that_captures_video_in_memory_mapped_buffers_is_a_camera() {
        let whole = sys::V4L2_CAP_DEVICE_CAPS
            | sys::V4L2_CAP_VIDEO_CAPTURE
            | sys::V4L2_CAP_META_CAPTURE
            | sys::V4L2_CAP_STREAMING;
        let node = |flags| not_a_camera("uvcvideo", whole, flags | sys::V4L2_CAP_STREAMING);
        assert_eq!(node(sys::V4L2_CAP_VIDEO_CAPTURE), None);
        assert_eq!(
            node(sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_OUTPUT),
            None,
            "v4l2loopback is both"
        );
        assert_eq!(
            node(sys::V4L2_CAP_META_CAPTURE),
            Some("only data about pictures"),
            "the second node of every USB camera"
        );
        assert!(node(sys::V4L2_CAP_VIDEO_M2M).is_some());
        assert!(node(sys::V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_IO_MC).is_some());
        let capture = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
        assert!(not_a_camera("bcm2835-isp", whole, capture).is_some());
        assert!(node(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE).is_some());
        assert!(not_a_camera("uvcvideo", whole, sys::V4L2_CAP_VIDEO_CAPTURE).is_some());
    }

    #[test]
    fn an_old_driver_that_tells_no_capabilities_of_the_node_is_judged_by_those_of_the_device() {
        let whole = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
        assert_eq!(not_a_camera("uvcvideo", whole, 0), None);
    }

    #[test]
    fn a_camera_that_gives_something_else_is_told_in_the_log() {
        let settings = Settings {
            coding: Coding::H264,
            layout: None,
            size: Size {
                width: 640,
                height: 480,
            },
            interval: Some(Interval {
                numerator: 1001,
                denominator: 30000,
            }),
            controls: Controls::default(),
        };
        let wanted = |width, height, fps| Wanted {
            width,
            height,
            fps,
            bitrate: 2_000_000,
            key_interval: Duration::from_secs(1),
            controls: Vec::new(),
        };
        assert_eq!(
            difference(&settings, &wanted(1280, 720, 30)),
            "; asked for 1280x720, it gives 640x480; asked for 30 pictures a second, it gives 29.97"
        );
        let settings = Settings {
            interval: Some(Interval {
                numerator: 1,
                denominator: 25,
            }),
            ..settings
        };
        assert_eq!(difference(&settings, &wanted(640, 480, 25)), "");
    }

    #[test]
    fn a_name_ends_at_its_zero_and_may_be_of_any_encoding() {
        assert_eq!(text(b"HD Pro\0junk"), "HD Pro");
        assert_eq!(text(b"Kamera \xfc\0"), "Kamera \u{fffd}");
        assert_eq!(text(b"sixteen bytes ok"), "sixteen bytes ok");
    }

    #[test]
    fn a_file_that_is_no_device_is_told_so() {
        let wanted = Wanted {
            width: 640,
            height: 480,
            fps: 30,
            bitrate: 1_000_000,
            key_interval: Duration::from_secs(1),
            controls: Vec::new(),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Device::open(file.path(), &wanted, false).unwrap_err();
        assert!(matches!(error, OpenError::NotVideo { .. }), "{error}");
        let error = Device::open(Path::new("/dev/null"), &wanted, false).unwrap_err();
        assert!(matches!(error, OpenError::NotVideo { .. }), "{error}");
        let error =
            Device::open(Path::new("/dev/there-is-no-such-camera"), &wanted, false).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    }
}
