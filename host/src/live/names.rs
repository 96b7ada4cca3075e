use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot::error::TryRecvError;

use super::{
    naming::{Answer, Nameless, Naming, check_name, numbered_template},
    numbering::{Kind, numbered},
};
use crate::{
    line_gate::LineGate,
    time::{MediaTime, Wall},
};

/// How long the log is quiet about names after a line about one.
const QUIET: Duration = Duration::from_secs(10);

/// What objects will be called: numbers that go on through all presentations of a run, and the names that go with them.
///
/// Without somebody who names objects, a name is the number with what its kind is. With somebody, the publisher says
/// beforehand which objects it foresees ([`foresee`](Self::foresee)), and takes each name when it first mentions the
/// object ([`take`](Self::take)); by then the answer has come. It never waits: a name that isn't there, or isn't one, is
/// replaced by the number.
pub struct Names {
    naming: Option<Arc<dyn Naming>>,
    /// What is added to the numbers of parts and init segments when somebody is asked for their names: short numbers for
    /// us, numbers that don't repeat after a restart for him.
    base: u64,
    inits: Queue,
    segments: Queue,
    parts: Queue,
    /// Names that aren't numbers, of this presentation, and when they were last in use.
    given: HashMap<Arc<str>, MediaTime>,
    now: MediaTime,
    complaints: LineGate,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Queue {
    /// Number of the next object.
    next: u64,
    /// What is known of its name, and of the names after it.
    ahead: VecDeque<Ahead>,
}

#[derive(Debug)]
enum Ahead {
    Asked(Answer),
    Answered(Option<String>),
}

impl Names {
    /// Numbers from the clock, so that they don't fall when the host starts anew: a segment lasts about a second, and a
    /// part a millisecond at least.
    pub fn new(naming: Option<Arc<dyn Naming>>, now: Wall) -> Self {
        let mut names = Self {
            naming,
            base: now.0 / 1_000,
            inits: Queue::default(),
            segments: Queue::default(),
            parts: Queue::default(),
            given: HashMap::new(),
            now: MediaTime::default(),
            complaints: LineGate::new(1, QUIET),
        };
        names.segments.next = now.0 / 1_000_000;
        names
    }

    /// The media sequence number of the next segment.
    pub(super) fn next_sequence(&self) -> u64 {
        self.segments.next
    }

    /// How segments are called from now on, as a template, where names permit that.
    pub(super) fn segment_template(&self) -> Option<String> {
        match &self.naming {
            Some(naming) => naming.segment_template(),
            None => Some(numbered_template()),
        }
    }

    /// Asks for names beforehand, as far as that hasn't been done: the first object that has no name yet is expected to
    /// be captured at `first`, those after it each a `step` later.
    pub fn foresee(&mut self, kind: Kind, first: Wall, step: Duration) {
        let Some(naming) = &self.naming else { return };
        let base = match kind {
            Kind::Segment => 0,
            Kind::Init | Kind::Part => self.base,
        };
        // Parts that pile up, since a camera or a network held them back, are closed faster than names come.
        let depth = match kind {
            Kind::Init | Kind::Segment => 1,
            Kind::Part => 4,
        };
        let queue = match kind {
            Kind::Init => &mut self.inits,
            Kind::Segment => &mut self.segments,
            Kind::Part => &mut self.parts,
        };
        for n in queue.ahead.len()..depth {
            queue.ahead.push_back(Ahead::Asked(naming.name(Nameless {
                kind,
                number: base + queue.next + n as u64,
                captured: first.after(step * n as u32),
            })));
        }
    }

    /// Waits until all names that were asked for are there. For the start, when seconds of pictures are published at
    /// once; the caller limits it by dropping the future, which loses nothing.
    pub async fn ready(&mut self) {
        for queue in [&mut self.inits, &mut self.segments, &mut self.parts] {
            for ahead in &mut queue.ahead {
                if let Ahead::Asked(answer) = ahead {
                    let name = answer.await.ok().flatten();
                    *ahead = Ahead::Answered(name);
                }
            }
        }
    }

    /// The name of the next object of this kind, which from now on is in use.
    pub(super) fn take(&mut self, kind: Kind) -> Arc<str> {
        let queue = match kind {
            Kind::Init => &mut self.inits,
            Kind::Segment => &mut self.segments,
            Kind::Part => &mut self.parts,
        };
        let number = queue.next;
        queue.next += 1;
        let said = match queue.ahead.pop_front() {
            Some(Ahead::Answered(name)) => Ok(name),
            Some(Ahead::Asked(mut answer)) => match answer.try_recv() {
                Ok(name) => Ok(name),
                Err(TryRecvError::Closed) => Ok(None),
                Err(TryRecvError::Empty) => Err("was not named in time".to_owned()),
            },
            None => Ok(None),
        };
        let given = said.and_then(|name| match name {
            Some(name) => match self.give(kind, number, &name) {
                Ok(name) => Ok(Some(name)),
                Err(why) => Err(format!("can't have its name: {why}")),
            },
            None => Ok(None),
        });
        match given {
            Ok(Some(name)) => name,
            Ok(None) => self.instead(kind, number),
            Err(what) => {
                let name = self.instead(kind, number);
                self.complain(kind, number, &what, &name);
                name
            }
        }
    }

