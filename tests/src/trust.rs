use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// An authority that gives certificates, as Let's Encrypt does.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, which nobody trusts yet.
    pub fn new() -> Result<Self> {
        let mut parameters = CertificateParams::new([])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Else it would be called as those whom it certifies, who would then seem to have certified themselves.
        parameters
            .distinguished_name
            .push(DnType::CommonName, "an authority for tests");
        Ok(Self(CertifiedIssuer::self_signed(
            parameters,
            KeyPair::generate()?,
        )?))
    }

    /// What those trust who trust it (PEM).
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses, and its key (PEM).
    pub fn certify(&self, names: &[&str]) -> Result<(String, String)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The same as two files in a directory, which take the place of those that are there.
    pub fn certify_in(&self, directory: &Path, names: &[&str]) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = self.certify(names)?;
        let paths = (directory.join("cert.pem"), directory.join("key.pem"));
        for (path, text) in [(&paths.0, certificate), (&paths.1, key)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text)?;
            std::fs::rename(&new, path)?;
        }
        Ok(paths)
    }
}
