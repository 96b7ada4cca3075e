//! What of a request decides who may watch: read once, before anything is waited for.

use std::{net::IpAddr, sync::Arc};

use hyper::{
    HeaderMap, Method,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST},
    http::{HeaderValue, request::Parts},
};

use super::{letter::Letter, query};
use crate::plugin::{Question, Reads};

/// Bytes of a form.
pub(super) const FORM_MOST: usize = 4_096;
/// Bytes of a declared query parameter: as much as a header has room for.
const PARAMETER_MOST: usize = 8_192;

/// An address, with the permission that may be its first element taken off.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Percent-encoding undone; begins with a slash.
    pub(super) path: Arc<str>,
    /// Without its `~`.
    pub(super) token: Option<String>,
}

/// Why an address is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// It has characters in it that no name has.
    Undecodable,
    /// A token without a slash after it: relative addresses would lose it. This is where it should lead to, seen from here.
    NoSlash(String),
}

impl Address {
    pub(super) fn of(raw: &str) -> Result<Self, NoAddress> {
        // `*`, and what CONNECT asks for, are no paths.
        let path = query::decode_path(raw)
            .filter(|path| path.starts_with('/'))
            .ok_or(NoAddress::Undecodable)?;
        let Some(rest) = path.strip_prefix("/~") else {
            return Ok(Self {
                path: path.into(),
                token: None,
            });
        };
        match rest.split_once('/') {
            Some((token, below)) => Ok(Self {
                path: format!("/{below}").into(),
                token: Some(token.to_owned()),
            }),
            None => Err(NoAddress::NoSlash(format!(".{raw}/"))),
        }
    }
}

/// A request for permission.
pub(super) struct Knock {
    /// By which the questions were made.
    pub(super) reads: Arc<[Reads]>,
    pub(super) path: Arc<str>,
    pub(super) peer: IpAddr,
    /// One for each of `reads`; `None` for those that aren't concerned.
    pub(super) questions: Vec<Option<Question>>,
    /// A form that is still to be read into the questions.
    pub(super) form: Option<Incoming>,
    /// From which other questions can be made.
    pub(super) letter: Letter,
}

/// Why a form isn't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoForm {
    /// No plugin takes forms.
    Unwanted,
    /// Its media type is another one.
    WrongType,
    /// It has more than `FORM_MOST` bytes.
    TooLong,
}

impl Knock {
    /// `Ok(None)` where everybody may watch.
    ///
    /// A form (`POST`) concerns the plugins that take forms, and no other.
    pub(super) fn read(
        reads: Arc<[Reads]>,
        head: &Parts,
        body: Incoming,
        address: &Address,
        peer: IpAddr,
    ) -> Result<Option<Self>, Unreadable> {
        let posted = head.method == Method::POST;
        if posted {
            if !reads.iter().any(Reads::takes_forms) {
                return Err(Unreadable::Form(NoForm::Unwanted));
            }
            check_form(&head.headers).map_err(Unreadable::Form)?;
        }
        if reads.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            questions: questions(&reads, head, address, peer)?,
            reads,
            path: address.path.clone(),
            peer,
            form: posted.then_some(body),
            letter: Letter::of(head),
        }))
    }
}

/// A question for each plugin, as far as it is concerned.
pub(super) fn questions(
    reads: &[Reads],
    head: &Parts,
    address: &Address,
    peer: IpAddr,
) -> Result<Vec<Option<Question>>, query::Malformed> {
    let posted = head.method == Method::POST;
    reads
        .iter()
        .map(|reads| match posted && !reads.takes_forms() {
            true => Ok(None),
            false => question(reads, head, address, peer).map(Some),
        })
        .collect()
}

/// Why a request for permission can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Form(NoForm),
    Query(query::Malformed),
}

impl From<query::Malformed> for Unreadable {
    fn from(malformed: query::Malformed) -> Self {
        Self::Query(malformed)
    }
}

pub(super) fn question(
    reads: &Reads,
    head: &Parts,
    address: &Address,
    peer: IpAddr,
) -> Result<Question, query::Malformed> {
    let inputs = &reads.inputs;
    let mut question = Question {
        token: address.token.clone(),
        ..Question::default()
    };
    if reads.method {
        question.method = match head.method {
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            _ => "GET",
        };
    }
    if reads.peer {
        question.peer = peer.to_canonical().to_string();
    }
    let query = head.uri.query().unwrap_or_default();
    for (name, value) in query::parse_within(query, &inputs.query, PARAMETER_MOST)? {
        push(&mut question.query, &name, &value);
    }
    for name in &inputs.headers {
        let mut values = texts(&head.headers, name).peekable();
        // HTTP/2 has it in the address.
        if values.peek().is_none()
            && name == HOST.as_str()
            && let Some(authority) = head.uri.authority()
        {
            push(&mut question.headers, name, authority.as_str());
        }
        for value in values {
            push(&mut question.headers, name, value);
        }
    }
    for (name, value) in cookies(&head.headers, &inputs.cookies) {
        push(&mut question.cookies, name, value);
    }
    Ok(question)
}

