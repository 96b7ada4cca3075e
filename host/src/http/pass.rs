//! Permission to watch: asked for before anything is looked up, and again when it ends while a request is held.
//!
//! With plugins that decide who may watch, nothing that is sent may be kept for others. Every response is `private`, not
//! only those to which a cookie or a header opened the door: a cache in front of us can't know when a token in an address
//! has run out or was withdrawn, and each viewer has another one anyway, so that it would gain nothing. `Vary` names what
//! the plugins look at, so that a browser asks anew after a logout or for the next person in front of it.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use hyper::{
    StatusCode,
    body::Incoming,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
        RETRY_AFTER, VARY,
    },
    http::HeaderValue,
};
use tokio::{sync::watch, time::Instant};

use super::{
    body::Work,
    hold::{self, Phase},
    knock::{self, Address, FORM_MOST, Knock, NoForm, Unreadable, form},
    letter::Letter,
    reply::{self, Response},
};
use crate::plugin::{Permit, Question, Reads, Refusal, Verdict, Visit};

/// A verdict that is being reached.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Who decides who may watch.
pub trait Guard: Send + Sync + 'static {
    /// What each of those looks at who all have to let a viewer in. With none, everybody may watch.
    fn reads(&self) -> Arc<[Reads]>;

    /// Asks them. The questions of the visit were made by this list. May be dropped at any time.
    fn ask<'a>(&'a self, reads: &'a Arc<[Reads]>, visit: &'a Visit) -> Asking<'a>;
}

/// How long a form may take to arrive, and a verdict to be reached.
const FORM_TIME: Duration = Duration::from_secs(10);
const VERDICT_TIME: Duration = Duration::from_secs(15);

/// What a response owes to who decided that it may be sent.
pub(super) struct Pass {
    visitor: Visitor,
    permit: Permit,
}

/// Somebody who wants in, and what he can be asked.
struct Visitor {
    /// By which the questions were made.
    reads: Arc<[Reads]>,
    visit: Visit,
    letter: Letter,
    /// The fields of the form that came with the request.
    form: Option<String>,
}

impl Visitor {
    /// Makes the questions anew, for plugins that look at something else than those before.
    fn prepare(&mut self, reads: Arc<[Reads]>) -> Result<(), Box<Response>> {
        if self.form.is_some() && !reads.iter().any(Reads::takes_forms) {
            return Err(unreadable(Unreadable::Form(NoForm::Unwanted)).into());
        }
        let head = self.letter.head();
        let address = head.as_ref().map(|head| Address::of(head.uri.path()));
        let (Some(head), Some(Ok(address))) = (head, address) else {
            // It was read once. The next request finds the new plugins.
            return Err(unavailable(Duration::from_secs(1)).into());
        };
        let questions = knock::questions(&reads, &head, &address, self.visit.peer)
            .map_err(|why| Box::new(unreadable(why.into())))?;
        self.visit.questions = with_form(questions, self.form.as_deref());
        self.reads = reads;
        Ok(())
    }

