//! Requests of version 2: each is one operation of V3, or a look at resources.

mod certificates;

use std::time::Instant;

use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use serde_json::{Value, json};

use super::dialect::Dialect;
use super::list::ListQuery;
use super::listed::ListedItems;
use super::path::{Asked, Target, asked};
use super::request::Given;
use super::shown::{shown, statuses};
use super::{fixed, networks, tags, versions};
use crate::api::tcp::Peer;
use crate::api::v3::face::{Asker, Fault, request_id, shortened};
use crate::api::v3::{ApiServer, requests};
use crate::source::store::{Body, DocumentKind};

/// What answers requests of version 2, and those that look for versions.
pub fn router(server: ApiServer) -> Router {
    let mut router = Router::new().route("/", get(list_versions));
    for path in ["/v2", "/v2/", "/v2.0", "/v2.0/"] {
        router = router.route(path, get(show_version));
    }
    let router = router.route("/v2/{*path}", any(handle)).route("/v2.0/{*path}", any(handle));
    router.with_state(server)
}

/// A request of a client that is known.
struct Call<'a> {
    server: &'a ApiServer,
    asker: Asker,
    dialect: Dialect,
    method: &'a str,
    query: ListQuery,
    body: Vec<u8>,
    /// Where the path is reached.
    url: String,
}

type Answer = Result<(StatusCode, Value), Fault>;

async fn list_versions(State(server): State<ApiServer>, request: Request) -> Response {
    reply(
        Ok((StatusCode::OK, versions::all(&root(&server, request.headers())))),
        Dialect::OpenStack,
        None,
    )
}

async fn show_version(State(server): State<ApiServer>, request: Request) -> Response {
    reply(
        Ok((StatusCode::OK, versions::one(&root(&server, request.headers())))),
        Dialect::OpenStack,
        None,
    )
}

fn root(server: &ApiServer, headers: &axum::http::HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    versions::root(host, server.is_secure())
}

async fn handle(
    State(server): State<ApiServer>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let Some(id) = request_id() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let asked = asked(parts.uri.path());
    let dialect = asked.as_ref().map_or(Dialect::OpenStack, |asked| asked.dialect);
    let answer = answer(&server, peer, &parts, body, asked, &id).await;
    let response = reply(answer, dialect, Some(&id));
    let (method, status) = (parts.method.as_str(), response.status());
    requests::answered(requests::VERSION_2, method, status, begun.elapsed());
    response
}

async fn answer(
    server: &ApiServer,
    peer: Peer,
    parts: &Parts,
    body: HttpBody,
    asked: Option<Asked<'_>>,
    id: &str,
) -> Answer {
    let (asker, body) = server.asker(peer, parts, body, id).await?;
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let Some(Asked { dialect, project, target }) = asked else {
        return Err(Fault::no_such_path(format!("the API has no {method} {path}")));
    };
    let query = ListQuery::read(parts.uri.query().unwrap_or_default());
    let url = format!("{}{path}", root(server, &parts.headers));
    let call = Call { server, asker, dialect, method, query, body, url };
    match call.answer(project, target).await {
        Err(fault) if method != "GET" && !fault.is_recorded => Err(call.noted(target, fault).await),
        answer => answer,
    }
}

