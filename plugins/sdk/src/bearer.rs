//! Tokens that viewers bring along, for `auth` plugins that check some kind of token: which part of a request holds it,
//! and how a link becomes a session.

use crate::{Config, Description, Flag, Inputs, Words, auth::*, cookie::SetCookie, percent};

const COOKIE: Words = Words::new(
    "cookie",
    "picam-token",
    "name of the cookie that a token may come in; empty for none",
);
const PARAMETER: Words = Words::new(
    "parameter",
    "token",
    "query parameter that a token may come in, to become that cookie; empty for none",
);
const SECURE: Flag = Flag::new("secure", false, "browsers send that cookie over HTTPS only");

/// Longest token that is made a cookie of: browsers keep 4,096 bytes with name and attributes.
const COOKIE_MOST: usize = 3_800;

/// Where tokens may be: the first path element (`/~TOKEN/…`), a query parameter, a cookie, and, if wanted, the header
/// field `Authorization: Bearer`.
///
/// ```
/// use picam_plugin::{Config, auth::*, bearer::{Bearer, Grant}};
///
/// let bearer = Bearer::start(&Config::default()).unwrap();
/// let request = Request::to("/").with_parameter("token", "sesame");
/// let decision = bearer.decide(&request, |token| match token {
///     "sesame" => Ok(Grant { seconds: 60, path_prefix: "/".into() }),
///     _ => Err("a wrong word"),
/// });
/// // The page is opened anew with a cookie in the place of the parameter.
/// assert!(matches!(decision, Ok(Decision::Redirect(_))));
/// ```
#[derive(Clone, Debug)]
pub struct Bearer {
    cookie: String,
    parameter: String,
    secure: bool,
    header: bool,
}

/// What a token permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For how many seconds from now.
    pub seconds: u64,
    /// How the paths begin that it opens.
    pub path_prefix: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Path,
    Header,
    Parameter,
    Cookie,
}

impl Bearer {
    /// Adds the options `cookie`, `parameter` and `secure`.
    pub fn describe(description: Description) -> Description {
        description.words(&COOKIE).words(&PARAMETER).flag(&SECURE)
    }

    /// As these options say.
    ///
    /// # Errors
    /// A line that says what would be accepted.
    pub fn start(config: &Config) -> Result<Self, String> {
        let cookie = config.words(&COOKIE);
        if !cookie.bytes().all(percent::unreserved) {
            return Err(COOKIE.refuse(cookie, "letters, digits and -._~"));
        }
        Ok(Self {
            cookie: cookie.into(),
            parameter: config.words(&PARAMETER).into(),
            secure: config.flag(&SECURE)?,
            header: false,
        })
    }

    /// The same, with `Authorization: Bearer` (RFC 6750) as well.
    #[must_use]
    pub fn with_header(self) -> Self {
        Self {
            header: true,
            ..self
        }
    }

    /// What of a request is to be declared for it.
    pub fn reads(&self) -> Inputs {
        let mut inputs = Inputs::none();
        if self.header {
            inputs = inputs.headers(&["authorization"]);
        }
        if !self.parameter.is_empty() {
            inputs = inputs.query(&[&self.parameter]);
        }
        if !self.cookie.is_empty() {
            inputs = inputs.cookies(&[&self.cookie]);
        }
        inputs
    }

