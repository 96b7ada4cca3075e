//! `cameras`: what cameras there are, and what they can do.

use std::{fmt::Write as _, io::Write as _, path::PathBuf, process::ExitCode};

use serde::Serialize;

use crate::source::v4l2::{self, CameraControl, Format, SizeRange, Survey, Use, Values};

/// What is to be told, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only of this one
    #[arg(value_name = "/dev/videoN")]
    device: Option<PathBuf>,

    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// A device, and what it is.
#[derive(Debug, Serialize)]
struct Device {
    path: PathBuf,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    camera: Option<Survey>,
    /// Why it is no camera that can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let paths = match &arguments.device {
        Some(path) => vec![path.clone()],
        None => v4l2::devices()?,
    };
    let devices: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let (camera, problem) = match v4l2::survey(&path) {
                Ok(camera) => (Some(camera), None),
                Err(problem) => (None, Some(problem)),
            };
            Device {
                path,
                camera,
                problem,
            }
        })
        .collect();
    let text = if arguments.json {
        serde_json::to_string_pretty(&devices)? + "\n"
    } else {
        tell(&devices)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    let found = devices.iter().any(|device| device.camera.is_some());
    Ok(if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tell(devices: &[Device]) -> String {
    let mut text = String::new();
    for device in devices {
        if let Some(camera) = &device.camera {
            text += &tell_camera(&device.path.display().to_string(), camera);
            text += "\n";
        }
    }
    let problems: Vec<_> = devices
        .iter()
        .filter_map(|device| device.problem.as_deref())
        .collect();
    if devices.len() == problems.len() {
        text += "There is no camera as a V4L2 device (/dev/video*). For the camera of a Raspberry Pi: --source \
                 'exec:rpicam-vid -t 0 --inline --flush -o -'. Without any: --source pattern.\n";
    }
    if !problems.is_empty() {
        text += "No cameras:\n";
    }
    for problem in problems {
        writeln!(text, "  {problem}").expect("a String takes everything");
    }
    text
}

fn tell_camera(path: &str, camera: &Survey) -> String {
    let Survey {
        name,
        driver,
        formats,
        controls,
    } = camera;
    let mut lines = vec![format!("{path}: {name} ({driver})")];
    if formats.is_empty() {
        lines.push("  gives nothing yet".into());
    }
    let (used, others): (Vec<_>, Vec<_>) =
        formats.iter().partition(|format| format.usable != Use::No);
    for format in used {
        lines.push(format!("  {}", tell_format(format)));
        lines.extend(
            merged(&format.sizes)
                .iter()
                .map(|line| format!("    {line}")),
        );
    }
    if !others.is_empty() {
        let codes: Vec<_> = others.iter().map(|format| format.code.as_str()).collect();
        lines.push(format!("  not used: {}", codes.join(", ")));
    }
    if !controls.is_empty() {
        lines.push("  controls, for [stream.controls]".into());
    }
    let width = controls
        .iter()
        .map(|control| control.name.len())
        .max()
        .unwrap_or_default();
    lines.extend(
        controls
            .iter()
            .map(|control| format!("    {}", tell_control(control, width))),
    );
    lines.join("\n") + "\n"
}

fn tell_format(format: &Format) -> String {
    let what = match format.usable {
        Use::AsItIs => "goes out as it is",
        Use::Encoded => "is encoded here",
        Use::No => "can't be used",
    };
    format!("{} ({}), {what}", format.code, format.description)
}

/// Sizes, those with the same rates in one line.
fn merged(sizes: &[SizeRange]) -> Vec<String> {
    sizes
        .chunk_by(|a, b| (&a.rates, a.any_rate) == (&b.rates, b.any_rate))
        .map(|alike| {
            let sizes: Vec<_> = alike.iter().map(tell_size).collect();
            let rates: Vec<_> = alike[0].rates.iter().map(ToString::to_string).collect();
            match (rates.as_slice(), alike[0].any_rate) {
                ([], _) => sizes.join(", "),
                (rates, true) => format!("{} at {}/s", sizes.join(", "), rates.join(" to ")),
                (rates, false) => format!("{} at {}/s", sizes.join(", "), rates.join(", ")),
            }
        })
        .collect()
}

fn tell_size(size: &SizeRange) -> String {
    let one = |(width, height): (u32, u32)| format!("{width}x{height}");
    if size.from == size.to {
        one(size.from)
    } else {
        format!("{} to {}", one(size.from), one(size.to))
    }
}

fn tell_control(control: &CameraControl, width: usize) -> String {
    let shown = |value: i32| match &control.values {
        Values::Boolean => (value != 0).to_string(),
        Values::Menu { items } => items
            .iter()
            .find(|(item, _)| *item == value)
            .map_or_else(|| value.to_string(), |(_, name)| format!("{name:?}")),
        Values::Bits { .. } => format!("{value:#x}"),
        Values::Integer { .. } | Values::Button => value.to_string(),
    };
    let value = match control.value {
        Some(value) => format!("= {}", shown(value)),
        None => String::new(),
    };
    let mut notes = vec![control.values.to_string()];
    if control.value.is_some_and(|value| value != control.default) {
        notes.push(format!("{} at first", shown(control.default)));
    }
    notes.extend(control.fixed.map(str::to_owned));
    format!("{:width$} {value}  ({})", control.name, notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_told_as_people_read_it() {
        let size = |width, height, rates: &[f64]| SizeRange {
            from: (width, height),
            to: (width, height),
            rates: rates.to_vec(),
            any_rate: false,
        };
        let camera = Survey {
            name: "HD Pro Webcam".into(),
            driver: "uvcvideo".into(),
            formats: vec![
                Format {
                    code: "YUYV".into(),
                    description: "YUYV 4:2:2".into(),
                    usable: Use::Encoded,
                    sizes: vec![
                        size(640, 480, &[30.0, 15.0]),
                        size(320, 240, &[30.0, 15.0]),
                        size(1280, 720, &[10.0]),
                    ],
                },
                Format {
                    code: "RGB3".into(),
                    description: "24-bit RGB".into(),
                    usable: Use::No,
                    sizes: Vec::new(),
                },
            ],
            controls: Vec::new(),
        };
        assert_eq!(
            tell_camera("/dev/video0", &camera),
            "/dev/video0: HD Pro Webcam (uvcvideo)\n  \
               YUYV (YUYV 4:2:2), is encoded here\n    \
                 640x480, 320x240 at 30, 15/s\n    \
                 1280x720 at 10/s\n  \
               not used: RGB3\n"
        );
    }

    #[test]
    fn without_a_camera_the_ways_out_are_told() {
        assert!(tell(&[]).contains("--source pattern"));
        let device = Device {
            path: "/dev/video1".into(),
            camera: None,
            problem: Some("/dev/video1 captures no pictures".into()),
        };
        let text = tell(&[device]);
        assert!(
            text.contains("rpicam-vid") && text.contains("/dev/video1 captures"),
            "{text}"
        );
    }
}
