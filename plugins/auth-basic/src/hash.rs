//! Password hashes as configuration has them.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64ct::{Base64Bcrypt, Encoding};
use phc::PasswordHash;
use picam_plugin::text;
use subtle::ConstantTimeEq;

/// bcrypt looks at so many bytes of a password, with the NUL that ends it.
const BCRYPT_MOST: usize = 72;
/// A salt and a hash of bcrypt: bytes, and characters.
const BCRYPT_SALT: (usize, usize) = (16, 22);
const BCRYPT_HASH: (usize, usize) = (23, 31);

/// What a password is compared with.
#[derive(Clone, Debug)]
pub enum Hash {
    /// RFC 9106, from a PHC string.
    Argon2id {
        version: Version,
        params: Params,
        salt: Vec<u8>,
        output: Vec<u8>,
    },
    /// In the form of OpenBSD's `crypt`.
    Bcrypt {
        cost: u32,
        salt: [u8; BCRYPT_SALT.0],
        output: [u8; BCRYPT_HASH.0],
    },
}

/// Room for Argon2 to work in, kept from one password to the next.
pub type Memory = Vec<Block>;

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(written: &str) -> Result<Self, String> {
        if written.starts_with("$2") {
            return bcrypt_hash(written).ok_or_else(|| {
                "its bcrypt hash is damaged; one is `$2b$`, the cost (04 to 31), `$`, and 53 more characters".into()
            });
        }
        if !written.starts_with("$argon2") {
            return Err("its hash is neither Argon2id (`$argon2id$v=19$m=19456,t=2,p=1$…`) nor bcrypt (`$2b$10$…`); \
                        passwords are not written here"
                .into());
        }
        argon2_hash(written)
    }

    /// Blocks of memory that it takes to check a password, of 1 KiB each.
    pub fn blocks(&self) -> usize {
        match self {
            Self::Argon2id { params, .. } => params.block_count(),
            Self::Bcrypt { .. } => 0,
        }
    }

    /// Whether it is that of the password.
    pub fn fits(&self, password: &[u8], memory: &mut Memory) -> bool {
        match self {
            Self::Argon2id {
                version,
                params,
                salt,
                output,
            } => {
                memory.clear();
                memory.resize(params.block_count(), Block::default());
                let argon2 = Argon2::new(Algorithm::Argon2id, *version, params.clone());
                let mut found = vec![0; output.len()];
                argon2
                    .hash_password_into_with_memory(password, salt, &mut found, &mut memory[..])
                    .is_ok()
                    && bool::from(found.ct_eq(output))
            }
            Self::Bcrypt { cost, salt, output } => {
                // Those who made the hash cut the password as well.
                let mut key = Vec::with_capacity(BCRYPT_MOST);
                key.extend(password.iter().take(BCRYPT_MOST));
                if key.len() < BCRYPT_MOST {
                    key.push(0);
                }
                let found = bcrypt::bcrypt(*cost, *salt, &key);
                found[..output.len()].ct_eq(output).into()
            }
        }
    }
}

fn argon2_hash(written: &str) -> Result<Hash, String> {
    let damaged = || {
        "its Argon2 hash is damaged; one is `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`".to_owned()
    };
    let phc = PasswordHash::new(written).map_err(|_| damaged())?;
    if phc.algorithm.as_str() != "argon2id" {
        return Err(text::joined(&[
            "its hash is of the kind ",
            phc.algorithm.as_str(),
            "; of Argon2, argon2id is taken alone",
        ]));
    }
    let version = match phc.version {
        None | Some(0x13) => Version::V0x13,
        Some(0x10) => Version::V0x10,
        Some(_) => return Err(damaged()),
    };
    let (Some(salt), Some(output)) = (&phc.salt, &phc.hash) else {
        return Err(damaged());
    };
    let number = |name: &str| phc.params.get_decimal(name).ok_or_else(damaged);
    let only_known = phc
        .params
        .iter()
        .all(|(name, _)| matches!(name.as_str(), "m" | "t" | "p"));
    let params = Params::new(number("m")?, number("t")?, number("p")?, Some(output.len()))
        .ok()
        .filter(|_| only_known)
        .ok_or_else(damaged)?;
    Ok(Hash::Argon2id {
        version,
        params,
        salt: salt.as_ref().to_vec(),
        output: output.as_bytes().to_vec(),
    })
}

