use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use super::Finding;
use crate::{
    config::Config,
    tls::{self, Facts, TlsSpec, Validity},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Whoever renews certificates by a program has done so by then.
const SOON: Duration = DAY.saturating_mul(21);

/// TLS: the certificate and its key are read as the host would, and the certificate's dates and names looked at.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    match &config.tls {
        Some(spec) => certificate(spec, &config.state_dir),
        None => Vec::new(),
    }
}

fn certificate(spec: &TlsSpec, state_dir: &Path) -> Vec<Finding> {
    let facts = match tls::examine(spec, state_dir) {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            let text = format!(
                "a certificate is made at the start, and kept in {}",
                state_dir.display()
            );
            return vec![Finding::ok("tls", text)];
        }
        Err(error) => return vec![Finding::wrong("tls", format!("{error:#}"))],
    };
    let mut findings = match spec {
        // It renews itself.
        TlsSpec::SelfSigned => vec![Finding::ok(
            "tls",
            format!(
                "our own certificate is for {}; browsers warn of it, its fingerprint (SHA-256) is {}",
                facts.names(),
                facts.fingerprint
            ),
        )],
        TlsSpec::Files { cert, .. } => vec![dates(&facts, cert, SystemTime::now())],
    };
    if let TlsSpec::Files { key, .. } = spec {
        findings.extend(others_read(key));
    }
    if facts.hosts.is_empty() && facts.addresses.is_empty() {
        findings.push(Finding::warn(
            "tls",
            "the certificate names nobody (it has no subject alternative name), so no browser takes it for anybody's",
            "have one made for the name that viewers use",
        ));
    }
    findings
}

fn dates(facts: &Facts, cert: &Path, now: SystemTime) -> Finding {
    let cert = cert.display();
    match facts.validity(now) {
        Validity::Valid(left) if left < SOON => Finding::warn(
            "tls",
            format!(
                "{cert} ends on {}, in {} days",
                facts.end(),
                left.as_secs() / DAY.as_secs()
            ),
            "renew it; the host takes the new one when the file changes",
        ),
        Validity::Valid(_) => Finding::ok(
            "tls",
            format!("{cert} is for {}, until {}", facts.names(), facts.end()),
        ),
        Validity::Ended => Finding::wrong("tls", format!("{cert} ended on {}", facts.end()))
            .mend("renew it; the host takes the new one when the file changes"),
        Validity::NotYet => {
            Finding::wrong("tls", format!("{cert} begins on {}", facts.beginning()))
                .mend("set the clock of this machine, if it is wrong")
        }
    }
}

/// A key that everybody on this machine can read is nobody's secret.
fn others_read(key: &Path) -> Option<Finding> {
    let mode = key.metadata().ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        Finding::warn(
            "tls",
            format!(
                "everybody on this machine can read the private key {}",
                key.display()
            ),
            format!("`chmod o= {}`", key.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::report::Level, *};
    use crate::machine;

    #[test]
    fn what_the_host_would_not_start_with_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let spec = TlsSpec::Files {
            cert: directory.path().join("none.pem"),
            key: directory.path().join("none.pem"),
        };
        let finding = certificate(&spec, directory.path()).remove(0);
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("none.pem"), "{finding:?}");
    }

    #[test]
    fn a_certificate_of_our_own_is_looked_at_and_not_made() {
        let state = tempfile::tempdir().unwrap();
        let finding = certificate(&TlsSpec::SelfSigned, state.path()).remove(0);
        assert_eq!(finding.level, Level::Ok);
        assert!(finding.text.contains("made at the start"), "{finding:?}");
        let _served = tls::Tls::open(&TlsSpec::SelfSigned, state.path()).unwrap();
        let finding = certificate(&TlsSpec::SelfSigned, state.path()).remove(0);
        let name = machine::hostname().unwrap();
        assert!(finding.text.contains(&name), "{finding:?}");
    }
}
