//! The page at `/`: a player for the stream, in one self-contained HTML document.
//!
//! Its source is `host/page/index.html`; `host/build.rs` puts hls.js into it. All addresses in it are relative
//! (`cam/live.m3u8`), so it works wherever it is served from, and it loads nothing from any other host.

/// The document, `text/html; charset=utf-8`.
pub const HTML: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html"));

/// The same, for `Content-Encoding: gzip`.
pub const HTML_GZIP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.html.gz"));

/// A strong entity tag of [`HTML`], quotes included. The gzip form is other bytes and needs another one.
pub const ETAG: &str = include_str!(concat!(env!("OUT_DIR"), "/page.etag"));

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_gzip_form_is_the_same_document() {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(HTML_GZIP)
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, HTML);
    }

    #[test]
    fn the_page_asks_nothing_of_other_hosts() {
        let page = std::str::from_utf8(HTML).unwrap();
        assert!(page.contains("http-equiv=\"Content-Security-Policy\""));
        for foreign in [
            "<script src",
            "<link rel=\"stylesheet",
            "<img",
            "<iframe",
            "@import",
        ] {
            assert!(!page.contains(foreign), "the page contains {foreign}");
        }
    }

    #[test]
    fn the_entity_tag_is_quoted() {
        let inside = ETAG.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        assert!(inside.is_some_and(|tag| tag.len() == 16 && !tag.contains('"')));
    }
}
