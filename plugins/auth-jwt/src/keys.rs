//! Keys as configuration has them: JWK and JWK Set (RFC 7517, 8037), PEM (RFC 7468, 8410, 5480), or a secret.

use std::fmt;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use ed25519_dalek::VerifyingKey as Ed25519;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::{VerifyingKey as P256, signature::Verifier};
use picam_plugin::{log, text};
use serde_json::Value;
use sha2::Sha256;

/// Bytes of a secret (RFC 7518, 3.2).
const SECRET_LEAST: usize = 32;

/// How a SubjectPublicKeyInfo of Ed25519 begins (RFC 8410, 4), and one of an uncompressed point on P-256 (RFC 5480, 2).
/// The key is the rest, and there is no other way to write these in DER.
const ED25519_DER: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const P256_DER: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// A key, and with it the one algorithm that it is for: what a token says of its algorithm must be the same.
pub struct Key {
    /// Tokens that name a key name it so.
    id: Option<String>,
    verifier: Verifying,
}

enum Verifying {
    Hs256(Hmac<Sha256>),
    Es256(P256),
    EdDsa(Ed25519),
}

/// Id and algorithm, and no secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.algorithm()).field(&self.id).finish()
    }
}

impl Key {
    fn new(verifier: Verifying) -> Self {
        Self { id: None, verifier }
    }

    /// Its `alg` (RFC 7518, 3.1).
    fn algorithm(&self) -> &'static str {
        match self.verifier {
            Verifying::Hs256(_) => "HS256",
            Verifying::Es256(_) => "ES256",
            Verifying::EdDsa(_) => "EdDSA",
        }
    }

    /// Whether a token with this header may be signed with it.
    pub fn is_meant(&self, algorithm: &str, id: Option<&str>) -> bool {
        // RFC 9864 gives EdDSA with Ed25519 a name of its own.
        let same = algorithm == self.algorithm()
            || algorithm == "Ed25519" && matches!(self.verifier, Verifying::EdDsa(_));
        let named = match (id, &self.id) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        };
        same && named
    }

    /// Whether it signed the text so.
    pub fn signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifying::Hs256(mac) => mac
                .clone()
                .chain_update(signed)
                .verify_slice(signature)
                .is_ok(),
            Verifying::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
            Verifying::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok()),
        }
    }
}

/// Reads a JWK, a JWK Set, or the public keys of a PEM.
///
/// # Errors
/// What was expected, without the key: the line goes to a log.
pub fn parse(written: &str) -> Result<Vec<Key>, String> {
    let written = written.trim();
    if written.contains(BEGIN) {
        return pem(written);
    }
    let json: Value = serde_json::from_str(written)
        .map_err(|_| "keys: expected a JWK or a JWK Set (JSON), or public keys in PEM")?;
    let Some(set) = json.get("keys") else {
        return Ok(vec![jwk(&json).map_err(|why| {
            text::joined(&["keys: the JWK can't be used: ", &why])
        })?]);
    };
    let mut keys = Vec::new();
    let mut last = String::from("it has none");
    for json in set.as_array().into_iter().flatten() {
        match jwk(json) {
            Ok(key) => keys.push(key),
            // Sets of other people hold keys for other things, too (RFC 7517, 5).
            Err(why) => {
                log::warn(&text::joined(&["a key of the JWK Set is left out: ", &why]));
                last = why;
            }
        }
    }
    if keys.is_empty() {
        return Err(text::joined(&[
            "keys: no key of the JWK Set can be used: ",
            &last,
        ]));
    }
    Ok(keys)
}

/// A secret for HS256.
///
/// # Errors
/// It is too short.
pub fn secret(written: &str) -> Result<Key, String> {
    hs256(written.as_bytes()).map_err(|why| text::joined(&["secret: ", &why]))
}

fn hs256(secret: &[u8]) -> Result<Key, String> {
    if secret.len() < SECRET_LEAST {
        return Err(
            "HS256 needs a secret of 32 bytes at least (RFC 7518, 3.2); `openssl rand -hex 32` makes one"
                .into(),
        );
    }
    let mac = Hmac::new_from_slice(secret).map_err(|_| "HMAC takes a key of any length")?;
    Ok(Key::new(Verifying::Hs256(mac)))
}

fn jwk(json: &Value) -> Result<Key, String> {
    let member = |name: &str| json.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        member(name)
            .and_then(|text| Base64UrlUnpadded::decode_vec(text).ok())
            .ok_or_else(|| text::joined(&["its `", name, "` is no base64url"]))
    };
    if member("use").is_some_and(|usage| usage != "sig") {
        return Err("its `use` isn't `sig`".into());
    }
    let kind = member("kty").ok_or("it has no `kty`")?;
    if kind != "oct" && json.get("d").is_some() {
        return Err("it is a private key, which belongs to whoever signs: leave out `d`".into());
    }
    let mut key = match (kind, member("crv")) {
        ("oct", _) => hs256(&bytes("k")?)?,
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518, 6.2.1.2: leading zeros are written.
            if x.len() != 32 || y.len() != 32 {
                return Err("its `x` and `y` don't have 32 bytes each".into());
            }
            p256(&[&[4][..], &x, &y].concat())?
        }
        ("OKP", Some("Ed25519")) => ed25519(&bytes("x")?)?,
        (_, curve) => {
            return Err(text::joined(&[
                "its kind is ",
                kind,
                " ",
                curve.unwrap_or_default(),
                "; there are oct (HS256), EC P-256 (ES256) and OKP Ed25519 (EdDSA)",
            ]));
        }
    };
    let fits = |algorithm: &str| key.is_meant(algorithm, None);
    if let Some(other) = member("alg").filter(|algorithm| !fits(algorithm)) {
        return Err(text::joined(&[
            "its `alg` is ",
            other,
            ", and a key of its kind is for ",
            key.algorithm(),
        ]));
    }
    key.id = member("kid").map(Into::into);
    Ok(key)
}

