//! `plugin bench`: how long a plugin takes to load, and how long each call of its hooks takes.

use std::{
    hint::black_box,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{Subject, report};
use crate::{
    plugin::{Hook, Knock, Object, Request, Workbench, trial},
    time::MediaTime,
};

/// Calls before those that count.
const WARM_UP: usize = 50;
/// Calls that are enough for a 99th percentile of a slow plugin.
const FEWEST: usize = 200;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,

    /// Call each hook for about so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    seconds: u64,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Times of one kind of call, in microseconds.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    call: String,
    calls: usize,
    median_us: f64,
    p99_us: f64,
}

#[derive(Serialize)]
struct Measured {
    /// Bytes of the file.
    size: Option<usize>,
    compile_ms: Option<f64>,
    load_ms: Option<f64>,
    start_ms: Option<f64>,
    calls: Vec<Row>,
}

/// Measures, and tells.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let subject = &arguments.subject;
    let (found, opened) = Workbench::open(&subject.trusted(), &subject.environment());
    let mut workbench = opened?;
    let length = Duration::from_secs(arguments.seconds);
    let mut calls = Vec::new();
    for hook in workbench.hooks().collect::<Vec<_>>() {
        measure(&mut workbench, hook, length, &mut calls)?;
    }

    let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    if arguments.json {
        report::json(&Measured {
            size: found.size,
            compile_ms: millis(found.compiling),
            load_ms: millis(found.loading),
            start_ms: millis(found.starting),
            calls,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    for (what, time) in [
        ("compile", found.compiling),
        ("load what is compiled", found.loading),
        ("start", found.starting),
    ] {
        if let Some(time) = time {
            writeln!(out, "{what:<32} {:>12}", report::time(time))?;
        }
    }
    writeln!(
        out,
        "\n{:<32} {:>12} {:>12} {:>9}",
        "call", "median", "p99", "calls"
    )?;
    for row in &calls {
        let time = |micros: f64| report::time(Duration::from_secs_f64(micros / 1e6));
        writeln!(
            out,
            "{:<32} {:>12} {:>12} {:>9}",
            row.call,
            time(row.median_us),
            time(row.p99_us),
            row.calls
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls a hook over and over, on what it meets in a stream that runs.
fn measure(
    workbench: &mut Workbench,
    hook: Hook,
    length: Duration,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let mut row = |call: String, workbench: &mut Workbench, one: &mut One<'_>| {
        let times = timed(workbench, length, one)?;
        rows.push(Row::of(call, times));
        anyhow::Ok(())
    };
    match hook {
        Hook::Playlist => {
            let paths: Vec<_> = workbench
                .documents()
                .iter()
                .map(|document| document.path.clone())
                .collect();
            for path in paths {
                row(format!("render {path}"), workbench, &mut |workbench, _| {
                    // A window of its own for each call, as in a stream: what is handed over is made anew.
                    let window = Arc::new(trial::running());
                    let started = Instant::now();
                    black_box(workbench.render(&path, &Request::default(), &window)?);
                    Ok(started.elapsed())
                })?;
            }
            Ok(())
        }
        Hook::Naming => row("name a part".to_owned(), workbench, &mut |workbench, n| {
            let started = Instant::now();
            black_box(workbench.name(Object::Part, n, trial::CAPTURED)?);
            Ok(started.elapsed())
        }),
        Hook::Auth => {
            let visit = Knock {
                path: "/cam/live.m3u8".to_owned(),
                method: "GET".to_owned(),
                peer: "203.0.113.9".to_owned(),
                ..Knock::default()
            };
            row("decide".to_owned(), workbench, &mut |workbench, _| {
                let started = Instant::now();
                black_box(workbench.decide(&visit)?);
                Ok(started.elapsed())
            })
        }
        Hook::Overlay => row("draw".to_owned(), workbench, &mut |workbench, n| {
            let time = MediaTime(n * 33_333);
            let started = Instant::now();
            black_box(workbench.draw(time, trial::CAPTURED, (1_280, 720))?);
            Ok(started.elapsed())
        }),
    }
}

/// Makes one call, the how-manieth it is being told, and says how long it took.
type One<'a> = dyn FnMut(&mut Workbench, u64) -> anyhow::Result<Duration> + 'a;

fn timed(
    workbench: &mut Workbench,
    length: Duration,
    one: &mut One<'_>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    let started = Instant::now();
    let mut number = 0;
    while times.len() < FEWEST || started.elapsed() < length {
        let time = one(workbench, number)?;
        number += 1;
        if number > WARM_UP as u64 {
            times.push(time);
        }
    }
    Ok(times)
}

impl Row {
    fn of(call: String, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
        Self {
            call,
            calls: times.len(),
            median_us: at(50),
            p99_us: at(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_percentile_are_times_that_were_measured() {
        let times = (1..=101).rev().map(Duration::from_micros).collect();
        let row = Row::of("x".to_owned(), times);
        assert_eq!((row.median_us.round(), row.p99_us.round()), (51.0, 100.0));
    }

    #[test]
    fn every_document_is_measured() {
        let environment = crate::plugin::Environment {
            plugin_dirs: vec![],
            cache_dir: None,
            state_dir: None,
        };
        let plugin = crate::plugin::PluginSpec::new("ll-hls.wasm");
        let mut workbench = Workbench::open(&plugin, &environment).1.unwrap();
        let mut rows = Vec::new();
        measure(&mut workbench, Hook::Playlist, Duration::ZERO, &mut rows).unwrap();
        let calls: Vec<_> = rows.iter().map(|row| (&*row.call, row.calls)).collect();
        assert_eq!(
            calls,
            [("render live.m3u8", FEWEST), ("render video.m3u8", FEWEST)]
        );
    }
}
