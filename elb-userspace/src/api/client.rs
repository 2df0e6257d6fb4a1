//! The command line's end.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::shape::apply::{ApplyReport, ApplyRequest};
use super::shape::diagnose::{DiagnoseRequest, Diagnosis, InspectionRequest};
use super::shape::drain::{DrainReport, DrainRequest};
use super::shape::error::{Error, ErrorCode};
use super::shape::flows::CutLine;
use super::shape::ready::Readiness;
use super::shape::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use crate::api::shape::status::{self, Status};
use crate::observe::explain::{ExplainRequest, Explanation};
use crate::observe::flows;
use crate::observe::metrics::{Format, Scope};

/// How long an agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to answer a check that is asked every second or so.
const CHECK: Duration = Duration::from_secs(2);
/// How long it may take to read a large file, to carry maps over, and to fill rings.
const RELOAD: Duration = Duration::from_secs(60);
/// How long it may look at members before it answers.
const DIAGNOSIS: Duration = Duration::from_secs(120);

/// The agent's state.
///
/// # Errors
/// No agent listens on the socket, or it does not answer.
pub async fn status(socket: &Path, request: &status::StatusRequest) -> Result<Status> {
    let request = empty(Method::GET, &path("/status", request)?)?;
    let late = || late(socket, TIMEOUT);
    // There may be much of it: only each part has to come in time.
    let body = async |mut response: Response<Incoming>| {
        let mut text = Vec::new();
        while let Some(frame) = timeout(TIMEOUT, response.frame()).await.with_context(late)? {
            text.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
        Ok(text)
    };
    parse(&exchange(socket, request, TIMEOUT, body).await?)
}

/// Packets that were not forwarded, by reason.
///
/// # Errors
/// As for [`status()`].
pub async fn drops(socket: &Path) -> Result<Vec<status::Reason>> {
    ask(socket, Method::GET, "/drops").await
}

/// Metrics of these scopes, or of all if none is named, as text.
///
/// # Errors
/// As for [`status()`].
pub async fn metrics(socket: &Path, scopes: &[Scope], format: Format) -> Result<String> {
    let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
    let query =
        if names.is_empty() { String::new() } else { format!("?scope={}", names.join(",")) };
    let mut request = empty(Method::GET, &format!("/metrics{query}"))?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(format.content_type()));
    let body = async |response: Response<Incoming>| {
        let late = || late(socket, TIMEOUT);
        let body = timeout(TIMEOUT, response.into_body().collect()).await.with_context(late)??;
        Ok(String::from_utf8(body.to_bytes().into())?)
    };
    exchange(socket, request, TIMEOUT, body).await
}

/// Where a packet would go.
///
/// # Errors
/// As for [`status()`], or the question contradicts itself.
pub async fn explain(socket: &Path, question: &ExplainRequest) -> Result<Explanation> {
    ask(socket, Method::GET, &path("/explain", question)?).await
}

/// Drains a member, or not any more, or asks how far it is.
///
/// # Errors
/// As for [`status()`], or no member is meant.
pub async fn drain(socket: &Path, request: &DrainRequest) -> Result<DrainReport> {
    ask(socket, Method::POST, &path("/drain", request)?).await
}

/// Lets the agent read its configuration file again.
///
/// # Errors
/// As for [`status()`]. A file that is wrong or refused is no error: the report says so.
pub async fn reload(socket: &Path, request: &ReloadRequest) -> Result<ReloadReport> {
    whole(socket, empty(Method::POST, &path("/reload", request)?)?, RELOAD).await
}

/// What the configuration waits for until all of it is in force.
///
/// # Errors
/// As for [`status()`].
pub async fn in_force(socket: &Path) -> Result<InForce> {
    ask(socket, Method::GET, "/reload").await
}

/// Whether new connections are forwarded; the agent has to answer soon.
///
/// # Errors
/// As for [`status()`].
pub async fn ready(socket: &Path) -> Result<Readiness> {
    whole(socket, empty(Method::GET, "/ready")?, CHECK).await
}

/// What a reload with another file would do.
///
/// # Errors
/// As for [`status()`].
pub async fn plan(socket: &Path, request: &PlanRequest) -> Result<ReloadReport> {
    whole(socket, post("/plan", request)?, RELOAD).await
}

/// What the API answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// A resource, or why it is refused; null if there is nothing to say.
    pub body: Value,
}

