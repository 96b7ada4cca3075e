//! `Set-Cookie` (RFC 6265bis).

use crate::text;

/// A cookie being set. What it does for the safety of a session is on from the start: scripts can't read it, and other
/// sites' requests don't carry it, except where a person follows a link.
///
/// ```
/// use picam_plugin::cookie::SetCookie;
///
/// assert_eq!(
///     SetCookie::new("picam", "abc").max_age(3_600).secure(true).value(),
///     "picam=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure",
/// );
/// ```
#[derive(Clone, Debug)]
pub struct SetCookie(String);

impl SetCookie {
    /// A cookie for the whole site. Name and value are the caller's to make of what cookies may hold: letters, digits
    /// and `-._~` do.
    pub fn new(name: &str, value: &str) -> Self {
        Self(text::joined(&[
            name,
            "=",
            value,
            "; Path=/; HttpOnly; SameSite=Lax",
        ]))
    }

    /// For how many seconds it is kept. Without, until the browser is closed; 0 removes it.
    #[must_use]
    pub fn max_age(mut self, seconds: u64) -> Self {
        self.0.push_str("; Max-Age=");
        text::push_whole(&mut self.0, seconds);
        self
    }

    /// Whether it travels over HTTPS only.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        if secure {
            self.0.push_str("; Secure");
        }
        self
    }

    /// What belongs behind `Set-Cookie:`.
    pub fn value(self) -> String {
        self.0
    }
}
