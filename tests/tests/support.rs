//! The test support holds what it promises. Needs no host.

use std::process::Stdio;

use picam_tests::{Camera, Clip, media};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_clip_is_whole_pictures_and_decodes() {
    let clip = Clip::at(15);
    let units = clip.units().await.unwrap();
    assert_eq!(units.len(), 60);
    let idr = |unit: &Vec<u8>| media::annex_b(unit).iter().any(|nal| nal[0] & 0x1f == 5);
    for (at, unit) in units.iter().enumerate() {
        assert_eq!(idr(unit), at % 15 == 0, "picture {at}");
        assert!(
            !media::annex_b(unit).iter().any(|nal| nal[0] & 0x1f == 9),
            "delimiters are left out"
        );
    }
    assert_eq!(media::pictures(&units.concat()).await.unwrap().len(), 60);
}

#[tokio::test]
async fn a_camera_sends_what_its_scripts_say() {
    let (first, second) = (Clip::default(), Clip::sized(160, 90));
    let mut camera = Camera::new(
        &["clip {} rate 200 play 130", "clip {} rate 200 play"],
        &[first.clone(), second],
    )
    .await
    .unwrap();

    let mut child = camera.command().stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // A camera whose pictures nobody takes waits.
    let sent = tokio::spawn(async move {
        let mut sent = Vec::new();
        stdout.read_to_end(&mut sent).await.map(|_| sent)
    });
    assert_eq!(camera.started().await.unwrap(), 130);
    assert_eq!(camera.run("silence 1 noise 100 exit 3").await.unwrap(), 130);
    let sent = sent.await.unwrap().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));

    let units = first.units().await.unwrap();
    let pictures = [&units[..], &units[..10]].concat().concat();
    assert_eq!(sent[..pictures.len()], pictures);
    assert_eq!(sent.len(), pictures.len() + 100);

    let mut again = camera.command().stdout(Stdio::piped()).spawn().unwrap();
    camera.started().await.unwrap();
    let mut start = vec![0; 5];
    again
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut start)
        .await
        .unwrap();
    assert_eq!(start[..4], [0, 0, 0, 1]);
    camera.run("rate 100 play").await.unwrap();
}

#[tokio::test]
async fn fragments_of_another_muxer_are_read() {
    let clip = Clip::default();
    let output = tokio::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(clip.file().await.unwrap())
        .args([
            "-c",
            "copy",
            "-f",
            "mp4",
            "-movflags",
            "+empty_moov+default_base_moof+frag_every_frame",
            "pipe:1",
        ])
        .output()
        .await
        .unwrap();
    let data = bytes::Bytes::from(output.stdout);
    let boxes = media::boxes(data.clone()).unwrap();
    let head = boxes[0].bytes.len() + boxes[1].bytes.len();
    let moov = media::init(&data.slice(..head)).unwrap();
    assert_eq!(moov.trak.len(), 1);

    let fragments = media::fragments(&data.slice(head..)).unwrap();
    let samples: Vec<_> = fragments
        .iter()
        .flat_map(|fragment| &fragment.samples)
        .collect();
    assert_eq!(samples.len(), 120);
    assert!(!samples[30].dependent && samples[31].dependent);
    let units = clip.units().await.unwrap();
    let slices = |nals: Vec<&[u8]>| {
        nals.iter()
            .filter(|nal| matches!(nal[0] & 0x1f, 1 | 5))
            .map(|nal| nal.to_vec())
            .collect()
    };
    for (sample, unit) in samples.iter().zip(&units) {
        let (served, sent): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (
            slices(sample.nals.iter().map(|nal| &nal[..]).collect()),
            slices(media::annex_b(unit)),
        );
        assert_eq!(served, sent);
    }
}
