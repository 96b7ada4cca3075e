//! `KEY.EXPIRY.PREFIX.SIGNATURE`: the id of the key, when the token runs out (seconds since 1970), the prefix of the paths
//! that it opens (base64url without padding; empty for all), and the HMAC-SHA256 of everything before the last dot
//! (base64url, too).

use base64ct::{Base64UrlUnpadded, Encoding};
use picam_plugin::{bearer::Grant, text};

use crate::keys::Keys;

/// What is wrong with a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a token, or not signed by any of the keys.
    Invalid,
    /// It held until then.
    Expired(u64),
    /// It is for paths that begin with this.
    Elsewhere(String),
}

/// Checks a token. What it says counts only once a key is known to have signed it.
pub fn check(token: &str, keys: &Keys, now: u64, path: &str) -> Result<Grant, Refused> {
    let (claims, signature) = token.rsplit_once('.').ok_or(Refused::Invalid)?;
    let mut fields = claims.split('.');
    let (Some(id), Some(expires), Some(prefix), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Refused::Invalid);
    };
    let mut bytes = [0; 32];
    let signature =
        Base64UrlUnpadded::decode(signature, &mut bytes).map_err(|_| Refused::Invalid)?;
    if !keys.signed(id, claims.as_bytes(), signature) {
        return Err(Refused::Invalid);
    }
    let expires = text::parse_whole(expires).ok_or(Refused::Invalid)?;
    let prefix = Base64UrlUnpadded::decode_vec(prefix)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Refused::Invalid)?;
    let prefix = match &*prefix {
        "" => String::from("/"),
        _ => prefix,
    };
    if now >= expires {
        return Err(Refused::Expired(expires));
    }
    if !path.starts_with(&prefix) {
        return Err(Refused::Elsewhere(prefix));
    }
    Ok(Grant {
        seconds: expires - now,
        path_prefix: prefix,
    })
}
