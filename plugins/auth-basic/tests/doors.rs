//! Requests as the host asks about them.

use auth_basic::AuthBasic;
use base64ct::{Base64, Encoding};
use picam_plugin::{Config, Plugin, auth::*, kv};

/// 2026-11-25T00:00:00Z
const NOW: u64 = 1_795_564_800;
/// Of `password`.
const ARGON2: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
/// Of `abc`.
const BCRYPT: &str = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
const COOKIE: &str = "picam-session";

fn with(pairs: &[(&str, &str)]) -> AuthBasic {
    let users = format!("ada:{ARGON2}\nbob:{BCRYPT}");
    let mut all: Vec<(&str, &str)> = pairs.into();
    if !pairs.iter().any(|(key, _)| *key == "users") {
        all.push(("users", &users));
    }
    let pairs = all.iter().map(|(key, value)| picam_plugin::KeyValue {
        key: (*key).into(),
        value: (*value).into(),
    });
    AuthBasic::start(&Config::new(pairs.collect())).unwrap_or_else(|error| panic!("{error}"))
}

fn plugin() -> AuthBasic {
    with(&[])
}

fn to(path: &str) -> Request {
    Request::to(path).at(NOW).with_peer("192.0.2.1")
}

fn login(name: &str, password: &str) -> Request {
    to("/")
        .with_field("name", name)
        .with_field("password", password)
}

fn basic(request: Request, credentials: &str) -> Request {
    let encoded = Base64::encode_string(credentials.as_bytes());
    request.with_header("Authorization", &format!("Basic {encoded}"))
}

fn allowed(decision: Decision) -> Permission {
    match decision {
        Decision::Allow(permission) => permission,
        other => panic!("not allowed but {other:?}"),
    }
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("not denied but {other:?}"),
    }
}

fn redirected(decision: Decision) -> Redirection {
    match decision {
        Decision::Redirect(redirection) => redirection,
        other => panic!("not redirected but {other:?}"),
    }
}

fn header<'a>(headers: &'a [Header], name: &str) -> &'a str {
    let mut found = headers.iter().filter(|header| header.name == name);
    let header = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "one {name}");
    &header.value
}

/// The session that a login gave.
fn session(plugin: &mut AuthBasic, name: &str, password: &str) -> String {
    let redirection = redirected(plugin.decide(&login(name, password)));
    let cookie = header(&redirection.headers, "Set-Cookie");
    let (pair, _) = cookie.split_once(';').unwrap();
    pair.strip_prefix("picam-session=").unwrap().into()
}

#[test]
fn a_person_who_opens_the_page_gets_a_form_and_no_window_of_the_browser() {
    let denial = denied(with(&[("realm", "Nest <box>")]).decide(&to("/")));
    assert_eq!(denial.status, 401);
    assert_eq!(denial.content_type, "text/html; charset=utf-8");
    assert!(denial.body.contains("<title>Nest &lt;box&gt;</title>"));
    assert!(denial.body.contains("method=\"post\" action=\"./\""));
    assert!(header(&denial.headers, "WWW-Authenticate").starts_with("Cookie realm=\"Nest <box>\""));
    assert!(header(&denial.headers, "Content-Security-Policy").contains("form-action 'self'"));
    assert_eq!(denial.reuse.seconds, 0);
}

#[test]
fn the_form_opens_a_session_that_carries_every_request_for_twelve_hours() {
    let mut plugin = plugin();
    for (name, password) in [("ada", "password"), ("bob", "abc")] {
        let redirection = redirected(plugin.decide(&login(name, password)));
        assert_eq!((redirection.status, &*redirection.location), (303, "./"));
        let cookie = header(&redirection.headers, "Set-Cookie");
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=129600"),
            "{cookie}"
        );
        let session = session(&mut plugin, name, password);
        for path in ["/", "/cam/live.m3u8", "/cam/x/part-1.m4s"] {
            let request = to(path).with_cookie(COOKIE, &session);
            let permission = allowed(plugin.decide(&request));
            assert_eq!(permission.reuse, Reuse::within(43_200, "/"));
            let last = allowed(plugin.decide(&request.clone().at(NOW + 43_199)));
            assert_eq!(last.reuse.seconds, 1);
            denied(plugin.decide(&request.at(NOW + 43_200)));
        }
    }
    let secure = redirected(with(&[("secure", "yes")]).decide(&login("bob", "abc")));
    assert!(header(&secure.headers, "Set-Cookie").ends_with("; Secure"));
}

#[test]
fn programs_are_asked_by_basic_and_let_in_by_it() {
    let mut plugin = plugin();
    let denial = denied(plugin.decide(&to("/cam/live.m3u8")));
    assert_eq!(denial.status, 401);
    assert_eq!(
        header(&denial.headers, "WWW-Authenticate"),
        "Basic realm=\"picam-host\", charset=\"UTF-8\""
    );
    assert_eq!(denial.reuse, Reuse::within(60, "/cam/"));
    for path in ["/cam/live.m3u8", "/"] {
        let permission = allowed(plugin.decide(&basic(to(path), "bob:abc")));
        assert_eq!(permission.reuse, Reuse::within(3_600, "/"));
    }
    for wrong in ["bob:abd", "bob:", ":abc", "eve:abc", "bob:abc:", "ada:abc"] {
        let denial = denied(plugin.decide(&basic(to("/x").with_peer(wrong), wrong)));
        assert_eq!(denial.status, 401, "{wrong}");
        assert_eq!(denial.reuse.seconds, 0);
    }
    for garbage in ["Basic", "Basic !!!", "Basic Ym9i", "Bearer Ym9iOmFiYw=="] {
        denied(plugin.decide(&to("/x").with_header("Authorization", garbage)));
    }
}

