use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    super::{bindings::exports::picam::plugin::auth, documents::check_content_type, failure::flat},
    Refusal,
};

/// Header fields that a plugin may add, and bytes of all of them.
const HEADERS_MOST: usize = 32;
const HEADER_BYTES_MOST: usize = 4_096;
/// Bytes of an address to be redirected to.
const LOCATION_MOST: usize = 2_000;
/// Bytes of a path prefix.
const PREFIX_MOST: usize = 4_096;

/// Fields that a plugin can't set: those of the connection (RFC 9110, 7.6.1), those that say where a message ends, and those
/// that the host alone knows (what is sent, how it is cached). `location` and `content-type` have places of their own.
const RESERVED: [HeaderName; 21] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::AGE,
    header::DATE,
    header::ETAG,
    header::VARY,
    header::LOCATION,
];

pub(in super::super) type Fields = Vec<(HeaderName, HeaderValue)>;

/// What a plugin decided, fit to be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Decision {
    pub(super) ruling: Ruling,
    /// For how long it holds; 0 is this request alone.
    pub(super) seconds: u32,
    /// For which paths.
    pub(super) prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Ruling {
    /// With what is to be added to the response.
    Allow(Fields),
    Refuse(Arc<Refusal>),
}

/// Turns a plugin's decision into ours, or says what is wrong with it.
pub(in super::super) fn check(
    decision: auth::Decision,
    output_most: usize,
) -> Result<Decision, String> {
    let (ruling, reuse) = match decision {
        auth::Decision::Allow(permission) => {
            let ruling = Ruling::Allow(fields(permission.headers)?);
            (ruling, Some(permission.reuse))
        }
        auth::Decision::Deny(denial) => {
            let (refusal, reuse) = denied(denial, output_most)?;
            (Ruling::Refuse(Arc::new(refusal)), Some(reuse))
        }
        auth::Decision::Redirect(redirection) => {
            let refusal = redirected(redirection)?;
            (Ruling::Refuse(Arc::new(refusal)), None)
        }
    };
    let (seconds, prefix) = reuse.map_or((0, String::new()), |reuse| {
        (reuse.seconds, reuse.path_prefix)
    });
    if prefix.len() > PREFIX_MOST {
        return Err(format!(
            "`path-prefix` has {} bytes; at most {PREFIX_MOST} are allowed",
            prefix.len()
        ));
    }
    Ok(Decision {
        ruling,
        seconds,
        prefix,
    })
}

fn denied(denial: auth::Denial, output_most: usize) -> Result<(Refusal, auth::Reuse), String> {
    if ![401, 403, 404, 429, 503].contains(&denial.status) {
        return Err(format!(
            "it denies with status {}; a denial's status is 401, 403, 404, 429 or 503",
            denial.status
        ));
    }
    if denial.body.len() > output_most {
        return Err(format!(
            "the body of its denial has {} bytes; its limit is {output_most}; if it needs that much, raise `output` in \
             its [[plugin]] table",
            denial.body.len()
        ));
    }
    let content_type = match (&*denial.content_type, denial.body.is_empty()) {
        ("", true) => None,
        (content_type, _) => {
            check_content_type(content_type)?;
            Some(HeaderValue::from_str(content_type).map_err(|error| error.to_string())?)
        }
    };
    let refusal = Refusal {
        status: StatusCode::from_u16(denial.status).map_err(|error| error.to_string())?,
        headers: fields(denial.headers)?,
        content_type,
        body: Bytes::from(denial.body),
    };
    Ok((refusal, denial.reuse))
}

fn redirected(redirection: auth::Redirection) -> Result<Refusal, String> {
    let status = match redirection.status {
        302 => StatusCode::FOUND,
        303 => StatusCode::SEE_OTHER,
        other => {
            return Err(format!(
                "it redirects with status {other}; a redirection's status is 302 or 303"
            ));
        }
    };
    let location = check_location(&redirection.location)?;
    let mut headers = fields(redirection.headers)?;
    headers.push((header::LOCATION, location));
    Ok(Refusal {
        status,
        headers,
        content_type: None,
        body: Bytes::new(),
    })
}

/// A reference as in RFC 3986, 4.1, to something that is watched with HTTP: what has a scheme has `http` or `https`.
fn check_location(location: &str) -> Result<HeaderValue, String> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&c);
    let wrong = |why: &str| format!("it redirects to `{}`: {why}", flat(location));
    if location.is_empty() || location.len() > LOCATION_MOST {
        return Err(wrong(&format!("an address has 1 to {LOCATION_MOST} bytes")));
    }
    if !location.bytes().all(allowed) {
        return Err(wrong(
            "an address has no spaces, no control characters and nothing that must be percent-encoded",
        ));
    }
    // A colon before the first slash, `?` or `#` ends a scheme.
    let first = location.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = first.split_once(':').map(|(scheme, _)| scheme);
    let web =
        |scheme: &str| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    if scheme.is_some_and(|scheme| !web(scheme)) || location.starts_with("//") {
        return Err(wrong(
            "it must be relative, or begin with https:// or http://",
        ));
    }
    HeaderValue::from_str(location).map_err(|error| wrong(&error.to_string()))
}

