//! TLS over the wire: the binary with certificates from files and of its own, asked by a rustls client and by curl.

use std::{path::Path, process::Stdio, time::Instant};

use anyhow::{Context, Result, ensure};
use picam_tests::{Authority, Client, Host, PATIENCE, Playlist, Setup, token};
use reqwest::Version;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::{Duration, sleep, timeout},
};

const SIZE: [&str; 2] = ["--size", "320x180"];

fn pattern() -> Setup {
    Host::source("pattern").arguments(SIZE)
}

/// A host with a certificate from an authority, in a directory.
async fn certified(authority: &Authority, directory: &Path) -> Result<Host> {
    let (cert, key) = authority.certify_in(directory, &["localhost", "127.0.0.1"])?;
    let files = format!("{},{}", cert.display(), key.display());
    pattern().arguments(["--tls", &files]).start().await
}

/// Where the host says that it serves without TLS, beside where it does with.
async fn without_tls(host: &Host) -> Result<Client> {
    let began = Instant::now();
    loop {
        let said = host.said();
        let mut lines = said.lines();
        if let Some(address) = lines.find_map(|line| line.strip_prefix("Watch at http://")) {
            return Client::http1(address.trim_end_matches('/').parse()?);
        }
        ensure!(began.elapsed() < PATIENCE, "no place without TLS: {said}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn run(program: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output)
        .await
        .with_context(|| format!("{program} {arguments:?} does not end"))?
        .with_context(|| format!("starting {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[tokio::test]
async fn the_whole_stream_comes_over_tls_by_both_protocols() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let host = certified(&authority, directory.path()).await?;
    for (http1_only, version) in [(true, Version::HTTP_11), (false, Version::HTTP_2)] {
        let client = Client::secure(host.address(), &authority.root(), http1_only)?;
        let path = host.media_playlist_path_by(&client).await?;
        let first = Playlist::get(&client, &path, "").await?;
        let next = first.next(&client).await?;
        assert!(next.position() > first.position());
        for (uri, media) in next.media(&client).await? {
            assert!(!media.is_empty(), "{uri}");
        }
        assert_eq!(client.get("/healthz").await?.version, version);
    }
    Ok(())
}

#[tokio::test]
async fn curl_agrees_on_http_2_and_nothing_older_than_tls_1_2() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let host = certified(&authority, directory.path()).await?;
    let root = directory.path().join("root.pem");
    std::fs::write(&root, authority.root())?;
    let root = root.to_str().context("a path in UTF-8")?;
    let url = host.url("/");
    let common = [
        "--silent",
        "--show-error",
        "--cacert",
        root,
        "--output",
        "/dev/null",
    ];
    let report = ["--write-out", "%{http_version} %{http_code}", &url];
    for (with, answer) in [
        (&[][..], "2 200"),
        (&["--http1.1"], "1.1 200"),
        (&["--tls-max", "1.2"], "2 200"),
        (&["--tlsv1.3"], "2 200"),
    ] {
        let (fine, said) = run("curl", &[&common, with, &report].concat()).await?;
        assert!(fine && said == answer, "{with:?}: {said}");
    }
    // What is refused is refused by the host: curl itself is told to take anything.
    let anything = [
        "--ciphers",
        "DEFAULT@SECLEVEL=0",
        "--tlsv1.0",
        "--tls-max",
        "1.1",
    ];
    let (fine, said) = run("curl", &[&common[..], &anything, &report].concat()).await?;
    assert!(!fine && said.contains("alert"), "{said}");
    let old = [
        "--tls-max",
        "1.2",
        "--ciphers",
        "AES128-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA",
    ];
    let (fine, said) = run("curl", &[&common[..], &old, &report].concat()).await?;
    assert!(!fine && said.contains("alert"), "{said}");
    Ok(())
}

#[tokio::test]
async fn who_comes_without_tls_is_led_to_it() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let host = certified(&authority, directory.path()).await?;
    let plain = Client::http1(host.address())?;
    let reply = plain.get("/cam/live.m3u8?a=b").await?;
    assert_eq!(reply.status, 307);
    assert_eq!(reply.header("location"), host.url("/cam/live.m3u8?a=b"));
    assert_eq!(reply.header("cache-control"), "no-store");
    let reply = Client::http2(host.address())?.get("/").await?;
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, &*host.url("/"))
    );
    Ok(())
}

