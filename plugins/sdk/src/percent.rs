//! Percent-encoding (RFC 3986, 2.1), and the lists of pairs that the `auth` hook gets.

use std::borrow::Cow;

/// Undoes percent-encoding. `+` stays what it is, and so does a `%` without two hexadecimal digits behind it; bytes that
/// are no UTF-8 become U+FFFD.
///
/// ```
/// use picam_plugin::percent::decode;
/// assert_eq!(decode("a%2Fb%C3%A9+100%"), "a/bé+100%");
/// ```
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = match after {
            [high, low, ..] if byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = encoded {
            bytes.push(high << 4 | low);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// Appends text as one element of a path, or as a key or a value of a query: only unreserved characters (letters, digits,
/// `-._~`) stay as they are.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::percent::push_encoded(&mut out, "a/b é");
/// assert_eq!(out, "a%2Fb%20%C3%A9");
/// ```
pub fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if unreserved(byte) {
            out.push(char::from(byte));
        } else {
            push_byte(out, byte);
        }
    }
}

/// Whether RFC 3986 (2.3) calls the character unreserved: it never needs to be encoded.
pub fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `%` and two hexadecimal digits.
pub(crate) fn push_byte(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS[usize::from(digit)]));
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Pairs as the `auth` hook gets them: separated by `\n`, key from value by `\t`, with `%` and control characters
/// percent-encoded so that neither occurs within.
///
/// ```
/// use picam_plugin::percent::pairs;
/// let pairs: Vec<_> = pairs("user\tada\nnote\ttwo%0Alines").collect();
/// assert_eq!(pairs, [("user".into(), "ada".into()), ("note".into(), "two\nlines".into())]);
/// ```
pub fn pairs(list: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    list.split('\n').filter_map(|pair| {
        let (key, value) = pair.split_once('\t')?;
        Some((decode(key), decode(value)))
    })
}

/// Appends a pair as the host does.
///
/// ```
/// let mut list = String::new();
/// picam_plugin::percent::push_pair(&mut list, "user", "ada\tl.");
/// assert_eq!(list, "user\tada%09l.");
/// ```
pub fn push_pair(list: &mut String, key: &str, value: &str) {
    if !list.is_empty() {
        list.push('\n');
    }
    for (mark, text) in [("", key), ("\t", value)] {
        list.push_str(mark);
        for character in text.chars() {
            match u8::try_from(character) {
                Ok(byte) if byte == b'%' || byte.is_ascii_control() => push_byte(list, byte),
                _ => list.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for text in [
            "",
            "plain",
            "a b/c?d=e&f",
            "100%",
            "%41",
            "é\u{0}\n\t~",
            "日本",
        ] {
            let mut encoded = String::new();
            push_encoded(&mut encoded, text);
            assert!(encoded.bytes().all(|byte| unreserved(byte) || byte == b'%'));
            assert_eq!(decode(&encoded), text);
        }
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for text in ["%", "%4", "%zz", "%%", "a%-1", "%é"] {
            assert_eq!(decode(text), text);
        }
        assert_eq!(decode("%FF%41"), "\u{fffd}A");
    }

    #[test]
    fn pairs_hold_whatever_is_put_into_them() {
        let all = [("k", "v"), ("", ""), ("a\nb\tc", "%0A\r"), ("k", "again")];
        let mut list = String::new();
        for (key, value) in all {
            push_pair(&mut list, key, value);
        }
        let read: Vec<_> = pairs(&list).collect();
        assert_eq!(read.len(), all.len());
        for ((key, value), read) in all.iter().zip(&read) {
            assert_eq!((&*read.0, &*read.1), (*key, *value));
        }
        assert_eq!(pairs("").count(), 0);
    }
}
