//! What a device offers, and taking of it what comes nearest to what is wanted.

use std::{io, os::fd::BorrowedFd};

use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    choice::Mode,
    coding::{Coding, FourCc},
    colorimetry,
    device::text,
    format::{Interval, Intervals, Size, Sizes, nearest_interval, nearest_size},
    ioctl::{Argument, ioctl},
};
use crate::{
    source::Wanted,
    studio::{Layout, Pixels},
};

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
    let formats = described_formats(fd)?.into_iter();
    Ok(formats.map(|(code, _)| code).collect())
}

/// The pixel formats that a device offers, and what it says about them.
pub(super) fn described_formats(fd: BorrowedFd<'_>) -> io::Result<Vec<(FourCc, String)>> {
    list(|index| {
        let mut format = sys::v4l2_fmtdesc {
            index,
            type_: CAPTURE,
            ..Argument::zeroed()
        };
        ioctl(fd, vidioc::VIDIOC_ENUM_FMT, &mut format)?;
        let code = FourCc(format.pixelformat.to_le_bytes());
        Ok((code, text(&format.description)))
    })
}

/// For each format that we take, what comes nearest to what is wanted.
pub(super) fn modes(fd: BorrowedFd<'_>, wanted: &Wanted) -> io::Result<Vec<Mode>> {
    let wanted_size = Size {
        width: wanted.width,
        height: wanted.height,
    };
    let codings = formats(fd)?.into_iter().filter_map(Coding::of);
    codings
        .map(|coding| {
            let size = nearest_size(&sizes(fd, coding.fourcc())?, wanted_size);
            let intervals = intervals(fd, coding.fourcc(), size.unwrap_or(wanted_size))?;
            Ok(Mode {
                coding,
                size,
                interval: nearest_interval(&intervals, wanted.fps),
            })
        })
        .collect()
}

/// The sizes of a format.
pub(super) fn sizes(fd: BorrowedFd<'_>, code: FourCc) -> io::Result<Vec<Sizes>> {
    list(|index| {
        let mut size = sys::v4l2_frmsizeenum {
            index,
            pixel_format: code.number(),
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

/// The rates of a format at a size.
pub(super) fn intervals(
    fd: BorrowedFd<'_>,
    code: FourCc,
    size: Size,
) -> io::Result<Vec<Intervals>> {
    list(|index| {
        let mut interval = sys::v4l2_frmivalenum {
            index,
            pixel_format: code.number(),
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

/// What a device agreed to, and what its buffers hold then if that is for us to encode.
pub(super) struct Taken {
    pub(super) size: Size,
    pub(super) layout: Option<Layout>,
}

/// Sets format and size; the driver may give another size.
pub(super) fn set_format(fd: BorrowedFd<'_>, mode: Mode, wanted: &Wanted) -> io::Result<Taken> {
    let asked = mode.size.unwrap_or(Size {
        width: wanted.width,
        height: wanted.height,
    });
    let code = mode.coding.fourcc();
    let mut format = sys::v4l2_format {
        type_: CAPTURE,
        ..Argument::zeroed()
    };
    format.fmt.pix = sys::v4l2_pix_format {
        width: asked.width,
        height: asked.height,
        pixelformat: code.number(),
        field: match mode.coding {
            Coding::H264 => sys::v4l2_field_V4L2_FIELD_ANY,
            // Whole pictures, if it has them.
            Coding::Raw(_) => sys::v4l2_field_V4L2_FIELD_NONE,
        },
        // SAFETY: integers, and a union of integers.
        ..unsafe { std::mem::zeroed() }
    };
    ioctl(fd, vidioc::VIDIOC_S_FMT, &mut format)?;
    // SAFETY: the driver fills this reading of the union for a capture buffer type.
    let taken = unsafe { format.fmt.pix };
    if taken.pixelformat != code.number() {
        return Err(io::Error::other(format!(
            "it lists {code} but takes {} when asked for it",
            FourCc(taken.pixelformat.to_le_bytes())
        )));
    }
    Ok(Taken {
        size: Size {
            width: taken.width,
            height: taken.height,
        },
        layout: match mode.coding {
            Coding::H264 => None,
            Coding::Raw(pixels) => Some(layout(pixels, &taken)),
        },
    })
}

fn layout(pixels: Pixels, taken: &sys::v4l2_pix_format) -> Layout {
    // SAFETY: both readings of the union are integers.
    let encoding = unsafe { taken.__bindgen_anon_1.ycbcr_enc };
    Layout {
        pixels,
        width: taken.width,
        height: taken.height,
        stride: taken.bytesperline,
        colors: colorimetry::colors(taken.colorspace, encoding, taken.quantization),
    }
}

/// Sets the rate; returns what the driver gives. A camera may have no say in it (a capture card), which is fine.
pub(super) fn set_interval(
    fd: BorrowedFd<'_>,
    coding: Coding,
    size: Size,
    fps: u32,
) -> Option<Interval> {
    let asked =
        nearest_interval(&intervals(fd, coding.fourcc(), size).ok()?, fps).unwrap_or(Interval {
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
