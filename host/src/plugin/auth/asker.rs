use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Question,
    answers::{Answers, Look, Outcome, Patience},
    decision::{self, Decision, Ruling},
    pool::Pool,
};
use crate::{
    plugin::{
        CallError,
        bindings::exports::picam::plugin::auth,
        generation::Generation,
        instance::Instance,
        worker::{Fault, Vitals},
    },
    time::Wall,
};

/// For how long nobody asks again whose question failed together with somebody else's.
const PAUSE: Duration = Duration::from_secs(1);

/// One generation of a plugin that decides who may watch. Its answers go with it.
pub(in super::super) struct Asker {
    answers: Arc<Answers>,
    pool: Pool,
    vitals: Arc<Vitals>,
}

/// What the plugin says, and until when that holds if for longer than this request.
pub(in super::super) struct Said {
    pub(in super::super) ruling: Ruling,
    pub(in super::super) until: Option<Instant>,
    /// The plugin was called for it.
    pub(in super::super) fresh: bool,
}

impl Asker {
    /// Starts the pool, if `first` with that instance.
    pub(in super::super) fn start(
        generation: &Arc<Generation>,
        first: Option<Instance>,
        vitals: &Arc<Vitals>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            answers: Answers::new(),
            pool: Pool::start(generation, first, vitals)?,
            vitals: vitals.clone(),
        })
    }

    /// Withdraws all answers.
    pub(in super::super) fn forget(&self) {
        self.answers.clear();
    }

    /// What the plugin says to a question: what holds already, or what comes of a call that may be somebody else's.
    pub(in super::super) async fn ask(
        &self,
        path: &Arc<str>,
        question: &Arc<Question>,
        peer: IpAddr,
    ) -> Result<Said, CallError> {
        let mut patience = Patience::AnyPath;
        loop {
            match self.answers.look(question, path, patience) {
                Look::Known(ruling, until) => {
                    self.vitals.hits.fetch_add(1, Ordering::Relaxed);
                    return Ok(Said {
                        ruling,
                        until: Some(until),
                        fresh: false,
                    });
                }
                Look::BeingAsked {
                    same_path,
                    mut outcome,
                } => {
                    let outcome = outcome.wait_for(Option::is_some).await;
                    match outcome.as_deref() {
                        // Each sees to what is to be done about it: they may well be woken before whoever called.
                        Ok(Some(Outcome::Failed(error))) => return Err(error.clone()),
                        // What was said may hold for this one, too; if not, nobody else's call will help.
                        Ok(_) if same_path => patience = Patience::Gone,
                        Ok(_) => patience = Patience::SamePath,
                        // The one who asked went away. Somebody has to take his place.
                        Err(_) => {}
                    }
                }
                Look::Ask(ticket) => {
                    return match self.call(path, question, peer).await {
                        Ok(decision) => {
                            let until = ticket.decided(&decision);
                            Ok(Said {
                                ruling: decision.ruling,
                                until,
                                fresh: true,
                            })
                        }
                        Err(error) => {
                            ticket.failed(error.clone());
                            Err(error)
                        }
                    };
                }
            }
        }
    }

    async fn call(
        &self,
        path: &Arc<str>,
        question: &Arc<Question>,
        peer: IpAddr,
    ) -> Result<Decision, CallError> {
        let question = question.clone();
        let (path, subject) = (path.clone(), path.clone());
        self.pool
            .call(peer, Subject(subject), move |instance| {
                let request = auth::Request {
                    now: Wall::now().0,
                    path: path.as_ref().to_owned(),
                    token: question.token.clone(),
                    method: question.method.to_owned(),
                    peer: question.peer.clone(),
                    query: question.query.clone(),
                    headers: question.headers.clone(),
                    cookies: question.cookies.clone(),
                    form: question.form.clone(),
                };
                let said = instance.decide(&request)?;
                decision::check(said, instance.limits().output).map_err(Fault::Unusable)
            })
            .await
    }
}

/// When it makes sense to ask again.
pub(in super::super) fn retry_in(error: &CallError) -> Duration {
    match error {
        CallError::Benched { retry_in, .. } => (*retry_in).max(PAUSE),
        CallError::Failed { .. } | CallError::RolledBack { .. } | CallError::Busy { .. } => PAUSE,
    }
}

/// A path, for the log: whoever asks may have written anything into it.
struct Subject(Arc<str>);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 200;
        let end = self.0.floor_char_boundary(MOST);
        write!(f, "{}", self.0[..end].escape_debug())?;
        match end < self.0.len() {
            true => f.write_str("…"),
            false => Ok(()),
        }
    }
}
