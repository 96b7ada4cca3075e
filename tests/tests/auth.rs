//! Who may watch, over the wire: the binary with the stock plugin `auth-token`, and with a plugin that means ill.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use picam_guests::{BOMB, Guest, LOOP};
use picam_tests::{Client, Host, Playlist, token};
use reqwest::Method;

/// Everything there is, and something that there isn't.
const ADDRESSES: [&str; 5] = [
    "/",
    "/cam/live.m3u8",
    "/cam/x/video.m3u8",
    "/cam/x/init.mp4",
    "/nowhere",
];

async fn guarded() -> Result<Host> {
    Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-token.wasm,keys={}", token::KEY))
        .start()
        .await
}

/// Waits until there is something to watch.
async fn playlist(client: &Client, at: &str) -> Result<Playlist> {
    let started = Instant::now();
    loop {
        let reply = client.get(&format!("{at}/cam/live.m3u8")).await?;
        if reply.status == 200 {
            let text = reply.text();
            let media = text
                .lines()
                .find(|line| !line.starts_with('#'))
                .context("a media playlist is named")?;
            return Playlist::get(client, &format!("{at}/cam/{media}"), "").await;
        }
        ensure!(
            reply.status == 503 && started.elapsed() < Duration::from_secs(60),
            "{at} answers {}: {}",
            reply.status,
            reply.text()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nothing_but_the_health_is_told_to_strangers() -> Result<()> {
    let host = guarded().await?;
    for client in [host.http1()?, host.http2()?] {
        for path in ADDRESSES {
            for at in ["", "/~key.9999999999..AAAA", "/~"] {
                let path = format!("{at}{path}");
                let reply = client.get(&path).await?;
                assert_eq!(reply.status, 403, "{path}: {}", reply.text());
                assert_eq!(reply.header("cache-control"), "no-store", "{path}");
                assert_eq!(client.head(&path).await?.status, 403, "{path}");
            }
        }
        let reply = client.get("/healthz").await?;
        assert!(matches!(reply.status, 200 | 503), "{}", reply.status);
        let preflight = client.request(Method::OPTIONS, "/cam/live.m3u8");
        assert_eq!(client.send(preflight).await?.status, 204);
        // Nobody takes forms here.
        let form = client.request(Method::POST, "/").body("a=b");
        assert_eq!(client.send(form).await?.status, 405);
    }
    Ok(())
}

#[tokio::test]
async fn a_token_in_front_of_the_path_opens_all_that_playlists_lead_to() -> Result<()> {
    let host = guarded().await?;
    let at = format!("/~{}", token::lasting(3_600)?);
    for client in [host.http1()?, host.http2()?] {
        let first = playlist(&client, &at).await?;
        let next = first.next(&client).await?;
        assert!(next.position() > first.position());
        let media = next.media(&client).await?;
        assert!(media.len() > 1, "init segment, segments, parts");
        for (uri, _) in media.iter().take(3) {
            let path = next.resolve(uri);
            let reply = client.get(&path).await?;
            let kept = reply.header("cache-control").to_owned();
            assert!(kept.starts_with("private, "), "{path}: {kept}");
            let bare = path.strip_prefix(&at).context("addresses are relative")?;
            assert_eq!(client.get(bare).await?.status, 403, "{bare}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_opens_as_a_cookie_and_a_parameter_makes_one() -> Result<()> {
    let host = guarded().await?;
    let client = host.http1()?;
    let token = token::lasting(3_600)?;
    let reply = client.get(&format!("/?token={token}")).await?;
    assert_eq!((reply.status, reply.header("location")), (303, "./"));
    let cookie = reply.header("set-cookie").to_owned();
    let cookie = cookie.split(';').next().context("a cookie")?;
    assert_eq!(cookie, format!("picam-token={token}"));
    let reply = client.get_with("/", &[("cookie", cookie)]).await?;
    assert_eq!(reply.status, 200);
    let vary = reply.headers.get_all("vary");
    assert!(vary.iter().any(|value| value == "cookie"));
    let other = [("cookie", "picam-token=key.9999999999..AAAA")];
    assert_eq!(client.get_with("/", &other).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn a_held_request_ends_when_the_token_runs_out() -> Result<()> {
    let host = guarded().await?;
    let client = host.http1()?;
    let long = format!("/~{}", token::lasting(3_600)?);
    let known = playlist(&client, &long).await?;
    let path = known.path.strip_prefix(&long).context("it begins so")?;
    let short = token::lasting(2)?;
    let began = Instant::now();
    // Follows the live edge until somebody says stop.
    loop {
        let at = Playlist::get(&client, &format!("{long}{path}"), "").await?;
        let (sequence, part) = at.position();
        let query = format!("_HLS_msn={sequence}&_HLS_part={part}");
        let reply = client.get(&format!("/~{short}{path}?{query}")).await?;
        if reply.status == 403 {
            break;
        }
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it never ran out"
        );
    }
    assert!(began.elapsed() > Duration::from_millis(900));
    Ok(())
}

#[tokio::test]
async fn a_person_logs_in_with_a_form_and_goes_on_watching_while_others_guess() -> Result<()> {
    // Of `abc`.
    const BCRYPT: &str = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
    let host = Host::source("pattern")
        .arguments(["--size", "320x180"])
        .plugin("ll-hls.wasm")
        .plugin(&format!("auth-basic.wasm,users=bob:{BCRYPT}"))
        .start()
        .await?;
    let client = host.http1()?;
    let form = client.get("/").await?;
    assert_eq!(form.status, 401);
    assert_eq!(form.header("content-type"), "text/html; charset=utf-8");
    assert!(form.text().contains("<form method=\"post\""));
    let log_in = |password: &str| {
        client
            .request(Method::POST, "/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("name=bob&password={password}"))
    };
    assert_eq!(client.send(log_in("wrong")).await?.status, 401);
    let reply = client.send(log_in("abc")).await?;
    assert_eq!((reply.status, reply.header("location")), (303, "./"));
    let cookie = reply.header("set-cookie").to_owned();
    let cookie = cookie.split(';').next().context("a cookie")?;

    let guessing = tokio::spawn({
        let client = client.clone();
        async move {
            for number in 0..200 {
                let credentials = format!("Basic {}", "QUFB".repeat(number % 50 + 1));
                let reply = client
                    .get_with("/cam/live.m3u8", &[("authorization", &credentials)])
                    .await?;
                ensure!(
                    matches!(reply.status, 401 | 429 | 503),
                    "a guess is answered with {}",
                    reply.status
                );
            }
            Ok(())
        }
    });
    let started = Instant::now();
    let mut watched = 0;
    while !guessing.is_finished() || watched < 5 {
        let reply = client
            .get_with("/cam/live.m3u8", &[("cookie", cookie)])
            .await?;
        match reply.status {
            200 => watched += 1,
            // Nothing has been published yet.
            503 if watched == 0 => tokio::time::sleep(Duration::from_millis(50)).await,
            status => anyhow::bail!("the viewer gets {status}: {}", reply.text()),
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "no end");
    }
    guessing.await??;
    assert_eq!(
        client.get_with("/", &[("cookie", cookie)]).await?.status,
        200
    );
    assert_eq!(client.get("/").await?.status, 401);
    Ok(())
}

/// Does what the token in the address begins with: it allows, denies, or means ill.
fn hostile() -> Guest {
    let mut guest = Guest::new("hostile");
    let [at, len] = guest.string("x\r\nset-cookie: a=b");
    let field = guest.words(&[at, 1, at, len]);
    let none = "(i32.const 0) (i32.const 0)";
    let header = format!(
        "(call $headers (call $allow (i32.const 3600) {none}) (i32.const 16) (i32.const {field}) (i32.const 1))"
    );
    let status = format!("(call $deny (i32.const 200) {none} (i32.const 0) {none})");
    let deny = format!("(call $deny (i32.const 401) {none} (i32.const 0) {none})");
    guest.obedient(&[
        ('l', LOOP),
        ('b', BOMB),
        ('u', "(unreachable)"),
        ('h', &header),
        ('s', &status),
        ('d', &deny),
    ])
}

#[tokio::test]
async fn a_plugin_that_means_ill_opens_nothing_and_delays_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("hostile.wasm");
    std::fs::write(&file, hostile().module())?;
    let config = folder.path().join("picam.toml");
    std::fs::write(
        &config,
        "[stream]\nsource = \"pattern\"\nsize = \"320x180\"\n\n[[plugin]]\nfile = \"ll-hls.wasm\"\n\n\
         [[plugin]]\nfile = \"hostile.wasm\"\ncall-time = \"100ms\"\nmemory = \"8MiB\"\n",
    )?;
    let config = config.to_str().context("a path in UTF-8")?.to_owned();
    let host = Host::spawn(["--config".to_owned(), config]).await?;
    let client = host.http1()?;
    let known = playlist(&client, "/~allow").await?;
    let resident = || -> Result<u64> {
        let id = host.id().context("it runs")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("Linux says so")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    };
    let before = resident()?;

    // Who was let in before goes on watching meanwhile.
    let viewer = tokio::spawn({
        let client = client.clone();
        async move {
            let mut at = known;
            for _ in 0..40 {
                at = at.next(&client).await?;
                let health = client.get("/healthz").await?.status;
                ensure!(health == 200, "/healthz answers {health}");
            }
            Ok(())
        }
    });
    for (attack, word) in [
        ("loop", "`call-time`"),
        ("bomb", "`memory`"),
        ("unreachable", "unreachable"),
        ("header", "line break"),
        ("status", "status 200"),
    ] {
        let began = Instant::now();
        let mut number = 0;
        // Until it was really called: after a failure it isn't for a while.
        while !host.said().contains(word) {
            // Each is another question.
            number += 1;
            let path = format!("/~{attack}-{number}/cam/live.m3u8");
            let reply = client.get(&path).await?;
            assert_eq!(reply.status, 503, "{attack}: {}", reply.text());
            assert!(!reply.header("retry-after").is_empty());
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{attack}: {word} is not in the log"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    viewer.await??;
    let grown = resident()?.saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    // And it comes back by itself.
    let began = Instant::now();
    while client.get("/~deny/").await?.status != 401 {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get("/~allow/cam/live.m3u8").await?.status, 200);
    Ok(())
}
