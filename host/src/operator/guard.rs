//! Who may ask the operator's listener.
//!
//! On loopback, whoever has an account on the machine is trusted, as with any tool of a developer. What is not trusted is
//! the *browser* on that machine, since it runs the code of every page that is open in it. It could reach us in two ways:
//!
//! * *Across origins.* A page at `evil.example` sends a request to `http://127.0.0.1:8081`. It can't read the answer, since
//!   there is no CORS here, but a reload would have happened. Browsers say where a request comes from: `Sec-Fetch-Site`
//!   where the address counts as secure, which loopback does, and `Origin` with every POST. Anything but our own page is
//!   refused, whatever it asks for; a link that leads to the page is let through. Who sends neither field (curl,
//!   Prometheus) is no browser. This is what Go's `http.CrossOriginProtection` does; no token in a form is needed for it.
//! * *By rebinding.* `evil.example` resolves to its own server first and to 127.0.0.1 later, so that its page is of our
//!   origin as far as the browser knows. What remains is the name in `Host`. An address can't be rebound, and neither can
//!   `localhost` or the name of this machine; other names are refused, as Transmission and Syncthing do.
//!
//! Where a token is configured, every request needs it, and a request that has it may use any name: a page that was
//! rebound doesn't have it.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE},
    http::{HeaderValue, request::Parts, uri::Authority},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::reply::Problem;
use crate::machine;

/// The secret that the operator's requests must carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Fewer characters could be guessed.
    const SHORTEST: usize = 16;

    /// Checks that the text is fit to be a token.
    ///
    /// # Errors
    /// What would be accepted.
    pub fn new(text: &str) -> Result<Self, String> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() < Self::SHORTEST || !visible {
            return Err(format!(
                "expected a secret of {} or more visible ASCII characters, such as `openssl rand -hex 16` makes",
                Self::SHORTEST
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Compares digests, of equal length, in a time that tells nothing of where they differ.
    fn is(&self, given: &[u8]) -> bool {
        let digest = |text: &[u8]| Sha256::digest(text);
        digest(given).ct_eq(&digest(self.0.as_bytes())).into()
    }

    /// Whether the request carries it: as a bearer token (RFC 6750), or as the password of any user (RFC 7617), which is
    /// what a browser can ask for.
    fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some((scheme, credentials)) = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
        else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(credentials.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(pair) = BASE64.decode(credentials) else {
            return false;
        };
        let password = pair.iter().position(|&byte| byte == b':');
        password.is_some_and(|colon| self.is(&pair[colon + 1..]))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Decides who may ask.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Token>,
    /// Of this machine, in lower case; none if the kernel doesn't tell.
    hostname: Option<String>,
}

impl Guard {
    pub(super) fn new(token: Option<Token>) -> Self {
        let hostname = machine::hostname();
        Self { token, hostname }
    }

    /// Whether a request may be answered, or the answer if not.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Problem> {
        let authority = authority(request).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "the request names no host, so it can't be told whether it is meant for this listener",
            )
        })?;
        let permitted = match &self.token {
            Some(token) if token.is_in(&request.headers) => true,
            Some(_) => return Err(unauthorized()),
            None => false,
        };
        if !permitted && !self.is_ours(authority.host()) {
            return Err(self.misdirected(authority.host()));
        }
        if is_foreign(request, &authority) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "a page of another origin sent this request; only the operator's own page may",
            ));
        }
        Ok(())
    }

    /// Whether a name can stand for this listener alone, whatever a name server says.
    fn is_ours(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let own =
            |own: &str| host == own || host.strip_suffix(".local").is_some_and(|bare| bare == own);
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hostname.as_deref().is_some_and(own)
    }

    fn misdirected(&self, host: &str) -> Problem {
        let own = match &self.hostname {
            Some(name) => format!(", {name} or {name}.local"),
            None => String::new(),
        };
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "this listener doesn't answer to the name {host}, which a name server might point anywhere: use an \
                 address, localhost{own}; or configure `operator-token`, with which any name works"
            ),
        )
    }
}

/// Whom the request is for: `:authority` of HTTP/2, or `Host` (RFC 9110, 7.2).
fn authority(request: &Parts) -> Option<Authority> {
    if let Some(authority) = request.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    host.to_str().ok()?.parse().ok()
}

/// Whether a page that isn't ours sent it.
fn is_foreign(request: &Parts, authority: &Authority) -> bool {
    let field = |name: &str| request.headers.get(name).map(HeaderValue::as_bytes);
    match field("sec-fetch-site") {
        Some(b"same-origin" | b"none") => false,
        // Following a link is harmless, since the page does nothing by itself and can't be framed.
        Some(_) => {
            let reads = matches!(request.method, Method::GET | Method::HEAD);
            let navigates = field("sec-fetch-mode") == Some(b"navigate")
                && field("sec-fetch-dest") == Some(b"document");
            !(reads && navigates && request.uri.path() == "/")
        }
        None => match request.headers.get(ORIGIN) {
            None => false,
            // Behind a proxy the scheme may be another, the name and port are not.
            Some(origin) => origin
                .to_str()
                .ok()
                .and_then(|origin| origin.split_once("://"))
                .is_none_or(|(_, from)| !from.eq_ignore_ascii_case(authority.as_str())),
        },
    }
}

