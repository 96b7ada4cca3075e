//! Lets in whoever has a signed link. Its page of documentation is `README.md`.

mod keys;
mod token;

use keys::Keys;
use picam_plugin::{
    Config, Description, Inputs, Plugin, Words, auth::*, bearer::Bearer, strftime, text,
};
use token::Refused;

const KEYS: Words = Words::new(
    "keys",
    "",
    "ID:SECRET of every key that signs tokens, separated by spaces or line breaks; a secret has 32 characters at least",
);

/// How long a refusal that nothing but a new token can change is kept.
const REFUSED_S: u32 = 60;

/// The plugin.
#[derive(Debug)]
pub struct AuthToken {
    keys: Keys,
    bearer: Bearer,
}

impl Plugin for AuthToken {
    fn describe() -> Description {
        let description = Description::new(
            "auth-token",
            env!("CARGO_PKG_VERSION"),
            "lets in whoever has a signed link that has not run out",
        );
        Bearer::describe(description.words(&KEYS))
    }

    fn start(config: &Config) -> Result<Self, String> {
        Ok(Self {
            keys: Keys::parse(config.words(&KEYS))?,
            bearer: Bearer::start(config)?,
        })
    }
}

impl Auth for AuthToken {
    fn reads(&self) -> Inputs {
        self.bearer.reads()
    }

    fn decide(&mut self, request: &Request) -> Decision {
        if !request.clock_is_set() {
            return Decision::clock_not_set();
        }
        self.bearer
            .decide(request, |token| {
                token::check(token, &self.keys, request.unix_seconds(), &request.path)
            })
            .unwrap_or_else(refuse)
    }
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
