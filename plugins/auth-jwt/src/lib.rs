//! Lets in whoever has a JSON Web Token. Its page of documentation is `README.md`.

mod keys;
mod token;

use keys::Key;
use picam_plugin::{
    Config, Description, Flag, Inputs, Number, Plugin, Words, auth::*, bearer::Bearer, text,
};
use token::{Demands, Refused};

const KEYS: Words = Words::new(
    "keys",
    "",
    "public keys that tokens are signed with: a JWK, a JWK Set, or PEM; for HS256, ES256 and EdDSA",
);
const SECRET: Words = Words::new(
    "secret",
    "",
    "key of tokens that are signed with HS256, 32 bytes at least",
);
const ISSUER: Words = Words::new("issuer", "", "what `iss` must be; empty for anybody");
const AUDIENCE: Words = Words::new("audience", "", "what `aud` must be or hold; empty for any");
const PATH_CLAIM: Words = Words::new(
    "path-claim",
    "path",
    "claim with the path, or a list of paths, with which the addresses begin that the token opens; a token without it \
     opens all",
);
const LEEWAY: Number = Number::whole(
    "leeway-s",
    30,
    (0, 600),
    "s",
    "by how much the clock of whoever signs may differ",
);
const FOREVER: Flag = Flag::new("forever", false, "take tokens that never run out");

/// How long a refusal is kept that nothing but another token can change, in seconds.
const REFUSED_S: u32 = 60;

/// The plugin.
#[derive(Debug)]
pub struct AuthJwt {
    keys: Vec<Key>,
    demands: Demands,
    bearer: Bearer,
}

impl Plugin for AuthJwt {
    fn describe() -> Description {
        let description = Description::new(
            "auth-jwt",
            env!("CARGO_PKG_VERSION"),
            "lets in whoever has a JSON Web Token",
        )
        .words(&KEYS)
        .words(&SECRET)
        .words(&ISSUER)
        .words(&AUDIENCE)
        .words(&PATH_CLAIM)
        .number(&LEEWAY)
        .flag(&FOREVER);
        Bearer::describe(description)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let mut keys = Vec::new();
        if let Some(written) = set(config, &KEYS) {
            keys = keys::parse(&written)?;
        }
        if let Some(secret) = set(config, &SECRET) {
            keys.push(keys::secret(&secret)?);
        }
        if keys.is_empty() {
            return Err(
                "keys: expected the public keys of whoever signs, as JWK, JWK Set or PEM; or a secret, for HS256".into(),
            );
        }
        Ok(Self {
            keys,
            demands: Demands {
                issuer: set(config, &ISSUER),
                audience: set(config, &AUDIENCE),
                path_claim: config.words(&PATH_CLAIM).into(),
                leeway: config.number(&LEEWAY)?,
                forever: config.flag(&FOREVER)?,
            },
            bearer: Bearer::start(config)?.with_header(),
        })
    }
}

/// The value of an option that isn't empty.
fn set(config: &Config, option: &Words) -> Option<String> {
    let value = config.words(option);
    (!value.is_empty()).then(|| value.into())
}

impl Auth for AuthJwt {
    fn reads(&self) -> Inputs {
        self.bearer.reads()
    }

    fn decide(&mut self, request: &Request) -> Decision {
        if !request.clock_is_set() {
            return Decision::clock_not_set();
        }
        let check = |token: &str| {
            let claims = token::verify(token, &self.keys)?;
            self.demands
                .grant(&claims, request.unix_seconds(), &request.path)
        };
        self.bearer.decide(request, check).unwrap_or_else(refuse)
    }
}

/// The answer to a request none of whose tokens holds, by what is wrong with the first (RFC 6750, 3).
fn refuse(why: Option<Refused>) -> Decision {
    let (status, error, text) = match why {
        None => (
            401,
            "",
            "A token is needed: ask whoever runs this stream for one.",
        ),
        Some(Refused::Malformed) => (
            401,
            "invalid_token",
            "That is no JSON Web Token that is known here.",
        ),
        Some(Refused::Unsigned) => (
            401,
            "invalid_token",
            "The token isn't signed with a key that is known here.",
        ),
        Some(Refused::Expired) => (
            401,
            "invalid_token",
            "The token has run out, or doesn't say when it does.",
        ),
        Some(Refused::Early) => (401, "invalid_token", "The token doesn't hold yet."),
        Some(Refused::Issuer) => (401, "invalid_token", "The token comes from somebody else."),
        Some(Refused::Audience) => (401, "invalid_token", "The token is for somebody else."),
        Some(Refused::Elsewhere) => (
            403,
            "insufficient_scope",
            "The token is for other addresses.",
        ),
    };
    let challenge = if error.is_empty() {
        "Bearer realm=\"picam-host\"".into()
    } else {
        text::joined(&["Bearer realm=\"picam-host\", error=\"", error, "\""])
    };
    let decision = Decision::deny(status, text).with_header("WWW-Authenticate", &challenge);
    match why {
        // Time, or another path, makes another answer.
        Some(Refused::Early | Refused::Elsewhere) => decision,
        _ => decision.reusable(REFUSED_S, "/"),
    }
}

picam_plugin::export!(AuthJwt: auth);
