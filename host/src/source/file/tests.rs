use std::io::Write;

use super::*;
use crate::source::{Event, Picture};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/h264");
const WANTED: Wanted = Wanted {
    width: 1280,
    height: 720,
    fps: 15,
    bitrate: 2_000_000,
    key_interval: Duration::from_secs(1),
    controls: Vec::new(),
};

/// The pictures of one run through the file, and of what comes after the break the first.
async fn once(source: &mut Source) -> (Vec<Picture>, Picture) {
    let mut pictures = Vec::new();
    loop {
        match source.events.recv().await {
            Some(Event::Picture(picture)) => pictures.push(picture),
            Some(Event::Break { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    match source.events.recv().await {
        Some(Event::Picture(next)) => (pictures, next),
        other => panic!("{other:?}"),
    }
}

async fn play(name: &str) -> Source {
    open(&Path::new(DATA).join(name), &WANTED).await.unwrap()
}

fn frame(number: u64) -> Duration {
    FrameRate {
        pictures: 30,
        seconds: 1,
    }
    .time(number)
}

#[tokio::test(start_paused = true)]
async fn a_byte_stream_is_played_at_its_own_rate_and_loops_without_a_gap() {
    let mut source = play("high-pyramid.h264").await;
    assert_eq!(source.nominal.frame, Some(frame(1)));
    assert_eq!(source.nominal.key_interval, Some(12));
    assert!(
        source
            .description
            .ends_with("high-pyramid.h264, H264 320x180 at 30/s"),
        "{}",
        source.description
    );
    let (pictures, next) = once(&mut source).await;
    assert_eq!(pictures.len(), 24);
    assert!(next.unit.idr);
    assert_eq!(next.unit.data, pictures[0].unit.data);
    let times: Vec<_> = pictures
        .iter()
        .chain([&next])
        .map(|picture| picture.captured)
        .collect();
    for (number, time) in times.iter().enumerate() {
        let should = frame(number as u64).as_micros() as u64;
        assert!(
            time.since(times[0]).as_micros() as u64 == should,
            "picture {number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn mp4_files_give_the_pictures_and_times_of_the_stream_within() {
    let (stream, _) = once(&mut play("high-pyramid.h264").await).await;
    for name in ["end.mp4", "front.mp4", "fragments.mp4"] {
        let mut source = play(name).await;
        assert_eq!(source.nominal.frame, Some(frame(24) / 24), "{name}");
        let (pictures, next) = once(&mut source).await;
        assert_eq!(pictures.len(), 24, "{name}");
        for (number, (one, other)) in pictures.iter().zip(&stream).enumerate() {
            assert_eq!(one.unit.data, other.unit.data, "{name}, picture {number}");
            assert_eq!(one.unit.display_shift, other.unit.display_shift);
            assert_eq!(one.unit.idr, other.unit.idr);
            assert_eq!(
                one.captured.since(pictures[0].captured).as_micros(),
                frame(number as u64).as_micros()
            );
        }
        assert_eq!(
            next.captured.since(pictures[0].captured),
            Duration::from_millis(800)
        );
        assert_eq!(source.damage.borrow().dropped_units, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_mp4_file_that_was_cut_off_is_played_as_far_as_it_goes() {
    for (name, least) in [("front.mp4", 12), ("fragments.mp4", 12)] {
        let bytes = std::fs::read(Path::new(DATA).join(name)).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes[..bytes.len() * 4 / 5]).unwrap();
        let mut source = open(file.path(), &WANTED).await.unwrap();
        let (pictures, _) = once(&mut source).await;
        assert!(
            (least..24).contains(&pictures.len()),
            "{name}: {}",
            pictures.len()
        );
    }
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let with = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let stream = std::fs::read(Path::new(DATA).join("baseline.h264")).unwrap();
    let idr_ends = memchr::memmem::find_iter(&stream, &[0, 0, 1])
        .find(|&at| stream[at + 3] & 0x1f == 1)
        .unwrap();
    let next_idr = memchr::memmem::find_iter(&stream, &[0, 0, 1])
        .find(|&at| at > idr_ends && stream[at + 3] & 0x1f == 7)
        .unwrap();
    let end = std::fs::read(Path::new(DATA).join("end.mp4")).unwrap();
    for (path, reason) in [
        (directory.path().join("missing"), "No such file"),
        (directory.path().to_owned(), "is a directory"),
        (with("empty", b""), "is empty"),
        (
            with("text", b"This is no video at all, but a text."),
            "nothing in it is H.264",
        ),
        (
            with("no-idr", &stream[idr_ends..next_idr]),
            "none is a key frame",
        ),
        (
            with("matroska", b"\x1a\x45\xdf\xa3 and so on and on"),
            "Matroska",
        ),
        (with("unfinished", &end[..end.len() / 2]), "no `moov`"),
        (
            with("sound.mp4", b"\0\0\0\x08ftyp\0\0\0\x08free"),
            "no `moov`",
        ),
    ] {
        let error = format!("{:#}", open(&path, &WANTED).await.unwrap_err());
        assert!(error.contains(reason), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_vanishes_is_lost_and_played_again_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.h264");
    let original = Path::new(DATA).join("small.h264");
    std::fs::copy(&original, &path).unwrap();
    let mut source = open(&path, &WANTED).await.unwrap();
    assert!(source.events.recv().await.is_some());
    std::fs::remove_file(&path).unwrap();
    let lost = |event: &Event| matches!(event, Event::Lost { .. });
    while !lost(&source.events.recv().await.unwrap()) {}
    std::fs::copy(&original, &path).unwrap();
    loop {
        match source.events.recv().await.unwrap() {
            Event::Picture(picture) => {
                assert!(picture.unit.idr);
                break;
            }
            event => assert!(lost(&event), "{event:?}"),
        }
    }
    assert_eq!(source.damage.borrow().restarts, 1);
}
