use std::net::SocketAddr;

use hyper::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::stage::{BOTH, Stage};
use crate::http::{Health, Place, Server};

#[tokio::test]
async fn the_page_is_at_the_root() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        let got = server.get(version, "/").await;
        assert_eq!(got.status, 200);
        assert!(got.text().starts_with("<!doctype html>"));
        assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(got.header("cache-control"), Some("no-cache"));
        let fields = [("accept-encoding", "gzip")];
        let packed = server.ask(version, Method::GET, "/", &fields).await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
    }
}

#[tokio::test]
async fn health_is_200_while_pictures_come_from_the_camera() {
    let stage = Stage::empty();
    let server = stage.serve();
    for version in BOTH {
        stage.health.send_replace(Health::Starting);
        assert_eq!(server.get(version, "/healthz").await.status, 503);
        stage.publish(1, 0);
        stage.health.send_replace(Health::Live);
        let got = server.get(version, "/healthz").await;
        assert_eq!((got.status.as_u16(), got.text()), (200, "ok\n"));
        assert_eq!(got.header("cache-control"), Some("no-store"));
        for (health, word) in [
            (Health::CameraLost("unplugged".into()), "unplugged"),
            (Health::Ended, "end"),
        ] {
            stage.health.send_replace(health);
            let got = server.get(version, "/healthz").await;
            assert_eq!(got.status, 503);
            assert!(got.text().contains(word), "{}", got.text());
        }
    }
}

#[tokio::test]
async fn what_has_no_address_is_404_with_a_line_that_helps() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for path in [
            "/cam",
            "/cam/",
            "/cam/none",
            "/cam/live.m3u8/",
            "/cam//live.m3u8",
            "//cam/live.m3u8",
            "/CAM/live.m3u8",
            "/cam/run",
            "/favicon.ico",
            "/cam/../cam/live.m3u8",
            "/cam/./live.m3u8",
            "/../../etc/passwd",
            "/cam/run/../../../../etc/passwd",
            "/cam/%2e%2e/etc/passwd",
            "/cam%2flive.m3u8",
            "/cam/run%2Fmedia.m3u8",
            "/cam/run/s4.m4s%00",
            "/cam/live.m3u8%0a",
            "/cam/%ff",
            "/cam/%",
            "/cam/run/..%5c..%5cmedia.m3u8",
            "/cam/live.m3u8;x",
        ] {
            let got = server.get(version, path).await;
            assert_eq!(got.status, 404, "{version:?} {path}");
            assert_eq!(got.header("cache-control"), Some("no-store"));
            assert_eq!(got.text().lines().count(), 1);
        }
        let got = server.get(version, "/nowhere").await;
        assert!(got.text().contains("/cam/live.m3u8"), "{}", got.text());
    }
}

#[tokio::test]
async fn encoded_letters_name_the_same() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for path in [
            "/cam/live%2Em3u8",
            "/%63am/run/s4.m4s",
            "/cam/run/%734.m4s?x",
        ] {
            assert_eq!(server.get(version, path).await.status, 200, "{path}");
        }
    }
}

/// Sends bytes as they are, and returns the response to them.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket.write_all(request).await.expect("sent");
    let mut response = Vec::new();
    // A connection reset after the response is an end, too.
    let _ = socket.read_to_end(&mut response).await;
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn broken_requests_are_400_and_do_no_harm() {
    let stage = Stage::playing();
    let server = stage.serve();
    for request in [
        &b"GET /\0 HTTP/1.1\r\nHost: host\r\n\r\n"[..],
        b"GET cam/live.m3u8 HTTP/1.1\r\nHost: host\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: ho\0st\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n",
    ] {
        let response = raw(server.address, request).await;
        assert!(
            response.starts_with("HTTP/1.1 400"),
            "{:?}: {response}",
            String::from_utf8_lossy(request)
        );
    }
    let absolute = b"GET http://x/cam/live.m3u8 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(
        raw(server.address, absolute)
            .await
            .starts_with("HTTP/1.1 200")
    );
    let star = b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(raw(server.address, star).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn only_watching_methods_work() {
    let stage = Stage::playing();
    let server = stage.serve();
    for version in BOTH {
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::TRACE,
            Method::PATCH,
        ] {
            let got = server.ask(version, method, "/cam/live.m3u8", &[]).await;
            assert_eq!(got.status, 405);
            assert_eq!(got.header("allow"), Some("GET, HEAD, OPTIONS"));
        }
    }
    assert_eq!(stage.policy.calls(), 0);
}

#[tokio::test]
async fn pages_on_other_hosts_may_ask() {
    let stage = Stage::playing();
    let server = stage.serve();
    let preflight = [
        ("origin", "https://example.org"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    for version in BOTH {
        let got = server
            .ask(version, Method::OPTIONS, "/cam/run/s4.m4s", &preflight)
            .await;
        assert_eq!(got.status, 204);
        assert!(got.body.is_empty());
        assert_eq!(got.header("access-control-allow-origin"), Some("*"));
        let methods = got.header("access-control-allow-methods");
        assert!(methods.is_some_and(|methods| methods.contains("GET")));
        assert!(got.header("access-control-allow-headers").is_some());
        assert_eq!(got.header("access-control-max-age"), Some("86400"));
        for path in ["/cam/run/s4.m4s", "/cam/live.m3u8", "/cam/run/none"] {
            let got = server
                .ask(version, Method::GET, path, &preflight[..1])
                .await;
            assert_eq!(got.header("access-control-allow-origin"), Some("*"));
            let exposed = got.header("access-control-expose-headers");
            assert!(exposed.is_some_and(|names| names.contains("Content-Range")));
        }
    }
}

#[tokio::test]
async fn several_addresses_serve_the_same() {
    let stage = Stage::playing();
    let state = stage.state();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listen = vec![any, any];
    // Where the machine has IPv6 at all.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        listen.push("[::1]:0".parse().expect("an address"));
    }
    let server = Server::bind(places(&listen), state).expect("free ports");
    let addresses: Vec<_> = server.local_addrs().collect();
    assert_eq!(addresses.len(), listen.len());
    tokio::spawn(server.serve(std::future::pending()));
    for address in addresses {
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(raw(address, request).await.ends_with("ok\n"), "{address}");
    }
}

#[tokio::test]
async fn both_families_may_share_a_port() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let stage = Stage::playing();
    // Some port that is free in both.
    let four = SocketAddr::from(([0, 0, 0, 0], 0));
    let probe = std::net::TcpListener::bind(four).expect("a free port");
    let port = probe.local_addr().expect("bound").port();
    drop(probe);
    let listen = [
        SocketAddr::from(([0, 0, 0, 0], port)),
        format!("[::]:{port}").parse().expect("an address"),
    ];
    let server = Server::bind(places(&listen), stage.state()).expect("apart from each other");
    assert!(server.local_addrs().eq(listen));
}

fn places(listen: &[SocketAddr]) -> Vec<Place> {
    listen.iter().copied().map(Place::from).collect()
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_what_to_do() {
    let stage = Stage::playing();
    let server = stage.serve();
    let error = Server::bind(vec![server.address.into()], stage.state())
        .err()
        .expect("it's taken")
        .to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
    assert!(error.contains("--listen"), "{error}");
    assert!(error.contains("another picam-host"), "{error}");
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 8080));
    let error = Server::bind(vec![elsewhere.into()], stage.state())
        .err()
        .expect("not ours")
        .to_string();
    assert!(error.contains("no network interface"), "{error}");
}
