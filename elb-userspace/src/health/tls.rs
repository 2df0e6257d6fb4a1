//! The TLS check, and what the HTTPS check begins with: a handshake. Whose certificate it is does
//! not matter: a probe asks whether a server answers, not who it is. Nor does it matter what we speak:
//! a server that rejects what we offer is asked again in the words of every client that there is
//! (`hello`).

mod accept_any;
mod hello;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error as TlsError};

use self::accept_any::AcceptAny;
use self::hello::Answer;
use super::bounded::{Bounded, Budget};
use super::connect::{broken, close, connect};
use super::spec::ProbeSpec;
use super::{Cause, Failure, Stage};
use crate::model::monitor::DomainName;

/// What a server may send in a handshake.
const BUDGET: Budget = Budget { bytes: 256 << 10, reads: 1024, frames: None };
/// How long a server has to close, once it knows that we want no more.
const TO_CLOSE: Duration = Duration::from_millis(250);

type Stream = TlsStream<Bounded<TcpStream>>;

/// Succeeds when the server answers the opening of TLS: with a handshake that is done, its part of one
/// that we could not do, or an alert.
pub(super) async fn check(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    deadline: Instant,
) -> Result<(), Failure> {
    let refusal = match attempt(probe, name, BUDGET, deadline).await? {
        Ok(mut stream) => {
            end(&mut stream, false, deadline).await;
            return Ok(());
        }
        Err(refusal) => refusal,
    };
    if refusal.is_answer {
        return Ok(());
    }
    match ask_again(probe, name, &refusal, deadline).await {
        Some(Answer::Hello { .. } | Answer::Alert(_)) => Ok(()),
        None => Err(refusal.cause.into()),
    }
}

/// A connection with the handshake done, for which the server may send so much. `None`: it answers
/// other clients, but has no version or suite in common with us.
pub(super) async fn handshake(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    budget: Budget,
    deadline: Instant,
) -> Result<Option<Stream>, Failure> {
    let refusal = match attempt(probe, name, budget, deadline).await? {
        Ok(stream) => return Ok(Some(stream)),
        Err(refusal) => refusal,
    };
    match ask_again(probe, name, &refusal, deadline).await {
        Some(Answer::Hello { version, suite }) => {
            note_tls_only(probe.target, version, suite);
            Ok(None)
        }
        Some(Answer::Alert(alert)) => {
            Err(Cause::TlsAlert { alert: format!("{}, to {}", alert_name(alert), hello::OFFERED) }
                .into())
        }
        None => Err(refusal.cause.into()),
    }
}

/// Ends a connection in order: we have nothing more to say, and wait a moment for the server's end.
pub(super) async fn end(stream: &mut Stream, has_ended: bool, deadline: Instant) {
    let until = deadline.min(Instant::now() + TO_CLOSE);
    let ends = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.get_mut().0.read(&mut rest).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    let has_ended = has_ended || matches!(timeout_at(until, ends).await, Ok(Ok(())));
    close(stream.get_ref().0.get_ref(), has_ended);
}

/// What an error of a connection means, with TLS or without.
pub(super) fn cause(error: &io::Error, stage: Stage) -> Cause {
    match of_tls(error) {
        None => broken(stage, error),
        Some(TlsError::AlertReceived(alert)) => Cause::TlsAlert { alert: alert_name(*alert) },
        Some(TlsError::InvalidMessage(_)) => Cause::NotTls,
        Some(other) => Cause::TlsFailed { error: other.to_string() },
    }
}

/// A handshake that failed, though there was a connection.
struct Refusal {
    cause: Cause,
    /// The server answered in TLS.
    is_answer: bool,
    /// It may be for what we offered.
    may_be_for_our_offer: bool,
}

/// One handshake. The server gets the name if it is one, and not an address (RFC 6066 §3).
async fn attempt(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    budget: Budget,
    deadline: Instant,
) -> Result<Result<Stream, Refusal>, Failure> {
    let stream = Bounded::new(connect(probe, deadline).await?, budget);
    let spent = stream.spent();
    let named = name.and_then(|name| ServerName::try_from(name.host().to_owned()).ok());
    let name = named.unwrap_or_else(|| ServerName::from(probe.default_host));
    let connector = TlsConnector::from(CONFIG.clone());
    match timeout_at(deadline, connector.connect(name, stream)).await {
        Err(_) => Err(Cause::Timeout { stage: Stage::Handshake }.into()),
        Ok(Ok(stream)) => Ok(Ok(stream)),
        Ok(Err(error)) => match spent.cause() {
            Some(too_much) => Err(too_much.into()),
            None => Ok(Err(refusal(&error))),
        },
    }
}

fn refusal(error: &io::Error) -> Refusal {
    let cause = cause(error, Stage::Handshake);
    let (is_answer, may_be_for_our_offer) = match of_tls(error) {
        // Some servers only close or reset where others send an alert.
        None => (false, matches!(cause, Cause::Reset { .. } | Cause::Closed { .. })),
        Some(TlsError::InvalidMessage(_)) => (false, false),
        Some(TlsError::AlertReceived(alert)) => (true, is_about_offers(*alert)),
        Some(TlsError::PeerIncompatible(_) | TlsError::PeerMisbehaved(_)) => (true, true),
        Some(_) => (true, false),
    };
    Refusal { cause, is_answer, may_be_for_our_offer }
}

fn is_about_offers(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::IllegalParameter
    )
}

/// Asks in the words of other clients, on another connection.
async fn ask_again(
    probe: &ProbeSpec,
    name: Option<&DomainName>,
    refusal: &Refusal,
    deadline: Instant,
) -> Option<Answer> {
    if !refusal.may_be_for_our_offer {
        return None;
    }
    let mut stream = Bounded::new(connect(probe, deadline).await.ok()?, BUDGET);
    let name = name.map(DomainName::host).filter(|name| name.parse::<std::net::IpAddr>().is_err());
    let answer = timeout_at(deadline, hello::ask(&mut stream, name)).await.ok()?.ok()??;
    close(stream.get_ref(), false);
    Some(answer)
}

fn of_tls(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>())
}

fn alert_name(alert: AlertDescription) -> String {
    words(&format!("{alert:?}"))
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

/// Says once of each server, and of not too many, that less is checked than was asked for.
fn note_tls_only(target: SocketAddr, version: u16, suite: Option<u16>) {
    const MOST: usize = 1000;
    static NOTED: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    let Ok(mut noted) = NOTED.lock() else { return };
    if noted.len() < MOST && noted.insert(target) {
        let version = hello::version_name(version);
        let suite = suite.map_or_else(|| "unknown".to_owned(), |suite| format!("{suite:#06x}"));
        tracing::warn!(
            %target, version, suite,
            "an HTTPS check cannot ask for a status: elb speaks TLS 1.2 and 1.3 with ECDHE and AEAD \
             only; that the server answers in TLS is all that is checked"
        );
    }
}

/// Every handshake is a full one.
static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.expect("ring has cipher suites for TLS 1.2 and 1.3");
    let verifier = Arc::new(AcceptAny { provider });
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
});

#[cfg(test)]
mod tests;