/// Header fields that can't break out of their place.
fn fields(headers: Vec<auth::Header>) -> Result<Fields, String> {
    if headers.len() > HEADERS_MOST {
        return Err(format!(
            "it returns {} header fields; at most {HEADERS_MOST} are allowed",
            headers.len()
        ));
    }
    let bytes: usize = headers
        .iter()
        .map(|header| header.name.len() + header.value.len())
        .sum();
    if bytes > HEADER_BYTES_MOST {
        return Err(format!(
            "its header fields have {bytes} bytes; at most {HEADER_BYTES_MOST} are allowed"
        ));
    }
    headers
        .into_iter()
        .map(|header| {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("`{}` is no name of a header field", flat(&header.name)))?;
            if RESERVED.contains(&name) {
                return Err(format!(
                    "it returns the header field `{name}`, which belongs to the host; a plugin sets others, such as \
                     set-cookie and www-authenticate"
                ));
            }
            let value = HeaderValue::from_str(&header.value).map_err(|_| {
                format!(
                    "the value of its header field `{name}` has a line break or another character that none may have"
                )
            })?;
            Ok((name, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> auth::Header {
        auth::Header {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn allow(headers: Vec<auth::Header>) -> Result<Decision, String> {
        let reuse = auth::Reuse {
            seconds: 60,
            path_prefix: "/cam/".to_owned(),
        };
        check(
            auth::Decision::Allow(auth::Permission { reuse, headers }),
            100,
        )
    }

    fn deny(status: u16, content_type: &str, body: &str) -> Result<Decision, String> {
        let denial = auth::Denial {
            status,
            headers: vec![header("WWW-Authenticate", "Basic realm=\"cam\"")],
            content_type: content_type.to_owned(),
            body: body.to_owned(),
            reuse: auth::Reuse {
                seconds: 0,
                path_prefix: String::new(),
            },
        };
        check(auth::Decision::Deny(denial), 100)
    }

    fn redirect(status: u16, location: &str) -> Result<Decision, String> {
        let redirection = auth::Redirection {
            status,
            location: location.to_owned(),
            headers: vec![header("set-cookie", "a=b")],
        };
        check(auth::Decision::Redirect(redirection), 100)
    }

    #[test]
    fn header_fields_can_not_break_out_of_their_place() {
        assert!(allow(vec![header("Set-Cookie", "a=b; HttpOnly")]).is_ok());
        for value in ["a\r\nx: y", "a\nb", "a\0"] {
            let error = allow(vec![header("set-cookie", value)]).unwrap_err();
            assert!(error.contains("line break"), "{error}");
        }
        for name in ["", "a b", "a:b", "a\r\nb", "ä"] {
            let error = allow(vec![header(name, "x")]).unwrap_err();
            assert!(error.contains("no name of a header field"), "{error}");
        }
    }

    #[test]
    fn fields_of_the_connection_and_of_the_host_are_not_a_plugins() {
        for name in [
            "Connection",
            "Keep-Alive",
            "Transfer-Encoding",
            "Content-Length",
            "Cache-Control",
            "Vary",
            "Location",
        ] {
            let error = allow(vec![header(name, "x")]).unwrap_err();
            assert!(error.contains("belongs to the host"), "{error}");
            assert!(error.contains(&name.to_ascii_lowercase()), "{error}");
        }
    }

    #[test]
    fn header_fields_are_bounded() {
        let many = || (0..33).map(|_| header("x-a", "b")).collect();
        assert!(allow(many()).unwrap_err().contains("33"));
        let long = "x".repeat(HEADER_BYTES_MOST);
        assert!(
            allow(vec![header("x-a", &long)])
                .unwrap_err()
                .contains("4096")
        );
    }

    #[test]
    fn a_denial_is_a_denial() {
        for status in [401, 403, 404, 429, 503] {
            assert!(deny(status, "text/plain", "no").is_ok(), "{status}");
        }
        for status in [0, 200, 204, 302, 400, 500, 600] {
            let error = deny(status, "text/plain", "no").unwrap_err();
            assert!(error.contains(&status.to_string()), "{error}");
        }
        assert!(deny(401, "", "").is_ok());
        assert!(deny(401, "", "text").unwrap_err().contains("media type"));
        assert!(
            deny(401, "text/html\r\nx: y", "text")
                .unwrap_err()
                .contains("media type")
        );
        assert!(
            deny(401, "text/plain", &"x".repeat(101))
                .unwrap_err()
                .contains("`output`")
        );
    }

    #[test]
    fn a_redirection_leads_to_the_web_and_holds_for_one_request() {
        for location in [
            ".",
            "./",
            "../login?back=%2Fcam",
            "/login",
            "?a=b",
            "https://sso.example/a?b#c",
            "a/b:c",
        ] {
            let decision = redirect(303, location).unwrap();
            assert_eq!(decision.seconds, 0);
            let Ruling::Refuse(refusal) = decision.ruling else {
                panic!("a redirection is no permission");
            };
            assert_eq!(refusal.status, 303);
            assert_eq!(refusal.headers.last().unwrap().1, location);
        }
        for location in [
            "",
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example/",
            "/\\evil.example",
            "/a b",
            "/a\r\nx: y",
            "/ä",
        ] {
            assert!(redirect(302, location).is_err(), "{location}");
        }
        for status in [200, 301, 307] {
            assert!(redirect(status, "/").unwrap_err().contains("302 or 303"));
        }
    }
}
