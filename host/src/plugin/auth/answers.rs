use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    Question,
    decision::{Decision, Ruling},
};
use crate::plugin::CallError;

/// A table of its own for each, so that requests on different processors seldom wait for each other.
const SHARDS: usize = 16;
/// Bytes of a shard: 4 MiB in all, which is some ten thousand viewers with cookies.
const SHARD_BYTES: usize = 256 << 10;
/// Bytes that an entry costs beside its texts.
const OVERHEAD: usize = 256;
/// Answers for different paths to one question.
const PATHS_MOST: usize = 16;
/// The longest time that an answer is kept; its own may be longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The answers of one plugin that still hold, and the questions that are being asked.
///
/// Not a cache from a library, since an answer here holds for all paths with a prefix, and who asks has to find whoever asks
/// the same already under the same lock. A lock is held for a look-up: never across a call or an await.
pub(super) struct Answers {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<Arc<Question>, Slot>,
    bytes: usize,
    uses: u64,
}

#[derive(Default)]
struct Slot {
    /// Each for another prefix.
    held: Vec<Held>,
    asked: Vec<Asked>,
    bytes: usize,
    /// Larger is later.
    used: u64,
}

struct Held {
    paths: Paths,
    until: Instant,
    ruling: Ruling,
}

enum Paths {
    One(Arc<str>),
    Below(Box<str>),
}

impl Paths {
    fn cover(&self, path: &str) -> bool {
        match self {
            Self::One(one) => **one == *path,
            Self::Below(prefix) => path.starts_with(&**prefix),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::One(text) => text,
            Self::Below(text) => text,
        }
    }
}

/// A question that the plugin is being asked.
struct Asked {
    path: Arc<str>,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// What came of asking the plugin.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It decided. Look again whether that is of use.
    Decided,
    /// It said nothing.
    Failed(CallError),
}

/// Whose call somebody may wait for, instead of having the plugin called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// One about any path: most answers hold for many.
    AnyPath,
    /// One about the very same path.
    SamePath,
    /// Nobody's: the answers to the others were for them alone.
    Gone,
}

/// What is known of a question.
pub(super) enum Look {
    /// The answer, and until when it holds.
    Known(Ruling, Instant),
    /// Somebody is asking about this path, or about another one.
    BeingAsked {
        same_path: bool,
        outcome: watch::Receiver<Option<Outcome>>,
    },
    /// The plugin has to be asked.
    Ask(Ticket),
}

impl Answers {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        })
    }

    fn shard(&self, question: &Question) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(question);
        let index = usize::try_from(hash % SHARDS as u64).expect("below the number of shards");
        // Whatever a panic left undone here is a slot too many or too few.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look(
        self: &Arc<Self>,
        question: &Arc<Question>,
        path: &Arc<str>,
        patience: Patience,
    ) -> Look {
        let now = Instant::now();
        let mut shard = self.shard(question);
        shard.uses += 1;
        let used = shard.uses;
        if let Some(slot) = shard.slots.get_mut(question) {
            slot.used = used;
            let held = slot
                .held
                .iter()
                .filter(|held| held.until > now && held.paths.cover(path))
                // The most particular one.
                .max_by_key(|held| held.paths.text().len());
            if let Some(held) = held {
                return Look::Known(held.ruling.clone(), held.until);
            }
            let same = |asked: &&Asked| asked.path == *path;
            let asked = match patience {
                Patience::AnyPath => slot.asked.iter().find(same).or(slot.asked.first()),
                Patience::SamePath => slot.asked.iter().find(same),
                Patience::Gone => None,
            };
            if let Some(asked) = asked {
                return Look::BeingAsked {
                    same_path: same(&asked),
                    outcome: asked.outcome.clone(),
                };
            }
        }
        let outcome = watch::Sender::new(None);
        let asked = Asked {
            path: path.clone(),
            outcome: outcome.subscribe(),
        };
        shard.change(question, |slot| {
            slot.used = used;
            slot.asked.push(asked);
        });
        Look::Ask(Ticket {
            answers: self.clone(),
            question: question.clone(),
            path: path.clone(),
            outcome,
        })
    }

    /// Forgets all answers. What is being asked goes on.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.forget(|_| true);
            for slot in shard.slots.values_mut() {
                slot.held.clear();
            }
        }
    }

    /// Bytes of all that is kept.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap().bytes)
            .sum()
    }
}

impl Shard {
    /// Changes what is known of a question, and forgets the question when nothing is.
    fn change(&mut self, question: &Arc<Question>, change: impl FnOnce(&mut Slot)) {
        let slot = self.slots.entry(question.clone()).or_default();
        change(slot);
        let before = slot.bytes;
        slot.bytes = OVERHEAD + question.bytes() + slot.held.iter().map(Held::bytes).sum::<usize>();
        self.bytes = self.bytes - before + slot.bytes;
        if slot.held.is_empty() && slot.asked.is_empty() {
            self.bytes -= slot.bytes;
            self.slots.remove(question);
        }
        if self.bytes > SHARD_BYTES {
            self.make_room();
        }
    }

