//! Documents that plugins write, one call for all who ask the same.
//!
//! Requests with the same document, presentation and declared inputs share a *work*: a task that asks the plugin, waits
//! for the position that the plugin names, asks again, and hands the one outcome to everybody. A work whose viewers have
//! all gone while it waits ends by itself; a call that has begun always ends, since a call dropped midway costs the
//! plugin its instance.
//!
//! An outcome is shared for as long as the position stays the one it was made at. After a failure the last good document
//! of the same request goes out for as long as caches might still keep it (its own `max-age`): whatever is in front of us
//! would answer the same, and a request that waits for a position has its lasting answer. After that it's 503, and at once
//! where the operator wants it so.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::http::HeaderValue;
use tokio::{sync::watch, time::Instant};

use super::{
    counts::Counts,
    document::{Document, FAST},
};
use crate::{
    line_gate::LineGate,
    live::{Live, Position, Snapshot},
    plugin::{Answer, DocumentSpec, RenderError, Request, line_gate},
};

/// An answer of a plugin that is being worked out.
pub type Rendering<'a> = Pin<Box<dyn Future<Output = Result<Answer, RenderError>> + Send + 'a>>;

/// Who writes documents.
pub trait Documents: Send + Sync + 'static {
    /// The documents there are. Another list (in another place in memory) means that the plugins have changed, and that
    /// nothing written before counts any more.
    fn documents(&self) -> Arc<[DocumentSpec]>;

    /// Asks for one of them, with the declared inputs, as of a window. Called once for all who ask the same at the same
    /// position. Never dropped before it is ready.
    fn render<'a>(
        &'a self,
        document: &'a DocumentSpec,
        request: &'a Request,
        window: Arc<Snapshot>,
    ) -> Rendering<'a>;
}

/// How many outcomes are kept that nobody waits for: enough for all documents and their usual inputs.
const KEPT: usize = 64;

/// How many different requests may wait at once. One position has few that make sense (full or delta, M or M.N); this
/// bounds what a viewer can make of their order and the like.
const WAITING: usize = 512;

/// For how long a failure counts. The next request then asks the plugin anew, even where the position stands still.
const FAILURE: Duration = Duration::from_secs(1);

/// What came of a request for a document.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// As of the position.
    Document(Arc<Document>),
    /// From before: the plugin fails. Caches may keep it for the rest of its time only.
    Late(Arc<Document>),
    /// The plugin's status and reason.
    Refused(u16, Arc<str>),
    /// The reason is in the log. Viewers get 503.
    Failed,
}

#[derive(Clone, Debug)]
struct Outcome {
    reply: Reply,
    /// As of which window.
    position: Position,
    ended: bool,
    failed: Option<Instant>,
}

impl Outcome {
    fn of(reply: Reply, window: &Snapshot, failed: bool) -> Self {
        Self {
            reply,
            position: window.position,
            ended: window.ended,
            failed: failed.then(Instant::now),
        }
    }

    /// It says all that the window knows.
    fn covers(&self, window: &Snapshot) -> bool {
        self.position >= window.position && (self.ended || !window.ended)
    }

    fn holds(&self, window: &Snapshot) -> bool {
        self.covers(window) && self.failed.is_none_or(|at| at.elapsed() < FAILURE)
    }
}

/// What makes requests the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Index into the list of documents.
    document: usize,
    presentation: Arc<str>,
    request: Request,
}

/// Who waits subscribes; nothing else does, so that the work sees them go.
type Work = Arc<watch::Sender<Option<Outcome>>>;

struct Slot {
    work: Work,
    /// What to fall back on.
    last_good: Option<Arc<Document>>,
    /// Larger is later.
    used: u64,
}

#[derive(Default)]
struct Table {
    /// The list that the keys are about.
    documents: Option<Arc<[DocumentSpec]>>,
    slots: HashMap<Key, Slot>,
    uses: u64,
}

/// All works, under way and done.
pub(super) struct Cache {
    source: Arc<dyn Documents>,
    live: Arc<Live>,
    /// Held for a look-up, never across an await, a plugin call or a compression: tens of nanoseconds for every request,
    /// which costs less than what a table without a lock does.
    table: Mutex<Table>,
    waiting: AtomicUsize,
    counts: Arc<Counts>,
    /// A failure may come back with every position.
    complaints: Mutex<LineGate>,
}

