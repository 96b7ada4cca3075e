use std::time::Duration;

use hyper::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::stage::{BOTH, Client, Http, Stage, content, settle};

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: host\r\n\r\n";

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_header_that_trickles_in_is_cut_off() {
    let stage = Stage::playing();
    let (mut socket, connection) = stage.pipe(1024);
    let began = Instant::now();
    for byte in ASK {
        if socket.write_all(&[*byte]).await.is_err() {
            break;
        }
        seconds(1).await;
    }
    connection.await.expect("no panic");
    let lasted = began.elapsed();
    assert!(
        lasted >= stage.limits.header && lasted < stage.limits.header * 2,
        "{lasted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_header_that_trickles_in_is_cut_off_too() {
    let stage = Stage::playing();
    let (mut socket, connection) = stage.pipe(1024);
    socket.write_all(ASK).await.expect("open");
    seconds(30).await;
    assert!(!connection.is_finished(), "a pause is fine");
    let began = Instant::now();
    for byte in ASK {
        if socket.write_all(&[*byte]).await.is_err() {
            break;
        }
        seconds(1).await;
    }
    connection.await.expect("no panic");
    assert!(began.elapsed() < stage.limits.header * 2);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut_off() {
    let stage = Stage::playing();
    for start in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let (mut socket, connection) = stage.pipe(1024);
        let began = Instant::now();
        socket.write_all(start).await.expect("open");
        connection.await.expect("no panic");
        assert!(
            began.elapsed() <= stage.limits.header * 2,
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_time() {
    let stage = Stage::playing();
    for version in BOTH {
        let (socket, connection) = stage.pipe(64 * 1024);
        let mut viewer = Client::over(socket, version).await;
        viewer.get("/healthz").await;
        seconds(stage.limits.idle.as_secs() - 5).await;
        assert!(!connection.is_finished(), "{version:?}");
        viewer.get("/healthz").await;
        let began = Instant::now();
        connection.await.expect("no panic");
        assert!(began.elapsed() >= stage.limits.idle, "{version:?}");
        assert!(began.elapsed() < stage.limits.idle * 2, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_not_idle() {
    let mut stage = Stage::playing();
    stage.limits.idle = Duration::from_secs(1);
    stage.limits.header = Duration::from_secs(1);
    stage.limits.stall = Duration::from_secs(1);
    for (version, path, parts) in [
        (Http::One, "/cam/run/p16.m4s", 2),
        (Http::Two, "/cam/run/p17.m4s", 3),
    ] {
        let mut viewer = stage.viewer(version).await;
        let viewer = tokio::spawn(async move { viewer.get(path).await });
        seconds(5).await;
        stage.publish(5, parts);
        assert_eq!(viewer.await.expect("no panic").status, 200, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_takes_no_byte_is_cut_off() {
    let stage = Stage::playing();
    let (mut socket, connection) = stage.pipe(512);
    let began = Instant::now();
    socket
        .write_all(b"GET /cam/run/s4.m4s HTTP/1.1\r\nHost: host\r\n\r\n")
        .await
        .expect("open");
    connection.await.expect("no panic");
    assert!(began.elapsed() >= stage.limits.stall);
    assert!(began.elapsed() < stage.limits.stall * 2);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_opens_no_window_is_cut_off() {
    let stage = Stage::playing();
    let (socket, connection) = stage.pipe(64 * 1024);
    let io = hyper_util::rt::TokioIo::new(socket);
    let (mut client, task) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(100)
            .handshake(io)
            .await
            .expect("a connection");
    tokio::spawn(task);
    let request = hyper::Request::get("http://host/cam/run/s4.m4s")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("valid");
    let began = Instant::now();
    let response = client.send_request(request).await.expect("a header");
    // The body is never read, so its window stays shut; pings are answered all the while.
    connection.await.expect("no panic");
    assert!(began.elapsed() >= stage.limits.stall);
    assert!(
        began.elapsed() < stage.limits.stall * 2,
        "{:?}",
        began.elapsed()
    );
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_is_served_to_the_end() {
    let stage = Stage::playing();
    let (mut socket, _) = stage.pipe(256);
    socket
        .write_all(b"GET /cam/run/s4.m4s HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n")
        .await
        .expect("open");
    let mut response = Vec::new();
    let mut some = [0; 100];
    loop {
        seconds(20).await;
        match socket.read(&mut some).await.expect("not cut off") {
            0 => break,
            count => response.extend_from_slice(&some[..count]),
        }
    }
    assert!(response.ends_with(&content("s4.m4s")));
}

#[tokio::test]
async fn a_header_that_is_too_large_gets_431() {
    let stage = Stage::playing();
    let server = stage.serve();
    let large = "x".repeat(20 * 1024);
    for version in BOTH {
        let got = server
            .ask(version, Method::GET, "/", &[("x-large", &large)])
            .await;
        assert_eq!(got.status, 431, "{version:?}");
        let fine = "x".repeat(8 * 1024);
        let got = server
            .ask(version, Method::GET, "/", &[("x-large", &fine)])
            .await;
        assert_eq!(got.status, 200, "{version:?}");
    }
}

#[tokio::test]
async fn viewers_beyond_the_limit_are_told() {
    let mut stage = Stage::playing();
    stage.limits.connections = 2;
    let server = stage.serve();
    let mut first = server.connect(Http::One).await;
    let mut second = server.connect(Http::Two).await;
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(second.get("/").await.status, 200);
    for version in BOTH {
        let mut third = server.connect(version).await;
        let got = third.get("/cam/live.m3u8").await;
        assert_eq!(got.status, 503, "{version:?}");
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(server.get(version, "/healthz").await.status, 200);
    }
    drop(first);
    // The place is free once the server has seen the end.
    loop {
        if server.get(Http::One, "/").await.status == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_closes_the_door_and_lets_held_requests_go() {
    let stage = Stage::playing();
    let server = stage.serve();
    let mut held = Vec::new();
    for (version, path) in [
        (Http::One, "/cam/run/media.m3u8?_HLS_msn=6"),
        (Http::Two, "/cam/run/media.m3u8?_HLS_msn=7"),
    ] {
        let mut viewer = server.connect(version).await;
        held.push(tokio::spawn(async move { viewer.get(path).await }));
    }
    let mut idle = server.connect(Http::One).await;
    idle.get("/").await;
    while stage.policy.calls() < 2 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).expect("it runs");
    for viewer in held {
        let got = viewer.await.expect("no panic");
        assert_eq!(got.status, 503);
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert!(got.text().contains("stops"), "{}", got.text());
    }
    server.served.await.expect("it ends");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn held_parts_are_let_go_at_once() {
    use crate::http::hold::Phase;
    let stage = Stage::playing();
    for version in BOTH {
        let mut viewer = stage.viewer(version).await;
        let viewer = tokio::spawn(async move { viewer.get("/cam/run/p16.m4s").await });
        settle().await;
        let began = Instant::now();
        stage.phase.send_replace(Phase::Stopping);
        assert_eq!(viewer.await.expect("no panic").status, 503, "{version:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
        stage.phase.send_replace(Phase::Serving);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_stopped_ends_what_it_sends() {
    use crate::http::hold::Phase;
    let stage = Stage::playing();
    let (mut socket, connection) = stage.pipe(256);
    socket
        .write_all(b"GET /cam/run/s4.m4s HTTP/1.1\r\nHost: host\r\n\r\n")
        .await
        .expect("open");
    settle().await;
    stage.phase.send_replace(Phase::Stopping);
    let mut response = Vec::new();
    socket.read_to_end(&mut response).await.expect("all of it");
    assert!(response.ends_with(&content("s4.m4s")));
    connection.await.expect("no panic");

    // But not for ever.
    stage.phase.send_replace(Phase::Serving);
    let (mut socket, connection) = stage.pipe(256);
    socket
        .write_all(b"GET /cam/run/s4.m4s HTTP/1.1\r\nHost: host\r\n\r\n")
        .await
        .expect("open");
    settle().await;
    stage.phase.send_replace(Phase::Over);
    connection.await.expect("no panic");
}