/// An operation of the API of the agent's store.
///
/// # Errors
/// As for [`status()`]. What the API refuses is an answer.
pub async fn api(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<ApiAnswer> {
    let request = Request::builder().method(method).uri(path).header(HOST, "elb");
    let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let answer = async |response: Response<Incoming>| {
        let status = response.status();
        let said = response.into_body().collect().await?.to_bytes();
        // What is not of the API is of the socket: this user may not, or there is no room.
        let body: Value = if said.is_empty() { Value::Null } else { parse(&said)? };
        if !status.is_success() && body.get("error_code").is_none() {
            return Err(refusal(status, &said).into());
        }
        Ok(ApiAnswer { status: status.as_u16(), body })
    };
    let answer = converse(socket, request.body(body.into())?, TIMEOUT, answer);
    timeout(TIMEOUT, answer).await.with_context(|| late(socket, TIMEOUT))?
}

/// What the agent's store holds, as text of the configuration file.
///
/// # Errors
/// As for [`status()`], or the agent has no store.
pub async fn export(socket: &Path) -> Result<String> {
    let body = async |response: Response<Incoming>| {
        let late = || late(socket, TIMEOUT);
        let body = timeout(TIMEOUT, response.into_body().collect()).await.with_context(late)??;
        Ok(String::from_utf8(body.to_bytes().into())?)
    };
    exchange(socket, empty(Method::GET, "/export")?, TIMEOUT, body).await
}

/// Brings the agent's store to what a file says, or says what that would change.
///
/// # Errors
/// As for [`status()`], or the file is wrong, or the API has no word for something in it.
pub async fn apply(socket: &Path, request: &ApplyRequest) -> Result<ApplyReport> {
    whole(socket, post("/apply", request)?, RELOAD).await
}

/// A copy of the agent's store, handed over in pieces.
///
/// # Errors
/// As for [`status()`], or the agent has no store, or `each` fails.
pub async fn copy_store(socket: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let request = empty(Method::POST, "/store/copy")?;
    exchange(socket, request, RELOAD, async |mut response| {
        let late = || late(socket, TIMEOUT);
        while let Some(frame) = timeout(TIMEOUT, response.frame()).await.with_context(late)? {
            each(&frame?.into_data().unwrap_or_default())?;
        }
        Ok(())
    })
    .await
}

/// What keeps something from working. The agent looks at members first, which takes seconds.
///
/// # Errors
/// As for [`status()`], or nothing has the name, or more than one thing.
pub async fn diagnose(socket: &Path, request: &DiagnoseRequest) -> Result<Diagnosis> {
    let request = post("/diagnose", request)?;
    whole(socket, request, DIAGNOSIS).await
}

/// The words of the `elb` command that lets the host of a member look at itself.
///
/// # Errors
/// As for [`diagnose`], or the target is not one member.
pub async fn inspection(socket: &Path, target: &str) -> Result<Vec<String>> {
    let request = InspectionRequest { target: target.to_owned() };
    ask(socket, Method::GET, &path("/inspection", &request)?).await
}

/// An answer of many lines: calls `began` when the agent has taken the request on, then `each` with
/// every line until it breaks off or the answer ends.
///
/// # Errors
/// As for [`status()`], or the agent refuses, or `began` or `each` fails.
pub async fn lines<T: DeserializeOwned>(
    socket: &Path,
    resource: &str,
    request: &impl Serialize,
    began: impl FnOnce() -> Result<()>,
    each: impl FnMut(T) -> Result<ControlFlow<()>>,
) -> Result<()> {
    many(socket, empty(Method::GET, &path(resource, request)?)?, began, each).await
}

/// Cuts connections; calls `each` as [`lines`] does.
///
/// # Errors
/// As for [`lines`].
pub async fn cut(
    socket: &Path,
    request: &flows::FlowsRequest,
    each: impl FnMut(CutLine) -> Result<ControlFlow<()>>,
) -> Result<()> {
    many(socket, empty(Method::POST, &path("/flows/cut", request)?)?, || Ok(()), each).await
}

async fn many<T: DeserializeOwned>(
    socket: &Path,
    request: Sent,
    began: impl FnOnce() -> Result<()>,
    mut each: impl FnMut(T) -> Result<ControlFlow<()>>,
) -> Result<()> {
    exchange(socket, request, TIMEOUT, async |mut response| {
        began()?;
        let mut text = Vec::new();
        while let Some(frame) = response.frame().await {
            text.extend_from_slice(&frame?.into_data().unwrap_or_default());
            let mut rest = &text[..];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                if each(parse(&rest[..end])?)?.is_break() {
                    return Ok(());
                }
                rest = &rest[end + 1..];
            }
            text = rest.to_vec();
        }
        Ok(())
    })
    .await
}