    /// The name of an object that has none of its own.
    fn instead(&mut self, kind: Kind, number: u64) -> Arc<str> {
        let name = self.naming.as_ref().and_then(|naming| naming.instead());
        name.and_then(|name| self.give(kind, number, &name).ok())
            .unwrap_or_else(|| kind.numbered(number).into())
    }

    fn give(&mut self, kind: Kind, number: u64, name: &str) -> Result<Arc<str>, String> {
        let name = check_name(kind, name)?;
        match numbered(&name) {
            Some(owner) if owner != (kind, number) => Err(format!(
                "`{name}` is how the built-in numbering calls another object"
            )),
            _ if self.given.contains_key(&*name) => Err(format!(
                "another object is called `{name}`, or was a moment ago"
            )),
            _ => {
                let name: Arc<str> = name.into();
                self.given.insert(name.clone(), self.now);
                Ok(name)
            }
        }
    }

    /// Tells which names are in use at this point of the presentation. Others can be given again once caches have
    /// forgotten what they stood for, after `reserved`.
    pub(super) fn in_use<'a>(
        &mut self,
        now: MediaTime,
        reserved: Duration,
        names: impl Iterator<Item = &'a str>,
    ) {
        self.now = now;
        if self.given.is_empty() {
            return;
        }
        for name in names {
            if let Some(last) = self.given.get_mut(name) {
                *last = now;
            }
        }
        self.given.retain(|_, last| now.since(*last) <= reserved);
    }

    /// What was in use isn't any more: another presentation has another directory.
    pub(super) fn forget_given(&mut self) {
        self.given.clear();
    }

    fn complain(&mut self, kind: Kind, number: u64, what: &str, name: &str) {
        let left_out = match self.complaints.pass(Instant::now()) {
            None => return,
            Some(0) => String::new(),
            Some(n) => format!(" ({n} more like this since the last such line)"),
        };
        tracing::warn!("{kind} {number} {what}; it is called {name}{left_out}");
    }
}

