//! Cameras through V4L2, which encode H.264 themselves. (Cameras with raw formats come in through the same door once the
//! host encodes for them: [`device`] chooses the format, the rest is the same.)
//!
//! A thread of its own takes buffers from the driver's queue, in memory that is shared with the driver; the H.264
//! reader copies the bytes out of it once. The thread sleeps until the driver has a buffer or somebody wants something
//! (a key frame, an end), never by the clock. When the device fails the thread closes it, reports
//! [`Event::Lost`](super::Event::Lost), and waits for it to come back. It ends, and closes the device, when the receiving
//! end of its events is dropped.
//!
//! Files, in the order of a picture's way: `device` (what a camera is), `coding` and `offer` (what it offers), `format` (which
//! of it to take), `control` (its encoder), `capture` (the queue), `stamp` (time), `worker` (the thread), `delivery` (what
//! it tells); beside them `wake` (how it sleeps), `comeback` (how it waits for a device), `ioctl` and `error`.

mod capture;
mod coding;
mod comeback;
mod control;
mod delivery;
mod device;
mod error;
mod format;
mod ioctl;
mod offer;
mod stamp;
mod wake;
mod worker;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::sync::{mpsc, watch};

use super::{Damage, KeyFrames, Nominal, Source, Wanted};
use capture::Queue;
use device::Device;
use worker::{Worker, take_up};

/// Pictures that may wait to be taken: half a second at 30 a second. More would only add to the delay.
const PICTURES: usize = 16;

/// Takes H.264 from the camera at `path`, as much like `wanted` as it can be, and starts it.
///
/// The error says what is wrong with the device and what to do about it.
pub fn open(path: &Path, wanted: &Wanted) -> anyhow::Result<Source> {
    run(take_up(path, wanted)?, wanted)
}

/// Takes H.264 from the first camera that works, in the order of their numbers, and logs what was wrong with those
/// before it. Once found, it is this camera for good: if it is unplugged, its node is waited for.
///
/// Without one the error lists every camera that was tried, and names `--source pattern`.
pub fn auto(wanted: &Wanted) -> anyhow::Result<Source> {
    let nodes = nodes(Path::new("/dev")).context("looking for cameras in /dev")?;
    let mut failures = Vec::new();
    for node in &nodes {
        match take_up(node, wanted) {
            Ok(queue) => {
                for failure in &failures {
                    tracing::info!("passed over: {failure}");
                }
                return run(queue, wanted);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    bail!(no_camera(&failures))
}

/// Opens each camera as [`auto`] would, without starting it: what it is and agrees to, or what is wrong with it.
///
/// # Errors
/// When `/dev` can't be listed.
pub fn look(wanted: &Wanted) -> anyhow::Result<Vec<(PathBuf, Result<String, String>)>> {
    let nodes = nodes(Path::new("/dev")).context("looking for cameras in /dev")?;
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
    Device::open(node, wanted)
        .map(|device| device.to_string())
        .map_err(|error| error.to_string())
}

fn run(queue: Queue, wanted: &Wanted) -> anyhow::Result<Source> {
    let (sender, events) = mpsc::channel(PICTURES);
    let (key_frames, requests) = KeyFrames::new();
    let (counts, damage) = watch::channel(Damage::default());
    let device = queue.device();
    let source = Source {
        events,
        nominal: Nominal {
            frame: device
                .settings
                .interval
                .and_then(|interval| interval.duration()),
            key_interval: device
                .settings
                .controls
                .key_interval
                .and_then(|pictures| u32::try_from(pictures).ok())
                .filter(|&pictures| pictures > 0),
        },
        key_frames,
        name: device.path().display().to_string(),
        description: device.to_string(),
        encodes: false,
        damage,
    };
    let path = device.path().to_owned();
    let worker = Worker::new(path, wanted.clone(), sender, requests, counts)
        .context("setting up the capture thread")?;
    std::thread::Builder::new()
        .name("v4l2".into())
        .spawn(move || worker.run(queue))
        .context("starting the capture thread")?;
    Ok(source)
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
