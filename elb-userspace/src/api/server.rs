//! The agent's end. Clients, however many, can cost only so much: connections, bytes and time
//! are bounded, and it all runs apart from the agent's loop.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::accept::{Entrance, Spare, Taken};
use super::patient::Patient;
use super::readers::Readers;
use super::report::{Encoder, Part, PartRequest, Underway};
use super::shape::diagnose::{DiagnoseRequest, Diagnosis, InspectionRequest};
use super::shape::drain::{DrainReport, DrainRequest};
use super::shape::error::{Error, ErrorCode};
use super::shape::ready::Readiness;
use super::shape::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use super::socket::BoundSocket;
use super::v3::local::{LocalApi, LocalUser};
use super::{Lines, Query, metrics};
use crate::api::shape::events;
use crate::api::shape::status;
use crate::observe::explain::{ExplainRequest, Explanation};
use crate::observe::flows;
use crate::observe::metrics::Exporter;
use crate::observe::trace;

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Connections beyond that hear why they are refused, so many at once.
const REFUSALS: usize = 16;
/// How long the head of a request may take, and its body.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a piece of an answer may wait for who reads it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the head of a request.
const MAX_HEAD: usize = 32 << 10;
/// Bytes of a body: what a backend server's host says of itself.
const MAX_BODY: usize = 2 << 20;
/// How long a refusal may take.
const REFUSAL: Duration = Duration::from_millis(200);
/// Why a connection is refused that took the last descriptor.
const NO_FILE: &str = "the agent cannot open any more files, and takes no connections until it can: raise its limit \
     (LimitNOFILE= of the unit, or prlimit --pid PID --nofile=65536); elb doctor compares the two";

/// The largest request for a plan, in bytes: a whole file as a JSON text, in which a byte
/// of the 4 MiB of [`crate::source::file::MAX_FILE_SIZE`] may take two.
const PLAN: usize = 8 << 20 | 1 << 16;

/// What answers.
pub struct Server {
    listening: BoundSocket,
    spare: Spare,
    queries: mpsc::Sender<Query>,
    readers: Option<Readers>,
    exporter: Exporter,
    api: LocalApi,
}

impl Server {
    /// Answers what comes in by a socket.
    pub fn new(
        listening: BoundSocket,
        spare: Spare,
        queries: mpsc::Sender<Query>,
        exporter: Exporter,
    ) -> Self {
        Self { listening, spare, queries, exporter, readers: None, api: LocalApi(None) }
    }

    /// With the API of the agent's store.
    pub fn with_api(self, api: LocalApi) -> Self {
        Self { api, ..self }
    }

    /// Others than root and the agent's own user may read only.
    pub fn with_readers(self, readers: Option<Readers>) -> Self {
        Self { readers, ..self }
    }

    /// Answers until the task is dropped.
    pub async fn run(self) -> io::Result<()> {
        let router = Router::new()
            .route("/status", get(status))
            .route("/drops", get(drops))
            .route("/explain", get(explain))
            .route("/flows", get(flows))
            .route("/flows/cut", post(cut))
            .route("/trace", get(trace))
            .route("/events", get(events))
            .route("/drain", post(drain))
            .route("/reload", post(reload).get(in_force))
            .route("/plan", post(plan))
            .route("/ready", get(ready))
            .route("/diagnose", post(diagnose))
            .route("/inspection", get(inspection))
            .fallback(unknown)
            .method_not_allowed_fallback(unknown)
            .with_state(self.queries)
            .merge(metrics::router(self.exporter))
            .merge(self.api.router());
        let mut entrance = Entrance::new(self.listening, self.spare)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        loop {
            let stream = match entrance.accept().await? {
                Taken::Served(stream) => stream,
                Taken::Refused(stream) => {
                    // The next one needs its descriptor.
                    let _ = timeout(REFUSAL, refuse(stream, NO_FILE)).await;
                    continue;
                }
            };
            if let Ok(place) = places.clone().try_acquire_owned() {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let router = router.clone().layer(Extension(LocalUser(uid)));
                let readers = self.readers.as_ref();
                let router = readers.map_or_else(|| router.clone(), |one| one.answer(uid, &router));
                tokio::spawn(async move {
                    serve(stream, router).await;
                    drop(place);
                });
            } else if let Ok(place) = refusals.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    // Who asks may be gone.
                    let why = format!(
                        "{CONNECTIONS} connections to the agent are open; ask again in a moment"
                    );
                    let _ = timeout(REFUSAL, refuse(stream, &why)).await;
                    drop(place);
                });
            }
        }
    }
}

/// Answers one request.
async fn serve(stream: UnixStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(MAX_HEAD)
        .serve_connection(
            TokioIo::new(Patient::new(stream, PATIENCE)),
            TowerToHyperService::new(router),
        );
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the API socket broke off");
    }
}

/// Says why there is no answer. The request is read first: otherwise the answer would be lost.
async fn refuse(mut stream: UnixStream, why: &str) -> io::Result<()> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await?;
    let body = serde_json::to_string(&Error::new(ErrorCode::Busy, why))?;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

type Queries = State<mpsc::Sender<Query>>;

/// What a request says behind its path; what is wrong there is said in the shape of all errors.
struct Parameters<T>(T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        let parameters = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default());
        parameters.map(Self).map_err(|error| format!("not a request: {error}").into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (status_of(self.code), Json(self)).into_response()
    }
}

