//! Lets in users with a name and a password. Its page of documentation is `README.md`.
//!
//! A browser that opens the page gets a form, and a session in a cookie, which its media requests carry as well; everyone
//! else is asked by HTTP Basic (RFC 7617).

mod form;
mod hash;
mod session;
mod throttle;
mod users;

use base64ct::{Base64, Encoding};
use picam_plugin::{
    Config, Description, Flag, Inputs, Number, Plugin, Words, auth::*, cookie::SetCookie, kv,
    random, text,
};
use session::Sessions;
use users::Users;

const USERS: Words = Words::new(
    "users",
    "",
    "NAME:HASH of everyone who may watch, separated by spaces or line breaks; a hash is Argon2id or bcrypt",
);
const REALM: Words = Words::new(
    "realm",
    "picam-host",
    "what the form and the browser's question are titled",
);
const SESSION: Number = Number::whole("session-h", 12, (1, 8_760), "h", "how long a login lasts");
const SECURE: Flag = Flag::new("secure", false, "browsers send the session over HTTPS only");
const SESSION_KEY: Words = Words::new(
    "session-key",
    "",
    "what sessions are signed with, 32 characters at least; empty for one that is drawn once and kept",
);

const COOKIE: &str = "picam-session";
const LOGOUT: &str = "logout";
/// Where a key that was drawn is kept.
const KEPT_AS: &str = "session-key";
const KEY_BYTES: u32 = 32;
const KEY_LEAST: usize = 32;
/// The page that people open.
const PAGE: &str = "/";
/// How long an answer to name and password in a header is kept, and one to a request with neither, in seconds.
const CHECKED_S: u32 = 3_600;
const REFUSED_S: u32 = 60;
/// How long a browser keeps the cookie of a session that has ended, in seconds. As long as it is sent, a player that is
/// still running isn't asked by the browser's own window.
const AFTERLIFE_S: u64 = 86_400;

/// The plugin.
pub struct AuthBasic {
    users: Users,
    sessions: Sessions,
    realm: String,
    secure: bool,
}

impl Plugin for AuthBasic {
    fn describe() -> Description {
        Description::new(
            "auth-basic",
            env!("CARGO_PKG_VERSION"),
            "lets in users with a name and a password",
        )
        .words(&USERS)
        .words(&REALM)
        .number(&SESSION)
        .flag(&SECURE)
        .words(&SESSION_KEY)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let users = Users::parse(config.words(&USERS))?;
        let realm = config.words(&REALM);
        if realm.contains(['"', '\\']) || realm.chars().any(char::is_control) {
            return Err(REALM.refuse(realm, "text without quotation marks and backslashes"));
        }
        let key = match config.words(&SESSION_KEY) {
            "" => kv::get_or_store(KEPT_AS, || random::bytes(KEY_BYTES))
                .map_err(|why| text::joined(&["the key of sessions can't be kept: ", &why]))?,
            short if short.len() < KEY_LEAST => {
                // Not shown: the line goes to a log.
                return Err(
                    "session-key: expected 32 characters at least; `openssl rand -hex 32` makes a good one, and without \
                     a key one is drawn and kept"
                        .into(),
                );
            }
            key => key.as_bytes().into(),
        };
        Ok(Self {
            users,
            sessions: Sessions::new(&key, config.number(&SESSION)? * 3_600)?,
            realm: realm.into(),
            secure: config.flag(&SECURE)?,
        })
    }
}

impl Auth for AuthBasic {
    fn reads(&self) -> Inputs {
        Inputs::none()
            .headers(&["authorization"])
            .cookies(&[COOKIE])
            .query(&[LOGOUT])
            .form()
            .peer()
    }

