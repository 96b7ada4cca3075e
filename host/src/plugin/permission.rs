use std::{sync::Arc, time::Duration};

use super::{
    CallError, Permit, Plugins, Reads, Verdict, Visit,
    auth::{self, Ruling},
    plugins::Lineup,
};

/// When to ask again where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

impl Plugins {
    /// What each plugin looks at that decides who may watch; all of them have to let a viewer in. With none, everybody may.
    ///
    /// After a reload it is another list, in another place in memory, even if it says the same.
    pub fn reads(&self) -> Arc<[Reads]> {
        self.lineup().agreement.reads.clone()
    }

    /// Asks whether somebody may watch. `reads` is the list by which the questions were made; if it isn't what plugins look
    /// at any more, the verdict is [`Verdict::Outdated`].
    ///
    /// A plugin is called only if none of its answers holds. If it is a new generation that fails, it is rolled back, and
    /// the one before answers. Whatever else fails is [`Verdict::Unavailable`]: nothing but the word of every plugin is a
    /// permission. Dropping the future spares the calls whose turn has not come.
    pub async fn ask(&self, reads: &Arc<[Reads]>, visit: &Visit) -> Verdict {
        // Before anything is asked, so that no withdrawal is missed.
        let withdrawn = self.watch_guards();
        let mut lineup = self.lineup();
        loop {
            match self.ask_lineup(&lineup, reads, visit).await {
                Round::Over(Verdict::Allowed(permit)) => {
                    return Verdict::Allowed(Permit {
                        withdrawn: Some(withdrawn),
                        ..permit
                    });
                }
                Round::Over(verdict) => return verdict,
                Round::Anew(other) => lineup = other,
            }
        }
    }

    async fn ask_lineup(&self, lineup: &Arc<Lineup>, reads: &Arc<[Reads]>, visit: &Visit) -> Round {
        let agreement = &lineup.agreement;
        let same = Arc::ptr_eq(&agreement.reads, reads) || agreement.reads == *reads;
        if !same {
            return Round::Over(Verdict::Outdated);
        }
        if visit.questions.len() != reads.len() {
            return Round::Over(Verdict::Unavailable(SOON));
        }
        let mut permit = Permit::default();
        let mut allowed = reads.is_empty();
        for (&index, question) in agreement.guards.iter().zip(&visit.questions) {
            let Some(question) = question else { continue };
            let running = &lineup.plugins[index];
            let Some(asker) = &running.asker else {
                return Round::Over(Verdict::Unavailable(SOON));
            };
            let said = match asker.ask(&visit.path, question, visit.peer).await {
                Ok(said) => said,
                // That is nothing it did wrong.
                Err(CallError::Busy { .. }) => {
                    let current = self.lineup();
                    return match Arc::ptr_eq(&current.plugins[index], running) {
                        true => Round::Over(Verdict::Unavailable(SOON)),
                        false => Round::Anew(current),
                    };
                }
                Err(error) => {
                    return match self.after_failure(index, running, &error) {
                        Some(other) => Round::Anew(other),
                        None => Round::Over(Verdict::Unavailable(auth::retry_in(&error))),
                    };
                }
            };
            if said.fresh {
                self.passed(index, running);
            }
            match said.ruling {
                Ruling::Refuse(refusal) => return Round::Over(Verdict::Refused(refusal)),
                Ruling::Allow(fields) => permit.headers.extend(fields),
            }
            permit.until = match (permit.until, said.until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            allowed = true;
        }
        Round::Over(match allowed {
            true => Verdict::Allowed(permit),
            // Nobody was asked.
            false => Verdict::Unavailable(SOON),
        })
    }
}

enum Round {
    Over(Verdict),
    /// Another generation serves.
    Anew(Arc<Lineup>),
}
