//! HTTP over TLS, with a certificate of its own that no authority signed.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::{accept::accept, http};

/// Makes a certificate.
pub(crate) fn acceptor() -> Result<TlsAcceptor> {
    let own = rcgen::generate_simple_self_signed(["lab.example".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der());
    let key = key.ok().context("the key is of a kind that is not known")?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
    let config = builder.with_single_cert(vec![own.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Answers connections for ever, as [`http::serve`] does.
pub(crate) async fn serve(
    listener: TcpListener,
    name: Arc<str>,
    acceptor: TlsAcceptor,
) -> Result<()> {
    loop {
        let stream = accept(&listener).await?;
        let (acceptor, name) = (acceptor.clone(), name.clone());
        tokio::spawn(async move {
            // A handshake that fails is the client's to notice.
            if let Ok(stream) = acceptor.accept(stream).await {
                http::serve_connection(stream, &name).await;
            }
        });
    }
}
