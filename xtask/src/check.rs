//! `cargo xtask check`: how the code is written, and under which licences the libraries are.
//!
//! Apart from `cargo xtask test`, since lints look at every library anew, for other purposes than running it: that takes as
//! long as half of all tests.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    cargo::{cargo, plugins_workspace, root, shown, target},
    packages,
    tally::Tally,
};

const USAGE: &str = "\
cargo xtask check

Looks at formatting, lints and licences. The last line is `N passed, N failed`.";

/// Runs the command with the words behind `check`.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments.first().map(String::as_str) {
        None => {}
        Some("-h" | "--help") => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(word) => bail!("`{word}` means nothing here:\n{USAGE}"),
    }
    packages::ensure_installed(&packages::build())?;
    let mut tally = Tally::default();
    formatting(&mut tally)?;
    lints(&mut tally)?;
    licences(&mut tally)?;
    Ok(match tally.finish() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn formatting(tally: &mut Tally) -> Result<()> {
    for (what, words) in [
        ("formatting", &["--all"][..]),
        (
            "formatting of the plugins",
            &["--all", "--manifest-path", "plugins/Cargo.toml"],
        ),
        (
            "formatting of the fuzz targets",
            &[
                "--manifest-path",
                "host/fuzz/Cargo.toml",
                "--package",
                "picam-host-fuzz",
                "--package",
                "plugin-smith",
            ],
        ),
    ] {
        tally.check(what, cargo().args(["fmt", "--check"]).args(words))?;
    }
    Ok(())
}

fn lints(tally: &mut Tally) -> Result<()> {
    let clippy = || {
        let mut clippy = cargo();
        clippy.args(["clippy", "--locked", "--workspace", "--all-targets"]);
        clippy
    };
    let strict = ["--", "-D", "warnings"];
    tally.check("lints", clippy().args(strict))?;
    tally.check(
        "lints of the plugins",
        clippy().args(plugins_workspace()).args(strict),
    )?;
    Ok(())
}

fn licences(tally: &mut Tally) -> Result<()> {
    let Some(deny) = cargo_deny()? else {
        tally.skip(
            "licences",
            "cargo-deny could not be installed; `cargo install --locked cargo-deny` should",
        );
        return Ok(());
    };
    for (what, manifest) in [
        ("licences", "Cargo.toml"),
        ("licences of the plugins", "plugins/Cargo.toml"),
    ] {
        // It looks at what other systems would build, too, which nothing has fetched so far.
        let mut fetch = cargo();
        fetch.args(["fetch", "--quiet", "--locked", "--manifest-path", manifest]);
        // Where it fails, the check says what it lacks.
        fetch
            .status()
            .with_context(|| format!("starting {}", shown(&fetch)))?;
        let mut licences = Command::new(&deny);
        licences
            .current_dir(root())
            .env("CARGO", cargo().get_program());
        // Advisories need a network that builders may not have.
        licences.args(["--offline", "--locked", "--manifest-path", manifest]);
        licences.args(["--config", "deny.toml", "check"]);
        tally.check(what, licences.args(["licenses", "bans", "sources"]))?;
    }
    Ok(())
}

/// Where cargo-deny is. Unless the machine has it, it is compiled into the target directory, which takes some minutes.
fn cargo_deny() -> Result<Option<PathBuf>> {
    const VERSION: &str = "0.20.2";
    let works = |program: &Path| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    };
    let tools = target().join("tools");
    let ours = tools.join("bin/cargo-deny");
    for program in [Path::new("cargo-deny"), &ours] {
        if works(program) {
            return Ok(Some(program.to_owned()));
        }
    }
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", "cargo-deny", "--version"]);
    install.args([VERSION, "--root"]).arg(tools);
    println!("\n==== {}", shown(&install));
    let status = install
        .status()
        .with_context(|| format!("starting {}", shown(&install)))?;
    Ok(status.success().then_some(ours))
}
