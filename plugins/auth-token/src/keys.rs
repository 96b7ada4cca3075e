use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use picam_plugin::text;
use sha2::Sha256;

/// Characters of a secret: as many as its hash has bytes, since a shorter one would be what is weakest (RFC 2104, 3).
const SECRET_LEAST: usize = 32;

/// The keys that sign tokens, by id.
pub struct Keys(Vec<(String, Hmac<Sha256>)>);

/// Ids, and no secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(id, _)| id))
            .finish()
    }
}

impl Keys {
    /// Reads `ID:SECRET`, separated by white space.
    ///
    /// # Errors
    /// What was expected, without the secret: the line goes to a log.
    pub fn parse(written: &str) -> Result<Self, String> {
        let mut keys: Vec<(String, Hmac<Sha256>)> = Vec::new();
        for pair in written.split_ascii_whitespace() {
            let Some((id, secret)) = pair.split_once(':') else {
                return Err("keys: expected ID:SECRET, as in 2026:… with the output of `openssl rand -hex 32`".into());
            };
            let sane = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
            if id.is_empty() || id.len() > 32 || !id.bytes().all(sane) {
                return Err(text::joined(&[
                    "keys: `",
                    id,
                    "` is no id of a key; it has 1 to 32 letters, digits, - and _",
                ]));
            }
            if secret.len() < SECRET_LEAST {
                return Err(text::joined(&[
                    "keys: the secret of `",
                    id,
                    "` is shorter than 32 characters; `openssl rand -hex 32` makes a good one",
                ]));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(text::joined(&["keys: the id `", id, "` occurs twice"]));
            }
            let mac = Hmac::new_from_slice(secret.as_bytes())
                .map_err(|_| "keys: HMAC takes a key of any length")?;
            keys.push((id.into(), mac));
        }
        if keys.is_empty() {
            return Err(
                "keys: at least one is needed, as in keys=2026:… with the output of `openssl rand -hex 32`".into(),
            );
        }
        Ok(Self(keys))
    }

    /// Whether the key of this id signed `claims` so. The comparison takes as long for a signature that is nearly right.
    pub fn signed(&self, id: &str, claims: &[u8], signature: &[u8]) -> bool {
        let Some((_, mac)) = self.0.iter().find(|(known, _)| known == id) else {
            return false;
        };
        mac.clone()
            .chain_update(claims)
            .verify_slice(signature)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test cases 1 to 4 and 6. The configuration would refuse such keys, so they are put in by hand.
        for (key, data, mac) in [
            (
                "0b".repeat(20),
                "4869205468657265".into(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                "4a656665".into(),
                "7768617420646f2079612077616e7420666f72206e6f7468696e673f".into(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                "aa".repeat(20),
                "dd".repeat(50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                "0102030405060708090a0b0c0d0e0f10111213141516171819".into(),
                "cd".repeat(50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                "aa".repeat(131),
                "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b657920\
                 4669727374"
                    .into(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let (key, data): (String, String) = (key, data);
            let keys = Keys(vec![(
                "k".into(),
                Hmac::new_from_slice(&hex(&key)).unwrap(),
            )]);
            let mut data = hex(&data);
            assert!(keys.signed("k", &data, &hex(mac)), "{mac}");
            data[0] ^= 1;
            assert!(!keys.signed("k", &data, &hex(mac)), "{mac}");
        }
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_without_telling_secrets() {
        let secret = "s".repeat(32);
        for (written, expected) in [
            ("", "at least one is needed"),
            (" \n ", "at least one is needed"),
            (&*secret, "expected ID:SECRET"),
            (&format!(":{secret}"), "`` is no id"),
            (&format!("a.b:{secret}"), "`a.b` is no id"),
            ("a:short", "secret of `a` is shorter than 32"),
            (&format!("a:{secret} a:{secret}"), "`a` occurs twice"),
        ] {
            let error = Keys::parse(written).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&secret), "{error}");
        }
        let keys = Keys::parse(&format!("a:{secret}\n b:{secret}:with:colons")).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["a", "b"]"#);
    }
}