impl Cache {
    pub(super) fn new(
        source: Arc<dyn Documents>,
        live: Arc<Live>,
        counts: Arc<Counts>,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            live,
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
            counts,
            complaints: Mutex::new(line_gate()),
        })
    }

    /// How many outcomes are kept or under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.slots.len()
    }

    /// The documents there are now.
    pub(super) fn documents(&self) -> Arc<[DocumentSpec]> {
        self.source.documents()
    }

    /// The reply to a request for `documents[index]`, as of `window` or later. Waits for as long as the plugin says; the
    /// caller limits that by dropping this.
    pub(super) async fn get(
        self: &Arc<Self>,
        documents: Arc<[DocumentSpec]>,
        index: usize,
        request: Request,
        window: Arc<Snapshot>,
    ) -> Reply {
        let key = Key {
            document: index,
            presentation: window.presentation.id.clone(),
            request,
        };
        loop {
            let mut outcome = self.join(&documents, &key, &window);
            let outcome = match outcome.wait_for(Option::is_some).await {
                Ok(outcome) => Option::clone(&outcome),
                Err(_) => None,
            };
            match outcome {
                // Who has seen a position must not be told of an earlier one: a work that began before him is not his.
                Some(outcome) if !outcome.covers(&window) => {}
                Some(outcome) => return outcome.reply,
                None => return Reply::Failed,
            }
        }
    }

    /// Takes part in the work on a request, which is begun if nothing that is under way or done will do.
    fn join(
        self: &Arc<Self>,
        documents: &Arc<[DocumentSpec]>,
        key: &Key,
        window: &Arc<Snapshot>,
    ) -> watch::Receiver<Option<Outcome>> {
        // A thread that panicked here left at worst a slot too many.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table
            .documents
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, documents))
        {
            table.slots.clear();
            table.documents = Some(documents.clone());
        }
        table.uses += 1;
        let used = table.uses;
        let mut last_good = None;
        if let Some(slot) = table.slots.get_mut(key) {
            slot.used = used;
            let usable = match &*slot.work.borrow() {
                Some(outcome) => outcome.holds(window),
                None => true,
            };
            if usable {
                self.counts.shared_documents.one();
                return slot.work.subscribe();
            }
            if let Some(Outcome {
                reply: Reply::Document(document),
                ..
            }) = &*slot.work.borrow()
            {
                slot.last_good = Some(document.clone());
            }
            last_good.clone_from(&slot.last_good);
        } else {
            table.make_room();
        }
        let work: Work = Arc::new(watch::Sender::new(None));
        let outcome = work.subscribe();
        let slot = Slot {
            work: work.clone(),
            last_good: last_good.clone(),
            used,
        };
        table.slots.insert(key.clone(), slot);
        drop(table);
        tokio::spawn(self.clone().work(
            documents.clone(),
            key.clone(),
            window.clone(),
            last_good,
            Finish {
                cache: self.clone(),
                key: key.clone(),
                work,
                window: window.clone(),
            },
        ));
        outcome
    }

    async fn work(
        self: Arc<Self>,
        documents: Arc<[DocumentSpec]>,
        key: Key,
        mut window: Arc<Snapshot>,
        last_good: Option<Arc<Document>>,
        finish: Finish,
    ) {
        let document = &documents[key.document];
        let outcome = loop {
            self.counts.renders.one();
            let answer = self
                .source
                .render(document, &key.request, window.clone())
                .await;
            let failure = match answer {
                Ok(Answer::Document { body, max_age }) => {
                    match HeaderValue::from_str(&document.content_type) {
                        Ok(content_type) => {
                            let made = Document::new(body, content_type, max_age, FAST);
                            let reply = Reply::Document(Arc::new(made));
                            break Outcome::of(reply, &window, false);
                        }
                        Err(_) => format!(
                            "the media type of {} is not a header value: {:?}",
                            document.path, document.content_type
                        ),
                    }
                }
                Ok(Answer::Refuse { status, reason }) => {
                    break Outcome::of(Reply::Refused(status, reason.into()), &window, false);
                }
                Ok(Answer::Wait(until)) if window.ended || until <= window.position => format!(
                    "{} was to wait for {until:?}, which the window has passed at {:?} (ended: {})",
                    document.path, window.position, window.ended
                ),
                Ok(Answer::Wait(until)) => match self.wait(&finish, &window, until).await {
                    Waited::For(later) => {
                        window = later;
                        continue;
                    }
                    Waited::Alone => return,
                    Waited::Not(why) => why.to_owned(),
                },
                // Whoever runs the plugins has said it, as often as it bears saying.
                Err(error @ RenderError::Call(_)) => {
                    tracing::debug!(document = document.path, "no document: {error}");
                    break self.failed(document, last_good, &window);
                }
                Err(error @ RenderError::NoWriter { .. }) => error.to_string(),
            };
            self.complain(&document.path, &failure);
            break self.failed(document, last_good, &window);
        };
        finish.with(outcome);
    }

    /// What those get who asked for what could not be written.
    fn failed(
        &self,
        spec: &DocumentSpec,
        last_good: Option<Arc<Document>>,
        window: &Snapshot,
    ) -> Outcome {
        let late =
            last_good.filter(|document| spec.stale_if_error && document.fresh_for().is_some());
        Outcome::of(late.map_or(Reply::Failed, Reply::Late), window, true)
    }

    fn complain(&self, document: &str, failure: &str) {
        // Nothing panics under this lock.
        let mut complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(suppressed) = complaints.pass(std::time::Instant::now()) {
            if suppressed > 0 {
                tracing::warn!("{suppressed} failures to write a document are left out here");
            }
            tracing::warn!(document, "no document: {failure}");
        }
    }

    /// Waits until the window has reached the position or its presentation has ended.
    async fn wait(&self, finish: &Finish, window: &Snapshot, until: Position) -> Waited {
        let Some(_place) = Place::take(&self.waiting) else {
            return Waited::Not("too many different requests wait already");
        };
        let mut changes = self.live.subscribe();
        loop {
            match self.live.presentation(&window.presentation.id) {
                Some(later) if later.ended || later.position >= until => {
                    return Waited::For(later);
                }
                Some(_) => {}
                None => return Waited::Not("the presentation was over before the position came"),
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return Waited::Not("the live window is gone");
                },
                () = finish.work.closed() => if finish.abandon() {
                    return Waited::Alone;
                },
            }
        }
    }
}

