//! Requests of the API: who asks, for what, whether it is valid, and the answer in the form that clients know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

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
use tokio::sync::{mpsc, watch};

use super::authentication::{Caller, Received};
use super::bodies::Room;
pub(super) use super::bodies::{BODY, read};
use super::call::{Call, Reply};
use super::failures::Failures;
use super::ids;
use super::key_file::{KeyFile, KeyInUse};
use super::keys;
use super::member_checks::MemberChecks;
use super::operations::{self, Known, VERSIONS};
use super::page;
use super::query::QueryPairs;
use super::refusal::Refusal;
use super::replays::Replays;
use super::requests;
use super::resources::{ApiHost, HostState, View};
use super::route::{Routed, route};
use super::signed_dates::{SignedDates, SignedGap};
use super::table::Operation;
use super::validation::{Towards, wrong};
use crate::api::Query;
use crate::api::guests::Guests;
use crate::api::shape::status::timestamp;
use crate::api::tcp::{Peer, TcpEntrance};
use crate::api::tls;
use crate::source::api::ApiSettings;
use crate::source::store::{Body, Store};

/// Connections that are taken at once; fewer are served.
const CONNECTIONS: usize = 1024;

/// Serves the API.
#[derive(Clone)]
pub struct ApiServer {
    pub(super) settings: ApiSettings,
    pub(super) host: ApiHost,
    pub(super) store: Result<Store, String>,
    pub(super) queries: mpsc::Sender<Query>,
    pub(super) shared: Arc<Shared>,
}

/// The files of an API, next to its store.
pub struct ApiFiles {
    /// The keys of clients; it may be a place that the agent only reads.
    pub keys: PathBuf,
    /// When each key last signed a change.
    pub signed: PathBuf,
}

/// What requests have to do with each other.
pub(super) struct Shared {
    pub(super) keys: Arc<Mutex<KeyFile>>,
    pub(super) replays: Mutex<Replays>,
    pub(super) signed: SignedDates,
    gap: Option<SignedGap>,
    pub(super) unverified: Room,
    pub(super) failures: Mutex<Failures>,
    pub(super) checks: MemberChecks,
}

impl ApiServer {
    /// By these settings, on a store or, where it cannot be used, to say why not.
    pub fn new(
        settings: ApiSettings,
        host: ApiHost,
        files: ApiFiles,
        store: Result<Store, String>,
        queries: mpsc::Sender<Query>,
    ) -> Self {
        let (signed, former, gap) = SignedDates::open(files.signed, wall());
        let shared = Shared {
            keys: Arc::new(Mutex::new(KeyFile::new(files.keys))),
            replays: Mutex::new(Replays::after(former)),
            signed,
            gap,
            unverified: Room::default(),
            failures: Mutex::default(),
            checks: MemberChecks::default(),
        };
        Self { settings, host, store, queries, shared: Arc::new(shared) }
    }

    /// What is not known of signed requests, if anything.
    pub fn signed_gap(&self) -> Option<SignedGap> {
        self.shared.gap.clone()
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
        let (connections, guests) = (CONNECTIONS, Some(Guests::default()));
        let entrance = TcpEntrance { listener, tls, connections, guests, what: "the API" };
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

    /// What is answered to a caller who is known.
    pub(super) async fn answered(
        &self,
        caller: Caller,
        received: &Received<'_>,
        wall: SystemTime,
        id: &str,
    ) -> Result<Reply, Refusal> {
        self.answered_with(caller, received, None, (wall, id)).await
    }

    /// As [`Self::answered`], with tags that a resource is to have.
    pub(super) async fn answered_with(
        &self,
        caller: Caller,
        received: &Received<'_>,
        tags: Option<BTreeMap<String, String>>,
        (wall, id): (SystemTime, &str),
    ) -> Result<Reply, Refusal> {
        let Received { method, path, query, body, .. } = *received;
        if (method, path) == ("GET", "/v3/projects") {
            let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
            let name =
                name.map(|name| percent_encoding::percent_decode_str(name).decode_utf8_lossy());
            return Ok(operations::projects(&caller.project, name.as_deref()));
        }
        let no_such = || Refusal::no_such_path(format!("the API has no {method} {path}"));
        let routed = route(method, path).ok_or_else(no_such)?;
        let operation = routed.operation;
        let may = may(&caller, routed.parameters.get("project_id").map(String::as_str), method);
        let mut call = Call { tags, ..self.call(caller, routed, (wall, id)) };
        if operation.name == VERSIONS {
            return may.map(|()| operations::versions());
        }
        let known = match may.and_then(|()| Known::find(&operation.name)) {
            Ok(known) => known,
            Err(refusal) => return Err(self.noted(&call, refusal).await),
        };
        let store = self.opened()?;
        if let Err(refusal) = understand(&mut call, query, body) {
            return Err(self.noted(&call, refusal).await);
        }
        let host = self.host_state(store, &call.caller);
        let reply = match known {
            Known::CheckMember => self.check_member(&call, &View::new(&store.read(), host))?,
            Known::ShowMemberCheck => self.shared.checks.show(&call)?,
            Known::Plain(plain) => plain.answer(&call, store, host).await?,
            Known::Further(further) => further.answer(&call, store, host).await?,
        };
        judged(reply, operation)
    }

    /// The store, or why there is none.
    pub(super) fn opened(&self) -> Result<&Store, Refusal> {
        let unusable = |why| Refusal::unavailable(format!("the store cannot be used: {why}"));
        self.store.as_ref().map_err(unusable)
    }

    /// A request for an operation, of which nothing else is understood yet.
    pub(super) fn call(
        &self,
        caller: Caller,
        Routed { operation, parameters }: Routed,
        (wall, id): (SystemTime, &str),
    ) -> Call {
        let of = |access| KeyInUse::new(self.shared.keys.clone(), access);
        let key = caller.access.clone().map(of);
        let (query, body, tags) = (QueryPairs::default(), Body::new(), None);
        let (request, now) = (id.to_owned(), timestamp(wall));
        Call { operation, parameters, query, body, tags, caller, key, request, now }
    }

    /// Writes down that a change was refused before anything was tried; what was refused stays refused, whatever the
    /// disk says.
    pub(super) async fn noted(&self, call: &Call, refusal: Refusal) -> Refusal {
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

    /// The project of those who name none.
    pub(super) fn own_project(&self) -> Result<String, Refusal> {
        let mut file = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file.now().map_err(|error| Refusal::internal(format!("{error:#}")))?;
        keys.project_for_new().map_err(|error| Refusal::invalid(error.to_string()))
    }

    /// What is known of the host, and shown to a caller.
    pub(super) fn host_state(&self, store: &Store, caller: &Caller) -> HostState {
        let ApiHost { limits, subnets, health } = self.host.clone();
        let may_see_keys = caller.may_write;
        HostState { limits, subnets, reached: store.reached(), health, may_see_keys }
    }
}

async fn handle(
    State(server): State<Arc<ApiServer>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let Ok(id) = keys::random(16) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let reply = server.reply(peer, &parts, body, &id).await;
    let response = respond(reply, &id);
    let method = parts.method.as_str();
    let operation = requests::operation(method, parts.uri.path());
    requests::answered(operation, method, response.status(), begun.elapsed());
    response
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
