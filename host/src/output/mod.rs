//! The stream as plain files: the same playlists and the same media as over HTTP, for web servers that know nothing of
//! us, for `rsync`, for whoever looks into a directory.
//!
//! Files can't be waited for. So only documents are written that can do without (see [`FileDocument`]), and only complete
//! segments with their init segments, once a segment. A file is there before a document lists it, and goes a target
//! duration after the last document has ceased to.
//!
//! Nothing here can hold up the stream: it follows the live window, as viewers do, and writes on a thread of its own. What
//! can't be written (a full disk, a directory that is gone) is tried again with the next segment; until then the documents
//! of before stay, so that none lists what isn't there.

mod directory;
mod follower;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use directory::Directory;
use follower::Follower;
use writer::{Text, Writer};

use crate::{
    figures::Count,
    line_gate::LineGate,
    live::{Live, Snapshot},
    plugin::{Answer, DocumentSpec, RenderError, Request, Scope},
};

/// Where files go when no directory is named: memory, so that an SD card doesn't wear.
pub const DEFAULT_DIRECTORY: &str = "/dev/shm/picam-host";

/// A document that can lie in a file, and what to ask the plugin for it.
#[derive(Clone, Debug)]
pub struct FileDocument {
    /// The document.
    pub document: DocumentSpec,
    /// A request that says that it is for a file, where the document knows of that.
    pub request: Request,
}

/// A document that is being written.
pub type Rendering<'a> = Pin<Box<dyn Future<Output = Result<Answer, RenderError>> + Send + 'a>>;

/// Who writes the documents.
pub trait Documents: Send + Sync + 'static {
    /// Those that can lie in files.
    fn documents(&self) -> Vec<FileDocument>;

    /// Writes one.
    fn render<'a>(&'a self, document: &'a FileDocument, window: &'a Arc<Snapshot>)
    -> Rendering<'a>;
}

/// What was done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files that were put in their place.
    pub written: Count,
    /// Segments with which something couldn't be written.
    pub failures: Count,
}

/// Writes the stream into a directory.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    writer: Writer,
    counts: Arc<Counts>,
}

impl Output {
    /// Makes the directory, and removes from it what we left there the last time, and only that.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let counts = Arc::<Counts>::default();
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::new(Directory::open(path)?, counts.clone()),
            counts,
        })
    }

    /// What it counts.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Follows the stream until it is over. What was written stays: players that read it find the rest of what they had,
    /// and the next run removes it.
    pub async fn run(self, live: Arc<Live>, documents: Arc<dyn Documents>) {
        let Self {
            path,
            mut writer,
            counts,
        } = self;
        let mut complaints = LineGate::new(1, Duration::from_secs(10));
        let mut follower = Follower::new(live);
        while let Some(windows) = follower.next().await {
            let (texts, unwritten) = render(&*documents, &windows).await;
            // Files are slow, and may block for long where they lie on a network.
            let round = tokio::task::spawn_blocking(move || {
                let outcome = writer.write(&windows, texts);
                (writer, outcome)
            });
            let Ok((taken, outcome)) = round.await else {
                tracing::error!("writing files ended unexpectedly; none is written any more");
                return;
            };
            writer = taken;
            let trouble = outcome.err().map(|error| error.to_string()).or(unwritten);
            if let Some(trouble) = trouble {
                counts.failures.one();
                if let Some(suppressed) = complaints.pass(Instant::now()) {
                    tracing::warn!(
                        suppressed,
                        "the files in {} stay as they are, which changes when the next segment can be written: {trouble}",
                        path.display()
                    );
                }
            }
        }
    }
}

/// Has the documents written, those of presentations before those of the stream, which lead to them. From the first on that
/// can't be, all stay as they are, and it is said why.
async fn render(
    documents: &dyn Documents,
    windows: &[Arc<Snapshot>],
) -> (Vec<Text>, Option<String>) {
    let all = documents.documents();
    let mut wanted = Vec::new();
    for (scope, windows) in [
        (Scope::Presentation, windows),
        (Scope::Stream, &windows[windows.len().saturating_sub(1)..]),
    ] {
        for window in windows {
            let documents = all.iter().filter(|wanted| wanted.document.scope == scope);
            wanted.extend(documents.map(|document| (window, document)));
        }
    }
    let mut texts = Vec::new();
    let mut unwritten = None;
    for (window, wanted) in wanted {
        let name = &wanted.document.path;
        let answer = match unwritten {
            None => Some(documents.render(wanted, window).await),
            Some(_) => None,
        };
        let (body, why) = match answer {
            None => (None, None),
            Some(Ok(Answer::Document { body, .. })) => (Some(body), None),
            Some(Ok(Answer::Refuse { reason, .. })) => (None, Some(reason)),
            Some(Ok(Answer::Wait(_))) => {
                let why = "it is to be waited for, which a file can't be";
                (None, Some(why.to_owned()))
            }
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        unwritten = unwritten.or(why.map(|why| format!("{name}: {why}")));
        texts.push(Text {
            name: match wanted.document.scope {
                Scope::Stream => name.clone(),
                Scope::Presentation => format!("{}/{name}", window.presentation.id),
            },
            body,
        });
    }
    (texts, unwritten)
}
