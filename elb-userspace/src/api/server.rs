//! The agent's end.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query as Parameters, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::diagnose::{DiagnoseRequest, Diagnosis, InspectionRequest};
use super::drain::{DrainReport, DrainRequest};
use super::reload::{InForce, PlanRequest, ReloadReport, ReloadRequest};
use super::{Lines, Query};
use crate::config::MAX_FILE_SIZE;
use crate::explain::{Explanation, Question};
use crate::status::{self, Status};
use crate::{events, flows, trace};

/// The largest request for a plan, in bytes: a whole file as a JSON text, in which a byte may take two.
const PLAN: usize = 2 * MAX_FILE_SIZE as usize + 65_536;

/// A bound socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    queries: mpsc::Sender<Query>,
}

impl Server {
    /// Binds the socket; one that a dead agent left is replaced (the agent holds a lock).
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn bind(path: &Path, queries: mpsc::Sender<Query>) -> anyhow::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(path, Permissions::from_mode(0o660))
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        Ok(Self { listener, queries })
    }

    /// Answers until the task is dropped.
    pub async fn run(self) -> io::Result<()> {
        let router = Router::new()
            .route("/status", get(status))
            .route("/drops", get(drops))
            .route("/explain", get(explain))
            .route("/flows", get(flows))
            .route("/trace", get(trace))
            .route("/events", get(events))
            .route("/drain", post(drain))
            .route("/reload", post(reload).get(in_force))
            .route("/plan", post(plan).layer(DefaultBodyLimit::max(PLAN)))
            .route("/diagnose", post(diagnose))
            .route("/inspection", get(inspection))
            .with_state(self.queries);
        axum::serve(self.listener, router).await
    }
}

type Queries = State<mpsc::Sender<Query>>;
/// What is wrong, in words.
type Refusal = (StatusCode, String);

async fn status(
    queries: Queries,
    Parameters(request): Parameters<status::Request>,
) -> Result<Json<Status>, Refusal> {
    ask(queries, |answer| Query::Status(request, answer)).await.map(Json)
}

async fn drops(queries: Queries) -> Result<Json<Vec<status::Reason>>, Refusal> {
    ask(queries, Query::Drops).await.map(Json)
}

async fn explain(
    queries: Queries,
    Parameters(question): Parameters<Question>,
) -> Result<Json<Explanation>, Refusal> {
    let answer = ask(queries, |answer| Query::Explain(question, answer)).await?;
    answer.map(Json).map_err(refuse)
}

async fn flows(
    queries: Queries,
    Parameters(request): Parameters<flows::Request>,
) -> Result<Body, Refusal> {
    lines(ask(queries, |answer| Query::Flows(request, answer)).await?)
}

async fn trace(
    queries: Queries,
    Parameters(request): Parameters<trace::Request>,
) -> Result<Body, Refusal> {
    lines(ask(queries, |answer| Query::Trace(request, answer)).await?)
}

async fn events(
    queries: Queries,
    Parameters(request): Parameters<events::Request>,
) -> Result<Body, Refusal> {
    lines(ask(queries, |answer| Query::Events(request, answer)).await?)
}

async fn drain(
    queries: Queries,
    Parameters(request): Parameters<DrainRequest>,
) -> Result<Json<DrainReport>, Refusal> {
    let answer = ask(queries, |answer| Query::Drain(request, answer)).await?;
    answer.map(Json).map_err(refuse)
}

async fn reload(
    queries: Queries,
    Parameters(request): Parameters<ReloadRequest>,
) -> Result<Json<ReloadReport>, Refusal> {
    ask(queries, |answer| Query::Reload(request, answer)).await.map(Json)
}

async fn in_force(queries: Queries) -> Result<Json<InForce>, Refusal> {
    ask(queries, Query::InForce).await.map(Json)
}

async fn plan(
    queries: Queries,
    Json(request): Json<PlanRequest>,
) -> Result<Json<ReloadReport>, Refusal> {
    ask(queries, |answer| Query::Plan(request, answer)).await.map(Json)
}

async fn diagnose(
    queries: Queries,
    Json(request): Json<DiagnoseRequest>,
) -> Result<Json<Diagnosis>, Refusal> {
    let answer = ask(queries, |answer| Query::Diagnose(request, answer)).await?;
    answer.map(Json).map_err(refuse)
}

async fn inspection(
    queries: Queries,
    Parameters(request): Parameters<InspectionRequest>,
) -> Result<Json<Vec<String>>, Refusal> {
    let answer = ask(queries, |answer| Query::Inspection(request.target, answer)).await?;
    answer.map(Json).map_err(refuse)
}

async fn ask<T>(
    State(queries): Queries,
    query: impl FnOnce(oneshot::Sender<T>) -> Query,
) -> Result<T, Refusal> {
    let (answer, answered) = oneshot::channel();
    let gone = || (StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping".to_owned());
    queries.send(query(answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())
}

fn refuse(why: String) -> Refusal {
    (StatusCode::BAD_REQUEST, why)
}

/// One JSON object a line; the lines end when nobody wants them.
fn lines<T: Serialize + Send + 'static>(lines: Lines<T>) -> Result<Body, Refusal> {
    let lines = lines.map_err(refuse)?;
    Ok(Body::from_stream(stream::unfold(lines, |mut lines| async {
        let mut text = serde_json::to_vec(&lines.recv().await?).unwrap_or_default();
        text.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), lines))
    })))
}
