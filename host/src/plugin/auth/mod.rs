//! The hook `auth`: who may watch.
//!
//! An [`Asker`] is one generation of one plugin, seen by who wants to know. It keeps the `answers` that hold for a while,
//! makes one call of all who ask the same at once, and has a `pool` of instances of its own, in which whoever asks much
//! waits behind who asks little (`queue`). What the plugin decides is checked (`decision`) before anybody acts on it.
//!
//! Whatever fails in here is an error, and an error is a refusal: nothing here turns one into a permission.

mod answers;
mod asker;
mod decision;
mod pool;
mod queue;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    StatusCode,
    http::{HeaderName, HeaderValue},
};
use tokio::{sync::watch, time::Instant};

pub(super) use asker::{Asker, retry_in};
pub(super) use decision::{Ruling, check as check_decision};

use super::Inputs;

/// What `auth` looks at. The path, and the token in front of it, always count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Query parameters, header fields and cookies.
    pub inputs: Inputs,
    /// The method of the request.
    pub method: bool,
    /// The address of the peer.
    pub peer: bool,
    /// The body of a form.
    pub form: bool,
}

impl Reads {
    /// Whether the plugin is asked about forms: it has to see that there is one.
    pub fn takes_forms(&self) -> bool {
        self.form && self.method
    }
}

/// What one plugin gets to see of a request: what it declares, in the contract's flat strings, and the token. Together with
/// the path it is the key under which an answer is shared.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Question {
    /// First path element, without its `~`.
    pub token: Option<String>,
    /// `GET`, `HEAD` or `POST`; empty if not declared.
    pub method: &'static str,
    /// Peer address; empty if not declared.
    pub peer: String,
    /// Declared query parameters.
    pub query: String,
    /// Declared header fields.
    pub headers: String,
    /// Declared cookies.
    pub cookies: String,
    /// Fields of the form.
    pub form: String,
}

/// Holds passwords: never shown.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question(..)")
    }
}

/// Somebody who wants in.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What is asked for, percent-encoding undone, without the token element.
    pub path: Arc<str>,
    /// Who asks, so that one who asks much doesn't hold up the others.
    pub peer: IpAddr,
    /// The question for each plugin, in the order of the list of what they read. `None` for a plugin that isn't concerned:
    /// a form goes to those that take forms, and to nobody else.
    pub questions: Vec<Option<Arc<Question>>>,
}

/// What all plugins together say to a visit.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// All of them allow it.
    Allowed(Permit),
    /// One of them doesn't.
    Refused(Arc<Refusal>),
    /// One of them can't tell, for as long as this at least.
    Unavailable(Duration),
    /// Nobody was asked, since plugins serve now that look at something else: make the questions anew.
    Outdated,
}

/// A permission, for as long as it holds.
#[derive(Clone, Debug, Default)]
pub struct Permit {
    /// To be added to the response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// When it runs out, if it was given a time; `None` for one that holds for the one request, however long that takes.
    pub until: Option<Instant>,
    /// Changes when a plugin was replaced, which withdraws all that it permitted.
    pub withdrawn: Option<watch::Receiver<u64>>,
}

impl Permit {
    /// Ready when the permission has run out, or when it is to be asked for anew because a plugin was replaced.
    pub async fn ended(&mut self) {
        let until = self.until;
        let run_out = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let withdrawn = async {
            match &mut self.withdrawn {
                // An error means that whoever could withdraw it is gone, and the host with it.
                Some(withdrawn) => _ = withdrawn.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = run_out => {}
            () = withdrawn => {}
        }
    }
}

/// A refusal, or a redirection, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 302, 303, 401, 403, 404, 429 or 503.
    pub status: StatusCode,
    /// The plugin's header fields, checked.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Media type of the body, if there is one.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub body: Bytes,
}
