//! `cargo xtask`: the project's own commands. Each does all of its own set-up.
//!
//! This must build on a machine that has nothing but Rust, so it depends on nothing of the host and on no library that
//! needs more than a compiler.

mod bench;
mod cargo;
mod check;
mod packages;
mod plugins;
mod run;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask run [ARGUMENTS]    builds picam-host and starts it, with the camera if there is one
cargo xtask test [FILTER]      runs every test; see `cargo xtask test --help` for less than every
cargo xtask check              looks at formatting, lints and licences
cargo xtask bench [NAME]       measures, and prints a table
cargo xtask plugins [--check]  builds the stock plugins into plugins/stock, or tells whether that is due";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("run") => run::run(arguments.collect()),
        Some("test") => test::run(arguments.collect()),
        Some("check") => check::run(&arguments.collect::<Vec<_>>()),
        Some("bench") => bench::run(arguments.collect()),
        Some("plugins") => plugins::run(arguments).map(|()| ExitCode::SUCCESS),
        Some("-h" | "--help" | "help") => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => unknown(other),
        None => unknown(""),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn unknown(command: &str) -> Result<ExitCode> {
    match command {
        "" => bail!("which command? There are:\n{USAGE}"),
        _ => bail!("there is no command `{command}`. There are:\n{USAGE}"),
    }
}
