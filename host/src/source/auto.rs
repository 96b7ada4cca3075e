//! `auto`: whatever camera there is.

use std::process::{Command, Stdio};

use super::{Source, Wanted, exec, v4l2};
use crate::studio::Retouch;

/// What gives H.264 from the camera of a Raspberry Pi, by the names that it had.
const PROGRAMS: [&str; 2] = ["rpicam-vid", "libcamera-vid"];

/// Takes the first camera that works: of those that are V4L2 devices, first those that encode, then those that don't;
/// then the camera of a Raspberry Pi, which its own program has to open.
///
/// # Errors
///
/// When there is none: what was tried, and what was wrong with it.
pub(super) fn open(wanted: &Wanted, retouch: Option<Box<dyn Retouch>>) -> anyhow::Result<Source> {
    let required = retouch
        .as_ref()
        .is_some_and(|retouch| retouch.is_required());
    let error = match v4l2::auto(wanted, retouch) {
        Ok(source) => return Ok(source),
        Err(error) => error,
    };
    // Its pictures come encoded.
    if !required && let Some(program) = PROGRAMS.into_iter().find(|program| has_camera(program)) {
        tracing::info!("there is a camera for {program}; as V4L2 devices, {error:#}");
        return exec::open(&command(program, wanted));
    }
    Err(error)
}

/// Whether there is such a program, and a camera for it.
fn has_camera(program: &str) -> bool {
    let listed = Command::new(program)
        .arg("--list-cameras")
        .stdin(Stdio::null())
        .output();
    listed.is_ok_and(|output| lists_a_camera(&String::from_utf8_lossy(&output.stdout)))
}

/// The list is numbered: `0 : imx708 [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)`. Without a camera it
/// is a sentence.
fn lists_a_camera(list: &str) -> bool {
    list.lines()
        .any(|line| line.trim_start().starts_with("0 :"))
}

fn command(program: &str, wanted: &Wanted) -> String {
    let Wanted {
        width,
        height,
        fps,
        bitrate,
        ..
    } = wanted;
    let intra = (wanted.key_interval.as_secs_f64() * f64::from(*fps))
        .round()
        .max(1.0);
    format!(
        "exec {program} --nopreview -t 0 --inline --flush --width {width} --height {height} --framerate {fps} \
         --bitrate {bitrate} --intra {intra} -o -"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_camera_is_what_is_listed_by_number() {
        assert!(lists_a_camera(
            "Available cameras\n-----------------\n0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux)\n"
        ));
        assert!(!lists_a_camera("No cameras available!\n"));
        assert!(!has_camera("no-such-program"));
    }

    #[test]
    fn the_program_is_told_what_is_wanted() {
        let wanted = Wanted {
            width: 1280,
            height: 720,
            fps: 30,
            bitrate: 2_000_000,
            key_interval: Duration::from_millis(1_500),
            controls: Vec::new(),
        };
        assert_eq!(
            command("rpicam-vid", &wanted),
            "exec rpicam-vid --nopreview -t 0 --inline --flush --width 1280 --height 720 --framerate 30 \
             --bitrate 2000000 --intra 45 -o -"
        );
    }
}
