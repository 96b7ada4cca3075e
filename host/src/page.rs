//! The page at `/`: a player for the stream, in one HTML document, and beside it what it loads when it needs it: our own
//! player, which other pages may load as well, and those from npm.
//!
//! The sources are in `host/page`; `host/build.rs` puts them together. All addresses in them are relative, so they work
//! wherever they are served from, and load nothing from any other host.

use crate::http::PageFile;

/// `/`, `/player.js`; and `/hls.js` and `/dash.js`, unless there was no npm where the program was built.
pub const FILES: &[PageFile] = include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn file(path: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.path == path);
        std::str::from_utf8(file.expect("it is built in").text).expect("text")
    }

    #[test]
    fn the_gzip_forms_are_the_same_files() {
        for file in FILES {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(file.gzip)
                .read_to_end(&mut text)
                .unwrap();
            assert_eq!(text, file.text, "{}", file.path);
        }
    }

    #[test]
    fn the_page_asks_nothing_of_other_hosts() {
        let page = file("/");
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
    fn the_page_is_light_and_our_player_is_one_module() {
        assert!(file("/").len() < 100_000);
        let player = file("/player.js");
        assert!(player.contains("export class Player"));
        assert!(!player.contains("\nimport "), "it needs nothing else");
    }
}
