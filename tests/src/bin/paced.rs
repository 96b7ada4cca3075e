//! The far end of `picam_tests::Camera`: writes H.264 to standard output as the test tells it over a connection.
//!
//!     paced ADDRESS
//!
//! A line read from ADDRESS is a script (see `Camera`); when it is done, `sent N` goes back, with the number of pictures
//! sent so far. A picture's moment is counted from that of the one before it, not from when that was written, so a busy
//! machine delays pictures but does not slow the camera down.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::ExitCode,
    sync::mpsc::{self, TryRecvError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("paced: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does one script after the other until the test closes the connection.
fn run() -> Result<ExitCode> {
    let address = std::env::args().nth(1).context("usage: paced ADDRESS")?;
    let stream =
        TcpStream::connect(&address).with_context(|| format!("connecting to {address}"))?;
    let mut answers = stream.try_clone()?;
    let (sender, scripts) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(|line| line.ok());
        lines.map(|line| sender.send(line)).find(Result::is_err)
    });

    let mut camera = Paced {
        pictures: Vec::new(),
        at: 0,
        interval: Duration::from_secs(1) / 30,
        next: Instant::now(),
        sent: 0,
    };
    let mut playing = false;
    loop {
        let script = match scripts.try_recv() {
            Ok(script) => script,
            Err(TryRecvError::Disconnected) => return Ok(ExitCode::SUCCESS),
            Err(TryRecvError::Empty) if playing => {
                camera.play()?;
                continue;
            }
            Err(TryRecvError::Empty) => match scripts.recv() {
                Ok(script) => script,
                Err(_) => return Ok(ExitCode::SUCCESS),
            },
        };
        let step = camera.script(&script)?;
        writeln!(answers, "sent {}", camera.sent)?;
        match step {
            Step::Rest => playing = false,
            Step::Play => playing = true,
            Step::Exit(code) => return Ok(ExitCode::from(code)),
        }
    }
}

/// What to do once a script is done.
enum Step {
    /// Nothing until the next one.
    Rest,
    /// Send pictures until the next one.
    Play,
    /// End.
    Exit(u8),
}

struct Paced {
    /// The clip's pictures, Annex B.
    pictures: Vec<Vec<u8>>,
    /// The picture that comes next.
    at: usize,
    /// Time between two pictures.
    interval: Duration,
    /// When the next picture is due.
    next: Instant,
    /// Whole pictures sent so far.
    sent: u64,
}

impl Paced {
    fn script(&mut self, script: &str) -> Result<Step> {
        let mut words = script.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let number = words.next_if(|word| word.parse::<u64>().is_ok());
            let number = number.and_then(|word| word.parse::<u64>().ok());
            let needed = || number.with_context(|| format!("{word} needs a number, in {script:?}"));
            match word {
                "clip" => self.load(words.next().context("clip needs a file")?)?,
                "rate" => {
                    // Half of 25 is no whole number.
                    let rate = match number {
                        Some(whole) => whole as f64,
                        None => words
                            .next()
                            .context("rate needs a number")?
                            .parse::<f64>()?,
                    };
                    self.interval = Duration::try_from_secs_f64(1.0 / rate)?;
                }
                "play" => match number {
                    Some(count) => (0..count).try_for_each(|_| self.play())?,
                    None if words.peek().is_none() => return Ok(Step::Play),
                    None => bail!("`play` without a number must be the last word, in {script:?}"),
                },
                "silence" => {
                    self.next += Duration::from_millis(needed()?);
                    self.wait();
                }
                "noise" => self.noise(needed()?)?,
                "damage" => self.damage()?,
                "skip" => self.at += usize::try_from(needed()?)?,
                "exit" => return Ok(Step::Exit(u8::try_from(needed()?)?)),
                _ => bail!("{word:?} means nothing, in {script:?}"),
            }
        }
        Ok(Step::Rest)
    }

    fn load(&mut self, clip: &str) -> Result<()> {
        let (file, delimiters) = match clip.strip_suffix("+delimiters") {
            Some(file) => (file, true),
            None => (clip, false),
        };
        self.pictures = picam_tests::units(Path::new(file), delimiters)?;
        self.at = 0;
        Ok(())
    }

    /// Sends the next picture when it is due.
    fn play(&mut self) -> Result<()> {
        self.wait();
        self.send(|picture| picture.len())?;
        self.sent += 1;
        self.next += self.interval;
        Ok(())
    }

    /// Sends the first half of the next picture when it is due.
    fn damage(&mut self) -> Result<()> {
        self.wait();
        self.send(|picture| picture.len() / 2)?;
        self.next += self.interval;
        Ok(())
    }

    fn send(&mut self, length: impl Fn(&[u8]) -> usize) -> Result<()> {
        let count = self.pictures.len().max(1);
        let picture = self
            .pictures
            .get(self.at % count)
            .context("no clip was named yet")?;
        self.at += 1;
        let mut out = std::io::stdout().lock();
        out.write_all(&picture[..length(picture)])?;
        Ok(out.flush()?)
    }

    /// Bytes of a fixed pseudo-random sequence (Knuth's MMIX generator), with now and then a start code among them.
    fn noise(&mut self, length: u64) -> Result<()> {
        let mut state = length;
        let bytes: Vec<u8> = (0..length)
            .map(|at| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                match at % 64 {
                    0 | 1 => 0,
                    2 => 1,
                    _ => (state >> 56) as u8,
                }
            })
            .collect();
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    }

    fn wait(&mut self) {
        // A script that arrives late starts from now, not with a burst.
        let late = Instant::now().saturating_duration_since(self.next);
        if late > Duration::from_secs(1) {
            self.next = Instant::now();
        }
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
    }
}
