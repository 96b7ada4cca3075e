//! Reads what the host serves: CMAF boxes by `mp4-atom`, pictures by FFmpeg.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use mp4_atom::{Any, Decode, Header, Moof, Moov, Prft};
use tokio::{io::AsyncWriteExt, process::Command};

/// One CMAF chunk: a `moof` and its `mdat`.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// The `prft` before it, if there is one.
    pub prft: Option<Prft>,
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// `tfdt`, in the track's timescale.
    pub decode_time: u64,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// A sample of a fragment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// In the track's timescale.
    pub duration: u32,
    /// Composition time less decoding time.
    pub composition_offset: i64,
    /// It is not a sync sample (`sample_is_non_sync_sample`).
    pub dependent: bool,
    /// The NAL units, without their length fields.
    pub nals: Vec<Bytes>,
}

/// A top-level box, for tests that look at the order of things.
#[derive(Clone, Debug)]
pub struct TopLevel {
    /// As in `moof`.
    pub kind: String,
    /// Header included.
    pub bytes: Bytes,
}

/// Splits bytes into top-level boxes. The last must end where the bytes end.
pub fn boxes(mut data: Bytes) -> Result<Vec<TopLevel>> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let mut rest = &data[..];
        let header = Header::decode(&mut rest).context("a box header")?;
        let kind = header.kind.to_string();
        let size = header
            .size
            .with_context(|| format!("the box {kind} runs to the end of the file"))?;
        let whole = data.len() - rest.len() + size;
        ensure!(
            whole <= data.len(),
            "the box {kind} wants {whole} bytes and {} are left",
            data.len()
        );
        found.push(TopLevel {
            kind,
            bytes: data.split_to(whole),
        });
    }
    Ok(found)
}

/// `moov` of an init segment.
pub fn init(data: &Bytes) -> Result<Moov> {
    let boxes = boxes(data.clone())?;
    let kinds: Vec<_> = boxes.iter().map(|found| found.kind.as_str()).collect();
    ensure!(
        kinds == ["ftyp", "moov"],
        "an init segment is ftyp and moov, not {kinds:?}"
    );
    match Any::decode(&mut &boxes[1].bytes[..])? {
        Any::Moov(moov) => Ok(moov),
        other => bail!("moov reads as {other:?}"),
    }
}

/// The fragments of a part or a segment, whose NAL units have length fields of four bytes.
pub fn fragments(data: &Bytes) -> Result<Vec<Fragment>> {
    let mut fragments = Vec::new();
    let mut prft = None;
    let mut moof: Option<(Moof, u64)> = None;
    for found in boxes(data.clone())? {
        match Any::decode(&mut &found.bytes[..])
            .with_context(|| format!("the box {}", found.kind))?
        {
            Any::Prft(found) => prft = Some(found),
            Any::Moof(decoded) => moof = Some((decoded, found.bytes.len() as u64)),
            Any::Mdat(_) => {
                let (moof, size) = moof.take().context("an mdat without a moof before it")?;
                fragments.push(fragment(&moof, size, &found.bytes, prft.take())?);
            }
            // `styp`, `emsg` and whatever is to be skipped.
            _ => {}
        }
    }
    ensure!(moof.is_none(), "a moof without an mdat after it");
    Ok(fragments)
}

fn fragment(moof: &Moof, moof_size: u64, mdat: &Bytes, prft: Option<Prft>) -> Result<Fragment> {
    let [track] = moof.traf.as_slice() else {
        bail!("a CMAF fragment has one track, not {}", moof.traf.len());
    };
    let decode_time = track
        .tfdt
        .as_ref()
        .context("tfdt is missing")?
        .base_media_decode_time;
    let mut samples = Vec::new();
    for run in &track.trun {
        let offset = u64::try_from(run.data_offset.context("trun has no data offset")?)?;
        let mut at = usize::try_from(
            offset
                .checked_sub(moof_size)
                .context("the data offset lies in the moof")?,
        )?;
        for entry in run.samples.iter() {
            let header = &track.tfhd;
            let size = entry
                .size
                .or(header.default_sample_size)
                .context("a sample has no size")? as usize;
            ensure!(at + size <= mdat.len(), "a sample reaches beyond its mdat");
            let flags = entry.flags.or(header.default_sample_flags).unwrap_or(0);
            samples.push(Sample {
                duration: entry
                    .duration
                    .or(header.default_sample_duration)
                    .context("a sample has no duration")?,
                composition_offset: entry.cts.unwrap_or(0),
                dependent: flags & 0x0001_0000 != 0,
                nals: nals(mdat.slice(at..at + size))?,
            });
            at += size;
        }
    }
    Ok(Fragment {
        prft,
        sequence: moof.mfhd.sequence_number,
        decode_time,
        samples,
    })
}

