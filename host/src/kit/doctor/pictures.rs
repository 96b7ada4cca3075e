use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use super::Finding;
use crate::source::{self, SourceSpec, Wanted, v4l2};

/// The source: whether it is there, may be opened, and gives what the host can take.
pub(super) fn look(source: &SourceSpec, wanted: &Wanted) -> anyhow::Result<Vec<Finding>> {
    Ok(match source {
        SourceSpec::Auto => cameras(v4l2::look(wanted)?),
        SourceSpec::Device(path) => vec![camera(path, v4l2::look_at(path, wanted))],
        SourceSpec::Pattern => vec![Finding::ok("source", "the test pattern needs nothing")],
        SourceSpec::File(path) => vec![file(path, wanted)?],
        SourceSpec::Exec(command) => vec![self::command(command)],
        SourceSpec::Stdin => vec![Finding::ok("source", "pictures come from standard input")],
    })
}

fn camera(path: &Path, looked: Result<String, String>) -> Finding {
    match looked {
        Ok(what) => Finding::ok("camera", what),
        Err(why) if why.contains(&path.display().to_string()) => Finding::wrong("camera", why),
        Err(why) => Finding::wrong("camera", format!("{}: {why}", path.display())),
    }
}

/// One that works is enough. Why the others don't is told all the same.
fn cameras(looked: Vec<(PathBuf, Result<String, String>)>) -> Vec<Finding> {
    if looked.is_empty() {
        return vec![Finding::wrong("camera", "there is none (no /dev/video*)").mend(
            "plug one in; for the camera of a Raspberry Pi use --source 'exec:rpicam-vid -t 0 --inline --flush -o -'; \
             without any there is --source pattern",
        )];
    }
    let works = looked.iter().any(|(_, looked)| looked.is_ok());
    looked
        .into_iter()
        .map(|(path, looked)| match looked {
            Err(why) if works => Finding::ok("camera", format!("passed over: {why}")),
            looked => camera(&path, looked),
        })
        .collect()
}

/// Opened as for playing: a file that isn't H.264 is found out.
fn file(path: &Path, wanted: &Wanted) -> anyhow::Result<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting an executor to read with")?;
    let opened = runtime.block_on(source::open(
        &SourceSpec::File(path.to_owned()),
        wanted,
        None,
    ));
    Ok(match opened {
        Ok(source) => Finding::ok("source", source.description),
        Err(error) => Finding::wrong("source", format!("{error:#}")),
    })
}

/// Whether the shell knows the program that a command begins with. It isn't started: it may well be using the camera.
fn command(command: &str) -> Finding {
    let program = command.split_whitespace().next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/+".contains(c);
    if program.is_empty() || !program.chars().all(plain) {
        return Finding::ok("source", format!("pictures come from `{command}`"));
    }
    let known = Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh", program])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match known {
        Ok(status) if status.success() => {
            Finding::ok("source", format!("there is `{program}`, which gives pictures"))
        }
        Ok(_) => Finding::wrong("source", format!("there is no program `{program}`")).mend(
            match program {
                "rpicam-vid" | "libcamera-vid" => {
                    "`sudo apt-get install rpicam-apps` on Raspberry Pi OS (older ones call it libcamera-apps)"
                }
                "ffmpeg" => "`sudo apt-get install ffmpeg`",
                _ => "install it, or write its whole path",
            },
        ),
        Err(error) => Finding::wrong("source", format!("`sh`, which runs commands, can't be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::report::Level, *};

    const WANTED: Wanted = Wanted {
        width: 640,
        height: 360,
        fps: 30,
        bitrate: 1_000_000,
        key_interval: Duration::from_secs(1),
        controls: Vec::new(),
    };

    fn looked_at(source: SourceSpec) -> Finding {
        look(&source, &WANTED).unwrap().remove(0)
    }

    #[test]
    fn a_device_that_is_none_is_wrong_and_named() {
        let finding = looked_at(SourceSpec::Device("/dev/video-none".into()));
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("/dev/video-none"), "{finding:?}");
        let finding = looked_at(SourceSpec::Device("/dev/null".into()));
        assert!(finding.text.contains("not a video device"), "{finding:?}");
    }

    #[test]
    fn one_camera_that_works_is_enough() {
        let works = ("/dev/video0".into(), Ok("a camera".to_owned()));
        let fails = ("/dev/video1".into(), Err("/dev/video1: in use".to_owned()));
        let levels = |looked| -> Vec<_> {
            cameras(looked)
                .iter()
                .map(|finding| finding.level)
                .collect()
        };
        assert_eq!(levels(vec![works, fails.clone()]), [Level::Ok, Level::Ok]);
        assert_eq!(levels(vec![fails]), [Level::Wrong]);
        let none = cameras(vec![]).remove(0);
        assert!(none.mend.unwrap().contains("--source pattern"));
    }

    #[test]
    fn a_file_is_read_and_not_only_looked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no pictures in here").unwrap();
        let finding = looked_at(SourceSpec::File(file.path().to_owned()));
        assert_eq!(finding.level, Level::Wrong, "{finding:?}");
        let finding = looked_at(SourceSpec::File("/nowhere/clip.h264".into()));
        assert!(finding.text.contains("/nowhere/clip.h264"), "{finding:?}");
    }

    #[test]
    fn a_command_is_looked_for_and_not_started() {
        let exec = |command: &str| looked_at(SourceSpec::Exec(command.into()));
        assert_eq!(exec("cat clip.h264").level, Level::Ok);
        let finding = exec("no-such-program -o -");
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("`no-such-program`"), "{finding:?}");
        assert_eq!(exec("(cd /tmp && cat x)").level, Level::Ok);
    }
}
