//! Metrics over TCP, if the configuration wants it: at one address, for clients with the right token, by TLS.

mod secure;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::secure::Token;
use super::metrics;
use super::tcp::TcpEntrance;
use super::tls;
use crate::observe::metrics::Exporter;
use crate::source::file::MetricsSettings;

/// Connections at once; others wait.
const CONNECTIONS: usize = 16;
/// Serves metrics over TCP as long as the settings want it.
#[derive(Debug)]
pub struct MetricsServer {
    settings: watch::Receiver<MetricsSettings>,
    exporter: Exporter,
}

impl MetricsServer {
    /// By these settings, which may change.
    pub const fn new(settings: watch::Receiver<MetricsSettings>, exporter: Exporter) -> Self {
        Self { settings, exporter }
    }

    /// Serves until the task is dropped. Files are read again when the settings are sent again.
    ///
    /// # Errors
    /// The address is taken, or a file cannot be used.
    pub async fn run(mut self) -> Result<()> {
        loop {
            let settings = self.settings.borrow_and_update().clone();
            let served = async {
                match settings.listen {
                    Some(_) => serve(&settings, self.exporter.clone()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = served => return ended,
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        // The agent ends.
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Whether the files of the settings can be used as they are.
///
/// # Errors
/// The first file that cannot be used, and why.
pub fn check_files(settings: &MetricsSettings) -> Result<()> {
    Protection::read(settings).map(drop)
}

/// What clients must show, and what they are shown.
struct Protection {
    token: Option<Token>,
    tls: Option<TlsAcceptor>,
}

impl Protection {
    fn read(settings: &MetricsSettings) -> Result<Self> {
        let token = settings.bearer_token_file.as_deref().map(Token::read).transpose()?;
        let tls = match (&settings.tls_certificate, &settings.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key, "metrics")?),
            _ => None,
        };
        Ok(Self { token, tls })
    }
}

async fn serve(settings: &MetricsSettings, exporter: Exporter) -> Result<()> {
    let Some(listen) = settings.listen else { return Ok(()) };
    let Protection { token, tls } = Protection::read(settings)?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot serve metrics on {listen}"))?;
    tracing::info!(%listen, tls = tls.is_some(), token = token.is_some(), "metrics are served");
    let router = metrics::router(exporter)
        .layer(middleware::from_fn_with_state(token.map(Arc::new), authorized));
    let entrance =
        TcpEntrance { listener, tls, connections: CONNECTIONS, guests: None, what: "metrics" };
    // They are served until the settings change, which drops this.
    let never = std::future::pending();
    entrance.serve(router, never).await
}

/// Lets clients that show the token pass, and all if there is none.
async fn authorized(
    State(token): State<Option<Arc<Token>>>,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    if token.is_none_or(|token| token.is_shown(shown)) {
        return next.run(request).await;
    }
    let why = "this needs the token of [metrics] bearer_token_file: Authorization: Bearer TOKEN\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], why).into_response()
}
