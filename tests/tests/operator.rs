//! The operator's listener of the built binary: what it tells, what it does, and whom it refuses.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, Result};
use picam_tests::{Client, Host, PATIENCE, Reply};
use reqwest::Method;
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

fn pattern() -> picam_tests::Setup {
    Host::source("pattern").arguments(["--size", "320x180"])
}

fn operator(host: &Host) -> Result<Client> {
    let address = host
        .operator()
        .context("it said where to operate before it said where to watch")?;
    Client::http1(address)
}

fn json(reply: &Reply) -> Result<Value> {
    serde_json::from_slice(&reply.body).with_context(|| reply.text())
}

/// Status and body of a request that must fail as RFC 9457 has it.
fn problem(reply: &Reply) -> Value {
    assert_eq!(
        reply.header("content-type"),
        "application/problem+json",
        "{}",
        reply.text()
    );
    let problem = json(reply).unwrap();
    assert_eq!(problem["status"], reply.status);
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    problem
}

async fn get_json(client: &Client, path: &str) -> Value {
    let reply = client.get(path).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    json(&reply).unwrap()
}

/// Prometheus' own reader for Python turns the text into `name{label="value",…}` and values.
async fn metrics(client: &Client) -> BTreeMap<String, f64> {
    const READER: &str = "\
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
for family in read(sys.stdin.read()):
    assert family.documentation and family.type != 'unknown', family
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))
        print(json.dumps([f'{sample.name}{{{labels}}}', sample.value]))
";
    let reply = client.get("/metrics").await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    // The one that Debian's package is for.
    let mut reader = Command::new("/usr/bin/python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = reader.stdin.take().unwrap();
    stdin.write_all(&reply.body).await.unwrap();
    drop(stdin);
    let output = timeout(PATIENCE, reader.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "python3-prometheus-client can't read this, or is missing:\n{}",
        reply.text()
    );
    let mut samples = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (name, value): (String, f64) = serde_json::from_str(line).unwrap();
        assert!(
            samples.insert(name.clone(), value).is_none(),
            "{name} twice"
        );
    }
    samples
}

