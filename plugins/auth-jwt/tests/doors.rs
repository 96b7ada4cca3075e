//! Requests as the host asks about them, with tokens that another library made.

use auth_jwt::AuthJwt;
use picam_plugin::{Config, KeyValue, Plugin, auth::*};

/// 2026-11-25T00:00:00Z
const NOW: u64 = 1_795_564_800;

// By PyJWT, with these keys: {"exp": NOW + 600, "iss": "py", "path": "/cam/"}.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvOtpAI78me/lVLbCKzMLsTBQjKyr\n\
    dKckqLU0JrPURcT18oaOTbHzgSePDQz0bnq2coZYZ/KEN8xs+qZWM0j7IA==\n\
    -----END PUBLIC KEY-----";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAEp/dU3j33sl3SQ1tmWM8XW/E/qEFI9ieLbjs8DQ/FOE=\n\
    -----END PUBLIC KEY-----";
const HS256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3OTU1NjU0MDAsImlzcyI6InB5IiwicGF0aCI6Ii9jYW0vIn0.cJ6OP9BK4QsLZ-ZZuh3J4fX0iKK0Id-8xLEd9OwBmA4";
const ES256: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3OTU1NjU0MDAsImlzcyI6InB5IiwicGF0aCI6Ii9jYW0vIn0.3ummwGFet732DeGVvSwHdSbE6KvuIc_tjDcIFJKxHlgrTkGYqHTJzOvlVIJh_A8_8uW_QVQpm3theBylV_Ga5g";
const EDDSA: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJleHAiOjE3OTU1NjU0MDAsImlzcyI6InB5IiwicGF0aCI6Ii9jYW0vIn0.GHEf3i8XesdhZKQXXm2GhI4Ddn9KALtpT2UbPiGe6dkTh1Rez8y6vOCHlvFOH1L_nAKhASef81fATvhrcmo7Aw";
// The same, by hand, with HS256 and the PEM above as the secret.
const CONFUSED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOiAxNzk1NTY1NDAwLCAiaXNzIjogInB5IiwgInBhdGgiOiAiL2NhbS8ifQ.J7_yLGTOx1mho2owHIufRnImqMoTwjKmPX_L8GnRl5g";

fn with(pairs: &[(&str, &str)]) -> AuthJwt {
    let pairs = pairs.iter().map(|(key, value)| KeyValue {
        key: (*key).into(),
        value: (*value).into(),
    });
    AuthJwt::start(&Config::new(pairs.collect())).unwrap()
}

fn to(path: &str) -> Request {
    Request::to(path).at(NOW)
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("not denied but {other:?}"),
    }
}

#[test]
fn tokens_that_another_library_signed_open_what_they_say_for_as_long_as_they_say() {
    for (pairs, token) in [
        ([("secret", SECRET), ("leeway-s", "0")], HS256),
        ([("keys", P256), ("leeway-s", "0")], ES256),
        ([("keys", ED25519), ("leeway-s", "0")], EDDSA),
    ] {
        let mut plugin = with(&pairs);
        for request in [
            to("/cam/live.m3u8").with_token(token),
            to("/cam/live.m3u8").with_cookie("picam-token", token),
            to("/cam/live.m3u8").with_header("Authorization", &format!("Bearer {token}")),
        ] {
            let decision = plugin.decide(&request);
            assert_eq!(decision, Decision::allow(600, "/cam/"));
            denied(plugin.decide(&request.at(NOW + 600)));
        }
    }
}

#[test]
fn several_keys_stand_side_by_side_and_none_takes_the_tokens_of_another() {
    let both = format!("{P256}\n{ED25519}");
    let mut all = with(&[("keys", &both), ("secret", SECRET)]);
    for token in [HS256, ES256, EDDSA] {
        let request = to("/cam/").with_token(token);
        assert!(matches!(all.decide(&request), Decision::Allow(_)));
        let taking = [("secret", SECRET), ("keys", P256), ("keys", ED25519)]
            .into_iter()
            .filter(|pair| matches!(with(&[*pair]).decide(&request), Decision::Allow(_)));
        assert_eq!(taking.count(), 1);
    }
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    // The oldest trick: HS256 with the text of the public key, which everybody knows.
    let mut plugin = with(&[("keys", P256)]);
    let denial = denied(plugin.decide(&to("/cam/").with_token(CONFUSED)));
    assert!(denial.body.contains("isn't signed"), "{}", denial.body);
    // It is a token, for whoever would fall for it.
    let mut fooled = with(&[("secret", P256)]);
    let decision = fooled.decide(&to("/cam/").with_token(CONFUSED));
    assert!(matches!(decision, Decision::Allow(_)), "{decision:?}");
}

#[test]
fn a_refusal_says_what_is_wrong_to_people_and_to_programs() {
    let mut plugin = with(&[("secret", SECRET), ("issuer", "me")]);
    let mut refused = |request: Request| {
        let denial = denied(plugin.decide(&request));
        let [header] = &denial.headers[..] else {
            panic!("one header");
        };
        assert_eq!(header.name, "WWW-Authenticate");
        (denial.status, header.value.clone(), denial.reuse.seconds)
    };
    let challenge = "Bearer realm=\"picam-host\"";
    assert_eq!(refused(to("/")), (401, challenge.into(), 60));
    let invalid = format!("{challenge}, error=\"invalid_token\"");
    assert_eq!(refused(to("/").with_token("x")), (401, invalid.clone(), 60));
    assert_eq!(refused(to("/cam/").with_token(HS256)), (401, invalid, 60));
    let mut plugin = with(&[("secret", SECRET)]);
    let denial = denied(plugin.decide(&to("/").with_token(HS256)));
    assert_eq!((denial.status, denial.reuse.seconds), (403, 0));
    assert!(
        denial.headers[0]
            .value
            .ends_with("error=\"insufficient_scope\"")
    );
}

#[test]
fn before_the_clock_is_set_nobody_is_let_in() {
    let mut plugin = with(&[("secret", SECRET)]);
    let denial = denied(plugin.decide(&to("/cam/").at(60).with_token(HS256)));
    assert_eq!(denial.status, 503);
}

#[test]
fn without_a_key_it_does_not_start() {
    for (pairs, expected) in [
        (&[][..], "expected the public keys"),
        (&[("secret", "short")][..], "32 bytes at least"),
        (&[("keys", "{}")][..], "it has no `kty`"),
        (
            &[("secret", SECRET), ("leeway-s", "601")][..],
            "from 0 to 600 (s)",
        ),
    ] {
        let config = pairs.iter().map(|(key, value)| KeyValue {
            key: (*key).into(),
            value: (*value).into(),
        });
        let error = AuthJwt::start(&Config::new(config.collect())).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
