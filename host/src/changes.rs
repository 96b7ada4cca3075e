//! Tells when files change, for whoever uses what is in them while the host runs: plugins, certificates.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::mpsc;

/// Tells of changes of some files, for as long as it lives.
#[must_use]
pub(crate) struct Changes {
    #[expect(dead_code, reason = "it is kept for what it does")]
    watcher: RecommendedWatcher,
    noticed: mpsc::Receiver<()>,
}

impl Changes {
    /// Follows files.
    ///
    /// The kernel tells of changes in their directories: of files that were written and closed, of files and links that
    /// were put in their place. So one that is being written is left alone, and nothing is asked time and again.
    ///
    /// # Errors
    /// The system can't tell of changes there.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<Self> {
        // One notice is as good as many: all files are looked at then.
        let (notice, noticed) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            match event {
                Ok(event) if settled(&event) => {
                    // When it is full, the files will be looked at anyhow.
                    let _ = notice.try_send(());
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("changes of files may go unnoticed: {error}"),
            }
        })
        .context("asking the system for changes of files")?;
        let directories: BTreeSet<_> = files.into_iter().flat_map(directories).collect();
        for directory in directories {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .with_context(|| format!("asking for changes in {}", directory.display()))?;
        }
        Ok(Self { watcher, noticed })
    }

    /// Ready when something has changed beside one of the files, or may have: look which.
    pub(crate) async fn next(&mut self) {
        if self.noticed.recv().await.is_none() {
            // The watcher, which holds the other end, lives as long as this.
            std::future::pending().await
        }
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
