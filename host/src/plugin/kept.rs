use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    host::{Shared, locked},
    store::Store,
};
use crate::{
    private_directory::{PrivateDirectory, default_base},
    time::Wall,
};

/// The directory for stores, below that for all that the host keeps, which others may read.
const BELOW: &str = "kv";

/// What changes within this time is written together.
const SETTLE: Duration = Duration::from_secs(1);
/// The time between two writes: a card wears out by them.
const INTERVAL: Duration = Duration::from_secs(60);

/// The directory for plugins' persistent stores and a certificate of our own, unless the configuration names another: that
/// of the XDG base directory specification, of systemd's `StateDirectory=`, or of the system.
pub fn default_state_dir() -> PathBuf {
    default_base(
        "STATE_DIRECTORY",
        "XDG_STATE_HOME",
        ".local/state",
        "/var/lib",
    )
}

/// Whether persistent stores can be kept in a directory: it is opened, or made, as at a start.
///
/// # Errors
/// What is wrong with it, and how to put it right.
pub fn check_state_dir(path: &Path) -> anyhow::Result<()> {
    PrivateDirectory::open(&path.join(BELOW)).map(drop)
}

/// The store of one plugin, kept in a file: what the generation that serves has stored.
///
/// A change is written a second later, but no more than once a minute, by a thread of its own; that it isn't lost at the
/// end is for [`close`](Self::close). A crash loses what was stored in the last minute, and nothing of what was before.
pub(super) struct Kept {
    desk: Arc<Desk>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Between those who change stores and the one who writes.
#[derive(Debug)]
pub(super) struct Desk {
    todo: Mutex<Todo>,
    changed: Condvar,
}

#[derive(Debug)]
struct Todo {
    /// Of the generation that serves.
    store: Arc<Mutex<Store>>,
    /// Something has changed, there or in the store of another generation.
    dirty: bool,
    /// It is not to wait.
    at_once: bool,
    closed: bool,
}

impl Kept {
    /// Opens the store of a plugin, with what it had stored before. A file that is damaged is put aside.
    ///
    /// # Errors
    /// The directory can't be used, or another host uses this store.
    pub(super) fn open(directory: &Path, plugin: &str) -> anyhow::Result<(Self, Shared)> {
        Self::open_at_pace(directory, plugin, (SETTLE, INTERVAL))
    }