    /// Forgets what has run out, and then what has not been asked for longest, a quarter at once, so that this happens
    /// rarely. What is being asked stays: calls are bounded by themselves.
    fn make_room(&mut self) {
        let now = Instant::now();
        for slot in self.slots.values_mut() {
            slot.held.retain(|held| held.until > now);
        }
        self.forget(|slot| slot.held.is_empty());
        if self.bytes > SHARD_BYTES * 3 / 4 {
            let mut uses: Vec<(u64, usize)> = self
                .slots
                .values()
                .map(|slot| (slot.used, slot.bytes))
                .collect();
            uses.sort_unstable();
            let mut left = self.bytes;
            let last = uses.into_iter().find(|&(_, bytes)| {
                left -= bytes;
                left <= SHARD_BYTES * 3 / 4
            });
            let last = last.map_or(u64::MAX, |(used, _)| used);
            self.forget(|slot| slot.used <= last);
        }
    }

    fn forget(&mut self, which: impl Fn(&Slot) -> bool) {
        self.slots
            .retain(|_, slot| !slot.asked.is_empty() || !which(slot));
        self.bytes = self.slots.values().map(|slot| slot.bytes).sum();
    }
}

impl Held {
    fn bytes(&self) -> usize {
        let ruling = match &self.ruling {
            Ruling::Allow(_) => 0,
            Ruling::Refuse(refusal) => {
                let fields = refusal.headers.iter();
                refusal.body.len()
                    + fields
                        .map(|(name, value)| name.as_str().len() + value.len())
                        .sum::<usize>()
            }
        };
        self.paths.text().len() + ruling + OVERHEAD
    }
}

impl Question {
    fn bytes(&self) -> usize {
        let token = self.token.as_ref().map_or(0, String::len);
        token
            + [
                &self.peer,
                &self.query,
                &self.headers,
                &self.cookies,
                &self.form,
            ]
            .map(String::len)
            .iter()
            .sum::<usize>()
    }
}

