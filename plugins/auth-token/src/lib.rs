//! Lets in whoever has a signed link. Its page of documentation is `README.md`.

mod keys;
mod token;

use keys::Keys;
use picam_plugin::{
    Config, Description, Flag, Inputs, Plugin, Words, auth::*, cookie::SetCookie, strftime, text,
};
use token::Refused;

const KEYS: Words = Words::new(
    "keys",
    "",
    "ID:SECRET of every key that signs tokens, separated by spaces or line breaks; a secret has 32 characters at least",
);
const COOKIE: Words = Words::new(
    "cookie",
    "picam-token",
    "name of the cookie that a token may come in; empty for none",
);
const PARAMETER: Words = Words::new(
    "parameter",
    "token",
    "query parameter that a token may come in, to become a cookie; empty for none",
);
const SECURE: Flag = Flag::new("secure", false, "set that cookie for HTTPS only");

/// How long a refusal that nothing but a new token can change is kept.
const REFUSED_S: u32 = 60;

/// 2025-01-01T00:00:00Z: whatever clock says less has not been set.
const CLOCK_IS_SET: u64 = 1_735_689_600;

/// The plugin.
#[derive(Debug)]
pub struct AuthToken {
    keys: Keys,
    cookie: String,
    parameter: String,
    secure: bool,
}

/// Where a token came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Path,
    Parameter,
    Cookie,
}

impl Plugin for AuthToken {
    fn describe() -> Description {
        Description::new(
            "auth-token",
            env!("CARGO_PKG_VERSION"),
            "lets in whoever has a signed link that has not run out",
        )
        .words(&KEYS)
        .words(&COOKIE)
        .words(&PARAMETER)
        .flag(&SECURE)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let (cookie, parameter) = (config.words(&COOKIE), config.words(&PARAMETER));
        if !cookie.bytes().all(picam_plugin::percent::unreserved) {
            return Err(COOKIE.refuse(cookie, "letters, digits and -._~"));
        }
        Ok(Self {
            keys: Keys::parse(config.words(&KEYS))?,
            cookie: cookie.into(),
            parameter: parameter.into(),
            secure: config.flag(&SECURE)?,
        })
    }
}

impl Auth for AuthToken {
    fn reads(&self) -> Inputs {
        let mut inputs = Inputs::none();
        if !self.cookie.is_empty() {
            inputs = inputs.cookies(&[&self.cookie]);
        }
        if !self.parameter.is_empty() {
            inputs = inputs.query(&[&self.parameter]);
        }
        inputs
    }

    fn decide(&mut self, request: &Request) -> Decision {
        let now = request.unix_seconds();
        if now < CLOCK_IS_SET {
            return Decision::deny(
                503,
                "The clock of this host has not been set yet, so nobody can tell which links still hold. Try again in \
                 a minute.",
            )
            .with_header("Retry-After", "10");
        }
        let parameter = named(&self.parameter).and_then(|name| request.parameter(name));
        let cookie = named(&self.cookie).and_then(|name| request.cookie(name));
        let carried = [
            (Carrier::Path, request.token.as_deref()),
            (Carrier::Parameter, parameter.as_deref()),
            (Carrier::Cookie, cookie.as_deref()),
        ];
        let mut refused = None;
        for (carrier, token) in carried {
            let Some(token) = token else { continue };
            match token::check(token, &self.keys, now, &request.path) {
                Ok(granted) => {
                    let seconds = granted.expires - now;
                    let decision = if carrier == Carrier::Parameter && request.path.ends_with('/') {
                        // Whoever copies the address of the page should not copy the token with it.
                        Decision::redirect(&request.itself())
                    } else {
                        let whole = u32::try_from(seconds).unwrap_or(u32::MAX);
                        Decision::allow(whole, &granted.prefix)
                    };
                    if carrier != Carrier::Parameter || self.cookie.is_empty() {
                        return decision;
                    }
                    let cookie = SetCookie::new(&self.cookie, token)
                        .max_age(seconds)
                        .secure(self.secure);
                    return decision.with_header("Set-Cookie", &cookie.value());
                }
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        refuse(refused)
    }
}

/// A name that was not left empty.
fn named(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}

/// The answer to a request none of whose tokens holds, by what is wrong with the first.
fn refuse(why: Option<Refused>) -> Decision {
    // A query that carries a token makes addresses that nobody else asks for, so all of these are worth keeping, except
    // where another path would have another answer.
    let (text, reusable) = match why {
        None => (
            "This stream opens with a link that holds a token: ask the person who runs it for one.".into(),
            true,
        ),
        Some(Refused::Invalid) => (
            "The token of this link is damaged, or its key is no longer in use: ask for a new link.".into(),
            true,
        ),
        Some(Refused::Expired(at)) => {
            let mut line = String::from("This link held until ");
            // Every conversion in here exists.
            if let Ok(pattern) = strftime::Pattern::parse("%F %T UTC") {
                let micros = at.saturating_mul(1_000_000);
                pattern.push(&mut line, micros, strftime::Offset::UTC);
            }
            line.push_str(": ask for a new one.");
            (line, true)
        }
        Some(Refused::Elsewhere(prefix)) => (
            text::joined(&["This link opens addresses that begin with ", &prefix, " only."]),
            false,
        ),
    };
    let decision = Decision::deny(403, &text);
    if reusable {
        decision.reusable(REFUSED_S, "/")
    } else {
        decision
    }
}

picam_plugin::export!(AuthToken: auth);
