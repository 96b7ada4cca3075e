use picam_plugin::text;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::hash::{Hash, Memory};

/// Names have at most so many bytes.
const NAME_MOST: usize = 64;

/// Who may come in.
pub struct Users {
    users: Vec<User>,
    memory: Memory,
}

/// One of them.
pub struct User {
    pub name: String,
    /// As it was written: a session ends when it changes.
    pub written: String,
    hash: Hash,
}

impl Users {
    /// Reads `NAME:HASH`, separated by white space.
    ///
    /// # Errors
    /// What was expected, without any hash: the line goes to a log.
    pub fn parse(written: &str) -> Result<Self, String> {
        let mut users: Vec<User> = Vec::new();
        for pair in written.split_ascii_whitespace() {
            let Some((name, hash)) = pair.split_once(':') else {
                return Err("users: expected NAME:HASH, separated by spaces or line breaks, as htpasswd writes them".into());
            };
            if name.is_empty() || name.len() > NAME_MOST {
                return Err(text::joined(&[
                    "users: `",
                    name,
                    "` is no name; one has 1 to 64 bytes, and neither spaces nor colons",
                ]));
            }
            if users.iter().any(|user| user.name == name) {
                return Err(text::joined(&["users: `", name, "` occurs twice"]));
            }
            let parsed = Hash::parse(hash)
                .map_err(|why| text::joined(&["users: `", name, "` can't come in: ", &why]))?;
            users.push(User {
                name: name.into(),
                written: hash.into(),
                hash: parsed,
            });
        }
        if users.is_empty() {
            return Err(
                "users: at least one is needed, as NAME:HASH; `htpasswd -nB NAME` makes one".into(),
            );
        }
        // All of it at once, and untouched until it is needed: where it isn't to be had, that shows now.
        let most = users.iter().map(|user| user.hash.blocks()).max();
        let memory = Memory::with_capacity(most.unwrap_or(0));
        Ok(Self { users, memory })
    }

    /// The user of this name, for those who need no password.
    pub fn named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user whose name and password these are.
    ///
    /// A name that there isn't costs what another would: `decoy`, any number that stays the same for the name, says whose
    /// hash the password is checked against, in vain.
    pub fn check(&mut self, name: &str, password: &str, decoy: u32) -> Option<&User> {
        let count = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        let mut index = decoy % count;
        let mut known = subtle::Choice::from(0);
        for (at, user) in (0..count).zip(&self.users) {
            let same = user.name.as_bytes().ct_eq(name.as_bytes());
            index.conditional_assign(&at, same);
            known |= same;
        }
        let user = &self.users[index as usize];
        let fits = user.hash.fits(password.as_bytes(), &mut self.memory);
        (fits & bool::from(known)).then_some(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `abc`.
    const ABC: &str = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
    /// Of `password`.
    const PASSWORD: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_user_comes_in_with_the_own_password_and_no_other() {
        let mut users = Users::parse(&format!("ada:{ABC}\nbob:{PASSWORD}")).unwrap();
        for decoy in [0, 1, u32::MAX] {
            let mut check = |name, password| {
                users
                    .check(name, password, decoy)
                    .map(|user| user.name.clone())
            };
            assert_eq!(check("ada", "abc").as_deref(), Some("ada"));
            assert_eq!(check("bob", "password").as_deref(), Some("bob"));
            for (name, password) in [
                ("ada", "password"),
                ("bob", "abc"),
                ("bob", ""),
                ("eve", "abc"),
                ("eve", "password"),
                ("", "abc"),
                ("Ada", "abc"),
                ("ada ", "abc"),
            ] {
                assert_eq!(check(name, password), None, "{name}:{password}");
            }
        }
    }

    #[test]
    fn what_is_no_list_of_users_is_refused_without_telling_hashes() {
        for (written, expected) in [
            ("".to_owned(), "at least one is needed"),
            ("ada".into(), "expected NAME:HASH"),
            (format!(":{ABC}"), "`` is no name"),
            (format!("{}:{ABC}", "a".repeat(65)), "is no name"),
            (format!("ada:{ABC} ada:{PASSWORD}"), "`ada` occurs twice"),
            (
                "ada:sesame".into(),
                "`ada` can't come in: its hash is neither",
            ),
        ] {
            let error = Users::parse(&written).err().unwrap();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("If6bvum7"), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