#[test]
fn a_wrong_password_shows_the_form_again_and_tells_no_more_than_that() {
    let mut plugin = plugin();
    let mut body = |name, password, peer| {
        let denial = denied(plugin.decide(&login(name, password).with_peer(peer)));
        assert_eq!(denial.status, 401);
        denial.body
    };
    let wrong = body("bob", "abd", "a");
    assert!(wrong.contains("Wrong name or password."));
    assert_eq!(body("eve", "abc", "b"), wrong);
}

#[test]
fn whoever_fails_too_often_has_to_wait_and_nobody_else() {
    let mut plugin = plugin();
    for _ in 0..3 {
        assert_eq!(denied(plugin.decide(&login("bob", "?"))).status, 401);
    }
    let denial = denied(plugin.decide(&login("bob", "abc")));
    assert_eq!(denial.status, 429);
    assert_eq!(header(&denial.headers, "Retry-After"), "1");
    assert!(denial.body.contains("Try again in 1 s."));
    let denial = denied(plugin.decide(&basic(to("/cam/live.m3u8"), "bob:abc")));
    assert_eq!(denial.status, 429);
    // Others aren't slowed down, nor are sessions, and another instance knows as well.
    redirected(plugin.decide(&login("bob", "abc").with_peer("192.0.2.2")));
    assert_eq!(
        denied(self::plugin().decide(&login("bob", "abc"))).status,
        429
    );
    redirected(plugin.decide(&login("bob", "abc").at(NOW + 1)));
    // That was right, so all is forgiven.
    assert_eq!(denied(plugin.decide(&login("bob", "?"))).status, 401);
}

#[test]
fn a_session_survives_a_reload_and_ends_with_its_password_its_user_or_its_key() {
    let session = session(&mut plugin(), "bob", "abc");
    let request = to("/").with_cookie(COOKIE, &session);
    allowed(plugin().decide(&request));
    let others = [
        format!("ada:{ARGON2}"),
        format!("bob:{ARGON2}"),
        format!("rob:{BCRYPT}"),
    ];
    for users in &others {
        denied(with(&[("users", users)]).decide(&request));
    }
    kv::delete("session-key");
    denied(plugin().decide(&request));
    let key = "k".repeat(32);
    let mut fixed = with(&[("session-key", &key)]);
    let session = self::session(&mut fixed, "bob", "abc");
    allowed(with(&[("session-key", &key)]).decide(&to("/").with_cookie(COOKIE, &session)));
}

#[test]
fn a_session_can_be_neither_changed_nor_stretched() {
    let mut plugin = plugin();
    let session = session(&mut plugin, "bob", "abc");
    for at in 0..session.len() {
        for replacement in ['A', '9', '.', '-'] {
            let mut bad = session.clone();
            bad.replace_range(at..=at, &replacement.to_string());
            if bad != session {
                denied(plugin.decide(&to("/").with_cookie(COOKIE, &bad)));
            }
        }
    }
    for bad in ["", ".", "..", "Ym9i.9999999999.", "é.1.é"] {
        denied(plugin.decide(&to("/").with_cookie(COOKIE, bad)));
    }
    // Given out when the clock was right, and shown when it isn't set.
    denied(plugin.decide(&to("/").at(60).with_cookie(COOKIE, &session)));
}

#[test]
fn a_player_whose_session_ended_makes_no_browser_ask() {
    let denial = denied(plugin().decide(&to("/cam/live.m3u8").with_cookie(COOKIE, "old")));
    assert_eq!(denial.status, 401);
    assert!(header(&denial.headers, "WWW-Authenticate").starts_with("Cookie "));
    let denial = denied(plugin().decide(&to("/").with_cookie(COOKIE, "old")));
    assert!(denial.body.contains("The session has ended."));
}

#[test]
fn logging_out_takes_the_cookie_away() {
    let redirection = redirected(plugin().decide(&to("/").with_parameter("logout", "")));
    assert!(
        header(&redirection.headers, "Set-Cookie").starts_with("picam-session=; ")
            && header(&redirection.headers, "Set-Cookie").ends_with("; Max-Age=0")
    );
    assert_eq!(redirection.location, "./");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    let bob = format!("bob:{BCRYPT}");
    for (pairs, expected) in [
        (
            [("users", ""), ("session-h", "12")],
            "`htpasswd -nB NAME` makes one",
        ),
        (
            [("users", "bob:abc"), ("session-h", "12")],
            "passwords are not written here",
        ),
        ([("users", &*bob), ("session-h", "0")], "from 1 to 8760 (h)"),
        (
            [("users", &bob), ("realm", "a\"b")],
            "without quotation marks",
        ),
        (
            [("users", &bob), ("session-key", "short")],
            "32 characters at least",
        ),
        ([("users", &bob), ("secure", "maybe")], "expected yes or no"),
    ] {
        let error = AuthBasic::start(&Config::from(pairs)).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}