impl Call<'_> {
    /// What version 2 refuses by itself is in the audit log as the operation of V3 that it would have been.
    async fn noted(&self, target: Target<'_>, fault: Fault) -> Fault {
        let (mut method, mut place) = (self.method, String::new());
        match target {
            Target::Resources { kind, pool, id } => place = path(kind, pool, id),
            Target::Fixed { collection, id } => {
                let id = id.map(|id| format!("/{id}")).unwrap_or_default();
                place = format!("elb/{collection}{id}");
            }
            Target::Tags { of, rest: [id, ..] } => {
                (method, place) = ("POST", format!("{of}/{id}/tags/action"));
            }
            // V3 changes nothing of these.
            Target::Statuses(_)
            | Target::Stats
            | Target::Quotas(_)
            | Target::Network { .. }
            | Target::Deed(_) => {}
        }
        self.server.noted_fault(&self.asker, (method, &place), fault).await
    }

    async fn answer(&self, project: Option<&str>, target: Target<'_>) -> Answer {
        // Clients that do not know their project write its placeholder.
        let own = [self.asker.project(), "%7Bproject_id%7D", "{project_id}"];
        if let Some(project) = project.filter(|project| !own.contains(project)) {
            let project = shortened(project);
            return Err(Fault::forbidden(format!("the key is not for project {project}")));
        }
        if let Target::Resources { kind, pool, id } = &target {
            self.may(*kind, *pool, *id).await?;
        } else if self.method != "GET" && !self.asker.may_write() {
            return Err(Fault::forbidden("the key may not change anything".to_owned()));
        }
        match (self.method, target) {
            (_, Target::Resources { kind: DocumentKind::Certificate, id, .. }) => {
                self.certificates(id).await
            }
            ("GET", Target::Resources { kind, pool, id: None }) => self.list(kind, pool).await,
            ("GET", Target::Resources { kind, pool, id: Some(id) }) => {
                Ok((StatusCode::OK, json!({key(kind).0: self.show(kind, pool, id).await?})))
            }
            ("POST", Target::Resources { kind, pool, id: None }) if is_made(kind, pool) => {
                self.create(kind, pool).await
            }
            ("PUT", Target::Resources { kind, pool, id: Some(id) }) => {
                self.update(kind, pool, id).await
            }
            ("DELETE", Target::Resources { kind, pool, id: Some(id) }) => {
                self.delete(kind, pool, id).await
            }
            ("GET", Target::Statuses(id)) => self.statuses(id).await,
            ("GET", Target::Quotas(of)) => self.quotas(of).await,
            (_, Target::Tags { of, rest }) => self.tags(of, rest).await,
            (method, Target::Fixed { collection, id }) => {
                Ok((StatusCode::OK, fixed::answer(method, collection, id, &self.query)?))
            }
            (method, Target::Network { collection, id }) => {
                let subnets = self.server.subnets();
                Ok((
                    StatusCode::OK,
                    networks::network(method, collection, id, &self.query, &subnets)?,
                ))
            }
            (method, target) => Err(Fault::not_supported(lacking(method, target))),
        }
    }

    /// Refuses what is refused whatever the body has: so V3 says it, and writes it down.
    async fn may(
        &self,
        kind: DocumentKind,
        pool: Option<&str>,
        id: Option<&str>,
    ) -> Result<(), Fault> {
        // Ids have no characters that would have to be encoded.
        if let Some(odd) = [pool, id].into_iter().flatten().find(|id| id.contains('%')) {
            let odd = shortened(odd);
            return Err(Fault::no_such(format!("{} {odd} could not be found.", key(kind).0)));
        }
        if self.method != "GET" && !self.asker.may_write() {
            self.operate(self.method, &path(kind, pool, id), &Value::Null).await?;
        }
        Ok(())
    }

    async fn list(&self, kind: DocumentKind, pool: Option<&str>) -> Answer {
        let listed = self.server.listed(&self.asker, kind, pool)?;
        let show = |v3: &Body| shown(kind, self.dialect, v3);
        let (items, like) = (ListedItems { listed, show }, show(&Body::new()));
        Ok((StatusCode::OK, self.query.page(key(kind).1, &items, &like, &self.url)?))
    }

    async fn show(&self, kind: DocumentKind, pool: Option<&str>, id: &str) -> Result<Body, Fault> {
        let found = self.server.resource(&self.asker, (kind, id), pool)?;
        Ok(shown(kind, self.dialect, &found))
    }

    async fn create(&self, kind: DocumentKind, pool: Option<&str>) -> Answer {
        let given = self.translated(kind, true)?;
        let path = path(kind, pool, None);
        let made = self.operate("POST", &path, &json!({key(kind).0: given})).await?;
        let id = made.get(key(kind).0).and_then(|made| made.get("id")).and_then(Value::as_str);
        let shown = self.show(kind, pool, id.unwrap_or_default()).await?;
        Ok((StatusCode::CREATED, json!({key(kind).0: shown})))
    }

    async fn update(&self, kind: DocumentKind, pool: Option<&str>, id: &str) -> Answer {
        let given = self.translated(kind, false)?;
        let wanted = self.given(kind)?.get("tags").filter(|tags| !tags.is_null()).cloned();
        let wanted = wanted.map(|wanted| tags::read(&wanted)).transpose()?;
        let has_tags = [DocumentKind::LoadBalancer, DocumentKind::Listener].contains(&kind);
        let wanted = wanted.filter(|_| has_tags);
        let (path, body) = (path(kind, pool, Some(id)), json!({key(kind).0: given}));
        let tagged = (&body, wanted.as_ref());
        self.server.operate_tagged(&self.asker, "PUT", &path, tagged).await?;
        Ok((StatusCode::OK, json!({key(kind).0: self.show(kind, pool, id).await?})))
    }

    async fn delete(&self, kind: DocumentKind, pool: Option<&str>, id: &str) -> Answer {
        let mut path = path(kind, pool, Some(id));
        if kind == DocumentKind::LoadBalancer && self.query.is_set("cascade") {
            path.push_str("/force-elb");
        }
        self.operate("DELETE", &path, &Value::Null).await?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    }

    async fn statuses(&self, id: &str) -> Answer {
        let path = format!("elb/loadbalancers/{id}/statuses");
        let mut tree = self.operate("GET", &path, &Value::Null).await?;
        let mut tree = tree.remove("statuses").unwrap_or_default();
        statuses(self.dialect, &mut tree);
        Ok((StatusCode::OK, json!({"statuses": tree})))
    }

    /// All projects have the same quotas, and none are set for one.
    async fn quotas(&self, of: Option<&str>) -> Answer {
        let own = self.asker.project();
        if let Some(other) = of.filter(|of| ![own, "defaults"].contains(of)) {
            let other = shortened(other);
            return Err(Fault::forbidden(format!("the key is not for project {other}")));
        }
        let quota = fixed::quota(&self.operate("GET", "elb/quotas", &Value::Null).await?);
        let reply = if of.is_some() { json!({"quota": quota}) } else { json!({"quotas": [quota]}) };
        Ok((StatusCode::OK, reply))
    }

    /// Tags of the cloud's version 2 are those of V3, and may be changed one by one.
    async fn tags(&self, of: &str, rest: [&str; 3]) -> Answer {
        let body: Value = self.json()?;
        let (method, path, body) = match (self.method, rest) {
            ("GET", ["tags", "", ""]) => ("GET", format!("{of}/tags"), Value::Null),
            ("GET", [id, "tags", ""]) => ("GET", format!("{of}/{id}/tags"), Value::Null),
            ("POST", [id, "tags", "action"]) => ("POST", format!("{of}/{id}/tags/action"), body),
            ("POST", [id, "tags", ""]) => {
                let body = json!({"action": "create", "tags": [body.get("tag")]});
                ("POST", format!("{of}/{id}/tags/action"), body)
            }
            ("DELETE", [id, "tags", key]) if !key.is_empty() => {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
                let body = json!({"action": "delete", "tags": [{"key": key, "value": ""}]});
                ("POST", format!("{of}/{id}/tags/action"), body)
            }
            (method, _) => {
                let rest = rest.join("/");
                let why =
                    format!("{method} of {of}/{}: list {of} by ?tags=key=value", shortened(&rest));
                return Err(Fault::not_supported(why));
            }
        };
        let reply = self.operate(method, &path, &body).await?;
        let status = if reply.is_empty() { StatusCode::NO_CONTENT } else { StatusCode::OK };
        Ok((status, Value::Object(reply)))
    }

    async fn operate(&self, method: &str, path: &str, body: &Value) -> Result<Body, Fault> {
        self.server.operate(&self.asker, method, path, body).await
    }

    fn json(&self) -> Result<Value, Fault> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let no_json = |error| Fault::invalid(format!("the body is no JSON: {error}"));
        serde_json::from_slice(&self.body).map_err(no_json)
    }

    /// What the body has for a resource.
    fn given(&self, kind: DocumentKind) -> Result<Body, Fault> {
        let (key, body) = (key(kind).0, self.json()?);
        let given = body.get(key).and_then(Value::as_object).cloned();
        given.ok_or_else(|| Fault::invalid(format!("the body has no object {key:?}")))
    }

    fn translated(&self, kind: DocumentKind, is_new: bool) -> Result<Body, Fault> {
        let (body, project) = (self.given(kind)?, self.asker.project());
        let subnets = &self.server.subnets();
        let dialect = self.dialect;
        Given { kind, dialect, is_new, body: &body, project, subnets }.translated()
    }
}

