//! How long a media playlist takes to be written: 30 segments with all of their parts, by the stock plugin, through the
//! same call as the server's. `cargo xtask bench render` runs it, and prints its line in a table.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result, bail};
use picam_host::plugin::{Answer, Environment, PluginSpec, Plugins, Request, Scope, trial};

const WARM_UP: usize = 500;
const CALLS: usize = 20_000;

fn main() -> Result<()> {
    let environment = Environment {
        plugin_dirs: Vec::new(),
        cache_dir: None,
        state_dir: None,
    };
    let plugins = Plugins::load(&[PluginSpec::new("ll-hls.wasm")], &environment)?;
    let document = plugins
        .documents()
        .iter()
        .find(|document| document.scope == Scope::Presentation)
        .context("ll-hls.wasm writes no media playlist")?
        .clone();
    let window = Arc::new(trial::window(1_000..1_031, 30, 2));
    let request = Request::default();

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut micros = Vec::with_capacity(CALLS);
    let mut lines = 0;
    for call in 0..WARM_UP + CALLS {
        let started = Instant::now();
        let answer = runtime.block_on(plugins.render(&document, &request, &window))?;
        let took = started.elapsed();
        let Answer::Document { body, .. } = answer else {
            bail!("ll-hls.wasm answers {answer:?} instead of writing a playlist")
        };
        if call >= WARM_UP {
            micros.push(took.as_secs_f64() * 1e6);
            lines = body.iter().filter(|byte| **byte == b'\n').count();
        }
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    println!(
        "| playlist render, 30 segments with parts ({lines} lines, {CALLS} calls) | p50 {:.0} µs, p99 {:.0} µs | | | p99 ≤ 100 µs |",
        at(0.5),
        at(0.99)
    );
    Ok(())
}
