//! Who may watch: everything but the health of the stream asks, and nothing opens by itself.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use tokio::{sync::watch, time::Instant};

use super::stage::{BOTH, Doorman, Http, PEER, Stage, settle};
use crate::plugin::{Inputs, Permit, Reads, Refusal, Verdict, Visit};

/// Everything there is, and things that there are not.
const ADDRESSES: [&str; 10] = [
    "/",
    "/cam/live.m3u8",
    "/cam/run/media.m3u8",
    "/cam/run/media.m3u8?_HLS_msn=nonsense",
    "/cam/run/init.mp4",
    "/cam/run/s1.m4s",
    "/cam/run/p15.m4s",
    "/cam/run/nothing.m4s",
    "/cam/overlay",
    "/nowhere",
];

fn refusal(status: u16) -> Refusal {
    Refusal {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: vec![(
            HeaderName::from_static("www-authenticate"),
            HeaderValue::from_static("Basic realm=\"cam\""),
        )],
        content_type: Some(HeaderValue::from_static("text/html")),
        body: Bytes::from_static(b"<form>"),
    }
}

fn refuse(status: u16) -> Verdict {
    Verdict::Refused(Arc::new(refusal(status)))
}

fn allow() -> Verdict {
    Verdict::Allowed(Permit::default())
}

fn cookies() -> Reads {
    Reads {
        inputs: Inputs {
            cookies: vec!["sid".into()],
            ..Inputs::default()
        },
        ..Reads::default()
    }
}

fn forms() -> Reads {
    Reads {
        method: true,
        form: true,
        ..cookies()
    }
}

/// Lets in who has the right cookie.
fn by_cookie(doorman: &Doorman) {
    doorman.set(cookies(), |visit| match first(visit) {
        "sid\tright" => allow(),
        _ => refuse(401),
    });
}

fn first(visit: &Visit) -> &str {
    let question = visit.questions[0].as_ref().expect("it is concerned");
    &question.cookies
}

#[tokio::test]
async fn without_permission_nothing_is_told_but_the_health() {
    let stage = Stage::playing();
    by_cookie(&stage.doorman);
    let server = stage.serve();
    for version in BOTH {
        for path in ADDRESSES {
            let got = server.get(version, path).await;
            assert_eq!(got.status, 401, "{path}");
            assert_eq!(got.text(), "<form>", "{path}");
            assert_eq!(got.header("content-type"), Some("text/html"));
            assert_eq!(got.header("www-authenticate"), Some("Basic realm=\"cam\""));
            assert_eq!(got.header("cache-control"), Some("no-store"));
            let head = server.ask(version, Method::HEAD, path, &[]).await;
            assert_eq!((head.status, &head.body[..]), (got.status, &b""[..]));
            assert_eq!(head.header("content-length"), Some("6"));
        }
        assert_eq!(server.get(version, "/healthz").await.status, 200);
    }
    assert_eq!(stage.policy.calls(), 0, "nothing was even looked up");
}

#[tokio::test]
async fn with_permission_everything_is_as_it_would_be_without_a_door() {
    let open = Stage::playing();
    let guarded = Stage::playing();
    by_cookie(&guarded.doorman);
    let (open, guarded) = (open.serve(), guarded.serve());
    let with = [("cookie", "a=b; sid=right")];
    // Drawings carry a number of their own run.
    for path in ADDRESSES.into_iter().filter(|path| *path != "/cam/overlay") {
        let expected = open.get(Http::One, path).await;
        let got = guarded.ask(Http::One, Method::GET, path, &with).await;
        assert_eq!(
            (got.status, &got.body),
            (expected.status, &expected.body),
            "{path}"
        );
        assert_eq!(got.header("etag"), expected.header("etag"), "{path}");
    }
}

