use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Host names that it is for, as they are written in it; `*.` may begin one.
    pub hosts: Vec<String>,
    /// Addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// Seconds since 1970 (RFC 5280, 4.1.2.5), both included.
    pub(super) valid: (i64, i64),
    /// SHA-256 of the whole, as browsers show it.
    pub fingerprint: String,
}

/// Whether a certificate holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It does, for so much longer.
    Valid(Duration),
    /// It has ended.
    Ended,
    /// It has not begun: most likely the clock is wrong.
    NotYet,
}

impl Facts {
    /// Reads a certificate (DER).
    pub(super) fn of(der: &[u8]) -> anyhow::Result<Self> {
        let certificate = Certificate::from_der(der)
            .map_err(|error| anyhow!("the certificate can't be read: {error}"))?
            .tbs_certificate;
        let names = certificate
            .get::<SubjectAltName>()
            .map_err(|error| anyhow!("the names in the certificate can't be read: {error}"))?;
        let names = names.map_or_else(Vec::new, |(_, names)| names.0);
        let mut fingerprint = String::new();
        for byte in Sha256::digest(der) {
            let colon = if fingerprint.is_empty() { "" } else { ":" };
            write!(fingerprint, "{colon}{byte:02X}").expect("writing to a string never fails");
        }
        let seconds =
            |time: Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity;
        Ok(Self {
            hosts: names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
                    _ => None,
                })
                .collect(),
            addresses: names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
                    _ => None,
                })
                .collect(),
            valid: (seconds(validity.not_before), seconds(validity.not_after)),
            fingerprint,
        })
    }

    /// Whether it holds at this moment.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let now = seconds(now);
        let (first, last) = self.valid;
        match u64::try_from(last - now) {
            _ if now < first => Validity::NotYet,
            Ok(left) => Validity::Valid(Duration::from_secs(left)),
            Err(_) => Validity::Ended,
        }
    }

    /// Its end, as people read it.
    pub fn end(&self) -> String {
        date(self.valid.1)
    }

    /// Its beginning, as people read it.
    pub fn beginning(&self) -> String {
        date(self.valid.0)
    }

    /// All names and addresses, for people.
    pub fn names(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<_> = self.hosts.iter().cloned().chain(addresses).collect();
        match all.is_empty() {
            true => "no name".to_owned(),
            false => all.join(", "),
        }
    }

    /// Says what browsers will say. A certificate that doesn't hold is served all the same: a wrong clock is no reason not
    /// to stream, and a warning in a browser is better than no page at all.
    pub(super) fn warn_of_dates(&self, file: &Path) {
        let file = file.display();
        match self.validity(SystemTime::now()) {
            Validity::Valid(left) if left < SOON => {
                tracing::warn!("the certificate {file} ends on {}; renew it", self.end());
            }
            Validity::Valid(_) => {}
            Validity::Ended => tracing::warn!(
                "the certificate {file} ended on {}, so players refuse it and browsers warn; renew it (or set the clock)",
                self.end()
            ),
            Validity::NotYet => tracing::warn!(
                "the certificate {file} begins on {}; is the clock of this machine wrong?",
                self.beginning()
            ),
        }
    }
}

/// Those who renew certificates do so a month or more before the end.
pub(super) const SOON: Duration = Duration::from_secs(7 * 24 * 3_600);

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a certificate for {} until {}", self.names(), self.end())
    }
}

pub(super) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds)
        }
    }
}

fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "a day beyond all calendars".to_owned(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        _ => None,
    }
}
