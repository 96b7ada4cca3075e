use hyper::{
    HeaderMap, Method,
    header::{ACCEPT_ENCODING, HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE},
    http::HeaderValue,
};

use super::range::Range;

/// What of a request decides how the thing it names is sent. Owns nothing of the request, so that the connection's
/// buffer is free while the request is held.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Header only.
    pub(super) head: bool,
    /// The viewer takes gzip.
    pub(super) gzip: bool,
    none_match: Option<Box<str>>,
    range: Option<Range>,
    if_range: Option<Box<str>>,
}

impl Conditions {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let range = (method == Method::GET)
            .then(|| single(headers, RANGE).and_then(|field| Range::parse(&field)))
            .flatten();
        Self {
            head: method == Method::HEAD,
            gzip: accepts_gzip(headers),
            none_match: joined(headers, IF_NONE_MATCH),
            if_range: range.and_then(|_| single(headers, IF_RANGE)),
            range,
        }
    }

    /// The viewer has what the tag names (RFC 9110, 13.1.2: compared weakly).
    pub(super) fn has(&self, etag: &HeaderValue) -> bool {
        self.none_match.as_deref().is_some_and(|tags| {
            tags.trim() == "*"
                || tags.split(',').any(|tag| {
                    let tag = tag.trim();
                    tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
                })
        })
    }

    /// The range that counts: none if it was meant for another version (RFC 9110, 13.1.5: compared strongly). Nothing
    /// here has a date, so a date never matches.
    pub(super) fn range(&self, etag: &HeaderValue) -> Option<Range> {
        self.range.filter(|_| {
            self.if_range
                .as_deref()
                .is_none_or(|tag| tag.trim().as_bytes() == etag.as_bytes())
        })
    }
}

/// A field that may come once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<Box<str>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(Box::from)
}

/// A list that may be spread over several fields.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<Box<str>> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(",").into())
}

/// Whether `Accept-Encoding` permits gzip (RFC 9110, 12.5.3). Without the field we send plain text: who wants gzip says so.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let Some(field) = joined(headers, ACCEPT_ENCODING) else {
        return false;
    };
    let mut any = false;
    for coding in field.split(',') {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        let accepted = weight(parameters);
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return accepted;
        }
        if name == "*" {
            any = accepted;
        }
    }
    any
}

/// Whether the weight is above zero. One that can't be read is none.
fn weight(parameters: &str) -> bool {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(fields: &[(&'static str, &'static str)]) -> Conditions {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Conditions::of(&Method::GET, &headers)
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (field, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1, gzip;q=0.1", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*, gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("*;q=0, gzip", true),
            ("br, deflate", false),
            ("identity", false),
            ("gzip;q=nonsense", false),
            ("", false),
        ] {
            let conditions = conditions(&[("accept-encoding", field)]);
            assert_eq!(conditions.gzip, expected, "{field}");
        }
        assert!(!conditions(&[]).gzip);
        assert!(conditions(&[("accept-encoding", "br"), ("accept-encoding", "gzip")]).gzip);
    }

    #[test]
    fn who_has_it_is_known_by_its_tag() {
        let tag = HeaderValue::from_static("\"a\"");
        for (field, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            let conditions = conditions(&[("if-none-match", field)]);
            assert_eq!(conditions.has(&tag), expected, "{field}");
        }
        assert!(!conditions(&[]).has(&tag));
    }

    #[test]
    fn a_range_counts_for_the_version_it_was_meant_for() {
        let tag = HeaderValue::from_static("\"a\"");
        for (field, expected) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("Wed, 21 Oct 2015 07:28:00 GMT", false),
        ] {
            let conditions = conditions(&[("range", "bytes=1-2"), ("if-range", field)]);
            assert_eq!(conditions.range(&tag).is_some(), expected, "{field}");
        }
        assert!(conditions(&[("range", "bytes=1-2")]).range(&tag).is_some());
        let twice = conditions(&[("range", "bytes=1-2"), ("range", "bytes=3-4")]);
        assert_eq!(twice.range(&tag), None);
    }
}
