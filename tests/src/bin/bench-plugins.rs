//! What each stock plugin costs: bytes, time to compile, time to load what is compiled, and time of each call.
//!
//!     bench-plugins [RUNS]
//!
//! Each is measured by `picam-host plugin bench` in so many processes, one after the other. Shown is the median of these:
//! for calls, of the medians and of the 99th percentiles.
//!
//! Prints lines of the table of plugins that `cargo xtask bench` prints.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use picam_tests::token;
use serde::Deserialize;

/// What a plugin that has no default for it needs to start.
fn config(plugin: &str) -> String {
    match plugin {
        // Of "password", with the cheapest hash that bcrypt has: nobody logs in here.
        "auth-basic" => {
            ",users=ada:$2y$04$abcdefghijklmnopqrstuu5LLVZzhOtXXFRGMwHrg9pFrv0Sr3BHW".into()
        }
        "auth-jwt" => ",secret=a-secret-of-32-characters-at-least".into(),
        "auth-token" => format!(",keys={}", token::KEY),
        _ => String::new(),
    }
}

/// What `plugin bench --json` says.
#[derive(Debug, Deserialize)]
struct Measured {
    size: f64,
    compile_ms: f64,
    load_ms: f64,
    start_ms: f64,
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    call: String,
    median_us: f64,
    p99_us: f64,
}

fn main() -> Result<()> {
    let runs = std::env::args().nth(1).unwrap_or("5".into());
    let runs: usize = runs
        .parse()
        .with_context(|| format!("{runs:?} is no number"))?;
    ensure!(runs > 0, "no run measures nothing");
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/stock");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&stock)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            names.push(stem.context("a name in UTF-8")?.to_owned());
        }
    }
    names.sort();
    for name in names {
        let measured = (0..runs)
            .map(|_| measure(&name))
            .collect::<Result<Vec<_>>>()?;
        println!("{}", row(&name, &measured));
    }
    Ok(())
}

fn measure(name: &str) -> Result<Measured> {
    let spec = format!("{name}.wasm{}", config(name));
    let output = Command::new(picam_tests::program()?)
        .args(["plugin", "bench", "--json", &spec])
        .output()?;
    ensure!(
        output.status.success(),
        "picam-host plugin bench {spec}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("what `plugin bench --json` wrote")
}

fn row(name: &str, runs: &[Measured]) -> String {
    let median = |of: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let calls: Vec<_> = runs[0]
        .calls
        .iter()
        .enumerate()
        .map(|(at, call)| {
            format!(
                "{} {}, p99 {}",
                call.call,
                time(median(&|run| run.calls[at].median_us)),
                time(median(&|run| run.calls[at].p99_us))
            )
        })
        .collect();
    format!(
        "| {name} | {:.0} kB | {} | {} | {} | {} |",
        median(&|run| run.size) / 1e3,
        time(median(&|run| run.compile_ms) * 1e3),
        time(median(&|run| run.load_ms) * 1e3),
        time(median(&|run| run.start_ms) * 1e3),
        calls.join("; ")
    )
}

/// Of microseconds, with two digits that say something.
fn time(micros: f64) -> String {
    match micros {
        0.0..9.95 => format!("{micros:.1} µs"),
        9.95..999.5 => format!("{micros:.0} µs"),
        999.5..9_950.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.0} ms", micros / 1e3),
    }
}
