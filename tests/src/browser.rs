use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, interval, sleep, timeout},
};

use crate::PATIENCE;

/// Which player watches.
#[derive(Clone, Copy, Debug)]
pub enum Player {
    /// hls.js as it comes from npm, with nothing set, on a page of another origin. The address is the multivariant
    /// playlist's.
    HlsJs,
    /// dash.js in the same way. The address is the MPD's.
    DashJs,
    /// Shaka Player in the same way.
    Shaka,
    /// The page at the address.
    Page,
    /// A page of `examples/pages`, in which `http://ADDRESS` of a host takes the place of the address that people put in.
    Example(&'static str),
}

/// A viewer: Chromium without a window, driven by `tests/browser/drive.mjs`. It ends when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    // Killed when dropped; its browser ends with it.
    _driver: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What a viewer saw; `tests/browser/measure.js` says how. Times are milliseconds unless named otherwise.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Pictures shown.
    pub frames: u64,
    /// Pictures of which the capture time could be read.
    pub readings: u64,
    /// From capture to screen, at the median; `None` without readings.
    pub median: Option<f64>,
    /// The same at the 90th percentile.
    pub p90: Option<f64>,
    /// By how much our own page's idea of that delay is off, at the median; `None` for other players.
    pub deviation: Option<f64>,
    /// Times that the player ran dry.
    pub waits: Waits,
    /// Longer silences between pictures than the stream has.
    pub gaps: Gaps,
    /// The longest that the browser was kept from running.
    pub hiccup: f64,
    /// Pictures that were decoded and came too late to be shown.
    pub dropped: u64,
    /// Sizes of the picture, in order.
    pub sizes: Vec<(u32, u32)>,
    /// Pictures older than the one before.
    pub rewinds: u64,
    /// What the player complained about.
    pub errors: Vec<String>,
    /// How often a document was loaded: once, unless the page was reloaded.
    pub loads: u32,
    /// Exceptions that nobody caught.
    #[serde(rename = "pageErrors")]
    pub page_errors: Vec<String>,
    /// Requests to other than loopback addresses.
    pub foreign: Vec<String>,
    /// When the picture last seen was captured, in milliseconds since 1970, by its clock bar.
    pub shown: Option<f64>,
    /// What our own page says of itself.
    pub picam: Option<Picam>,
}

/// Times that the player ran dry.
#[derive(Clone, Debug, Deserialize)]
pub struct Waits {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub seconds: f64,
}

/// Silences that were more than 250 ms longer than the stream's own.
#[derive(Clone, Debug, Deserialize)]
pub struct Gaps {
    /// How many.
    pub count: u64,
    /// How much longer at most.
    pub longest: f64,
}

/// Of `window.picam`, which `host/page/index.html` describes.
#[derive(Clone, Debug, Deserialize)]
pub struct Picam {
    /// One word.
    pub state: String,
    /// The status line.
    pub text: String,
    /// What it plays with.
    pub engine: String,
    /// Seconds from capture to screen, as the page measures it.
    pub latency: Option<f64>,
    /// How often the stream was opened.
    pub connections: u32,
    /// The media playlist being played.
    pub playlist: Option<String>,
    /// What is drawn over the picture, as `cam/overlay` has it; `None` while nobody draws.
    pub drawn: Option<Vec<serde_json::Value>>,
}

impl Report {
    /// Nothing was reloaded, thrown, or asked of strangers.
    pub fn healthy(&self) -> Result<()> {
        ensure!(
            self.loads == 1,
            "the page was loaded {} times: {self:#?}",
            self.loads
        );
        ensure!(self.page_errors.is_empty(), "the page threw: {self:#?}");
        ensure!(
            self.foreign.is_empty(),
            "the page asked other hosts: {self:#?}"
        );
        Ok(())
    }

    /// What there is to tell of it, in a line.
    pub fn figures(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.0}"));
        format!(
            "capture to screen {} ms at the median, {} ms at p90, over {} pictures; ran dry {} times, {:.2} s in all; \
             {} gaps, the longest {:.0} ms; {} dropped; the browser was held up {:.0} ms at most",
            ms(self.median),
            ms(self.p90),
            self.readings,
            self.waits.count,
            self.waits.seconds,
            self.gaps.count,
            self.gaps.longest,
            self.dropped,
            self.hiccup
        )
    }
}

