use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// A short H.264 stream from a real encoder (x264): Annex B, parameter sets before every IDR picture, as cameras send
/// it. Made once by FFmpeg and kept in `target/test-media`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Pixels. Both even.
    pub size: (u32, u32),
    /// Pictures a second that the VUI states. How fast a camera sends them is the camera's script.
    pub fps: u32,
    /// Pictures from one IDR picture to the next.
    pub key_interval: u32,
    /// Pictures in all; a multiple of `key_interval`, so that it can be repeated.
    pub pictures: u32,
    /// Slices of a picture.
    pub slices: u32,
    /// Pictures begin with an access unit delimiter. `Camera` needs none: it leaves them out of what it sends unless
    /// they are asked for here.
    pub delimiters: bool,
}

impl Default for Clip {
    /// 320 × 180 pixels, 30 pictures a second, an IDR picture each second, four seconds, one slice, no delimiters: what
    /// `rpicam-vid --inline` would send, but small.
    fn default() -> Self {
        Self {
            size: (320, 180),
            fps: 30,
            key_interval: 30,
            pictures: 120,
            slices: 1,
            delimiters: false,
        }
    }
}

impl Clip {
    /// The default at another rate, with an IDR picture each second.
    pub fn at(fps: u32) -> Self {
        Self {
            fps,
            key_interval: fps,
            pictures: 4 * fps,
            ..Self::default()
        }
    }

    /// The default in another size.
    pub fn sized(width: u32, height: u32) -> Self {
        Self {
            size: (width, height),
            ..Self::default()
        }
    }

    /// The file, made if it isn't there yet. It always has delimiters, since they are how [`units`] finds the pictures.
    pub async fn file(&self) -> Result<PathBuf> {
        let directory = crate::target_directory().join("test-media");
        let (width, height) = self.size;
        let path = directory.join(format!(
            "{width}x{height}-{}fps-{}key-{}pictures-{}slices.h264",
            self.fps, self.key_interval, self.pictures, self.slices
        ));
        if path.exists() {
            return Ok(path);
        }
        ensure!(
            self.pictures.is_multiple_of(self.key_interval),
            "{self:?} can't be repeated: it ends within a group of pictures"
        );
        tokio::fs::create_dir_all(&directory).await?;
        // Tests run side by side: each writes a file of its own, and the last rename wins.
        let unfinished = tempfile::Builder::new()
            .suffix(".h264")
            .tempfile_in(&directory)?;
        let output = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi", "-i"])
            .arg(format!("testsrc2=size={width}x{height}:rate={}", self.fps))
            .args(["-frames:v", &self.pictures.to_string()])
            .args(["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-pix_fmt", "yuv420p"])
            .args(["-bf", "0", "-x264-params"])
            .arg(format!(
                "keyint={key}:min-keyint={key}:scenecut=0:repeat-headers=1:aud=1:threads=1:slices={slices}",
                key = self.key_interval,
                slices = self.slices
            ))
            .args(["-f", "h264"])
            .arg(unfinished.path())
            .stdin(Stdio::null())
            .output()
            .await
            .context("starting ffmpeg (on Debian: apt-get install ffmpeg)")?;
        ensure!(
            output.status.success(),
            "ffmpeg could not make {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        unfinished.persist(&path)?;
        Ok(path)
    }

    /// The pictures, in order: Annex B, as a camera sends them.
    pub async fn units(&self) -> Result<Vec<Vec<u8>>> {
        units(&self.file().await?, self.delimiters)
    }

    /// The pictures, in order, each with the delimiter of the next one behind it: its end can be seen when it is there.
    pub async fn ended_units(&self) -> Result<Vec<Vec<u8>>> {
        let mut pictures = units(&self.file().await?, true)?;
        for picture in &mut pictures {
            picture.rotate_left(DELIMITER.len() + 1);
        }
        Ok(pictures)
    }
}

/// x264 writes a delimiter of six bytes with a start code of four before every picture (ISO/IEC 14496-10 7.3.2.4). This is
/// all of it but the types of slices that the picture may have.
const DELIMITER: [u8; 5] = [0, 0, 0, 1, 9];

/// The pictures of a clip's file, with or without their delimiters.
pub fn units(file: &Path, delimiters: bool) -> Result<Vec<Vec<u8>>> {
    let data = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let mut starts: Vec<usize> = data
        .windows(DELIMITER.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == DELIMITER).then_some(at))
        .collect();
    ensure!(
        starts.first() == Some(&0),
        "{} does not begin with an access unit delimiter",
        file.display()
    );
    starts.push(data.len());
    let skip = if delimiters { 0 } else { DELIMITER.len() + 1 };
    Ok(starts
        .windows(2)
        .map(|bounds| data[bounds[0] + skip..bounds[1]].to_vec())
        .collect())
}
