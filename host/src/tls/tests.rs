use std::{net::Ipv4Addr, os::unix::fs::PermissionsExt as _};

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::time::BUILT;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn day(number: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * number
}

/// A day on which the clock is right.
fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + BUILT + DAY * 100
}

/// A certificate and its key (PEM).
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn parse(certificate: &str, key: &str) -> anyhow::Result<CertifiedKey> {
    let (cert, path) = (Path::new("cert.pem"), Path::new("key.pem"));
    files::parse(certificate.as_bytes(), cert, key.as_bytes(), path)
}

#[test]
fn a_certificate_is_for_the_machines_names_and_addresses_and_no_longer_than_apple_permits() {
    let made = own::testing::made(today(), "camera", &[HERE]);
    assert_eq!(made.hosts, ["localhost", "camera", "camera.local"]);
    assert_eq!(made.addresses, [HERE]);
    let (first, last) = made.valid;
    assert!(last - first < 825 * 24 * 3_600);
    assert!(matches!(made.validity(today()), Validity::Valid(_)));
    assert_eq!(made.validity(today() - DAY * 2), Validity::NotYet);
    assert_eq!(made.validity(today() + DAY * 824), Validity::Ended);
}

#[test]
fn one_that_was_made_before_the_clock_was_set_is_renewed_once_it_is() {
    let made = own::testing::made(day(0), "camera", &[HERE]);
    assert!(own::fits(&made, day(0), Some(HERE)));
    assert!(!own::fits(&made, today(), Some(HERE)));
}

#[test]
fn one_from_before_a_restart_holds_while_the_clock_is_not_set() {
    let made = own::testing::made(today(), "camera", &[HERE]);
    assert!(own::fits(&made, day(0), Some(HERE)));
}

#[test]
fn one_from_a_clock_that_was_ahead_is_renewed() {
    let made = own::testing::made(today() + DAY * 5_000, "camera", &[HERE]);
    assert!(!own::fits(&made, today(), Some(HERE)));
}

#[test]
fn one_that_is_about_to_end_is_renewed() {
    let made = own::testing::made(today(), "camera", &[HERE]);
    assert!(own::fits(&made, today() + DAY * 789, Some(HERE)));
    assert!(!own::fits(&made, today() + DAY * 791, Some(HERE)));
}

#[test]
fn an_address_that_the_machine_got_later_is_a_reason_to_renew_and_one_of_a_link_is_none() {
    let made = own::testing::made(today(), "camera", &[]);
    assert!(!own::fits(&made, today(), Some(HERE)));
    for elsewhere in [
        "127.0.0.2",
        "::1",
        "fe80::1",
        "169.254.0.9",
        "::ffff:127.0.0.1",
    ] {
        assert!(
            own::fits(&made, today(), Some(elsewhere.parse().unwrap())),
            "{elsewhere}"
        );
    }
}

#[test]
fn our_own_is_kept_for_the_next_start_where_nobody_else_reads() {
    let state = tempfile::tempdir().unwrap();
    let first = Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
    let second = Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
    assert_eq!(first.facts(), second.facts());
    let file = state.path().join("tls/self-signed.pem");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_one_is_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let first = Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
    let file = state.path().join("tls/self-signed.pem");
    for damaged in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&file, damaged).unwrap();
        let second = Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
        assert_ne!(first.facts(), second.facts());
    }
}

#[test]
fn a_viewer_at_a_new_address_gets_a_certificate_for_it_with_the_same_key() {
    let state = tempfile::tempdir().unwrap();
    let tls = Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
    let key = || {
        let pem = std::fs::read_to_string(state.path().join("tls/self-signed.pem")).unwrap();
        KeyPair::from_pem(&pem).unwrap().serialize_der()
    };
    let (before, key_before) = (tls.facts(), key());
    let _ = tls.config(Ipv4Addr::LOCALHOST.into());
    assert_eq!(tls.facts(), before);
    let _ = tls.config(HERE);
    assert_ne!(tls.facts(), before);
    assert!(tls.facts().addresses.contains(&HERE));
    assert!(key() == key_before);
}

#[test]
fn what_is_wrong_with_files_is_said_with_the_file_and_what_to_do() {
    let ((certificate, key), (_, another)) = (pair("a.example"), pair("a.example"));
    let certified = parse(&certificate, &key).unwrap();
    assert_eq!(certified.cert.len(), 1);
    let facts = Facts::of(certified.end_entity_cert().unwrap()).unwrap();
    assert_eq!(facts.names(), "a.example");

    let wrong =
        |certificate: &str, key: &str| format!("{:#}", parse(certificate, key).unwrap_err());
    for (error, words) in [
        (
            wrong(&certificate, &another),
            ["key.pem is not the one", "cert.pem"],
        ),
        (
            wrong(&key, &certificate),
            ["no certificate in cert.pem", "wrong way round"],
        ),
        (
            wrong("", &key),
            ["no certificate in cert.pem", "BEGIN CERTIFICATE"],
        ),
        (
            wrong(&certificate, ""),
            ["no private key in key.pem", "BEGIN PRIVATE KEY"],
        ),
        (
            wrong(
                &certificate,
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            ),
            ["key.pem is locked with a passphrase", "openssl pkey"],
        ),
        (
            wrong(
                &certificate,
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            ),
            ["private key key.pem can't be used", "ECDSA"],
        ),
        (
            wrong(&certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n"),
            ["key.pem is damaged", "END"],
        ),
    ] {
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    let missing = Path::new("/nowhere/cert.pem");
    let error = format!("{:#}", files::read(missing, missing).unwrap_err());
    assert!(
        error.contains("reading the certificate /nowhere/cert.pem")
            && error.contains("No such file"),
        "{error}"
    );
}