#[tokio::test]
async fn a_place_can_stay_without_tls_beside_one_with() -> Result<()> {
    let state = tempfile::tempdir()?;
    let host = pattern()
        .environment("XDG_STATE_HOME", &state.path().display().to_string())
        .arguments(["--tls", "--listen", "http://127.0.0.1:0"])
        .start()
        .await?;
    let plain = without_tls(&host).await?;
    assert_eq!(plain.get("/").await?.status, 200);
    let kept = std::fs::read_to_string(state.path().join("picam-host/tls/self-signed.pem"))?;
    let secure = Client::secure(host.address(), &kept, false)?;
    assert_eq!(secure.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn our_own_certificate_is_the_same_after_a_restart() -> Result<()> {
    let state = tempfile::tempdir()?;
    let mut shown = Vec::new();
    for _ in 0..2 {
        let host = pattern()
            .environment("XDG_STATE_HOME", &state.path().display().to_string())
            .arguments(["--tls"])
            .start()
            .await?;
        let kept = std::fs::read_to_string(state.path().join("picam-host/tls/self-signed.pem"))?;
        let reply = Client::secure(host.address(), &kept, false)?
            .get("/")
            .await?;
        shown.push(reply.certificate.context("a certificate")?);
        assert!(host.said().contains("fingerprint"));
    }
    assert_eq!(shown[0], shown[1]);
    Ok(())
}

/// Asks until a new connection is shown another certificate than this one.
async fn another_than(host: &Host, authority: &Authority, before: &[u8]) -> Result<Vec<u8>> {
    let began = Instant::now();
    loop {
        let client = Client::secure(host.address(), &authority.root(), true)?;
        let shown = client
            .get("/")
            .await?
            .certificate
            .context("a certificate")?;
        if shown != before {
            return Ok(shown);
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the certificate stays:\n{}",
            host.said()
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_connections_run() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let host = certified(&authority, directory.path()).await?;
    // One connection each, which follow the stream through all of it.
    let mut viewers = Vec::new();
    for http1_only in [true, false] {
        let client = Client::secure(host.address(), &authority.root(), http1_only)?;
        let path = host.media_playlist_path_by(&client).await?;
        let first = Playlist::get(&client, &path, "").await?;
        viewers.push((client, first));
    }
    let before = viewers[0]
        .0
        .get("/")
        .await?
        .certificate
        .context("a certificate")?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let following: Vec<_> = viewers
        .into_iter()
        .map(|(client, mut playlist)| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while !*stopped.borrow() {
                    playlist = playlist.next(&client).await?;
                    count += 1;
                }
                let shown = client.get("/").await?.certificate;
                anyhow::Ok((count, shown))
            })
        })
        .collect();

    authority.certify_in(directory.path(), &["localhost", "127.0.0.1"])?;
    let second = another_than(&host, &authority, &before).await?;

    // A key of something else is refused, and the next pair that fits is taken.
    let (_, stray) = authority.certify(&["elsewhere"])?;
    std::fs::write(directory.path().join("key.pem"), stray)?;
    let began = Instant::now();
    while !host
        .said()
        .contains("the certificate of before stays in use")
    {
        ensure!(
            began.elapsed() < PATIENCE,
            "nothing is said:\n{}",
            host.said()
        );
        sleep(Duration::from_millis(50)).await;
    }
    assert!(
        host.said()
            .contains("is not the one of the first certificate")
    );
    let client = Client::secure(host.address(), &authority.root(), true)?;
    assert_eq!(client.get("/").await?.certificate.as_ref(), Some(&second));
    authority.certify_in(directory.path(), &["localhost", "127.0.0.1"])?;
    another_than(&host, &authority, &second).await?;

    stop.send_replace(true);
    for follower in following {
        let (count, shown) = follower.await??;
        assert!(count > 0);
        assert_eq!(
            shown.as_ref(),
            Some(&before),
            "the connection is the first one"
        );
    }
    Ok(())
}

#[tokio::test]
async fn cookies_given_over_tls_travel_over_tls_only() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let (cert, key) = authority.certify_in(directory.path(), &["127.0.0.1"])?;
    let host = pattern()
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .arguments([
            "--tls",
            &format!("{},{}", cert.display(), key.display()),
            "--listen",
            "http://127.0.0.1:0",
        ])
        .start()
        .await?;
    let plain = without_tls(&host).await?;
    let path = format!("/?token={}", token::lasting(600)?);
    for http1_only in [true, false] {
        let secure = Client::secure(host.address(), &authority.root(), http1_only)?;
        let reply = secure.get(&path).await?;
        let cookie = reply.header("set-cookie");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
    }
    let reply = plain.get(&path).await?;
    assert!(reply.header("set-cookie").starts_with("picam-token="));
    assert!(!reply.header("set-cookie").contains("Secure"));
    Ok(())
}

#[tokio::test]
async fn handshakes_that_fail_or_never_end_are_counted_and_let_go() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let host = certified(&authority, directory.path()).await?;
    // Nothing at all, and the beginning of a hello.
    let mut silent = TcpStream::connect(host.address()).await?;
    let mut slow = TcpStream::connect(host.address()).await?;
    slow.write_all(&[22, 3, 1, 1, 0, 1]).await?;
    let mut wrong = TcpStream::connect(host.address()).await?;
    wrong.write_all(&[22; 600]).await?;
    for stream in [&mut wrong, &mut slow, &mut silent] {
        let mut rest = Vec::new();
        // It may be reset instead of closed.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
            .await
            .context("the host lets go")?;
    }
    let operator = Client::http1(host.operator().context("an operator's listener")?)?;
    let metrics = operator.get("/metrics").await?.text();
    assert!(
        metrics.contains("picam_http_failed_handshakes_total 3"),
        "{metrics}"
    );
    let connected = metrics
        .lines()
        .find(|line| line.starts_with("picam_http_connections "));
    assert_eq!(connected, Some("picam_http_connections 0"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_ends_the_start_with_a_line_that_says_so() -> Result<()> {
    let (authority, directory) = (Authority::new()?, tempfile::tempdir()?);
    let (cert, key) = authority.certify_in(directory.path(), &["localhost"])?;
    let (_, stray) = authority.certify(&["localhost"])?;
    let other = directory.path().join("other.pem");
    std::fs::write(&other, stray)?;
    let (cert, key, other) = (cert.display(), key.display(), other.display());
    for (tls, words) in [
        (
            format!("{cert},{other}"),
            "is not the one of the first certificate",
        ),
        (format!("{key},{cert}"), "the wrong way round"),
        (
            format!("{cert},/nowhere/key.pem"),
            "reading the private key /nowhere/key.pem",
        ),
    ] {
        let (code, said) = pattern().arguments(["--tls", &tls]).run().await?;
        assert!(code == Some(1) && said.contains(words), "{tls}: {said}");
    }
    let (code, said) = pattern()
        .arguments(["--listen", "https://127.0.0.1:0"])
        .run()
        .await?;
    assert!(
        code == Some(1) && said.contains("needs a certificate"),
        "{said}"
    );
    Ok(())
}
