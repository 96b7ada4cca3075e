//! What asking for permission costs the host: a question that no answer covers, with a plugin that does next to nothing,
//! and one that an answer covers. `cargo xtask bench auth` runs it, and prints its lines in a table.

use std::{net::IpAddr, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use picam_guests::with_contract;
use picam_host::plugin::{Environment, PluginSpec, Plugins, Question, Reads, Verdict, Visit};

const WARM_UP: usize = 2_000;
const CALLS: usize = 50_000;

/// Lets everybody in for an hour, below `/cam/`, as soon as it is asked. By the canonical ABI: `decision` lies at 64, as
/// `allow` (0) with seconds at 4, a prefix at 8 and no headers; the heap is emptied after each call.
const PLUGIN: &str = r#"(module
    (memory (export "memory") 2)
    (global $heap (mut i32) (i32.const 65536))
    (data (i32.const 64) "\00\00\00\00\10\0e\00\00\20\01\00\00\05\00\00\00\00\00\00\00\00\00\00\00")
    (data (i32.const 256) "trivial")
    (data (i32.const 272) "1.0.0")
    (data (i32.const 288) "/cam/")
    (data (i32.const 512) "\00\01\00\00\07\00\00\00\10\01\00\00\05\00\00\00\00\01\00\00\07\00\00\00\00\00\00\00\00\00\00\00")
    (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $heap (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "picam:plugin/lifecycle@0.1.0#describe") (result i32) (i32.const 512))
    (func (export "picam:plugin/lifecycle@0.1.0#init") (param i32 i32) (result i32) (i32.const 1024))
    (func (export "picam:plugin/auth@0.1.0#reads") (result i32) (i32.const 1024))
    (func (export "picam:plugin/auth@0.1.0#decide") (param i32) (result i32) (i32.const 64))
    (func (export "cabi_post_picam:plugin/auth@0.1.0#decide") (param i32)
        (global.set $heap (i32.const 65536))))"#;

fn plugin() -> Result<Vec<u8>> {
    Ok(with_contract(wat::parse_str(PLUGIN)?, ["auth"]))
}

/// A viewer with a cookie, who asks for a part.
fn visit(viewer: usize) -> Visit {
    let question = Question {
        cookies: format!("session\t{viewer:032x}"),
        ..Question::default()
    };
    Visit {
        path: "/cam/0xrm1jazaq/part-1795591207.m4s".into(),
        peer: IpAddr::from([192, 0, 2, 1]),
        questions: vec![Some(Arc::new(question))],
    }
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trivial.wasm");
    std::fs::write(&file, plugin()?)?;
    let environment = Environment {
        plugin_dirs: Vec::new(),
        cache_dir: None,
        state_dir: None,
    };
    let file = file.to_str().context("a path in UTF-8")?;
    let plugins = Plugins::load(&[PluginSpec::new(file)], &environment)?;
    let reads = plugins.reads();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;

    let new = measure(&runtime, &plugins, &reads, visit)?;
    let calls = plugins.status()[0].calls;
    ensure!(calls == (WARM_UP + CALLS) as u64, "{calls} calls");
    println!(
        "| permission, answer not in the cache, trivial plugin ({CALLS} calls) | p50 {:.2} µs, p99 {:.2} µs | | | p50 ≤ 5 µs |",
        new.0, new.1
    );
    let known = measure(&runtime, &plugins, &reads, |_| visit(WARM_UP + CALLS - 1))?;
    let calls_then = plugins.status()[0].calls;
    ensure!(calls_then == calls, "{} calls more", calls_then - calls);
    println!(
        "| permission, answer in the cache ({CALLS} times) | p50 {:.2} µs, p99 {:.2} µs | | | |",
        known.0, known.1
    );
    Ok(())
}

/// Median and 99th percentile of the time until there is a verdict, in microseconds.
fn measure(
    runtime: &tokio::runtime::Runtime,
    plugins: &Plugins,
    reads: &Arc<[Reads]>,
    visit: impl Fn(usize) -> Visit,
) -> Result<(f64, f64)> {
    let mut micros = Vec::with_capacity(CALLS);
    for call in 0..WARM_UP + CALLS {
        let visit = visit(call);
        let started = Instant::now();
        let verdict = runtime.block_on(plugins.ask(reads, &visit));
        let took = started.elapsed();
        ensure!(matches!(verdict, Verdict::Allowed(_)), "{verdict:?}");
        if call >= WARM_UP {
            micros.push(took.as_secs_f64() * 1e6);
        }
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
    Ok((at(0.5), at(0.99)))
}
