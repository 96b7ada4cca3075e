//! Responses, with the fields that all of one kind have.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{
        self, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
        CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
        RETRY_AFTER, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    http::HeaderValue,
};

use super::{body::Body, conditions::Conditions, document::Document, hold::LetGo};
use crate::time::Wall;

pub(crate) type Response = hyper::Response<Body>;

/// The methods there are.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// With those of a plugin that takes forms.
const METHODS_AND_FORMS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS, POST");

/// RFC 9218. hyper sends HTTP/2 streams as they come; the field is for whatever stands in front of us.
pub(super) const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// Starts a response that pages on other hosts may use.
pub(super) fn begin(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(16);
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        // Players measure with these; Date is how they set their clocks.
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "Accept-Ranges, Content-Length, Content-Range, Date, ETag",
        ),
        // Lets a page that is isolated from other hosts embed the stream, and a player see how long a request took.
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
        (HeaderName::from_static("timing-allow-origin"), "*"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One line for a person. Never cached: it may stop being true at once.
pub(super) fn line(status: StatusCode, line: impl Into<Cow<'static, str>>) -> Response {
    let mut text = line.into().into_owned();
    text.push('\n');
    passing(status, text)
}

/// The time, as `xs:dateTime` (`urn:mpeg:dash:utc:http-iso:2014` and `http-xsdate:2014`, ISO/IEC 23009-1, 5.8.4.11), and
/// nothing else, for players that parse what comes as it is.
pub(super) fn time(now: Wall) -> Response {
    passing(StatusCode::OK, now.date_time())
}

/// What is true at the moment.
fn passing(status: StatusCode, text: String) -> Response {
    let mut response = begin(status);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, text.len().into());
    *response.body_mut() = Bytes::from(text).into();
    response
}

pub(super) fn not_found(text: impl Into<Cow<'static, str>>) -> Response {
    line(StatusCode::NOT_FOUND, text)
}

/// Leads from a token without a slash after it to the one with it.
pub(super) fn with_slash(location: &str, query: Option<&str>) -> Response {
    let location = match query {
        Some(query) => format!("{location}?{query}"),
        None => location.to_owned(),
    };
    let mut response = line(StatusCode::FOUND, "a token is followed by a slash");
    // It came as an address, and an address is a header value.
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What is given to a viewer over TLS never travels without: a plugin doesn't know how he came, so that is seen to here
/// (RFC 6265, 4.1.2.5).
pub(super) fn keep_cookies_secure(response: &mut Response) {
    let header::Entry::Occupied(mut cookies) = response.headers_mut().entry(SET_COOKIE) else {
        return;
    };
    for cookie in cookies.iter_mut() {
        let attributes = cookie.as_bytes().split(|&byte| byte == b';').skip(1);
        let mut names = attributes.map(<[u8]>::trim_ascii);
        if names.any(|name| name.eq_ignore_ascii_case(b"secure")) {
            continue;
        }
        let secured = [cookie.as_bytes(), b"; Secure"].concat();
        *cookie = HeaderValue::from_bytes(&secured).expect("a header value, and letters");
    }
}

/// 204: there is nothing to say, and nothing is wrong.
pub(super) fn nothing() -> Response {
    let mut response = begin(StatusCode::NO_CONTENT);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// 503: asking again helps.
pub(super) fn unavailable(text: impl Into<Cow<'static, str>>) -> Response {
    let mut response = line(StatusCode::SERVICE_UNAVAILABLE, text);
    let retry = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, retry);
    response
}

/// A held request that was let go.
pub(super) fn let_go(why: LetGo) -> Response {
    unavailable(match why {
        LetGo::TimedOut => "what this waited for did not come in time; ask again",
        LetGo::Stopping => "the server stops; ask again soon",
    })
}

/// The answer to `OPTIONS`: of CORS's preflight, and of who wants to know the methods.
pub(super) fn options(forms: bool) -> Response {
    let mut response = begin(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ALLOW, methods(forms));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods(forms));
    // The star does not include Authorization.
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*, Authorization"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn methods(forms: bool) -> HeaderValue {
    match forms {
        true => METHODS_AND_FORMS,
        false => METHODS,
    }
}

