//! `cargo xtask test [--only GROUP]… [FILTER]`: everything that can tell whether the project works, if not how it is written,
//! which is `cargo xtask check`.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cargo::{cargo, plugins_workspace, root, shown, target},
    packages,
    tally::Tally,
};

const USAGE: &str = "\
cargo xtask test [--only GROUP]... [FILTER]

Runs every test, or those of some groups, or those whose name contains FILTER. The last line is `N passed, N failed`.

  plugins    the stock plugins: built from these sources, and their own tests
  unit       tests beside the code, and examples in documentation
  blackbox   the built picam-host over HTTP, with scripted cameras
  browser    the built picam-host in Chromium, and while it is under attack: what wants the machine for itself
  vm         the built picam-host with V4L2 cameras, in a virtual machine";

/// A group of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Plugins,
    Unit,
    Blackbox,
    Browser,
    Vm,
}

impl Group {
    /// In the order in which they run: what is quick and what others build on comes first.
    const ALL: [(&str, Self); 5] = [
        ("plugins", Self::Plugins),
        ("unit", Self::Unit),
        ("blackbox", Self::Blackbox),
        ("browser", Self::Browser),
        ("vm", Self::Vm),
    ];

    fn named(name: &str) -> Result<Self> {
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        let (_, group) =
            found.with_context(|| format!("there is no group `{name}`; there are {names}"))?;
        Ok(group)
    }

    /// The group of an integration test of `tests/`, by its name.
    fn of_test(name: &str) -> Self {
        if name.starts_with("v4l2") {
            Self::Vm
        } else if name.starts_with("browser") || ["attack", "swap"].contains(&name) {
            Self::Browser
        } else {
            Self::Blackbox
        }
    }
}

