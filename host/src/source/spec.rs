use std::{fmt, path::PathBuf, str::FromStr};

/// What a source is chosen with: `--source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// `auto`: the first camera that works.
    Auto,
    /// `/dev/video0`: a V4L2 device.
    Device(PathBuf),
    /// `pattern`: a moving test picture.
    Pattern,
    /// `file:PATH`: a file, played in real time and looped.
    File(PathBuf),
    /// `exec:COMMAND`: a command that writes H.264.
    Exec(String),
    /// `-`: H.264 on standard input.
    Stdin,
}

/// Why something is no source.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{given}` is no source{hint}: it can be `auto`, `/dev/videoN`, `pattern`, `file:PATH`, `exec:COMMAND` or `-`"
)]
pub struct BadSource {
    given: String,
    hint: String,
}

impl FromStr for SourceSpec {
    type Err = BadSource;

    fn from_str(given: &str) -> Result<Self, BadSource> {
        let bad = |hint: String| BadSource {
            given: given.to_owned(),
            hint,
        };
        match given.split_once(':') {
            Some(("file", "")) => return Err(bad(", since the path is missing".into())),
            Some(("file", path)) => return Ok(Self::File(path.into())),
            Some(("exec", command)) if command.trim().is_empty() => {
                return Err(bad(", since the command is missing".into()));
            }
            Some(("exec", command)) => return Ok(Self::Exec(command.to_owned())),
            _ => {}
        }
        match given {
            "auto" => Ok(Self::Auto),
            "pattern" => Ok(Self::Pattern),
            "-" => Ok(Self::Stdin),
            device if device.starts_with("/dev/") => Ok(Self::Device(device.into())),
            _ => Err(bad(hint(given))),
        }
    }
}

/// What was probably meant, if anything.
fn hint(given: &str) -> String {
    if !given.is_empty() && given.chars().all(|c| c.is_ascii_digit()) {
        return format!(" (did you mean `/dev/video{given}`?)");
    }
    if given.starts_with("video") || given.starts_with("dev/") {
        let name = given.trim_start_matches("dev/");
        return format!(" (did you mean `/dev/{name}`?)");
    }
    if given.starts_with("rtsp:") || given.starts_with("http:") || given.starts_with("https:") {
        return format!(
            " (FFmpeg can fetch it: `exec:ffmpeg -loglevel error -i '{given}' -an -c:v copy -f h264 -`)"
        );
    }
    if given.contains('/') || given.ends_with(".mp4") || given.ends_with(".h264") {
        return format!(" (did you mean `file:{given}`?)");
    }
    if given.split_whitespace().count() > 1 {
        return format!(" (did you mean `exec:{given}`?)");
    }
    ["auto", "pattern"]
        .into_iter()
        .filter(|name| strsim::jaro_winkler(&given.to_ascii_lowercase(), name) > 0.8)
        .map(|name| format!(" (did you mean `{name}`?)"))
        .next()
        .unwrap_or_default()
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Device(path) => path.display().fmt(f),
            Self::Pattern => f.write_str("pattern"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Stdin => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for (text, spec) in [
            ("auto", SourceSpec::Auto),
            ("/dev/video2", SourceSpec::Device("/dev/video2".into())),
            ("pattern", SourceSpec::Pattern),
            ("file:a:b.mp4", SourceSpec::File("a:b.mp4".into())),
            ("exec:cat x | tac", SourceSpec::Exec("cat x | tac".into())),
            ("-", SourceSpec::Stdin),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn an_error_says_what_was_probably_meant() {
        for (given, meant) in [
            ("patern", "`pattern`"),
            ("0", "`/dev/video0`"),
            ("video1", "`/dev/video1`"),
            ("clips/a.mp4", "`file:clips/a.mp4`"),
            ("rpicam-vid -o -", "`exec:rpicam-vid -o -`"),
            ("rtsp://camera/1", "FFmpeg can fetch it"),
            ("file:", "the path is missing"),
            ("exec: ", "the command is missing"),
            ("", "it can be `auto`"),
        ] {
            let error = given.parse::<SourceSpec>().unwrap_err().to_string();
            assert!(error.contains(meant), "{error}");
        }
    }
}