/// The right to ask the plugin, for all who wait for the answer. Whoever drops it unsettled leaves it to one of them.
pub(super) struct Ticket {
    answers: Arc<Answers>,
    question: Arc<Question>,
    path: Arc<str>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Ticket {
    /// The plugin decided. Returns until when that holds, if beyond this request.
    pub(super) fn decided(self, decision: &Decision) -> Option<Instant> {
        let life = Duration::from_secs(decision.seconds.into()).min(LONGEST);
        let until = (!life.is_zero()).then(|| Instant::now() + life);
        if let Some(until) = until {
            let held = Held {
                paths: match self.path.starts_with(&decision.prefix) {
                    true => Paths::Below(decision.prefix.as_str().into()),
                    false => Paths::One(self.path.clone()),
                },
                until,
                // What comes with a permission is for the one who asked.
                ruling: match &decision.ruling {
                    Ruling::Allow(_) => Ruling::Allow(Vec::new()),
                    refusal => refusal.clone(),
                },
            };
            // One that takes much of a shard would cost everybody else his.
            if held.bytes() + self.question.bytes() <= SHARD_BYTES / 8 {
                let mut shard = self.answers.shard(&self.question);
                shard.change(&self.question, |slot| slot.hold(held));
            }
        }
        self.outcome.send_replace(Some(Outcome::Decided));
        until
    }

    /// The plugin said nothing.
    pub(super) fn failed(self, error: CallError) {
        self.outcome.send_replace(Some(Outcome::Failed(error)));
    }
}

impl Slot {
    fn hold(&mut self, held: Held) {
        let now = Instant::now();
        self.held
            .retain(|old| old.until > now && old.paths.text() != held.paths.text());
        if self.held.len() >= PATHS_MOST {
            // Oldest first.
            self.held.remove(0);
        }
        self.held.push(held);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let ours = self.outcome.subscribe();
        self.answers
            .shard(&self.question)
            .change(&self.question, |slot| {
                slot.asked
                    .retain(|asked| !asked.outcome.same_channel(&ours));
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(cookie: &str) -> Arc<Question> {
        Arc::new(Question {
            cookies: cookie.to_owned(),
            ..Question::default()
        })
    }

    fn allow(seconds: u32, prefix: &str) -> Decision {
        Decision {
            ruling: Ruling::Allow(Vec::new()),
            seconds,
            prefix: prefix.to_owned(),
        }
    }

    fn look(answers: &Arc<Answers>, cookie: &str, path: &str) -> Look {
        answers.look(&question(cookie), &path.into(), Patience::AnyPath)
    }

    fn known(answers: &Arc<Answers>, cookie: &str, path: &str) -> bool {
        matches!(look(answers, cookie, path), Look::Known(..))
    }

    fn ask(answers: &Arc<Answers>, cookie: &str, path: &str) -> Ticket {
        match look(answers, cookie, path) {
            Look::Ask(ticket) => ticket,
            _ => panic!("{cookie} {path} is known or being asked"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_its_time_its_paths_and_its_question() {
        let answers = Answers::new();
        let until = ask(&answers, "a", "/cam/live.m3u8").decided(&allow(10, "/cam/"));
        assert_eq!(until, Some(Instant::now() + Duration::from_secs(10)));
        assert!(known(&answers, "a", "/cam/1/s1.m4s"));
        assert!(!known(&answers, "a", "/"));
        assert!(!known(&answers, "a", "/camera"));
        assert!(!known(&answers, "b", "/cam/live.m3u8"));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(known(&answers, "a", "/cam/1/s2.m4s"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!known(&answers, "a", "/cam/1/s2.m4s"));
    }

    #[tokio::test]
    async fn an_answer_of_no_time_is_kept_for_nobody() {
        let answers = Answers::new();
        assert_eq!(ask(&answers, "a", "/").decided(&allow(0, "/")), None);
        assert!(!known(&answers, "a", "/"));
        assert_eq!(answers.bytes(), 0);
    }

    #[tokio::test]
    async fn a_prefix_that_does_not_cover_the_path_holds_for_the_path_alone() {
        let answers = Answers::new();
        ask(&answers, "a", "/").decided(&allow(10, "/cam/"));
        assert!(known(&answers, "a", "/"));
        assert!(!known(&answers, "a", "/cam/live.m3u8"));
        assert!(!known(&answers, "a", "/x"));
    }

    #[tokio::test]
    async fn the_most_particular_answer_counts() {
        let answers = Answers::new();
        ask(&answers, "a", "/cam/private/x").decided(&Decision {
            ruling: Ruling::Refuse(Arc::new(super::super::Refusal {
                status: hyper::StatusCode::FORBIDDEN,
                headers: Vec::new(),
                content_type: None,
                body: bytes::Bytes::new(),
            })),
            seconds: 10,
            prefix: "/cam/private/".to_owned(),
        });
        ask(&answers, "a", "/cam/live.m3u8").decided(&allow(10, "/cam/"));
        for (path, allowed) in [("/cam/private/y", false), ("/cam/live.m3u8", true)] {
            let Look::Known(ruling, _) = look(&answers, "a", path) else {
                panic!("{path} is known");
            };
            assert_eq!(matches!(ruling, Ruling::Allow(_)), allowed, "{path}");
        }
    }

    #[tokio::test]
    async fn who_asks_the_same_waits_for_the_one_call() {
        let answers = Answers::new();
        let ticket = ask(&answers, "a", "/cam/1");
        let Look::BeingAsked {
            same_path: true,
            mut outcome,
        } = look(&answers, "a", "/cam/1")
        else {
            panic!("it is being asked");
        };
        let other = look(&answers, "a", "/cam/2");
        assert!(matches!(
            other,
            Look::BeingAsked {
                same_path: false,
                ..
            }
        ));
        let impatient = answers.look(&question("a"), &"/cam/2".into(), Patience::SamePath);
        assert!(matches!(impatient, Look::Ask(_)));
        drop(impatient);
        ticket.decided(&allow(1, "/cam/"));
        let outcome = outcome.wait_for(Option::is_some).await.unwrap();
        assert!(matches!(*outcome, Some(Outcome::Decided)));
        assert!(known(&answers, "a", "/cam/2"));
    }

    #[tokio::test]
    async fn a_call_that_nobody_finished_is_left_to_the_next() {
        let answers = Answers::new();
        let ticket = ask(&answers, "a", "/");
        let Look::BeingAsked { mut outcome, .. } = look(&answers, "a", "/") else {
            panic!("it is being asked");
        };
        drop(ticket);
        assert!(outcome.wait_for(Option::is_some).await.is_err());
        drop(ask(&answers, "a", "/"));
        assert_eq!(answers.bytes(), 0, "nothing is left of it");
    }

    #[tokio::test]
    async fn strangers_cost_a_bounded_amount_and_do_not_push_out_who_watches() {
        let answers = Answers::new();
        ask(&answers, "viewer", "/").decided(&allow(1_000, "/"));
        for stranger in 0..100_000 {
            let cookie = format!("guess={stranger}");
            ask(&answers, &cookie, "/").decided(&allow(1_000, "/"));
            if stranger % 100 == 0 {
                assert!(known(&answers, "viewer", "/"), "after {stranger}");
            }
        }
        assert!(answers.bytes() <= SHARDS * SHARD_BYTES);
        let long = "x".repeat(SHARD_BYTES / 8);
        ask(&answers, &long, "/").decided(&allow(1_000, "/"));
        assert!(!known(&answers, &long, "/"));
    }
}
