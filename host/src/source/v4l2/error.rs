use std::{io, path::PathBuf};

use rustix::io::Errno;

use super::knobs::ControlError;

/// Why a device can't be a source. The messages are for the person at the terminal: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// No such node.
    #[error(
        "there is no {}: is the camera plugged in and switched on? `ls /dev/video*` shows what there is", path.display()
    )]
    Missing {
        /// The node.
        path: PathBuf,
    },
    /// EACCES, EPERM.
    #[error(
        "{} may not be opened by this user: `sudo usermod -aG video $USER`, then log in again (in a container, pass the \
         device on: `--device {}`)",
        path.display(), path.display()
    )]
    Denied {
        /// The node.
        path: PathBuf,
    },
    /// EBUSY.
    #[error("{} is in use by another program: `fuser -v {}` tells which", path.display(), path.display())]
    Busy {
        /// The node.
        path: PathBuf,
    },
    /// ENOSPC, which for a USB camera means the bus.
    #[error(
        "{} finds no room for its pictures on the USB bus: plug it in elsewhere, not into a hub that others use, or ask \
         for less with --size or --fps",
        path.display()
    )]
    NoBandwidth {
        /// The node.
        path: PathBuf,
    },
    /// It doesn't answer as a V4L2 device does.
    #[error("{} is not a video device: a camera is /dev/video0 or so, `ls /dev/video*` shows what there is", path.display())]
    NotVideo {
        /// The node.
        path: PathBuf,
    },
    /// A V4L2 device, but no camera.
    #[error(
        "{} ({card}) captures no pictures, {what}: a camera often has several nodes, try the others of `ls /dev/video*`",
        path.display()
    )]
    NotCapture {
        /// The node.
        path: PathBuf,
        /// The device's name.
        card: String,
        /// What it is instead.
        what: &'static str,
    },
    /// A camera with formats that are all unknown here.
    #[error(
        "{} ({card}) offers {}; what can be used is H264, YU12, YV12, NV12, YUYV, UYVY, MJPG and GREY{}",
        path.display(), offers(offered), advice(driver)
    )]
    NoKnownFormat {
        /// The node.
        path: PathBuf,
        /// The device's name.
        card: String,
        /// The driver's name.
        driver: String,
        /// Four-character codes.
        offered: Vec<String>,
    },
    /// A camera whose pictures come encoded, and have to be drawn on.
    #[error(
        "{} ({card}) only gives pictures that it has encoded itself, which can't be drawn on, and something must be \
         drawn on each of them (a mask): use a camera that gives raw pictures, or leave out what must be drawn",
        path.display()
    )]
    OnlyCoded {
        /// The node.
        path: PathBuf,
        /// The device's name.
        card: String,
    },
    /// It will say what it offers once it has something.
    #[error(
        "{} ({card}) offers no format yet: a v4l2loopback device has one when a program sends pictures to it",
        path.display()
    )]
    NoFormat {
        /// The node.
        path: PathBuf,
        /// The device's name.
        card: String,
    },
    /// The pictures can't be encoded.
    #[error("{} gives pictures that can't be encoded here: {why}; ask for others with --size, --fps or --bitrate", path.display())]
    Unencodable {
        /// The node.
        path: PathBuf,
        /// What is wrong with them.
        why: String,
    },
    /// A control can't be set as the configuration has it.
    #[error("{}: {error} (in [stream.controls]; `picam-host cameras` shows all)", path.display())]
    Control {
        /// The node.
        path: PathBuf,
        /// What is wrong.
        error: ControlError,
    },
    /// Anything else the kernel says.
    #[error("{}: can't {doing}: {error}", path.display())]
    Refused {
        /// The node.
        path: PathBuf,
        /// What we wanted of it.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

impl OpenError {
    /// What an error number means that `doing` ended with.
    pub(super) fn of(path: &std::path::Path, doing: &'static str, error: io::Error) -> Self {
        let path = path.to_owned();
        match Errno::from_io_error(&error) {
            // ENXIO and ENODEV: the node outlived its driver.
            Some(Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOTDIR) => {
                Self::Missing { path }
            }
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied { path },
            Some(Errno::BUSY) => Self::Busy { path },
            Some(Errno::NOSPC) => Self::NoBandwidth { path },
            Some(Errno::NOTTY | Errno::ISDIR) => Self::NotVideo { path },
            _ => Self::Refused { path, doing, error },
        }
    }
}

/// The formats as a list that can be read: some devices have seventy.
fn offers(codes: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = codes[..codes.len().min(SHOWN)].join(", ");
    match codes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Where pictures are to come from instead, by driver.
fn advice(driver: &str) -> &'static str {
    match driver {
        // The camera connector of a Raspberry Pi under libcamera: raw Bayer data, useless without its pipeline.
        "unicam" | "rp1-cfe" | "bcm2835-isp" => {
            ": a Raspberry Pi's camera is used with --source 'exec:rpicam-vid -t 0 --inline --flush -o -'"
        }
        _ => {
            ": some cameras have others on another node (`ls /dev/video*`), and --source 'exec:ffmpeg …' takes nearly \
             everything"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn message(errno: Errno) -> String {
        OpenError::of(
            Path::new("/dev/video7"),
            "set its picture size",
            errno.into(),
        )
        .to_string()
    }

    #[test]
    fn every_error_names_the_device_and_the_way_out() {
        assert_eq!(
            message(Errno::NOENT),
            "there is no /dev/video7: is the camera plugged in and switched on? \
             `ls /dev/video*` shows what there is"
        );
        assert!(message(Errno::ACCESS).contains("sudo usermod -aG video $USER"));
        assert!(message(Errno::BUSY).contains("`fuser -v /dev/video7`"));
        assert!(message(Errno::NOTTY).contains("/dev/video7 is not a video device"));
        assert!(message(Errno::NOSPC).contains("--size"));
        assert!(
            message(Errno::INVAL)
                .starts_with("/dev/video7: can't set its picture size: Invalid argument")
        );
    }

    #[test]
    fn a_camera_without_a_known_format_is_told_by_what_it_has() {
        let error = |driver: &str, offered: &[&str]| {
            OpenError::NoKnownFormat {
                path: "/dev/video0".into(),
                card: "Cheap Cam".into(),
                driver: driver.into(),
                offered: offered.iter().map(|&code| code.into()).collect(),
            }
            .to_string()
        };
        assert!(
            error("uvcvideo", &["RGB3", "HEVC"]).starts_with(
                "/dev/video0 (Cheap Cam) offers RGB3, HEVC; what can be used is H264, "
            )
        );
        assert!(error("unicam", &["pRAA"]).contains("exec:rpicam-vid"));
        assert!(error("vivid", &["RGB3"; 73]).contains(", RGB3 and 65 more; what"));
    }
}