    fn open_at_pace(
        directory: &Path,
        plugin: &str,
        pace: (Duration, Duration),
    ) -> anyhow::Result<(Self, Shared)> {
        let opening = || format!("what plugin `{plugin}` stores can't be kept");
        let directory = PrivateDirectory::open(&directory.join(BELOW)).with_context(opening)?;
        let lock = directory
            .lock(&format!("{plugin}.lock"))
            .with_context(opening)?;
        let Some(lock) = lock else {
            bail!(
                "what plugin `{plugin}` stores in {} belongs to another picam-host that runs; give this one a `state-dir` of \
                 its own",
                directory.path().display()
            );
        };
        let file = format!("{plugin}.kv");
        let store = read(&directory, &file, plugin).with_context(opening)?;
        let written = store.to_file();
        let store = Arc::new(Mutex::new(store));
        let desk = Arc::new(Desk {
            todo: Mutex::new(Todo {
                store: store.clone(),
                dirty: false,
                at_once: false,
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let writer = Writer {
            desk: desk.clone(),
            directory,
            file,
            plugin: plugin.to_owned(),
            written,
            pace,
        };
        let thread = thread::Builder::new()
            .name(format!("kv {plugin}"))
            .spawn(move || {
                writer.run();
                drop(lock);
            })
            .context("starting a thread")
            .with_context(opening)?;
        let kept = Self {
            desk: desk.clone(),
            writer: Mutex::new(Some(thread)),
        };
        Ok((kept, Shared::kept(store, desk)))
    }

    /// From now on this is what serves. After a rollback it doesn't wait: what the failed generation stored is to be gone.
    pub(super) fn follow(&self, store: Arc<Mutex<Store>>, rolled_back: bool) {
        let mut todo = self.desk.lock();
        todo.store = store;
        todo.dirty = true;
        todo.at_once |= rolled_back;
        drop(todo);
        self.desk.changed.notify_all();
    }

    /// Writes what isn't written yet. What is stored from here on is kept no more.
    pub(super) fn close(&self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = writer.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps what a plugin stores has panicked");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.close();
    }
}

impl Desk {
    /// A store has changed.
    pub(super) fn ring(&self) {
        let mut todo = self.lock();
        if !std::mem::replace(&mut todo.dirty, true) {
            drop(todo);
            self.changed.notify_all();
        }
    }

    /// Nothing under this lock panics.
    fn lock(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to write and it is time for that. `None` once there never will be.
    fn wait(&self, settle: Duration, not_before: Option<Instant>) -> Option<Vec<u8>> {
        let mut todo = self
            .changed
            .wait_while(self.lock(), |todo| !todo.dirty && !todo.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if !todo.dirty {
            return None;
        }
        let settled = Instant::now() + settle;
        let due = not_before.map_or(settled, |then| settled.max(then));
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || todo.at_once || todo.closed {
                break;
            }
            let waited = self.changed.wait_timeout(todo, left);
            (todo, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        todo.dirty = false;
        todo.at_once = false;
        let store = todo.store.clone();
        drop(todo);
        let file = locked(&store).to_file();
        Some(file)
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

struct Writer {
    desk: Arc<Desk>,
    directory: PrivateDirectory,
    file: String,
    plugin: String,
    /// What the file holds.
    written: Vec<u8>,
    /// Time for changes to come together, and between two writes.
    pace: (Duration, Duration),
}

impl Writer {
    fn run(mut self) {
        let (settle, interval) = self.pace;
        let mut not_before = None;
        while let Some(file) = self.desk.wait(settle, not_before) {
            if file == self.written {
                continue;
            }
            match self.directory.write(&self.file, &[&file], true) {
                Ok(()) => self.written = file,
                Err(error) => {
                    tracing::error!(
                        "what plugin {} has stored is not on the disk: {error:#}",
                        self.plugin
                    );
                    // At the end there is nothing more to be done about it.
                    if !self.desk.is_closed() {
                        self.desk.ring();
                    }
                }
            }
            not_before = Some(Instant::now() + interval);
        }
    }
}

/// What was stored before; nothing, if what is there can't be read. That is put aside then, for whoever misses it.
fn read(directory: &PrivateDirectory, file: &str, plugin: &str) -> anyhow::Result<Store> {
    let path = directory.path().join(file);
    let stored = directory
        .read(file, Store::FILE_MOST)
        .and_then(|bytes| bytes.as_deref().map(Store::from_file).transpose());
    match stored {
        Ok(Some(store)) => {
            tracing::info!(
                "plugin {plugin} goes on with the {} keys that it stored in {}",
                store.values.len(),
                path.display()
            );
            Ok(store)
        }
        Ok(None) => Ok(Store::default()),
        Err(error) => {
            let aside = format!("{file}.damaged-{}", Wall::now().0);
            directory.rename(file, &aside).with_context(|| {
                format!("{} is damaged ({error:#}): moving it aside", path.display())
            })?;
            tracing::error!(
                "{} is damaged ({error:#}): plugin {plugin} starts with nothing stored, and the file is kept as {aside}",
                path.display()
            );
            Ok(Store::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NEVER: Duration = Duration::from_secs(1_000_000);

    fn place() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        (parent, path)
    }

    fn file(path: &Path) -> PathBuf {
        path.join("kv/p.kv")
    }

    fn set(shared: &Shared, key: &str, value: &[u8]) {
        let (key, value) = (key.to_owned(), value.to_vec());
        shared.change(|store| store.set(key, value)).unwrap();
    }

    fn value(shared: &Shared, key: &str) -> Option<Vec<u8>> {
        locked(&shared.kv).values.get(key).cloned()
    }

    /// What the file holds, once it holds something else than before.
    fn written(path: &Path, before: Option<&[u8]>) -> Vec<u8> {
        let began = Instant::now();
        loop {
            let now = fs::read(file(path)).ok();
            if now.as_deref() != before {
                return now.expect("a file is never removed");
            }
            assert!(began.elapsed() < Duration::from_secs(60), "nothing comes");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_is_stored_is_there_again_whether_it_was_closed_or_not() {
        let (_parent, path) = place();
        let (kept, shared) = Kept::open(&path, "p").unwrap();
        assert_eq!(value(&shared, "a"), None);
        set(&shared, "a", b"1");
        kept.close();
        set(&shared, "a", b"too late");
        let (kept, shared) = Kept::open_at_pace(&path, "p", (Duration::ZERO, NEVER)).unwrap();
        assert_eq!(value(&shared, "a").as_deref(), Some(&b"1"[..]));
        let before = fs::read(file(&path)).unwrap();
        set(&shared, "a", b"2");
        // As it is for whoever comes after a crash.
        let bytes = written(&path, Some(&before));
        assert_eq!(Store::from_file(&bytes).unwrap().values["a"], b"2");
        drop(kept);
    }

    #[test]
    fn a_second_write_waits_and_the_end_does_not_wait_for_it() {
        let (_parent, path) = place();
        let (kept, shared) = Kept::open_at_pace(&path, "p", (Duration::ZERO, NEVER)).unwrap();
        set(&shared, "a", b"1");
        let first = written(&path, None);
        for n in 0..100u8 {
            set(&shared, "a", &[n]);
        }
        thread::sleep(Duration::from_millis(50));
        assert_eq!(fs::read(file(&path)).unwrap(), first);
        kept.close();
        let bytes = written(&path, Some(&first));
        assert_eq!(Store::from_file(&bytes).unwrap().values["a"], [99]);
    }

    #[test]
    fn what_a_generation_stored_that_is_rolled_back_is_gone_at_once() {
        let (_parent, path) = place();
        let (kept, old) = Kept::open_at_pace(&path, "p", (Duration::ZERO, NEVER)).unwrap();
        set(&old, "a", b"old");
        let first = written(&path, None);
        let new = old.handed_on();
        kept.follow(new.kv.clone(), false);
        set(&new, "a", b"new");
        kept.follow(old.kv.clone(), true);
        drop(kept);
        assert_eq!(fs::read(file(&path)).unwrap(), first);
        // Where it has been written meanwhile.
        let pace = (Duration::ZERO, Duration::ZERO);
        let (kept, old) = Kept::open_at_pace(&path, "p", pace).unwrap();
        let new = old.handed_on();
        kept.follow(new.kv.clone(), false);
        set(&new, "a", b"new");
        let second = written(&path, Some(&first));
        kept.follow(old.kv.clone(), true);
        assert_eq!(written(&path, Some(&second)), first);
    }

    #[test]
    fn a_trial_stores_nothing_that_stays() {
        let (_parent, path) = place();
        let (kept, shared) = Kept::open(&path, "p").unwrap();
        set(&shared.fork(), "a", b"1");
        drop(kept);
        assert!(!file(&path).exists());
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_not_lost() {
        let (_parent, path) = place();
        let (kept, shared) = Kept::open(&path, "p").unwrap();
        set(&shared, "a", b"1");
        drop(kept);
        let whole = fs::read(file(&path)).unwrap();
        let huge = vec![0; usize::try_from(Store::FILE_MOST).unwrap() + 1];
        for damaged in [&whole[..whole.len() - 1], b"", &huge] {
            fs::write(file(&path), damaged).unwrap();
            let (_kept, shared) = Kept::open(&path, "p").unwrap();
            assert_eq!(value(&shared, "a"), None);
            let aside = fs::read_dir(path.join("kv"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.to_string_lossy().contains("p.kv.damaged-"))
                .expect("it is put aside");
            assert_eq!(fs::read(&aside).unwrap(), damaged);
            fs::remove_file(aside).unwrap();
        }
    }

    #[test]
    fn two_hosts_do_not_share_a_store() {
        let (_parent, path) = place();
        let (kept, _shared) = Kept::open(&path, "p").unwrap();
        let error = Kept::open(&path, "p")
            .err()
            .expect("it is taken")
            .to_string();
        assert!(error.contains("`state-dir`"), "{error}");
        Kept::open(&path, "other").unwrap();
        drop(kept);
        Kept::open(&path, "p").unwrap();
    }
}
