//! The API over the agent's own socket: without a key, by the rights of the user at the other end, which the socket
//! judges; and what is asked on this host only.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use axum::body::{Body as HttpBody, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use futures_util::stream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::apply::{Applicant, apply};
use super::authentication::{Caller, Received};
use super::keys;
use super::refusal::Refusal;
use super::route::route;
use super::server::{ApiServer, BODY, read, respond, wall};
use crate::api::Query;
use crate::api::shape::apply::{AppliedChange, ApplyReport, ApplyRequest};
use crate::api::shape::audit::{self, AuditRequest};
use crate::api::shape::error::{Error, ErrorCode};
use crate::api::shape::reload::{PlanRequest, ReloadReport};
use crate::api::shape::status::timestamp;
use crate::model::Model;
use crate::source::file::{self, Host, Piece, SourceText};
use crate::source::store::{AuditRecord, Store, text};

/// The API of an agent; none: it serves a file.
#[derive(Clone)]
pub struct LocalApi(pub Option<ApiServer>);

/// The user at the other end of a socket.
#[derive(Clone, Copy, Debug)]
pub struct LocalUser(pub Option<u32>);

/// Bytes of a file that is applied, as a JSON text.
const FILE: usize = 8 << 20 | 1 << 16;
/// How often a file is applied anew because the store changed meanwhile.
const TRIALS: usize = 5;
/// Records that are read at once.
const PAGE: usize = 500;
/// Bytes of a store that are sent at once.
const PIECE: usize = 1 << 16;

impl LocalApi {
    /// What answers.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v3/{*path}", any(operation))
            .route("/store/copy", post(copy))
            .route("/audit", get(audit))
            .route("/export", get(export))
            .route("/apply", post(apply_file))
            .with_state(self)
    }

    /// The store, or why there is none.
    fn store(&self) -> Result<&Store, Error> {
        let server = self.0.as_ref().ok_or_else(|| failed(NO_STORE))?;
        server.store.as_ref().map_err(|why| failed(&format!("the store cannot be used: {why}")))
    }
}

/// What an agent says that has no store.
const NO_STORE: &str = "this agent serves the load balancers of its file and has no store: docs/api.md says how to \
                        change over";

/// An operation of the API.
async fn operation(
    State(api): State<LocalApi>,
    Extension(LocalUser(uid)): Extension<LocalUser>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let id = keys::random(16).unwrap_or_default();
    let reply = async {
        let server = api.0.as_ref().ok_or_else(|| Refusal::not_supported(NO_STORE.to_owned()))?;
        let body = read(body).await?;
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let (query, headers) = (parts.uri.query().unwrap_or_default(), &parts.headers);
        let received = Received { method, path, query, headers, body: &body };
        let caller = server.local_caller(uid, method, path)?;
        server.answered(caller, &received, wall(), &id).await
    };
    respond(reply.await, &id)
}

impl ApiServer {
    /// Who asks on this host, and for which project: that of the path, or the host's.
    fn local_caller(&self, uid: Option<u32>, method: &str, path: &str) -> Result<Caller, Refusal> {
        let routed = route(method, path);
        let named = routed.and_then(|mut routed| routed.parameters.remove("project_id"));
        let project = match named.filter(|project| project != "{project_id}") {
            Some(project) => project,
            None => self.own_project()?,
        };
        // All others whom the socket lets in may only read.
        let own = rustix::process::geteuid().as_raw();
        let may_write = uid.is_some_and(|uid| uid == 0 || uid == own);
        Ok(Caller { name: local_name(uid), project, may_write, access: None })
    }
}

/// What a user of this host is called in the audit log, where others are called as their keys are.
fn local_name(uid: Option<u32>) -> String {
    let user = uid.and_then(|uid| nix::unistd::User::from_uid(uid.into()).ok().flatten());
    match (user, uid) {
        (Some(user), _) => format!("local:{}", user.name),
        (None, Some(uid)) => format!("local:{uid}"),
        (None, None) => "local:unknown".to_owned(),
    }
}

