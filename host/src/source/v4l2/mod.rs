//! Cameras through V4L2: those that encode H.264 themselves, and those that give raw pictures or JPEGs, which a
//! [studio](crate::studio) encodes.
//!
//! A thread of its own takes buffers from the driver's queue, in memory that is shared with the driver; the H.264
//! reader copies the bytes out of it once, or a converter makes a picture of them, and the buffer goes back. The thread
//! sleeps until the driver has a buffer or somebody wants something (a key frame, an end), never by the clock. When the
//! device fails the thread closes it, reports [`Event::Lost`](super::Event::Lost), and waits for it to come back. It ends,
//! and closes the device, when the receiving end of its events is dropped.
//!
//! Files, in the order of a picture's way: `device` (what a camera is), `coding`, `offer` and `colorimetry` (what it
//! offers), `format` and `choice` (which of it to take), `control` (its encoder), `knobs` and `panel` (what
//! else it lets itself be told), `capture` (the queue), `stamp` (time),
//! `worker` (the thread), `session` (what becomes of a buffer), `delivery` (what it tells); beside them `wake` (how it
//! sleeps), `comeback` (how it waits for a device), `survey` (what people are told), `ioctl` and `error`.

mod capture;
mod choice;
mod coding;
mod colorimetry;
mod comeback;
mod control;
mod delivery;
mod device;
mod error;
mod format;
mod ioctl;
mod knobs;
mod offer;
mod panel;
mod session;
mod stamp;
mod survey;
mod wake;
mod worker;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::sync::{mpsc, watch};

use super::{Damage, KeyFrames, Nominal, Source, Wanted};
pub use knobs::{CameraControl, ControlError, Values};
pub use panel::{CameraControls, PanelError};
pub use survey::{Format, SizeRange, Survey, Use, survey};

use crate::studio::Retouch;
use capture::Queue;
use device::Device;
use worker::{Worker, must_be_raw, take_up};

/// Pictures that may wait to be taken: half a second at 30 a second. More would only add to the delay.
const PICTURES: usize = 16;

/// Takes pictures from the camera at `path`, as much like `wanted` as it can be, and starts it. Those that aren't encoded
/// yet are retouched.
///
/// The error says what is wrong with the device and what to do about it.
pub fn open(
    path: &Path,
    wanted: &Wanted,
    retouch: Option<Box<dyn Retouch>>,
) -> anyhow::Result<Source> {
    let raw = must_be_raw(retouch.as_deref());
    run(take_up(path, wanted, raw)?, wanted, retouch)
}

/// Takes pictures from the first camera that works, in the order of their numbers, those that encode H.264 before those
/// that don't, and logs what was wrong with those before it. Once found, it is this camera for good: if it is unplugged,
/// its node is waited for.
///
/// Without one the error lists every camera that was tried, and names `--source pattern`.
pub fn auto(wanted: &Wanted, retouch: Option<Box<dyn Retouch>>) -> anyhow::Result<Source> {
    let raw = must_be_raw(retouch.as_deref());
    let nodes = devices()?;
    let (coding, others): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| device::encodes(node));
    let mut failures = Vec::new();
    for node in coding.iter().chain(&others) {
        match take_up(node, wanted, raw) {
            Ok(queue) => {
                for failure in &failures {
                    tracing::info!("passed over: {failure}");
                }
                return run(queue, wanted, retouch);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    bail!(no_camera(&failures))
}

/// All video devices, cameras or not.
///
/// # Errors
/// When `/dev` can't be listed.
pub fn devices() -> anyhow::Result<Vec<PathBuf>> {
    nodes(Path::new("/dev")).context("looking for cameras in /dev")
}

/// Opens each camera as [`auto`] would, without starting it: what it is and agrees to, or what is wrong with it.
///
/// # Errors
/// When `/dev` can't be listed.
pub fn look(wanted: &Wanted) -> anyhow::Result<Vec<(PathBuf, Result<String, String>)>> {
    let nodes = devices()?;
    Ok(nodes
        .into_iter()
        .map(|node| {
            let looked = look_at(&node, wanted);
            (node, looked)
        })
        .collect())
}

/// The same for one camera.
pub fn look_at(node: &Path, wanted: &Wanted) -> Result<String, String> {
    Device::open(node, wanted, false)
        .map(|device| device.to_string())
        .map_err(|error| error.to_string())
}

fn run(queue: Queue, wanted: &Wanted, retouch: Option<Box<dyn Retouch>>) -> anyhow::Result<Source> {
    let (sender, events) = mpsc::channel(PICTURES);
    let (key_frames, requests) = KeyFrames::new();
    let (counts, damage) = watch::channel(Damage::default());
    let device = queue.device();
    let controls = CameraControls::new(device.path(), wanted.controls.clone());
    let frame = device
        .settings
        .interval
        .and_then(|interval| interval.duration());
    let source = Source {
        events,
        nominal: Nominal {
            frame,
            key_interval: key_interval(device, frame, wanted),
        },
        key_frames,
        name: device.path().display().to_string(),
        description: device.to_string(),
        encoded_here: device.settings.layout.is_some(),
        controls: Some(controls.clone()),
        damage,
    };
    let mut worker = Worker::new(
        device.path(),
        wanted,
        controls,
        retouch,
        sender,
        requests,
        counts,
    )
    .context("setting up the capture thread")?;
    let session = worker.session(device)?;
    std::thread::Builder::new()
        .name("v4l2".into())
        .spawn(move || worker.run(queue, session))
        .context("starting the capture thread")?;
    Ok(source)
}

/// Pictures from one key frame to the next.
fn key_interval(device: &Device, frame: Option<Duration>, wanted: &Wanted) -> Option<u32> {
    let pictures = match device.settings.layout {
        None => u32::try_from(device.settings.controls.key_interval?).ok()?,
        // A float that is too large becomes `u32::MAX`.
        Some(_) => wanted.key_interval.div_duration_f64(frame?).round() as u32,
    };
    Some(pictures).filter(|&pictures| pictures > 0)
}

/// The video nodes in `directory`, by number.
fn nodes(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("video"))
            .and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number {
            nodes.push((number, directory.join(name)));
        }
    }
    nodes.sort();
    Ok(nodes.into_iter().map(|(_, path)| path).collect())
}

/// What to tell when none of the cameras works.
fn no_camera(failures: &[String]) -> String {
    let mut text = if failures.is_empty() {
        "there is no camera (no /dev/video*): plug one in".to_owned()
    } else {
        let mut text = "no camera can be used:\n".to_owned();
        for failure in failures {
            writeln!(text, "  {failure}").expect("a String takes everything");
        }
        text + "make one of them work"
    };
    text += ", name another source with --source, or see the test picture with `--source pattern`";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_tried_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "video10", "video2", "video0", "vbi0", "video", "videos", "media0",
        ] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let names: Vec<_> = nodes(directory.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["video0", "video2", "video10"]);
    }

    #[test]
    fn without_a_camera_the_message_says_what_was_tried_and_names_the_pattern() {
        let text = no_camera(&[]);
        assert!(
            text.contains("no /dev/video*") && text.contains("--source pattern"),
            "{text}"
        );
        let text = no_camera(&["/dev/video0 is in use".into(), "/dev/video1 is none".into()]);
        assert!(
            text.contains("\n  /dev/video0 is in use\n  /dev/video1 is none\n")
                && text.contains("--source pattern"),
            "{text}"
        );
    }
}
