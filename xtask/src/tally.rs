//! Counts what passed and what failed, over test runners of several kinds.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::cargo::shown;

/// What has been run so far.
#[derive(Debug, Default)]
pub struct Tally {
    passed: u64,
    failed: u64,
    /// Steps that were not all good, for the end of the output.
    bad: Vec<String>,
    /// What was not run, and why.
    skipped: Vec<String>,
}

impl Tally {
    /// Runs a command that is one check: it passes or it fails.
    pub fn check(&mut self, what: &str, command: &mut Command) -> Result<bool> {
        self.announce(what, command);
        let good = command
            .status()
            .with_context(|| format!("starting {}", shown(command)))?
            .success();
        match good {
            true => self.passed += 1,
            false => self.fail(what, 1),
        }
        Ok(good)
    }

    /// Runs a test runner, whose output is shown and counted.
    pub fn tests(&mut self, what: &str, command: &mut Command) -> Result<()> {
        self.announce(what, command);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", shown(command)))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (mut passed, mut failed) = (0, 0);
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("reading what {} says", shown(command)))?;
            let line = String::from_utf8_lossy(&line);
            let counts = counts(&line);
            passed += counts.0;
            failed += counts.1;
            // Not straight to standard output: what our own tests show here must not be counted by who runs them.
            println!("{line}");
        }
        let good = child.wait()?.success();
        self.passed += passed;
        if failed > 0 {
            self.fail(what, failed);
        } else if !good {
            // It didn't get as far as a test: it doesn't compile, or it died.
            self.fail(what, 1);
        } else if passed == 0 {
            println!("({what}: no test matches)");
        }
        Ok(())
    }

    /// Notes that something was not run.
    pub fn skip(&mut self, what: &str, why: &str) {
        println!("\n==== SKIPPED: {what}: {why}");
        self.skipped.push(format!("{what}: {why}"));
    }

    fn announce(&self, what: &str, command: &Command) {
        println!("\n==== {what}: {}", shown(command));
    }

    fn fail(&mut self, what: &str, count: u64) {
        self.failed += count;
        self.bad.push(what.to_owned());
    }

    /// Prints what was skipped and what failed, then the counts as the last line. Whether all is well.
    pub fn finish(self) -> bool {
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for bad in &self.bad {
            println!("failed: {bad}");
        }
        if self.passed + self.failed == 0 {
            println!("nothing was run");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}

/// What a line of output adds: tests passed and failed.
fn counts(line: &str) -> (u64, u64) {
    // Rust: `test result: ok. 5 passed; 0 failed; …`, perhaps in colours.
    if line.starts_with("test result: ") {
        let before = |word: &str| {
            let (before, _) = line.split_once(word)?;
            before
                .rsplit([' ', '.'])
                .find(|word| !word.is_empty())?
                .parse()
                .ok()
        };
        return (
            before(" passed;").unwrap_or(0),
            before(" failed;").unwrap_or(0),
        );
    }
    // Node: `# pass 5` and `# fail 0` in TAP, `ℹ pass 5` for people.
    let after = |word: &str| {
        let rest = line
            .strip_prefix("# ")
            .or_else(|| line.strip_prefix("ℹ "))?;
        rest.strip_prefix(word)?.trim().parse().ok()
    };
    (after("pass ").unwrap_or(0), after("fail ").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_of_every_kind_are_counted() {
        let rust = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(rust), (12, 3));
        let coloured = "test result: \u{1b}[32mok\u{1b}(B\u{1b}[m. 7 passed; 0 failed; 0 ignored";
        assert_eq!(counts(coloured), (7, 0));
        assert_eq!(counts("# pass 5"), (5, 0));
        assert_eq!(counts("ℹ fail 2"), (0, 2));
        assert_eq!(counts("test it_says_5 passed; ... ok"), (0, 0));
        assert_eq!(counts("# passing 5 stones"), (0, 0));
    }

    #[test]
    fn a_runner_that_dies_before_its_tests_has_failed() {
        let mut tally = Tally::default();
        let run = |tally: &mut Tally, script: &str| {
            tally
                .tests(script, Command::new("sh").args(["-c", script]))
                .unwrap()
        };
        run(&mut tally, "exit 101");
        assert_eq!((tally.passed, tally.failed), (0, 1));
        run(
            &mut tally,
            "echo 'test result: FAILED. 4 passed; 2 failed;'; exit 101",
        );
        assert_eq!((tally.passed, tally.failed), (4, 3));
        run(&mut tally, "echo 'test result: ok. 1 passed; 0 failed;'");
        assert_eq!((tally.passed, tally.failed), (5, 3));
        assert!(!tally.finish());
        assert!(!Tally::default().finish(), "no test is no success");
    }
}