#[tokio::test]
async fn what_a_viewer_may_see_is_kept_for_nobody_else() {
    let open = Stage::playing().serve();
    let stage = Stage::playing();
    by_cookie(&stage.doorman);
    let server = stage.serve();
    let with = [("cookie", "sid=right")];
    for path in ADDRESSES {
        let shared = open.get(Http::One, path).await;
        let shared = shared.header("cache-control").expect("a rule");
        let got = server.ask(Http::One, Method::GET, path, &with).await;
        let private = got.header("cache-control").expect("a rule");
        match shared.strip_prefix("public, ") {
            Some(rest) => assert_eq!(private, format!("private, {rest}"), "{path}"),
            None if shared == "no-store" => assert_eq!(private, "no-store", "{path}"),
            None => assert_eq!(private, format!("private, {shared}"), "{path}"),
        }
        let mut vary = got.headers.get_all("vary").iter();
        assert!(vary.any(|value| value == "cookie"), "{path}");
    }
}

#[tokio::test]
async fn a_token_in_front_of_the_path_is_taken_off_and_handed_over() {
    let stage = Stage::playing();
    stage.doorman.set(Reads::default(), |visit| {
        let question = visit.questions[0].as_ref().expect("it is concerned");
        match (question.token.as_deref(), &*visit.path) {
            (Some("key"), "/" | "/cam/live.m3u8" | "/cam/run/s1.m4s") => allow(),
            _ => refuse(403),
        }
    });
    let server = stage.serve();
    for (path, status) in [
        ("/~key/", 200),
        ("/~key/cam/live.m3u8", 200),
        ("/%7ekey/cam/run/s1.m4s", 200),
        ("/~other/cam/live.m3u8", 403),
        ("/~key/~key/cam/live.m3u8", 403),
        ("/cam/live.m3u8", 403),
        ("/cam/~key/live.m3u8", 403),
    ] {
        let got = server.get(Http::One, path).await;
        assert_eq!(got.status, status, "{path}");
        let secret = path.starts_with("/~") || path.starts_with("/%7e");
        let policy = secret.then_some("same-origin");
        assert_eq!(got.header("referrer-policy"), policy, "{path}");
    }
    let got = server.get(Http::One, "/~key?a=b").await;
    assert_eq!(
        (got.status, got.header("location")),
        (StatusCode::FOUND, Some("./~key/?a=b"))
    );
}

#[tokio::test]
async fn a_token_is_taken_off_even_if_nobody_asks_for_it() {
    let server = Stage::playing().serve();
    let got = server.get(Http::Two, "/~old/cam/live.m3u8").await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("cache-control"), Some("public, max-age=4"));
}

#[tokio::test]
async fn a_preflight_needs_no_permission() {
    let stage = Stage::playing();
    stage.doorman.set(Reads::default(), |_| refuse(401));
    let server = stage.serve();
    let got = server
        .ask(Http::One, Method::OPTIONS, "/cam/live.m3u8", &[])
        .await;
    assert_eq!(got.status, 204);
    assert_eq!(
        got.header("access-control-allow-headers"),
        Some("*, Authorization")
    );
    assert_eq!(stage.doorman.asked(), 0);
}

