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

use super::{PluginOrigin, Plugins};

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
        let directories: BTreeSet<_> = files.iter().flat_map(Watched::directories).collect();
        for directory in directories {
            watcher
                .watch(&directory, RecursiveMode::NonRecursive)
                .with_context(|| format!("asking for changes in {}", directory.display()))?;
        }
        let plugins = plugins.clone();
        tokio::spawn(async move {
            while noticed.recv().await.is_some() {
                for file in files.iter_mut().filter_map(Watched::changed) {
                    tracing::info!("{} has changed", file.path.display());
                    // The log has how it went, and so has the status.
                    let _ = plugins.reload_at(file.index).await;
                }
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

    /// Where the file lies, and where what its link leads to lies.
    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let real = self.path.canonicalize().ok();
        [Some(self.path.clone()), real]
            .into_iter()
            .flatten()
            .filter_map(|path| match path.parent() {
                Some(parent) if parent == Path::new("") => Some(PathBuf::from(".")),
                parent => parent.map(Path::to_owned),
            })
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
