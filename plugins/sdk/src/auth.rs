//! The `auth` hook: who may watch.

use std::borrow::Cow;

pub use crate::bindings::auth::exports::picam::plugin::auth::{
    Decision, Denial, Header, Permission, Redirection, Request, Reuse,
};
use crate::{Inputs, Plugin, percent};

/// Decides who may watch. Whatever goes wrong in here, a panic for one, the viewer is refused with 503: the door never
/// falls open.
///
/// ```
/// use picam_plugin::{auth::*, Config, Description, Inputs, Plugin};
///
/// /// Lets in whoever knows the word, and asks again in an hour.
/// struct Word(String);
///
/// impl Plugin for Word {
///     fn describe() -> Description {
///         Description::new("word", "1.0.0", "asks for a word: /cam/live.m3u8?word=…")
///             .option("word", "none, it must be set", "the word")
///     }
///
///     fn start(config: &Config) -> Result<Self, String> {
///         let word = config.get("word").ok_or("word: must be set, as in word=sesame")?;
///         Ok(Self(word.into()))
///     }
/// }
///
/// impl Auth for Word {
///     fn reads(&self) -> Inputs {
///         Inputs::none().query(&["word"])
///     }
///
///     fn decide(&mut self, request: &Request) -> Decision {
///         if request.parameter("word").as_deref() == Some(&self.0) {
///             Decision::allow(3_600, "/")
///         } else {
///             Decision::deny(403, "add ?word= and the word to the address")
///         }
///     }
/// }
///
/// picam_plugin::export!(Word: auth);
///
/// let mut plugin = Word::start(&Config::from([("word", "sesame")])).unwrap();
/// let request = Request::to("/cam/live.m3u8");
/// assert!(matches!(plugin.decide(&request), Decision::Deny(Denial { status: 403, .. })));
/// assert!(matches!(plugin.decide(&request.with_parameter("word", "sesame")), Decision::Allow(_)));
/// ```
pub trait Auth: Plugin {
    /// What it looks at besides the path and the token. Asked once, after the start. The answer cache's key is exactly
    /// this, so the less, the fewer calls.
    fn reads(&self) -> Inputs {
        Inputs::none()
    }

    /// Decides. Called on a request that no answer in the cache covers.
    fn decide(&mut self, request: &Request) -> Decision;
}

/// 2025-01-01T00:00:00Z: a clock that says less has not been set.
const CLOCK_IS_SET: u64 = 1_735_689_600;

impl Request {
    /// A request that nobody made, for tests: `GET` of a path at 2026-01-01T00:00:00Z, with nothing else.
    pub fn to(path: &str) -> Self {
        Self {
            now: 1_767_225_600_000_000,
            path: path.into(),
            token: None,
            method: "GET".into(),
            peer: String::new(),
            query: String::new(),
            headers: String::new(),
            cookies: String::new(),
            form: String::new(),
        }
    }

    /// The same at another time: seconds since 1970.
    #[must_use]
    pub fn at(mut self, unix_seconds: u64) -> Self {
        self.now = unix_seconds * 1_000_000;
        self
    }

    /// The same with a token as its first path element.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same from a peer.
    #[must_use]
    pub fn with_peer(mut self, peer: &str) -> Self {
        self.peer = peer.into();
        self
    }

