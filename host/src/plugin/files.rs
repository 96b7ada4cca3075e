use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::mpsc;

use super::Plugins;

/// Reloads plugins when their files change, for as long as it lives.
#[must_use]
pub struct FileWatch(
    #[expect(dead_code, reason = "it is kept for what it does")] RecommendedWatcher,
);

impl FileWatch {
    /// Follows the files that the plugins were loaded from; those inside the binary have none. `None` if no plugin has.
    ///
    /// The kernel tells of changes in the directories of these files: of files that were written and closed, of files and
    /// links that were put in their place. So one that is being written is left alone, and nothing is asked time and again.
    /// Needs a Tokio runtime around it.
    ///
    /// # Errors
    /// The system can't tell of changes there.
    pub fn start(plugins: &Arc<Plugins>) -> anyhow::Result<Option<Self>> {
        let files: Vec<_> = plugins
            .slots
            .iter()
            .filter_map(|slot| plugins.loader.file(&slot.spec))
            .collect();
        if files.is_empty() {
            return Ok(None);
        }
        // One notice is as good as many: all files are looked at then.
        let (notice, mut noticed) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            match event {
                Ok(event) if settled(&event) => {
                    // When it is full, the files will be looked at anyhow.
                    let _ = notice.try_send(());
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("changes of plugin files may go unnoticed: {error}"),
            }
        })
        .context("asking the system for changes of plugin files")?;
        let directories: BTreeSet<_> = files.iter().flat_map(|file| directories(file)).collect();
        for directory in directories {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .with_context(|| format!("asking for changes in {}", directory.display()))?;
        }
        let plugins = plugins.clone();
        tokio::spawn(async move {
            while noticed.recv().await.is_some() {
                plugins.reload_changed().await;
            }
        });
        Ok(Some(Self(watcher)))
    }
}

/// Whether something is in its place now, whole as far as whoever put it there is concerned.
fn settled(event: &Event) -> bool {
    match event.kind {
        // The kernel had more to tell than it could keep.
        _ if event.need_rescan() => true,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => true,
        // A file that has just been created is going to be written. A link is all there.
        EventKind::Create(_) => event.paths.iter().any(|path| path.is_symlink()),
        _ => false,
    }
}

/// Where a file lies, and where what its link leads to lies.
fn directories(file: &Path) -> impl Iterator<Item = PathBuf> {
    let real = file.canonicalize().ok();
    [Some(file.to_owned()), real]
        .into_iter()
        .flatten()
        .filter_map(|path| match path.parent() {
            Some(parent) if parent == Path::new("") => Some(PathBuf::from(".")),
            parent => parent.map(Path::to_owned),
        })
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl FileState {
    /// `None` if there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}
