use std::{io::ErrorKind, path::Path};

use anyhow::{Context as _, bail};
use rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

/// Reads a certificate with its chain, and its key. They belong together.
pub(super) fn read(cert: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let certificates = content(cert, "certificate")?;
    let keys = content(key, "private key")?;
    parse(&certificates, cert, &keys, key)
}

fn content(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        let help = match std::fs::metadata(path).map_err(|error| error.kind()) {
            Err(ErrorKind::PermissionDenied) | Ok(_) => {
                " (whoever runs picam-host has to be able to read it)"
            }
            Err(_) => "",
        };
        format!("reading the {what} {}{help}", path.display())
    })
}

/// What two PEM files hold, or one that is both.
pub(super) fn parse(
    certificates: &[u8],
    cert: &Path,
    keys: &[u8],
    key: &Path,
) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is damaged", cert.display()))?;
    if chain.is_empty() {
        let help = match PrivateKeyDer::from_pem_slice(certificates) {
            Ok(_) => "; it holds a private key: are the two files the wrong way round?",
            Err(_) => "; it should begin with -----BEGIN CERTIFICATE-----",
        };
        bail!("there is no certificate in {}{help}", cert.display());
    }
    let private = match PrivateKeyDer::from_pem_slice(keys) {
        Ok(private) => private,
        Err(_) if is_locked(keys) => bail!(
            "the private key {0} is locked with a passphrase, which nobody is there to type in; `openssl pkey -in {0} \
             -out open.pem` writes it without one, for a directory that nobody else can read",
            key.display()
        ),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => bail!(
            "there is no private key in {}; it should begin with -----BEGIN PRIVATE KEY-----",
            key.display()
        ),
        Err(rustls::pki_types::pem::Error::MissingSectionEnd { .. }) => bail!(
            "{} is damaged: it stops before the line -----END PRIVATE KEY-----",
            key.display()
        ),
        Err(error) => bail!("{} is damaged: {error}", key.display()),
    };
    let private = super::provider()
        .key_provider
        .load_private_key(private)
        .map_err(|error| {
            anyhow::anyhow!(
                "the private key {} can't be used: {error}; RSA from 2048 bits, ECDSA (P-256, P-384) and Ed25519 can",
                key.display()
            )
        })?;
    let certified = CertifiedKey::new(chain, private);
    match certified.keys_match() {
        // Some kinds of key don't tell.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => bail!(
            "the private key {} is not the one of the first certificate in {}: name the pair that was made together, and \
             in a chain, one's own certificate first",
            key.display(),
            cert.display()
        ),
        Err(error) => bail!("the certificate {} can't be used: {error}", cert.display()),
    }
}

/// PKCS #8 (RFC 7468, 11) and the older way (RFC 1421).
fn is_locked(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}
