//! The HTTP and HTTPS checks: one HTTP/1.1 request, over TLS or not; the status code of the answer
//! decides. Redirects are not followed, and what comes after the head of the answer is not read.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::pin::pin;

use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::connect::connect;
use super::probe::ProbeSpec;
use super::unshut::Unshut;
use super::{Cause, Failure, Stage, tls};
use crate::model::monitor::{HttpCheck, RequestCheck};

/// Bytes of an answer's head that are read at most; hyper's least is 8 KiB.
const MAX_HEAD: usize = 16 << 10;

/// What probes call themselves.
pub(super) const NAME: &str = "elb-health-check";

type Body = Empty<&'static [u8]>;

/// Succeeds when the status code of the answer is an expected one.
pub(super) async fn check(
    probe: &ProbeSpec,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check)?;
    let stream = connect(probe, deadline).await?;
    answered(Unshut(stream), request, check, deadline).await
}

/// The same over TLS, which has an end of its own to tell (RFC 8446, section 6.1).
pub(super) async fn check_over_tls(
    probe: &ProbeSpec,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check)?;
    let stream = tls::handshake(probe, check.domain_name.as_ref(), deadline).await?;
    answered(stream, request, check, deadline).await
}

async fn answered<S>(
    stream: S,
    request: Request<Body>,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let seen = match timeout_at(deadline, exchange(stream, request)).await {
        Err(_) => return Err(Cause::Timeout { stage: Stage::Response }.into()),
        Ok(answer) => answer.map_err(|error| cause(&error))?,
    };
    if check.expected_codes.contains(seen) {
        return Ok(());
    }
    Err(Cause::Status { expected: check.expected_codes.to_string(), seen }.into())
}

fn request(probe: &ProbeSpec, check: &HttpCheck) -> Result<Request<Body>, Failure> {
    let (host, path) = target(probe, check)?;
    Request::builder()
        .method(check.http_method.as_str())
        .uri(Uri::from(path))
        .header(HOST, host)
        .header(USER_AGENT, NAME)
        .header(CONNECTION, "close")
        .body(Body::new())
        .map_err(|error| not_a_request(&error))
}

/// The host and the path that a request names. The model's alphabets are within those of HTTP, so
/// that there always are some.
pub(super) fn target<C>(
    probe: &ProbeSpec,
    check: &RequestCheck<C>,
) -> Result<(String, PathAndQuery), Failure> {
    let host = match (&check.domain_name, probe.default_host) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, IpAddr::V4(v4)) => v4.to_string(),
        (None, IpAddr::V6(v6)) => format!("[{v6}]"),
    };
    let path = check.url_path.as_str().parse::<PathAndQuery>();
    let path = path.map_err(|error| not_a_request(&error))?;
    Ok((host, path))
}

pub(super) fn not_a_request(error: &dyn Error) -> Failure {
    Cause::Broken { stage: Stage::Request, error: error.to_string() }.into()
}

/// Sends the request and returns the status code of the answer.
async fn exchange<S>(stream: S, request: Request<Body>) -> hyper::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    let mut answer = pin!(sender.send_request(request));
    let mut connection = pin!(connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // A connection that ends tells the sender why.
        _ = &mut connection => answer.await,
    };
    answer.map(|answer| answer.status().as_u16())
}

/// What an error means that came after the connection was established.
fn cause(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Cause::BadHttp { error: error.to_string() };
    }
    let kernel = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let not_sent = error.is_canceled() || error.is_closed();
    let stage = if not_sent { Stage::Request } else { Stage::Response };
    match kernel {
        None => Cause::Closed { stage },
        Some(error) => tls::cause(error, stage),
    }
}
