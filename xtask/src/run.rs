//! `cargo xtask run [ARGUMENTS]`: builds the host and starts it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{
    cargo::{cargo, shown, target},
    packages,
};

/// Runs the command with the words behind `run`, which are passed on to `picam-host`.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    packages::ensure_installed(&packages::build())?;

    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "picam-host"]);
    println!("Building picam-host. The first time, that takes some minutes.");
    let status = build
        .status()
        .with_context(|| format!("starting {}", shown(&build)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(&build));
    }

    let mut host = Command::new(target().join("release/picam-host"));
    host.args(&arguments);
    if !chooses_source(&arguments) && !has_camera() {
        println!(
            "There is no camera here (no /dev/video*), so this shows the test pattern: --source pattern"
        );
        host.args(["--source", "pattern"]);
    }
    replace(host)
}

/// Whether the arguments say where pictures come from, or might: a configuration file may.
fn chooses_source(arguments: &[String]) -> bool {
    let decides = ["--source", "--config", "--help", "--version", "-h", "-V"];
    arguments
        .iter()
        .any(|argument| decides.contains(&argument.split('=').next().unwrap_or_default()))
}

fn has_camera() -> bool {
    let Ok(devices) = std::fs::read_dir("/dev") else {
        return false;
    };
    devices
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("video"))
}

/// Becomes the host, so that signals reach it and its exit code is ours.
#[cfg(unix)]
fn replace(mut host: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    let error = host.exec();
    Err(error).with_context(|| format!("starting {}", host.get_program().display()))
}

#[cfg(not(unix))]
fn replace(_: Command) -> Result<ExitCode> {
    bail!("picam-host runs on Linux")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_or_a_file_that_may_name_one_is_left_alone() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(chooses_source(&words("--fps 15 --source -")));
        assert!(chooses_source(&words("--source=file:x")));
        assert!(chooses_source(&words("--config picam.toml")));
        assert!(!chooses_source(&words("--plugin x,source=y --fps 15")));
    }
}