pub(super) fn method_not_allowed(forms: bool) -> Response {
    let mut response = line(
        StatusCode::METHOD_NOT_ALLOWED,
        match forms {
            true => {
                "only GET, HEAD, OPTIONS and the POST of a form work here: this is for watching"
            }
            false => "only GET, HEAD and OPTIONS work here: this is for watching",
        },
    );
    response.headers_mut().insert(ALLOW, methods(forms));
    response
}

/// How a document is sent, beside what it says.
pub(super) struct DocumentFields {
    pub(super) cache_control: HeaderValue,
    /// The request fields that changed the text, beside `Accept-Encoding`.
    pub(super) vary: Option<String>,
    pub(super) priority: Option<HeaderValue>,
}

pub(super) fn document(
    document: &Document,
    fields: DocumentFields,
    conditions: &Conditions,
) -> Response {
    let encoded = document.encoding(conditions.gzip);
    let unchanged = conditions.has(&encoded.etag);
    let mut response = begin(if unchanged {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    });
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, fields.cache_control);
    headers.insert(ETAG, encoded.etag.clone());
    headers.insert(VARY, vary(fields.vary));
    if let Some(priority) = fields.priority {
        headers.insert(PRIORITY, priority);
    }
    if unchanged {
        return response;
    }
    headers.insert(CONTENT_TYPE, document.content_type.clone());
    if encoded.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_LENGTH, encoded.bytes.len().into());
    *response.body_mut() = encoded.bytes.clone().into();
    response
}

fn vary(more: Option<String>) -> HeaderValue {
    more.and_then(|more| HeaderValue::from_str(&format!("Accept-Encoding, {more}")).ok())
        .unwrap_or(HeaderValue::from_static("Accept-Encoding"))
}

/// How long caches may keep a thing.
pub(super) fn max_age(seconds: u32, immutable: bool) -> HeaderValue {
    let immutable = if immutable { ", immutable" } else { "" };
    HeaderValue::from_str(&format!("public, max-age={seconds}{immutable}"))
        .expect("digits and letters are a header value")
}

/// A response without content, which has the fields of the one that has some.
pub(crate) fn header_only(mut response: Response) -> Response {
    *response.body_mut() = Body::empty();
    response
}

/// Bytes of something that never changes.
pub(super) struct Bytewise {
    pub(super) content_type: HeaderValue,
    pub(super) cache_control: HeaderValue,
    pub(super) etag: HeaderValue,
    pub(super) priority: HeaderValue,
    /// Length of the whole.
    pub(super) len: u64,
}

impl Bytewise {
    /// The response to a request with these conditions; `body` makes the bytes from one to before another, or all.
    pub(super) fn respond(
        self,
        conditions: &Conditions,
        body: impl FnOnce(Option<(u64, u64)>) -> Body,
    ) -> Response {
        if conditions.has(&self.etag) {
            let mut response = begin(StatusCode::NOT_MODIFIED);
            self.lasting(response.headers_mut());
            return response;
        }
        let bounds = match conditions.range(&self.etag) {
            None => None,
            Some(range) => match range.within(self.len) {
                Some(bounds) => Some(bounds),
                None => return self.unsatisfiable(),
            },
        };
        let mut response = begin(StatusCode::OK);
        let headers = response.headers_mut();
        let mut len = self.len;
        if let Some((start, end)) = bounds {
            len = end - start;
            let range = format!("bytes {start}-{}/{}", end - 1, self.len);
            let range = HeaderValue::from_str(&range).expect("digits are a header value");
            headers.insert(header::CONTENT_RANGE, range);
        }
        headers.insert(CONTENT_LENGTH, len.into());
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.lasting(headers);
        if bounds.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        *response.body_mut() = body(bounds);
        response
    }

    fn lasting(self, headers: &mut HeaderMap) {
        headers.insert(CACHE_CONTROL, self.cache_control);
        headers.insert(ETAG, self.etag);
        headers.insert(PRIORITY, self.priority);
    }

    fn unsatisfiable(self) -> Response {
        let mut response = line(
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("there are {} bytes, none of them in this range", self.len),
        );
        let range = HeaderValue::from_str(&format!("bytes */{}", self.len))
            .expect("digits are a header value");
        response.headers_mut().insert(header::CONTENT_RANGE, range);
        response
    }
}
