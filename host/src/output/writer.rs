use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Counts, directory::Directory};
use crate::live::Snapshot;

/// A document.
#[derive(Debug)]
pub(super) struct Text {
    /// Of its file.
    pub(super) name: String,
    /// `None` if it couldn't be written this time: then it stays as it is.
    pub(super) body: Option<Bytes>,
}

/// Brings the directory up to what the windows show.
#[derive(Debug)]
pub(super) struct Writer {
    directory: Directory,
    counts: Arc<Counts>,
    /// Documents as they lie there.
    written: HashMap<String, Bytes>,
    /// When a file was last needed.
    needed: HashMap<String, Instant>,
}

/// A file of media.
struct Wanted {
    name: String,
    pieces: Vec<Bytes>,
    len: u64,
}

impl Writer {
    pub(super) fn new(directory: Directory, counts: Arc<Counts>) -> Self {
        Self {
            directory,
            counts,
            written: HashMap::new(),
            needed: HashMap::new(),
        }
    }

    /// Media, then documents, then away with what is not needed any more: also when something of the first couldn't be
    /// written, since that may be why.
    pub(super) fn write(&mut self, windows: &[Arc<Snapshot>], texts: Vec<Text>) -> io::Result<()> {
        let media = media(windows);
        let now = Instant::now();
        let names = media.iter().map(|wanted| &wanted.name);
        for name in names.chain(texts.iter().map(|text| &text.name)) {
            self.needed.insert(name.clone(), now);
        }
        let outcome = self.put(&media, texts);
        let target = windows.last().map_or(Duration::ZERO, |window| {
            Duration::from_secs(window.presentation.timing.target_duration.into())
        });
        outcome.and(self.remove(now, target))
    }

    fn put(&mut self, media: &[Wanted], texts: Vec<Text>) -> io::Result<()> {
        let names = media.iter().map(|wanted| &*wanted.name);
        self.directory
            .announce(names.chain(texts.iter().map(|text| &*text.name)))?;
        for wanted in media {
            // Media of one name never changes.
            if !self.directory.has(&wanted.name, wanted.len) {
                self.directory.put(&wanted.name, &wanted.pieces)?;
                self.counts.written.one();
            }
        }
        for Text { name, body } in texts {
            let Some(body) = body else { continue };
            let there = self.directory.has(&name, body.len() as u64);
            if !there || self.written.get(&name) != Some(&body) {
                self.directory.put(&name, std::slice::from_ref(&body))?;
                self.counts.written.one();
                self.written.insert(name, body);
            }
        }
        Ok(())
    }

    /// Removes what hasn't been needed for so long.
    fn remove(&mut self, now: Instant, after: Duration) -> io::Result<()> {
        let needed = &self.needed;
        let old = |name: &&str| {
            needed
                .get(*name)
                .is_none_or(|last| now.duration_since(*last) > after)
        };
        let old: Vec<_> = self
            .directory
            .names()
            .filter(old)
            .map(str::to_owned)
            .collect();
        for name in old {
            self.directory.remove(&name)?;
            self.written.remove(&name);
            self.needed.remove(&name);
        }
        Ok(())
    }
}

/// The complete segments with their init segments, each once.
fn media(windows: &[Arc<Snapshot>]) -> Vec<Wanted> {
    let mut media: Vec<Wanted> = Vec::new();
    for window in windows {
        let id = &window.presentation.id;
        for segment in window.segments.iter().filter(|segment| segment.complete) {
            let init = format!("{id}/{}", segment.init.path);
            if !media.iter().any(|wanted| wanted.name == init) {
                media.push(Wanted {
                    name: init,
                    len: segment.init.data.len() as u64,
                    pieces: vec![segment.init.data.clone()],
                });
            }
            media.push(Wanted {
                name: format!("{id}/{}", segment.path),
                len: segment.media.len,
                pieces: segment.media.pieces.clone(),
            });
        }
    }
    media
}
