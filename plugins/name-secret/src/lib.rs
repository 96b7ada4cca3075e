//! Gives media names that nobody can guess. Its page of documentation is `README.md`.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use picam_plugin::{Choice, Config, Description, Plugin, Words, kv, naming::*, random, text};
use sha2::Sha256;

const KEY: Words = Words::new(
    "key",
    "",
    "what names are made from, 32 characters at least; empty for one that is drawn once and kept",
);
const SCOPE: Choice<Scope> = Choice::new(
    "scope",
    "object",
    &[("object", Scope::Object), ("directory", Scope::Directory)],
    "what has a secret name: every object, or one directory for all of them, which DASH can write as a template",
);

/// Where a key that was drawn is kept.
const KEPT_AS: &str = "key";
/// Bytes of such a key, and of the hash that makes names: as many as nobody tries out.
const KEY_BYTES: u32 = 32;
const NAME_BYTES: usize = 16;
/// Characters of a key that somebody wrote.
const KEY_LEAST: usize = 32;

/// What has a secret name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Object,
    Directory,
}

/// The plugin.
pub struct NameSecret {
    mac: Hmac<Sha256>,
    scope: Scope,
}

impl Plugin for NameSecret {
    fn describe() -> Description {
        Description::new(
            "name-secret",
            env!("CARGO_PKG_VERSION"),
            "names segments and parts so that nobody can guess them",
        )
        .words(&KEY)
        .choice(&SCOPE)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let scope = config.choice(&SCOPE)?;
        let key = match config.words(&KEY) {
            "" => kv::get_or_store(KEPT_AS, || random::bytes(KEY_BYTES))
                .map_err(|why| text::joined(&["the key can't be kept: ", &why]))?,
            short if short.len() < KEY_LEAST => {
                // Not shown: the line goes to a log.
                return Err(
                    "key: expected 32 characters at least; `openssl rand -hex 32` makes a good one, and without a key \
                     one is drawn and kept"
                        .into(),
                );
            }
            key => key.as_bytes().into(),
        };
        let mac = Hmac::new_from_slice(&key).map_err(|_| "HMAC takes a key of any length")?;
        Ok(Self { mac, scope })
    }
}

impl NameSecret {
    /// 22 characters that follow from these words and the key, and from which nothing follows. No word holds a `/`.
    fn secret(&self, words: &[&str]) -> String {
        let mut mac = self.mac.clone();
        for word in words {
            mac.update(word.as_bytes());
            mac.update(b"/");
        }
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        Base64UrlUnpadded::encode_string(&hash[..NAME_BYTES])
    }

    fn directory(&self, rendition: &str) -> String {
        self.secret(&["directory", rendition])
    }
}

impl Naming for NameSecret {
    fn name(&mut self, object: &Object) -> String {
        let mut number = String::new();
        text::push_whole(&mut number, object.number);
        let (kind, extension) = (object.kind.word(), object.kind.extension());
        match self.scope {
            Scope::Object => {
                let secret = self.secret(&[kind, &object.rendition, &number]);
                text::joined(&[&secret, extension])
            }
            Scope::Directory => {
                let directory = self.directory(&object.rendition);
                text::joined(&[&directory, "/", kind, "-", &number, extension])
            }
        }
    }

    fn segment_template(&self, rendition: &str) -> Option<String> {
        match self.scope {
            Scope::Object => None,
            Scope::Directory => Some(text::joined(&[
                &self.directory(rendition),
                "/segment-$Number$.m4s",
            ])),
        }
    }
}

picam_plugin::export!(NameSecret: naming);