fn unauthorized() -> Problem {
    let mut problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "this needs the `operator-token` of the configuration: as `Authorization: Bearer TOKEN`, or as the password of \
         any user",
    );
    // Browsers ask for a password when they see the first.
    for challenge in [
        r#"Basic realm="picam-host operator", charset="UTF-8""#,
        r#"Bearer realm="picam-host operator""#,
    ] {
        problem
            .headers
            .push((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn guard(token: Option<&str>) -> Guard {
        Guard {
            token: token.map(|token| Token::new(token).unwrap()),
            hostname: Some("camera".into()),
        }
    }

    fn status(guard: &Guard, method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
        let request = headers
            .iter()
            .fold(
                hyper::Request::builder().method(method).uri(path),
                |request, (name, value)| request.header(*name, *value),
            )
            .body(())
            .unwrap();
        match guard.check(&request.into_parts().0) {
            Ok(()) => 200,
            Err(problem) => problem.status.as_u16(),
        }
    }

    #[test]
    fn names_that_can_be_rebound_are_refused() {
        for host in [
            "127.0.0.1:8081",
            "[::1]:8081",
            "192.168.1.7:9000",
            "localhost",
            "LocalHost:8081",
            "localhost.:8081",
            "picam.localhost",
            "camera:8081",
            "Camera.local",
        ] {
            let got = status(&guard(None), Method::GET, "/metrics", &[("host", host)]);
            assert_eq!(got, 200, "{host}");
        }
        for host in [
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "camera.evil.example",
        ] {
            let got = status(&guard(None), Method::GET, "/metrics", &[("host", host)]);
            assert_eq!(got, 421, "{host}");
        }
        assert_eq!(status(&guard(None), Method::GET, "/metrics", &[]), 400);
        let two = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(status(&guard(None), Method::GET, "/metrics", &two), 400);
        // HTTP/2 has its name in the address.
        let uri = "http://evil.example/metrics";
        assert_eq!(status(&guard(None), Method::GET, uri, &[]), 421);
    }

    #[test]
    fn what_another_origin_sends_is_refused_and_what_is_no_browser_is_not() {
        let reload = "/api/v1/plugins/ll-hls/reload";
        let host = ("host", "127.0.0.1:8081");
        let post = |more: &[(&str, &str)]| {
            let headers = [&[host], more].concat();
            status(&guard(None), Method::POST, reload, &headers)
        };
        assert_eq!(post(&[]), 200);
        assert_eq!(post(&[("origin", "http://127.0.0.1:8081")]), 200);
        assert_eq!(post(&[("sec-fetch-site", "same-origin")]), 200);
        for origin in [
            "null",
            "http://evil.example",
            // The viewers' listener is another origin, too.
            "http://127.0.0.1:8080",
            "http://localhost:8081",
        ] {
            assert_eq!(post(&[("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(post(&[("sec-fetch-site", "same-site")]), 403);
        let navigation = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(status(&guard(None), Method::GET, "/", &navigation), 200);
        assert_eq!(
            status(&guard(None), Method::GET, "/metrics", &navigation),
            403
        );
        assert_eq!(post(&navigation[1..]), 403);
        let framed = [&navigation[..3], &[("sec-fetch-dest", "iframe")]].concat();
        assert_eq!(status(&guard(None), Method::GET, "/", &framed), 403);
    }

    #[test]
    fn a_token_is_needed_where_there_is_one_and_makes_any_name_good() {
        let guard = guard(Some(TOKEN));
        let get = |host: &str, authorization: Option<&str>| {
            let mut headers = vec![("host", host)];
            headers.extend(authorization.map(|value| ("authorization", value)));
            status(&guard, Method::GET, "/metrics", &headers)
        };
        assert_eq!(get("127.0.0.1", None), 401);
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(get("127.0.0.1", Some(&bearer)), 200);
        assert_eq!(get("camera.example.net:8081", Some(&bearer)), 200);
        let basic = format!("basic {}", BASE64.encode(format!("me:{TOKEN}")));
        assert_eq!(get("127.0.0.1", Some(&basic)), 200);
        for wrong in [
            "Bearer 0123456789abcdeF".to_owned(),
            format!("Bearer {TOKEN}0"),
            "Bearer".to_owned(),
            format!("Digest {TOKEN}"),
            "Basic %%%".to_owned(),
            format!("Basic {}", BASE64.encode(TOKEN)),
        ] {
            assert_eq!(get("127.0.0.1", Some(&wrong)), 401, "{wrong}");
        }
        let foreign = [
            ("host", "127.0.0.1"),
            ("authorization", &bearer),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(status(&guard, Method::POST, "/x", &foreign), 403);
    }

    #[test]
    fn a_token_that_could_be_guessed_is_none_and_none_is_shown() {
        assert!(Token::new("secret").unwrap_err().contains("16"));
        assert!(Token::new("0123456789abcde ").is_err());
        let token = Token::new(TOKEN).unwrap();
        assert!(!format!("{token:?}").contains("0123"));
    }
}
