//! `/cam/live.mp4` as others read it: FFmpeg, GStreamer, a slow reader; and where it ends.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use mp4_atom::{Any, Decode as _, Emsg};
use picam_tests::{
    Camera, Client, Clip, Host, PATIENCE,
    media::{self, Fragment},
    players::{Decoded, gstreamer},
    token,
};
use reqwest::Response;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

const PATH: &str = "/cam/live.mp4";
const SMALL: [&str; 4] = ["--size", "320x180", "--bitrate", "500k"];

async fn pattern() -> Result<Host> {
    Host::source("pattern").arguments(SMALL).start().await
}

/// What has come of a response.
#[derive(Debug)]
struct Story {
    init: Bytes,
    fragments: Vec<Fragment>,
    events: Vec<Emsg>,
}

impl Story {
    /// Reads all that has come whole: up to the end of a sample, or of the init segment.
    fn of(mut bytes: Bytes) -> Result<Self> {
        let (mut at, mut whole) = (0, 0);
        while let Some(header) = bytes[at..].first_chunk::<8>() {
            let [a, b, c, d, kind @ ..] = *header;
            at += u32::from_be_bytes([a, b, c, d]) as usize;
            if at > bytes.len() {
                break;
            }
            if matches!(&kind, b"moov" | b"mdat") {
                whole = at;
            }
        }
        bytes.truncate(whole);
        let boxes = media::boxes(bytes.clone())?;
        let kinds: Vec<_> = boxes.iter().map(|found| found.kind.as_str()).collect();
        ensure!(
            kinds.starts_with(&["ftyp", "moov"]),
            "it begins with {:?}",
            &kinds[..kinds.len().min(5)]
        );
        ensure!(
            kinds.iter().filter(|kind| **kind == "moov").count() == 1,
            "another init segment ends the response"
        );
        let events = boxes.iter().filter(|found| found.kind == "emsg");
        let events = events.map(|found| match Any::decode(&mut &found.bytes[..])? {
            Any::Emsg(emsg) => Ok(emsg),
            other => bail!("emsg reads as {other:?}"),
        });
        let head = boxes[0].bytes.len() + boxes[1].bytes.len();
        Ok(Self {
            events: events.collect::<Result<_>>()?,
            fragments: media::fragments(&bytes.slice(head..))?,
            init: bytes.slice(..head),
        })
    }

    fn size(&self) -> Result<(u16, u16)> {
        let moov = media::init(&self.init)?;
        match &moov.trak[0].mdia.minf.stbl.stsd.codecs[..] {
            [mp4_atom::Codec::Avc1(entry)] => Ok((entry.visual.width, entry.visual.height)),
            other => bail!("one sample entry of H.264, not {other:?}"),
        }
    }

    fn gaps(&self) -> impl Iterator<Item = &Emsg> {
        let gap = |event: &&Emsg| event.scheme_id_uri == "urn:picam-host:gap:2026";
        self.events.iter().filter(gap)
    }

    /// Microseconds that were passed over, since the reader was too slow.
    fn missing(&self) -> u64 {
        let slow = self.gaps().filter(|gap| gap.value == "slow");
        slow.map(|gap| u64::from(gap.event_duration)).sum()
    }

    /// Decoding times join up, but where an event says by how much they don't.
    fn joins_up(&self) -> Result<()> {
        let mut gaps = self.gaps();
        for pair in self.fragments.windows(2) {
            let end = pair[0].decode_time + u64::from(pair[0].samples[0].duration);
            if end == pair[1].decode_time {
                continue;
            }
            let gap = gaps.next().context("a gap that nobody told of")?;
            ensure!(
                gap.presentation_time == mp4_atom::EmsgTimestamp::Absolute(pair[1].decode_time)
                    && u64::from(gap.event_duration) == pair[1].decode_time - end,
                "{gap:?} between {end} and {}",
                pair[1].decode_time
            );
        }
        ensure!(gaps.next().is_none(), "a gap that there isn't");
        Ok(())
    }
}

