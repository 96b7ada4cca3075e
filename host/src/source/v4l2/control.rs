//! The encoder inside a camera, as far as it lets itself be told.

use std::{fmt, io, os::fd::BorrowedFd};

use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::ioctl::{Argument, ioctl};
use crate::source::Wanted;

/// What a camera's encoder took. `None`: it has no such control, or won't be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// Bits a second.
    pub(super) bitrate: Option<i32>,
    /// Pictures from one IDR picture to the next.
    pub(super) key_interval: Option<i32>,
    /// Parameter sets before every IDR picture.
    pub(super) repeat_headers: Option<bool>,
    /// It makes key frames on request.
    pub(super) key_frames_on_request: bool,
}

impl fmt::Display for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bitrate {
            Some(bitrate) => write!(f, "{bitrate} bits a second")?,
            None => write!(f, "its own bitrate")?,
        }
        match self.key_interval {
            Some(pictures) => write!(f, ", a key frame every {pictures} pictures")?,
            None => write!(f, ", key frames when it likes")?,
        }
        match self.repeat_headers {
            Some(true) => write!(f, " with repeated headers")?,
            Some(false) | None => write!(f, " with headers when it likes")?,
        }
        if self.key_frames_on_request {
            write!(f, " and on request")?;
        }
        Ok(())
    }
}

/// Tells the encoder what is wanted. Each control is a wish: cameras have any subset of them.
///
/// `rate` is what the camera agreed to, in pictures a second.
pub(super) fn set_up(fd: BorrowedFd<'_>, wanted: &Wanted, rate: f64) -> Controls {
    let pictures = key_interval_in_pictures(wanted.key_interval.as_secs_f64(), rate);
    // Two controls for one thing: bcm2835-v4l2 has the first, most encoders the second, some both. Where there are
    // both, the I period is what begins a picture that can be decoded by itself.
    let key_interval = set(fd, sys::V4L2_CID_MPEG_VIDEO_GOP_SIZE, pictures);
    let i_period = set(fd, sys::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, pictures);
    Controls {
        bitrate: set(
            fd,
            sys::V4L2_CID_MPEG_VIDEO_BITRATE,
            i32::try_from(wanted.bitrate).unwrap_or(i32::MAX),
        ),
        key_interval: i_period.or(key_interval),
        repeat_headers: set(fd, sys::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1)
            .map(|value| value != 0),
        key_frames_on_request: query(fd, sys::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME).is_some(),
    }
}

/// Asks for an IDR picture now.
pub(super) fn force_key_frame(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut control = sys::v4l2_control {
        id: sys::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME,
        value: 1,
    };
    ioctl(fd, vidioc::VIDIOC_S_CTRL, &mut control)
}

/// Sets a control to `value`, or the nearest it can take, and returns what it holds then.
fn set(fd: BorrowedFd<'_>, id: u32, value: i32) -> Option<i32> {
    let range = query(fd, id)?;
    let mut control = sys::v4l2_control {
        id,
        value: nearest(value, range.minimum, range.maximum, range.step),
    };
    if let Err(error) = ioctl(fd, vidioc::VIDIOC_S_CTRL, &mut control) {
        let name = String::from_utf8_lossy(&range.name);
        tracing::warn!(
            "the camera refuses {} for its control \"{}\": {error}",
            control.value,
            name.trim_end_matches('\0')
        );
        return None;
    }
    // Write-only controls can't be read back.
    let mut taken = sys::v4l2_control { id, value: 0 };
    match ioctl(fd, vidioc::VIDIOC_G_CTRL, &mut taken) {
        Ok(()) => Some(taken.value),
        Err(_) => Some(control.value),
    }
}

/// The control, if there is one that can be set.
fn query(fd: BorrowedFd<'_>, id: u32) -> Option<sys::v4l2_queryctrl> {
    let mut range = sys::v4l2_queryctrl {
        id,
        ..Argument::zeroed()
    };
    ioctl(fd, vidioc::VIDIOC_QUERYCTRL, &mut range).ok()?;
    let settable =
        range.flags & (sys::V4L2_CTRL_FLAG_DISABLED | sys::V4L2_CTRL_FLAG_READ_ONLY) == 0;
    settable.then_some(range)
}

/// The value nearest to `value` that a control of this range takes.
fn nearest(value: i32, minimum: i32, maximum: i32, step: i32) -> i32 {
    let (minimum, maximum) = (i64::from(minimum), i64::from(maximum.max(minimum)));
    let step = i64::from(step.max(1));
    let steps = (i64::from(value).clamp(minimum, maximum) - minimum + step / 2) / step;
    let value = (minimum + steps * step).min(maximum);
    i32::try_from(value).expect("it lies between two numbers of 32 bits")
}

/// A key-frame interval in pictures: at least one, and rounded, since the rate may be 29.97.
fn key_interval_in_pictures(seconds: f64, rate: f64) -> i32 {
    (seconds * rate).round().clamp(1.0, f64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_asked_for_the_nearest_value_it_takes() {
        // bcm2835-v4l2: bitrate from 25,000 to 25,000,000 by 25,000.
        assert_eq!(nearest(2_010_000, 25_000, 25_000_000, 25_000), 2_000_000);
        assert_eq!(nearest(2_015_000, 25_000, 25_000_000, 25_000), 2_025_000);
        assert_eq!(nearest(1, 25_000, 25_000_000, 25_000), 25_000);
        assert_eq!(nearest(i32::MAX, 25_000, 25_000_000, 25_000), 25_000_000);
        assert_eq!(nearest(7, 0, 0, 0), 0, "drivers have been seen to say that");
        assert_eq!(nearest(7, i32::MIN, i32::MAX, 1), 7);
    }

    #[test]
    fn a_key_interval_is_a_whole_number_of_pictures() {
        assert_eq!(key_interval_in_pictures(1.0, 30.0), 30);
        assert_eq!(key_interval_in_pictures(2.0, 30_000.0 / 1001.0), 60);
        assert_eq!(key_interval_in_pictures(0.0, 30.0), 1);
        assert_eq!(key_interval_in_pictures(1.0, 0.0), 1);
    }

    #[test]
    fn the_log_tells_what_the_encoder_took_and_what_it_did_not() {
        let controls = Controls {
            bitrate: Some(2_000_000),
            key_interval: Some(30),
            repeat_headers: Some(true),
            key_frames_on_request: true,
        };
        assert_eq!(
            controls.to_string(),
            "2000000 bits a second, a key frame every 30 pictures with repeated headers and on request"
        );
        assert_eq!(
            Controls::default().to_string(),
            "its own bitrate, key frames when it likes with headers when it likes"
        );
    }
}
