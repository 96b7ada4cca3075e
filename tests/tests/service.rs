//! As a service of systemd: sockets that are handed over, and what the service manager hears. `systemd-socket-activate` is
//! the part of systemd that does this where systemd itself doesn't run.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use picam_tests::{Client, PATIENCE, program, target_directory};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

/// A host that is started with the first connection.
struct Service {
    child: Child,
    directory: TempDir,
    notices: UnixDatagram,
}

impl Service {
    /// With sockets of these names, at these addresses; the host's own arguments would put it elsewhere.
    fn start(sockets: &[(&str, SocketAddr)], arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("notify");
        let notices = UnixDatagram::bind(&path)?;
        notices.set_nonblocking(true)?;
        let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new("systemd-socket-activate");
        for (_, address) in sockets {
            command.arg(format!("--listen={address}"));
        }
        for (name, value) in [
            ("NOTIFY_SOCKET", path.display().to_string()),
            ("WATCHDOG_USEC", "200000".to_owned()),
            ("XDG_STATE_HOME", directory.path().display().to_string()),
            (
                "XDG_CACHE_HOME",
                target_directory().join("test-cache").display().to_string(),
            ),
        ] {
            command.arg(format!("--setenv={name}={value}"));
        }
        let child = command
            .arg(format!("--fdname={}", names.join(":")))
            .arg(program()?)
            .args(["--source", "pattern", "--size", "320x180"])
            .args(["--listen", "192.0.2.1:1", "--operator", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("said"))?)
            .kill_on_drop(true)
            .spawn()
            .context("starting systemd-socket-activate")?;
        Ok(Self {
            child,
            directory,
            notices,
        })
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap_or_default()
    }

    /// Waits until the service manager is told so.
    async fn hears(&self, wanted: &str) -> Result<()> {
        let began = Instant::now();
        let mut buffer = [0; 1_024];
        loop {
            match self.notices.recv(&mut buffer) {
                Ok(len)
                    if String::from_utf8_lossy(&buffer[..len])
                        .lines()
                        .any(|line| line == wanted) =>
                {
                    return Ok(());
                }
                Ok(_) => {}
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{wanted} is not said:\n{}",
                self.said()
            );
        }
    }

    /// Asks until there is an answer: the first connection starts the host, and waits for it.
    async fn get(&self, client: &Client, path: &str) -> Result<u16> {
        let began = Instant::now();
        loop {
            match client.get(path).await {
                Ok(reply) => return Ok(reply.status),
                Err(error) => ensure!(began.elapsed() < PATIENCE, "{error:#}\n{}", self.said()),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[tokio::test]
async fn sockets_that_are_handed_over_take_the_place_of_those_that_are_configured() -> Result<()> {
    let (plain, secure, operator) = (free()?, free()?, free()?);
    let sockets = [("http", plain), ("https", secure), ("operator", operator)];
    let mut service = Service::start(&sockets, &["--tls"])?;
    let viewer = Client::http1(plain)?;
    assert_eq!(service.get(&viewer, "/").await?, 200);
    service.hears("READY=1").await?;
    service.hears("WATCHDOG=1").await?;
    service.hears("WATCHDOG=1").await?;

    let kept = service
        .directory
        .path()
        .join("picam-host/tls/self-signed.pem");
    let secure = Client::secure(secure, &std::fs::read_to_string(kept)?, false)?;
    assert_eq!(secure.get("/").await?.status, 200);
    let operator = Client::http1(operator)?;
    assert_eq!(operator.get("/api/v1/status").await?.status, 200);
    assert_eq!(viewer.get("/api/v1/status").await?.status, 404);

    // It has become the host.
    let id = service.child.id().context("it runs")?;
    let sent = Command::new("kill").arg(id.to_string()).status().await?;
    assert!(sent.success());
    service.hears("STOPPING=1").await?;
    let status = tokio::time::timeout(PATIENCE, service.child.wait()).await??;
    assert!(status.success(), "{status}: {}", service.said());
    Ok(())
}

#[tokio::test]
async fn a_socket_for_tls_without_a_certificate_is_an_error_that_says_so() -> Result<()> {
    let secure = free()?;
    let mut service = Service::start(&[("https", secure)], &[])?;
    let began = Instant::now();
    // Any connection starts it.
    while tokio::net::TcpStream::connect(secure).await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "nobody listens");
        sleep(Duration::from_millis(20)).await;
    }
    let status = tokio::time::timeout(PATIENCE, service.child.wait()).await??;
    let said = service.said();
    assert!(
        !status.success() && said.contains("needs a certificate"),
        "{said}"
    );
    Ok(())
}