impl Table {
    /// Forgets the outcomes that have not been asked for longest. What is under way stays: it is bounded by itself.
    fn make_room(&mut self) {
        let done = |slot: &Slot| slot.work.borrow().is_some();
        let mut uses: Vec<u64> = self
            .slots
            .values()
            .filter(|slot| done(slot))
            .map(|slot| slot.used)
            .collect();
        if uses.len() >= KEPT {
            // A quarter at once, so that this happens rarely.
            let (_, &mut limit, _) = uses.select_nth_unstable(KEPT / 4);
            self.slots
                .retain(|_, slot| slot.used > limit || !done(slot));
        }
    }
}

enum Waited {
    /// This is the window now.
    For(Arc<Snapshot>),
    /// Nobody waits any more, and the slot is gone.
    Alone,
    /// Why waiting is of no use.
    Not(&'static str),
}

/// One of the places for requests that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sees to it that who waits for a work hears of its end, even of a panic.
struct Finish {
    cache: Arc<Cache>,
    key: Key,
    work: Work,
    window: Arc<Snapshot>,
}

impl Finish {
    fn with(self, outcome: Outcome) {
        self.work.send_replace(Some(outcome));
    }

    /// Gives the work up if nobody has joined in the meantime.
    fn abandon(&self) -> bool {
        let mut table = self
            .cache
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Nobody joins without the lock.
        let alone = self.work.receiver_count() == 0;
        let ours = table
            .slots
            .get(&self.key)
            .is_some_and(|slot| Arc::ptr_eq(&slot.work, &self.work));
        if alone && ours {
            table.slots.remove(&self.key);
        }
        alone
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        if self.work.borrow().is_none() {
            let outcome = Outcome::of(Reply::Failed, &self.window, true);
            self.work.send_replace(Some(outcome));
        }
    }
}
