use std::borrow::Cow;

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    http::HeaderValue,
};
use serde::Serialize;

use crate::http::Response;

/// A response that only our own page may use, and that nobody keeps. There is no CORS here.
pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    content: impl Into<Bytes>,
) -> Response {
    let content: Bytes = content.into();
    let length = content.len();
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(10);
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        // A page that shows ours in a frame could make somebody press its buttons.
        (X_FRAME_OPTIONS, "DENY"),
        (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => reply(StatusCode::OK, "application/json", text),
        Err(error) => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer can't be written as JSON: {error}; this is a bug in picam-host"),
        )
        .into(),
    }
}

/// An error as JSON (RFC 9457).
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// The phrase of the status, since there is no type beyond it (RFC 9457, 4.2.1).
    title: &'static str,
    #[serde(serialize_with = "code")]
    pub(super) status: StatusCode,
    /// One line for a person.
    detail: Cow<'static, str>,
    /// Which plugin it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// Which of its generations goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip)]
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

fn code<S: serde::Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            plugin: None,
            generation: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// `allow` are the methods that there are.
    pub(super) fn method(allow: &'static str) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("the methods that work here: {allow}"),
        );
        problem
            .headers
            .push((ALLOW, HeaderValue::from_static(allow)));
        problem
    }

    /// The same, about a plugin of which this generation goes on.
    pub(super) fn of_plugin(mut self, plugin: String, generation: Option<u64>) -> Self {
        self.plugin = Some(plugin);
        self.generation = generation;
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let text = serde_json::to_vec(&problem).expect("strings and numbers are JSON");
        let mut response = reply(problem.status, "application/problem+json", text);
        for (name, value) in problem.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
