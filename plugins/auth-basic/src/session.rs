//! Sessions: `NAME.EXPIRY.SIGNATURE`, the name and the HMAC-SHA256 as base64url without padding, the time in seconds since
//! 1970. The signature covers the user's password hash, too, so that a new password ends the sessions of the old one.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use picam_plugin::text;
use sha2::Sha256;

use crate::users::{User, Users};

/// Gives out sessions, and knows them again.
pub struct Sessions {
    mac: Hmac<Sha256>,
    /// Seconds.
    length: u64,
}

impl Sessions {
    /// With a key, and a length in seconds.
    pub fn new(key: &[u8], length: u64) -> Result<Self, String> {
        let mac = Hmac::new_from_slice(key).map_err(|_| "HMAC takes a key of any length")?;
        Ok(Self { mac, length })
    }

    /// How long a session lasts, in seconds.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A new session.
    pub fn begin(&self, user: &User, now: u64) -> String {
        let mut session = Base64UrlUnpadded::encode_string(user.name.as_bytes());
        session.push('.');
        text::push_whole(&mut session, now + self.length);
        let signature: [u8; 32] = self.mac(&session, user).finalize().into_bytes().into();
        session.push('.');
        session.push_str(&Base64UrlUnpadded::encode_string(&signature));
        session
    }

    /// For how many seconds a session still holds, if at all.
    pub fn left(&self, session: &str, users: &Users, now: u64) -> Option<u64> {
        let (claims, signature) = session.rsplit_once('.')?;
        let (name, expires) = claims.split_once('.')?;
        let name = String::from_utf8(Base64UrlUnpadded::decode_vec(name).ok()?).ok()?;
        let user = users.named(&name)?;
        let mut bytes = [0; 32];
        let signature = Base64UrlUnpadded::decode(signature, &mut bytes).ok()?;
        self.mac(claims, user).verify_slice(signature).ok()?;
        let left = text::parse_whole(expires)?.checked_sub(now)?;
        // One that began in the future was given out when the clock was wrong, or is now that it isn't set.
        (1..=self.length).contains(&left).then_some(left)
    }

    /// A number that stays the same for a name, and says nothing of it.
    pub fn decoy(&self, name: &str) -> u32 {
        let mac = self.mac.clone().chain_update("decoy\0").chain_update(name);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn mac(&self, claims: &str, user: &User) -> Hmac<Sha256> {
        let mac = self.mac.clone().chain_update("session\0");
        mac.chain_update(claims)
            .chain_update("\0")
            .chain_update(&user.written)
    }
}
