use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{Client, PATIENCE, Playlist, media};

/// How a host is to be started.
#[derive(Debug, Default)]
pub struct Setup {
    arguments: Vec<String>,
    /// As `--plugin` takes them.
    plugins: Vec<String>,
    stdin: Option<Stdio>,
    environment: Vec<(String, String)>,
    /// Bytes.
    address_space: Option<u64>,
}

impl Setup {
    /// Adds a plugin, as `--plugin` takes it. A file name is looked for in the directory of fresh builds (`PICAM_PLUGINS`)
    /// first; without that, the host takes the one inside the binary.
    pub fn plugin(mut self, spec: &str) -> Self {
        self.plugins.push(spec.to_owned());
        self
    }

    /// Adds arguments.
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What the host reads as standard input; nothing unless set.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sets a variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Bounds its address space, in bytes.
    pub fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = Some(bytes);
        self
    }

    /// Starts the host and waits until it says where to watch. `ll-hls.wasm` is loaded unless the test named plugins
    /// or a configuration file.
    pub async fn start(mut self) -> Result<Host> {
        let configured = self.configured();
        if self.plugins.is_empty() && !configured {
            self = self.plugin("ll-hls.wasm");
        }
        // As long as the host reads it.
        let _config = self.name_plugins()?;
        let program = program()?;
        let mut command = match self.address_space {
            None => Command::new(&program),
            Some(bytes) => {
                let script = format!("ulimit -v {}; exec \"$0\" \"$@\"", bytes >> 10);
                let mut shell = Command::new("sh");
                shell.args(["-c", &script]).arg(&program);
                shell
            }
        };
        command
            .args(["--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0"])
            .args(&self.arguments)
            // Compiled plugins are shared by all tests, and kept apart from the user's own.
            .env(
                "XDG_CACHE_HOME",
                crate::target_directory().join("test-cache"),
            )
            .envs(self.environment)
            .stdin(self.stdin.unwrap_or_else(Stdio::null))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;

        let (lines, mut said) = mpsc::unbounded_channel();
        let log = Log::default();
        let stdout = child.stdout.take().context("standard output is piped")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        tokio::spawn(follow(stdout, log.clone(), Some(lines)));
        tokio::spawn(follow(stderr, log.clone(), None));

        let mut host = Host {
            child,
            log,
            web: None,
            secure: false,
            operator: None,
        };
        let addresses = async {
            while host.web.is_none() {
                let Some(line) = said.recv().await else { break };
                let address =
                    |lead: &str| line.strip_prefix(lead)?.trim_end_matches('/').parse().ok();
                host.operator = host.operator.or(address("Operate at http://"));
                host.secure = line.starts_with("Watch at https://");
                host.web = address("Watch at http://").or(address("Watch at https://"));
            }
        };
        let waited = timeout(PATIENCE, addresses).await;
        if host.web.is_none() {
            let end = match waited {
                Ok(()) => match timeout(PATIENCE, host.child.wait()).await {
                    Ok(status) => format!("it ended first ({})", status?),
                    Err(_) => "it closed its standard output first".into(),
                },
                Err(_) => format!("it said nothing for {PATIENCE:?}"),
            };
            bail!(
                "picam-host {} did not say where to watch: {end}. It said:\n{}",
                self.arguments.join(" "),
                host.log.text()
            );
        }
        Ok(host)
    }

    fn configured(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--config")
    }

    /// Puts the plugins among the arguments; or, if fresh builds take the place of stock plugins, into a file, where they
    /// can be granted what stock plugins have without asking.
    fn name_plugins(&mut self) -> Result<Option<tempfile::NamedTempFile>> {
        let specs = std::mem::take(&mut self.plugins);
        let anew = specs.iter().any(|spec| fresh(spec) != *spec);
        let specs = specs.iter().map(|spec| fresh(spec));
        if self.configured() || !anew {
            self.arguments
                .extend(specs.flat_map(|spec| ["--plugin".into(), spec]));
            return Ok(None);
        }
        let tables = specs.map(|spec| table(&spec)).collect::<Result<String>>()?;
        let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
        std::fs::write(file.path(), tables)?;
        let path = file.path().to_str().context("a path in UTF-8")?;
        self.arguments.extend(["--config".into(), path.into()]);
        Ok(Some(file))
    }

    /// Runs the host to its end: for what must fail. Returns the exit code and all that it said.
    pub async fn run(mut self) -> Result<(Option<i32>, String)> {
        let _config = self.name_plugins()?;
        let output = Command::new(program()?)
            .args(["--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0"])
            .args(&self.arguments)
            .env(
                "XDG_CACHE_HOME",
                crate::target_directory().join("test-cache"),
            )
            .envs(self.environment)
            .stdin(self.stdin.unwrap_or_else(Stdio::null))
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, output).await.with_context(|| {
            format!("picam-host {} should have ended", self.arguments.join(" "))
        })??;
        let said = [output.stdout, output.stderr].concat();
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    }
}

