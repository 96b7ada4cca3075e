//! A plugin is swapped a hundred times, every fifth time for something broken, while two thousand requests a second ask for
//! playlists, parts and permission, and hls.js plays in a browser.

mod load;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use load::{Ends, Load};
use picam_guests::{BOMB, LOOP, Troubled};
use picam_tests::{Client, Host, PATIENCE, Player, Viewer, token};
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

/// Swaps, of which every fifth is to something broken.
const SWAPS: usize = 100;
const BROKEN: usize = 5;

/// Longer than this, and a machine that held everything up explains a stall as well as a fault of the stream does.
const HICCUP: f64 = 150.0;

/// The same of the time until a loop is broken off, which uses 200 ms of a processor, and is noticed in a request.
const LOOPED: Duration = Duration::from_millis(400);

/// A file that is no plugin, or a bad one.
struct Broken {
    what: &'static str,
    bytes: Vec<u8>,
    /// It is found out after it was published, rather than before.
    late: bool,
    /// What the one line says about it.
    words: &'static [&'static str],
}

/// One of each kind, made of a plugin whose `hook` is troubled by `trouble`.
fn broken(stock: &[u8], trouble: fn(&Troubled, &str) -> Vec<u8>, oversize: &str) -> Vec<Broken> {
    let plugin = Troubled::new(stock);
    let component = |exports: [&str; 2]| {
        let exports = exports.map(|name| format!("(export \"{name}\" (instance $nothing))"));
        let text = format!(
            "(component (component $empty) (instance $nothing (instantiate $empty)) {})",
            exports.concat()
        );
        wat::parse_str(&text).expect("a component")
    };
    let refused = |what, bytes, words| Broken {
        what,
        bytes,
        late: false,
        words,
    };
    let late = |what, instructions: &str, words| Broken {
        what,
        bytes: trouble(&plugin, instructions),
        late: true,
        words,
    };
    let third = "(if (i32.eq (global.get $live) (i32.const 3)) (then (unreachable)))";
    vec![
        refused(
            "garbage",
            b"garbage".to_vec(),
            &["it is not WebAssembly", "mine.wasm"],
        ),
        late("a trap on the third call", third, &["`unreachable`"]),
        refused(
            "another world",
            component(["wasi:cli/run@0.2.0", "wasi:http/incoming-handler@0.2.0"]),
            &["no plugin", "exports `wasi:cli/run@0.2.0`"],
        ),
        late(
            "an endless loop",
            LOOP,
            &["used 200ms of processor time", "raise `call-time`"],
        ),
        refused(
            "a trap in init",
            plugin.init("(unreachable)"),
            &["`init` failed", "`unreachable`"],
        ),
        late(
            "a memory bomb",
            BOMB,
            &["its limit is 32.0 MiB", "raise `memory`"],
        ),
        refused(
            "another version of the contract",
            component([
                "picam:plugin/lifecycle@0.2.0",
                "picam:plugin/playlist@0.2.0",
            ]),
            &[
                "version 0.2",
                "this host speaks 0.1",
                "use a plugin built for it",
            ],
        ),
        late(
            "too large an answer",
            oversize,
            &["returned more than 1.0 MiB", "raise `output`"],
        ),
    ]
}

