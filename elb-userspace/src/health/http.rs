//! The HTTP and HTTPS checks: one HTTP/1.1 request, over TLS or not; the status line of the answer
//! decides, whatever follows, unless the body must have a text in it. Redirects are not followed. What follows is read, if it is not much, so
//! that the connection ends in order and the server has nothing to complain of.

mod body;
mod rest;
mod status_line;

use std::error::Error;
use std::net::IpAddr;

use hyper::http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use self::body::Body;
use self::rest::Rest;
use self::status_line::Start;
use super::bounded::{Bounded, Budget, Spent};
use super::connect::{close, connect};
use super::shown::shown;
use super::spec::ProbeSpec;
use super::{Cause, Failure, Stage, tls};
use crate::model::monitor::{DomainName, HttpCheck, HttpMethod, RequestCheck};

/// What a server may send, records of TLS included.
const BUDGET: Budget =
    Budget { bytes: MOST_BEFORE + rest::MOST + (64 << 10), reads: 4096, frames: None };
/// Bytes before the status line that decides: interim answers.
const MOST_BEFORE: usize = 64 << 10;
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// What probes call themselves.
pub(super) const NAME: &str = "elb-health-check";

/// Succeeds when the status code of the answer is an expected one.
pub(super) async fn check(
    probe: &ProbeSpec,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check, 80)?;
    let mut stream = Bounded::new(connect(probe, deadline).await?, BUDGET);
    let spent = stream.spent();
    let seen = exchange(&mut stream, &request, check, &spent, deadline).await?;
    close(stream.get_ref(), seen.has_ended);
    judge(seen, check)
}

/// The same over TLS. Where the server and we have no version or suite of TLS in common, but it has with
/// other clients, that it answers them is all that can be checked.
pub(super) async fn check_over_tls(
    probe: &ProbeSpec,
    check: &HttpCheck,
    deadline: Instant,
) -> Result<(), Failure> {
    let request = request(probe, check, 443)?;
    let name = check.domain_name.as_ref();
    let Some(mut stream) = tls::handshake(probe, name, BUDGET, deadline).await? else {
        return Ok(());
    };
    let spent = stream.get_ref().0.spent();
    let seen = exchange(&mut stream, &request, check, &spent, deadline).await?;
    tls::end(&mut stream, seen.has_ended, deadline).await;
    judge(seen, check)
}

/// What a server answered.
struct Seen {
    code: u16,
    /// The beginning of a body that lacks the expected text.
    lacking: Option<String>,
    has_ended: bool,
}

fn judge(seen: Seen, check: &HttpCheck) -> Result<(), Failure> {
    let Seen { code, lacking, .. } = seen;
    if !check.expected_codes.contains(code) {
        let expected = check.expected_codes.to_string();
        return Err(Cause::Status { expected, seen: code }.into());
    }
    match (lacking, &check.expected_body) {
        (Some(seen), Some(text)) => {
            let expected = shown(text.as_bytes());
            Err(Cause::Body { status: code, expected, seen }.into())
        }
        (None, _) | (_, None) => Ok(()),
    }
}