#[tokio::test]
async fn every_address_answers_get_and_head_and_says_what_else_there_is() {
    let host = pattern().start().await.unwrap();
    host.media_playlist().await.unwrap();
    let client = operator(&host).unwrap();
    for path in [
        "/",
        "/metrics",
        "/api/v1/status",
        "/api/v1/plugins",
        "/api/v1/plugins/ll-hls",
    ] {
        let got = client.get(path).await.unwrap();
        assert_eq!(got.status, 200, "{path}");
        assert_eq!(got.header("cache-control"), "no-store", "{path}");
        assert_eq!(got.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(got.header("access-control-allow-origin"), "", "{path}");
        let head = client.head(path).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
        let posted = client
            .send(client.request(Method::POST, path))
            .await
            .unwrap();
        assert_eq!(posted.status, 405, "{path}");
        assert_eq!(posted.header("allow"), "GET, HEAD", "{path}");
        problem(&posted);
    }
    let reload = client.get("/api/v1/plugins/ll-hls/reload").await.unwrap();
    assert_eq!((reload.status, reload.header("allow")), (405, "POST"));
    for path in [
        "/nothing",
        "/api/v1",
        "/metrics/",
        "/api/v1/plugins/ll-hls/x",
    ] {
        let reply = client.get(path).await.unwrap();
        assert_eq!(reply.status, 404, "{path}");
        assert!(
            problem(&reply)["detail"]
                .as_str()
                .unwrap()
                .contains("/api/v1/status")
        );
    }
    // HTTP/2 by prior knowledge works as it does for viewers.
    let http2 = Client::http2(host.operator().unwrap()).unwrap();
    get_json(&http2, "/api/v1/status").await;
}

#[tokio::test]
async fn status_describes_the_stream_and_its_plugins() {
    let host = pattern().start().await.unwrap();
    host.media_playlist().await.unwrap();
    let client = operator(&host).unwrap();
    let status = get_json(&client, "/api/v1/status").await;
    assert_eq!(status["host"]["name"], "picam-host");
    let stream = &status["stream"];
    assert_eq!(stream["state"], "live");
    assert_eq!(
        (&stream["width"], &stream["height"]),
        (&320.into(), &180.into())
    );
    assert!(stream["codecs"].as_str().unwrap().starts_with("avc1."));
    assert!((stream["frame_rate"].as_f64().unwrap() - 30.0).abs() < 0.1);
    assert!(
        stream["source"]["description"]
            .as_str()
            .unwrap()
            .contains("320x180")
    );
    assert!(stream["window"]["bytes"].as_u64().unwrap() > 1_000);
    assert!(stream["window"]["position"]["sequence"].as_u64().unwrap() > 0);

    let plugins = get_json(&client, "/api/v1/plugins").await;
    let plugin = get_json(&client, "/api/v1/plugins/ll-hls").await;
    assert_eq!(plugins.as_array().unwrap().len(), 1);
    assert_eq!(plugin["name"], "ll-hls");
    assert_eq!(plugin["generation"], 1);
    assert_eq!(plugin["hooks"][0]["name"], "playlist");
    assert!(plugin["hooks"][0]["calls"].as_u64().unwrap() > 0);
    assert!(plugin["memory_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn metrics_are_read_by_prometheus_own_reader_and_count_what_happens() {
    let host = pattern().start().await.unwrap();
    host.media_playlist().await.unwrap();
    let client = operator(&host).unwrap();
    let before = metrics(&client).await;
    let viewer = host.http1().unwrap();
    for _ in 0..3 {
        assert_eq!(viewer.get("/nowhere").await.unwrap().status, 404);
    }
    for _ in 0..2 {
        assert_eq!(viewer.get("/").await.unwrap().status, 200);
    }
    // Waits until the stream has gone on for a segment, however long that takes.
    let path = host.media_playlist_path().await.unwrap();
    let sequence = before["picam_stream_position_sequence{}"] as u64;
    let waited = viewer
        .get(&format!("{path}?_HLS_msn={}", sequence + 1))
        .await
        .unwrap();
    assert_eq!(waited.status, 200);
    let after = metrics(&client).await;
    let more = |name: &str| after[name] - before.get(name).copied().unwrap_or(0.0);
    assert_eq!(more("picam_http_requests_total{code=404,kind=other}"), 3.0);
    assert_eq!(more("picam_http_requests_total{code=200,kind=page}"), 2.0);
    for grows in [
        "picam_http_requests_total{code=200,kind=document}",
        "picam_http_sent_bytes_total{}",
        "picam_http_document_renders_total{}",
        "picam_http_accepted_connections_total{}",
        "picam_stream_pictures_total{}",
        "picam_stream_published_bytes_total{}",
        "picam_stream_position_sequence{}",
        "picam_stream_publish_delay_seconds_count{}",
        "picam_plugin_calls_total{hook=playlist,plugin=ll-hls}",
        "picam_plugin_call_duration_seconds_sum{hook=playlist,plugin=ll-hls}",
        "process_cpu_seconds_total{}",
    ] {
        assert!(
            more(grows) > 0.0,
            "{grows}: {} then {}",
            before[grows],
            after[grows]
        );
    }
    assert_eq!(after["picam_stream_presentations_total{}"], 1.0);
    assert_eq!(after["picam_stream_state{state=live}"], 1.0);
    assert_eq!(
        after["picam_plugin_calls_total{hook=playlist,plugin=ll-hls}"],
        after["picam_plugin_call_duration_seconds_count{hook=playlist,plugin=ll-hls}"]
    );
    let pictures = after["picam_stream_pictures_total{}"];
    let had = after["picam_stream_publish_delay_seconds_count{}"];
    assert!(
        had <= pictures && pictures - had < 60.0,
        "{had} of {pictures}"
    );
    let id = host.id().unwrap();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count() as f64;
    assert!((after["process_open_fds{}"] - open).abs() < 10.0);
    assert!(after["process_resident_memory_bytes{}"] > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_loads_all_plugins_anew_and_ends_nothing() {
    let host = pattern().start().await.unwrap();
    let path = host.media_playlist_path().await.unwrap();
    let client = operator(&host).unwrap();
    let id = host.id().unwrap();
    // SAFETY: it takes two numbers; the process is our child, which has not been waited for.
    assert_eq!(unsafe { libc::kill(id.cast_signed(), libc::SIGHUP) }, 0);
    let reloaded = async {
        loop {
            let plugin = client.get("/api/v1/plugins/ll-hls").await.unwrap();
            if json(&plugin).unwrap()["generation"] == 2 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, reloaded).await.unwrap();
    let viewer = host.http1().unwrap();
    assert_eq!(viewer.get(&path).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_reload_answers_what_serves_now_or_why_the_old_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine.wasm");
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/stock/ll-hls.wasm");
    std::fs::copy(stock, &file).unwrap();
    let host = pattern()
        .plugin(file.to_str().unwrap())
        .start()
        .await
        .unwrap();
    let viewer = host.http1().unwrap();
    let path = host.media_playlist_path().await.unwrap();
    let client = operator(&host).unwrap();
    let reload = |name: &'static str| {
        let client = client.clone();
        async move {
            let path = format!("/api/v1/plugins/{name}/reload");
            client
                .send(client.request(Method::POST, &path))
                .await
                .unwrap()
        }
    };

    let reloaded = reload("ll-hls").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let reloaded = json(&reloaded).unwrap();
    assert_eq!(
        (&reloaded["name"], &reloaded["generation"]),
        (&"ll-hls".into(), &2.into())
    );
    assert_eq!(reloaded["reloads"]["last"]["outcome"], "published");

    std::fs::write(&file, "garbage").unwrap();
    let refused = reload("ll-hls").await;
    assert_eq!(refused.status, 422);
    let refused = problem(&refused);
    let cause = refused["detail"].as_str().unwrap();
    assert!(
        cause.contains("not WebAssembly") && !cause.contains('\n'),
        "{cause}"
    );
    assert_eq!(
        (&refused["plugin"], &refused["generation"]),
        (&"ll-hls".into(), &2.into())
    );
    assert_eq!(
        viewer.get(&path).await.unwrap().status,
        200,
        "the old one goes on"
    );

    let unknown = reload("ll-hsl").await;
    assert_eq!(unknown.status, 404);
    let detail = problem(&unknown)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("did you mean `ll-hls`?"), "{detail}");
    let unknown = client.get("/api/v1/plugins/ll-hsl").await.unwrap();
    assert_eq!(problem(&unknown)["detail"], detail.as_str());

    let plugin = get_json(&client, "/api/v1/plugins/ll-hls").await;
    assert_eq!(plugin["reloads"]["published"], 1);
    // The change of the file may have been noticed before it was asked for, and then both were refused.
    let refused = plugin["reloads"]["refused"].as_u64().unwrap();
    assert!((1..=2).contains(&refused), "{refused}");
    let counted = metrics(&client).await;
    assert_eq!(
        counted["picam_plugin_reloads_total{outcome=refused,plugin=ll-hls}"],
        refused as f64
    );
    assert_eq!(counted["picam_plugin_generation{plugin=ll-hls}"], 2.0);
}

#[tokio::test]
async fn a_page_of_another_origin_and_a_rebound_name_are_refused() {
    let host = pattern().start().await.unwrap();
    let client = operator(&host).unwrap();
    let reload = "/api/v1/plugins/ll-hls/reload";
    let post = |headers: Vec<(&'static str, String)>| {
        let client = client.clone();
        async move {
            let request = headers.into_iter().fold(
                client.request(Method::POST, reload),
                |request, (name, value)| request.header(name, value),
            );
            client.send(request).await.unwrap()
        }
    };
    let viewers = format!("http://{}", host.address());
    for foreign in [
        vec![("origin", "http://evil.example".into())],
        vec![("origin", "null".into())],
        vec![("origin", viewers)],
        vec![("sec-fetch-site", "cross-site".into())],
    ] {
        let reply = post(foreign.clone()).await;
        assert_eq!(reply.status, 403, "{foreign:?}");
        problem(&reply);
    }
    let rebound = post(vec![("host", "evil.example:8081".into())]).await;
    assert_eq!(rebound.status, 421);
    problem(&rebound);
    for path in ["/", "/metrics", "/api/v1/status"] {
        let reply = client
            .get_with(path, &[("host", "evil.example")])
            .await
            .unwrap();
        assert_eq!(reply.status, 421, "{path}");
    }
    let plugin = get_json(&client, "/api/v1/plugins/ll-hls").await;
    assert_eq!(plugin["generation"], 1, "nothing of this was done");

    let own = format!("http://{}", host.operator().unwrap());
    assert_eq!(post(vec![("origin", own)]).await.status, 200);
}

#[tokio::test]
async fn a_configured_token_is_needed_for_everything() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("picam.toml");
    std::fs::write(&file, "operator-token = \"0123456789abcdef\"\n").unwrap();
    let host = pattern()
        .arguments(["--config", file.to_str().unwrap()])
        .start()
        .await
        .unwrap();
    let client = operator(&host).unwrap();
    for path in ["/", "/metrics", "/api/v1/plugins/ll-hls", "/nothing"] {
        let reply = client.get(path).await.unwrap();
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.header("www-authenticate").starts_with("Basic "));
        problem(&reply);
    }
    let bearer = ("authorization", "Bearer 0123456789abcdef");
    let named = [bearer, ("host", "camera.example.net")];
    let reply = client.get_with("/metrics", &named).await.unwrap();
    assert_eq!(reply.status, 200, "a rebound page would not know it");
    let request = client
        .request(Method::GET, "/")
        .basic_auth("me", Some("0123456789abcdef"));
    assert_eq!(client.send(request).await.unwrap().status, 200);
    assert!(!host.said().contains("0123456789abcdef"));
}

#[tokio::test]
async fn watching_and_administering_are_never_the_same_door() {
    let host = pattern().start().await.unwrap();
    let media = host.media_playlist_path().await.unwrap();
    let (viewer, client) = (host.http1().unwrap(), operator(&host).unwrap());
    for path in ["/metrics", "/api/v1/status", "/api/v1/plugins"] {
        assert_eq!(viewer.get(path).await.unwrap().status, 404, "{path}");
    }
    let reload = viewer.request(Method::POST, "/api/v1/plugins/ll-hls/reload");
    assert!(matches!(
        viewer.send(reload).await.unwrap().status,
        404 | 405
    ));
    for path in ["/cam/live.m3u8", &media, "/healthz", "/cam/snapshot.jpg"] {
        assert_eq!(client.get(path).await.unwrap().status, 404, "{path}");
    }
    let page = client.get("/").await.unwrap();
    assert!(
        !page.text().contains("<video"),
        "this is no page to watch on"
    );
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(picam_tests::program().unwrap());
    command
        .args(["--source", "pattern", "--listen", "127.0.0.1:0"])
        .args(["--operator", &address])
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(&address) && said.contains("--operator"),
        "{said}"
    );
}

#[tokio::test]
async fn a_listener_that_others_can_reach_is_warned_of_unless_it_has_a_token() {
    let warning = "can be reached from other machines";
    let mut command = Command::new(picam_tests::program().unwrap());
    // That there is no such camera ends it.
    command
        .args([
            "--source",
            "/dev/video-none",
            "--listen",
            "127.0.0.1:0",
            "--operator",
            "0.0.0.0:0",
        ])
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains(warning) && said.contains("operator-token"),
        "{said}"
    );
    let host = pattern().start().await.unwrap();
    assert!(
        !host.said().contains(warning),
        "on loopback there is nothing to warn of"
    );
}