/// A text of twelve million bytes, in memory that is taken for it.
fn oversize(record: &str) -> String {
    format!(
        "(local.set 0 (i32.mul (memory.grow (i32.const 250)) (i32.const 65536)))
         {record}
         (return (local.get 0))"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_playlists_are_swapped_a_hundred_times_and_no_request_fails_and_no_viewer_stalls()
-> Result<()> {
    let stock = stock("ll-hls.wasm")?;
    // `answer` is 0 for a document, with its text at 8, and its age at 16.
    let huge = oversize(
        "(i32.store8 (local.get 0) (i32.const 0))
         (i32.store offset=8 (local.get 0) (i32.add (local.get 0) (i32.const 64)))
         (i32.store offset=12 (local.get 0) (i32.const 12000000))
         (i32.store offset=16 (local.get 0) (i32.const 1))",
    );
    let broken = broken(&stock, Troubled::render, &huge);
    swap("ll-hls", &stock, &broken).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_watch_is_swapped_a_hundred_times_and_no_request_fails_and_no_viewer_stalls()
-> Result<()> {
    let stock = stock("auth-token.wasm")?;
    // `decision` is 1 for a denial, with its status at 4, no headers at 8, no type at 16, and its body at 24.
    let huge = oversize(
        "(memory.fill (local.get 0) (i32.const 0) (i32.const 64))
         (i32.store8 (local.get 0) (i32.const 1))
         (i32.store16 offset=4 (local.get 0) (i32.const 401))
         (i32.store offset=24 (local.get 0) (i32.add (local.get 0) (i32.const 64)))
         (i32.store offset=28 (local.get 0) (i32.const 12000000))",
    );
    let broken = broken(&stock, Troubled::decide, &huge);
    swap("auth-token", &stock, &broken).await
}

fn stock(name: &str) -> Result<Vec<u8>> {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/stock");
    Ok(std::fs::read(stock.join(name))?)
}

/// Swaps the plugin of this name, under load and with a viewer.
async fn swap(name: &str, good: &[u8], broken: &[Broken]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("mine.wasm");
    std::fs::write(&file, good)?;
    let config = directory.path().join("picam.toml");
    let named = |plugin: &str| match plugin == name {
        true => "mine.wasm".to_owned(),
        false => format!("{plugin}.wasm"),
    };
    std::fs::write(
        &config,
        format!(
            "[stream]\nsource = \"pattern\"\nsize = \"640x360\"\nbitrate = \"800k\"\n\
             [[plugin]]\nfile = \"{}\"\n\
             [[plugin]]\nfile = \"{}\"\n[plugin.config]\nkeys = \"{}\"\n",
            named("ll-hls"),
            named("auth-token"),
            token::KEY
        ),
    )?;
    let config = config.to_str().context("a path in UTF-8")?;
    let host = Host::spawn(["--config", config]).await?;
    let mut swapped = Swapped {
        operator: Client::http1(host.operator().context("there is an operator's listener")?)?,
        host,
        name: name.to_owned(),
        file,
        swaps: 0,
        counts: Counts::default(),
        looped: Duration::ZERO,
    };
    let first = swapped.host.http1()?;
    let at = format!("/~{}", token::lasting(3_600)?);
    load::playing(&first, &at).await?;

    // On a machine that stands still now and then, a stall proves nothing: then it is tried again.
    for attempt in 1..=3 {
        let url = swapped.host.url(&format!("{at}/cam/live.m3u8"));
        let mut viewer = Viewer::open(Player::HlsJs, &url).await?;
        viewer.until("a picture", |seen| seen.frames > 60).await?;
        viewer.restart().await?;
        let load = Load::start(&swapped.host).await?;
        swapped.looped = Duration::ZERO;
        let began = Instant::now();
        for n in 1..=SWAPS {
            match n % BROKEN {
                0 => swapped.fail(&broken[n / BROKEN % broken.len()]).await?,
                _ => swapped.succeed(good).await?,
            }
        }
        let took = began.elapsed().as_secs_f64();
        let Ends { answered, slowest } = load.stop().await?;
        let seen = viewer.report().await?;
        println!(
            "{name}: {SWAPS} swaps, {} of them to something broken, and {answered} requests in {took:.1} s: {:.0} a second, \
             none failed, the slowest took {} ms, and a loop {} ms; hls.js showed {} pictures, and ran dry {} times; the longest that the \
             browser was kept from running is {:.0} ms",
            SWAPS / BROKEN,
            answered as f64 / took,
            slowest.as_millis(),
            swapped.looped.as_millis(),
            seen.frames,
            seen.waits.count,
            seen.hiccup
        );
        // Its errors of this name tell of a buffer that ran dry, and what it did about that.
        let stalled = |error: &&String| error.contains("Z buffer");
        let stalls = seen.errors.iter().filter(stalled).count();
        ensure!(seen.errors.len() == stalls, "hls.js complains: {seen:#?}");
        ensure!(seen.frames > 0 && seen.rewinds == 0, "{seen:#?}");
        if seen.waits.count == 0 && stalls == 0 {
            return Ok(());
        }
        ensure!(
            seen.hiccup > HICCUP || swapped.looped > LOOPED,
            "it stalled though nothing held the machine up: {seen:#?}"
        );
        println!("attempt {attempt} says nothing of stalls");
    }
    println!("no attempt was undisturbed: whether a viewer stalls remains open on this machine");
    Ok(())
}

/// A plugin, its file, and what should be told of its reloads by now.
struct Swapped {
    host: Host,
    operator: Client,
    name: String,
    file: std::path::PathBuf,
    /// So far.
    swaps: usize,
    counts: Counts,
    /// The longest that a loop went on.
    looped: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    published: u64,
    refused: u64,
    rolled_back: u64,
}

impl Swapped {
    async fn succeed(&mut self, bytes: &[u8]) -> Result<()> {
        self.counts.published += 1;
        let before = self.plugin().await?["generation"].as_u64();
        self.put(bytes)?;
        let plugin = self.settled().await?;
        ensure!(plugin["generation"].as_u64() > before, "{plugin}");
        Ok(())
    }

    /// Puts something broken in its place. The generation before is back, and one line says why.
    async fn fail(&mut self, broken: &Broken) -> Result<()> {
        let before = self.plugin().await?["generation"].clone();
        let said = self.host.said().len();
        match broken.late {
            true => {
                self.counts.published += 1;
                self.counts.rolled_back += 1;
            }
            false => self.counts.refused += 1,
        }
        self.put(&broken.bytes)?;
        let began = Instant::now();
        let plugin = self
            .settled()
            .await
            .with_context(|| broken.what.to_owned())?;
        if broken.what == "an endless loop" {
            self.looped = self.looped.max(began.elapsed());
        }
        ensure!(
            plugin["generation"] == before,
            "{}: generation {before} is not back: {plugin}",
            broken.what
        );
        let cause = plugin["reloads"]["last"]["cause"].as_str();
        let cause = cause.unwrap_or_default();
        let lead = match broken.late {
            true => format!(
                "of plugin {} is rolled back, and generation {before} serves again",
                self.name
            ),
            false => format!(
                "plugin {} is not reloaded, and generation {before} goes on",
                self.name
            ),
        };
        let began = Instant::now();
        let line = loop {
            let log = self.host.said();
            let line = log[said..].lines().find(|line| line.contains(&lead));
            if let Some(line) = line {
                break line.to_owned();
            }
            ensure!(began.elapsed() < PATIENCE, "no line says: {lead}");
            sleep(Duration::from_millis(10)).await;
        };
        for word in broken.words {
            ensure!(
                line.contains(word) && cause.contains(word),
                "{}: `{word}` is neither in the log:\n{line}\nor not told of the reload:\n{cause}",
                broken.what
            );
        }
        if self.swaps <= SWAPS / 2 {
            println!("{}: {line}", broken.what);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.swaps += 1;
        let beside = self.file.with_extension("next");
        std::fs::write(&beside, bytes)?;
        Ok(std::fs::rename(&beside, &self.file)?)
    }

    async fn plugin(&self) -> Result<Value> {
        let path = format!("/api/v1/plugins/{}", self.name);
        Ok(serde_json::from_slice(&self.operator.fetch(&path).await?)?)
    }

    /// Waits until all that was done to it is told of its reloads, and returns what is told of it then.
    async fn settled(&self) -> Result<Value> {
        let began = Instant::now();
        loop {
            let plugin = self.plugin().await?;
            let count = |what: &str| plugin["reloads"][what].as_u64().unwrap_or_default();
            let counts = Counts {
                published: count("published"),
                refused: count("refused"),
                rolled_back: count("rolled_back"),
            };
            if counts == self.counts {
                return Ok(plugin);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "waited for {:?}: {plugin}",
                self.counts
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}
