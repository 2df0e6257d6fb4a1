//! Webhooks by https: whose certificates are trusted, and what is wrong with one that is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::source::file::read_bounded;

/// Where distributions keep the certificates of authorities: Debian, Red Hat, SUSE, Alpine.
const OF_SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file of authorities that a webhook trusts: its own, or the system's.
///
/// # Errors
/// The system has none.
fn authorities(ca_file: Option<&Path>) -> Result<PathBuf> {
    let of_system = || OF_SYSTEM.iter().map(Path::new).find(|path| path.exists());
    match ca_file.or_else(of_system) {
        Some(path) => Ok(path.to_owned()),
        None => bail!(
            "this host has no certificates of authorities: install ca-certificates, or set ca_file to a PEM file"
        ),
    }
}

/// Reads the authorities; they may be others than the last time.
fn trusted(path: &Path) -> Result<RootCertStore> {
    let cannot = || format!("cannot use {} as certificates of authorities", path.display());
    let text = read_bounded(path).with_context(cannot)?;
    let all = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(all.with_context(cannot)?);
    ensure!(added > 0, "{}: it holds no certificate (PEM)", cannot());
    Ok(store)
}

/// Whether a webhook's authorities can be used.
///
/// # Errors
/// Why not.
pub(in crate::agent) fn check_authorities(ca_file: Option<&Path>) -> Result<()> {
    trusted(&authorities(ca_file)?).map(drop)
}

/// Speaks TLS to a host whose certificate must be right.
///
/// # Errors
/// What is wrong with the certificate, or the connection.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&Path>,
) -> Result<TlsStream<TcpStream>> {
    let path = authorities(ca_file)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted(&path)?)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned());
    let name = name.with_context(|| format!("{host:?} is no name that a certificate may have"))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|error| match fault(&error) {
        Some(fault) => anyhow::anyhow!(words(fault, host, &path)),
        None => anyhow::Error::new(error).context("no TLS"),
    })
}

/// What is wrong with the certificate, if that is it.
fn fault(error: &io::Error) -> Option<&CertificateError> {
    if let Error::InvalidCertificate(fault) = error.get_ref()?.downcast_ref::<Error>()? {
        Some(fault)
    } else {
        None
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others have no words of their own here")]
fn words(fault: &CertificateError, host: &str, authorities: &Path) -> String {
    let certificate = format!("the certificate of {host}");
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{certificate} has expired: renew it (or is this host's clock wrong?)")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("{certificate} is not valid yet: is this host's clock right?")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("{certificate} is not for this name, but for {}", presented.join(", "))
        }
        CertificateError::NotValidForName => format!("{certificate} is not for this name"),
        CertificateError::UnknownIssuer => format!(
            "{certificate} is signed by no authority in {}: set ca_file to the certificate of its authority",
            authorities.display()
        ),
        CertificateError::BadSignature => format!(
            "{certificate} is not signed by the authority of that name in {}: set ca_file to the certificate of \
             its authority",
            authorities.display()
        ),
        CertificateError::Revoked => format!("{certificate} is revoked"),
        other => format!("{certificate} cannot be trusted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
    };
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// An authority of this name, and its certificate in PEM.
    fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), pem)
    }

    /// A server with a certificate, and what comes of a connection to it that trusts this authority.
    async fn connected(
        issuer: &Issuer<'static, KeyPair>,
        trusted: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<(), String> {
        let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        fs::write(&ca_file, trusted).unwrap();
        let stream = TcpStream::connect(place).await.unwrap();
        let result = connect(stream, "hooks.example", Some(&ca_file)).await;
        served.await.unwrap();
        result.map(drop).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_certificate_is_said() {
        let (issuer, trusted) = authority("one");
        assert_eq!(connected(&issuer, &trusted, |_| ()).await, Ok(()));
        let said = async |change: fn(&mut CertificateParams)| {
            connected(&issuer, &trusted, change).await.unwrap_err()
        };
        let expired = said(|params| params.not_after = date_time_ymd(2020, 1, 1)).await;
        assert!(expired.starts_with("the certificate of hooks.example has expired"), "{expired}");
        let early = said(|params| params.not_before = date_time_ymd(2200, 1, 1)).await;
        assert!(early.contains("is not valid yet"), "{early}");
        let other = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        let names = other.subject_alt_names;
        let other = connected(&issuer, &trusted, |params| params.subject_alt_names = names).await;
        let other = other.unwrap_err();
        assert!(other.contains("is not for this name, but for"), "{other}");
        assert!(other.contains("other.example"), "{other}");
        let unknown = connected(&issuer, &authority("two").1, |_| ()).await.unwrap_err();
        assert!(unknown.contains("is signed by no authority in /"), "{unknown}");
        assert!(unknown.contains("set ca_file to"), "{unknown}");
        let forged = connected(&issuer, &authority("one").1, |_| ()).await.unwrap_err();
        assert!(forged.contains("is not signed by the authority of that name"), "{forged}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let why = || format!("{:#}", check_authorities(Some(&path)).unwrap_err());
        assert!(why().contains("cannot use") && why().contains("No such file"), "{}", why());
        fs::write(&path, "nothing").unwrap();
        assert!(why().contains("it holds no certificate"), "{}", why());
        fs::write(&path, authority("one").1).unwrap();
        assert!(check_authorities(Some(&path)).is_ok());
    }
}
