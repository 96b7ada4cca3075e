//! The queue of buffers between the driver and us, in memory that both see.

use std::{
    ffi::c_void,
    io,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

use v4l::{v4l_sys as sys, v4l2::vidioc};

use super::{
    coding::Coding,
    device::Device,
    ioctl::{Argument, Request, ioctl},
    offer::CAPTURE,
    stamp::Stamp,
};
use crate::time::Monotonic;

/// How many buffers to ask for: a quarter of a second at 30 pictures a second, for a thread that is kept from running.
/// Coded pictures are small.
const CODED_BUFFERS: u32 = 8;

/// Raw ones are large, and one that comes late is better left out than waited for: there is no reference to it.
const RAW_BUFFERS: u32 = 4;

/// A device that streams. Dropping it stops the stream, frees the buffers and closes the device, whatever state it is
/// in.
#[derive(Debug)]
pub(super) struct Queue {
    // Before the device: they are unmapped first.
    buffers: Vec<Mapping>,
    device: Device,
}

/// A buffer that the driver has filled and given us. It goes back with [`Queue::give_back`].
#[derive(Debug)]
pub(super) struct Filled {
    index: u32,
    /// Bytes that count.
    len: usize,
    /// The driver says that the contents are damaged.
    pub(super) damaged: bool,
    /// When it was captured.
    pub(super) stamp: Stamp,
    /// The driver's count of pictures, which begins anew with each start.
    pub(super) sequence: u32,
}

impl Queue {
    /// Maps the device's buffers, hands them all to the driver and starts the stream.
    pub(super) fn start(device: Device) -> io::Result<Self> {
        let mut request = sys::v4l2_requestbuffers {
            count: match device.settings.coding {
                Coding::H264 => CODED_BUFFERS,
                Coding::Raw(_) => RAW_BUFFERS,
            },
            type_: CAPTURE,
            memory: sys::v4l2_memory_V4L2_MEMORY_MMAP,
            ..Argument::zeroed()
        };
        ioctl(device.as_fd(), vidioc::VIDIOC_REQBUFS, &mut request)?;
        if request.count == 0 {
            return Err(io::Error::other("the driver has no buffers"));
        }
        let mut queue = Self {
            buffers: Vec::new(),
            device,
        };
        for index in 0..request.count {
            let mut buffer = empty(index);
            queue.ioctl(vidioc::VIDIOC_QUERYBUF, &mut buffer)?;
            // SAFETY: for memory-mapped buffers of a single plane, the offset is what the driver fills in.
            let offset = unsafe { buffer.m.offset };
            let mapping = Mapping::new(queue.device.as_fd(), offset, buffer.length)?;
            queue.buffers.push(mapping);
        }
        queue.resume()?;
        Ok(queue)
    }

    /// Stops the stream and starts it again, which wakes up drivers and cameras that have gone to sleep.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        // Takes every buffer out of the queue too.
        self.ioctl(vidioc::VIDIOC_STREAMOFF, &mut { CAPTURE })?;
        self.resume()
    }

    fn resume(&mut self) -> io::Result<()> {
        for index in 0..self.buffers.len() as u32 {
            self.ioctl(vidioc::VIDIOC_QBUF, &mut empty(index))?;
        }
        self.ioctl(vidioc::VIDIOC_STREAMON, &mut { CAPTURE })
    }

    /// The next filled buffer, if there is one yet: the device's descriptor polls readable then.
    pub(super) fn take(&mut self) -> io::Result<Option<Filled>> {
        let mut buffer = empty(0);
        match self.ioctl(vidioc::VIDIOC_DQBUF, &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            result => result?,
        }
        let Some(mapping) = self.buffers.get(buffer.index as usize) else {
            return Err(io::Error::other(format!(
                "the driver hands out buffer {} of {}",
                buffer.index,
                self.buffers.len()
            )));
        };
        Ok(Some(Filled {
            index: buffer.index,
            // A driver that counts past the end of its buffer is not to be believed.
            len: (buffer.bytesused as usize).min(mapping.len),
            damaged: buffer.flags & sys::V4L2_BUF_FLAG_ERROR != 0,
            stamp: stamp(&buffer),
            sequence: buffer.sequence,
        }))
    }

    /// What the driver wrote.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let mapping = &self.buffers[filled.index as usize];
        // SAFETY: the mapping is readable for `mapping.len` bytes for as long as `self` lives, `len` is at most that,
        // and the driver leaves a buffer alone between handing it out and getting it back, for which `filled` has to be
        // given up and `self` borrowed mutably.
        unsafe { slice::from_raw_parts(mapping.start.as_ptr(), filled.len) }
    }

    /// Hands the buffer back to the driver to fill.
    pub(super) fn give_back(&mut self, filled: Filled) -> io::Result<()> {
        self.ioctl(vidioc::VIDIOC_QBUF, &mut empty(filled.index))
    }

    /// The device behind it.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    fn ioctl<T: Argument>(&self, request: Request, argument: &mut T) -> io::Result<()> {
        ioctl(self.device.as_fd(), request, argument)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A device that is gone refuses this, and a device that is closed stops by itself: it is only done here since
        // the buffers are unmapped before.
        if let Err(error) = self.ioctl(vidioc::VIDIOC_STREAMOFF, &mut { CAPTURE }) {
            tracing::debug!("{}: no stop: {error}", self.device.path().display());
        }
    }
}

