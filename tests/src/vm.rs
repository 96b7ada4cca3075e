//! A virtual machine with Debian's own kernel, for what needs a real driver: V4L2 devices, devices that go away.
//!
//! QEMU emulates it in software, so that it runs wherever the tests do; it boots from an initramfs that holds busybox,
//! the kernel modules, the programs under test and the libraries they need ([`Image`]), and has no disk. A shell on a
//! virtio-serial port runs what the test tells it ([`Vm::run`]), the console goes to a file that failures quote, and
//! TCP ports of the guest can be reached at loopback ports here ([`Vm::port`]).
//!
//! It has one processor. With it, a program under real-time priority (`chrt -f 1 …`) is never kept waiting by
//! one under ordinary priority, however busy the machine is that runs the test: what a test says about lost frames then
//! doesn't depend on luck.
//!
//! A machine ends when its [`Vm`] is dropped, when the process that holds it dies (the shell's port closes, and the
//! guest powers off), or after its time limit.

mod image;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    time::{Instant, sleep, timeout, timeout_at},
};

pub use image::Image;

/// What the machine needs of Debian.
const PACKAGES: &str =
    "qemu-system-x86 linux-image-amd64 linux-headers-amd64 v4l2loopback-dkms busybox-static";

/// How to start a machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything is over after this. A guard against hanging, not a promise of speed.
    pub limit: Duration,
    /// MiB. The initramfs lives in it too.
    pub memory: u32,
    /// TCP ports of the guest that are to be reached from here.
    pub ports: Vec<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(600),
            memory: 2048,
            ports: Vec::new(),
        }
    }
}

/// A machine that has booted.
#[derive(Debug)]
pub struct Vm {
    // Killed when dropped.
    _qemu: Child,
    from_shell: BufReader<OwnedReadHalf>,
    to_shell: OwnedWriteHalf,
    deadline: Instant,
    ports: HashMap<u16, SocketAddr>,
    console: PathBuf,
    // Removed when dropped, after all that lies in it.
    _directory: tempfile::TempDir,
}

/// What a command in the guest came to.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; 0 is success.
    pub status: i32,
    /// Standard output and error, as they came.
    pub bytes: Vec<u8>,
}

