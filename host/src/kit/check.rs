//! `plugin check`: what a plugin is, what it needs, and what is wrong with it.

use std::{io, process::ExitCode, time::Duration};

use serde::Serialize;

use super::{
    Subject,
    report::{self, Finding},
};
use crate::plugin::{Found, PluginOrigin, PluginSpec, Scope, Workbench};

/// From here on a plugin makes itself felt at every start, and at every change.
const LONG_TO_COMPILE: Duration = Duration::from_secs(2);

/// Which plugin to look at.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and tells.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Subject { plugin, .. } = &arguments.subject;
    let (found, opened) = Workbench::open(
        &arguments.subject.trusted(),
        &arguments.subject.environment(),
    );
    let mut findings = judge(plugin, &found);
    if let Err(error) = opened {
        findings.push(Finding::wrong("plugin", format!("{error:#}")));
    }
    let sheet = Sheet::of(plugin, &found);
    if arguments.json {
        report::json(&Checked {
            sheet,
            findings: &findings,
        })?;
    } else {
        let mut out = io::stdout().lock();
        sheet.write(&mut out)?;
        report::write(&mut out, &findings)?;
    }
    Ok(report::exit_code(&findings))
}

/// What the person who is going to run it should know.
fn judge(plugin: &PluginSpec, found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    let stock = matches!(found.origin, Some(PluginOrigin::Stock(_)));
    if !found.grants.is_empty() && !stock {
        findings.push(Finding::warn(
            "grants",
            format!(
                "it imports what must be granted: {}",
                found.grants.join(", ")
            ),
            format!(
                "in the configuration, add `grants = {:?}` to its [[plugin]] table",
                found.grants
            ),
        ));
    }
    if let Some(compiling) = found.compiling.filter(|time| *time > LONG_TO_COMPILE) {
        findings.push(Finding::warn(
            "compile time",
            format!(
                "compiling it took {}, and takes longer on a small board",
                report::time(compiling)
            ),
            "that happens once for each version, as long as the cache directory can be written; in a language that \
             compiles to WebAssembly itself it would take some milliseconds",
        ));
    }
    if let Some(memory) = found.memory
        && memory > plugin.limits.memory / 2
    {
        findings.push(Finding::warn(
            "memory",
            format!(
                "it holds {} before its first call, and may hold {}",
                report::bytes(memory as u64),
                report::bytes(plugin.limits.memory as u64)
            ),
            "raise `memory` in its [[plugin]] table if it traps",
        ));
    }
    if let Some(description) = &found.description {
        findings.push(Finding::ok(
            "plugin",
            format!("{} can be used", description.name),
        ));
    }
    findings
}

#[derive(Serialize)]
struct Checked<'a> {
    #[serde(flatten)]
    sheet: Sheet,
    findings: &'a [Finding],
}

/// The facts. What wasn't found out, because something was wrong before, is left out.
#[derive(Serialize)]
struct Sheet {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    hooks: Vec<&'static str>,
    state: bool,
    imports: Vec<String>,
    grants: Vec<&'static str>,
    core_module: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compile_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ms: Option<f64>,
    options: Vec<Entry>,
    timing: Vec<(&'static str, String)>,
    documents: Vec<Document>,
    reads: Vec<String>,
}

#[derive(Serialize)]
struct Entry {
    key: String,
    default: String,
    help: String,
}

#[derive(Serialize)]
struct Document {
    address: String,
    content_type: String,
    reads: Vec<String>,
}

impl Sheet {
    fn of(plugin: &PluginSpec, found: &Found) -> Self {
        let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
        let description = found.description.as_ref();
        let timing = [
            ("segment", found.timing.segment),
            ("part", found.timing.part),
            ("window", found.timing.window),
        ];
        Self {
            file: match &found.origin {
                Some(origin) => origin.to_string(),
                None => plugin.file.clone(),
            },
            name: description.map(|it| it.name.clone()),
            version: description.map(|it| it.version.clone()),
            summary: description.map(|it| it.summary.clone()),
            hooks: found.hooks.iter().map(|hook| hook.name()).collect(),
            state: found.state,
            imports: found.imports.clone(),
            grants: found.grants.clone(),
            core_module: found.core_module,
            size: found.size,
            memory: found.memory,
            compile_ms: millis(found.compiling),
            load_ms: millis(found.loading),
            start_ms: millis(found.starting),
            options: found
                .options
                .iter()
                .map(|option| Entry {
                    key: option.key.clone(),
                    default: option.default.clone(),
                    help: option.help.clone(),
                })
                .collect(),
            timing: timing
                .into_iter()
                .filter_map(|(name, length)| Some((name, format!("{:?}", length?))))
                .collect(),
            documents: found
                .documents
                .iter()
                .map(|document| Document {
                    address: match document.scope {
                        Scope::Stream => format!("/cam/{}", document.path),
                        Scope::Presentation => format!("/cam/PRESENTATION/{}", document.path),
                    },
                    content_type: document.content_type.clone(),
                    reads: inputs(&document.reads),
                })
                .collect(),
            reads: found.reads.as_ref().map_or_else(Vec::new, |reads| {
                let others = [
                    ("the method", reads.method),
                    ("the peer's address", reads.peer),
                    ("a form", reads.form),
                ];
                let others = others.into_iter().filter(|(_, read)| *read);
                let mut all = inputs(&reads.inputs);
                all.extend(others.map(|(name, _)| name.to_owned()));
                all
            }),
        }
    }

    fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut line = |label: &str, text: &str| match text {
            "" => Ok(()),
            text => writeln!(out, "{label:<10} {text}"),
        };
        let time = |millis: Option<f64>| {
            millis.map_or_else(
                || "?".to_owned(),
                |ms| report::time(Duration::from_secs_f64(ms / 1e3)),
            )
        };
        let size = |bytes: Option<usize>| bytes.map(|bytes| report::bytes(bytes as u64));
        line("file", &self.file)?;
        if let (Some(name), Some(version), Some(summary)) =
            (&self.name, &self.version, &self.summary)
        {
            line("plugin", &format!("{name} {version}: {summary}"))?;
        }
        line("hooks", &self.hooks.join(", "))?;
        if self.state {
            line("state", "survives a swap")?;
        }
        line("imports", &self.imports.join(", "))?;
        line("grants", &self.grants.join(", "))?;
        let form = match self.core_module {
            true => ", a core module, made a component on loading",
            false => "",
        };
        line(
            "size",
            &size(self.size).map_or_else(String::new, |size| size + form),
        )?;
        line("memory", &size(self.memory).unwrap_or_default())?;
        if self.compile_ms.is_some() {
            line(
                "times",
                &format!(
                    "{} to compile, {} to load what is compiled, {} to start",
                    time(self.compile_ms),
                    time(self.load_ms),
                    time(self.start_ms)
                ),
            )?;
        }
        for option in &self.options {
            line(
                "option",
                &format!("{}={}: {}", option.key, option.default, option.help),
            )?;
        }
        for (name, length) in &self.timing {
            line("timing", &format!("{name} {length}"))?;
        }
        for document in &self.documents {
            let reads = match document.reads.is_empty() {
                true => String::new(),
                false => format!(", reads {}", document.reads.join(", ")),
            };
            line(
                "document",
                &format!("{} ({}){reads}", document.address, document.content_type),
            )?;
        }
        line("reads", &self.reads.join(", "))
    }
}

/// What is read of a request, by name.
fn inputs(inputs: &crate::plugin::Inputs) -> Vec<String> {
    let named = |kind: &'static str, names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{kind} {name}")).collect()
    };
    [
        named("query parameter", &inputs.query),
        named("header field", &inputs.headers),
        named("cookie", &inputs.cookies),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::{super::report::Level, *};

    fn found(file: &str) -> (Found, anyhow::Result<Workbench>) {
        let environment = crate::plugin::Environment {
            plugin_dirs: vec![],
            cache_dir: None,
            state_dir: None,
        };
        Workbench::open(&PluginSpec::new(file), &environment)
    }

    #[test]
    fn a_sheet_says_what_a_person_asks_first() {
        let (found, opened) = found("ll-hls.wasm");
        opened.unwrap();
        let mut text = Vec::new();
        let sheet = Sheet::of(&PluginSpec::new("ll-hls.wasm"), &found);
        sheet.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "hooks      playlist\n",
            "option     part-ms=200: ",
            "timing     part 200ms\n",
            "document   /cam/live.m3u8 (application/vnd.apple.mpegurl)\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_grant_that_is_needed_comes_with_the_line_that_gives_it() {
        let found = Found {
            grants: vec!["clock", "kv"],
            ..Found::default()
        };
        let findings = judge(&PluginSpec::new("x.wasm"), &found);
        assert_eq!(findings[0].level, Level::Warn);
        let mend = findings[0].mend.as_deref().unwrap();
        assert!(mend.contains(r#"grants = ["clock", "kv"]"#), "{mend}");
    }

    #[test]
    fn half_of_the_memory_at_the_start_is_a_reason_to_look() {
        let mut found = Found {
            memory: Some(17 << 20),
            ..Found::default()
        };
        let plugin = PluginSpec::new("x.wasm");
        assert_eq!(judge(&plugin, &found)[0].subject, "memory");
        found.memory = Some(1 << 20);
        assert!(judge(&plugin, &found).is_empty());
    }
}
