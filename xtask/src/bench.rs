//! `cargo xtask bench [NAME [ARGUMENT]…]`: measures, beside a peer where there is one, and prints a table.
//!
//! Nothing here passes or fails: a machine that is busy with other things says little of this one's speed, so what
//! counts is the ratio, measured in the same run.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo::{cargo, root, shown, target},
    packages, test,
};

const USAGE: &str = "\
cargo xtask bench [NAME [ARGUMENT]...]

Runs every measurement, or one of them. Each prints its lines of a table.

  auth                                      what asking a plugin for permission costs the host
  render                                    how long the stock plugin takes to write a media playlist
  viewers [VIEWERS] [SECONDS] [SIZE]        from the last byte of a frame to its part, at 1000 waiting viewers
  blocked [REQUESTS] [ROUNDS]               the same to its playlist, at 10,000 requests that wait for it
  passthrough [SECONDS] [SIZE]              CPU and memory without viewers, beside FFmpeg that writes DASH
  latency [JOINS] [SECONDS] [SIZE]          camera to screen in Chromium, beside FFmpeg's HLS from nginx";

/// A measurement: its name, and its program below `target/release`.
const ALL: [(&str, &str); 6] = [
    ("auth", "examples/bench_auth"),
    ("render", "examples/bench_render"),
    ("viewers", "bench-viewers"),
    ("blocked", "bench-blocked"),
    ("passthrough", "bench-passthrough"),
    ("latency", "bench-latency"),
];

/// Runs the command with the words behind `bench`.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let (chosen, rest) = match arguments.split_first() {
        None => (ALL.to_vec(), &[][..]),
        Some((word, _)) if ["-h", "--help"].contains(&word.as_str()) => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some((name, rest)) => match ALL.into_iter().find(|(known, _)| known == name) {
            Some(found) => (vec![found], rest),
            None => bail!("there is no measurement `{name}`:\n{USAGE}"),
        },
    };
    let latency = chosen.iter().any(|(name, _)| *name == "latency");

    let mut wanted = packages::build();
    wanted.push("ffmpeg");
    packages::ensure_installed(&wanted)?;
    if latency {
        let quiet = Quiet::begin()?;
        packages::ensure_installed(&["chromium", "nginx-light"])?;
        drop(quiet);
        test::npm(&root().join("tests/browser"))?;
    }
    // Not both at once: what examples need must not find its way into the binary.
    for what in ["--examples", "--bins"] {
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "--workspace", what]);
        eprintln!("{}", shown(&build));
        let status = build
            .status()
            .with_context(|| format!("starting {}", shown(&build)))?;
        ensure!(status.success(), "{} failed ({status})", shown(&build));
    }

    let mut table = String::new();
    for (name, program) in chosen {
        eprintln!("\n==== {name}");
        let output = Command::new(target().join("release").join(program))
            .args(rest)
            .stderr(std::process::Stdio::inherit())
            .output()
            .with_context(|| format!("starting {program}"))?;
        ensure!(output.status.success(), "{name} failed ({})", output.status);
        let lines = String::from_utf8(output.stdout).context("a table is UTF-8")?;
        // What the host said is among them.
        for line in lines.lines().filter(|line| line.starts_with("| ")) {
            eprintln!("{line}");
            table.push_str(line);
            table.push('\n');
        }
    }
    println!(
        "\n| what | picam-host | beside | ratio | budget |\n| --- | --- | --- | --- | --- |\n{table}"
    );
    Ok(ExitCode::SUCCESS)
}

/// As long as it lives, packages that are installed start no servers, as far as that is ours to say: Debian's nginx
/// would take port 80.
struct Quiet(Option<&'static Path>);

impl Quiet {
    fn begin() -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let created = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(policy);
        let Ok(mut file) = created else {
            // There is a policy already, or we are not root and install nothing.
            return Ok(Self(None));
        };
        let quiet = Self(Some(policy));
        file.write_all(b"#!/bin/sh\nexit 101\n")
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o755)))
            .with_context(|| format!("writing {}", policy.display()))?;
        Ok(quiet)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(policy) = self.0
            && let Err(error) = fs::remove_file(policy)
        {
            eprintln!("xtask: {} should be removed: {error}", policy.display());
        }
    }
}
