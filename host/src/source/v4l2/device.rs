//! A camera's node: what it is, what it offers, and making it do what is wanted.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    control::{self, Controls},
    error::OpenError,
    format::{Interval, Intervals, Size, Sizes, nearest_interval, nearest_size},
    ioctl::{Argument, ioctl},
};
use crate::source::Wanted;

/// The buffer type of all that we do. (Cameras that encode H.264 with the multi-planar interface don't exist in the
/// mainline kernel; memory-to-memory encoders do, and are no cameras.)
pub(super) const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;

/// How pictures come out of a device, best first. Raw formats will follow here, for the host to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// One access unit a buffer, Annex B.
    H264,
}

impl Coding {
    const PREFERRED: [Self; 1] = [Self::H264];

    fn fourcc(self) -> FourCc {
        match self {
            Self::H264 => FourCc(*b"H264"),
        }
    }

    /// What to take from a device that offers `offered`.
    fn choose(offered: &[FourCc]) -> Option<Self> {
        Self::PREFERRED
            .into_iter()
            .find(|coding| offered.contains(&coding.fourcc()))
    }
}

/// A pixel format's four-character code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FourCc([u8; 4]);

impl FourCc {
    fn number(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The top bit of a code says big-endian; codes end in blanks ("VP9 " hasn't, "Y16 " has).
        for byte in self.0 {
            match byte & 0x7f {
                byte if byte.is_ascii_graphic() => write!(f, "{}", byte as char)?,
                b' ' => {}
                byte => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

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
    pub(super) size: Size,
    /// `None` if it doesn't say.
    pub(super) interval: Option<Interval>,
    /// What its encoder took.
    pub(super) controls: Controls,
}

impl Device {
    /// Opens the camera at `path` and makes it as `wanted` as it can be.
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self, OpenError> {
        let refused = |doing: &'static str| move |error| OpenError::of(path, doing, error);
        let fd = rustix::fs::open(
            path,
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| OpenError::of(path, "open it", errno.into()))?;

        let mut capability = sys::v4l2_capability::zeroed();
        ioctl(fd.as_fd(), vidioc::VIDIOC_QUERYCAP, &mut capability)
            .map_err(|error| not_video(path, "ask what it is", error))?;
        let card = text(&capability.card);
        let driver = text(&capability.driver);
        if let Some(what) = not_a_camera(capability.capabilities, capability.device_caps) {
            let path = path.to_owned();
            return Err(OpenError::NotCapture { path, card, what });
        }

        let offered = formats(fd.as_fd()).map_err(refused("list its formats"))?;
        let Some(coding) = Coding::choose(&offered) else {
            let path = path.to_owned();
            return Err(if offered.is_empty() {
                OpenError::NoFormat { path, card }
            } else {
                OpenError::NoH264 {
                    path,
                    card,
                    driver,
                    offered: offered.iter().map(ToString::to_string).collect(),
                }
            });
        };
        let size = set_size(fd.as_fd(), coding, wanted).map_err(refused("set its picture size"))?;
        let interval = set_interval(fd.as_fd(), coding, size, wanted.fps);
        let rate = interval.map_or(f64::from(wanted.fps), Interval::rate);
        let controls = control::set_up(fd.as_fd(), wanted, rate);

        let device = Self {
            fd,
            path: path.to_owned(),
            card,
            driver,
            settings: Settings {
                size,
                interval,
                controls,
            },
        };
        tracing::info!(
            "{}: {}{}",
            device.name(),
            device.settings.controls,
            difference(&device.settings, wanted)
        );
        Ok(device)
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
            "{} ({}, {}), H264 {width}x{height}",
            self.path.display(),
            self.card,
            self.driver
        )?;
        match self.settings.interval {
            Some(interval) => write!(f, " at {}/s", two_places(interval.rate())),
            None => write!(f, " at a rate it doesn't tell"),
        }
    }
}

/// 30, 29.97
fn two_places(rate: f64) -> f64 {
    (rate * 100.0).round() / 100.0
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

/// The error of the first call to a file: nearly any errno means that it isn't a device of this kind.
fn not_video(path: &Path, doing: &'static str, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::InvalidInput => OpenError::NotVideo {
            path: path.to_owned(),
        },
        _ => OpenError::of(path, doing, error),
    }
}

/// What a device with these capabilities is, if it's no camera that we can use.
fn not_a_camera(whole: u32, node: u32) -> Option<&'static str> {
    // The capabilities of the node, unless the driver is too old to tell them from the whole device's.
    let capabilities = if whole & sys::V4L2_CAP_DEVICE_CAPS != 0 {
        node
    } else {
        whole
    };
    let has = |flag| capabilities & flag != 0;
    if has(sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE) {
        Some("it converts pictures of other devices")
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
fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// Asks for item 0, 1, 2, … until the driver says that there is no more. None at all is an empty list, whatever error
/// a driver has for it.
fn list<T>(mut item: impl FnMut(u32) -> io::Result<T>) -> io::Result<Vec<T>> {
    let mut items = Vec::new();
    // More than any device has: a bound for drivers that never say stop.
    for index in 0..1024 {
        match item(index) {
            Ok(item) => items.push(item),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(error),
            Err(_) => break,
        }
    }
    Ok(items)
}

fn formats(fd: BorrowedFd<'_>) -> io::Result<Vec<FourCc>> {
    list(|index| {
        let mut format = sys::v4l2_fmtdesc {
            index,
            type_: CAPTURE,
            ..Argument::zeroed()
        };
        ioctl(fd, vidioc::VIDIOC_ENUM_FMT, &mut format)?;
        Ok(FourCc(format.pixelformat.to_le_bytes()))
    })
}

fn sizes(fd: BorrowedFd<'_>, coding: Coding) -> io::Result<Vec<Sizes>> {
    list(|index| {
        let mut size = sys::v4l2_frmsizeenum {
            index,
            pixel_format: coding.fourcc().number(),
            ..Argument::zeroed()
        };
        ioctl(fd, vidioc::VIDIOC_ENUM_FRAMESIZES, &mut size)?;
        // SAFETY: both readings of the union are integers, and the driver says which one it filled.
        Ok(unsafe {
            if size.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
                let one = size.__bindgen_anon_1.discrete;
                Sizes::One(Size {
                    width: one.width,
                    height: one.height,
                })
            } else {
                let range = size.__bindgen_anon_1.stepwise;
                let size = |width, height| Size { width, height };
                Sizes::Range(
                    size(range.min_width, range.min_height),
                    size(range.max_width, range.max_height),
                    size(range.step_width, range.step_height),
                )
            }
        })
    })
}

fn intervals(fd: BorrowedFd<'_>, coding: Coding, size: Size) -> io::Result<Vec<Intervals>> {
    list(|index| {
        let mut interval = sys::v4l2_frmivalenum {
            index,
            pixel_format: coding.fourcc().number(),
            width: size.width,
            height: size.height,
            ..Argument::zeroed()
        };
        ioctl(fd, vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut interval)?;
        // SAFETY: both readings of the union are integers, and the driver says which one it filled.
        Ok(unsafe {
            if interval.type_ == sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
                Intervals::One(fraction(interval.__bindgen_anon_1.discrete))
            } else {
                let range = interval.__bindgen_anon_1.stepwise;
                Intervals::Range(fraction(range.min), fraction(range.max))
            }
        })
    })
}

fn fraction(fraction: sys::v4l2_fract) -> Interval {
    Interval {
        numerator: fraction.numerator,
        denominator: fraction.denominator,
    }
}

/// Sets format and size; the driver may give another size.
fn set_size(fd: BorrowedFd<'_>, coding: Coding, wanted: &Wanted) -> io::Result<Size> {
    let wanted = Size {
        width: wanted.width,
        height: wanted.height,
    };
    let asked = nearest_size(&sizes(fd, coding)?, wanted).unwrap_or(wanted);
    let mut format = sys::v4l2_format {
        type_: CAPTURE,
        ..Argument::zeroed()
    };
    format.fmt.pix = sys::v4l2_pix_format {
        width: asked.width,
        height: asked.height,
        pixelformat: coding.fourcc().number(),
        field: sys::v4l2_field_V4L2_FIELD_ANY,
        // SAFETY: integers, and a union of integers.
        ..unsafe { std::mem::zeroed() }
    };
    ioctl(fd, vidioc::VIDIOC_S_FMT, &mut format)?;
    // SAFETY: the driver fills this reading of the union for a capture buffer type.
    let taken = unsafe { format.fmt.pix };
    if taken.pixelformat != coding.fourcc().number() {
        return Err(io::Error::other(format!(
            "it lists {} but takes {} when asked for it",
            coding.fourcc(),
            FourCc(taken.pixelformat.to_le_bytes())
        )));
    }
    Ok(Size {
        width: taken.width,
        height: taken.height,
    })
}

/// Sets the rate; returns what the driver gives. A camera may have no say in it (a capture card), which is fine.
fn set_interval(fd: BorrowedFd<'_>, coding: Coding, size: Size, fps: u32) -> Option<Interval> {
    let asked = nearest_interval(&intervals(fd, coding, size).ok()?, fps).unwrap_or(Interval {
        numerator: 1,
        denominator: fps,
    });
    let mut parameters = sys::v4l2_streamparm {
        type_: CAPTURE,
        ..Argument::zeroed()
    };
    parameters.parm.capture.timeperframe = sys::v4l2_fract {
        numerator: asked.numerator,
        denominator: asked.denominator,
    };
    if let Err(error) = ioctl(fd, vidioc::VIDIOC_S_PARM, &mut parameters) {
        tracing::debug!("no rate can be set: {error}");
        parameters = sys::v4l2_streamparm {
            type_: CAPTURE,
            ..Argument::zeroed()
        };
        ioctl(fd, vidioc::VIDIOC_G_PARM, &mut parameters).ok()?;
    }
    // SAFETY: the driver fills this reading of the union for a capture buffer type.
    let taken = fraction(unsafe { parameters.parm.capture.timeperframe });
    taken.duration().map(|_| taken)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn h264_is_taken_wherever_it_stands_in_the_list() {
        let codes =
            |codes: &[&[u8; 4]]| codes.iter().map(|code| FourCc(**code)).collect::<Vec<_>>();
        assert_eq!(
            Coding::choose(&codes(&[b"YUYV", b"MJPG", b"H264"])),
            Some(Coding::H264)
        );
        assert_eq!(Coding::choose(&codes(&[b"YUYV", b"MJPG"])), None);
        assert_eq!(Coding::choose(&[]), None);
    }

    #[test]
    fn codes_print_as_people_know_them() {
        assert_eq!(FourCc(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc([b'Y', b'1', b'6', b' ' | 0x80]).to_string(), "Y16");
        assert_eq!(FourCc([b'a', 0, b'b', b'c']).to_string(), "a\\x00bc");
    }

    #[test]
    fn only_a_node_that_captures_video_in_memory_mapped_buffers_is_a_camera() {
        let whole = sys::V4L2_CAP_DEVICE_CAPS
            | sys::V4L2_CAP_VIDEO_CAPTURE
            | sys::V4L2_CAP_META_CAPTURE
            | sys::V4L2_CAP_STREAMING;
        let node = |flags| not_a_camera(whole, flags | sys::V4L2_CAP_STREAMING);
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
        assert!(node(sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE).is_some());
        assert!(not_a_camera(whole, sys::V4L2_CAP_VIDEO_CAPTURE).is_some());
    }

    #[test]
    fn an_old_driver_that_tells_no_capabilities_of_the_node_is_judged_by_those_of_the_device() {
        let whole = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_STREAMING;
        assert_eq!(not_a_camera(whole, 0), None);
    }

    #[test]
    fn a_camera_that_gives_something_else_is_told_in_the_log() {
        let settings = Settings {
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
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Device::open(file.path(), &wanted).unwrap_err();
        assert!(matches!(error, OpenError::NotVideo { .. }), "{error}");
        let error = Device::open(Path::new("/dev/null"), &wanted).unwrap_err();
        assert!(matches!(error, OpenError::NotVideo { .. }), "{error}");
        let error = Device::open(Path::new("/dev/there-is-no-such-camera"), &wanted).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    }
}