/// The values of a field that are text. What isn't is nothing that a plugin could read.
pub(super) fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().flat_map(HeaderValue::to_str)
}

/// The declared cookies, in the order of the request.
pub(super) fn cookies<'a>(
    headers: &'a HeaderMap,
    declared: &[String],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let fields = match declared.is_empty() {
        true => None,
        false => Some(texts(headers, COOKIE.as_str())),
    };
    fields
        .into_iter()
        .flatten()
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, _)| declared.iter().any(|declared| declared == name))
}

fn check_form(headers: &HeaderMap) -> Result<(), NoForm> {
    let mut types = texts(headers, CONTENT_TYPE.as_str());
    let essence = types
        .next()
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        return Err(NoForm::WrongType);
    }
    let length = texts(headers, CONTENT_LENGTH.as_str())
        .next()
        .and_then(|length| length.parse::<u64>().ok());
    match length {
        Some(length) if length > FORM_MOST as u64 => Err(NoForm::TooLong),
        _ => Ok(()),
    }
}

/// The fields of a form, as the contract writes them.
pub(super) fn form(text: &str) -> Result<String, query::Malformed> {
    let mut flat = String::new();
    for (name, value) in query::all(text)? {
        push(&mut flat, &name, &value);
    }
    Ok(flat)
}

/// Adds a pair to a flat string of the contract: `\n` between pairs, `\t` between key and value, and neither within.
fn push(flat: &mut String, key: &str, value: &str) {
    if !flat.is_empty() {
        flat.push('\n');
    }
    escape(flat, key);
    flat.push('\t');
    escape(flat, value);
}

fn escape(flat: &mut String, text: &str) {
    use std::fmt::Write as _;
    for c in text.chars() {
        match c {
            '%' | '\0'..='\x1f' | '\x7f' => {
                write!(flat, "%{:02X}", u32::from(c)).expect("a string takes everything");
            }
            c => flat.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_first_element_and_no_part_of_the_path() {
        let address = |raw| Address::of(raw);
        let found = |path: &str, token: Option<&str>| {
            Ok(Address {
                path: path.into(),
                token: token.map(str::to_owned),
            })
        };
        assert_eq!(
            address("/~a.b-c/cam/live.m3u8"),
            found("/cam/live.m3u8", Some("a.b-c"))
        );
        assert_eq!(address("/~a/"), found("/", Some("a")));
        assert_eq!(address("/%7Ea%20b/x"), found("/x", Some("a b")));
        assert_eq!(address("/~/x"), found("/x", Some("")));
        assert_eq!(address("/~a/~b/x"), found("/~b/x", Some("a")));
        assert_eq!(address("/cam/~a/x"), found("/cam/~a/x", None));
        assert_eq!(address("//~a/x"), found("//~a/x", None));
        for no_path in ["/~a%2Fb/x", "*", ""] {
            assert_eq!(address(no_path), Err(NoAddress::Undecodable));
        }
        assert_eq!(address("/~a%0a/x"), Err(NoAddress::Undecodable));
        assert_eq!(
            address("/~a%20b"),
            Err(NoAddress::NoSlash("./~a%20b/".to_owned()))
        );
    }

    #[test]
    fn what_separates_pairs_can_not_occur_within() {
        let mut flat = String::new();
        push(&mut flat, "a", "1\t2\n3%4\x7fä");
        push(&mut flat, "b\n", "");
        assert_eq!(flat, "a\t1%092%0A3%254%7Fä\nb%0A\t");
        assert_eq!(
            form("user=a+b&pass=%25%0d%0a&c").unwrap(),
            "user\ta b\npass\t%25%0D%0A\nc\t"
        );
        assert!(form("a=%zz").is_err());
    }

    #[test]
    fn undeclared_cookies_and_headers_are_not_seen() {
        let request = hyper::Request::get("http://cam.example/x?a=1&b=2&a=3")
            .header("cookie", "sid=1; other=2")
            .header("cookie", "sid = 3")
            .header("authorization", "Basic eDp5")
            .header("x-secret", "no")
            .body(())
            .unwrap();
        let reads = Reads {
            inputs: crate::plugin::Inputs {
                query: vec!["a".into()],
                headers: vec!["authorization".into(), "host".into()],
                cookies: vec!["sid".into()],
            },
            method: true,
            peer: true,
            form: false,
        };
        let address = Address::of("/~t/x").unwrap();
        let peer: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let question = question(&reads, &request.into_parts().0, &address, peer).unwrap();
        assert!(
            question
                == Question {
                    token: Some("t".into()),
                    method: "GET",
                    peer: "192.0.2.1".into(),
                    query: "a\t1\na\t3".into(),
                    headers: "authorization\tBasic eDp5\nhost\tcam.example".into(),
                    cookies: "sid\t1\nsid\t3".into(),
                    form: String::new(),
                }
        );
    }
}