fn path(resource: &str, request: &impl Serialize) -> Result<String> {
    Ok(format!("{resource}?{}", serde_urlencoded::to_string(request)?))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).context("the agent's answer is not that of this version")
}

/// Whether an error says that no agent answers, not that one refuses.
pub fn is_absence(error: &anyhow::Error) -> bool {
    let is_stopping = |error: &Error| error.code == ErrorCode::Stopping;
    error.downcast_ref().is_some_and(is_stopping)
        || error.chain().any(|cause| cause.is::<io::Error>() || cause.is::<hyper::Error>())
}

fn late(socket: &Path, limit: Duration) -> Error {
    let what = format!("the agent at {} did not answer within {limit:?}", socket.display());
    Error::new(ErrorCode::TimedOut, what)
}

type Sent = Request<Full<Bytes>>;

fn empty(method: Method, path: &str) -> Result<Sent> {
    Ok(Request::builder().method(method).uri(path).header(HOST, "elb").body(Full::default())?)
}

fn post(path: &str, body: &impl Serialize) -> Result<Sent> {
    let request = Request::post(path).header(HOST, "elb").header(CONTENT_TYPE, "application/json");
    Ok(request.body(serde_json::to_vec(body)?.into())?)
}

async fn ask<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Result<T> {
    whole(socket, empty(method, path)?, TIMEOUT).await
}

/// An answer that comes at once, within a time.
async fn whole<T: DeserializeOwned>(socket: &Path, request: Sent, limit: Duration) -> Result<T> {
    let body =
        async |response: Response<Incoming>| Ok(response.into_body().collect().await?.to_bytes());
    let answer = timeout(limit, exchange(socket, request, limit, body));
    let body = answer.await.with_context(|| late(socket, limit))??;
    parse(&body)
}

/// Why the agent refuses.
fn refusal(status: StatusCode, said: &[u8]) -> Error {
    match (serde_json::from_slice::<Error>(said), status) {
        (_, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            let why = "the agent does not know this request: it is older than this elb, restart it";
            Error::new(ErrorCode::UnknownRequest, why)
        }
        (Ok(error), _) => error,
        // An older agent, which answered with words.
        (Err(_), _) if !said.is_empty() => String::from_utf8_lossy(said).into_owned().into(),
        (Err(_), status) => Error::new(ErrorCode::Failed, format!("the agent answered {status}")),
    }
}

/// Asks, and hands the answer, whose head must come within `limit`, to `take` unless it is a refusal.
async fn exchange<T>(
    socket: &Path,
    request: Sent,
    limit: Duration,
    take: impl AsyncFnOnce(Response<Incoming>) -> Result<T>,
) -> Result<T> {
    let accepted = async |response: Response<Incoming>| match response.status() {
        status if status.is_success() => take(response).await,
        status => {
            let said = response.into_body().collect().await?.to_bytes();
            Err(refusal(status, &said).into())
        }
    };
    converse(socket, request, limit, accepted).await
}

/// As [`exchange`], whatever the answer is.
async fn converse<T>(
    socket: &Path,
    request: Sent,
    limit: Duration,
    take: impl AsyncFnOnce(Response<Incoming>) -> Result<T>,
) -> Result<T> {
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        let socket = socket.display();
        let what = if error.kind() == io::ErrorKind::PermissionDenied {
            let what = format!("you may not ask the agent at {socket}; root may (try sudo), and a group that [agent] socket_group names");
            Error::new(ErrorCode::NotAllowed, what)
        } else {
            let what = format!(
                "no agent answers at {socket}; is it running (`systemctl status elb`), and is this its \
                 socket (--socket, [agent] socket)?"
            );
            Error::new(ErrorCode::NoAgent, what)
        };
        anyhow::Error::from(error).context(what)
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request);
        let late = || late(socket, limit);
        take(timeout(limit, response).await.with_context(late)??).await
    };
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => {
            ended?;
            // What came before the end is still to be read.
            exchange.await.map_err(|error| {
                let gone =
                    Error::new(ErrorCode::Stopping, "the agent is stopping, or was killed");
                if is_absence(&error) { error.context(gone) } else { error }
            })
        }
    }
}
