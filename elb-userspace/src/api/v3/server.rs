//! Requests of the API: who asks, for what, whether it is valid, and the answer in the form that clients know.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::authentication::{Caller, Claim, Memory, Received, Replays, SignedClaim};
pub(super) use super::bodies::{BODY, read};
use super::bodies::{Held, Room, discard};
use super::call::{Call, Reply};
use super::failures::Failures;
use super::ids;
use super::keys::{self, KeyFile};
use super::member_checks::MemberChecks;
use super::operations::{self, Known, VERSIONS};
use super::page;
use super::query::QueryPairs;
use super::refusal::Refusal;
use super::resources::{ApiLimits, HostState, MemberHealths, View};
use super::route::{Routed, route};
use super::signed_dates::SignedDates;
use super::table::Operation;
use super::validation::{Towards, wrong};
use crate::api::Query;
use crate::api::shape::diagnose::DiagnoseRequest;
use crate::api::shape::error::ErrorCode;
use crate::api::shape::status::timestamp;
use crate::api::tcp::{Peer, TcpEntrance};
use crate::api::tls;
use crate::diagnosis::report::Report;
use crate::model::ResourceId;
use crate::model::select::ResourceKind;
use crate::source::api::ApiSettings;
use crate::source::store::{Body, Store};
use crate::source::subnet::Subnets;

/// Connections at once; others wait.
const CONNECTIONS: usize = 256;
/// How long the agent may take to say how members are.
const HEALTH: Duration = Duration::from_secs(2);
/// How often the agent is asked to diagnose a member while it has no room, and how long after each time.
const DIAGNOSIS_TRIES: u32 = 60;
const DIAGNOSIS_WAIT: Duration = Duration::from_secs(1);

/// Serves the API.
#[derive(Clone)]
pub struct ApiServer {
    pub(super) settings: ApiSettings,
    pub(super) subnets: Subnets,
    pub(super) limits: ApiLimits,
    pub(super) store: Result<Store, String>,
    pub(super) queries: mpsc::Sender<Query>,
    shared: Arc<Shared>,
}

/// The files of an API, next to its store.
pub struct ApiFiles {
    /// The keys of clients; it may be a place that the agent only reads.
    pub keys: PathBuf,
    /// When each key last signed a change.
    pub signed: PathBuf,
}

/// What requests have to do with each other.
struct Shared {
    keys: Mutex<KeyFile>,
    memory: Mutex<Memory>,
    unverified: Room,
    failures: Mutex<Failures>,
    checks: MemberChecks,
}

impl ApiServer {
    /// By these settings, on a store or, where it cannot be used, to say why not.
    pub fn new(
        (settings, subnets): (ApiSettings, Subnets),
        limits: ApiLimits,
        files: ApiFiles,
        store: Result<Store, String>,
        queries: mpsc::Sender<Query>,
    ) -> Self {
        let dates = SignedDates::open(files.signed);
        let shared = Shared {
            keys: Mutex::new(KeyFile::new(files.keys)),
            memory: Mutex::new(Memory { replays: Replays::default(), dates }),
            unverified: Room::default(),
            failures: Mutex::default(),
            checks: MemberChecks::default(),
        };
        Self { settings, subnets, limits, store, queries, shared: Arc::new(shared) }
    }