fn empty(index: u32) -> sys::v4l2_buffer {
    sys::v4l2_buffer {
        index,
        type_: CAPTURE,
        memory: sys::v4l2_memory_V4L2_MEMORY_MMAP,
        ..Argument::zeroed()
    }
}

fn stamp(buffer: &sys::v4l2_buffer) -> Stamp {
    if buffer.flags & sys::V4L2_BUF_FLAG_TIMESTAMP_MASK != sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
        return Stamp::Unknown;
    }
    let (Ok(seconds), Ok(micros)) = (
        u64::try_from(buffer.timestamp.tv_sec),
        u64::try_from(buffer.timestamp.tv_usec),
    ) else {
        return Stamp::Unknown;
    };
    Stamp::Kernel(Monotonic(0).after(Duration::from_secs(seconds) + Duration::from_micros(micros)))
}

/// One buffer, seen by us.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
    // It is memory that somebody else writes: not to be shared between threads by accident.
    unshared: PhantomData<*const u8>,
}

// SAFETY: a mapping belongs to the process, not to the thread that made it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(device: BorrowedFd<'_>, offset: u32, len: u32) -> io::Result<Self> {
        let len = len as usize;
        // SAFETY: a fresh mapping, placed by the kernel, takes nothing from anybody.
        let start = unsafe {
            v4l::v4l2::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                libc::off_t::from(offset),
            )?
        };
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel maps a buffer at address zero"))?;
        Ok(Self {
            start,
            len,
            unshared: PhantomData,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, of this length, and slices of it don't outlive the queue that owns it.
        let result = unsafe { v4l::v4l2::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(result.is_ok(), "a mapping of ours can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(flags: u32, seconds: i64, micros: i64) -> sys::v4l2_buffer {
        let mut buffer = empty(0);
        buffer.flags = flags;
        buffer.timestamp.tv_sec = seconds;
        buffer.timestamp.tv_usec = micros;
        buffer
    }

    #[test]
    fn only_the_monotonic_clock_is_a_kernel_stamp() {
        let monotonic = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
        assert_eq!(
            stamp(&buffer(monotonic, 12, 345_678)),
            Stamp::Kernel(Monotonic(12_345_678))
        );
        assert_eq!(
            stamp(&buffer(sys::V4L2_BUF_FLAG_TIMESTAMP_COPY, 12, 0)),
            Stamp::Unknown
        );
        assert_eq!(stamp(&buffer(0, 12, 0)), Stamp::Unknown);
        assert_eq!(stamp(&buffer(monotonic, -1, 0)), Stamp::Unknown);
    }

    #[test]
    fn other_flags_do_not_hide_the_clock() {
        let flags = sys::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
            | sys::V4L2_BUF_FLAG_TSTAMP_SRC_SOE
            | sys::V4L2_BUF_FLAG_KEYFRAME
            | sys::V4L2_BUF_FLAG_ERROR;
        assert_eq!(
            stamp(&buffer(flags, 1, 0)),
            Stamp::Kernel(Monotonic(1_000_000))
        );
    }
}