/// A running `picam-host`. It is killed when this is dropped; what it said then goes to the test's own output, which
/// Cargo shows when the test fails.
#[derive(Debug)]
pub struct Host {
    child: Child,
    log: Log,
    web: Option<SocketAddr>,
    secure: bool,
    operator: Option<SocketAddr>,
}

impl Host {
    /// A host with `--source SOURCE`.
    pub fn source(source: &str) -> Setup {
        Setup::default().arguments(["--source", source])
    }

    /// A host whose pictures come encoded, from a command: the test pattern in this size, with its clock bar.
    pub fn encoded(width: u32, height: u32) -> Result<Setup> {
        Ok(Self::source(&encoded_source(width, height)?))
    }

    /// A host with these arguments.
    pub async fn spawn<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> Result<Host> {
        Setup::default().arguments(arguments).start().await
    }

    /// Where viewers watch.
    pub fn address(&self) -> SocketAddr {
        self.web.expect("a started host has said where to watch")
    }

    /// The operator's listener, if the host said where it is before it said where to watch.
    pub fn operator(&self) -> Option<SocketAddr> {
        self.operator
    }

    /// `http://ADDRESS`, or `https://ADDRESS`, and the path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address())
    }

    /// An HTTP/1.1 client for the viewers' listener.
    pub fn http1(&self) -> Result<Client> {
        Client::http1(self.address())
    }

    /// An HTTP/2 client for the viewers' listener (prior knowledge, no TLS).
    pub fn http2(&self) -> Result<Client> {
        Client::http2(self.address())
    }

    /// Process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it said so far, standard output and standard error.
    pub fn said(&self) -> String {
        self.log.text()
    }

    /// Waits until `/cam/live.m3u8` answers, and returns the path of the first media playlist it names.
    pub async fn media_playlist_path(&self) -> Result<String> {
        self.media_playlist_path_by(&self.http1()?).await
    }

    /// The same, asked for by this client.
    pub async fn media_playlist_path_by(&self, client: &Client) -> Result<String> {
        let started = std::time::Instant::now();
        let reply = loop {
            let reply = client.get("/cam/live.m3u8").await?;
            if reply.status == 200 {
                break reply;
            }
            ensure!(
                matches!(reply.status, 404 | 503) && started.elapsed() < PATIENCE,
                "/cam/live.m3u8 answers {}: {}\nThe host said:\n{}",
                reply.status,
                reply.text(),
                self.said()
            );
            sleep(Duration::from_millis(50)).await;
        };
        let text = reply.text();
        let (_, variants) = m3u8_rs::parse_master_playlist(text.as_bytes()).map_err(|error| {
            anyhow::anyhow!("m3u8-rs can't read /cam/live.m3u8: {error}\n{text}")
        })?;
        let variant = variants
            .variants
            .first()
            .with_context(|| format!("/cam/live.m3u8 names no playlist:\n{text}"))?;
        Ok(crate::client::resolve("/cam/live.m3u8", &variant.uri))
    }

    /// Waits until there is a media playlist, and reads it.
    pub async fn media_playlist(&self) -> Result<Playlist> {
        let path = self.media_playlist_path().await?;
        Playlist::get(&self.http1()?, &path, "").await
    }

    /// Waits for so many finished segments.
    pub async fn segments(&self, count: usize) -> Result<()> {
        let client = self.http1()?;
        let mut playlist = self.media_playlist().await?;
        while playlist.complete().count() < count {
            playlist = playlist.next(&client).await?;
        }
        Ok(())
    }

    /// Decodes all finished segments that are listed now: the luma of each of their pictures, which have this size.
    pub async fn luma(&self, size: (usize, usize)) -> Result<Vec<Vec<u8>>> {
        let client = self.http1()?;
        let playlist = self.media_playlist().await?;
        let mut stream = Vec::new();
        let mut map = None;
        for segment in playlist.complete() {
            if map.is_none() {
                map = segment.map.as_ref();
                let init = map.context("an init segment")?;
                stream.extend(client.fetch(&playlist.resolve(init)).await?);
            }
            let uri = segment.uri.as_ref().context("a finished segment")?;
            stream.extend(client.fetch(&playlist.resolve(uri)).await?);
        }
        media::luma(&stream, size).await
    }

    /// Asks it to stop (SIGTERM) and waits for the end. Returns the exit code.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        let id = self.child.id().context("the host has ended already")?;
        let sent = Command::new("kill").arg(id.to_string()).status().await?;
        ensure!(sent.success(), "kill {id} failed");
        self.wait().await
    }

    /// Waits for the end. Returns the exit code.
    pub async fn wait(&mut self) -> Result<Option<i32>> {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("the host should have ended. It said:\n{}", self.said()))??;
        Ok(status.code())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Not every reason to end up here is a failure; Cargo shows this only if the test fails.
        println!("--- picam-host said:\n{}---", self.log.text());
    }
}