/// Reads a response for a while, or until it has so many pictures.
async fn read(
    response: &mut Response,
    got: &mut BytesMut,
    until: impl Fn(&Story) -> bool,
) -> Result<Story> {
    let reading = async {
        for count in 0_u32.. {
            let chunk = response.chunk().await?.context("the response has ended")?;
            got.extend_from_slice(&chunk);
            // Whoever looks at everything each time reads too slowly himself.
            if (count < 8 || count % 32 == 0)
                && let Ok(story) = Story::of(got.clone().freeze())
                && until(&story)
            {
                return Ok(story);
            }
        }
        bail!("it has no end, and it has come to it")
    };
    timeout(PATIENCE, reading)
        .await
        .context("it does not come that far")?
}

/// Reads a response to its end.
async fn rest(mut response: Response, mut got: BytesMut) -> Result<Story> {
    let reading = async {
        while let Some(chunk) = response.chunk().await? {
            got.extend_from_slice(&chunk);
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, reading)
        .await
        .context("it does not end")??;
    Story::of(got.freeze())
}

#[tokio::test]
async fn every_picture_comes_over_both_versions_of_http() -> Result<()> {
    let host = pattern().await?;
    for client in [host.http1()?, host.http2()?] {
        let mut response = client.open(PATH).await?;
        assert_eq!(response.status(), 200);
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        assert_eq!(header("cache-control"), Some("no-store"));
        assert!(header("content-type").is_some_and(|kind| kind.starts_with("video/mp4; codecs=")));
        let story = read(&mut response, &mut BytesMut::new(), |s| {
            s.fragments.len() >= 100
        })
        .await?;
        story.joins_up()?;
        assert_eq!(story.size()?, (320, 180));
        assert!(!story.fragments[0].samples[0].dependent, "an IDR picture");
        // Whoever stood still for a second on a busy machine is sent on as well, and told.
        let gaps = gaps_at(&story);
        for (at, pair) in story.fragments.windows(2).enumerate() {
            assert!(pair[1].sequence == pair[0].sequence + 1 || gaps.contains(&(at + 1)));
        }
        assert!(
            story
                .fragments
                .iter()
                .all(|f| f.samples.len() == 1 && f.prft.is_some())
        );
        let head = client.head(PATH).await?;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    Ok(())
}

#[tokio::test]
async fn ffmpeg_counts_the_pictures() -> Result<()> {
    let host = pattern().await?;
    host.media_playlist().await?;
    let decoded = Decoded::by_ffmpeg(
        &host.url(PATH),
        // Times as they are, not rounded to what it takes for the rate.
        &["-frames:v", "150", "-enc_time_base", "-1"],
    )
    .await?;
    decoded.check(150..=150)?;
    ensure!(decoded.complaints.is_empty(), "{:#?}", decoded.complaints);
    Ok(())
}

#[tokio::test]
async fn gstreamer_plays_a_hundred_pictures() -> Result<()> {
    let host = pattern().await?;
    host.media_playlist().await?;
    let pipeline = format!(
        "souphttpsrc location={} ! qtdemux ! h264parse ! avdec_h264 ! fakesink silent=false sync=true",
        host.url(PATH)
    );
    let pipeline: Vec<_> = pipeline.split(' ').collect();
    gstreamer(&pipeline, 100).await
}

/// Reads `argv[3]` bytes a second from `argv[1]:argv[2]`, for `argv[4]` seconds, then all that comes for two more; writes the
/// body to standard output. It has little room for what it hasn't read, as a viewer on a bad connection.
const SLOW: &str = r#"
import select, socket, sys, time
host, port, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.connect((host, port))
s.sendall(b"GET /cam/live.mp4 HTTP/1.0\r\n\r\n")
got, end = b"", time.monotonic() + seconds
while time.monotonic() < end:
    got += s.recv(rate // 10)
    time.sleep(0.1)
end = time.monotonic() + 2
while time.monotonic() < end:
    if select.select([s], [], [], 0.1)[0]:
        got += s.recv(65536)
sys.stdout.buffer.write(got.split(b"\r\n\r\n", 1)[1])
"#;

#[tokio::test]
async fn a_slow_reader_is_sent_on_and_nobody_else_notices() -> Result<()> {
    // Some 240 KiB a second, of which the slow one takes 20.
    let host = Host::source("pattern")
        .arguments(["--size", "640x360", "--bitrate", "2M"])
        .start()
        .await?;
    host.media_playlist().await?;
    let address = host.address();
    let slow = Command::new("python3")
        .args([
            "-c",
            SLOW,
            &address.ip().to_string(),
            &address.port().to_string(),
            "20000",
            "8",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting python3")?;
    let client = host.http1()?;
    let mut response = client.open(PATH).await?;
    let fast = read(&mut response, &mut BytesMut::new(), |s| {
        s.fragments.len() >= 240
    })
    .await?;
    let slow = timeout(PATIENCE, slow.wait_with_output()).await??;
    ensure!(slow.status.success(), "the slow reader failed");

    fast.joins_up()?;
    let slow = Story::of(slow.stdout.into())?;
    slow.joins_up()?;
    for (gap, at) in slow.gaps().zip(gaps_at(&slow)) {
        assert!(gap.value == "source" || !slow.fragments[at].samples[0].dependent);
    }
    let (missing, theirs) = (slow.missing(), fast.missing());
    assert!(
        missing > theirs + 1_000_000,
        "{missing} and {theirs} microseconds"
    );
    println!(
        "the slow reader got {} pictures and misses {:.1} s in {} gaps",
        slow.fragments.len(),
        missing as f64 / 1e6,
        slow.gaps().count()
    );
    // Each picture that it has is one that was sent to the other as well.
    let same = |f: &Fragment| fast.fragments.iter().find(|g| g.sequence == f.sequence);
    let shared = slow.fragments.iter().filter_map(|f| Some((f, same(f)?)));
    let mut count = 0;
    for (f, g) in shared {
        assert_eq!(f.samples[0].nals, g.samples[0].nals);
        count += 1;
    }
    assert!(count > 10, "{count} pictures can be compared");
    Ok(())
}

/// Which fragments don't join up with those before them.
fn gaps_at(story: &Story) -> Vec<usize> {
    let end = |f: &Fragment| f.decode_time + u64::from(f.samples[0].duration);
    let pairs = story.fragments.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| end(&pair[0]) != pair[1].decode_time)
        .map(|(at, _)| at + 1)
        .collect()
}

#[tokio::test]
async fn a_camera_that_comes_back_in_another_size_ends_it() -> Result<()> {
    for two in [false, true] {
        let clips = [Clip::default(), Clip::sized(160, 90)];
        let scripts = ["clip {} rate 30 play", "clip {} rate 30 play"];
        let mut camera = Camera::new(&scripts, &clips).await?;
        let host = Host::source(&camera.source()).start().await?;
        let client = match two {
            true => host.http2()?,
            false => host.http1()?,
        };
        let mut response = client.open(PATH).await?;
        let mut got = BytesMut::new();
        read(&mut response, &mut got, |s| s.fragments.len() >= 20).await?;
        // It ends without an answer.
        camera.run("exit 0").await.ok();
        let story = rest(response, got).await?;
        story.joins_up()?;
        assert_eq!(story.size()?, (320, 180));
        // Whoever asks again gets what there is: the slate for a while, perhaps, and then the camera.
        let began = Instant::now();
        loop {
            ensure!(began.elapsed() < PATIENCE, "the camera does not come back");
            let response = client.open(PATH).await?;
            if response.status() != 200 {
                continue;
            }
            let (mut response, mut got) = (response, BytesMut::new());
            let story = read(&mut response, &mut got, |s| !s.fragments.is_empty()).await?;
            if story.size()? == (160, 90) {
                break;
            }
            rest(response, got).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_slate_is_another_response_that_says_so() -> Result<()> {
    let mut camera = Camera::playing(&Clip::default()).await?;
    let host = Host::source(&camera.source()).start().await?;
    let client = host.http2()?;
    let mut response = client.open(PATH).await?;
    let mut got = BytesMut::new();
    read(&mut response, &mut got, |s| s.fragments.len() >= 20).await?;
    let silence = tokio::spawn(async move {
        let done = camera.run("silence 6000 play").await;
        (camera, done)
    });
    let story = rest(response, got).await?;
    story.joins_up()?;
    let mut response = client.open(PATH).await?;
    let mut got = BytesMut::new();
    let slate = read(&mut response, &mut got, |s| s.fragments.len() >= 3).await?;
    let [lost] = &slate.events[..] else {
        bail!("one event, not {:?}", slate.events)
    };
    assert_eq!(lost.scheme_id_uri, "urn:picam-host:camera-lost:2026");
    let since: u64 = lost.value.parse()?;
    let last = story.fragments.last().context("pictures")?;
    let captured = last.prft.as_ref().context("a time")?.ntp_timestamp;
    let captured =
        ((captured >> 32) - 2_208_988_800) * 1_000 + (((captured & 0xffff_ffff) * 1_000) >> 32);
    assert!(since.abs_diff(captured) <= 1, "{since} and {captured}");
    // And the camera's return ends that one.
    rest(response, got).await?;
    let mut response = client.open(PATH).await?;
    let again = read(&mut response, &mut BytesMut::new(), |s| {
        s.fragments.len() >= 20
    })
    .await?;
    assert!(again.events.is_empty());
    assert!(
        again.fragments[0].decode_time > last.decode_time,
        "time goes on"
    );
    silence.await?.1?;
    Ok(())
}

#[tokio::test]
async fn it_ends_when_the_token_runs_out() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(SMALL)
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .start()
        .await?;
    assert_eq!(host.http1()?.get(PATH).await?.status, 403);
    for client in [host.http1()?, host.http2()?] {
        let at = format!("/~{}", token::lasting(4)?);
        let mut response = open_when_live(&client, &format!("{at}{PATH}")).await?;
        let mut got = BytesMut::new();
        read(&mut response, &mut got, |s| !s.fragments.is_empty()).await?;
        let story = rest(response, got).await?;
        story.joins_up()?;
        assert_eq!(client.get(&format!("{at}{PATH}")).await?.status, 403);
    }
    Ok(())
}

async fn open_when_live(client: &Client, path: &str) -> Result<Response> {
    let began = Instant::now();
    loop {
        let response = client.open(path).await?;
        if response.status() == 200 {
            return Ok(response);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{path} answers {}",
            response.status()
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_end_of_the_source_is_the_end_and_not_waited_for() -> Result<()> {
    let clip = Clip::default();
    let mut camera = Camera::new(&["clip {} rate 30 play 60"], &[clip]).await?;
    let mut child = camera.command().stdout(Stdio::piped()).spawn()?;
    let stdout: Stdio = child.stdout.take().context("piped")?.try_into()?;
    let host = Host::source("-").stdin(stdout).start().await?;
    let client = host.http1()?;
    let response = client.open(PATH).await?;
    assert_eq!(response.status(), 200);
    camera.run("play 60 exit 0").await.ok();
    let story = rest(response, BytesMut::new()).await?;
    story.joins_up()?;
    assert!(
        story.fragments.len() >= 30,
        "{} pictures",
        story.fragments.len()
    );
    let began = Instant::now();
    assert_eq!(client.get(PATH).await?.status, 404);
    assert!(began.elapsed() < Duration::from_secs(8), "it was held");
    Ok(())
}
