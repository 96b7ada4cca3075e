//! Percent-encoding of queries and paths.

use std::borrow::Cow;

/// Longest value, and most values, of declared parameters that are passed to a plugin. Playlists need a few digits.
const MOST: usize = 32;
const LONGEST: usize = 1_024;

/// Why a query can't be passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error(
        "parameter {name} can't be decoded: after % come two hexadecimal digits, and what they say is UTF-8"
    )]
    Encoding { name: String },
    #[error("parameter {name} is longer than {longest} bytes")]
    Length { name: String, longest: usize },
    #[error("parameters are given more than {MOST} times")]
    Count,
    #[error(
        "fields of the form can't be decoded: after % come two hexadecimal digits, and what they say is UTF-8"
    )]
    Form,
}

/// The declared parameters of a query, decoded, in its order, however often each comes. What isn't declared may be
/// anything, and is left out.
///
/// A parameter without `=` has an empty value; `+` is a space (the URL standard's `application/x-www-form-urlencoded`).
pub(super) fn parse(query: &str, declared: &[String]) -> Result<Vec<(String, String)>, Malformed> {
    parse_within(query, declared, LONGEST)
}

/// The directives of HLS (RFC 8216bis, 6.2.5) each written in the one way: their numbers without leading zeros. Whoever asks
/// for segment `05` asks for segment 5, and shares the answer.
pub(super) fn canonical(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, value) in &mut pairs {
        if name.starts_with("_HLS_") && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let zeros = value.len() - value.trim_start_matches('0').len();
            value.drain(..zeros.min(value.len().saturating_sub(1)));
        }
    }
    pairs
}

/// All fields of a form, decoded, in its order. Whoever reads it has bounded it.
pub(super) fn all(form: &str) -> Result<Vec<(String, String)>, Malformed> {
    form.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            decode(name, true)
                .zip(decode(value, true))
                .ok_or(Malformed::Form)
        })
        .collect()
}

/// The same as [`parse`], with values of up to so many bytes.
pub(super) fn parse_within(
    query: &str,
    declared: &[String],
    longest: usize,
) -> Result<Vec<(String, String)>, Malformed> {
    let mut pairs = Vec::new();
    if declared.is_empty() {
        return Ok(pairs);
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name, true).filter(|name| declared.contains(name)) else {
            continue;
        };
        if value.len() > longest {
            return Err(Malformed::Length { name, longest });
        }
        if pairs.len() == MOST {
            return Err(Malformed::Count);
        }
        match decode(value, true) {
            Some(value) => pairs.push((name, value)),
            None => return Err(Malformed::Encoding { name }),
        }
    }
    Ok(pairs)
}

/// A path as the log may show it: without the permission that its first element may be (`/~TOKEN/cam/live.m3u8`).
pub(super) fn shown(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("/~") {
        Some(token) => match token.split_once('/') {
            Some((_, rest)) => format!("/~…/{rest}").into(),
            None => "/~…".into(),
        },
        None => path.into(),
    }
}

/// A path without its percent-encoding, as names are looked up by; `None` for what no name can be.
///
/// An encoded slash is not a slash, and an encoded NUL nothing at all. Elements like `..` stay what they are: names that
/// don't exist.
pub(super) fn decode_path(path: &str) -> Option<String> {
    let encoded_slash = path
        .as_bytes()
        .windows(3)
        .any(|bytes| bytes[0] == b'%' && bytes[1] == b'2' && bytes[2].eq_ignore_ascii_case(&b'f'));
    if encoded_slash {
        return None;
    }
    decode(path, false).filter(|path| !path.chars().any(char::is_control))
}