fn bcrypt_hash(written: &str) -> Option<Hash> {
    let rest = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .find_map(|prefix| written.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    let cost = text::parse_whole(cost).filter(|_| cost.len() == 2)?;
    if !rest.is_ascii() || rest.len() != BCRYPT_SALT.1 + BCRYPT_HASH.1 {
        return None;
    }
    let (salt, output) = rest.split_at(BCRYPT_SALT.1);
    Some(Hash::Bcrypt {
        cost: u32::try_from(cost)
            .ok()
            .filter(|cost| (4..32).contains(cost))?,
        salt: decode(salt)?,
        output: decode(output)?,
    })
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    Base64Bcrypt::decode_vec(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(hash: &str, password: &str) -> bool {
        Hash::parse(hash)
            .unwrap()
            .fits(password.as_bytes(), &mut Memory::new())
    }

    #[test]
    fn passwords_fit_the_hashes_that_other_programs_made_of_them() {
        // By argon2-cffi, by libxcrypt, and by bcrypt for Python.
        for (password, hash) in [
            (
                "correct horse",
                "$argon2id$v=19$m=256,t=2,p=1$8mdR2NP0v6NqyV86gmi/ag$oWCvt0Dp7H2HhcheUU6S+lcgPzLQBv3OS0VLZJZRbZA",
            ),
            (
                "pässwörd €",
                "$argon2id$v=19$m=64,t=1,p=4$csk7QBcM4Fvf7K5dRC40kA$vKQr/erYZpwhoV36Fijb5w",
            ),
            (
                "correct horse",
                "$2b$04$uGLywJAjKkNyHVnQ1JeKIuW/E8iOKydTUgQVQvSY7dUIAw5Sotsvm",
            ),
            (
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "$2a$04$zG7J7gE3vibpq1QoQoiJQue9Fo3X.7lAOU/bXM/oOvsNYJJWIhe6q",
            ),
        ] {
            assert!(fits(hash, password), "{hash}");
            assert!(!fits(hash, &format!("{password}!")), "{hash}");
            assert!(!fits(hash, ""), "{hash}");
        }
    }

    #[test]
    fn hashes_are_those_of_rfc_9106_and_of_openbsd() {
        // From the test vectors of phc-winner-argon2, version 0x13.
        let hash =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(fits(hash, "password"));
        // From jBCrypt.
        for (password, hash) in [
            (
                "",
                "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            ),
            (
                "abc",
                "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
            ),
            (
                "~!@#$%^&*()      ~!@#$%^&*()PNBFRD",
                "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO",
            ),
        ] {
            assert!(fits(hash, password), "{hash}");
            assert!(!fits(hash, "other"), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_with_what_would_be_one() {
        let good = "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.";
        Hash::parse(good).unwrap();
        for (hash, expected) in [
            ("", "neither Argon2id"),
            ("sesame", "neither Argon2id"),
            ("{SHA}abc", "neither Argon2id"),
            ("$apr1$x$y", "neither Argon2id"),
            (
                "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aW1wb3J0YW50aW1wb3J0YW50",
                "argon2id is taken alone",
            ),
            (
                "$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQ$aW1wb3J0YW50",
                "Argon2 hash is damaged",
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
                "Argon2 hash is damaged",
            ),
            (
                "$argon2id$v=19$m=64,t=1$c29tZXNhbHQ$aW1wb3J0YW50aW1wb3J0YW50",
                "Argon2 hash is damaged",
            ),
            (
                "$argon2id$v=19$m=4,t=1,p=1$c29tZXNhbHQ$aW1wb3J0YW50aW1wb3J0YW50",
                "Argon2 hash is damaged",
            ),
            ("$argon2id", "Argon2 hash is damaged"),
            (&good[..59], "bcrypt hash is damaged"),
            (&good.replace("06", "99"), "bcrypt hash is damaged"),
            (&good.replace("06", "6"), "bcrypt hash is damaged"),
            (&good.replace("2a", "2x"), "bcrypt hash is damaged"),
            (&good.replace("DC", "é"), "bcrypt hash is damaged"),
        ] {
            let error = Hash::parse(hash).unwrap_err();
            assert!(error.contains(expected), "{hash}: {error}");
        }
    }
}