/// Runs the command with the words behind `test`.
pub fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let mut groups = Vec::new();
    let mut filter = None;
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            "--only" => groups.push(Group::named(
                &words.next().context("--only needs a group")?,
            )?),
            option if option.starts_with('-') => bail!("there is no option `{option}`:\n{USAGE}"),
            _ if filter.is_none() => filter = Some(word),
            _ => bail!("one FILTER is enough, `{word}` is one too many"),
        }
    }
    if groups.is_empty() {
        groups = Group::ALL.map(|(_, group)| group).to_vec();
    }

    let mut wanted = packages::test();
    let machine = cfg!(target_arch = "x86_64");
    if machine && groups.contains(&Group::Vm) {
        wanted.extend(packages::machine());
    }
    packages::ensure_installed(&wanted)?;

    let started = std::time::Instant::now();
    let mut session = Session {
        tally: Tally::default(),
        filter,
        fresh: None,
    };
    for (name, group) in Group::ALL {
        if !groups.contains(&group) {
            continue;
        }
        match group {
            Group::Plugins => session.plugins()?,
            Group::Unit => session.unit()?,
            Group::Vm if !machine => session
                .tally
                .skip("vm", "the virtual machine is made for x86-64"),
            Group::Blackbox | Group::Browser | Group::Vm => session.binary(name, group)?,
        }
    }
    let seconds = started.elapsed().as_secs();
    println!("\nThis took {} min {} s.", seconds / 60, seconds % 60);
    Ok(match session.tally.finish() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

struct Session {
    tally: Tally,
    filter: Option<String>,
    /// Plugins that were built just now.
    fresh: Option<PathBuf>,
}

impl Session {
    fn plugins(&mut self) -> Result<()> {
        let xtask = || Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
        self.tally.check(
            "stock plugins are up to date",
            xtask().args(["plugins", "--check"]),
        )?;

        let fresh = target().join("fresh-plugins");
        let built = self.tally.check(
            "plugins from source",
            xtask().args(["plugins", "--out"]).arg(&fresh),
        )?;
        self.fresh = built.then_some(fresh);

        let mut tests = cargo();
        tests.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
        tests.args(plugins_workspace()).args(&self.filter);
        self.tally.tests("plugins", &mut tests)
    }

    /// Has files made that nobody would write, always the same, for tests that load them as plugins.
    fn smith(&mut self) -> Result<PathBuf> {
        const COUNT: &str = "300";
        let made = target().join("smithed-plugins");
        let mut smith = cargo();
        smith.args(["run", "--quiet", "--locked", "--package", "plugin-smith"]);
        smith.args(["--manifest-path", "host/fuzz/Cargo.toml", "--target-dir"]);
        smith.arg(target().join("smith")).args(["--", COUNT]);
        self.tally.check("hostile plugins", smith.arg(&made))?;
        Ok(made)
    }

    fn unit(&mut self) -> Result<()> {
        let smithed = self.smith()?;
        let mut tests = cargo();
        tests.env("PICAM_SMITHED", smithed);
        tests.args([
            "test",
            "--locked",
            "--workspace",
            "--lib",
            "--bins",
            "--no-fail-fast",
        ]);
        self.tally.tests("unit", tests.args(&self.filter))?;
        let mut tests = cargo();
        tests.args(["test", "--locked", "--workspace", "--doc", "--no-fail-fast"]);
        self.tally.tests("documentation", tests.args(&self.filter))
    }

    /// Integration tests that start the binary.
    fn binary(&mut self, what: &str, group: Group) -> Result<()> {
        let names = integration_tests(&root().join("tests/tests"), group)?;
        if names.is_empty() {
            self.tally.skip(what, "there is no such test yet");
            return Ok(());
        }
        // Players, and a reader of playlists.
        npm(&root().join("tests/browser"))?;
        // The whole workspace, here and below: with other packages selected, features would differ, and Wasmtime would
        // be compiled anew.
        let mut build = cargo();
        build.args(["build", "--locked", "--workspace", "--bins", "--examples"]);
        if !self.tally.check("the binary", &mut build)? {
            return Ok(());
        }
        let tests = |names: &[String]| {
            let mut tests = cargo();
            tests.args(["test", "--locked", "--workspace"]);
            tests.args(names.iter().flat_map(|name| ["--test", name]));
            if let Some(fresh) = &self.fresh {
                tests.env("PICAM_PLUGINS", fresh);
            }
            tests
        };
        let built = self
            .tally
            .check(&format!("{what}, built"), tests(&names).arg("--no-run"))?;
        if !built {
            return Ok(());
        }
        let runs = names.into_iter().map(|name| {
            let mut tests = tests(std::slice::from_ref(&name));
            tests.args(&self.filter);
            // Each test starts hosts enough for a processor.
            tests.args(["--", "--test-threads=1"]);
            (name, tests)
        });
        // Most wait for a camera's pictures more than they compute, and an emulated machine has one processor; a browser
        // wants all there are.
        let lanes = if group == Group::Browser { 1 } else { 2 };
        self.tally.tests_in_lanes(lanes, runs.collect())
    }
}

/// Names of the integration tests of a group: `x.rs` and `x/main.rs`.
fn integration_tests(folder: &Path, group: Group) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?
    {
        let path = entry?.path();
        let is_test = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("main.rs").is_file();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if is_test && Group::of_test(name) == group {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Installs what a folder's `package-lock.json` names, unless it is there already.
pub fn npm(folder: &Path) -> Result<()> {
    let modified =
        |name: &str| std::fs::metadata(folder.join(name)).and_then(|file| file.modified());
    let Ok(wanted) = modified("package-lock.json") else {
        return Ok(());
    };
    if modified("node_modules/.package-lock.json").is_ok_and(|installed| installed >= wanted) {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder);
    println!("\n==== {} in {}", shown(&command), folder.display());
    let status = command.status().context("starting npm (part of Node.js)")?;
    ensure!(
        status.success(),
        "npm ci in {} failed ({status})",
        folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integration_test_runs_in_one_group() {
        let folder = root().join("tests/tests");
        let count: usize = Group::ALL
            .iter()
            .map(|(_, group)| integration_tests(&folder, *group).unwrap().len())
            .sum();
        let files = std::fs::read_dir(&folder).unwrap().flatten();
        let tests = files.filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "rs")
        });
        assert!(count >= tests.count());
        assert_eq!(Group::of_test("v4l2"), Group::Vm);
        assert_eq!(Group::of_test("browser_page"), Group::Browser);
        assert_eq!(Group::of_test("ll_hls_rules"), Group::Blackbox);
    }

    #[test]
    fn a_group_that_is_none_is_told_which_there_are() {
        assert_eq!(Group::named("vm").unwrap(), Group::Vm);
        let error = Group::named("fast").unwrap_err().to_string();
        assert!(
            error.contains("plugins, unit, blackbox, browser, vm"),
            "{error}"
        );
    }
}
