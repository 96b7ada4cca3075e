//! Waiting for a device to appear, without asking again and again: inotify on the directory of its node.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// Where udev and the kernel put device nodes.
const DEVICES: &str = "/dev";

/// Tells when a node may have appeared, or become accessible.
#[derive(Debug)]
pub(super) struct Appearance {
    inotify: OwnedFd,
    path: PathBuf,
}

impl Appearance {
    /// Watches from now on.
    pub(super) fn watch(path: &Path) -> rustix::io::Result<Self> {
        let appearance = Self {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            path: path.to_owned(),
        };
        appearance.add(Path::new(DEVICES))?;
        if let Some(directory) = path.parent()
            && directory != Path::new(DEVICES)
        {
            match appearance.add(directory) {
                // /dev/v4l/by-id goes with the last camera. It comes back just after a node in /dev does.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(appearance)
    }

    fn add(&self, directory: &Path) -> rustix::io::Result<()> {
        // A change of attributes: udev sets owner and mode only after the kernel has made the node.
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB;
        inotify::add_watch(&self.inotify, directory, flags).map(|_| ())
    }

    /// There is no node, and its making will be reported: no need to look by the clock.
    pub(super) fn will_tell(&self) -> bool {
        !self.path.exists() && self.path.parent() == Some(Path::new(DEVICES))
    }

    /// Takes what was reported; true if any of it may concern the device.
    pub(super) fn take(&self) -> rustix::io::Result<bool> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut concerns = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    // Events of the directory itself, and of an overflow, have no name.
                    concerns |= event
                        .file_name()
                        .is_none_or(|name| concern(&self.path, name.to_bytes()));
                }
                Err(Errno::AGAIN) => return Ok(concerns),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Appearance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// A change of the entry `name` may let the device at `path` be opened: its own node, or, where `path` is a link (or
/// lies behind a directory that is a link), any video node.
fn concern(path: &Path, name: &[u8]) -> bool {
    let own = path
        .file_name()
        .is_some_and(|own| own.as_encoded_bytes() == name);
    own || name.starts_with(b"video") || name == b"v4l"
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn only_video_nodes_concern_us() {
        let path = Path::new("/dev/v4l/by-id/usb-Cam-index0");
        assert!(concern(path, b"usb-Cam-index0"));
        assert!(concern(path, b"video3"));
        assert!(concern(path, b"v4l"));
        assert!(!concern(path, b"ttyUSB0"));
    }

    #[test]
    fn a_node_that_appears_wakes_the_one_who_waits() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera");
        let appearance = Appearance::watch(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        let mut fds = [PollFd::new(&appearance, PollFlags::IN)];
        let guard = Timespec {
            tv_sec: 60,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&guard)).unwrap();
        assert!(appearance.take().unwrap());
        assert!(!appearance.take().unwrap(), "it was taken");
    }

    #[test]
    fn a_directory_that_is_gone_too_does_not_stop_the_watch() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("by-id/camera");
        let appearance = Appearance::watch(&path).unwrap();
        assert!(
            !appearance.will_tell(),
            "a link whose directory is not watched has to be looked for"
        );
        let appearance = Appearance::watch(Path::new("/dev/there-is-no-such-camera")).unwrap();
        assert!(appearance.will_tell());
    }
}