/// A copy of the store, piece by piece.
async fn copy(State(api): State<LocalApi>) -> Result<HttpBody, Error> {
    let copied = api.store()?.copy(wall()).await;
    let file = copied.map_err(|error| failed(&format!("the store cannot be copied: {error}")))?;
    Ok(HttpBody::from_stream(stream::unfold(file, |mut file| async {
        let piece = piece(&mut file);
        let is_end = piece.as_ref().is_ok_and(Bytes::is_empty);
        (!is_end).then_some((piece, file))
    })))
}

fn piece(file: &mut File) -> io::Result<Bytes> {
    let mut bytes = vec![0; PIECE];
    let count = file.read(&mut bytes)?;
    bytes.truncate(count);
    Ok(bytes.into())
}

/// Audit records, a line each.
async fn audit(State(api): State<LocalApi>, request: Request) -> Result<HttpBody, Error> {
    let asked = serde_urlencoded::from_str(request.uri().query().unwrap_or_default());
    let asked: AuditRequest = asked.map_err(|error| format!("not a request: {error}"))?;
    let (query, store) = (audit::query(asked), api.store()?.clone());
    Ok(HttpBody::from_stream(stream::unfold(
        (store, query, Some(0)),
        |(store, query, after)| async move {
            let page = store.records(query.clone(), after?, PAGE).await;
            let page = match page {
                Ok(page) if page.is_empty() => return None,
                Ok(page) => page,
                Err(error) => {
                    return Some((Err(io::Error::other(error.to_string())), (store, query, None)));
                }
            };
            let last = page.last().map(|(number, _)| *number);
            let mut text = Vec::new();
            for line in page.into_iter().map(audit::line) {
                text.append(&mut serde_json::to_vec(&line).unwrap_or_default());
                text.push(b'\n');
            }
            Some((Ok(Bytes::from(text)), (store, query, last)))
        },
    )))
}

/// What the store holds, as text of the configuration file.
async fn export(State(api): State<LocalApi>) -> Result<String, Error> {
    let store = api.store()?;
    let settings = &api.0.as_ref().ok_or_else(|| failed(NO_STORE))?.settings;
    Ok(text::text(&store.read(), settings))
}

/// Brings the store to what a file says.
async fn apply_file(
    State(api): State<LocalApi>,
    Extension(LocalUser(uid)): Extension<LocalUser>,
    body: HttpBody,
) -> Result<Json<ApplyReport>, Error> {
    let store = api.store()?;
    let server = api.0.as_ref().ok_or_else(|| failed(NO_STORE))?;
    let request = timeout(BODY, to_bytes(body, FILE)).await;
    let late = |_| Error::new(ErrorCode::TimedOut, "the file did not come in time");
    let request = request.map_err(late)?;
    let request = request.map_err(|error| Error::new(ErrorCode::TooLarge, error.to_string()))?;
    let request: ApplyRequest =
        serde_json::from_slice(&request).map_err(|error| format!("not a request: {error}"))?;
    let project = match &request.project {
        Some(project) => project.clone(),
        None => server.own_project().map_err(|why| why.message)?,
    };
    let by = Applicant {
        actor: local_name(uid),
        project,
        request: keys::random(16).map_err(|error| failed(&error.to_string()))?,
        now: timestamp(wall()),
    };
    let applied = brought(server, store, &request, &by).await;
    if !request.dry_run && !applied.as_ref().is_ok_and(|report| report.applied) {
        note_refused(store, &by).await;
    }
    applied
}

/// One record of a file that was to be applied and changed nothing.
async fn note_refused(store: &Store, by: &Applicant) {
    let Applicant { actor, project, request, now } = by.clone();
    let (operation, result) = ("applyFile".to_owned(), "refused".to_owned());
    let record = AuditRecord {
        at: now,
        actor,
        operation,
        request,
        project,
        result,
        ..AuditRecord::default()
    };
    let written = store.write(move |transaction| {
        transaction.note(record.clone());
        Err::<(), _>(())
    });
    // The log has why not.
    let _ = written.await;
}

