//! The HTTP check: one HTTP/1.1 request; the status code of the answer decides. Redirects are not
//! followed, and what comes after the head of the answer is not read.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::pin::pin;

use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::probe::ProbeSpec;
use super::{Failure, tcp};
use crate::model::monitor::{HttpCheck, HttpMethod};

/// Bytes of an answer's head that are read at most; hyper's least is 8 KiB.
const MAX_HEAD: usize = 16 << 10;

type Body = Empty<&'static [u8]>;

/// Succeeds when the status code of the answer is an expected one.
pub(super) async fn check(
    probe: &ProbeSpec,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check)?;
    let stream = tcp::connect(probe.target, probe.source, deadline).await?;
    let status = match timeout_at(deadline, exchange(stream, request)).await {
        Err(_) => return Err(Failure::RecvResponseTimeout),
        Ok(answer) => answer.map_err(|error| failure(&error))?,
    };
    if check.expected_codes.contains(status) {
        return Ok(());
    }
    Err(Failure::ResponseMismatch { expected: check.expected_codes.to_string(), seen: status })
}

fn request(probe: &ProbeSpec, check: &HttpCheck) -> Result<Request<Body>, Failure> {
    let method = match check.http_method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
    };
    let host = match (&check.domain_name, probe.default_host) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, IpAddr::V4(v4)) => v4.to_string(),
        (None, IpAddr::V6(v6)) => format!("[{v6}]"),
    };
    // The model's alphabets are within those of HTTP, so that there is always a request to send.
    let target: PathAndQuery =
        check.url_path.as_str().parse().map_err(|_| Failure::SendRequestFailed)?;
    Request::builder()
        .method(method)
        .uri(Uri::from(target))
        .header(HOST, host)
        .header(USER_AGENT, "elb-health-check")
        .header(CONNECTION, "close")
        .body(Body::new())
        .map_err(|_| Failure::SendRequestFailed)
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

/// The reason for an error after the connection was established.
fn failure(error: &hyper::Error) -> Failure {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let cannot_write = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if error.is_parse() {
        Failure::ResponseFormatError
    } else if error.is_canceled() || error.is_closed() || cannot_write {
        Failure::SendRequestFailed
    } else {
        Failure::RecvResponseFailed
    }
}
