//! A directory in which nothing is ever half there, and nothing of others is ever touched.

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, ErrorKind, IoSlice, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use rustix::fs::{FlockOperation, Mode, OFlags};

/// Lists what in the directory is ours, one name a line. A name is in there before its file is.
const LIST: &str = ".picam-host";

/// The names of temporary files begin so, which those of media and documents don't.
const TEMPORARY: &str = ".new-";

/// The directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Relative to `path`.
    ours: BTreeSet<String>,
    /// What the list in the directory says is `ours`, or more.
    listed: bool,
    /// Holds the lock.
    _locked: OwnedFd,
}

impl Directory {
    /// Makes the directory if it isn't there, sees to it that nobody else writes there, and removes what we left there the
    /// last time.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        make(path).with_context(|| format!("making the directory {}", path.display()))?;
        check_owner(path)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let locked = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("opening the directory {}", path.display()))?;
        if rustix::fs::flock(&locked, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another picam-host writes to {}; choose another directory with --output",
                path.display()
            );
        }
        let mut directory = Self {
            path: path.to_owned(),
            ours: BTreeSet::new(),
            listed: true,
            _locked: locked,
        };
        directory
            .clean()
            .with_context(|| format!("removing what an earlier run left in {}", path.display()))?;
        Ok(directory)
    }

    /// Removes what is on the list.
    fn clean(&mut self) -> anyhow::Result<()> {
        let text = match fs::read_to_string(self.path.join(LIST)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            text => text.context("reading the list of it")?,
        };
        self.ours = text
            .lines()
            .filter(|name| is_ours(name))
            .map(str::to_owned)
            .collect();
        for name in self.ours.clone() {
            self.remove(&name)
                .with_context(|| format!("removing {name}"))?;
        }
        remove_file(&self.path.join(LIST)).context("removing the list of it")
    }

    /// The file of that name is there, and so long.
    pub(super) fn has(&self, name: &str, len: u64) -> bool {
        let found = fs::symlink_metadata(self.path.join(name));
        found.is_ok_and(|found| found.is_file() && found.len() == len)
    }

    /// Names of what is ours.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.ours.iter().map(String::as_str)
    }

    /// Says that files of these names are going to be ours. Must come before they are written.
    pub(super) fn announce<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> io::Result<()> {
        for name in names {
            self.listed &= !self.ours.insert(name.to_owned());
        }
        // The directory may have been lost.
        if self.listed && self.path.join(LIST).exists() {
            return Ok(());
        }
        let list: String = self.ours.iter().flat_map(|name| [name, "\n"]).collect();
        self.put(LIST, &[list.into()])?;
        self.listed = true;
        Ok(())
    }

    /// Puts a file in its place: whoever reads it finds the old one or the new one, whole.
    pub(super) fn put(&self, name: &str, pieces: &[Bytes]) -> io::Result<()> {
        let path = self.path.join(name);
        let temporary = temporary(&path);
        let written = (|| {
            let folder = path.parent().unwrap_or(&self.path);
            if !folder.is_dir() {
                make(folder)?;
            }
            let mut file = File::create(&temporary)?;
            // Whatever the mask of the process: files that a web server can't read are of no use.
            file.set_permissions(Permissions::from_mode(0o644))?;
            write_all(&mut file, pieces)?;
            drop(file);
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            // What matters is the error before; and a full disk wants it back.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes a file, and the directories that are empty without it.
    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        remove_file(&path)?;
        remove_file(&temporary(&path))?;
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|folder| **folder != *self.path) {
            // It isn't empty, or gone already.
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        self.ours.remove(name);
        Ok(())
    }
}

/// Makes a directory that everybody can read, with those above it.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent()
        && parent != Path::new("")
    {
        make(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where everybody may make directories, as in `/dev/shm`, one that somebody else made is a trap.
fn check_owner(path: &Path) -> anyhow::Result<()> {
    const ANYBODY: u32 = 0o002;
    let above = path
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.parent()?.to_owned()));
    let open = above
        .and_then(|above| above.metadata().ok())
        .is_some_and(|above| above.mode() & ANYBODY != 0);
    if !open {
        return Ok(());
    }
    let found = path
        .symlink_metadata()
        .with_context(|| format!("looking at {}", path.display()))?;
    let me = rustix::process::geteuid().as_raw();
    ensure!(
        found.is_dir() && found.uid() == me,
        "{} belongs to user {}, not to user {me} who runs this, and lies where anybody could have made it; choose another \
         directory with --output",
        path.display(),
        found.uid()
    );
    Ok(())
}

/// Whether a name may be one that we wrote: below the directory, wherever the list comes from.
fn is_ours(name: &str) -> bool {
    !name.is_empty()
        && name.split('/').all(|element| {
            !element.is_empty() && !element.starts_with('.') && !element.contains('\0')
        })
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(TEMPORARY);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes pieces as they are, many at once.
fn write_all(file: &mut File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> [Bytes; 1] {
        [Bytes::from(text.to_owned())]
    }

    fn put(directory: &mut Directory, name: &str, content: &str) {
        directory.announce([name]).unwrap();
        directory.put(name, &text(content)).unwrap();
    }

    #[test]
    fn what_an_earlier_run_left_goes_and_what_is_of_others_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        let mut directory = Directory::open(&path).unwrap();
        for name in ["hls.m3u8", "id/a/1.m4s", "id/a/2.m4s", "id2/3.m4s"] {
            put(&mut directory, name, name);
        }
        // As if it had been killed while it wrote.
        fs::write(path.join("id2/.new-3.m4s"), "half").unwrap();
        for name in ["robots.txt", "id/a/note.txt"] {
            fs::write(path.join(name), "of others").unwrap();
        }
        drop(directory);

        let directory = Directory::open(&path).unwrap();
        assert_eq!(directory.names().count(), 0);
        let mut left: Vec<_> = walk(&path);
        left.sort();
        assert_eq!(left, ["id/a/note.txt", "robots.txt"]);
    }

    fn walk(path: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap().path();
                match entry.is_dir() {
                    true => folders.push(entry),
                    false => found.push(entry.strip_prefix(path).unwrap().display().to_string()),
                }
            }
        }
        found
    }

    #[test]
    fn a_list_that_was_tampered_with_removes_nothing_elsewhere() {
        let parent = tempfile::tempdir().unwrap();
        let (path, victim) = (parent.path().join("out"), parent.path().join("victim"));
        fs::create_dir(&path).unwrap();
        fs::write(&victim, "").unwrap();
        let list = format!(
            "../victim\n{}\n./../victim\n\nid/../../victim\n",
            victim.display()
        );
        fs::write(path.join(LIST), list).unwrap();
        Directory::open(&path).unwrap();
        assert!(victim.exists());
    }

    #[test]
    fn two_do_not_write_to_one_directory() {
        let path = tempfile::tempdir().unwrap();
        let first = Directory::open(path.path()).unwrap();
        let error = Directory::open(path.path()).unwrap_err().to_string();
        assert!(error.contains("another picam-host"), "{error}");
        drop(first);
        Directory::open(path.path()).unwrap();
    }

    #[test]
    fn a_directory_that_is_lost_is_made_anew_and_its_list_too() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        let mut directory = Directory::open(&path).unwrap();
        put(&mut directory, "id/1.m4s", "one");
        assert!(directory.has("id/1.m4s", 3));
        fs::remove_dir_all(&path).unwrap();
        assert!(!directory.has("id/1.m4s", 3));
        put(&mut directory, "id/1.m4s", "one");
        assert_eq!(fs::read_to_string(path.join("id/1.m4s")).unwrap(), "one");
        assert_eq!(fs::read_to_string(path.join(LIST)).unwrap(), "id/1.m4s\n");
    }

    #[test]
    fn everybody_can_read_what_is_written() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        let mut directory = Directory::open(&path).unwrap();
        put(&mut directory, "id/1.m4s", "one");
        let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(path.join("id")), 0o755);
        assert_eq!(mode(path.join("id/1.m4s")), 0o644);
    }

    #[test]
    fn many_pieces_are_written_in_order() {
        let path = tempfile::tempdir().unwrap();
        let directory = Directory::open(path.path()).unwrap();
        // More than the kernel takes at once (UIO_MAXIOV), and an empty one.
        let pieces: Vec<Bytes> = (0..3_000)
            .map(|number| format!("{number};").into())
            .collect();
        let mut with_empty = vec![Bytes::new()];
        with_empty.extend(pieces.iter().cloned());
        directory.put("all", &with_empty).unwrap();
        let whole: Vec<u8> = pieces.concat();
        assert_eq!(fs::read(path.path().join("all")).unwrap(), whole);
    }
}
