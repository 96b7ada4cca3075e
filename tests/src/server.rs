use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use crate::PATIENCE;

/// A web server of other people, on a port of the loopback interface. It ends when this is dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    child: Child,
    directory: TempDir,
}

impl WebServer {
    /// nginx with our example of a cache in front of a host.
    pub async fn nginx_edge(host: SocketAddr) -> Result<Self> {
        let example = include_str!("../../examples/deploy/nginx-edge.conf");
        let (address, directory) = place()?;
        let path = directory.path().display();
        let mut edge = example.to_owned();
        for (ours, theirs) in [
            ("server 127.0.0.1:8080;", format!("server {host};")),
            ("listen 80;", format!("listen {address};")),
            ("    listen [::]:80;\n", String::new()),
            ("/var/cache/nginx/picam", format!("{path}/cache")),
        ] {
            ensure!(edge.contains(ours), "the example has no {ours:?} any more");
            edge = edge.replace(ours, &theirs);
        }
        Self::nginx(address, directory, &edge).await
    }

    /// nginx with nothing but a directory to serve, which other origins may read.
    pub async fn nginx_files(files: &Path) -> Result<Self> {
        let (address, directory) = place()?;
        let server = format!(
            "include /etc/nginx/mime.types;\nserver {{ listen {address}; root {}; add_header Access-Control-Allow-Origin *; }}",
            files.display()
        );
        Self::nginx(address, directory, &server).await
    }

    /// The same as fast as nginx can, over HTTP/2 by prior knowledge if so wanted.
    pub async fn nginx_fast(files: &Path, http2: bool) -> Result<Self> {
        let (address, directory) = place()?;
        let protocol = if http2 { " http2" } else { "" };
        let server = format!(
            "sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=100;\n\
             server {{ listen {address}{protocol}; root {}; }}",
            files.display()
        );
        Self::nginx(address, directory, &server).await
    }

    async fn nginx(address: SocketAddr, directory: TempDir, http: &str) -> Result<Self> {
        let path = directory.path().display();
        // Root's workers would be somebody else's, who can't read a test's directory.
        let config = format!(
            "daemon off; pid {path}/pid; error_log stderr warn; user root; worker_processes auto;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path \
             {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n{http}\n}}"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(&file).arg("-p").arg(directory.path());
        Self::start(command, address, directory).await
    }

    /// Apache with nothing but a directory to serve, which other origins may read.
    pub async fn apache_files(files: &Path) -> Result<Self> {
        let (address, directory) = place()?;
        let path = directory.path().display();
        let modules: String = ["mpm_event", "authz_core", "headers", "mime"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
        let config = format!(
            "ServerRoot {path}\nPidFile {path}/pid\nDefaultRuntimeDir {path}\nServerName {address}\nListen {address}\n{modules}\
             User www-data\nGroup www-data\nErrorLog /dev/stderr\nTypesConfig /etc/mime.types\nDocumentRoot {files}\n\
             <Directory {files}>\nRequire all granted\nHeader set Access-Control-Allow-Origin *\n</Directory>\n",
            files = files.display()
        );
        let file = directory.path().join("apache.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("/usr/sbin/apache2");
        command.arg("-D").arg("FOREGROUND").arg("-f").arg(&file);
        Self::start(command, address, directory).await
    }

    /// `python3 -m http.server`.
    pub async fn python_files(files: &Path) -> Result<Self> {
        let (address, directory) = place()?;
        let mut command = Command::new("python3");
        command
            .args([
                "-m",
                "http.server",
                "--bind",
                &address.ip().to_string(),
                "--directory",
            ])
            .arg(files)
            .arg(address.port().to_string());
        Self::start(command, address, directory).await
    }

    async fn start(mut command: Command, address: SocketAddr, directory: TempDir) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(
                directory.path().join("said"),
            )?))
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let mut server = Self {
            address,
            child,
            directory,
        };
        let began = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = server.child.try_wait()?;
            ensure!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "{command:?} does not serve ({ended:?}): {}",
                server.said()
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS` and the path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it said to its standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap_or_default()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        println!("--- the web server said:\n{}---", self.said());
        // Asked to end, nginx and Apache end their workers, too.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: It is a child that has not been waited for, so the number is still its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
            let began = Instant::now();
            while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A port that is free, and a directory to work in.
fn place() -> Result<(SocketAddr, TempDir)> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((probe.local_addr()?, tempfile::tempdir()?))
}
