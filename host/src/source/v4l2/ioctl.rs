//! The kernel's calls, typed.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
};

use v4l::{v4l_sys as sys, v4l2::vidioc};

/// A request number, as [`vidioc`] has them.
pub(super) type Request = vidioc::_IOC_TYPE;

/// A struct that an ioctl reads and writes.
///
/// # Safety
///
/// All bytes zero must be a value of the type, and so must whatever the kernel leaves in it.
pub(super) unsafe trait Argument: Sized {
    /// The value whose bytes are all zero, which is how the kernel wants what isn't used.
    fn zeroed() -> Self {
        // SAFETY: the implementor vouches for it.
        unsafe { mem::zeroed() }
    }
}

// SAFETY: integers.
unsafe impl Argument for u32 {}
// SAFETY: integers and arrays of them.
unsafe impl Argument for sys::v4l2_capability {}
// SAFETY: integers and arrays of them.
unsafe impl Argument for sys::v4l2_fmtdesc {}
// SAFETY: integers, and a union whose every reading is integers or raw pointers.
unsafe impl Argument for sys::v4l2_format {}
// SAFETY: integers, and a union of integers.
unsafe impl Argument for sys::v4l2_frmsizeenum {}
// SAFETY: integers, and a union of integers.
unsafe impl Argument for sys::v4l2_frmivalenum {}
// SAFETY: integers, and a union of integers.
unsafe impl Argument for sys::v4l2_streamparm {}
// SAFETY: integers and arrays of them.
unsafe impl Argument for sys::v4l2_queryctrl {}
// SAFETY: integers, and a union of integers and arrays of them.
unsafe impl Argument for sys::v4l2_querymenu {}
// SAFETY: integers.
unsafe impl Argument for sys::v4l2_control {}
// SAFETY: integers and arrays of them.
unsafe impl Argument for sys::v4l2_requestbuffers {}
// SAFETY: integers, and unions of integers and raw pointers.
unsafe impl Argument for sys::v4l2_buffer {}

/// One ioctl, again if a signal interrupted it.
///
/// `request` must be one whose argument is a `T`; the size in the number is checked.
pub(super) fn ioctl<T: Argument>(
    fd: BorrowedFd<'_>,
    request: Request,
    argument: &mut T,
) -> io::Result<()> {
    // Bits 16 to 29 of a request are the size of its argument (asm-generic/ioctl.h).
    assert_eq!(
        (request >> 16) & 0x3fff,
        mem::size_of::<T>() as Request,
        "the argument is the one that the request was made for"
    );
    loop {
        // SAFETY: the kernel reads and writes as many bytes as the request says, which is the size of `T`, and `T`
        // may hold whatever it leaves there. No request used here follows a pointer within its argument.
        let result =
            unsafe { v4l::v4l2::ioctl(fd.as_raw_fd(), request, (&raw mut *argument).cast()) };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
