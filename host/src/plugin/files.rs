use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::AbortHandle;

use super::Plugins;
use crate::changes::Changes;

/// Reloads plugins when their files change, for as long as it lives.
#[must_use]
pub struct FileWatch(AbortHandle);

impl FileWatch {
    /// Follows the files that the plugins were loaded from; those inside the binary have none. `None` if no plugin has.
    ///
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
        let mut changes = Changes::of(files.iter().map(PathBuf::as_path))?;
        let plugins = plugins.clone();
        let task = tokio::spawn(async move {
            loop {
                changes.next().await;
                plugins.reload_changed().await;
            }
        });
        Ok(Some(Self(task.abort_handle())))
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
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
