//! Bodies of the fuzz targets `query` and `request`.

use std::net::Ipv4Addr;

use hyper::{
    HeaderMap, Method, Uri,
    header::{HeaderName, HeaderValue},
    http::request::Parts,
};

pub use super::query::fuzz as query;
use super::{
    conditions::Conditions,
    knock::{self, Address},
};
use crate::plugin::{Inputs, Question, Reads};

/// A request whose first line is the address, whose further ones up to an empty one are header fields, and whose rest is a
/// form. `None` for what hyper would not let through.
pub(crate) fn parts(input: &[u8]) -> Option<(Parts, &[u8])> {
    let (head, form) = match memchr::memmem::find(input, b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &[][..]),
    };
    let mut lines = head.split(|&byte| byte == b'\n');
    let (mut parts, ()) = hyper::Request::new(()).into_parts();
    parts.uri = Uri::try_from(lines.next()?).ok()?;
    if !form.is_empty() {
        parts.method = Method::POST;
    }
    for line in lines {
        let colon = memchr::memchr(b':', line)?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        parts.headers.append(name, value);
    }
    Some((parts, form))
}

/// Whatever a viewer asks for: what reaches a plugin is declared, and can be taken apart again; ranges lie within.
///
/// # Panics
///
/// When a rule is broken.
pub fn request(input: &[u8]) {
    let Some((parts, form)) = parts(input) else {
        return;
    };
    conditions(&parts.method, &parts.headers);
    if let Ok(Ok(flat)) = std::str::from_utf8(form).map(knock::form) {
        pairs(&flat, |_| true);
    }
    let Ok(address) = Address::of(parts.uri.path()) else {
        return;
    };
    assert!(address.path.starts_with('/'));
    assert!(!address.path.chars().any(char::is_control));
    if let Some(token) = &address.token {
        assert!(!token.contains('/') && !token.chars().any(char::is_control));
    }
    let declared = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let reads = Reads {
        inputs: Inputs {
            query: declared(&["a", "ä"]),
            headers: declared(&["authorization", "host", "x-a"]),
            cookies: declared(&["a", "sid"]),
        },
        method: true,
        peer: true,
        form: true,
    };
    let peer = Ipv4Addr::LOCALHOST.into();
    let Ok(question) = knock::question(&reads, &parts, &address, peer) else {
        return;
    };
    let Question {
        token,
        query,
        headers,
        cookies,
        ..
    } = question;
    assert_eq!(token, address.token);
    for (flat, declared) in [
        (query, &reads.inputs.query),
        (headers, &reads.inputs.headers),
        (cookies, &reads.inputs.cookies),
    ] {
        pairs(&flat, |key| declared.iter().any(|declared| declared == key));
    }
}

/// Takes apart what the contract calls a flat string.
fn pairs(flat: &str, known: impl Fn(&str) -> bool) {
    for pair in flat.split('\n').filter(|_| !flat.is_empty()) {
        let (key, value) = pair.split_once('\t').expect("a key and a value");
        for text in [key, value] {
            assert!(!text.chars().any(|c| c.is_ascii_control()), "{text:?}");
            // One percent-decoding gives what was meant, so there is nothing in it that can't be decoded.
            let mut rest = text.split('%');
            rest.next();
            for escaped in rest {
                let digits = escaped.get(..2).expect("two digits after %");
                u8::from_str_radix(digits, 16).expect("hexadecimal digits after %");
            }
        }
        assert!(known(key), "{key:?} is not declared");
    }
}

fn conditions(method: &Method, headers: &HeaderMap) {
    let conditions = Conditions::of(method, headers);
    let tag = HeaderValue::from_static("\"a\"");
    conditions.has(&tag);
    let Some(range) = conditions.range(&tag) else {
        return;
    };
    for len in [0, 1, 1_000, u64::MAX] {
        if let Some((start, end)) = range.within(len) {
            assert!(start < end && end <= len);
        }
    }
}
