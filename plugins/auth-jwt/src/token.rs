//! JSON Web Tokens (RFC 7519), signed (RFC 7515) with a key that was configured.

use base64ct::{Base64UrlUnpadded, Encoding};
use picam_plugin::bearer::Grant;
use serde_json::{Map, Value};

use crate::keys::Key;

/// A longer token is none.
const LONGEST: usize = 8_192;

/// What a token must say besides being signed.
#[derive(Debug)]
pub struct Demands {
    /// `iss` must be this.
    pub issuer: Option<String>,
    /// `aud` must be this, or hold it.
    pub audience: Option<String>,
    /// The claim with the path, or a list of paths, with which the token's addresses begin. A token without it opens all.
    pub path_claim: String,
    /// Seconds by which clocks may differ.
    pub leeway: u64,
    /// A token needs no `exp`.
    pub forever: bool,
}

/// For how many seconds an answer is kept that a token gives without running out.
const FOREVER_S: u64 = 3_600;

/// What is wrong with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no token.
    Malformed,
    /// No key that it may be meant for signed it.
    Unsigned,
    /// `exp` has come, or is missing.
    Expired,
    /// `nbf` has not come.
    Early,
    /// `iss` is another.
    Issuer,
    /// `aud` is another.
    Audience,
    /// It is for other paths.
    Elsewhere,
}

/// The claims of a token that one of the keys signed.
///
/// Which algorithm that is, the key says: a token whose header says another is not signed.
pub fn verify(token: &str, keys: &[Key]) -> Result<Map<String, Value>, Refused> {
    if token.len() > LONGEST {
        return Err(Refused::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
    let header = object(header)?;
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .ok_or(Refused::Malformed)?;
    // RFC 7515, 4.1.11: whoever doesn't understand what is critical refuses it, and nothing of that is understood here.
    if header.contains_key("crit") {
        return Err(Refused::Malformed);
    }
    let id = match header.get("kid") {
        None => None,
        Some(id) => Some(id.as_str().ok_or(Refused::Malformed)?),
    };
    let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| Refused::Malformed)?;
    let found = keys
        .iter()
        .filter(|key| key.is_meant(algorithm, id))
        .any(|key| key.signed(signed.as_bytes(), &signature));
    if !found {
        return Err(Refused::Unsigned);
    }
    object(claims)
}

fn object(encoded: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = Base64UrlUnpadded::decode_vec(encoded).map_err(|_| Refused::Malformed)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refused::Malformed),
    }
}

impl Demands {
    /// What these claims permit, at this time (seconds since 1970), on this path.
    pub fn grant(
        &self,
        claims: &Map<String, Value>,
        now: u64,
        path: &str,
    ) -> Result<Grant, Refused> {
        if let Some(issuer) = &self.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(Refused::Issuer);
        }
        if let Some(audience) = &self.audience
            && !strings(claims.get("aud"))
                .ok_or(Refused::Malformed)?
                .any(|one| one == audience)
        {
            return Err(Refused::Audience);
        }
        if let Some(not_before) = date(claims, "nbf")?
            && not_before > (now + self.leeway) as f64
        {
            return Err(Refused::Early);
        }
        let seconds = match date(claims, "exp")? {
            // RFC 7519, 4.1.4: not on or after that time.
            Some(expires) => {
                let left = expires + self.leeway as f64 - now as f64;
                if left <= 0.0 {
                    return Err(Refused::Expired);
                }
                // The last second begun counts, since an answer that holds for none is asked for with every request.
                left.ceil() as u64
            }
            None if self.forever => FOREVER_S,
            None => return Err(Refused::Expired),
        };
        let path_prefix = match claims.get(&self.path_claim) {
            None => "/",
            paths => strings(paths)
                .ok_or(Refused::Malformed)?
                .find(|prefix| prefix.starts_with('/') && path.starts_with(*prefix))
                .ok_or(Refused::Elsewhere)?,
        };
        Ok(Grant {
            seconds,
            path_prefix: path_prefix.into(),
        })
    }
}

/// A NumericDate (RFC 7519, 2), which may have decimals.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refused> {
    match claims.get(name) {
        None => Ok(None),
        Some(date) => date.as_f64().map(Some).ok_or(Refused::Malformed),
    }
}