/// Tries a file until nothing else was written meanwhile.
async fn brought(
    server: &ApiServer,
    store: &Store,
    request: &ApplyRequest,
    by: &Applicant,
) -> Result<Json<ApplyReport>, Error> {
    let (model, by) = (model_of(request)?, by.clone());
    for _ in 0..TRIALS {
        let (applied, pieces, revision) = trial(server, store, &model, &by).await?;
        let planned = planned(server, pieces).await?;
        let refused = planned.errors.iter().map(ToString::to_string).filter(|_| !planned.accepted);
        let refused: Vec<_> = planned.refused.into_iter().chain(refused).collect();
        let report =
            ApplyReport { refused, changes: applied, effects: planned.effects, applied: false };
        if request.dry_run || !planned.accepted {
            return Ok(Json(report));
        }
        // What was tried on writes that are not committed was no trial of what is there.
        let Some(revision) = revision else { continue };
        if let Some(changes) = done(server, store, &model, &by, revision).await? {
            return Ok(Json(ApplyReport { changes, applied: true, ..report }));
        }
    }
    Err(Error::new(ErrorCode::Busy, "the store changes all the time; ask again in a moment"))
}

/// What a file has, which is right throughout.
fn model_of(request: &ApplyRequest) -> Result<Arc<Model>, Error> {
    let PlanRequest { name, text, files } = &request.file;
    let source = SourceText::of_files(name, text, files);
    let (config, errors) = file::parse_source(&source, &Host::default());
    let config = config.filter(|_| !errors.has_errors());
    let config = config.ok_or_else(|| format!("the file cannot be served as it is:\n{errors}"))?;
    if config.api.is_some() {
        let why = "the file has [api], so that its resources are in the store and not in it";
        return Err(why.to_owned().into());
    }
    let model = &config.model;
    if model.load_balancers().is_empty() && model.pools().is_empty() && !request.allow_empty {
        let why =
            "the file has no load balancers and no pools: --allow-empty takes everything away";
        return Err(why.to_owned().into());
    }
    Ok(Arc::new(config.model))
}

/// What a file would change, and what the store would hold then; it does not. With the revision that it was tried on;
/// none: others wrote at the same time.
async fn trial(
    server: &ApiServer,
    store: &Store,
    model: &Arc<Model>,
    by: &Applicant,
) -> Result<(Vec<AppliedChange>, Vec<Arc<Piece>>, Option<u64>), Error> {
    let (settings, model, by) = (server.settings.clone(), model.clone(), by.clone());
    let tried = store.write(move |transaction| -> Result<(), _> {
        let revision = transaction.settled();
        let tried = apply(transaction, &settings, &model, &by);
        let documents = transaction.documents();
        Err(tried.map(|tried| (tried.changes, text::pieces(documents, &settings), revision)))
    });
    match tried.await.map_err(|error| failed(&error.to_string()))? {
        Err(tried) => tried.map_err(Error::from),
        Ok(()) => Err(failed("a trial cannot be done")),
    }
}

/// Changes the store; `None`: it is another than the trial was of.
async fn done(
    server: &ApiServer,
    store: &Store,
    model: &Arc<Model>,
    by: &Applicant,
    revision: u64,
) -> Result<Option<Vec<AppliedChange>>, Error> {
    let (settings, model, by) = (server.settings.clone(), model.clone(), by.clone());
    let done = store.write(move |transaction| {
        if transaction.settled() != Some(revision) {
            return Ok(None);
        }
        let applied = apply(transaction, &settings, &model, &by)?;
        applied.records.into_iter().for_each(|record| transaction.note(record));
        Ok::<_, String>(Some(applied.changes))
    });
    let done = done.await.map_err(|error| failed(&error.to_string()))?;
    done.map_err(Error::from)
}

async fn planned(server: &ApiServer, pieces: Vec<Arc<Piece>>) -> Result<ReloadReport, Error> {
    let (answer, answered) = oneshot::channel();
    let gone = || Error::new(ErrorCode::Stopping, "the agent is stopping");
    server.queries.send(Query::PlanStored(pieces, answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())
}

fn failed(why: &str) -> Error {
    Error::new(ErrorCode::Failed, why)
}

#[cfg(test)]
mod tests;
