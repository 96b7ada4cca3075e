use std::{
    hash::{DefaultHasher, Hasher},
    io::Write,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::http::HeaderValue;
use tokio::time::Instant;

/// Compression for what is made at every position: a playlist shrinks to a sixth in some 50 microseconds. Higher levels
/// save some further bytes for several times the work.
pub(super) const FAST: Compression = Compression::new(3);

/// A text ready to be sent to any number of viewers.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) content_type: HeaderValue,
    /// Seconds that a cache may keep it, from `made`.
    pub(super) max_age: u32,
    /// When the text was true.
    pub(super) made: Instant,
    identity: Encoded,
    /// Only where it is smaller.
    gzip: Option<Encoded>,
}

/// One encoding of a text.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    /// Strong, so it differs per encoding.
    pub(super) etag: HeaderValue,
    pub(super) gzip: bool,
}

impl Document {
    pub(super) fn new(
        text: Bytes,
        content_type: HeaderValue,
        max_age: u32,
        level: Compression,
    ) -> Self {
        let tag = tag(&[&text]);
        let gzip = gzip(&text, level)
            .filter(|packed| packed.len() < text.len())
            .map(|packed| Encoded {
                bytes: packed,
                etag: etag(&format!("{tag}-gz")),
                gzip: true,
            });
        Self {
            content_type,
            max_age,
            made: Instant::now(),
            identity: Encoded {
                etag: etag(&tag),
                bytes: text,
                gzip: false,
            },
            gzip,
        }
    }

    /// A text that was compressed when the program was built.
    pub(super) fn built(content_type: HeaderValue, text: Bytes, gzip: Bytes, tag: &str) -> Self {
        Self {
            content_type,
            max_age: 0,
            made: Instant::now(),
            identity: Encoded {
                bytes: text,
                etag: etag(tag),
                gzip: false,
            },
            gzip: Some(Encoded {
                bytes: gzip,
                etag: etag(&format!("{tag}-gz")),
                gzip: true,
            }),
        }
    }

    /// The encoding for a viewer who takes gzip, or doesn't.
    pub(super) fn encoding(&self, gzip: bool) -> &Encoded {
        match &self.gzip {
            Some(encoded) if gzip => encoded,
            _ => &self.identity,
        }
    }

    /// For how many seconds more a cache may keep it; `None` once it may not, which is when it stops being true.
    pub(super) fn fresh_for(&self) -> Option<u32> {
        let age = u32::try_from(self.made.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.max_age.checked_sub(age).filter(|&left| left > 0)
    }
}

fn gzip(text: &[u8], level: Compression) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), level);
    // A vector takes everything: an error is none of the text, and leaves the plain text to be sent.
    encoder.write_all(text).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Tells texts apart: 64 bits of SipHash with a fixed key, and the length. Nobody gains from forging one, since the
/// bytes come from ourselves.
pub(super) fn tag(parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    let mut len = 0;
    for part in parts {
        hasher.write(part);
        len += part.len();
    }
    format!("{:016x}-{len:x}", hasher.finish())
}

/// An ETag with this inside its quotes.
pub(super) fn etag(tag: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{tag}\"")).expect("a tag is letters, digits and dashes")
}

#[cfg(test)]
mod tests {
    use std::{io::Read, time::Duration};

    use flate2::read::GzDecoder;

    use super::*;

    fn document(text: &str, max_age: u32) -> Document {
        let content_type = HeaderValue::from_static("text/plain");
        Document::new(text.to_owned().into(), content_type, max_age, FAST)
    }

    #[test]
    fn gzip_holds_the_same_text_under_another_tag() {
        let text = "#EXTINF:1.00000,\nsegment.m4s\n".repeat(40);
        let document = document(&text, 1);
        let (plain, packed) = (document.encoding(false), document.encoding(true));
        assert!(packed.gzip && packed.bytes.len() < plain.bytes.len());
        assert_ne!(plain.etag, packed.etag);
        let mut unpacked = String::new();
        GzDecoder::new(&packed.bytes[..])
            .read_to_string(&mut unpacked)
            .expect("valid gzip");
        assert_eq!(unpacked, text);
    }

    #[test]
    fn gzip_that_saves_nothing_is_not_kept() {
        assert!(!document("short", 1).encoding(true).gzip);
    }

    #[test]
    fn other_texts_have_other_tags() {
        let (a, b) = (document("a", 1), document("b", 1));
        assert_ne!(a.encoding(false).etag, b.encoding(false).etag);
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_is_true_for_as_long_as_caches_may_keep_it() {
        let document = document("text", 2);
        assert_eq!(document.fresh_for(), Some(2));
        tokio::time::advance(Duration::from_millis(1_500)).await;
        assert_eq!(document.fresh_for(), Some(1));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(document.fresh_for(), None);
    }
}