    /// Asks the plugins. An error is the response instead.
    async fn ask(
        &mut self,
        guard: &dyn Guard,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<Permit, Response> {
        let deadline = Instant::now() + VERDICT_TIME;
        let mut response = loop {
            let verdict = guard.ask(&self.reads, &self.visit);
            match hold::hold(deadline, phase, verdict).await {
                Ok(Verdict::Allowed(permit)) => return Ok(permit),
                Ok(Verdict::Refused(refusal)) => break refused(&refusal),
                Ok(Verdict::Unavailable(retry_in)) => break unavailable(retry_in),
                // Each round is another reload's.
                Ok(Verdict::Outdated) => match self.prepare(guard.reads()) {
                    Ok(()) => {}
                    Err(response) => break *response,
                },
                Err(hold::LetGo::TimedOut) => break unavailable(Duration::from_secs(1)),
                Err(why) => break reply::let_go(why),
            }
        };
        if self.has_token() {
            keep_address_secret(&mut response);
        }
        Err(response)
    }

    fn has_token(&self) -> bool {
        let mut questions = self.visit.questions.iter().flatten();
        questions.any(|question| question.token.is_some())
    }
}

fn with_form(questions: Vec<Option<Question>>, form: Option<&str>) -> Vec<Option<Arc<Question>>> {
    let whole = |mut question: Question| {
        question.form = form.unwrap_or_default().to_owned();
        Arc::new(question)
    };
    let questions = questions.into_iter();
    questions.map(|question| question.map(whole)).collect()
}

impl Pass {
    /// Asks for permission. An error is the response instead.
    pub(super) async fn ask(
        guard: &dyn Guard,
        knock: Knock,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<Self, Response> {
        let form = match knock.form {
            Some(body) => Some(read_form(body, phase).await?),
            None => None,
        };
        let posted = form.is_some();
        let mut visitor = Visitor {
            reads: knock.reads,
            visit: Visit {
                path: knock.path,
                peer: knock.peer,
                questions: with_form(knock.questions, form.as_deref()),
            },
            letter: knock.letter,
            form,
        };
        let permit = visitor.ask(guard, phase).await?;
        let pass = Self { visitor, permit };
        if posted {
            // Only those were asked who take forms. Whoever they let in asks all of them, with what he has now.
            let here = match pass.visitor.visit.path.rsplit_once('/') {
                Some((_, name)) => query_free(name),
                None => "./".to_owned(),
            };
            let mut response = reply::line(StatusCode::SEE_OTHER, "go on by asking with GET");
            if let Ok(here) = HeaderValue::from_str(&here) {
                response.headers_mut().insert(LOCATION, here);
            }
            pass.sign(&mut response);
            return Err(response);
        }
        Ok(pass)
    }

    /// Ready when the permission has ended.
    pub(super) async fn ended(&mut self) {
        self.permit.ended().await;
    }

    /// Asks again. An error is the response instead of the one that is held.
    pub(super) async fn renew(
        &mut self,
        guard: &dyn Guard,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<(), Response> {
        let permit = self.visitor.ask(guard, phase).await?;
        // What came with the first permission is still to be sent.
        let mut headers = std::mem::take(&mut self.permit.headers);
        headers.extend(permit.headers);
        self.permit = Permit { headers, ..permit };
        Ok(())
    }

    /// Does the rest of the work of a response that has begun, for as long as the permission holds. Nothing is done while
    /// it is asked for anew, and nothing more if it is refused then: the response ends.
    pub(super) async fn cover(
        mut self,
        guard: Arc<dyn Guard>,
        mut phase: watch::Receiver<Phase>,
        mut work: Work,
    ) {
        loop {
            tokio::select! {
                biased;
                () = self.ended() => {
                    if self.renew(&*guard, &mut phase).await.is_err() {
                        return;
                    }
                }
                () = &mut work => return,
            }
        }
    }

    /// Marks a response as this viewer's own.
    pub(super) fn sign(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let cached = headers.get(CACHE_CONTROL).and_then(|old| old.to_str().ok());
        let private = match cached {
            Some("no-store") => None,
            Some(old) => match old.strip_prefix("public") {
                Some(rest) => HeaderValue::from_str(&format!("private{rest}")).ok(),
                None => HeaderValue::from_str(&format!("private, {old}")).ok(),
            },
            None => Some(HeaderValue::from_static("private")),
        };
        if let Some(private) = private {
            headers.insert(CACHE_CONTROL, private);
        }
        let mut fields: Vec<&str> = Vec::new();
        for reads in self.visitor.reads.iter() {
            fields.extend(reads.inputs.headers.iter().map(String::as_str));
            if !reads.inputs.cookies.is_empty() {
                fields.push("cookie");
            }
        }
        if !fields.is_empty()
            && let Ok(fields) = HeaderValue::from_str(&fields.join(", "))
        {
            headers.append(VARY, fields);
        }
        if self.visitor.has_token() {
            keep_address_secret(response);
        }
        add(response, &self.permit.headers);
    }
}

/// The address is the permission: no other site is to learn it from a link.
fn keep_address_secret(response: &mut Response) {
    let policy = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(REFERRER_POLICY, policy);
}

/// A name as a relative address, which leads to itself.
fn query_free(name: &str) -> String {
    use std::fmt::Write as _;
    let mut address = "./".to_owned();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => address.push(char::from(byte)),
            false => write!(address, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    address
}

fn unavailable(retry_in: Duration) -> Response {
    let mut response = reply::unavailable(
        "whether you may watch can't be told at the moment; ask again, and if this goes on, ask the operator to look \
         into the host's log",
    );
    let seconds = retry_in.as_secs() + u64::from(retry_in.subsec_nanos() > 0);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, seconds.max(1).into());
    response
}

/// A refusal is never kept: what was refused may be allowed in a moment.
fn refused(refusal: &Refusal) -> Response {
    let mut response = reply::begin(refusal.status);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(content_type) = &refusal.content_type {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    headers.insert(CONTENT_LENGTH, refusal.body.len().into());
    *response.body_mut() = refusal.body.clone().into();
    add(&mut response, &refusal.headers);
    response
}

/// Adds a plugin's fields. They take the place of the host's own of the same name, and may come several times.
fn add(response: &mut Response, fields: &[(HeaderName, HeaderValue)]) {
    let headers = response.headers_mut();
    for (name, _) in fields {
        headers.remove(name);
    }
    for (name, value) in fields {
        headers.append(name.clone(), value.clone());
    }
}

/// The response to a request that can't even be put before the plugins.
pub(super) fn unreadable(why: Unreadable) -> Response {
    match why {
        Unreadable::Query(why) => reply::line(StatusCode::BAD_REQUEST, why.to_string()),
        Unreadable::Form(NoForm::Unwanted) => reply::method_not_allowed(false),
        Unreadable::Form(NoForm::WrongType) => reply::line(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a form is sent as application/x-www-form-urlencoded",
        ),
        Unreadable::Form(NoForm::TooLong) => too_long(),
    }
}

fn too_long() -> Response {
    reply::line(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("a form has at most {FORM_MOST} bytes"),
    )
}

/// Reads a form to its end, and writes it as the contract does.
async fn read_form(
    mut body: Incoming,
    phase: &mut watch::Receiver<Phase>,
) -> Result<String, Response> {
    let bad = |why: String| reply::line(StatusCode::BAD_REQUEST, why);
    let read = async {
        let mut bytes = Vec::new();
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            match frame {
                None => return Ok(bytes),
                Some(Err(error)) => return Err(bad(format!("the form broke off: {error}"))),
                Some(Ok(frame)) => {
                    let data: Bytes = frame.into_data().unwrap_or_default();
                    if bytes.len() + data.remaining() > FORM_MOST {
                        return Err(too_long());
                    }
                    bytes.extend_from_slice(&data);
                }
            }
        }
    };
    let bytes = match hold::hold(Instant::now() + FORM_TIME, phase, read).await {
        Ok(read) => read?,
        Err(hold::LetGo::TimedOut) => {
            let late = "the form did not come in time";
            return Err(reply::line(StatusCode::REQUEST_TIMEOUT, late));
        }
        Err(why) => return Err(reply::let_go(why)),
    };
    let text = String::from_utf8(bytes).map_err(|_| bad("a form is UTF-8".to_owned()))?;
    form(&text).map_err(|error| bad(error.to_string()))
}
