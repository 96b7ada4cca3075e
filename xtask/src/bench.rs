//! `cargo xtask bench [NAME [ARGUMENT]…]`: measures, beside a peer where there is one, and prints a table.
//!
//! Nothing here passes or fails: a machine that is busy with other things says little of this one's speed, so what
//! counts is the ratio, measured in the same run.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo::{cargo, root, shown, target},
    packages, test,
};

const USAGE: &str = "\
cargo xtask bench [NAME [ARGUMENT]...]

Runs every measurement, or one of them. Each prints its lines of a table.

  plugins [RUNS]                            size, compile time, load time and call times of every stock plugin
  auth                                      what asking a plugin for permission costs the host
  render                                    how long the stock plugin takes to write a media playlist
  viewers [VIEWERS] [SECONDS] [SIZE]        from the last byte of a frame to its part, at 1000 waiting viewers
  blocked [REQUESTS] [ROUNDS]               the same to its playlist, at 10,000 requests that wait for it
  serve [CONNECTIONS] [SECONDS] [SIZE]      segments and parts a second, beside nginx
  pictures                                  what it takes to convert, to draw on and to encode a picture, beside FFmpeg
  passthrough [SECONDS] [SIZE]              CPU and memory without viewers, beside FFmpeg that writes DASH
  latency [JOINS] [SECONDS] [SIZE]          camera to screen in Chromium, beside FFmpeg's HLS from nginx";

/// A measurement: its name, its program below `target/release`, and the columns of its table.
const ALL: [(&str, &str, &str); 9] = [
    ("plugins", "bench-plugins", PLUGINS),
    ("auth", "examples/bench_auth", BUDGETS),
    ("render", "examples/bench_render", BUDGETS),
    ("viewers", "bench-viewers", BUDGETS),
    ("blocked", "bench-blocked", BUDGETS),
    ("serve", "bench-serve", BUDGETS),
    ("pictures", "examples/bench_pictures", BUDGETS),
    ("passthrough", "bench-passthrough", BUDGETS),
    ("latency", "bench-latency", BUDGETS),
];

const PLUGINS: &str = "| plugin | size | compile | load, compiled | start | calls |
| --- | --- | --- | --- | --- | --- |";
const BUDGETS: &str = "| what | picam-host | beside | ratio | budget |
| --- | --- | --- | --- | --- |";

/// Runs the command with the words behind `bench`.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let (chosen, rest) = match arguments.split_first() {
        None => (ALL.to_vec(), &[][..]),
        Some((word, _)) if ["-h", "--help"].contains(&word.as_str()) => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some((name, rest)) => match ALL.into_iter().find(|(known, ..)| known == name) {
            Some(found) => (vec![found], rest),
            None => bail!("there is no measurement `{name}`:\n{USAGE}"),
        },
    };
    let chooses = |wanted: &str| chosen.iter().any(|(name, ..)| *name == wanted);
    let latency = chooses("latency");

    let mut wanted = packages::build();
    wanted.push("ffmpeg");
    if latency {
        wanted.push("chromium");
    }
    if chooses("serve") {
        wanted.extend(["nghttp2-client", "wrk"]);
    }
    if latency || chooses("serve") {
        wanted.push("nginx");
    }
    packages::ensure_installed(&wanted)?;
    if latency {
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

    let mut tables = String::new();
    let mut columns = "";
    for (name, program, its_columns) in chosen {
        eprintln!("\n==== {name}");
        let output = Command::new(target().join("release").join(program))
            .args(rest)
            .stderr(std::process::Stdio::inherit())
            .output()
            .with_context(|| format!("starting {program}"))?;
        ensure!(output.status.success(), "{name} failed ({})", output.status);
        let lines = String::from_utf8(output.stdout).context("a table is UTF-8")?;
        if columns != its_columns {
            columns = its_columns;
            tables += &format!("\n{columns}\n");
        }
        // What the host said is among them.
        for line in lines.lines().filter(|line| line.starts_with("| ")) {
            eprintln!("{line}");
            tables += &format!("{line}\n");
        }
    }
    print!("{tables}");
    Ok(ExitCode::SUCCESS)
}