fn pem(written: &str) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for block in written.split(BEGIN).skip(1) {
        let (label, rest) = block.split_once("-----").unwrap_or_default();
        let (body, _) = rest.split_once(END).unwrap_or_default();
        if label.contains("PRIVATE") {
            return Err(
                "keys: that is a private key, which belongs to whoever signs; `openssl pkey -in KEY.pem -pubout` gives \
                 the public one"
                    .into(),
            );
        }
        if label != "PUBLIC KEY" {
            return Err(text::joined(&[
                "keys: expected PUBLIC KEY in PEM, not ",
                label,
            ]));
        }
        let body: String = body.split_ascii_whitespace().collect();
        let der = Base64::decode_vec(&body).map_err(|_| "keys: the PEM is damaged")?;
        let key = if let Some(key) = der.strip_prefix(ED25519_DER) {
            ed25519(key)
        } else if let Some(key) = der.strip_prefix(P256_DER) {
            p256(key)
        } else {
            Err("it is neither of P-256 (ES256) nor of Ed25519 (EdDSA)".into())
        };
        keys.push(
            key.map_err(|why| text::joined(&["keys: a public key in PEM can't be used: ", &why]))?,
        );
    }
    Ok(keys)
}

fn p256(sec1: &[u8]) -> Result<Key, String> {
    let key = P256::from_sec1_bytes(sec1).map_err(|_| "it is no point of P-256")?;
    Ok(Key::new(Verifying::Es256(key)))
}

fn ed25519(bytes: &[u8]) -> Result<Key, String> {
    let key = bytes
        .try_into()
        .ok()
        .and_then(|bytes| Ed25519::from_bytes(bytes).ok())
        .filter(|key| !key.is_weak())
        .ok_or("it is no key of Ed25519")?;
    Ok(Key::new(Verifying::EdDsa(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 7517, A.1.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;

    #[test]
    fn keys_are_read_from_json_and_pem_alike() {
        let signing = EC.replace("enc", "sig");
        let set = format!(
            r#"{{"keys":[{signing},{{"kty":"RSA","n":"AQAB","e":"AQAB"}},
            {{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
            {{"kty":"oct","alg":"HS256","kid":"s","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}}]}}"#
        );
        let keys = parse(&set).unwrap();
        assert_eq!(
            format!("{keys:?}"),
            r#"[ES256(Some("1")), EdDSA(None), HS256(Some("s"))]"#
        );
        // `openssl genpkey -algorithm ed25519`, `openssl ecparam -name prime256v1 -genkey`, and `-pubout` of each.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
             MCowBQYDK2VwAyEAEp/dU3j33sl3SQ1tmWM8XW/E/qEFI9ieLbjs8DQ/FOE=\n\
             -----END PUBLIC KEY-----\n-----BEGIN PUBLIC KEY-----\n\
             MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvOtpAI78me/lVLbCKzMLsTBQjKyr\n\
             dKckqLU0JrPURcT18oaOTbHzgSePDQz0bnq2coZYZ/KEN8xs+qZWM0j7IA==\n\
             -----END PUBLIC KEY-----";
        assert_eq!(
            format!("{:?}", parse(pem).unwrap()),
            "[EdDSA(None), ES256(None)]"
        );
        assert_eq!(
            format!("{:?}", secret(&"s".repeat(32)).unwrap()),
            "HS256(None)"
        );
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_would_be_one() {
        for (written, expected) in [
            ("", "expected a JWK"),
            ("sesame", "expected a JWK"),
            ("{}", "it has no `kty`"),
            (r#"{"keys":[]}"#, "it has none"),
            (r#"{"keys":[{"kty":"RSA"}]}"#, "its kind is RSA"),
            (EC, "its `use` isn't `sig`"),
            (
                &EC.replace("enc", "sig").replace("MKB", "MKC"),
                "no point of P-256",
            ),
            (
                &EC.replace("enc", "sig").replace("P-256", "P-384"),
                "its kind is EC P-384",
            ),
            (
                &EC.replace("\"enc\"", "\"sig\",\"alg\":\"HS256\""),
                "a key of its kind is for ES256",
            ),
            (
                &EC.replace("\"enc\"", "\"sig\",\"d\":\"AA\""),
                "it is a private key",
            ),
            (
                r#"{"kty":"oct","k":"c2hvcnQ"}"#,
                "a secret of 32 bytes at least",
            ),
            (r#"{"kty":"oct","k":"???"}"#, "its `k` is no base64url"),
            (
                r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#,
                "no key of Ed25519",
            ),
            (
                r#"{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
                "no key of Ed25519",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----",
                "openssl pkey",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----",
                "not CERTIFICATE",
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nMC4=\n-----END PUBLIC KEY-----",
                "neither of P-256",
            ),
            (
                "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
                "PEM is damaged",
            ),
        ] {
            let error = parse(written).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = secret("sesame").unwrap_err();
        assert!(error.starts_with("secret: HS256 needs"), "{error}");
        assert!(!error.contains("sesame"));
    }
}
