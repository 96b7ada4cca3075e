//! Counts what passed and what failed, over test runners of several kinds.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
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
        let mut ran = Ran::default();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("reading what {} says", shown(command)))?;
            ran.show(&line);
        }
        ran.good = child.wait()?.success();
        self.count(what, &ran);
        Ok(())
    }

    /// Runs test runners, each under its name, as many at a time as there are `lanes`. What one says is shown in one piece.
    pub fn tests_in_lanes(&mut self, lanes: usize, runs: Vec<(String, Command)>) -> Result<()> {
        let waiting = Mutex::new(runs.into_iter());
        let take = || {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next()
        };
        let tally = Mutex::new(self);
        let lane = || -> Result<()> {
            while let Some((what, mut command)) = take() {
                let words = shown(&command);
                let said = output(&mut command).with_context(|| format!("running {words}"))?;
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.announce(&what, &command);
                let mut ran = Ran {
                    good: said.1,
                    ..Ran::default()
                };
                said.0
                    .split(|byte| *byte == b'\n')
                    .for_each(|line| ran.show(line));
                tally.count(&what, &ran);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
            lanes
                .into_iter()
                .try_for_each(|lane| lane.join().expect("no lane panics"))
        })
    }

    /// Counts what a runner did.
    fn count(&mut self, what: &str, ran: &Ran) {
        self.passed += ran.passed;
        if ran.failed > 0 {
            self.fail(what, ran.failed);
        } else if !ran.good {
            // It didn't get as far as a test: it doesn't compile, or it died.
            self.fail(what, 1);
        } else if ran.passed == 0 {
            println!("({what}: no test matches)");
        }
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

/// What a test runner did.
#[derive(Debug, Default)]
struct Ran {
    passed: u64,
    failed: u64,
    /// It ended as one does that has nothing to complain of.
    good: bool,
}

impl Ran {
    /// Shows a line that it said, and counts what the line tells.
    fn show(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let (passed, failed) = counts(&line);
        self.passed += passed;
        self.failed += failed;
        // Not straight to standard output: what our own tests show here must not be counted by who runs them.
        println!("{line}");
    }
}

/// Runs a command to its end: what it said, standard output and standard error in one, and whether it succeeded.
fn output(command: &mut Command) -> Result<(Vec<u8>, bool)> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // It holds the writer's ends, and without them the pipe ends with the child.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    Ok((said, child.wait()?.success()))
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
    fn what_runs_in_lanes_is_counted_and_named() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let passes = "echo 'test result: ok. 2 passed; 0 failed;'";
        let fails = "echo 'test result: FAILED. 1 passed; 3 failed;' >&2; exit 1";
        let runs = [("a", passes), ("b", fails), ("c", passes), ("d", "exit 1")];
        let runs = runs.map(|(name, script)| (name.to_owned(), shell(script)));
        let mut tally = Tally::default();
        tally.tests_in_lanes(2, runs.into()).unwrap();
        assert_eq!((tally.passed, tally.failed), (5, 4));
        tally.bad.sort();
        assert_eq!(tally.bad, ["b", "d"]);
    }

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