/// The keys of one resource and of several.
const fn key(kind: DocumentKind) -> (&'static str, &'static str) {
    match kind {
        DocumentKind::Listener => ("listener", "listeners"),
        DocumentKind::Pool => ("pool", "pools"),
        DocumentKind::Member => ("member", "members"),
        DocumentKind::HealthMonitor => ("healthmonitor", "healthmonitors"),
        DocumentKind::Certificate => ("certificate", "certificates"),
        // Version 2 has no others.
        DocumentKind::LoadBalancer
        | DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => ("loadbalancer", "loadbalancers"),
    }
}

/// Members are made in a pool only.
fn is_made(kind: DocumentKind, pool: Option<&str>) -> bool {
    kind != DocumentKind::Member || pool.is_some()
}

/// The path of V3, below its project.
fn path(kind: DocumentKind, pool: Option<&str>, id: Option<&str>) -> String {
    let of = pool.map(|pool| format!("pools/{pool}/")).unwrap_or_default();
    let id = id.map(|id| format!("/{id}")).unwrap_or_default();
    format!("elb/{of}{}{id}", key(kind).1)
}

/// Why a request is for nothing that is there.
fn lacking(method: &str, target: Target<'_>) -> String {
    match target {
        Target::Stats => "counters are not served by version 2: members answer clients directly, so that this host \
                          does not see what they send; `elb status` and its metrics have what it sees"
            .to_owned(),
        Target::Resources { kind: DocumentKind::Member, pool: Some(_), id: None } => {
            format!("{method} of all members at once is not supported: change them one by one")
        }
        Target::Quotas(_) => {
            format!("{method} of quotas is not supported: they are the sizes of this host's maps")
        }
        Target::Deed(deed) => {
            format!("{method} {} is not supported by this host", shortened(deed))
        }
        Target::Resources { .. }
        | Target::Statuses(_)
        | Target::Tags { .. }
        | Target::Fixed { .. }
        | Target::Network { .. } => format!("{method} is not supported here"),
    }
}

fn reply(answer: Answer, dialect: Dialect, request: Option<&str>) -> Response {
    let id = request.unwrap_or_default();
    let (status, body) = answer.unwrap_or_else(|fault| dialect.error(&fault, id));
    if status == StatusCode::NO_CONTENT {
        return with_id(status.into_response(), request);
    }
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    with_id(response, request)
}

fn with_id(mut response: Response, request: Option<&str>) -> Response {
    if let Some(id) = request.and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert("x-request-id", id.clone());
        response.headers_mut().insert("x-openstack-request-id", id);
    }
    response
}