    /// Lets in whom `check` grants anything for one of the request's tokens, and gives those the cookie whose token was
    /// a parameter; on a page, that is an address that ends with a slash, by a redirection that takes it out of the
    /// address.
    ///
    /// # Errors
    /// What `check` said of the first token, if there is any.
    pub fn decide<E>(
        &self,
        request: &Request,
        mut check: impl FnMut(&str) -> Result<Grant, E>,
    ) -> Result<Decision, Option<E>> {
        let header = request.header("authorization").filter(|_| self.header);
        let header = header.as_deref().and_then(credentials);
        let parameter = named(&self.parameter).and_then(|name| request.parameter(name));
        let cookie = named(&self.cookie).and_then(|name| request.cookie(name));
        let carried = [
            (Carrier::Path, request.token.as_deref()),
            (Carrier::Header, header),
            (Carrier::Parameter, parameter.as_deref()),
            (Carrier::Cookie, cookie.as_deref()),
        ];
        let mut refused = None;
        for (carrier, token) in carried {
            let Some(token) = token else { continue };
            match check(token) {
                Ok(grant) => return Ok(self.admit(request, carrier, token, &grant)),
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        Err(refused)
    }

    fn admit(&self, request: &Request, carrier: Carrier, token: &str, grant: &Grant) -> Decision {
        let seconds = u32::try_from(grant.seconds).unwrap_or(u32::MAX);
        let allowed = Decision::allow(seconds, &grant.path_prefix);
        let becomes_cookie = carrier == Carrier::Parameter
            && !self.cookie.is_empty()
            && token.len() <= COOKIE_MOST
            && token.bytes().all(percent::unreserved);
        if !becomes_cookie {
            return allowed;
        }
        let cookie = SetCookie::new(&self.cookie, token)
            .max_age(grant.seconds)
            .secure(self.secure);
        let decision = if request.path.ends_with('/') {
            Decision::redirect(&request.itself())
        } else {
            allowed
        };
        decision.with_header("Set-Cookie", &cookie.value())
    }
}

/// What stands behind `Bearer`, whose case doesn't matter (RFC 9110, 11.1).
fn credentials(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A name that was not left empty.
fn named(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer<const N: usize>(pairs: [(&str, &str); N]) -> Bearer {
        Bearer::start(&Config::from(pairs)).unwrap()
    }

    fn check(token: &str) -> Result<Grant, String> {
        if token == "good" {
            Ok(Grant {
                seconds: 600,
                path_prefix: "/".into(),
            })
        } else {
            Err(token.into())
        }
    }

    fn decide(bearer: &Bearer, request: &Request) -> Result<Decision, Option<String>> {
        bearer.decide(request, check)
    }

    #[test]
    fn any_token_that_is_good_opens_and_else_the_first_is_told_of() {
        let bearer = bearer([]).with_header();
        let nothing = Request::to("/cam/live.m3u8");
        assert_eq!(decide(&bearer, &nothing), Err(None));
        let bad = nothing.with_token("a").with_cookie("picam-token", "b");
        assert_eq!(decide(&bearer, &bad), Err(Some("a".into())));
        for good in [
            bad.clone().with_parameter("token", "good"),
            bad.clone().with_header("Authorization", "bearer  good"),
            Request::to("/x").with_cookie("picam-token", "good"),
            Request::to("/x").with_token("good"),
        ] {
            let decision = decide(&bearer, &good);
            assert!(matches!(decision, Ok(Decision::Allow(_))), "{decision:?}");
        }
        for other in ["Basic good", "Bearer", "Bearergood"] {
            let request = Request::to("/x").with_header("Authorization", other);
            assert_eq!(decide(&bearer, &request), Err(None), "{other}");
        }
    }

    #[test]
    fn a_header_counts_only_where_it_is_wanted() {
        let request = Request::to("/x").with_header("Authorization", "Bearer good");
        assert_eq!(decide(&bearer([]), &request), Err(None));
        assert_eq!(bearer([]).reads().headers, [""; 0]);
        assert_eq!(bearer([]).with_header().reads().headers, ["authorization"]);
    }

    #[test]
    fn on_the_page_a_parameter_becomes_a_cookie_and_leaves_the_address() {
        let request = Request::to("/").with_parameter("token", "good");
        let Ok(Decision::Redirect(redirection)) = decide(&bearer([("secure", "yes")]), &request)
        else {
            panic!("no redirection");
        };
        assert_eq!((redirection.status, &*redirection.location), (303, "./"));
        assert_eq!(redirection.headers[0].name, "Set-Cookie");
        assert_eq!(
            redirection.headers[0].value,
            "picam-token=good; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure"
        );
        // Without a cookie it would lead round and round.
        let decision = decide(&bearer([("cookie", "")]), &request);
        assert!(matches!(decision, Ok(Decision::Allow(_))), "{decision:?}");
    }

    #[test]
    fn on_a_playlist_a_parameter_opens_and_sets_the_cookie_for_what_follows() {
        let request = Request::to("/cam/live.m3u8").with_parameter("token", "good");
        let Ok(Decision::Allow(permission)) = decide(&bearer([]), &request) else {
            panic!("not allowed");
        };
        assert_eq!(permission.reuse, Reuse::within(600, "/"));
        assert!(permission.headers[0].value.starts_with("picam-token=good;"));
    }

    #[test]
    fn what_can_be_no_cookie_is_made_none() {
        for token in ["a b", "a;b", &"x".repeat(4_000)] {
            let request = Request::to("/").with_parameter("token", token);
            let decision = bearer([]).decide(&request, |_| check("good"));
            let Ok(Decision::Allow(permission)) = decision else {
                panic!("{decision:?}");
            };
            assert_eq!(permission.headers, []);
        }
        assert!(Bearer::start(&Config::from([("cookie", "a b")])).is_err());
    }
}
