//! The certificate that clients over TCP are shown.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::source::file::read_bounded;

/// What speaks TLS with clients.
pub(super) fn acceptor(certificate: &Path, key: &Path, what: &str) -> Result<TlsAcceptor> {
    let cannot = |path: &Path| format!("cannot use {} for {what}", path.display());
    let text = read_bounded(certificate).with_context(|| cannot(certificate))?;
    let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.with_context(|| cannot(certificate))?;
    ensure!(!chain.is_empty(), "{}: it holds no certificate (PEM)", cannot(certificate));
    let text = read_bounded(key).with_context(|| cannot(key))?;
    let secret = PrivateKeyDer::from_pem_slice(text.as_bytes()).with_context(|| cannot(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| {
            format!("{}: it is not the key of {}", cannot(key), certificate.display())
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// RFC 7468.
    fn pem(label: &str, bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let quartet = |three: &[u8]| {
            let word =
                three.iter().chain([0, 0].iter()).take(3).fold(0, |w, b| w << 8 | usize::from(*b));
            let digit = |at: usize| match at > three.len() {
                true => '=',
                false => char::from(DIGITS[word >> (18 - 6 * at) & 63]),
            };
            (0..4).map(digit).collect::<String>()
        };
        let text: Vec<_> =
            bytes.chunks(48).map(|line| line.chunks(3).map(quartet).collect::<String>()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", text.join("\n"))
    }

    #[test]
    fn a_certificate_goes_with_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["one", "other"] {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            let (certificate, key) = (made.cert.der(), made.signing_key.serialize_der());
            fs::write(path(&format!("{name}.crt")), pem("CERTIFICATE", certificate)).unwrap();
            fs::write(path(&format!("{name}.key")), pem("PRIVATE KEY", &key)).unwrap();
        }
        assert!(acceptor(&path("one.crt"), &path("one.key"), "x").is_ok());
        assert!(acceptor(&path("one.crt"), &path("other.key"), "x").is_err());
        assert!(acceptor(&path("one.key"), &path("one.key"), "x").is_err());
        assert!(acceptor(&path("none"), &path("one.key"), "x").is_err());
    }
}