impl Output {
    /// The output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Vm {
    /// Boots a machine from `image` and waits for its shell.
    pub async fn boot(image: &Image, options: &Options) -> anyhow::Result<Self> {
        let deadline = Instant::now() + options.limit;
        let directory = tempfile::tempdir().context("making a directory for the machine")?;
        let initramfs = directory.path().join("initramfs");
        image.write(&initramfs)?;
        let console = directory.path().join("console");
        let socket = directory.path().join("shell");
        let ports: HashMap<u16, SocketAddr> = options
            .ports
            .iter()
            .map(|&port| anyhow::Ok((port, free_address()?)))
            .collect::<Result<_, _>>()?;

        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg", "-cpu", "max", "-smp", "1"])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
            ])
            .args(["-m", &options.memory.to_string()])
            .arg("-kernel")
            .arg(image.kernel())
            .arg("-initrd")
            .arg(&initramfs)
            .args(["-append", "console=ttyS0 panic=-1 quiet"])
            .args([
                "-chardev",
                &format!("file,id=console,path={}", text(&console)?),
            ])
            .args(["-serial", "chardev:console"])
            .args([
                "-chardev",
                &format!("socket,id=shell,server=on,wait=off,path={}", text(&socket)?),
            ])
            .args(["-device", "virtio-serial-pci"])
            .args(["-device", "virtserialport,chardev=shell,name=shell"])
            // `restrict`: the guest reaches nothing outside.
            .args(["-netdev", &network(&ports)])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut qemu = command.spawn().with_context(|| {
            format!(
                "starting qemu-system-x86_64 (apt-get install --no-install-recommends {PACKAGES})"
            )
        })?;

        let stream = loop {
            match UnixStream::connect(&socket).await {
                Ok(stream) => break stream,
                Err(_) if qemu.try_wait()?.is_none() && Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(_) => {
                    qemu.kill().await.ok();
                    let mut text = String::new();
                    if let Some(mut stderr) = qemu.stderr.take() {
                        stderr.read_to_string(&mut text).await.ok();
                    }
                    bail!("QEMU doesn't start: {text}");
                }
            }
        };
        let (from_shell, to_shell) = stream.into_split();
        let mut vm = Self {
            _qemu: qemu,
            from_shell: BufReader::new(from_shell),
            to_shell,
            deadline,
            ports,
            console,
            _directory: directory,
        };
        let greeting = vm.line().await.context("booting")?;
        ensure!(
            greeting == image::GREETING,
            "the guest greets with {greeting:?}"
        );
        Ok(vm)
    }

    /// Runs shell commands in the guest and waits for them. What they leave running in the background must send its
    /// output elsewhere.
    ///
    /// An error means that the machine failed; whether the commands did is told by [`Output::status`].
    pub async fn run(&mut self, commands: &str) -> anyhow::Result<Output> {
        // The length first, so that the output may be anything.
        let script = format!(
            "{{\n{commands}\n}} >/tmp/.output 2>&1 </dev/null; \
             echo $? $(stat -c %s /tmp/.output); cat /tmp/.output\n"
        );
        self.to_shell
            .write_all(script.as_bytes())
            .await
            .context("talking to the guest's shell")?;
        let header = self
            .line()
            .await
            .with_context(|| format!("running {commands}"))?;
        let (status, length) = header
            .split_once(' ')
            .and_then(|(status, length)| Some((status.parse().ok()?, length.parse().ok()?)))
            .with_context(|| format!("the guest's shell says {header:?} after {commands}"))?;
        let mut bytes = vec![0; length];
        timeout_at(self.deadline, self.from_shell.read_exact(&mut bytes))
            .await
            .context("the machine's time is up")?
            .context("reading the output")?;
        Ok(Output { status, bytes })
    }

    /// Like [`Vm::run`], for commands that must succeed. Returns their output.
    pub async fn must(&mut self, commands: &str) -> anyhow::Result<String> {
        let output = self.run(commands).await?;
        let text = output.text();
        ensure!(
            output.status == 0,
            "{commands}\nfails with {}:\n{text}",
            output.status
        );
        Ok(text)
    }

    /// Runs `commands` again and again until they succeed, for at most `patience` (of this machine's clock).
    pub async fn until(&mut self, commands: &str, patience: Duration) -> anyhow::Result<String> {
        let end = Instant::now() + patience;
        loop {
            let output = self.run(commands).await?;
            if output.status == 0 {
                return Ok(output.text());
            }
            ensure!(
                Instant::now() < end,
                "{commands}\nnever succeeds; the last time:\n{}",
                output.text()
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// A file of the guest.
    pub async fn file(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let output = self.run(&format!("cat '{path}'")).await?;
        ensure!(output.status == 0, "{}", output.text());
        Ok(output.bytes)
    }

    /// Where a port of the guest that was named in [`Options::ports`] can be reached.
    pub fn port(&self, guest: u16) -> SocketAddr {
        self.ports[&guest]
    }

    /// The end of what the console showed: kernel messages, above all.
    pub fn console(&self) -> String {
        tail(&self.console)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = timeout_at(self.deadline, self.from_shell.read_line(&mut line)).await;
        match read {
            Err(_) => bail!("the machine's time is up; its console:\n{}", self.console()),
            Ok(Ok(0)) => {
                // QEMU writes the last of the console as it ends.
                timeout(Duration::from_secs(5), self._qemu.wait())
                    .await
                    .ok();
                bail!("the machine is gone; its console:\n{}", self.console())
            }
            Ok(read) => {
                read.context("listening to the guest's shell")?;
                Ok(line.trim_end().to_owned())
            }
        }
    }
}

/// An address of loopback that nobody listens on, now.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}

fn network(ports: &HashMap<u16, SocketAddr>) -> String {
    let forwards: String = ports
        .iter()
        .map(|(guest, host)| format!(",hostfwd=tcp:{}:{}-:{guest}", host.ip(), host.port()))
        .collect();
    format!("user,id=net,restrict=on{forwards}")
}

fn text(path: &Path) -> anyhow::Result<&str> {
    let text = path.to_str().context("a path that is no text")?;
    ensure!(
        !text.contains(','),
        "QEMU can't take a path with a comma: {text}"
    );
    Ok(text)
}

/// The last lines of a file.
fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes());
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
