//! Names as the host asks for them.

use std::collections::HashSet;

use name_secret::NameSecret;
use picam_plugin::{Config, Plugin, kv, naming::*, percent};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn plugin<const N: usize>(pairs: [(&str, &str); N]) -> NameSecret {
    NameSecret::start(&Config::from(pairs)).unwrap_or_else(|error| panic!("{error}"))
}

fn object(kind: Kind, number: u64) -> Object {
    Object {
        kind,
        rendition: "video".into(),
        number,
        captured: 0,
    }
}

#[test]
fn a_name_follows_from_the_key_and_the_object_alone() {
    let name = |key| plugin([("key", key)]).name(&object(Kind::Segment, 7));
    // printf segment/video/7/ | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | head -c 16 |
    // base64, and - for +, _ for /
    assert_eq!(name(KEY), "IEe6D3v-07JKA2IXaSzCCA.m4s");
    assert_ne!(name("another key of thirty-two letters"), name(KEY));
    let later = Object {
        captured: 1,
        ..object(Kind::Segment, 7)
    };
    assert_eq!(plugin([("key", KEY)]).name(&later), name(KEY));
}

#[test]
fn no_two_objects_share_a_name_and_every_name_is_one_that_the_host_takes() {
    for scope in ["object", "directory"] {
        let mut plugin = plugin([("key", KEY), ("scope", scope)]);
        let mut names = HashSet::new();
        for number in (0..1_000).chain([u64::MAX]) {
            for kind in [Kind::Init, Kind::Segment, Kind::Part] {
                let name = plugin.name(&object(kind, number));
                assert!(
                    name.bytes().all(|c| c == b'/' || percent::unreserved(c)),
                    "{name}"
                );
                assert!(name.ends_with(kind.extension()));
                assert!(names.insert(name));
            }
        }
    }
}

#[test]
fn a_key_that_was_drawn_survives_a_reload() {
    let before = plugin([]).name(&object(Kind::Part, 1));
    assert_eq!(plugin([]).name(&object(Kind::Part, 1)), before);
    kv::delete("key");
    assert_ne!(plugin([]).name(&object(Kind::Part, 1)), before);
}

#[test]
fn in_one_directory_names_follow_a_template() {
    let mut plugin = plugin([("key", KEY), ("scope", "directory")]);
    let template = plugin.segment_template("video").unwrap();
    for number in [1, 20] {
        assert_eq!(
            plugin.name(&object(Kind::Segment, number)),
            template.replace("$Number$", &number.to_string())
        );
    }
    assert_ne!(plugin.segment_template("other"), Some(template));
    assert_eq!(self::plugin([("key", KEY)]).segment_template("video"), None);
}

#[test]
fn a_key_that_could_be_tried_out_is_refused_and_not_shown() {
    let refused = |pairs| NameSecret::start(&Config::from(pairs)).err().unwrap();
    let error = refused([("key", "sesame"), ("scope", "object")]);
    assert!(error.contains("32 characters at least"), "{error}");
    assert!(!error.contains("sesame"), "{error}");
    let error = refused([("key", KEY), ("scope", "all")]);
    assert_eq!(error, "scope=all: expected object or directory");
}
