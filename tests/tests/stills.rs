//! Single pictures of the stream, as the world's image libraries read them: `/cam/snapshot.jpg` and `/cam/mjpeg`.

use anyhow::{Context, Result, ensure};
use picam_tests::{Host, Reply, players::Decoded, token};
use serde_json::Value;
use tokio::process::Command;

/// A header field.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.get(name)?.to_str().ok()
}

/// What FFmpeg says of a JPEG.
async fn probe(jpeg: &[u8]) -> Result<Value> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), jpeg)?;
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-f",
            "jpeg_pipe",
            "-show_streams",
            "-of",
            "json",
        ])
        .arg(file.path())
        .output()
        .await
        .context("starting ffprobe")?;
    let complaints = String::from_utf8_lossy(&probed.stderr);
    ensure!(complaints.is_empty(), "ffprobe complains: {complaints}");
    let said: Value = serde_json::from_slice(&probed.stdout)?;
    Ok(said["streams"][0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_a_jpeg_of_the_latest_key_frame() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .start()
        .await?;
    host.media_playlist().await?;
    let client = host.http1()?;
    let first = client.get("/cam/snapshot.jpg").await?;
    ensure!(first.status == 200, "{}", first.text());
    ensure!(
        field(&first, "content-type") == Some("image/jpeg"),
        "{first:?}"
    );
    ensure!(
        field(&first, "cache-control") == Some("no-cache"),
        "{first:?}"
    );
    let stream = probe(&first.body).await?;
    ensure!(stream["codec_name"] == "mjpeg", "{stream}");
    ensure!(
        stream["width"] == 320 && stream["height"] == 180,
        "{stream}"
    );

    // A second later there is another key frame.
    let tag = field(&first, "etag").context("it has a tag")?.to_owned();
    let mut other = first.body.clone();
    while other == first.body {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let again = client.get("/cam/snapshot.jpg").await?;
        ensure!((field(&again, "etag") == Some(&*tag)) == (again.body == first.body));
        other = again.body;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_plays_motion_jpeg() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .start()
        .await?;
    host.media_playlist().await?;
    let decoded = Decoded::by_ffmpeg(&host.url("/cam/mjpeg"), &["-frames:v", "60"]).await?;
    decoded.check(60..=60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_watch_gets_no_picture_either() -> Result<()> {
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .start()
        .await?;
    let client = host.http1()?;
    for path in ["/cam/snapshot.jpg", "/cam/mjpeg"] {
        let reply = client.get(path).await?;
        ensure!(
            reply.status == 401 || reply.status == 403,
            "{path}: {}",
            reply.status
        );
    }
    let at = format!("/~{}", token::lasting(60)?);
    let reply = client.get(&format!("{at}/cam/snapshot.jpg")).await?;
    ensure!(reply.status == 200, "{}", reply.text());
    Ok(())
}