fn nals(mut sample: Bytes) -> Result<Vec<Bytes>> {
    let mut nals = Vec::new();
    while !sample.is_empty() {
        ensure!(sample.len() >= 4, "a NAL unit's length field is cut off");
        let field = sample.split_to(4);
        let length = u32::from_be_bytes([field[0], field[1], field[2], field[3]]) as usize;
        ensure!(
            length <= sample.len(),
            "a NAL unit reaches beyond its sample"
        );
        nals.push(sample.split_to(length));
    }
    Ok(nals)
}

/// The NAL units of an Annex B picture, without start codes.
pub fn annex_b(data: &[u8]) -> Vec<&[u8]> {
    let mut bounds = Vec::new();
    let mut at = 0;
    while let Some(found) = data[at..].windows(3).position(|bytes| bytes == [0, 0, 1]) {
        bounds.push(at + found);
        at += found + 3;
    }
    bounds.push(data.len());
    bounds
        .windows(2)
        .map(|bound| {
            let nal = &data[bound[0] + 3..bound[1]];
            // Zeros before the next start code belong to no NAL unit (B.1.2: a NAL unit never ends in a zero byte).
            let end = nal
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1);
            &nal[..end]
        })
        .collect()
}

/// Decodes a stream (an init segment and media, or Annex B) by FFmpeg and returns the MD5 of each picture as it is shown,
/// in order. Anything that FFmpeg complains of is an error.
pub async fn pictures(data: &[u8]) -> Result<Vec<String>> {
    let (decoded, complaint) = decode(data, "warning", &["-f", "framemd5"]).await?;
    ensure!(complaint.is_empty(), "ffmpeg: {complaint}");
    Ok(String::from_utf8_lossy(&decoded)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.rsplit_once(',')?.1.trim().to_owned()))
        .collect())
}

/// Has FFmpeg decode a stream: what it writes, and what it complains of at this level.
async fn decode(data: &[u8], level: &str, format: &[&str]) -> Result<(Vec<u8>, String)> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", level, "-xerror"])
        .args(["-i", "pipe:0", "-an", "-fps_mode", "passthrough"])
        .args(format)
        .arg("pipe:1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting ffmpeg (on Debian: apt-get install ffmpeg)")?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let input = data.to_owned();
    // FFmpeg answers while it reads. If it stops reading it says why, which is the error worth showing.
    let writer = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = tokio::time::timeout(crate::PATIENCE, child.wait_with_output())
        .await
        .context("ffmpeg does not end")??;
    writer.await?.ok();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "ffmpeg ({}): {complaint}",
        output.status
    );
    Ok((output.stdout, complaint))
}

/// Runs a program of FFmpeg, and gives what it writes.
pub fn ffmpeg(program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program} (on Debian: apt-get install ffmpeg)"))?;
    ensure!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// Decodes a stream (an init segment and media, or Annex B) by FFmpeg and returns the luma plane of each picture, in the
/// order in which they are shown, its rows without padding.
pub async fn luma(data: &[u8], (width, height): (usize, usize)) -> Result<Vec<Vec<u8>>> {
    let (decoded, _) = decode(data, "error", &["-pix_fmt", "yuv420p", "-f", "rawvideo"]).await?;
    let size = width * height * 3 / 2;
    ensure!(
        decoded.len().is_multiple_of(size),
        "{} bytes are no number of pictures of {width}x{height}",
        decoded.len()
    );
    let pictures = decoded.chunks(size);
    Ok(pictures
        .map(|picture| picture[..width * height].to_vec())
        .collect())
}

/// Ticks of a timescale as a duration, rounded down to the nanosecond.
pub fn duration(ticks: u64, timescale: u32) -> Duration {
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