    /// The same with another query parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: &str, value: &str) -> Self {
        percent::push_pair(&mut self.query, name, value);
        self
    }

    /// The same with another header field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        percent::push_pair(&mut self.headers, &name.to_ascii_lowercase(), value);
        self
    }

    /// The same with another cookie.
    #[must_use]
    pub fn with_cookie(mut self, name: &str, value: &str) -> Self {
        percent::push_pair(&mut self.cookies, name, value);
        self
    }

    /// The same as `POST` of a form with another field.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.method = "POST".into();
        percent::push_pair(&mut self.form, name, value);
        self
    }

    /// The wall clock in seconds since 1970.
    pub fn unix_seconds(&self) -> u64 {
        self.now / 1_000_000
    }

    /// Whether the clock was set since the board was started without one: before, nobody can tell what has run out.
    pub fn clock_is_set(&self) -> bool {
        self.unix_seconds() >= CLOCK_IS_SET
    }

    /// The value of a query parameter that was declared: the first, if there are several.
    pub fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.query, name)
    }

    /// The value of a header field that was declared, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.headers, name)
    }

    /// The value of a cookie that was declared.
    pub fn cookie(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.cookies, name)
    }

    /// The value of a form's field.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        value(&self.form, name)
    }

    /// A relative address that leads to the path of this very request, without its query: for a redirection, or as the
    /// action of a form. It holds below a token element and behind a proxy.
    ///
    /// ```
    /// use picam_plugin::auth::Request;
    /// assert_eq!(Request::to("/cam/live.m3u8").itself(), "./live.m3u8");
    /// assert_eq!(Request::to("/").itself(), "./");
    /// ```
    pub fn itself(&self) -> String {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        // Without the dot, a colon in the name would make a scheme of what is before it.
        let mut address = String::from("./");
        percent::push_encoded(&mut address, last);
        address
    }
}

fn value<'a>(list: &'a str, name: &str) -> Option<Cow<'a, str>> {
    percent::pairs(list).find_map(|(key, value)| (key == name).then_some(value))
}

impl Reuse {
    /// The answer holds for this request alone.
    pub fn never() -> Self {
        Self {
            seconds: 0,
            path_prefix: String::new(),
        }
    }

    /// The answer holds for so many seconds, and for every path that begins with `path_prefix`.
    pub fn within(seconds: u32, path_prefix: &str) -> Self {
        Self {
            seconds,
            path_prefix: path_prefix.into(),
        }
    }
}

impl Decision {
    /// Lets the request through, and everything like it for so many seconds on paths that begin with `path_prefix`.
    pub fn allow(seconds: u32, path_prefix: &str) -> Self {
        Self::Allow(Permission {
            reuse: Reuse::within(seconds, path_prefix),
            headers: Vec::new(),
        })
    }

    /// Refuses with 401, 403, 404, 429 or 503 and a line of text that says what would be right.
    pub fn deny(status: u16, text: &str) -> Self {
        let mut body = String::from(text);
        body.push('\n');
        Self::deny_with(status, "text/plain; charset=utf-8", body)
    }

    /// Refuses with a body of any type.
    pub fn deny_with(status: u16, content_type: &str, body: String) -> Self {
        Self::Deny(Denial {
            status,
            headers: Vec::new(),
            content_type: content_type.into(),
            body,
            reuse: Reuse::never(),
        })
    }

    /// Refuses because the clock [has not been set](Request::clock_is_set), for those who can't do without.
    pub fn clock_not_set() -> Self {
        Self::deny(
            503,
            "The clock of this host has not been set yet, so nobody can tell what has run out. Try again in a minute.",
        )
        .with_header("Retry-After", "10")
    }

    /// Sends the viewer elsewhere, to be fetched with `GET` (303).
    pub fn redirect(location: &str) -> Self {
        Self::Redirect(Redirection {
            status: 303,
            location: location.into(),
            headers: Vec::new(),
        })
    }

    /// The same with another header field in the response.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let headers = match &mut self {
            Self::Allow(permission) => &mut permission.headers,
            Self::Deny(denial) => &mut denial.headers,
            Self::Redirect(redirection) => &mut redirection.headers,
        };
        headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// The same, holding for so many seconds on paths that begin with `path_prefix`. A redirection is for one request.
    #[must_use]
    pub fn reusable(mut self, seconds: u32, path_prefix: &str) -> Self {
        match &mut self {
            Self::Allow(Permission { reuse, .. }) | Self::Deny(Denial { reuse, .. }) => {
                *reuse = Reuse::within(seconds, path_prefix);
            }
            Self::Redirect(_) => {}
        }
        self
    }
}