    /// Serves until the end comes, and answers what is under way. Other faces of the API come first.
    ///
    /// # Errors
    /// The address is taken, or the certificate cannot be used.
    pub async fn run(self, faces: Router, mut end: watch::Receiver<bool>) -> Result<()> {
        let listen = self.settings.listen;
        let tls = match (&self.settings.tls_certificate, &self.settings.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key, "the API")?),
            _ => None,
        };
        let listener = TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("cannot serve the API on {listen}"))?;
        tracing::info!(%listen, tls = tls.is_some(), "the API is served");
        let entrance = TcpEntrance { listener, tls, connections: CONNECTIONS, what: "the API" };
        let ended = async {
            // Where the agent is gone, so is the API.
            let _ = end.wait_for(|end| *end).await;
        };
        entrance.serve(faces.fallback_service(self.router()), ended).await
    }

    pub(super) fn router(self) -> Router {
        page::router().fallback(handle).with_state(Arc::new(self))
    }

    /// What is answered to a request.
    async fn reply(
        &self,
        peer: Peer,
        parts: &Parts,
        body: HttpBody,
        id: &str,
    ) -> Result<Reply, Refusal> {
        let answer = async |caller: Caller, received: &Received<'_>| {
            self.answered(caller, received, wall(), id).await
        };
        self.identified(peer, parts, body, answer).await
    }

    /// Finds out who asks, and lets the request be answered. Nothing of a body is read for those who are not known.
    pub(super) async fn identified<T>(
        &self,
        peer: Peer,
        parts: &Parts,
        body: HttpBody,
        answer: impl AsyncFnOnce(Caller, &Received<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let wall = wall();
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let (method, headers) = (parts.method.as_str(), &parts.headers);
        let head = Received { method, path, query, headers, body: &[] };
        match self.claim(&head, wall) {
            Err(refusal) => {
                discard(body).await;
                Err(self.slowed(peer, refusal).await)
            }
            Ok(Claim::Known(caller)) if caller.may_write && method != "GET" => {
                let body = read(body).await?;
                answer(caller, &Received { body: &body, ..head }).await
            }
            // Nothing that is in the body counts.
            Ok(Claim::Known(caller)) => {
                discard(body).await;
                answer(caller, &head).await
            }
            Ok(Claim::Signed(claim)) => {
                let Held { bytes, room } = self.shared.unverified.read(body).await?;
                let received = Received { body: &bytes, ..head };
                let verified = self.verified(&claim, &received, wall);
                // Room is for those who are not known, and while they are not.
                drop(room);
                match verified {
                    Ok(caller) => answer(caller, &received).await,
                    Err(refusal) => {
                        drop(bytes);
                        Err(self.slowed(peer, refusal).await)
                    }
                }
            }
        }
    }

    /// What is answered to a caller who is known.
    pub(super) async fn answered(
        &self,
        caller: Caller,
        received: &Received<'_>,
        wall: SystemTime,
        id: &str,
    ) -> Result<Reply, Refusal> {
        let Received { method, path, query, body, .. } = *received;
        if (method, path) == ("GET", "/v3/projects") {
            let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
            let name =
                name.map(|name| percent_encoding::percent_decode_str(name).decode_utf8_lossy());
            return Ok(operations::projects(&caller.project, name.as_deref()));
        }
        let no_such = || Refusal::no_such_path(format!("the API has no {method} {path}"));
        let Routed { operation, parameters } = route(method, path).ok_or_else(no_such)?;
        let may = may(&caller, parameters.get("project_id").map(String::as_str), method);
        let mut call = Call {
            operation,
            parameters,
            query: QueryPairs::default(),
            body: Body::new(),
            caller,
            request: id.to_owned(),
            now: timestamp(wall),
        };
        if operation.name == VERSIONS {
            return may.map(|()| operations::versions());
        }
        let known = match may.and_then(|()| Known::find(&operation.name)) {
            Ok(known) => known,
            Err(refusal) => return Err(self.noted(&call, refusal).await),
        };
        let store = self.store.as_ref();
        let store =
            store.map_err(|why| Refusal::internal(format!("the store cannot be used: {why}")))?;
        if let Err(refusal) = understand(&mut call, query, body) {
            return Err(self.noted(&call, refusal).await);
        }
        let health = async |of| match known.asks_for_health() {
            true => self.health(of).await,
            false => MemberHealths::new(),
        };
        let (limits, reached) = (self.limits, store.reached());
        let (subnets, health_later) = (self.subnets.clone(), MemberHealths::new());
        let base = HostState { limits, subnets, reached, health: health_later };
        let reply = match known {
            Known::CheckMember => self.check_member(&call, &View::new(&store.read(), base))?,
            Known::ShowMemberCheck => self.shared.checks.show(&call)?,
            Known::Plain(plain) => plain.answer(&call, store, base, health).await?,
            Known::Further(further) => further.answer(&call, store, base, health).await?,
        };
        judged(reply, operation)
    }

    /// Writes down that a change was refused before anything was tried; what was refused stays refused, whatever the
    /// disk says.
    async fn noted(&self, call: &Call, refusal: Refusal) -> Refusal {
        let name = audited(call.operation);
        if let (Ok(store), false) = (&self.store, name.is_empty()) {
            let mut record = call.record(&name, &Err(refusal.clone()));
            record.id = call.target().map(str::to_owned);
            let written = store.write(move |transaction| {
                transaction.note(record.clone());
                Err::<(), _>(())
            });
            // The log has why not.
            let _ = written.await;
        }
        refusal
    }

    /// Begins to find out what keeps a member from working.
    fn check_member(&self, call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
        let (reply, job, member) = self.shared.checks.begin(call, view)?;
        let server = self.clone();
        tokio::spawn(async move {
            let found = server.diagnosed(member).await;
            server.shared.checks.end(job, found, timestamp(wall()));
        });
        Ok(reply)
    }

    /// What the agent finds of a member; where it has many to look at, this one waits.
    async fn diagnosed(&self, member: ResourceId) -> Result<Report, String> {
        let target = Some(ResourceKind::Member.before(&member.to_string()));
        let request = DiagnoseRequest { target, inspection: None };
        for _ in 0..DIAGNOSIS_TRIES {
            let (answer, answered) = oneshot::channel();
            let ended = || "the agent ended meanwhile".to_owned();
            let query = Query::Diagnose(request.clone(), answer);
            self.queries.send(query).await.map_err(|_| ended())?;
            match answered.await.map_err(|_| ended())? {
                Ok(diagnosis) => {
                    let report = diagnosis.reports.into_iter().next();
                    return report.ok_or_else(|| "there is nothing to be found out".to_owned());
                }
                Err(error) if error.code == ErrorCode::Busy => sleep(DIAGNOSIS_WAIT).await,
                Err(error) => return Err(error.message),
            }
        }
        Err("the agent was busy with other members all the time".to_owned())
    }

    fn claim(&self, head: &Received<'_>, wall: SystemTime) -> Result<Claim, Refusal> {
        let mut file = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file.now().map_err(|error| {
            tracing::error!("the API takes no requests: {error:#}");
            Refusal::internal("the keys of this host cannot be used; its log says why".to_owned())
        })?;
        head.claim(keys, wall)
    }

    fn verified(
        &self,
        claim: &SignedClaim,
        received: &Received<'_>,
        wall: SystemTime,
    ) -> Result<Caller, Refusal> {
        let mut memory = self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner);
        claim.verified(received, &mut memory, (Instant::now(), wall))
    }

    /// The project of those who name none.
    pub(super) fn own_project(&self) -> Result<String, Refusal> {
        let mut file = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file.now().map_err(|error| Refusal::internal(format!("{error:#}")))?;
        keys.project_for_new().map_err(|error| Refusal::invalid(error.to_string()))
    }

    /// Wrong credentials wait for their answer.
    async fn slowed(&self, peer: Peer, refusal: Refusal) -> Refusal {
        if refusal.status != StatusCode::UNAUTHORIZED {
            return refusal;
        }
        let (Peer(address), now) = (peer, Instant::now());
        let wait = {
            let failures = &self.shared.failures;
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = failures.note(address, now);
            if failures.is_to_be_said(now) {
                let since_start = super::failures::wrong_credentials();
                tracing::warn!(%address, since_start, "wrong credentials for the API");
            }
            wait
        };
        sleep(wait).await;
        refusal
    }

    /// How a member is, or all are, as the agent knows it; nothing where it does not answer soon.
    pub(super) async fn health(&self, of: Option<ResourceId>) -> MemberHealths {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.queries.send(Query::MemberHealths(of, answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(HEALTH, asked).await.ok().flatten().unwrap_or_default()
    }
}

async fn handle(
    State(server): State<Arc<ApiServer>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(id) = keys::random(16) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let reply = server.reply(peer, &parts, body, &id).await;
    respond(reply, &id)
}

/// The answer, in the form that clients know.
pub(super) fn respond(reply: Result<Reply, Refusal>, id: &str) -> Response {
    let (status, body) = match reply {
        Ok(Reply { status: StatusCode::NO_CONTENT, .. }) => (StatusCode::NO_CONTENT, None),
        Ok(Reply { status, mut body }) => {
            body.insert("request_id".to_owned(), id.into());
            (status, Some(body))
        }
        Err(refusal) => {
            let body = serde_json::json!({
                "error_code": refusal.code, "error_msg": refusal.message, "request_id": id,
            });
            (refusal.status, body.as_object().cloned())
        }
    };
    let text = body.map(|body| Value::Object(body).to_string());
    let is_json = text.is_some();
    let mut response = (status, text.unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if is_json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// What an operation is called in the audit log, also one that is not there; empty if it changes nothing.
fn audited(operation: &Operation) -> String {
    match Known::find(&operation.name) {
        Ok(known) => known.audited().to_owned(),
        Err(_) if operation.method == "GET" => String::new(),
        Err(_) => {
            let mut words = operation.name.split('_');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |name, word| {
                let (initial, rest) = word.split_at(word.len().min(1));
                name + &initial.to_ascii_uppercase() + rest
            })
        }
    }
}

/// Whether a caller may do this to a project. Clients that do not know their project write its placeholder.
fn may(caller: &Caller, project: Option<&str>, method: &str) -> Result<(), Refusal> {
    let own = [Some(caller.project.as_str()), Some("{project_id}"), None];
    if !own.contains(&project) {
        let why =
            format!("key {:?} is not for project {}", caller.name, project.unwrap_or_default());
        return Err(Refusal::forbidden(why));
    }
    if !caller.may_write && method != "GET" {
        return Err(Refusal::forbidden(format!("key {:?} is read-only", caller.name)));
    }
    Ok(())
}

/// Reads query and body, and judges them by the table.
fn understand(call: &mut Call, query: &str, body: &[u8]) -> Result<(), Refusal> {
    call.query = QueryPairs::read(query, call.operation)?;
    let Some(model) = &call.operation.body else { return Ok(()) };
    let no_json = |error| Refusal::invalid(format!("the body is no JSON: {error}"));
    let mut value: Value = match body {
        [] => Value::Object(Body::new()),
        bytes => serde_json::from_slice(bytes).map_err(no_json)?,
    };
    if let Some(why) = wrong(model, &value, Towards::Us) {
        return Err(Refusal::invalid(why));
    }
    ids::keep("", &mut value);
    call.body = value.as_object().cloned().unwrap_or_default();
    Ok(())
}

/// In builds for tests, an answer that is not what the table says of the operation is an error.
pub(super) fn judged(reply: Reply, operation: &Operation) -> Result<Reply, Refusal> {
    if !cfg!(debug_assertions) {
        return Ok(reply);
    }
    let Operation { name, response: model, status, .. } = operation;
    let is_empty = reply.status == StatusCode::NO_CONTENT;
    let why = match (*status == Some(reply.status), is_empty) {
        (false, _) => Some(format!("its status is {}", reply.status)),
        (true, true) => None,
        (true, false) => wrong(model, &Value::Object(reply.body.clone()), Towards::Client),
    };
    let Some(why) = why else { return Ok(reply) };
    tracing::error!(operation = name, why, "an answer of the API is not what its table says");
    Err(Refusal::internal(format!("the answer is no {model}: {why}")))
}

#[expect(clippy::disallowed_methods, reason = "clients sign with the wall clock, and are shown it")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