/// The bytes of the request.
fn request(probe: &ProbeSpec, check: &HttpCheck, usual: u16) -> Result<String, Failure> {
    let (host, path) = target(probe, check, usual)?;
    let method = check.http_method.as_str();
    let length = match check.http_method {
        HttpMethod::Post => "Content-Length: 0\r\n",
        HttpMethod::Get | HttpMethod::Head => "",
    };
    Ok(format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {NAME}\r\nAccept: */*\r\n{length}\
         Connection: close\r\n\r\n"
    ))
}

/// The host and the path that a request names. The model's alphabets are within those of HTTP, so that
/// there always are some.
pub(super) fn target<C, B>(
    probe: &ProbeSpec,
    check: &RequestCheck<C, B>,
    usual: u16,
) -> Result<(String, PathAndQuery), Failure> {
    let host = host_field(probe, check.domain_name.as_ref(), usual);
    let path = check.url_path.as_str().parse::<PathAndQuery>();
    let path = path.map_err(|error| not_a_request(&error))?;
    Ok((host, path))
}

/// The host of a request, with its port unless that is the `usual` one of the protocol (RFC 9110 §7.2).
pub(crate) fn host_field(probe: &ProbeSpec, name: Option<&DomainName>, usual: u16) -> String {
    let host = match (name, probe.default_host) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, IpAddr::V4(v4)) => v4.to_string(),
        (None, IpAddr::V6(v6)) => format!("[{v6}]"),
    };
    let port = probe.target.port();
    let is_said = port == usual || name.is_some_and(|name| name.port().is_some());
    if is_said { host } else { format!("{host}:{port}") }
}

pub(super) fn not_a_request(error: &dyn Error) -> Failure {
    Cause::Broken { stage: Stage::Request, error: error.to_string() }.into()
}

/// Sends the request and reads the answer.
async fn exchange<S>(
    stream: &mut S,
    request: &str,
    check: &HttpCheck,
    spent: &Spent,
    deadline: Instant,
) -> Result<Seen, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = timeout_at(deadline, async {
        let mut sent = stream.write_all(request.as_bytes()).await;
        if sent.is_ok() {
            sent = stream.flush().await;
        }
        // A server may answer before it is asked, and close.
        let not_sent = sent.err().map(|error| tls::cause(&error, Stage::Request));
        answer(stream).await.map_err(|cause| not_sent.unwrap_or(cause))
    });
    match answer.await {
        Err(_) => Err(Cause::Timeout { stage: Stage::Response }.into()),
        Ok(Err(cause)) => Err(spent.cause().unwrap_or(cause).into()),
        Ok(Ok(answer)) => follow(stream, answer, check, spent, deadline).await,
    }
}

/// Reads what follows the status line.
async fn follow<S: AsyncRead + Unpin>(
    stream: &mut S,
    Answer { code, rest: first }: Answer,
    check: &HttpCheck,
    spent: &Spent,
    deadline: Instant,
) -> Result<Seen, Failure> {
    let mut rest = Rest::of(code, check.http_method, &first);
    let wanted = check.expected_body.as_ref().filter(|_| check.expected_codes.contains(code));
    let Some(text) = wanted else {
        let has_ended = rest.read(stream, deadline).await;
        return Ok(Seen { code, lacking: None, has_ended });
    };
    let mut body = Body::new(text.as_bytes());
    let read = timeout_at(deadline, body.read(&first, &mut rest, stream)).await;
    let lacking = body.lacking().map(shown);
    let has_ended = match read {
        Ok(Ok(has_ended)) => has_ended,
        Ok(Err(cause)) => return Err(spent.cause().unwrap_or(cause).into()),
        Err(_) if lacking.as_ref().is_some_and(String::is_empty) => {
            return Err(Cause::Timeout { stage: Stage::Response }.into());
        }
        Err(_) => false,
    };
    let has_ended = has_ended || rest.read(stream, deadline).await;
    Ok(Seen { code, lacking, has_ended })
}

/// What was read up to and behind the status line.
struct Answer {
    code: u16,
    rest: Vec<u8>,
}

/// Reads until the status line has come.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<Answer, Cause> {
    let (mut bytes, mut is_all, mut before) = (Vec::new(), false, 0);
    loop {
        match status_line::read(&bytes, is_all) {
            Start::Status(code, end) => return Ok(Answer { code, rest: bytes.split_off(end) }),
            Start::NotHttp(_) if bytes.is_empty() => {
                return Err(Cause::Closed { stage: Stage::Response });
            }
            Start::NotHttp(error) => return Err(Cause::BadHttp { error }),
            Start::Interim(end) => {
                before += end;
                if before > MOST_BEFORE {
                    let what = format!("{MOST_BEFORE} bytes of interim answers (1xx)");
                    return Err(Cause::TooMuch { what });
                }
                bytes.drain(..end);
                continue;
            }
            Start::More => {}
        }
        bytes.reserve(PIECE);
        let read = stream.read_buf(&mut bytes).await;
        is_all = read.map_err(|error| tls::cause(&error, Stage::Response))? == 0;
    }
}
