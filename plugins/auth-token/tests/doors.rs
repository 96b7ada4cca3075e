//! Requests as the host asks about them.

use auth_token::AuthToken;
use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use picam_plugin::{Config, Plugin, auth::*};
use sha2::Sha256;

/// 2026-11-25T00:00:00Z
const NOW: u64 = 1_795_564_800;
const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

fn plugin() -> AuthToken {
    with(&[])
}

fn with(pairs: &[(&str, &str)]) -> AuthToken {
    let keys = format!("old:{OLD} new:{NEW}");
    let pairs = [("keys", &*keys)].into_iter().chain(pairs.iter().copied());
    let config = pairs
        .map(|(key, value)| picam_plugin::KeyValue {
            key: key.into(),
            value: value.into(),
        })
        .collect();
    AuthToken::start(&Config::new(config)).unwrap()
}

/// A token as the documentation says to make one.
fn token(id: &str, secret: &str, expires: u64, prefix: &str) -> String {
    let claims = format!(
        "{id}.{expires}.{}",
        Base64UrlUnpadded::encode_string(prefix.as_bytes())
    );
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap()
        .chain_update(&claims)
        .finalize();
    let signature = Base64UrlUnpadded::encode_string(&mac.into_bytes());
    format!("{claims}.{signature}")
}

fn good() -> String {
    token("new", NEW, NOW + 600, "")
}

fn to(path: &str) -> Request {
    Request::to(path).at(NOW)
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

#[test]
fn a_token_opens_every_path_for_as_long_as_it_holds() {
    for path in [
        "/",
        "/cam/live.m3u8",
        "/cam/abc/part-1.m4s",
        "/cam/live.mp4",
    ] {
        let permission = allowed(plugin().decide(&to(path).with_token(&good())));
        assert_eq!(permission.reuse, Reuse::within(600, "/"));
        assert_eq!(permission.headers, []);
    }
    let last = allowed(plugin().decide(&to("/").at(NOW + 599).with_token(&good())));
    assert_eq!(last.reuse.seconds, 1);
}

#[test]
fn without_one_nothing_opens() {
    for path in ["/", "/cam/live.m3u8"] {
        let denial = denied(plugin().decide(&to(path)));
        assert_eq!(denial.status, 403);
        assert!(denial.body.contains("ask the person"), "{}", denial.body);
        assert_eq!(denial.reuse, Reuse::within(60, "/"));
    }
}

#[test]
fn the_second_in_which_it_runs_out_is_too_late() {
    let request = |at| to("/").at(at).with_token(&good());
    allowed(plugin().decide(&request(NOW + 599)));
    let denial = denied(plugin().decide(&request(NOW + 600)));
    assert!(
        denial.body.contains("2026-11-25 00:10:00 UTC"),
        "{}",
        denial.body
    );
}

#[test]
fn keys_are_told_apart_by_id_so_that_an_old_one_can_be_withdrawn() {
    let old = token("old", OLD, NOW + 600, "");
    allowed(plugin().decide(&to("/").with_token(&old)));
    for wrong in [
        token("new", OLD, NOW + 600, ""),
        token("other", NEW, NOW + 600, ""),
    ] {
        denied(plugin().decide(&to("/").with_token(&wrong)));
    }
    let config = Config::from([("keys", &*format!("new:{NEW}"))]);
    let mut withdrawn = AuthToken::start(&config).unwrap();
    denied(withdrawn.decide(&to("/").with_token(&old)));
    allowed(withdrawn.decide(&to("/").with_token(&good())));
}

#[test]
fn a_prefix_bounds_what_a_token_opens() {
    let token = token("new", NEW, NOW + 600, "/cam/");
    let permission = allowed(plugin().decide(&to("/cam/live.m3u8").with_token(&token)));
    assert_eq!(permission.reuse, Reuse::within(600, "/cam/"));
    for path in ["/", "/cam", "/camera/live.m3u8"] {
        let denial = denied(plugin().decide(&to(path).with_token(&token)));
        assert!(
            denial.body.contains("begin with /cam/ only"),
            "{}",
            denial.body
        );
        assert_eq!(denial.reuse.seconds, 0, "another path has another answer");
    }
}

#[test]
fn every_change_of_a_single_character_closes_the_door() {
    let good = token("new", NEW, NOW + 600, "/cam/");
    allowed(plugin().decide(&to("/cam/").with_token(&good)));
    for at in 0..good.len() {
        for replacement in ['A', '9', '.', '_', '~', '='] {
            let mut bad = good.clone();
            bad.replace_range(at..=at, &replacement.to_string());
            if bad != good {
                denied(plugin().decide(&to("/cam/").with_token(&bad)));
            }
        }
        let mut short = good.clone();
        short.remove(at);
        denied(plugin().decide(&to("/cam/").with_token(&short)));
    }
    for bad in ["", ".", "...", "a.b.c.d", "....", "new.1.2.3.4", "é"] {
        denied(plugin().decide(&to("/cam/").with_token(bad)));
    }
    denied(plugin().decide(&to("/cam/").with_token(&(good + "A"))));
}

#[test]
fn a_cookie_carries_it_as_well_and_one_that_holds_is_enough() {
    let request = to("/cam/live.m3u8").with_cookie("picam-token", &good());
    allowed(plugin().decide(&request));
    allowed(plugin().decide(&request.with_token("stale").with_parameter("token", "stale")));
    let elsewhere = to("/").with_cookie("other", &good());
    denied(plugin().decide(&elsewhere));
}

#[test]
fn a_link_to_the_page_becomes_a_cookie_that_lasts_as_long() {
    let request = to("/").with_parameter("token", &good());
    let Decision::Redirect(redirection) = plugin().decide(&request) else {
        panic!("no redirection");
    };
    let [cookie] = &redirection.headers[..] else {
        panic!("one header");
    };
    assert!(
        cookie
            .value
            .starts_with(&format!("picam-token={};", good()))
    );
    assert!(cookie.value.ends_with("Max-Age=600"), "{}", cookie.value);
}

#[test]
fn what_is_turned_off_is_not_read() {
    let mut plugin = with(&[("cookie", ""), ("parameter", "")]);
    assert_eq!(plugin.reads(), picam_plugin::Inputs::none());
    denied(plugin.decide(&to("/").with_cookie("", &good())));
    allowed(plugin.decide(&to("/").with_token(&good())));
    let reads = with(&[("cookie", "c"), ("parameter", "p")]).reads();
    assert_eq!(
        (reads.cookies, reads.query),
        (vec!["c".into()], vec!["p".into()])
    );
}

#[test]
fn before_the_clock_is_set_nobody_is_let_in() {
    let request = to("/").at(60).with_token(&good());
    let denial = denied(plugin().decide(&request));
    assert_eq!(denial.status, 503);
    assert_eq!(denial.reuse.seconds, 0);
    assert_eq!(denial.headers[0].name, "Retry-After");
}