/// Longer than this, and a machine that held everything up explains a stall as well as a fault of the stream does.
/// Milliseconds.
pub const HICCUP: f64 = 150.0;

/// The longest that this machine kept a timer waiting meanwhile, in milliseconds.
pub async fn hiccups_during(time: Duration) -> f64 {
    const BEAT: Duration = Duration::from_millis(20);
    let end = Instant::now() + time;
    let mut beat = interval(BEAT);
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while Instant::now() < end {
        beat.tick().await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest.saturating_sub(BEAT).as_secs_f64() * 1000.0
}

impl Viewer {
    /// Opens a player on a stream.
    pub async fn open(player: Player, url: &str) -> Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        ensure!(
            directory.join("node_modules/playwright-core").exists(),
            "the players are not installed: run `npm ci` in {}, or use `cargo xtask test`",
            directory.display()
        );
        let mut driver = Command::new("node")
            .arg("drive.mjs")
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting node, which drives the browser")?;
        let orders = driver.stdin.take().context("standard input is piped")?;
        let answers = driver.stdout.take().context("standard output is piped")?;
        let mut viewer = Self {
            _driver: driver,
            orders,
            answers: BufReader::new(answers).lines(),
        };
        let order = match player {
            Player::HlsJs => json!({"open": "hls.js", "url": url}),
            Player::DashJs => json!({"open": "dash.js", "url": url}),
            Player::Shaka => json!({"open": "shaka", "url": url}),
            Player::Page => json!({"open": "page", "url": url}),
            Player::Example(name) => json!({"open": "example", "name": name, "url": url}),
        };
        viewer.order(order).await?;
        Ok(viewer)
    }

    /// What was seen since the start, or since [`Viewer::restart`].
    pub async fn report(&mut self) -> Result<Report> {
        let answer = self.order(json!({"report": true})).await?;
        serde_json::from_value(answer).context("drive.mjs answers with a report")
    }

    /// Counts from here on.
    pub async fn restart(&mut self) -> Result<()> {
        self.order(json!({"restart": true})).await.map(drop)
    }

    /// Lets the page stand still, as when the lid is closed, or go on.
    pub async fn freeze(&mut self, freeze: bool) -> Result<()> {
        self.order(json!({"freeze": freeze})).await.map(drop)
    }

    /// Puts the playhead of our page's video where nothing is.
    pub async fn astray(&mut self) -> Result<()> {
        self.order(json!({"astray": true})).await.map(drop)
    }

    /// The colours (red, green, blue, alpha) of what our page draws over the picture, at points in thousandths of its width
    /// and height.
    pub async fn colours(&mut self, points: &[(u32, u32)]) -> Result<Vec<[u8; 4]>> {
        let answer = self.order(json!({"colours": points})).await?;
        serde_json::from_value(answer).context("drive.mjs answers with colours")
    }

    /// Writes down what it looks like, as a PNG.
    pub async fn screenshot(&mut self, path: &Path) -> Result<()> {
        self.order(json!({"screenshot": path})).await.map(drop)
    }

    /// Waits until what is seen meets `condition`, at most [`PATIENCE`].
    pub async fn until(
        &mut self,
        what: &str,
        condition: impl Fn(&Report) -> bool,
    ) -> Result<Report> {
        let started = Instant::now();
        loop {
            let report = self.report().await?;
            if condition(&report) {
                return Ok(report);
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{what} did not happen within {PATIENCE:?}; the viewer saw {report:#?}"
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn order(&mut self, order: serde_json::Value) -> Result<serde_json::Value> {
        self.orders
            .write_all(format!("{order}\n").as_bytes())
            .await
            .context("drive.mjs has ended; what it said is above")?;
        let line = timeout(PATIENCE, self.answers.next_line())
            .await
            .with_context(|| format!("drive.mjs did not answer {order} within {PATIENCE:?}"))??
            .context("drive.mjs has ended; what it said is above")?;
        let answer: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("drive.mjs answers in JSON, not {line:?}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{order} failed in the browser: {error}");
        }
        Ok(answer)
    }
}