#[tokio::test]
async fn who_can_not_decide_leaves_the_door_closed_and_says_when_to_come_back() {
    let stage = Stage::playing();
    stage.doorman.set(cookies(), |_| {
        Verdict::Unavailable(Duration::from_millis(2_100))
    });
    let server = stage.serve();
    for path in ADDRESSES {
        let got = server.get(Http::One, path).await;
        assert_eq!(
            (got.status, got.header("retry-after")),
            (StatusCode::SERVICE_UNAVAILABLE, Some("3")),
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_never_decides_leaves_the_door_closed() {
    let stage = Stage::playing();
    by_cookie(&stage.doorman);
    stage.doorman.open.send_replace(false);
    let mut viewer = stage.viewer(Http::One).await;
    let got = viewer
        .ask(Method::GET, "/cam/live.m3u8", &[("cookie", "sid=right")])
        .await;
    assert_eq!(got.status, 503);
}

#[tokio::test]
async fn fields_of_the_permission_are_added_and_come_in_the_place_of_the_hosts() {
    let stage = Stage::playing();
    stage.doorman.set(cookies(), |_| {
        let field = |name, value| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        Verdict::Allowed(Permit {
            headers: vec![
                field("set-cookie", "a=1"),
                field("set-cookie", "b=2"),
                field("access-control-allow-origin", "https://page.example"),
            ],
            ..Permit::default()
        })
    });
    let got = stage.serve().get(Http::One, "/").await;
    let all = |name| got.headers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(all("access-control-allow-origin"), ["https://page.example"]);
}

#[tokio::test]
async fn a_form_reaches_who_takes_forms_and_leads_on_to_a_get() {
    let stage = Stage::playing();
    stage.doorman.set(forms(), |visit| {
        let question = visit.questions[0].as_ref().expect("it is concerned");
        match (question.method, &*question.form) {
            ("POST", "user\tme\npass\ta b%25") => Verdict::Allowed(Permit {
                headers: vec![(
                    HeaderName::from_static("set-cookie"),
                    HeaderValue::from_static("sid=right"),
                )],
                ..Permit::default()
            }),
            _ => refuse(401),
        }
    });
    let server = stage.serve();
    for version in BOTH {
        let mut viewer = server.connect(version).await;
        for (path, location) in [("/", "./"), ("/~t/cam/live.m3u8?a=b", "./live.m3u8")] {
            let got = viewer.post(path, "user=me&pass=a+b%25").await;
            assert_eq!(got.status, 303);
            assert_eq!(got.header("location"), Some(location));
            assert_eq!(got.header("set-cookie"), Some("sid=right"));
        }
        assert_eq!(viewer.post("/", "user=me&pass=wrong").await.status, 401);
        assert_eq!(viewer.get("/").await.status, 401);
    }
    let calls = stage.policy.calls();
    assert_eq!(calls, 0, "a form opens no door to what is behind it");
}

#[tokio::test]
async fn forms_are_bounded_and_of_one_kind_and_wanted() {
    let stage = Stage::playing();
    let server = stage.serve();
    let mut viewer = server.connect(Http::One).await;
    assert_eq!(viewer.post("/", "a=b").await.status, 405);
    by_cookie(&stage.doorman);
    let got = viewer.post("/", "a=b").await;
    assert_eq!(
        (got.status, got.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, OPTIONS"))
    );
    stage.doorman.set(forms(), |_| refuse(401));
    assert_eq!(viewer.post("/", "a=b").await.status, 401);
    assert_eq!(viewer.post("/", &"a".repeat(4_096)).await.status, 401);
    assert_eq!(viewer.post("/", "a=%").await.status, 400);
    let asked = stage.doorman.asked();
    let mut viewer = server.connect(Http::One).await;
    assert_eq!(viewer.post("/", &"a".repeat(4_097)).await.status, 413);
    let mut viewer = server.connect(Http::Two).await;
    let json = [("content-type", "application/json")];
    let sent = viewer.send_with(Method::POST, "/", &json, "{}").await;
    assert_eq!(sent.expect("a response").status(), 415);
    assert_eq!(stage.doorman.asked(), asked);
    let put = server.ask(Http::One, Method::PUT, "/", &[]).await;
    assert_eq!(put.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
}

#[tokio::test(start_paused = true)]
async fn a_form_that_trickles_in_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let stage = Stage::playing();
    stage.doorman.set(forms(), |_| allow());
    let (mut socket, _connection) = stage.pipe(1024);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("open");
    let began = Instant::now();
    let trickle = async {
        let (mut read, mut write) = tokio::io::split(&mut socket);
        let mut start = [0; 12];
        let answered = read.read_exact(&mut start);
        let writing = async {
            loop {
                if write.write_all(b"a").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            answered = answered => { answered.expect("an answer"); start }
            () = writing => unreachable!("it goes on for ever"),
        }
    };
    assert_eq!(&trickle.await, b"HTTP/1.1 408");
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_held_request_ends_when_its_permission_does() {
    for path in [
        "/cam/run/p16.m4s",
        "/cam/run/s5.m4s",
        "/cam/run/media.m3u8?_HLS_msn=5&_HLS_part=3",
    ] {
        let stage = Stage::playing();
        let began = Instant::now();
        let end = began + Duration::from_secs(2);
        stage
            .doorman
            .set(cookies(), move |_| match Instant::now() < end {
                true => Verdict::Allowed(Permit {
                    until: Some(end),
                    ..Permit::default()
                }),
                false => refuse(403),
            });
        let mut viewer = stage.viewer(Http::One).await;
        let got = viewer.get(path).await;
        assert_eq!(got.status, 403, "{path}");
        let lasted = began.elapsed();
        assert!(
            lasted >= Duration::from_secs(2) && lasted < Duration::from_secs(3),
            "{lasted:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_renewed_goes_unnoticed() {
    let stage = Stage::playing();
    stage.doorman.set(cookies(), |_| {
        Verdict::Allowed(Permit {
            until: Some(Instant::now() + Duration::from_secs(1)),
            ..Permit::default()
        })
    });
    let mut viewer = stage.viewer(Http::Two).await;
    let got = tokio::spawn(async move { viewer.get("/cam/run/p16.m4s").await });
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert!(!got.is_finished());
    stage.publish(5, 2);
    assert_eq!(got.await.expect("no panic").status, 200);
    assert_eq!(stage.doorman.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_withdrawn_is_asked_for_anew() {
    let stage = Stage::playing();
    let withdraw = watch::Sender::new(0);
    let withdrawn = withdraw.clone();
    stage.doorman.set(cookies(), move |_| {
        Verdict::Allowed(Permit {
            withdrawn: Some(withdrawn.subscribe()),
            ..Permit::default()
        })
    });
    let mut viewer = stage.viewer(Http::One).await;
    let got = tokio::spawn(async move { viewer.get("/cam/run/p16.m4s").await });
    settle().await;
    stage.doorman.set(cookies(), |_| refuse(401));
    settle().await;
    assert!(!got.is_finished(), "nobody has told him yet");
    withdraw.send_replace(1);
    assert_eq!(got.await.expect("no panic").status, 401);
}

#[tokio::test(start_paused = true)]
async fn who_is_held_is_asked_anew_by_a_plugin_that_looks_at_something_else() {
    for version in BOTH {
        let stage = Stage::playing();
        let withdraw = watch::Sender::new(0);
        let withdrawn = withdraw.clone();
        stage.doorman.set(cookies(), move |visit| {
            let question = visit.questions[0].as_ref().expect("it is concerned");
            assert_eq!(question.cookies, "sid\t1");
            Verdict::Allowed(Permit {
                withdrawn: Some(withdrawn.subscribe()),
                ..Permit::default()
            })
        });
        let server = stage.serve();
        let got = tokio::spawn(async move {
            let fields = [("cookie", "sid=1; other=2"), ("x-key", "open")];
            let path = "/~token/cam/run/p16.m4s?q=3";
            server.ask(version, Method::GET, path, &fields).await
        });
        settle().await;
        let reads = Reads {
            inputs: Inputs {
                query: vec!["q".into()],
                headers: vec!["x-key".into()],
                cookies: vec![],
            },
            ..Reads::default()
        };
        stage.doorman.set(reads, |visit| {
            let question = visit.questions[0].as_ref().expect("it is concerned");
            assert_eq!(question.cookies, "");
            assert_eq!(question.token.as_deref(), Some("token"));
            match (&*question.query, &*question.headers) {
                ("q\t3", "x-key\topen") => allow(),
                _ => refuse(403),
            }
        });
        withdraw.send_replace(1);
        settle().await;
        assert!(!got.is_finished(), "it is held on");
        stage.publish(5, 2);
        let got = got.await.expect("no panic");
        assert_eq!(got.status, 200);
        assert_eq!(got.header("vary"), Some("x-key"));
    }
}

#[tokio::test]
async fn the_peer_is_who_is_at_the_other_end() {
    let stage = Stage::playing();
    let reads = Reads {
        peer: true,
        ..Reads::default()
    };
    stage.doorman.set(reads, |visit| {
        let question = visit.questions[0].as_ref().expect("it is concerned");
        match visit.peer == PEER && question.peer == PEER.to_string() {
            true => allow(),
            false => refuse(403),
        }
    });
    let mut viewer = stage.viewer(Http::One).await;
    assert_eq!(viewer.get("/").await.status, 200);
}
