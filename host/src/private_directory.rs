//! A directory that belongs to this user alone, for what must be nobody else's: compiled code, which runs with our own
//! rights, and private keys.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// The directory, opened. Its files are named by name alone.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    directory: OwnedFd,
}

impl PrivateDirectory {
    /// Opens the directory, and makes it if it isn't there. It must belong to this user, who alone may read and write it.
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
                "{} belongs to user {}, not to user {me} who runs this; only one's own directory will do",
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

    /// What is in a file; `None` if there is none. It must be this user's own.
    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
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
        let mut content = Vec::new();
        File::from(file)
            .read_to_end(&mut content)
            .context("reading it")?;
        Ok(Some(content))
    }

    /// Writes a file under another name first, so that nobody ever sees half of it.
    pub(crate) fn write(&self, name: &str, pieces: &[&[u8]]) -> anyhow::Result<()> {
        let temporary = format!("{name}.{}.new", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written =
            rustix::fs::openat(&self.directory, &temporary, flags, Mode::RUSR | Mode::WUSR)
                .map_err(std::io::Error::from)
                .and_then(|file| {
                    let mut file = File::from(file);
                    for piece in pieces {
                        file.write_all(piece)?;
                    }
                    rustix::fs::renameat(&self.directory, &temporary, &self.directory, name)?;
                    Ok(())
                });
        written
            .inspect_err(|_| {
                // Nothing may be there to remove; what matters is the error before.
                let _ = self.remove(temporary.as_str());
            })
            .with_context(|| format!("writing {}", self.path.join(name).display()))
    }

    pub(crate) fn remove(&self, name: impl rustix::path::Arg) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/private");
        (parent, path)
    }

    #[test]
    fn what_is_written_is_this_users_alone_and_read_back() {
        let (_parent, path) = directory();
        let directory = PrivateDirectory::open(&path).unwrap();
        assert!(directory.read("a").unwrap().is_none());
        directory.write("a", &[b"one ", b"two"]).unwrap();
        assert_eq!(directory.read("a").unwrap().unwrap(), b"one two");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("a"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn a_directory_that_others_can_reach_is_refused_with_the_way_out() {
        let (_parent, path) = directory();
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
        let (parent, path) = directory();
        PrivateDirectory::open(&path).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(PrivateDirectory::open(&link).is_err());
    }
}
