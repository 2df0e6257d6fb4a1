//! The TLS check, and what the HTTPS check begins with: a handshake. Whose certificate it is does
//! not matter: a probe asks whether a server answers, not who it is.

use std::io;
use std::sync::{Arc, LazyLock};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};

use super::connect::{broken, connect};
use super::probe::ProbeSpec;
use super::{Cause, Failure, Stage};
use crate::model::monitor::DomainName;

/// Succeeds when the handshake is done.
pub(super) async fn check(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut stream = handshake(probe, name, deadline).await?;
    // A reset might overtake the end of the handshake at the server. How we part does not count.
    let _ = timeout_at(deadline, stream.shutdown()).await;
    Ok(())
}

/// A connection with the handshake done. The server is told the name if it is one, and not an
/// address (RFC 6066 §3).
pub(super) async fn handshake(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, Failure> {
    let stream = connect(probe, deadline).await?;
    let named = name.and_then(|name| ServerName::try_from(name.as_str().to_owned()).ok());
    let name = named.unwrap_or_else(|| ServerName::from(probe.default_host));
    let connector = TlsConnector::from(CONFIG.clone());
    match timeout_at(deadline, connector.connect(name, stream)).await {
        Err(_) => Err(Cause::Timeout { stage: Stage::Handshake }.into()),
        Ok(done) => done.map_err(|error| cause(&error, Stage::Handshake).into()),
    }
}

/// What an error of a connection with TLS means.
pub(super) fn cause(error: &io::Error, stage: Stage) -> Cause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        None => broken(stage, error),
        Some(TlsError::AlertReceived(alert)) => {
            Cause::TlsAlert { alert: words(&format!("{alert:?}")) }
        }
        Some(TlsError::InvalidMessage(_)) => Cause::NotTls,
        Some(other) => Cause::TlsFailed { error: other.to_string() },
    }
}

/// `HandshakeFailure` is `handshake failure` to people.
fn words(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Every handshake is a full one.
static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.expect("ring has cipher suites for TLS 1.2 and 1.3");
    let anybody = Arc::new(Anybody { provider });
    let builder = builder.dangerous().with_custom_certificate_verifier(anybody);
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
});

/// Takes every certificate.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_words() {
        assert_eq!(words("HandshakeFailure"), "handshake failure");
        assert_eq!(words("NoApplicationProtocol"), "no application protocol");
        assert_eq!(words("Unknown(200)"), "unknown(200)");
    }
}