/// A string, or all of an array; none if it is anything else.
fn strings(value: Option<&Value>) -> Option<impl Iterator<Item = &str>> {
    let list = match value {
        None => &[],
        Some(Value::Array(list)) => &list[..],
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        Some(_) => return None,
    };
    list.iter()
        .all(Value::is_string)
        .then(|| list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    /// RFC 7515, A.1.1; RFC 7519, 3.1, has the same token.
    const RFC_SECRET: &str = r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    const RFC_HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog\
        Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// RFC 7515, A.3.1.
    const RFC_P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const RFC_ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl\
        LmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    /// RFC 8037, A.2 and A.4. What is signed is no JSON.
    const RFC_ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const RFC_EDDSA: (&str, &str) = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );

    fn demands() -> Demands {
        Demands {
            issuer: None,
            audience: None,
            path_claim: "path".into(),
            leeway: 0,
            forever: false,
        }
    }

    fn grant(demands: &Demands, claims: &str, now: u64, path: &str) -> Result<Grant, Refused> {
        demands.grant(&serde_json::from_str(claims).unwrap(), now, path)
    }

    #[test]
    fn tokens_of_the_rfcs_hold_until_they_run_out() {
        for (key, token) in [(RFC_SECRET, RFC_HS256), (RFC_P256, RFC_ES256)] {
            let keys = keys::parse(key).unwrap();
            let claims = verify(token, &keys).unwrap();
            assert_eq!(claims["iss"], "joe");
            let joe = Demands {
                issuer: Some("joe".into()),
                ..demands()
            };
            let at = |now| joe.grant(&claims, now, "/cam/live.m3u8");
            assert_eq!(at(1_300_819_379).unwrap().seconds, 1);
            assert_eq!(at(1_300_819_380), Err(Refused::Expired));
        }
    }

    #[test]
    fn the_signature_of_rfc_8037_is_right_and_its_payload_no_token() {
        let keys = keys::parse(RFC_ED25519).unwrap();
        let (signed, signature) = RFC_EDDSA;
        let bytes = Base64UrlUnpadded::decode_vec(signature).unwrap();
        assert!(keys[0].signed(signed.as_bytes(), &bytes));
        assert!(!keys[0].signed(b"something else", &bytes));
        let token = format!("{signed}.{signature}");
        assert_eq!(verify(&token, &keys), Err(Refused::Malformed));
    }

    #[test]
    fn a_signature_with_one_bit_changed_is_none() {
        for (key, token) in [(RFC_SECRET, RFC_HS256), (RFC_P256, RFC_ES256)] {
            let keys = keys::parse(key).unwrap();
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
            for at in 0..signature.len() {
                let mut bad = signature.clone();
                bad[at] ^= 1;
                assert!(!keys[0].signed(signed.as_bytes(), &bad), "{at}");
            }
            for length in [0, 1, signature.len() - 1] {
                assert!(!keys[0].signed(signed.as_bytes(), &signature[..length]));
            }
        }
        // ES256 of all zeros was taken by some for anything at all (CVE-2022-21449).
        let keys = keys::parse(RFC_P256).unwrap();
        assert!(!keys[0].signed(b"anything", &[0; 64]));
    }

    #[test]
    fn the_key_says_which_algorithm_it_is_and_never_the_token() {
        let public = keys::parse(RFC_P256).unwrap();
        let (_, rest) = RFC_ES256.split_once('.').unwrap();
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"es256"}"#,
            r#"{"alg":"EdDSA"}"#,
        ] {
            let header = Base64UrlUnpadded::encode_string(header.as_bytes());
            let token = format!("{header}.{rest}");
            assert_eq!(verify(&token, &public), Err(Refused::Unsigned));
            let (unsigned, _) = token.rsplit_once('.').unwrap();
            assert_eq!(
                verify(&format!("{unsigned}."), &public),
                Err(Refused::Unsigned)
            );
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let keys = keys::parse(RFC_SECRET).unwrap();
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        for header in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"alg":7}"#,
            r#"{"alg":"HS256","crit":["b64"]}"#,
            r#"{"alg":"HS256","kid":1}"#,
        ] {
            let token = format!("{}.e30.AAAA", encode(header));
            assert_eq!(verify(&token, &keys), Err(Refused::Malformed), "{header}");
        }
        for token in [
            "",
            ".",
            "..",
            "a.b",
            "é.é.é",
            "e30=.e30.AAAA",
            &"a".repeat(9_000),
        ] {
            assert_eq!(verify(token, &keys), Err(Refused::Malformed), "{token}");
        }
        assert_eq!(
            verify(&format!("{RFC_HS256}."), &keys),
            Err(Refused::Unsigned)
        );
    }

    #[test]
    fn clocks_may_differ_by_the_leeway_and_no_more() {
        let lenient = Demands {
            leeway: 30,
            ..demands()
        };
        let claims = r#"{"nbf":1000,"exp":2000}"#;
        let at = |now| grant(&lenient, claims, now, "/");
        assert_eq!(at(969), Err(Refused::Early));
        assert_eq!(at(970).unwrap().seconds, 1_060);
        assert_eq!(at(2_029).unwrap().seconds, 1);
        assert_eq!(at(2_030), Err(Refused::Expired));
        let decimals = grant(&demands(), r#"{"exp":2000.5}"#, 2_000, "/");
        assert_eq!(decimals.unwrap().seconds, 1);
        for bad in [
            r#"{"exp":"2000"}"#,
            r#"{"exp":null}"#,
            r#"{"exp":2000,"nbf":[]}"#,
        ] {
            assert_eq!(grant(&lenient, bad, 1_000, "/"), Err(Refused::Malformed));
        }
        for gone in [r#"{"exp":-1}"#, r#"{"exp":0}"#, "{}"] {
            assert_eq!(grant(&lenient, gone, 1_000, "/"), Err(Refused::Expired));
        }
        let far = grant(&demands(), r#"{"exp":1e300}"#, 1_000, "/").unwrap();
        assert_eq!(far.seconds, u64::MAX);
        let forever = Demands {
            forever: true,
            ..demands()
        };
        assert_eq!(grant(&forever, "{}", 1_000, "/").unwrap().seconds, 3_600);
        assert_eq!(
            grant(&forever, r#"{"exp":1}"#, 1_000, "/"),
            Err(Refused::Expired)
        );
    }

    #[test]
    fn issuer_and_audience_must_be_those_that_are_demanded() {
        let strict = Demands {
            issuer: Some("https://id.example".into()),
            audience: Some("garden".into()),
            ..demands()
        };
        for (claims, expected) in [
            (r#"{"iss":"https://id.example","aud":"garden"}"#, Ok(())),
            (
                r#"{"iss":"https://id.example","aud":["door","garden"]}"#,
                Ok(()),
            ),
            (
                r#"{"iss":"https://id.example/","aud":"garden"}"#,
                Err(Refused::Issuer),
            ),
            (r#"{"aud":"garden"}"#, Err(Refused::Issuer)),
            (
                r#"{"iss":["https://id.example"],"aud":"garden"}"#,
                Err(Refused::Issuer),
            ),
            (
                r#"{"iss":"https://id.example","aud":"door"}"#,
                Err(Refused::Audience),
            ),
            (
                r#"{"iss":"https://id.example","aud":[]}"#,
                Err(Refused::Audience),
            ),
            (r#"{"iss":"https://id.example"}"#, Err(Refused::Audience)),
            (
                r#"{"iss":"https://id.example","aud":["garden",7]}"#,
                Err(Refused::Malformed),
            ),
        ] {
            let mut claims: Map<_, _> = serde_json::from_str(claims).unwrap();
            claims.insert("exp".into(), 2_000.into());
            let granted = strict.grant(&claims, 1_000, "/").map(|_| ());
            assert_eq!(granted, expected, "{claims:?}");
        }
    }

    #[test]
    fn a_path_claim_bounds_what_a_token_opens() {
        for (path, asked, expected) in [
            (r#""/cam/""#, "/cam/live.m3u8", Ok("/cam/")),
            (r#""/cam/""#, "/", Err(Refused::Elsewhere)),
            (
                r#"["/x/","/cam/","/cam/live"]"#,
                "/cam/live.m3u8",
                Ok("/cam/"),
            ),
            (r#""""#, "/", Err(Refused::Elsewhere)),
            (r#""cam""#, "cam", Err(Refused::Elsewhere)),
            ("[]", "/", Err(Refused::Elsewhere)),
            ("7", "/", Err(Refused::Malformed)),
            ("null", "/", Err(Refused::Malformed)),
        ] {
            let claims = format!(r#"{{"exp":2000,"path":{path}}}"#);
            let granted = grant(&demands(), &claims, 1_000, asked);
            let granted = granted.as_ref().map(|grant| &*grant.path_prefix);
            assert_eq!(granted, expected.as_ref().copied(), "{path}");
        }
        let other = Demands {
            path_claim: "scope".into(),
            ..demands()
        };
        let claims = r#"{"exp":2000,"path":"/cam/","scope":"/"}"#;
        assert_eq!(grant(&other, claims, 1_000, "/x").unwrap().path_prefix, "/");
    }
}
