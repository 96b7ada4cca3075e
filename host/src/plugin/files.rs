use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::AbortHandle;

use super::{PluginOrigin, Plugins};
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
        let mut files: Vec<_> = plugins
            .lineup()
            .plugins
            .iter()
            .enumerate()
            .filter_map(
                |(index, running)| match &running.worker.generation().origin {
                    PluginOrigin::File(path) => Some(Watched::new(index, path.clone())),
                    PluginOrigin::Stock(_) => None,
                },
            )
            .collect();
        if files.is_empty() {
            return Ok(None);
        }
        let mut changes = Changes::of(files.iter().map(|file| file.path.as_path()))?;
        let plugins = plugins.clone();
        let task = tokio::spawn(async move {
            loop {
                changes.next().await;
                for file in files.iter_mut().filter_map(Watched::changed) {
                    tracing::info!("{} has changed", file.path.display());
                    // The log has how it went, and so has the status.
                    let _ = plugins.reload_at(file.index).await;
                }
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

/// The file of a plugin.
#[derive(Debug)]
struct Watched {
    /// Which plugin's.
    index: usize,
    path: PathBuf,
    seen: Option<State>,
}

/// What tells one content of a file from another: device, inode, size and time of change.
type State = (u64, u64, u64, i64, i64);

impl Watched {
    fn new(index: usize, path: PathBuf) -> Self {
        Self {
            index,
            seen: state(&path),
            path,
        }
    }

    /// Itself if the file isn't what it was when this was asked last. One that is gone is no change: another takes its
    /// place, or none does and the plugin runs on.
    fn changed(&mut self) -> Option<&Self> {
        let now = state(&self.path);
        if now.is_none() || now == self.seen {
            return None;
        }
        self.seen = now;
        Some(self)
    }
}

fn state(path: &Path) -> Option<State> {
    let found = path.metadata().ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
    ))
}
