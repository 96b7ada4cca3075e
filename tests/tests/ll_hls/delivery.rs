//! How it is sent: Appendix B.1, and what players and caches need.

use picam_tests::{Client, Host, Playlist, Reply};
use reqwest::Method;

use crate::any_host;

async fn start() -> (Host, Client, Playlist) {
    let host = any_host().await.unwrap();
    let client = host.http1().unwrap();
    let playlist = host.media_playlist().await.unwrap();
    let next = playlist.position().0;
    let query = format!("_HLS_msn={next}");
    let playlist = Playlist::get(&client, &playlist.path, &query)
        .await
        .unwrap();
    (host, client, playlist)
}

/// Addresses of one of each kind: a part, a segment, an init segment.
fn media(playlist: &Playlist) -> [String; 3] {
    let last = playlist.complete().last().unwrap();
    [
        playlist.resolve(&last.parts[0].uri),
        playlist.resolve(last.uri.as_ref().unwrap()),
        playlist.resolve(last.map.as_ref().unwrap()),
    ]
}

fn gunzip_by_another(reply: &Reply) -> Vec<u8> {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&reply.body).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn lifetimes_are_those_of_the_kind_of_answer() {
    let (_host, client, playlist) = start().await;
    let target = playlist.target_duration;
    let plain = client.get(&playlist.path).await.unwrap();
    assert_eq!(plain.max_age(), Some((target / 2).max(1)));
    let old = playlist.media_sequence;
    for query in [
        format!("_HLS_msn={old}"),
        format!("_HLS_msn={old}&_HLS_part=0"),
    ] {
        let blocking = client
            .get(&format!("{}?{query}", playlist.path))
            .await
            .unwrap();
        assert_eq!(blocking.max_age(), Some(6 * target), "{query}");
    }
    for path in media(&playlist) {
        let reply = client.get(&path).await.unwrap();
        assert!(reply.max_age().unwrap() >= 6 * target, "{path}");
        assert!(
            reply.header("cache-control").contains("immutable"),
            "{path}"
        );
    }
    let multivariant = client.get("/cam/live.m3u8").await.unwrap();
    assert!(multivariant.max_age().unwrap() <= target);
}

#[tokio::test]
async fn every_answer_lets_other_pages_play_and_no_answer_has_an_age() {
    let (_host, client, playlist) = start().await;
    let mut paths = media(&playlist).to_vec();
    paths.extend([
        playlist.path.clone(),
        "/cam/live.m3u8".into(),
        format!("{}?_HLS_part=1", playlist.path),
        playlist.resolve("part-77777777.m4s"),
    ]);
    for path in paths {
        let reply = client
            .get_with(&path, &[("origin", "http://elsewhere.example")])
            .await
            .unwrap();
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert!(reply.headers.get("age").is_none(), "{path}");
        assert!(!reply.header("cache-control").is_empty(), "{path}");
        assert!(
            reply.headers.get("date").is_some(),
            "{path}: players set their clock by it"
        );
    }
    let preflight = client
        .request(Method::OPTIONS, &playlist.path)
        .header("origin", "http://elsewhere.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "range");
    let reply = client.send(preflight).await.unwrap();
    assert!(matches!(reply.status, 200 | 204));
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert!(reply.header("access-control-allow-methods").contains("GET"));
    assert!(!reply.header("access-control-allow-headers").is_empty());
}

#[tokio::test]
async fn playlists_are_compressed_for_those_who_ask() {
    let (_host, client, playlist) = start().await;
    let path = format!("{}?_HLS_msn={}", playlist.path, playlist.media_sequence);
    // Both at one position, as a rule: the next part would make them differ.
    let mut same = false;
    for _ in 0..20 {
        let plain = client.get(&path).await.unwrap();
        let packed = client
            .get_with(&path, &[("accept-encoding", "gzip, br")])
            .await
            .unwrap();
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(packed.body.len() < plain.body.len());
        for reply in [&plain, &packed] {
            assert!(
                reply
                    .header("vary")
                    .to_ascii_lowercase()
                    .contains("accept-encoding")
            );
            assert_eq!(
                reply.header("content-type"),
                "application/vnd.apple.mpegurl"
            );
            assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        }
        assert_ne!(
            plain.header("etag"),
            packed.header("etag"),
            "strong tags differ by encoding"
        );
        let unpacked = gunzip_by_another(&packed);
        assert!(unpacked.starts_with(b"#EXTM3U\n"));
        same |= unpacked == plain.body;
        let refused = client
            .get_with(&path, &[("accept-encoding", "gzip;q=0")])
            .await
            .unwrap();
        assert_eq!(refused.header("content-encoding"), "");
        if same {
            break;
        }
    }
    assert!(same, "compressed and plain never said the same");
    let part = client
        .get_with(&media(&playlist)[0], &[("accept-encoding", "gzip")])
        .await
        .unwrap();
    assert_eq!(part.header("content-encoding"), "", "media don't shrink");
    assert_eq!(part.header("content-type"), "video/mp4");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let (_host, client, playlist) = start().await;
    for path in media(&playlist) {
        let first = client.get(&path).await.unwrap();
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"'), "{path}: {tag}");
        let again = client
            .get_with(&path, &[("if-none-match", &tag)])
            .await
            .unwrap();
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.max_age(), first.max_age());
        let other = client
            .get_with(&path, &[("if-none-match", "\"other\"")])
            .await
            .unwrap();
        assert_eq!((other.status, &other.body), (200, &first.body), "{path}");
    }
}

