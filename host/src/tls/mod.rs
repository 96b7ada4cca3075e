//! TLS: which certificate viewers are shown, and with which protocols (rustls, TLS 1.2 and 1.3, its safe defaults).
//!
//! A certificate comes from files (`files`), which are read anew when they change, or is our own (`own`), made on the first
//! start, kept, and renewed by itself. `facts` is what a certificate says of itself. Whatever is wrong with a new one, the
//! one before goes on serving; connections that run keep the one they began with.
//!
//! This room knows files and certificates, and nothing of what is sent through the connections.

mod facts;
mod files;
mod own;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
};

pub use facts::{Facts, Validity};

use crate::changes::Changes;

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSpec {
    /// One of our own, which no browser trusts before it is told to.
    SelfSigned,
    /// PEM files.
    Files {
        /// The certificate, and those that lead from it to the authority.
        cert: PathBuf,
        /// Its private key. May be the same file.
        key: PathBuf,
    },
}

/// HTTP/2 first: players of Apple keep a low delay over nothing else.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Certificate and key are two files, which are written one after the other. A moment later both are new.
const SETTLE: Duration = Duration::from_secs(1);

/// What connections are secured with. Serves while the certificate is exchanged.
#[derive(Debug)]
pub struct Tls {
    source: Source,
    current: ArcSwap<Current>,
    /// One at a time makes a new one.
    renewing: Mutex<()>,
}

#[derive(Debug)]
enum Source {
    Own(own::Keeper),
    Files { cert: PathBuf, key: PathBuf },
}

/// A certificate that is in use.
#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    facts: Facts,
}

impl Tls {
    /// Reads the certificate, or makes one and keeps it in `state_dir`, where only this user can read.
    ///
    /// # Errors
    /// What is wrong with which file, and what to do.
    pub fn open(spec: &TlsSpec, state_dir: &Path) -> anyhow::Result<Arc<Self>> {
        let (source, current) = match spec {
            TlsSpec::SelfSigned => {
                let keeper = own::Keeper::open(state_dir)?;
                let current = Current::new(keeper.certificate()?)?;
                tracing::info!(
                    "TLS by a certificate of our own, for {}: browsers warn of it; its fingerprint (SHA-256) is {}",
                    current.facts.names(),
                    current.facts.fingerprint
                );
                (Source::Own(keeper), current)
            }
            TlsSpec::Files { cert, key } => {
                let current = Current::new(files::read(cert, key)?)?;
                current.facts.warn_of_dates(cert);
                tracing::info!("TLS by {}", current.facts);
                let (cert, key) = (cert.clone(), key.clone());
                (Source::Files { cert, key }, current)
            }
        };
        Ok(Arc::new(Self {
            source,
            current: ArcSwap::from_pointee(current),
            renewing: Mutex::new(()),
        }))
    }

    /// What a connection to this address of ours is secured with.
    ///
    /// Our own certificate is made anew here when it has come to its end, when the clock turns out to have been wrong, or
    /// when a viewer comes to an address that the machine didn't have yet: that is when it matters, and costs a
    /// millisecond. It takes its key along.
    pub(crate) fn config(&self, address: IpAddr) -> Arc<ServerConfig> {
        if let Source::Own(keeper) = &self.source {
            let outdated =
                || !own::fits(&self.current.load().facts, SystemTime::now(), Some(address));
            // Whoever comes meanwhile takes what there is.
            if outdated()
                && let Ok(_alone) = self.renewing.try_lock()
                && outdated()
            {
                match keeper.renew(Some(address)).and_then(Current::new) {
                    Ok(renewed) => {
                        tracing::info!(
                            "our own certificate is new, for {}; its fingerprint (SHA-256) is {}",
                            renewed.facts.names(),
                            renewed.facts.fingerprint
                        );
                        self.current.store(Arc::new(renewed));
                    }
                    Err(error) => tracing::warn!("our own certificate can't be renewed: {error:#}"),
                }
            }
        }
        self.current.load().config.clone()
    }

    /// What the certificate says of itself.
    pub fn facts(&self) -> Facts {
        self.current.load().facts.clone()
    }

    /// Reads the files again whenever they change, for as long as somebody holds this. Needs a Tokio runtime around it.
    ///
    /// # Errors
    /// The system can't tell of changes there.
    pub fn follow(self: &Arc<Self>) -> anyhow::Result<()> {
        let Source::Files { cert, key } = &self.source else {
            return Ok(());
        };
        let mut changes = Changes::of([cert.as_path(), key.as_path()])?;
        let tls = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                changes.next().await;
                tokio::time::sleep(SETTLE).await;
                let Some(tls) = tls.upgrade() else { return };
                // Reads files.
                if tokio::task::spawn_blocking(move || tls.reload())
                    .await
                    .is_err()
                {
                    tracing::error!("reading a new certificate failed; the one before stays");
                }
            }
        });
        Ok(())
    }

    fn reload(&self) {
        let Source::Files { cert, key } = &self.source else {
            return;
        };
        match files::read(cert, key).and_then(Current::new) {
            Ok(new) if new.facts == self.current.load().facts => {}
            Ok(new) => {
                new.facts.warn_of_dates(cert);
                tracing::info!("new connections get the new certificate: {}", new.facts);
                self.current.store(Arc::new(new));
            }
            Err(error) => {
                tracing::warn!("the certificate of before stays in use: {error:#}");
            }
        }
    }
}

impl Current {
    fn new(certificate: CertifiedKey) -> anyhow::Result<Self> {
        let leaf = certificate
            .end_entity_cert()
            .context("there is no certificate")?;
        let facts = Facts::of(leaf)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certificate));
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            config: Arc::new(config),
            facts,
        })
    }
}

/// The cryptography: ring.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// Whether a certificate could be served right now, and what it says of itself: for those who wonder what is wrong. Makes
/// no certificate of our own, if there is none yet (`None`).
///
/// # Errors
/// What is wrong, and what to do.
pub fn examine(spec: &TlsSpec, state_dir: &Path) -> anyhow::Result<Option<Facts>> {
    let certificate = match spec {
        TlsSpec::SelfSigned => match own::Keeper::open(state_dir)?.kept()? {
            Some(certificate) => certificate,
            None => return Ok(None),
        },
        TlsSpec::Files { cert, key } => files::read(cert, key)?,
    };
    Ok(Some(Current::new(certificate)?.facts))
}
