use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
    time::timeout,
};

use crate::line_gate::LineGate;

/// Lines to the log at once, and then in each [`PERIOD`]. `rpicam-vid` writes one for each frame.
const LINES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Longer lines are cut.
const LONGEST: usize = 400;

/// Listens to what a command says on its standard error.
#[derive(Debug)]
pub(super) struct Complaints {
    task: JoinHandle<()>,
    last: Arc<Mutex<Option<String>>>,
}

impl Complaints {
    pub(super) fn listen(stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let last = Arc::new(Mutex::new(None));
        let task = tokio::spawn(listen(stderr, last.clone()));
        Self { task, last }
    }

    /// The last line so far.
    pub(super) fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// Waits for the last line of a command that has ended. A daemon that it left behind may hold its standard error open
    /// for ever, so not for long.
    pub(super) async fn finish(&mut self) {
        if timeout(Duration::from_millis(200), &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, last: Arc<Mutex<Option<String>>>) {
    let (mut lines, mut gate) = (Lines::default(), LineGate::new(LINES, PERIOD));
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = stderr.read(&mut buffer).await {
        lines.push(&buffer[..len], |line| say(line, &mut gate, &last));
    }
    lines.push(b"\n", |line| say(line, &mut gate, &last));
    tell(gate.take_held_back());
}

fn say(line: &str, gate: &mut LineGate, last: &Mutex<Option<String>>) {
    *last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(line.to_owned());
    if let Some(held_back) = gate.pass(Instant::now()) {
        tell(held_back);
        tracing::info!("the source says: {line}");
    }
}

/// Cuts what comes in into lines, which end with a line feed or a carriage return (`ffmpeg` rewrites its status line).
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let text = String::from_utf8_lossy(&self.0);
                    let text = text.trim();
                    if !text.is_empty() {
                        line(text);
                    }
                    self.0.clear();
                }
                // Control characters have no business in a log.
                0..0x20 | 0x7f => {}
                _ if self.0.len() < LONGEST => self.0.push(byte),
                _ => {}
            }
        }
    }
}

fn tell(held_back: u64) {
    if held_back > 0 {
        tracing::info!("the source said {held_back} lines more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_either_sign_and_are_cut_when_too_long() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in [
            &b"fra"[..],
            b"me=1\rframe=2\r\n\n",
            &[b'x'; 1000],
            b"\x1b[0m\n",
        ] {
            lines.push(piece, |line| seen.push(line.to_owned()));
        }
        assert_eq!(
            seen,
            [
                "frame=1".to_owned(),
                "frame=2".to_owned(),
                "x".repeat(LONGEST)
            ]
        );
    }
}
