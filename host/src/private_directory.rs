//! A directory that belongs to this user alone, for what must be nobody else's: compiled code, which runs with our own
//! rights, private keys, what plugins store.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// A directory that belongs to this user, who alone may read and write it. What lies in it was put there by him.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    directory: OwnedFd,
}

/// Where a service or a user keeps such files: below what systemd names (`CACHE_DIRECTORY`, say), else what the XDG base
/// directory specification names, or what that is without being named, or the system's own.
pub(crate) fn default_base(systemd: &str, xdg: &str, home: &str, system: &str) -> PathBuf {
    let from = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    from(systemd)
        .or_else(|| Some(from(xdg)?.join("picam-host")))
        .or_else(|| Some(from("HOME")?.join(home).join("picam-host")))
        .unwrap_or_else(|| PathBuf::from(system).join("picam-host"))
}

impl PrivateDirectory {
    /// Opens it, and makes it if it isn't there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("creating {}", path.display()));
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .with_context(|| format!("opening {} (a directory, and no link)", path.display()))?;
        let stat = rustix::fs::fstat(&directory)
            .with_context(|| format!("looking at {}", path.display()))?;
        let me = rustix::process::geteuid();
        if stat.st_uid != me.as_raw() {
            bail!(
                "{} belongs to user {}, not to user {me} who runs this; only one's own directory is trusted",
                path.display(),
                stat.st_uid,
            );
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.intersects(Mode::RWXG | Mode::RWXO) {
            bail!(
                "others can get at {0} (its mode is {1:o}); `chmod 700 {0}` puts that right",
                path.display(),
                mode.as_raw_mode() & 0o777,
            );
        }
        Ok(Self {
            path: path.to_owned(),
            directory,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a file, if there are no more than `most`; `None` if there is none.
    pub(crate) fn read(&self, name: &str, most: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).context("opening it"),
        };
        let stat = rustix::fs::fstat(&file).context("looking at it")?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            bail!("it belongs to user {}", stat.st_uid);
        }
        let mut bytes = Vec::new();
        File::from(file)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .context("reading it")?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
            bail!("it has more than {most} bytes");
        }
        Ok(Some(bytes))
    }

    /// Writes a file under another name first, so that nobody ever sees half of it. With `lasting`, it is on the disk when
    /// this returns, however the power goes.
    pub(crate) fn write(&self, name: &str, pieces: &[&[u8]], lasting: bool) -> anyhow::Result<()> {
        let temporary = format!("{name}.{}.new", std::process::id());
        self.write_as(&temporary, name, pieces, lasting)
            .with_context(|| {
                // Nothing may be there to remove; what matters is the error before.
                let _ = self.remove(&temporary);
                format!("writing {}", self.path.join(name).display())
            })
    }

    fn write_as(
        &self,
        temporary: &str,
        name: &str,
        pieces: &[&[u8]],
        lasting: bool,
    ) -> std::io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.directory, temporary, flags, mode)?);
        for piece in pieces {
            file.write_all(piece)?;
        }
        if lasting {
            file.sync_all()?;
        }
        self.rename(temporary, name)?;
        if lasting {
            rustix::fs::fsync(&self.directory)?;
        }
        Ok(())
    }

    /// Gives a file another name. What has that name is gone.
    pub(crate) fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        rustix::fs::renameat(&self.directory, from, &self.directory, to)?;
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?;
        Ok(())
    }

    /// Makes a file this process's own as long as it lives. `None` if it is another one's.
    pub(crate) fn lock(&self, name: &str) -> anyhow::Result<Option<OwnedFd>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let locking = || format!("locking {}", self.path.join(name).display());
        let file = rustix::fs::openat(&self.directory, name, flags, mode).with_context(locking)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(locking),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/private");
        (parent, path)
    }

    #[test]
    fn a_directory_that_others_can_reach_is_refused_with_the_way_out() {
        let (_parent, path) = place();
        PrivateDirectory::open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = PrivateDirectory::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("chmod 700") && error.contains("755"),
            "{error}"
        );
    }

    #[test]
    fn a_link_is_no_private_directory() {
        let (parent, path) = place();
        PrivateDirectory::open(&path).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(PrivateDirectory::open(&link).is_err());
    }

    #[test]
    fn a_file_is_this_users_and_whole_and_leaves_nothing_beside_it() {
        let (_parent, path) = place();
        let directory = PrivateDirectory::open(&path).unwrap();
        assert_eq!(directory.read("file", 9).unwrap(), None);
        for (lasting, text) in [(false, "one"), (true, "another")] {
            let (head, tail) = text.as_bytes().split_at(2);
            directory.write("file", &[head, tail], lasting).unwrap();
            assert_eq!(directory.read("file", 9).unwrap().unwrap(), text.as_bytes());
        }
        let mode = path.join("file").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_one_holders_at_a_time() {
        let (_parent, path) = place();
        let directory = PrivateDirectory::open(&path).unwrap();
        let lock = directory.lock("lock").unwrap();
        assert!(lock.is_some() && directory.lock("lock").unwrap().is_none());
        drop(lock);
        assert!(directory.lock("lock").unwrap().is_some());
    }
}
