//! The GRPC check: one call without TLS (HTTP/2 with prior knowledge); the `grpc-status` of the
//! answer decides. Asked of grpc.health.v1, the service must also say that it serves.

use std::io;
use std::pin::pin;

use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper::{Request, Uri};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::bounded::{Bounded, Budget};
use super::connect::{broken, connect};
use super::http::{NAME, not_a_request, target};
use super::spec::ProbeSpec;
use super::{Cause, Failure, Stage};
use crate::model::monitor::{GrpcCheck, UrlPath};

/// Bytes of headers that are read at most.
const MAX_HEAD: u32 = 16 << 10;
/// Bytes of an answer's message that are read at most: there is nothing in it that we ask for.
const MAX_MESSAGE: usize = 16 << 10;

/// What a server may send: more than any answer needs, and little to read.
const BUDGET: Budget = Budget { bytes: 128 << 10, reads: 512, frames: Some(256) };

/// A message without content: `HealthCheckRequest` for the whole server, and of any other type the
/// one with nothing set. Not compressed, length 0 (gRPC over HTTP/2, Length-Prefixed-Message).
const REQUEST: [u8; PREFIX] = [0; PREFIX];
const PREFIX: usize = 5;

/// `HealthCheckResponse` of grpc.health.v1.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

/// What came back.
struct Answer {
    http_status: u16,
    grpc_status: Option<u32>,
    /// With its prefix.
    message: Vec<u8>,
}

/// Succeeds when the `grpc-status` is an expected one.
pub(super) async fn check(
    probe: &ProbeSpec,
    check: &GrpcCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check)?;
    let stream = Bounded::new(connect(probe, deadline).await?, BUDGET);
    let spent = stream.spent();
    match timeout_at(deadline, call(stream, request)).await {
        Err(_) => Err(Cause::Timeout { stage: Stage::Response }.into()),
        Ok(Ok(answer)) => Ok(judge(check, &answer)?),
        Ok(Err(cause)) => Err(spent.cause().unwrap_or(cause).into()),
    }
}

fn request(probe: &ProbeSpec, check: &GrpcCheck) -> Result<Request<()>, Failure> {
    let (authority, path) = target(probe, check, 80)?;
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path);
    Request::builder()
        .method(check.http_method.as_str())
        .uri(uri.build().map_err(|error| not_a_request(&error))?)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, NAME)
        .body(())
        .map_err(|error| not_a_request(&error))
}

async fn call(stream: Bounded<TcpStream>, request: Request<()>) -> Result<Answer, Cause> {
    let mut builder = client::Builder::new();
    builder.max_header_list_size(MAX_HEAD).enable_push(false);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| cause(&error))?;
    let mut exchange = pin!(exchange(sender, request));
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(cause(&error)),
        },
    }
}

async fn exchange(sender: SendRequest<Bytes>, request: Request<()>) -> Result<Answer, Cause> {
    let of_h2 = |error: h2::Error| cause(&error);
    let mut sender = sender.ready().await.map_err(of_h2)?;
    let (answer, mut body) = sender.send_request(request, false).map_err(of_h2)?;
    body.send_data(Bytes::from_static(&REQUEST), true).map_err(of_h2)?;
    let (head, mut body) = answer.await.map_err(of_h2)?.into_parts();
    let http_status = head.status.as_u16();
    let mut grpc_status = grpc_status(&head.headers);
    let mut message = Vec::new();
    if grpc_status.is_none() {
        message = self::message(&mut body).await?;
        let trailers = body.trailers().await.map_err(of_h2)?;
        grpc_status = trailers.as_ref().and_then(self::grpc_status);
    }
    Ok(Answer { http_status, grpc_status, message })
}

async fn message(body: &mut RecvStream) -> Result<Vec<u8>, Cause> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| cause(&error))?;
        message.extend_from_slice(&data);
        if message.len() > MAX_MESSAGE {
            let error = format!("a message of more than {MAX_MESSAGE} bytes");
            return Err(Cause::BadHttp { error });
        }
        // A connection that has ended has no window to give back to.
        let _ = body.flow_control().release_capacity(data.len());
    }
    Ok(message)
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

fn judge(check: &GrpcCheck, answer: &Answer) -> Result<(), Cause> {
    let Some(seen) = answer.grpc_status else {
        return Err(Cause::NoGrpcStatus { status: answer.http_status });
    };
    let is_expected = u16::try_from(seen).is_ok_and(|seen| check.expected_codes.contains(seen));
    if !is_expected {
        return Err(Cause::GrpcStatus { expected: check.expected_codes.to_string(), seen });
    }
    if seen == 0 && check.url_path.as_str() == UrlPath::GRPC_HEALTH {
        return serves(&answer.message);
    }
    Ok(())
}

/// Whether a health service says that it serves.
fn serves(message: &[u8]) -> Result<(), Cause> {
    let content = message.get(PREFIX..).unwrap_or_default();
    match HealthCheckResponse::decode(content) {
        Ok(HealthCheckResponse { status: SERVING }) => Ok(()),
        Ok(HealthCheckResponse { status }) => Err(Cause::NotServing { seen: status }),
        Err(error) => Err(Cause::BadHttp { error: format!("not a HealthCheckResponse: {error}") }),
    }
}

/// What an error of HTTP/2 means.
fn cause(error: &h2::Error) -> Cause {
    let said_so = error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    // What h2 calls it when the server closes without a word.
    let broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let closed = said_so || error.get_io().is_some_and(broken_pipe);
    let describe = || format!("HTTP/2: {error}");
    match error.get_io() {
        _ if closed => Cause::Closed { stage: Stage::Response },
        Some(error) => broken(Stage::Response, error),
        // It speaks HTTP/2, and gives the request or the connection up.
        None if error.is_remote() => Cause::Broken { stage: Stage::Response, error: describe() },
        None => Cause::BadHttp { error: describe() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(bytes: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    #[test]
    fn a_health_service_must_serve() {
        assert_eq!(serves(&response(&[8, 1])), Ok(()));
        assert_eq!(serves(&response(&[8, 2])), Err(Cause::NotServing { seen: 2 }));
        assert_eq!(serves(&response(&[])), Err(Cause::NotServing { seen: 0 }));
        assert_eq!(serves(&[]), Err(Cause::NotServing { seen: 0 }));
        for bytes in [&[8][..], &[0xff; 12], &[10, 9, 1]] {
            assert!(matches!(serves(&response(bytes)), Err(Cause::BadHttp { .. })), "{bytes:?}");
        }
    }
}