const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorCode::UnknownRequest => StatusCode::NOT_FOUND,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Stopping | ErrorCode::NoAgent => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::NotAllowed => StatusCode::FORBIDDEN,
        ErrorCode::TimedOut => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn unknown(method: Method, uri: Uri) -> Error {
    let why = format!("this agent does not know {method} {}", uri.path());
    Error::new(ErrorCode::UnknownRequest, why)
}

/// The parts of the status as they come; only the first can be refused.
async fn status(
    queries: Queries,
    Parameters(request): Parameters<status::StatusRequest>,
) -> Result<([(&'static str, &'static str); 1], Body), Error> {
    let first = part(&queries, PartRequest::First(request)).await?;
    let pieces = stream::unfold((first, queries, Encoder::default()), async |state| {
        let (made, queries, mut encoder) = state;
        let (made, underway) = made?;
        let text = encoder.encode(made).map_err(io::Error::other);
        // Where the agent ends, so does the answer, in the middle.
        let next = part(&queries, PartRequest::Next(underway)).await.ok().flatten();
        Some((text.map(Bytes::from), (next, queries, encoder)))
    });
    Ok(([("content-type", "application/json")], Body::from_stream(pieces)))
}

async fn part(queries: &Queries, asked: PartRequest) -> Result<Option<(Part, Underway)>, Error> {
    ask(queries.clone(), |answer| Query::Status(asked, answer)).await?
}

async fn drops(queries: Queries) -> Result<Json<Vec<status::Reason>>, Error> {
    ask(queries, Query::Drops).await.map(Json)
}

async fn explain(
    queries: Queries,
    Parameters(question): Parameters<ExplainRequest>,
) -> Result<Json<Explanation>, Error> {
    let answer = ask(queries, |answer| Query::Explain(question, answer)).await?;
    answer.map(Json)
}

async fn flows(
    queries: Queries,
    Parameters(request): Parameters<flows::FlowsRequest>,
) -> Result<Body, Error> {
    lines(ask(queries, |answer| Query::Flows(request, answer)).await?)
}

async fn cut(
    queries: Queries,
    Parameters(request): Parameters<flows::FlowsRequest>,
) -> Result<Body, Error> {
    lines(ask(queries, |answer| Query::Cut(request, answer)).await?)
}

async fn trace(
    queries: Queries,
    Parameters(request): Parameters<trace::TraceRequest>,
) -> Result<Body, Error> {
    lines(ask(queries, |answer| Query::Trace(request, answer)).await?)
}

async fn events(
    queries: Queries,
    Parameters(request): Parameters<events::EventsRequest>,
) -> Result<Body, Error> {
    lines(ask(queries, |answer| Query::Events(request, answer)).await?)
}

async fn drain(
    queries: Queries,
    Parameters(request): Parameters<DrainRequest>,
) -> Result<Json<DrainReport>, Error> {
    let answer = ask(queries, |answer| Query::Drain(request, answer)).await?;
    answer.map(Json)
}

async fn reload(
    queries: Queries,
    Parameters(request): Parameters<ReloadRequest>,
) -> Result<Json<ReloadReport>, Error> {
    ask(queries, |answer| Query::Reload(request, answer)).await.map(Json)
}

async fn in_force(queries: Queries) -> Result<Json<InForce>, Error> {
    ask(queries, Query::InForce).await.map(Json)
}

async fn ready(queries: Queries) -> Result<Json<Readiness>, Error> {
    ask(queries, Query::Ready).await.map(Json)
}

async fn plan(queries: Queries, body: Body) -> Result<Json<ReloadReport>, Error> {
    let request: PlanRequest = read(body, PLAN).await?;
    ask(queries, |answer| Query::Plan(request, answer)).await.map(Json)
}

async fn diagnose(queries: Queries, body: Body) -> Result<Json<Diagnosis>, Error> {
    let request: DiagnoseRequest = read(body, MAX_BODY).await?;
    let answer = ask(queries, |answer| Query::Diagnose(request, answer)).await?;
    answer.map(Json)
}

async fn inspection(
    queries: Queries,
    Parameters(request): Parameters<InspectionRequest>,
) -> Result<Json<Vec<String>>, Error> {
    let answer = ask(queries, |answer| Query::Inspection(request.target, answer)).await?;
    answer.map(Json)
}

/// A request's body, which comes within a time and is not larger than this.
async fn read<T: DeserializeOwned>(body: Body, most: usize) -> Result<T, Error> {
    let late = |_| Error::new(ErrorCode::TimedOut, format!("no whole request within {REQUEST:?}"));
    let large = |error: axum::Error| Error::new(ErrorCode::TooLarge, error.to_string());
    let body = timeout(REQUEST, to_bytes(body, most)).await.map_err(late)?.map_err(large)?;
    serde_json::from_slice(&body).map_err(|error| format!("not a request: {error}").into())
}

async fn ask<T>(
    State(queries): Queries,
    query: impl FnOnce(oneshot::Sender<T>) -> Query,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let gone = || Error::new(ErrorCode::Stopping, "the agent is stopping");
    queries.send(query(answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())
}

/// One JSON object a line; the lines end when the client is gone.
fn lines<T: Serialize + Send + 'static>(lines: Lines<T>) -> Result<Body, Error> {
    Ok(Body::from_stream(stream::unfold(lines?, |mut lines| async {
        let mut text = serde_json::to_vec(&lines.recv().await?).unwrap_or_default();
        text.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), lines))
    })))
}
