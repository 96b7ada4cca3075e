//! Configuration, documents, and the multivariant playlist.

mod common;

use common::*;
use ll_hls::LlHls;
use picam_plugin::{Config, Plugin, playlist::*};

fn wanted<const N: usize>(pairs: [(&str, &str); N]) -> TimingRequest {
    LlHls::start(&Config::from(pairs)).unwrap().wanted_timing()
}

#[test]
fn what_is_left_out_has_its_default() {
    let wanted = wanted([]);
    assert_eq!(wanted.segment, Some(1_000_000));
    assert_eq!(wanted.part, Some(200_000));
    assert_eq!(wanted.window, Some(30_000_000));
}

#[test]
fn what_is_configured_is_asked_for() {
    let wanted = wanted([
        ("segment-ms", "4000"),
        ("part-ms", "333"),
        ("window-s", "120"),
    ]);
    assert_eq!(wanted.segment, Some(4_000_000));
    assert_eq!(wanted.part, Some(333_000));
    assert_eq!(wanted.window, Some(120_000_000));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    for (pairs, expected) in [
        (
            &[("part-ms", "0")][..],
            "part-ms=0: expected a whole number from 20 to 5000 (ms), as in part-ms=200",
        ),
        (
            &[("segment-ms", "1s")],
            "segment-ms=1s: expected a whole number from 500 to 30000 (ms), as in segment-ms=1000",
        ),
        (
            &[("hold-back", "2")],
            "hold-back=2: expected a number with at most three decimals from 3 to 100 (part targets), as in hold-back=3",
        ),
        (
            &[("part-ms", "2000")],
            "part-ms is longer than segment-ms: a part is a piece of a segment, a fifth of it or less",
        ),
    ] {
        let config = Config::new(request("", pairs).query);
        assert_eq!(LlHls::start(&config).unwrap_err(), expected);
    }
}

#[test]
fn every_option_that_is_read_is_described_and_its_default_is_accepted() {
    let described = LlHls::describe().into_record();
    assert_eq!(described.name, "ll-hls");
    let keys: Vec<_> = described
        .options
        .iter()
        .map(|option| option.key.as_str())
        .collect();
    assert_eq!(keys, ["segment-ms", "part-ms", "window-s", "hold-back"]);
    let pairs: Vec<_> = described
        .options
        .iter()
        .map(|option| (option.key.as_str(), option.default.as_str()))
        .collect();
    let plugin = LlHls::start(&Config::new(request("", &pairs).query)).unwrap();
    assert_eq!(plugin.wanted_timing(), wanted([]));
}

#[test]
fn the_media_playlist_reads_the_directives_and_the_multivariant_one_nothing() {
    let documents = plugin().documents();
    let [multivariant, media] = &documents[..] else {
        panic!("two documents");
    };
    assert_eq!(
        (multivariant.path.as_str(), multivariant.scope),
        ("live.m3u8", Scope::Stream)
    );
    assert!(multivariant.reads.query.is_empty());
    assert_eq!(
        (media.path.as_str(), media.scope),
        ("video.m3u8", Scope::Presentation)
    );
    assert_eq!(
        media.reads.query,
        ["_HLS_msn", "_HLS_part", "_HLS_skip", "as-file"]
    );
    for document in &documents {
        assert_eq!(document.content_type, "application/vnd.apple.mpegurl");
        assert!(document.reads.headers.is_empty() && document.reads.cookies.is_empty());
    }
}

fn multivariant(presentation: &Presentation) -> Text {
    text(plugin().render(&request("live.m3u8", &[]), presentation))
}

#[test]
fn the_whole_of_a_multivariant_playlist() {
    assert_eq!(
        multivariant(&Stream::new(6).at(5, 1)).body,
        r#"#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=2400001,AVERAGE-BANDWIDTH=2000000,CODECS="avc1.64001f",RESOLUTION=1280x720,FRAME-RATE=29.970
5f3a/video.m3u8
"#
    );
}

#[test]
fn another_reader_finds_the_variant() {
    let playlist = multivariant(&Stream::new(6).at(5, 1)).body;
    let seen = m3u8_rs::parse_master_playlist_res(playlist.as_bytes()).unwrap();
    assert!(seen.independent_segments);
    let [variant] = &seen.variants[..] else {
        panic!("one variant");
    };
    assert_eq!(variant.uri, "5f3a/video.m3u8");
    assert_eq!(variant.bandwidth, 2_400_001);
    assert_eq!(variant.average_bandwidth, Some(2_000_000));
    assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f"));
    let resolution = variant.resolution.unwrap();
    assert_eq!((resolution.width, resolution.height), (1280, 720));
    assert_eq!(variant.frame_rate, Some(29.97));
}

#[test]
fn the_peak_is_never_understated() {
    let stream = Stream::new(6);
    let bandwidth = |presentation: &Presentation| -> (u64, u64) {
        let playlist = multivariant(presentation).body;
        let list = attributes(tag(&playlist, "EXT-X-STREAM-INF"));
        (
            list["BANDWIDTH"].parse().unwrap(),
            list["AVERAGE-BANDWIDTH"].parse().unwrap(),
        )
    };
    // An average that has overtaken a peak which was measured earlier.
    let mut presentation = stream.at(5, 1);
    presentation.renditions[0].average_bitrate = 3_000_000;
    assert_eq!(bandwidth(&presentation), (3_000_000, 3_000_000));
    // Nothing measured yet: what is there speaks. 100,000 bytes in 0.399996 s.
    let mut presentation = stream.at(0, 2);
    presentation.renditions[0].peak_bitrate = 0;
    presentation.renditions[0].average_bitrate = 0;
    let expected = 800_000_000_000u64.div_ceil(399_996);
    assert_eq!(bandwidth(&presentation), (expected, expected));
    // Not even a part: BANDWIDTH is still there, and no zero.
    let mut presentation = stream.at(0, 0);
    presentation.renditions[0].peak_bitrate = 0;
    presentation.renditions[0].average_bitrate = 0;
    assert_eq!(bandwidth(&presentation), (1, 1));
}

#[test]
fn it_leads_to_a_new_presentation_soon() {
    let mut stream = Stream::new(6);
    for (target_duration, max_age) in [(1, 1), (2, 1), (4, 2), (10, 5)] {
        stream.timing.target_duration = target_duration;
        assert_eq!(multivariant(&stream.at(5, 1)).max_age, max_age);
    }
}

#[test]
fn every_rendition_is_a_variant() {
    let stream = Stream::new(6);
    let mut presentation = stream.at(5, 1);
    let mut small = presentation.renditions[0].clone();
    small.id = "small".into();
    (small.width, small.height) = (640, 360);
    presentation.renditions.push(small);
    let playlist = multivariant(&presentation).body;
    let seen = m3u8_rs::parse_master_playlist_res(playlist.as_bytes()).unwrap();
    let uris: Vec<_> = seen
        .variants
        .iter()
        .map(|variant| variant.uri.as_str())
        .collect();
    assert_eq!(uris, ["5f3a/video.m3u8", "5f3a/small.m3u8"]);
}
