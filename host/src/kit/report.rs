//! Findings: what was looked at, how it is, and what to do about it.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// It works, and may not always, or not as well as it could.
    Warn,
    /// It doesn't work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// A word or two: `port`, `clock`.
    pub(super) subject: &'static str,
    /// One line: how it is.
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Finding {
    /// It is as it should be.
    pub(super) fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject,
            text: text.into(),
            mend: None,
        }
    }

    /// It could be better, and how.
    pub(super) fn warn(
        subject: &'static str,
        text: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warn,
            mend: Some(mend.into()),
            ..Self::ok(subject, text)
        }
    }

    /// It doesn't work. An error of the host says by itself what to do.
    pub(super) fn wrong(subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Wrong,
            ..Self::ok(subject, text)
        }
    }

    /// The same, with what to do about it.
    pub(super) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }
}

/// 1 if anything is wrong.
pub(super) fn exit_code(findings: &[Finding]) -> ExitCode {
    match findings.iter().map(|finding| finding.level).max() {
        Some(Level::Wrong) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Writes findings for people: a line each, and below it what to do.
pub(super) fn write(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Wrong => "wrong",
        };
        writeln!(out, "{level:5}  {:<14} {}", finding.subject, finding.text)?;
        if let Some(mend) = &finding.mend {
            writeln!(out, "{:22}{mend}", "")?;
        }
    }
    Ok(())
}

/// Writes anything for programs, to standard output.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    writeln!(io::stdout(), "{text}").context("writing to standard output")
}

/// An amount of memory, or a size.
pub(super) fn bytes(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{:.1} KiB", bytes as f64 / KIB as f64),
        MIB..GIB => format!("{:.1} MiB", bytes as f64 / MIB as f64),
        _ => format!("{:.1} GiB", bytes as f64 / GIB as f64),
    }
}

/// A short time, in the unit that suits it.
pub(super) fn time(time: std::time::Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.1} µs"),
        ..1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_to_be_done_stands_below_what_is_wrong() {
        let findings = [
            Finding::ok("clock", "it is synchronised"),
            Finding::wrong("port", "8080 is taken").mend("take another"),
        ];
        let mut text = Vec::new();
        write(&mut text, &findings).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "ok     clock          it is synchronised\nwrong  port           8080 is taken\n                      take \
             another\n"
        );
    }

    #[test]
    fn only_what_is_wrong_fails() {
        let warning = Finding::warn("clock", "unsure", "wait");
        assert_eq!(exit_code(std::slice::from_ref(&warning)), ExitCode::SUCCESS);
        let findings = [warning, Finding::wrong("port", "taken")];
        assert_eq!(exit_code(&findings), ExitCode::FAILURE);
        assert_eq!(exit_code(&[]), ExitCode::SUCCESS);
    }

    #[test]
    fn figures_have_the_unit_that_suits_them() {
        assert_eq!(bytes(1_023), "1023 bytes");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
        assert_eq!(time(Duration::from_nanos(1_500)), "1.5 µs");
        assert_eq!(time(Duration::from_millis(31)), "31.0 ms");
        assert_eq!(time(Duration::from_secs(7)), "7.0 s");
    }
}
