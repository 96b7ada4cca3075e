//! What a device offers, and taking of it what comes nearest to what is wanted.

use std::{io, os::fd::BorrowedFd};

use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    coding::{Coding, FourCc},
    format::{Interval, Intervals, Size, Sizes, nearest_interval, nearest_size},
    ioctl::{Argument, ioctl},
};
use crate::source::Wanted;

/// The buffer type of all that we do. (Cameras that encode H.264 with the multi-planar interface don't exist in the
/// mainline kernel; memory-to-memory encoders do, and are no cameras.)
pub(super) const CAPTURE: u32 = sys::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE;

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

/// The pixel formats that a device offers.
pub(super) fn formats(fd: BorrowedFd<'_>) -> io::Result<Vec<FourCc>> {
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
pub(super) fn set_size(fd: BorrowedFd<'_>, coding: Coding, wanted: &Wanted) -> io::Result<Size> {
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
pub(super) fn set_interval(
    fd: BorrowedFd<'_>,
    coding: Coding,
    size: Size,
    fps: u32,
) -> Option<Interval> {
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