/// Numbers from 0 on, as long as somebody else has the real ones.
impl Default for Names {
    fn default() -> Self {
        Self::new(None, Wall(0))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("inits", &self.inits)
            .field("segments", &self.segments)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::oneshot;

    use super::*;

    /// Keeps what it is asked, to be answered when the test wants it.
    #[derive(Default)]
    struct Desk {
        asked: Mutex<Vec<(Nameless, oneshot::Sender<Option<String>>)>>,
        instead: Mutex<Option<String>>,
    }

    impl Naming for Desk {
        fn name(&self, object: Nameless) -> Answer {
            let (sender, answer) = oneshot::channel();
            self.asked.lock().unwrap().push((object, sender));
            answer
        }

        fn instead(&self) -> Option<String> {
            self.instead.lock().unwrap().clone()
        }

        fn segment_template(&self) -> Option<String> {
            None
        }
    }

    impl Desk {
        fn answer(&self, name: impl Fn(&Nameless) -> Option<String>) -> Vec<Nameless> {
            let asked = std::mem::take(&mut *self.asked.lock().unwrap());
            asked
                .into_iter()
                .map(|(object, sender)| {
                    // Who was late finds nobody.
                    let _ = sender.send(name(&object));
                    object
                })
                .collect()
        }
    }

    const PART: Duration = Duration::from_millis(200);

    fn names() -> (Arc<Desk>, Names) {
        let desk: Arc<Desk> = Arc::default();
        let names = Names::new(Some(desk.clone()), Wall(1_000_000_000));
        (desk, names)
    }

    fn part(names: &mut Names) -> String {
        names.take(Kind::Part).to_string()
    }

    #[test]
    fn without_anybody_who_names_them_objects_are_numbered() {
        let mut names = Names::new(None, Wall(7_900_000));
        names.foresee(Kind::Part, Wall(0), PART);
        assert_eq!(part(&mut names), "part-0.m4s");
        assert_eq!(part(&mut names), "part-1.m4s");
        assert_eq!(&*names.take(Kind::Segment), "segment-7.m4s");
        assert_eq!(&*names.take(Kind::Init), "init-0.mp4");
        assert!(names.given.is_empty(), "numbers cost no memory");
    }

    #[test]
    fn each_object_is_asked_for_once_and_beforehand_with_the_time_it_is_expected_at() {
        let (desk, mut names) = names();
        names.foresee(Kind::Part, Wall(5_000_000), PART);
        names.foresee(Kind::Part, Wall(9_000_000), PART);
        names.foresee(Kind::Segment, Wall(5_000_000), Duration::from_secs(1));
        let asked = desk.answer(|object| Some(format!("p{}", object.number)));
        let told: Vec<_> = asked.iter().map(|o| (o.number, o.captured.0)).collect();
        assert_eq!(
            told,
            [
                (1_000_000, 5_000_000),
                (1_000_001, 5_200_000),
                (1_000_002, 5_400_000),
                (1_000_003, 5_600_000),
                (1_000, 5_000_000),
            ]
        );
        assert_eq!(part(&mut names), "p1000000.m4s");
        names.foresee(Kind::Part, Wall(5_200_000), PART);
        let [next] = &desk.answer(|_| None)[..] else {
            panic!("one more")
        };
        assert_eq!((next.number, next.captured), (1_000_004, Wall(5_800_000)));
    }

    #[test]
    fn a_name_that_does_not_come_or_comes_too_late_is_a_number_and_the_next_one_counts_again() {
        let (desk, mut names) = names();
        names.foresee(Kind::Part, Wall(0), PART);
        assert_eq!(part(&mut names), "part-0.m4s", "not in time");
        desk.answer(|object| (object.number != 1_000_001).then(|| object.number.to_string()));
        assert_eq!(part(&mut names), "part-1.m4s", "none");
        assert_eq!(part(&mut names), "1000002.m4s");
        names.foresee(Kind::Segment, Wall(0), PART);
        drop(std::mem::take(&mut *desk.asked.lock().unwrap()));
        assert_eq!(
            &*names.take(Kind::Segment),
            "segment-1000.m4s",
            "nobody is left"
        );
    }

    #[test]
    fn where_numbers_would_give_names_away_something_else_takes_their_place() {
        let (desk, mut names) = names();
        *desk.instead.lock().unwrap() = Some("secret".into());
        names.foresee(Kind::Part, Wall(0), PART);
        assert_eq!(part(&mut names), "secret.m4s", "not in time");
        desk.answer(|_| Some("../up".into()));
        assert_eq!(part(&mut names), "part-1.m4s", "never twice the same");
        *desk.instead.lock().unwrap() = Some("other".into());
        assert_eq!(part(&mut names), "other.m4s", "no address");
    }

    #[test]
    fn a_name_in_use_is_given_to_nobody_else_until_caches_have_forgotten_it() {
        let (desk, mut names) = names();
        let again = |names: &mut Names| {
            names.parts.ahead.clear();
            names.foresee(Kind::Part, Wall(0), PART);
            desk.answer(|_| Some("same".into()));
            part(names)
        };
        let second = |n: u64| MediaTime(n * 1_000_000);
        let reserved = Duration::from_secs(12);
        names.in_use(second(0), reserved, [].into_iter());
        assert_eq!(again(&mut names), "same.m4s");
        for n in 1..100 {
            assert_eq!(again(&mut names), format!("part-{n}.m4s"));
            names.in_use(second(n), reserved, ["same.m4s"].into_iter());
        }
        names.in_use(second(111), reserved, [].into_iter());
        assert_eq!(again(&mut names), "part-100.m4s");
        names.in_use(second(112), reserved, [].into_iter());
        assert_eq!(again(&mut names), "same.m4s");
        names.forget_given();
        assert_eq!(again(&mut names), "same.m4s", "in another directory");
    }

    #[tokio::test]
    async fn at_the_start_names_can_be_waited_for() {
        let (desk, mut names) = names();
        names.foresee(Kind::Init, Wall(0), PART);
        names.foresee(Kind::Part, Wall(0), PART);
        let answering = tokio::spawn(async move {
            tokio::task::yield_now().await;
            desk.answer(|object| Some(format!("{:?}/{}", object.kind, object.number)))
        });
        names.ready().await;
        answering.await.unwrap();
        assert_eq!(&*names.take(Kind::Init), "Init/1000000.mp4");
        assert_eq!(part(&mut names), "Part/1000000.m4s");
    }

    #[test]
    fn names_of_the_built_in_shape_are_given_to_nobody_but_their_owners() {
        let (desk, mut names) = names();
        for (said, called) in [
            ("part-1", "part-0.m4s"),
            ("part-1.m4s", "part-1.m4s"),
            ("segment-2.m4s", "part-2.m4s"),
            ("part-007", "part-007.m4s"),
            ("a/part-7", "a/part-7.m4s"),
        ] {
            names.parts.ahead.clear();
            names.foresee(Kind::Part, Wall(0), PART);
            desk.answer(|_| Some(said.into()));
            assert_eq!(part(&mut names), called);
        }
    }
}
