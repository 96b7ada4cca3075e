//! `plugin test`: requests to a plugin, and its answers beside those that were right before.
//!
//! A directory holds `cases.toml`, which lists requests (see `case`), and for each of them `NAME.txt`, the answer. What the
//! plugin may call is what is granted there. Without a directory a plugin is put what is typical, with all that it imports
//! granted, and what it answers is shown.

mod case;
mod recording;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use similar::{ChangeTag, TextDiff};

use self::{
    case::{Case, Cases},
    recording::Recording,
};
use super::{Subject, report};
use crate::plugin::{Found, PluginOrigin, PluginSpec, Workbench};

/// What to put to which plugin.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,

    /// Directory with cases.toml and the answers; without one, a plugin is put what is typical, and its answers are shown
    directory: Option<PathBuf>,

    /// Write the answers into the directory, instead of comparing
    #[arg(long, requires = "directory")]
    bless: bool,

    /// Write a made-up window (begun, running or ended) as JSON, to make a recording of, and do nothing else
    #[arg(long, value_name = "WINDOW", value_parser = ["begun", "running", "ended"])]
    print_window: Option<String>,
}

/// Puts, and tells.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(window) = &arguments.print_window {
        let window = case::window(window, Path::new(""))?;
        report::json(&Recording::of(&window)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(directory) = &arguments.directory else {
        show(&arguments.subject)?;
        return Ok(ExitCode::SUCCESS);
    };
    let cases = Cases::read(directory)?;
    let plugin = configured(&arguments.subject.plugin, &cases);
    let (found, opened) = Workbench::open(&plugin, &arguments.subject.environment());
    tell_of_missing(&found, &plugin);
    let mut workbench = opened?;
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for case in &cases.cases {
        let outcome = run_one(case, &mut workbench, directory, arguments.bless)?;
        let passed = matches!(outcome, Outcome::Same | Outcome::Written);
        failed += usize::from(!passed);
        tell(&mut out, case, &outcome)?;
    }
    writeln!(
        out,
        "{} passed, {failed} failed",
        cases.cases.len() - failed
    )?;
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The plugin with the grants of the cases, and their configuration below its own.
fn configured(plugin: &PluginSpec, cases: &Cases) -> PluginSpec {
    let mut plugin = plugin.clone();
    plugin.grants = cases.grants;
    for (key, value) in &cases.config {
        if !plugin.config.iter().any(|(set, _)| set == key) {
            plugin.config.push((key.clone(), value.clone()));
        }
    }
    plugin
}

/// Says what the plugin imports that the cases don't grant, should a call fail for it.
fn tell_of_missing(found: &Found, plugin: &PluginSpec) {
    if matches!(found.origin, Some(PluginOrigin::Stock(_))) {
        return;
    }
    for grant in found
        .grants
        .iter()
        .filter(|grant| !plugin.grants.has(grant))
    {
        eprintln!(
            "it imports `{grant}`, which {} doesn't grant; to have it work here, add \"{grant}\" to `grants` there",
            case::FILE
        );
    }
}

/// What is typical, and the answers.
fn show(subject: &Subject) -> anyhow::Result<()> {
    let (_, opened) = Workbench::open(&subject.trusted(), &subject.environment());
    let mut workbench = opened?;
    let mut out = io::stdout().lock();
    for case in &Cases::usual(&workbench).cases {
        let answer = case
            .answer(&mut workbench, Path::new(""))
            .with_context(|| case.name().to_owned())?;
        writeln!(out, "== {}\n{answer}", case.name())?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Same,
    Written,
    /// What was expected, and what came.
    Different(String, String),
    /// There is no file with the answer; what came.
    Unknown(String),
    /// There was no answer.
    Failed(String),
}

fn run_one(
    case: &Case,
    workbench: &mut Workbench,
    directory: &Path,
    bless: bool,
) -> anyhow::Result<Outcome> {
    let answer = match case.answer(workbench, directory) {
        Ok(answer) => answer,
        Err(error) => return Ok(Outcome::Failed(format!("{error:#}"))),
    };
    let path = directory.join(case.name()).with_extension("txt");
    if bless {
        fs::write(&path, &answer).with_context(|| format!("writing {}", path.display()))?;
        return Ok(Outcome::Written);
    }
    match fs::read_to_string(&path) {
        Ok(expected) if expected == answer => Ok(Outcome::Same),
        Ok(expected) => Ok(Outcome::Different(expected, answer)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Unknown(answer)),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn tell(out: &mut impl io::Write, case: &Case, outcome: &Outcome) -> io::Result<()> {
    let name = case.name();
    match outcome {
        Outcome::Same => writeln!(out, "ok       {name}"),
        Outcome::Written => writeln!(out, "written  {name}.txt"),
        Outcome::Failed(why) => writeln!(out, "FAILED   {name}: {why}"),
        Outcome::Unknown(answer) => {
            writeln!(
                out,
                "FAILED   {name}: there is no {name}.txt to compare with; if this is right, --bless writes it:"
            )?;
            answer
                .lines()
                .try_for_each(|line| writeln!(out, "  {line}"))
        }
        Outcome::Different(expected, answer) => {
            writeln!(
                out,
                "FAILED   {name}: the answer is another than in {name}.txt (-: expected, +: came); if it is right, \
                 --bless takes it:"
            )?;
            let colours = io::stdout().is_terminal();
            difference(out, expected, answer, colours)
        }
    }
}

/// The lines that differ, with some around them.
fn difference(
    out: &mut impl io::Write,
    expected: &str,
    answer: &str,
    colours: bool,
) -> io::Result<()> {
    const AROUND: usize = 2;
    let diff = TextDiff::from_lines(expected, answer);
    for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if number > 0 {
            writeln!(out, "  …")?;
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, colour) = match change.tag() {
                ChangeTag::Delete => ('-', "\x1b[31m"),
                ChangeTag::Insert => ('+', "\x1b[32m"),
                ChangeTag::Equal => (' ', ""),
            };
            let line = change.value().trim_end_matches('\n');
            if colours && !colour.is_empty() {
                writeln!(out, "{colour}{sign} {line}\x1b[0m")?;
            } else {
                writeln!(out, "{sign} {line}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workbench() -> Workbench {
        let environment = crate::plugin::Environment {
            plugin_dirs: vec![],
            cache_dir: None,
            state_dir: None,
        };
        let (_, opened) = Workbench::open(&PluginSpec::new("ll-hls.wasm"), &environment);
        opened.unwrap()
    }

    fn directory(cases: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(case::FILE), cases).unwrap();
        directory
    }

    const CASES: &str = r#"
        [[case]]
        name = "the-list"
        hook = "playlist"
        document = "video.m3u8"

        [[case]]
        name = "too-far-ahead"
        hook = "playlist"
        document = "video.m3u8"
        query = { _HLS_msn = "9999" }
    "#;

    #[test]
    fn what_was_blessed_passes_until_the_answer_changes() {
        let directory = directory(CASES);
        let mut workbench = workbench();
        let cases = Cases::read(directory.path()).unwrap().cases;
        let mut outcome =
            |bless| run_one(&cases[0], &mut workbench, directory.path(), bless).unwrap();
        assert!(matches!(outcome(false), Outcome::Unknown(_)));
        assert_eq!(outcome(true), Outcome::Written);
        assert_eq!(outcome(false), Outcome::Same);
        let file = directory.path().join("the-list.txt");
        let blessed = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            blessed.replace("#EXT-X-TARGETDURATION:2", "#EXT-X-TARGETDURATION:3"),
        )
        .unwrap();
        let Outcome::Different(expected, answer) = outcome(false) else {
            panic!("it is different");
        };
        let mut shown = Vec::new();
        difference(&mut shown, &expected, &answer, false).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(
            shown.contains("- #EXT-X-TARGETDURATION:3\n+ #EXT-X-TARGETDURATION:2\n"),
            "{shown}"
        );
        assert!(shown.lines().count() < 8, "{shown}");
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_document_that_is_none_is_not() {
        let directory = directory(&CASES.replacen("video.m3u8", "other.m3u8", 1));
        let mut workbench = workbench();
        let cases = Cases::read(directory.path()).unwrap().cases;
        let mut answer = |at: usize| cases[at].answer(&mut workbench, directory.path());
        assert!(answer(1).unwrap().starts_with("refuse 400 "));
        let error = answer(0).unwrap_err().to_string();
        assert!(error.contains("no document `other.m3u8`"), "{error}");
    }

    #[test]
    fn a_list_that_makes_no_sense_is_told_where() {
        let error =
            |cases: &str| format!("{:#}", Cases::read(directory(cases).path()).unwrap_err());
        let wrong = error(&CASES.replace("document", "dokument"));
        assert!(wrong.contains("dokument"), "{wrong}");
        let wrong = error(&CASES.replace("too-far-ahead", "the-list"));
        assert!(wrong.contains("two cases are called `the-list`"), "{wrong}");
        let wrong = error(&CASES.replace("too-far-ahead", "../up"));
        assert!(wrong.contains("`../up` needs a name"), "{wrong}");
    }
}