#[tokio::test]
async fn media_can_be_had_in_ranges() {
    let (_host, client, playlist) = start().await;
    for path in media(&playlist) {
        let whole = client.get(&path).await.unwrap();
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let len = whole.body.len();
        for (range, bounds) in [
            ("bytes=0-9".to_owned(), 0..10),
            (format!("bytes={}-", len - 5), len - 5..len),
            ("bytes=-7".to_owned(), len - 7..len),
            (format!("bytes=3-{}", len * 2), 3..len),
        ] {
            let reply = client.get_with(&path, &[("range", &range)]).await.unwrap();
            assert_eq!(reply.status, 206, "{path} {range}");
            assert_eq!(
                reply.body,
                whole.body.slice(bounds.clone()),
                "{path} {range}"
            );
            let said = format!("bytes {}-{}/{len}", bounds.start, bounds.end - 1);
            assert_eq!(reply.header("content-range"), said);
        }
        let beyond = format!("bytes={len}-");
        let reply = client.get_with(&path, &[("range", &beyond)]).await.unwrap();
        assert_eq!(reply.status, 416);
        assert_eq!(reply.header("content-range"), format!("bytes */{len}"));
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let (_host, client, playlist) = start().await;
    for path in media(&playlist) {
        let (get, head) = (
            client.get(&path).await.unwrap(),
            client.head(&path).await.unwrap(),
        );
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        for name in [
            "content-length",
            "content-type",
            "etag",
            "cache-control",
            "priority",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    let head = client.head(&playlist.path).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), "application/vnd.apple.mpegurl");
}

/// RFC 9218: playlists 1, media 2 to 6.
#[tokio::test]
async fn playlists_go_before_media() {
    let (_host, client, playlist) = start().await;
    let urgency = |reply: &Reply| -> u8 {
        let field = reply.header("priority");
        let number = field
            .split(',')
            .find_map(|item| item.trim().strip_prefix("u="));
        number.and_then(|number| number.parse().ok()).unwrap_or(3)
    };
    for path in [playlist.path.as_str(), "/cam/live.m3u8"] {
        assert_eq!(urgency(&client.get(path).await.unwrap()), 1, "{path}");
    }
    for path in media(&playlist) {
        let reply = client.get(&path).await.unwrap();
        assert!(!reply.header("priority").is_empty(), "{path}");
        assert!((2..=6).contains(&urgency(&reply)), "{path}");
    }
}

#[tokio::test]
async fn http_2_without_tls_says_the_same_as_http_1() {
    let (host, client, playlist) = start().await;
    let h2 = host.http2().unwrap();
    for path in media(&playlist) {
        let (a, b) = (
            client.get(&path).await.unwrap(),
            h2.get(&path).await.unwrap(),
        );
        assert_eq!(b.version, reqwest::Version::HTTP_2);
        assert_eq!((a.status, &a.body), (b.status, &b.body), "{path}");
        for name in [
            "content-length",
            "content-type",
            "etag",
            "cache-control",
            "priority",
        ] {
            assert_eq!(a.header(name), b.header(name), "{path} {name}");
        }
    }
    // Many held at once on one connection don't stand in each other's way.
    let mut held = tokio::task::JoinSet::new();
    let state = Playlist::get(&h2, &playlist.path, "").await.unwrap();
    let (sequence, part) = state.position();
    for at in 0..30 {
        let (h2, path) = (
            h2.clone(),
            format!("{}?_HLS_msn={}", playlist.path, sequence + at % 2),
        );
        held.spawn(async move { h2.get(&path).await });
    }
    let next = format!("{}?_HLS_msn={sequence}&_HLS_part={part}", playlist.path);
    assert_eq!(h2.get(&next).await.unwrap().status, 200);
    while let Some(reply) = held.join_next().await {
        assert_eq!(reply.unwrap().unwrap().status, 200);
    }
}

#[tokio::test]
async fn addresses_are_of_this_run_alone() {
    let (_one, _, first) = start().await;
    let (_two, client, second) = start().await;
    for path in media(&first) {
        assert!(!media(&second).contains(&path), "{path}");
        let reply = client.get(&path).await.unwrap();
        assert_eq!(reply.status, 404, "{path} is another run's");
    }
    assert!(second.media_sequence >= first.media_sequence);
}