/// Lines of a process, kept for whoever has to find out why a test failed.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn text(&self) -> String {
        self.0
            .lock()
            .expect("nobody panics while holding the log")
            .clone()
    }

    fn push(&self, line: &str) {
        let mut text = self.0.lock().expect("nobody panics while holding the log");
        text.push_str(line);
        text.push('\n');
    }
}

/// Reads to the end, so that the process never waits for its reader.
async fn follow(
    stream: impl AsyncRead + Unpin,
    log: Log,
    lines: Option<mpsc::UnboundedSender<String>>,
) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        log.push(&line);
        if let Some(lines) = &lines {
            // Nobody listens once the addresses are known.
            let _ = lines.send(line);
        }
    }
}

/// The binary under test: `PICAM_HOST`, else the one beside the tests.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PICAM_HOST") {
        return Ok(path.into());
    }
    let path = crate::profile_directory().join("picam-host");
    ensure!(
        path.exists(),
        "{} does not exist: run `cargo build -p picam-host` first, or set PICAM_HOST",
        path.display()
    );
    Ok(path)
}

/// What the configuration has for an argument of `--plugin`, with all that can be granted.
fn table(spec: &str) -> Result<String> {
    // A comma that belongs to a value is written twice.
    let spec = spec.replace(",,", "\0");
    let mut items = spec.split(',').map(|item| item.replace('\0', ","));
    let file = items.next().unwrap_or_default();
    let mut table = format!(
        "[[plugin]]\nfile = {file:?}\ngrants = [\"clock\", \"kv\", \"metrics\", \"random\"]\n[plugin.config]\n"
    );
    for item in items {
        let (key, value) = item
            .split_once('=')
            .with_context(|| format!("{item:?} sets nothing"))?;
        table += &format!("{key} = {value:?}\n");
    }
    Ok(table)
}

/// The spec with its file replaced by the fresh build, where there is one.
fn fresh(spec: &str) -> String {
    let (file, options) = spec.split_at(spec.find(',').unwrap_or(spec.len()));
    match std::env::var_os("PICAM_PLUGINS").map(|directory| Path::new(&directory).join(file)) {
        Some(path) if !file.contains('/') && path.exists() => {
            format!("{}{options}", path.display())
        }
        _ => spec.to_owned(),
    }
}

/// A source for `--source` whose pictures come encoded: the test pattern in this size, from a command.
pub fn encoded_source(width: u32, height: u32) -> Result<String> {
    let program = crate::profile_directory().join("examples/pattern");
    ensure!(
        program.exists(),
        "{} does not exist: run `cargo build --workspace --examples` first",
        program.display()
    );
    Ok(format!("exec:exec {} {width} {height}", program.display()))
}
