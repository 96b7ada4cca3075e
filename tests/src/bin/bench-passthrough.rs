//! What passing a stream through costs, beside FFmpeg that writes DASH without touching the pictures.
//!
//!     bench-passthrough [SECONDS] [WIDTHxHEIGHT]
//!
//! Both read the same H.264 from their standard input at the same moments, each picture with the delimiter that ends it,
//! as a camera's buffer tells where a picture ends, and nobody watches. CPU time is user and
//! system time over the given seconds, after ten to start in; memory is the resident set at their end.
//!
//! Prints lines of the table that `cargo xtask bench` prints.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use picam_tests::{Clip, Feed, Host};
use tokio::{process::Command, time::sleep};

/// FFmpeg looks at five seconds before it begins.
const START: Duration = Duration::from_secs(10);
/// Both keep so much.
const WINDOW: u64 = 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().unwrap_or("30".into());
    let seconds: u64 = seconds
        .parse()
        .with_context(|| format!("{seconds:?} is no number"))?;
    let size = arguments.next().unwrap_or("1280x720".into());
    let (width, height) = size
        .split_once('x')
        .context("a size is written as in 1280x720")?;
    let clip = Clip::sized(width.parse()?, height.parse()?);
    let pictures = clip.ended_units().await?;
    let bytes: usize = pictures.iter().map(Vec::len).sum();
    let rate = bytes as u64 * u64::from(clip.fps) / pictures.len() as u64;

    let (ours, to_ours) = std::io::pipe()?;
    let (theirs, to_theirs) = std::io::pipe()?;
    let host = Host::source("-").stdin(Stdio::from(ours)).start().await?;
    // In memory, where there is such a place: the disk is not what is measured.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let mut ffmpeg = Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-f",
            "h264",
            "-framerate",
        ])
        .arg(clip.fps.to_string())
        .args(["-i", "-", "-c", "copy", "-f", "dash", "-seg_duration", "1"])
        .args(["-streaming", "1", "-window_size", &WINDOW.to_string()])
        .arg(directory.path().join("live.mpd"))
        .stdin(theirs)
        .kill_on_drop(true)
        .spawn()
        .context("starting ffmpeg (on Debian: apt-get install ffmpeg)")?;
    let ids = [host.id(), ffmpeg.id()].map(|id| id.context("it has ended"));
    let [ours, theirs] = ids;
    let (ours, theirs) = (ours?, theirs?);

    let feed = Feed::start(
        pictures,
        clip.fps,
        vec![Box::new(to_ours), Box::new(to_theirs)],
    )?;
    sleep(START).await;
    let before = (cpu(ours)?, cpu(theirs)?);
    sleep(Duration::from_secs(seconds)).await;
    let after = (cpu(ours)?, cpu(theirs)?);
    let memory = (resident(ours)?, resident(theirs)?);
    ensure!(
        directory.path().join("live.mpd").exists(),
        "ffmpeg wrote nothing: there is nothing to compare with"
    );
    ffmpeg.kill().await?;
    feed.stop()?;

    let cpu = (after.0 - before.0, after.1 - before.1);
    println!(
        "| CPU of a pass-through stream without viewers, {seconds} s ({size}, {} kbit/s) | {:.2} s | `ffmpeg -c copy -f dash`: \
         {:.2} s | {:.2} | ≤ 1 |",
        rate * 8 / 1_000,
        cpu.0,
        cpu.1,
        cpu.0 / cpu.1
    );
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "| memory of the same, of which {:.1} MiB are {WINDOW} s of media | {:.1} MiB | `ffmpeg -c copy -f dash`: {:.1} MiB, \
         and its files | {:.2} | ≤ 48 MiB + window |",
        mebibytes(rate * WINDOW.min(seconds + START.as_secs())),
        mebibytes(memory.0),
        mebibytes(memory.1),
        memory.0 as f64 / memory.1 as f64
    );
    Ok(())
}

/// Seconds of user and system time that a process has used (`proc_pid_stat`, fields 14 and 15).
fn cpu(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is a name in parentheses, which may contain spaces.
    let (_, rest) = stat.rsplit_once(')').context("a line without a name")?;
    let ticks = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>())
        .sum::<Result<u64, _>>()?;
    // SAFETY: it takes a number and gives one.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    ensure!(a_second > 0, "the system doesn't tell how long a tick is");
    Ok(ticks as f64 / a_second as f64)
}

/// Bytes of a process's resident set.
fn resident(id: u32) -> Result<u64> {
    let path = format!("/proc/{id}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line
        .context("VmRSS is missing")?
        .trim()
        .trim_end_matches(" kB");
    Ok(kibibytes.parse::<u64>()? << 10)
}