/// Undoes percent-encoding, once. `None` if a `%` isn't followed by two hexadecimal digits, or the bytes aren't UTF-8.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high << 4 | low).expect("two hexadecimal digits are a byte")
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Body of the fuzz target `query`: whatever comes in, what goes out is bounded, declared, and survives a round trip.
///
/// # Panics
///
/// When a rule is broken.
pub fn fuzz(input: &[u8]) {
    let declared = ["_HLS_msn", "a", "ä"].map(str::to_owned);
    let text = String::from_utf8_lossy(input);
    if let Some(path) = decode_path(&text) {
        assert!(path.len() <= text.len() && !path.contains('\0'));
        assert_eq!(
            path.matches('/').count(),
            text.matches('/').count(),
            "no slash appears"
        );
    }
    let Ok(pairs) = parse(&text, &declared) else {
        return;
    };
    assert!(pairs.len() <= MOST);
    let mut encoded = String::new();
    for (name, value) in &pairs {
        assert!(declared.contains(name) && value.len() <= LONGEST);
        encoded.push_str(&encode(name));
        encoded.push('=');
        encoded.push_str(&encode(value));
        encoded.push('&');
    }
    // A value may have become longer than is accepted by being encoded.
    if pairs.iter().all(|(_, value)| value.len() * 3 <= LONGEST) {
        assert_eq!(parse(&encoded, &declared), Ok(pairs), "round trip");
    }
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn declared() -> Vec<String> {
        ["_HLS_msn", "_HLS_part", "ä b"].map(str::to_owned).into()
    }

    fn pairs(query: &str) -> Vec<(String, String)> {
        parse(query, &declared()).expect("well-formed")
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_log_shows_no_token() {
        assert_eq!(shown("/~s3cret/cam/live.m3u8"), "/~…/cam/live.m3u8");
        assert_eq!(shown("/~s3cret"), "/~…");
        assert_eq!(shown("/cam/~x"), "/cam/~x");
    }

    #[test]
    fn only_declared_parameters_come_through() {
        assert_eq!(
            pairs("x=1&_HLS_msn=5&_hls_part=1&_HLS_part=2&"),
            [pair("_HLS_msn", "5"), pair("_HLS_part", "2")]
        );
        assert_eq!(parse("a=%", &[]), Ok(Vec::new()));
    }

    #[test]
    fn order_and_repetition_are_kept() {
        assert_eq!(
            pairs("_HLS_part=2&_HLS_msn=5&_HLS_part=3"),
            [
                pair("_HLS_part", "2"),
                pair("_HLS_msn", "5"),
                pair("_HLS_part", "3")
            ]
        );
    }

    #[test]
    fn a_number_of_a_directive_has_one_spelling_and_other_values_are_left_alone() {
        let query = "_HLS_msn=005&_HLS_part=00&_HLS_part=&_HLS_msn=0x5&_HLS_msn=+05&ä+b=007";
        let values: Vec<_> = canonical(pairs(query))
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(values, ["5", "0", "", "0x5", " 05", "007"]);
    }

    #[test]
    fn encoding_is_undone_once_in_names_and_values() {
        assert_eq!(pairs("%5fHLS_msn=%2525"), [pair("_HLS_msn", "%25")]);
        assert_eq!(pairs("%C3%A4+b=+%2b%26"), [pair("ä b", " +&")]);
        assert_eq!(
            pairs("_HLS_msn&_HLS_part=a=b"),
            [pair("_HLS_msn", ""), pair("_HLS_part", "a=b")]
        );
    }

    #[test]
    fn bad_encoding_matters_in_declared_parameters_only() {
        for value in ["%", "%1", "%zz", "%+1", "%ff"] {
            assert_eq!(
                parse(&format!("_HLS_msn={value}"), &declared()),
                Err(Malformed::Encoding {
                    name: "_HLS_msn".into()
                }),
                "{value}"
            );
            assert_eq!(pairs(&format!("x={value}&{value}")), []);
        }
    }

    #[test]
    fn what_reaches_a_plugin_is_bounded() {
        assert_eq!(
            parse(
                &format!("_HLS_msn={}", "1".repeat(LONGEST + 1)),
                &declared()
            ),
            Err(Malformed::Length {
                name: "_HLS_msn".into(),
                longest: LONGEST,
            })
        );
        assert_eq!(
            parse(&"_HLS_msn=1&".repeat(MOST + 1), &declared()),
            Err(Malformed::Count)
        );
    }

    #[test]
    fn paths_are_names_and_nothing_else() {
        assert_eq!(
            decode_path("/cam/live%2em3u8").as_deref(),
            Some("/cam/live.m3u8")
        );
        assert_eq!(decode_path("/a+b").as_deref(), Some("/a+b"));
        assert_eq!(decode_path("/%2e%2e/x").as_deref(), Some("/../x"));
        for path in ["/a%2fb", "/a%2Fb", "/a%00", "/a%0a", "/%", "/%ff"] {
            assert_eq!(decode_path(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn anything_keeps_the_rules(input: Vec<u8>) {
            fuzz(&input);
        }

        #[test]
        fn anything_in_query_syntax_keeps_the_rules(input in "([a%+=&_HLSmsn0-9fF/]|%[0-9a-f]{2}|ä){0,80}") {
            fuzz(input.as_bytes());
        }
    }
}
