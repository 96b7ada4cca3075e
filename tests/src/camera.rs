use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    time::timeout,
};

use crate::{Clip, PATIENCE};

/// A camera that sends real pictures when the test says so.
///
/// It is a command for the host to start (`--source exec:…`), the program `paced`, which asks this end over a loopback
/// connection what to do. Each start of the command runs the next of the scripts given to [`Camera::new`], the last one
/// again and again; [`Camera::run`] then adds to the script of the command that runs now.
///
/// A script is words:
///
/// | words | meaning |
/// |---|---|
/// | `clip FILE` | send this clip's pictures from here on, from its first, over and over; `{}` stands for the clips passed to [`Camera::new`], in order |
/// | `rate N` | pictures a second from here on, decimals permitted; a camera that halves its rate in the dark keeps its clip |
/// | `play N` | send N pictures |
/// | `play` | send pictures until there are more words |
/// | `silence N` | send nothing for N milliseconds |
/// | `noise N` | send N bytes that are no H.264 |
/// | `damage` | send the first half of the next picture only |
/// | `skip N` | leave out N pictures of the clip |
/// | `exit CODE` | end the command |
#[derive(Debug)]
pub struct Camera {
    address: std::net::SocketAddr,
    /// Commands that have started and have not been looked at yet.
    started: mpsc::UnboundedReceiver<BufReader<TcpStream>>,
    current: Option<BufReader<TcpStream>>,
}

impl Camera {
    /// A camera that runs these scripts, one each time the command is started; `{}` stands for the clips, one after the
    /// other through all of the scripts.
    pub async fn new(scripts: &[&str], clips: &[Clip]) -> Result<Self> {
        ensure!(!scripts.is_empty(), "a camera needs a script");
        let mut clips = clips.iter();
        let mut filled = Vec::new();
        for script in scripts {
            let mut pieces = script.split("{}");
            let mut text = pieces.next().unwrap_or_default().to_owned();
            for piece in pieces {
                let clip = clips
                    .next()
                    .with_context(|| format!("no clip is left for {script:?}"))?;
                text.push_str(&name(clip).await?);
                text.push_str(piece);
            }
            filled.push(text);
        }
        ensure!(clips.next().is_none(), "there are more clips than `{{}}`");

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, started) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut scripts = filled.iter().peekable();
            let mut script = String::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                script = scripts.next().cloned().unwrap_or(script);
                let line = format!("{script}\n");
                if stream.write_all(line.as_bytes()).await.is_err() {
                    // The command was killed as it started; the host will start another.
                    continue;
                }
                if sender.send(BufReader::new(stream)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            address,
            started,
            current: None,
        })
    }

    /// A camera that sends the clip at the clip's own rate until told otherwise.
    pub async fn playing(clip: &Clip) -> Result<Self> {
        Self::new(
            &[&format!("clip {{}} rate {} play", clip.fps)],
            std::slice::from_ref(clip),
        )
        .await
    }

    /// What to pass as `--source`.
    pub fn source(&self) -> String {
        format!("exec:exec '{}' {}", program().display(), self.address)
    }

    /// The command itself, for a test that connects its standard output to something by itself (`--source -`).
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.arg(self.address.to_string()).kill_on_drop(true);
        command
    }

    /// Adds words to the script of the command that runs now, and returns once the command has done all of it but a
    /// last `play` without end. Returns how many pictures the command has sent so far.
    pub async fn run(&mut self, script: &str) -> Result<u64> {
        let stream = self.connection().await?;
        stream
            .get_mut()
            .write_all(format!("{script}\n").as_bytes())
            .await?;
        self.done().await
    }

    /// As [`run`](Self::run), with clips for each `{}`.
    pub async fn run_with(&mut self, script: &str, clips: &[Clip]) -> Result<u64> {
        let mut filled = script.to_owned();
        for clip in clips {
            filled = filled.replacen("{}", &name(clip).await?, 1);
        }
        self.run(&filled).await
    }

    /// Waits until the command was started (anew) and has done its script but a last `play` without end. Returns how many
    /// pictures it has sent.
    pub async fn started(&mut self) -> Result<u64> {
        self.current = None;
        self.connection().await?;
        self.done().await
    }

    /// The connection of the latest command.
    async fn connection(&mut self) -> Result<&mut BufReader<TcpStream>> {
        while let Ok(stream) = self.started.try_recv() {
            self.current = Some(stream);
        }
        if self.current.is_none() {
            let stream = timeout(PATIENCE, self.started.recv())
                .await
                .context("the host has not started the camera's command")?;
            self.current = stream;
        }
        self.current
            .as_mut()
            .context("the camera's listener has ended")
    }

    /// Reads answers until the one that says that the script is done.
    async fn done(&mut self) -> Result<u64> {
        let stream = self.current.as_mut().context("no command runs")?;
        let mut line = String::new();
        // A script may rest on purpose, so the guard is generous.
        let read = timeout(5 * PATIENCE, stream.read_line(&mut line));
        match read
            .await
            .context("the camera's command does not answer")??
        {
            0 => bail!("the camera's command has ended"),
            _ => line
                .trim_end()
                .strip_prefix("sent ")
                .and_then(|count| count.parse().ok())
                .with_context(|| format!("the camera's command says {line:?}")),
        }
    }
}

/// A clip as a script names it: its file, and whether delimiters are sent.
async fn name(clip: &Clip) -> Result<String> {
    let file = clip.file().await?;
    let file = file
        .to_str()
        .context("the target directory's path is UTF-8")?;
    ensure!(
        !file.contains(char::is_whitespace),
        "{file:?}: scripts can't hold spaces"
    );
    Ok(format!(
        "{file}{}",
        if clip.delimiters { "+delimiters" } else { "" }
    ))
}

fn program() -> PathBuf {
    crate::profile_directory().join("paced")
}
