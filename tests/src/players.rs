//! Players and readers that are programs of their own.

use std::{collections::HashSet, ffi::OsStr, fmt::Debug, ops::RangeInclusive, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::PATIENCE;

/// Runs a program to its end. Returns whether it succeeded, and both of its outputs.
///
/// # Errors
/// It can't be started, or doesn't end.
pub async fn run(command: &mut Command, input: &[u8]) -> Result<(bool, String, String)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let input = input.to_owned();
    let writer = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = timeout(2 * PATIENCE, child.wait_with_output())
        .await
        .with_context(|| format!("{command:?} does not end"))??;
    // A program that stops reading says why, which is what there is to see.
    writer.await?.ok();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// What FFmpeg decoded of a stream.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// When each picture is shown.
    pub times: Vec<i64>,
    /// A hash of each.
    pub hashes: Vec<String>,
    /// What it had to say, but for its surprise at meeting the init segment again after each reload of a playlist.
    pub complaints: Vec<String>,
}

impl Decoded {
    /// Plays with FFmpeg. `options` say how much, as in `-t 5`.
    ///
    /// # Errors
    /// It fails, or doesn't end.
    pub async fn by_ffmpeg(url: &str, options: &[&str]) -> Result<Self> {
        let (fine, said, complaints) = run(
            Command::new("ffmpeg")
                .args(["-hide_banner", "-loglevel", "warning", "-i", url])
                .args(options)
                .args(["-an", "-fps_mode", "passthrough", "-f", "framemd5", "-"]),
            b"",
        )
        .await?;
        ensure!(fine, "{complaints}");
        let (mut times, mut hashes) = (Vec::new(), Vec::new());
        for line in said.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<_> = line.split(',').map(str::trim).collect();
            times.push(fields.get(2).context("no time")?.parse()?);
            hashes.push((*fields.get(5).context("no hash")?).to_owned());
        }
        let complaints = complaints
            .lines()
            .filter(|line| !line.contains("duplicated MOOV") && !line.contains("message repeated"))
            .filter(|line| !line.trim().is_empty());
        Ok(Self {
            times,
            hashes,
            complaints: complaints.map(str::to_owned).collect(),
        })
    }

    /// There are so many pictures, each later than the one before, and the picture moves.
    ///
    /// # Errors
    /// It isn't so.
    pub fn check(&self, pictures: RangeInclusive<usize>) -> Result<()> {
        let Self {
            times,
            hashes,
            complaints,
        } = self;
        let count = times.len();
        ensure!(
            pictures.contains(&count),
            "{count} pictures: {complaints:#?}"
        );
        ensure!(
            times.windows(2).all(|pair| pair[0] < pair[1]),
            "{times:?}: {complaints:#?}"
        );
        let different: HashSet<_> = hashes.iter().collect();
        ensure!(
            different.len() * 10 >= count * 9,
            "the picture stands still"
        );
        Ok(())
    }
}

/// Has GStreamer decode so many pictures by a pipeline whose sink is `fakesink silent=false`; it need not end by itself.
///
/// # Errors
/// There are fewer.
pub async fn gstreamer(pipeline: &[impl AsRef<OsStr> + Debug], pictures: u32) -> Result<()> {
    let mut child = Command::new("gst-launch-1.0")
        .arg("-v")
        .args(pipeline)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(
            "starting gst-launch-1.0 (on Debian: gstreamer1.0-tools and its plugins good, bad, libav)",
        )?;
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    let mut stderr = child.stderr.take().context("piped")?;
    let (mut seen, mut said) = (0, String::new());
    let reading = async {
        while seen < pictures
            && let Some(line) = lines.next_line().await?
        {
            match line.contains("last-message = chain") {
                true => seen += 1,
                false => said = said.clone() + &line + "\n",
            }
        }
        anyhow::Ok(())
    };
    // Where a playlist offers little to begin with, it gathers half a minute before it shows the first picture.
    let read = timeout(2 * PATIENCE, reading).await;
    child.kill().await?;
    let mut complaints = String::new();
    stderr.read_to_string(&mut complaints).await?;
    ensure!(
        matches!(read, Ok(Ok(()))) && seen == pictures,
        "{pipeline:?}: {seen} pictures ({read:?})\n{complaints}\n{said}"
    );
    Ok(())
}

/// Both of GStreamer's readers of a kind of playlist, as pipelines for [`gstreamer`]: the one that `playbin3` takes, and the
/// older one, an element of this name.
pub fn pipelines(url: &str, older: &str) -> [Vec<String>; 2] {
    let newer = [
        "playbin3",
        &format!("uri={url}"),
        // Video only.
        "flags=0x1",
        "video-sink=fakesink silent=false sync=true",
    ];
    let older = format!(
        "souphttpsrc location={url} ! {older} ! qtdemux ! h264parse ! avdec_h264 ! fakesink silent=false sync=true"
    );
    [
        newer.map(str::to_owned).to_vec(),
        older.split(' ').map(str::to_owned).collect(),
    ]
}
