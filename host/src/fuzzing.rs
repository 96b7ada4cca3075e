//! What must hold whatever comes in: the bodies of the fuzz targets, each from the room whose bytes it is about.
//!
//! `host/fuzz` has bytes thought up for them; the test below gives each the bytes that were found before.

pub use crate::{
    config::fuzzing::config,
    h264::fuzzing::h264_reader,
    http::fuzzing::{query, request},
    operator::fuzzing::operator,
    plugin::fuzzing::{drawing, plugin},
    source::fuzzing::mp4,
    studio::fuzzing::picture,
};

/// What is done with bytes. It panics if something doesn't hold.
pub type Body = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const ALL: [(&str, Body); 9] = [
    ("config", config),
    ("drawing", drawing),
    ("h264_reader", h264_reader),
    ("mp4", mp4),
    ("operator", operator),
    ("picture", picture),
    ("plugin", plugin),
    ("query", query),
    ("request", request),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).expect("the fuzz targets lie beside the host");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.trim_end_matches(".rs").to_owned()
        };
        entries.map(name).collect()
    }

    #[test]
    fn what_fuzzers_found_keeps_the_rules() {
        let fuzz = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"));
        let expected: BTreeSet<_> = ALL.iter().map(|&(name, _)| name.to_owned()).collect();
        assert_eq!(names(&fuzz.join("fuzz_targets")), expected);
        assert_eq!(names(&fuzz.join("corpus")), expected);
        for (target, body) in ALL {
            let corpus = fuzz.join("corpus").join(target);
            for name in names(&corpus) {
                // What a failing test prints last is the input that broke it.
                println!("{target}/{name}");
                body(&fs::read(corpus.join(name)).unwrap());
            }
        }
    }
}