    fn decide(&mut self, request: &Request) -> Decision {
        let now = request.unix_seconds();
        if let (Some(name), Some(password)) =
            (request.field(form::NAME), request.field(form::PASSWORD))
        {
            return self.log_in(request, &name, &password);
        }
        if request.parameter(LOGOUT).is_some() {
            let gone = SetCookie::new(COOKIE, "").max_age(0).secure(self.secure);
            return Decision::redirect(&request.itself()).with_header("Set-Cookie", &gone.value());
        }
        let session = request.cookie(COOKIE);
        let left = session
            .as_deref()
            .and_then(|session| self.sessions.left(session, &self.users, now));
        if let Some(left) = left {
            return Decision::allow(u32::try_from(left).unwrap_or(u32::MAX), "/");
        }
        if let Some((name, password)) = request
            .header("authorization")
            .and_then(|header| credentials(&header))
        {
            return match self.check(request, &name, &password) {
                Ok(_) => Decision::allow(CHECKED_S, "/"),
                Err(Turned::Wait(seconds)) => self.wait(request, seconds),
                Err(Turned::Wrong) => self.ask(request, "Wrong name or password."),
            };
        }
        match session {
            Some(_) => self.ask(request, "The session has ended."),
            None => {
                let decision = self.ask(request, "");
                // What has no name and no page is refused alike everywhere below here.
                if request.path.starts_with("/cam/") {
                    decision.reusable(REFUSED_S, "/cam/")
                } else {
                    decision
                }
            }
        }
    }
}

/// Why somebody isn't let in.
enum Turned {
    /// There were too many failures. Seconds.
    Wait(u64),
    Wrong,
}

impl AuthBasic {
    fn log_in(&mut self, request: &Request, name: &str, password: &str) -> Decision {
        let session = match self.check(request, name, password) {
            Ok(session) => session,
            Err(Turned::Wait(seconds)) => return self.wait(request, seconds),
            Err(Turned::Wrong) => return self.ask(request, "Wrong name or password."),
        };
        let cookie = SetCookie::new(COOKIE, &session)
            .max_age(self.sessions.length() + AFTERLIFE_S)
            .secure(self.secure);
        Decision::redirect(&request.itself()).with_header("Set-Cookie", &cookie.value())
    }

    /// A session for whoever knows a password. Those who failed often are turned away before it costs anything.
    fn check(&mut self, request: &Request, name: &str, password: &str) -> Result<String, Turned> {
        let now = request.unix_seconds();
        let wait = throttle::wait(&request.peer, now);
        if wait > 0 {
            return Err(Turned::Wait(wait));
        }
        let decoy = self.sessions.decoy(name);
        let Some(user) = self.users.check(name, password, decoy) else {
            throttle::failed(&request.peer, now);
            return Err(Turned::Wrong);
        };
        throttle::succeeded(&request.peer);
        Ok(self.sessions.begin(user, now))
    }

    /// Asks for name and password: a person by a form, a program by HTTP Basic.
    fn ask(&self, request: &Request, why: &str) -> Decision {
        let person = request.path == PAGE;
        let decision = if person {
            self.form(401, request, why)
        } else if why.is_empty() {
            Decision::deny(401, "Name and password are needed.")
        } else {
            Decision::deny(401, why)
        };
        let (quoted, charset) = (
            text::joined(&[" realm=\"", &self.realm, "\""]),
            ", charset=\"UTF-8\"",
        );
        // A browser opens a window of its own for `Basic`, over the form or over a player that was let in by a session.
        // A 401 must name a scheme (RFC 9110, 11.6.1); that of cookies was proposed by draft-broyer-http-cookie-auth.
        let challenge = if person || request.cookie(COOKIE).is_some() {
            text::joined(&[
                "Cookie",
                &quoted,
                ", form-action=\"./\", cookie-name=\"",
                COOKIE,
                "\"",
            ])
        } else {
            text::joined(&["Basic", &quoted, charset])
        };
        decision.with_header("WWW-Authenticate", &challenge)
    }

    fn wait(&self, request: &Request, seconds: u64) -> Decision {
        let mut line = String::from("Too many attempts. Try again in ");
        let mut number = String::new();
        text::push_whole(&mut number, seconds);
        line.push_str(&number);
        line.push_str(" s.");
        let decision = if request.path == PAGE {
            self.form(429, request, &line)
        } else {
            Decision::deny(429, &line)
        };
        decision.with_header("Retry-After", &number)
    }

    fn form(&self, status: u16, request: &Request, message: &str) -> Decision {
        let page = form::page(&self.realm, &request.itself(), message);
        Decision::deny_with(status, "text/html; charset=utf-8", page)
            .with_header("Content-Security-Policy", form::POLICY)
    }
}

/// Name and password of `Basic` (RFC 7617, 2), whose case doesn't matter.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(Base64::decode_vec(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.into(), password.into()))
}

picam_plugin::export!(AuthBasic: auth);
