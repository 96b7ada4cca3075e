//! A certificate of our own: for a home network, where no authority gives one.
//!
//! It is for the names and addresses that this machine has, and valid for as long as players accept (Apple's: 825 days).
//! A board without a battery boots in 1970, may make one then, and learns the date a minute later; so the dates are looked
//! at again whenever somebody connects. The key stays the same through all renewals.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::sign::CertifiedKey;

use super::{Facts, Validity, files};
use crate::{machine, private_directory::PrivateDirectory, time::BUILT};

/// Key and certificate, in one file so that they always belong together.
const FILE: &str = "self-signed.pem";

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// A certificate begins so much before now: viewers' clocks differ.
const BEFORE: Duration = DAY;
/// Together with what lies before less than the 825 days that iOS and macOS permit.
const AFTER: Duration = DAY.saturating_mul(820);
/// It is made anew when so little is left.
const LEFT: Duration = DAY.saturating_mul(30);

/// More than any certificate and key have.
const MOST: u64 = 1 << 20;

/// Keeps the certificate.
#[derive(Debug)]
pub(super) struct Keeper(PrivateDirectory);

impl Keeper {
    pub(super) fn open(state_dir: &Path) -> anyhow::Result<Self> {
        PrivateDirectory::open(&state_dir.join("tls"))
            .map(Self)
            .context("keeping a certificate of our own")
    }

    /// The one that is kept, if it still fits; else a new one.
    pub(super) fn certificate(&self) -> anyhow::Result<CertifiedKey> {
        let kept = self.kept().unwrap_or_else(|error| {
            tracing::warn!("our own certificate can't be read and is made anew: {error:#}");
            None
        });
        match kept {
            Some(kept) if is_for_this_machine(&kept) => Ok(kept),
            _ => self.renew(None),
        }
    }

    /// The one that is kept.
    pub(super) fn kept(&self) -> anyhow::Result<Option<CertifiedKey>> {
        let path = self.0.path().join(FILE);
        let pem = self
            .0
            .read(FILE, MOST)
            .with_context(|| format!("reading {}", path.display()))?;
        pem.map(|pem| files::parse(&pem, &path, &pem, &path))
            .transpose()
    }

    /// Makes a new one with the key of the one before, and keeps it. If it can't be kept, it serves all the same.
    pub(super) fn renew(&self, address: Option<IpAddr>) -> anyhow::Result<CertifiedKey> {
        let key = match self.key() {
            Some(key) => key,
            None => KeyPair::generate().context("making a private key")?,
        };
        let certificate = parameters(SystemTime::now(), &hostname(), addresses(address))
            .self_signed(&key)
            .context("making a certificate")?;
        // The key comes first, since it is all that is looked for when the next certificate is made.
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        if let Err(error) = self.0.write(FILE, &[pem.as_bytes()], true) {
            tracing::warn!(
                "our own certificate can't be kept, so that the next start makes another: {error:#}"
            );
        }
        let path = self.0.path().join(FILE);
        files::parse(pem.as_bytes(), &path, pem.as_bytes(), &path)
    }

    fn key(&self) -> Option<KeyPair> {
        let pem = self.0.read(FILE, MOST).ok()??;
        KeyPair::from_pem(std::str::from_utf8(&pem).ok()?).ok()
    }
}

/// Whether a certificate of our own still does: for a viewer who comes to this address.
pub(super) fn fits(facts: &Facts, now: SystemTime, address: Option<IpAddr>) -> bool {
    let lasts = match facts.validity(now) {
        Validity::Valid(left) => left > LEFT,
        Validity::Ended => false,
        // Of a clock that isn't set yet nothing can be learnt; one that is set was wrong when the certificate was made.
        Validity::NotYet => now < SystemTime::UNIX_EPOCH + BUILT,
    };
    let known = address
        .map(|address| address.to_canonical())
        .filter(|address| is_lasting(*address))
        .is_none_or(|address| facts.addresses.contains(&address));
    lasts && known
}

fn is_for_this_machine(certificate: &CertifiedKey) -> bool {
    let Some(facts) = certificate
        .end_entity_cert()
        .ok()
        .and_then(|der| Facts::of(der).ok())
    else {
        return false;
    };
    let now = SystemTime::now();
    let named = hosts(&hostname())
        .iter()
        .all(|host| facts.hosts.contains(host));
    named
        && addresses(None)
            .iter()
            .all(|&address| fits(&facts, now, Some(address)))
}

fn parameters(now: SystemTime, hostname: &str, addresses: BTreeSet<IpAddr>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("picam-host on {hostname}"));
    parameters.distinguished_name = name;
    // A clock that stands at the beginning of time has no day before.
    let now = now.max(SystemTime::UNIX_EPOCH + BEFORE);
    parameters.not_before = (now - BEFORE).into();
    parameters.not_after = (now + AFTER).into();
    // Hosts whose names aren't fit for a certificate are reached by address.
    let hosts = hosts(hostname)
        .into_iter()
        .filter_map(|host| host.try_into().ok())
        .map(SanType::DnsName);
    let addresses = addresses.into_iter().map(SanType::IpAddress);
    parameters.subject_alt_names = hosts.chain(addresses).collect();
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

/// The names of this machine: its own, that of multicast DNS, and the one that means here.
fn hosts(hostname: &str) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned()];
    if !hostname.is_empty() && hostname != "localhost" {
        hosts.push(hostname.to_owned());
        if !hostname.contains('.') {
            hosts.push(format!("{hostname}.local"));
        }
    }
    hosts
}

fn hostname() -> String {
    machine::hostname().unwrap_or_else(|| "localhost".to_owned())
}

/// All addresses under which somebody may look for this machine, and this one.
fn addresses(besides: Option<IpAddr>) -> BTreeSet<IpAddr> {
    let lasting = machine::addresses()
        .into_iter()
        .chain(besides)
        .map(|address| address.to_canonical())
        .filter(|address| is_lasting(*address));
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    loopback.into_iter().chain(lasting).collect()
}

/// Whether an address is worth a place in a certificate: those of loopback are there anyway, and those of a link change
/// with it.
fn is_lasting(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A certificate as it would be made at a moment.
    pub(crate) fn made(now: SystemTime, hostname: &str, addresses: &[IpAddr]) -> Facts {
        let key = KeyPair::generate().unwrap();
        let addresses = addresses.iter().copied().collect();
        let certificate = parameters(now, hostname, addresses)
            .self_signed(&key)
            .unwrap();
        Facts::of(certificate.der()).unwrap()
    }
}
