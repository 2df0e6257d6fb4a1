//! What other faces of the API ask of this one: who a client is, one operation, and resources as they are.

use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::authentication::{Caller, Received};
use super::further::operating_status;
use super::refusal::Refusal;
use super::resources::{self, HostState, View};
use super::route::route;
use super::server::{ApiServer, wall};
pub(in crate::api) use super::validation::{Messages, brief, shortened};
use super::{ids, keys};
use crate::api::tcp::Peer;
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind, Documents, Store};
use crate::source::subnet::Subnet;

/// The flavor of load balancers that ask for none, by its id.
pub(in crate::api) const ONE_FLAVOR: &str = resources::FLAVOR;

/// A client that is known, and its request.
pub(in crate::api) struct Asker {
    caller: Caller,
    /// The id of the request.
    request: String,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Fault {
    pub(in crate::api) status: StatusCode,
    /// As the V3 API has it.
    pub(in crate::api) code: &'static str,
    pub(in crate::api) message: String,
    /// Whether the audit log has it already, if it is to have it.
    pub(in crate::api) is_recorded: bool,
}

impl From<Refusal> for Fault {
    fn from(Refusal { status, code, message }: Refusal) -> Self {
        Self { status, code, message, is_recorded: false }
    }
}

impl Fault {
    /// Something in the request is not valid.
    pub(in crate::api) fn invalid(message: String) -> Self {
        Refusal::invalid(message).into()
    }

    /// Valid in the API, and not to be had here.
    pub(in crate::api) fn not_supported(message: String) -> Self {
        Refusal::not_supported(message).into()
    }

    /// There is nothing of this name.
    pub(in crate::api) fn no_such(message: String) -> Self {
        Refusal::no_such(message).into()
    }

    /// The API has no such path.
    pub(in crate::api) fn no_such_path(message: String) -> Self {
        Refusal::no_such_path(message).into()
    }

    /// It is known who asks, and that is not enough.
    pub(in crate::api) fn forbidden(message: String) -> Self {
        Refusal::forbidden(message).into()
    }
}

/// The id of a request; none: the host has no random numbers.
pub(in crate::api) fn request_id() -> Option<String> {
    keys::random(16).ok()
}

/// A value of a query as resources have it: ids in one spelling.
pub(in crate::api) fn as_kept(key: &str, value: String) -> String {
    ids::as_kept(if key == "marker" { "id" } else { key }, value)
}

impl Asker {
    /// Whether the client may change something.
    pub(in crate::api) const fn may_write(&self) -> bool {
        self.caller.may_write
    }

    /// The project that the client is for.
    pub(in crate::api) fn project(&self) -> &str {
        &self.caller.project
    }

    /// The path of an operation of the V3 API for its project.
    fn path(&self, path: &str) -> String {
        format!("/v3/{}/{path}", self.caller.project)
    }
}

impl ApiServer {
    /// Who asks, and the body of the request.
    pub(in crate::api) async fn asker(
        &self,
        peer: Peer,
        parts: &Parts,
        body: HttpBody,
        request: &str,
    ) -> Result<(Asker, Vec<u8>), Fault> {
        let answer = async |caller: Caller, received: &Received<'_>| {
            Ok((Asker { caller, request: request.to_owned() }, received.body.to_vec()))
        };
        Ok(self.identified(peer, parts, body, answer).await?)
    }

    /// Does an operation, whose path is that below the project: what is answered.
    pub(in crate::api) async fn operate(
        &self,
        asker: &Asker,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Body, Fault> {
        self.operate_tagged(asker, method, path, (body, None)).await
    }

    /// As [`Self::operate`]; the resource that is updated has these tags then, and no others.
    pub(in crate::api) async fn operate_tagged(
        &self,
        asker: &Asker,
        method: &str,
        path: &str,
        (body, tags): (&Value, Option<&Value>),
    ) -> Result<Body, Fault> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (path, headers) = (asker.path(path), axum::http::HeaderMap::new());
        let received = Received { method, path: &path, query: "", headers: &headers, body: &body };
        let tags = tags.map(|tags| Body::from_iter([("tags".to_owned(), tags.clone())]));
        let tags = tags.map(|given| resources::tags(&given)).transpose()?;
        let (caller, by) = (asker.caller.clone(), (wall(), &*asker.request));
        let reply = self.answered_with(caller, &received, tags, by).await;
        let recorded = |refusal: Refusal| Fault { is_recorded: true, ..refusal.into() };
        Ok(reply.map_err(recorded)?.body)
    }

    /// Writes down that another face refused what would have been an operation, by its path below the project.
    pub(in crate::api) async fn noted_fault(
        &self,
        asker: &Asker,
        (method, path): (&str, &str),
        fault: Fault,
    ) -> Fault {
        let Some(routed) = route(method, &asker.path(path)) else { return fault };
        let call = self.call(asker.caller.clone(), routed, (wall(), &asker.request));
        let Fault { status, code, message, .. } = fault;
        let refusal = self.noted(&call, Refusal { status, code, message }).await;
        Fault { is_recorded: true, ..refusal.into() }
    }

    /// One resource; a member is of this pool, where one is named. It has `provisioning_status` and `operating_status`, a
    /// member its `pool_id`, and a listener `allowed_cidrs`.
    pub(in crate::api) fn resource(
        &self,
        asker: &Asker,
        (kind, id): (DocumentKind, &str),
        pool: Option<&str>,
    ) -> Result<Body, Fault> {
        let store = self.opened()?;
        let documents = store.read();
        let view = View::new(&documents, self.host_state(store, &asker.caller));
        let pool = own_pool(&view, asker, pool)?;
        let found = id.parse().ok().and_then(|id| documents.get(kind, id)).filter(|one| {
            is_own(&documents, asker, one)
                && pool.is_none_or(|pool| one.reference("pool_id") == Some(pool))
        });
        Ok(shown(&view, found.ok_or_else(|| Refusal::not_found(kind, id))?))
    }

    /// The resources of a kind, or the members of a pool, in the order of their ids: none of them is shown yet.
    pub(in crate::api) fn listed(
        &self,
        asker: &Asker,
        kind: DocumentKind,
        pool: Option<&str>,
    ) -> Result<Listed<'_>, Fault> {
        let store = self.opened()?;
        let host = self.host_state(store, &asker.caller);
        let documents = store.read();
        let view = View::new(&documents, host);
        let is_own = |one: &&Arc<Document>| is_own(&documents, asker, one);
        let found = match own_pool(&view, asker, pool)? {
            None => documents.of(kind).filter(is_own).cloned().collect(),
            Some(pool) => {
                let of_pool = documents.referring(kind, "pool_id", pool);
                of_pool.filter(is_own).cloned().collect()
            }
        };
        Ok(Listed { store, host: view.host, found })
    }

    /// The subnets that give addresses.
    pub(in crate::api) fn subnets(&self) -> Arc<[Subnet]> {
        self.host.subnets.get()
    }

    /// Whether it is served by TLS.
    pub(in crate::api) const fn is_secure(&self) -> bool {
        self.settings.tls_certificate.is_some()
    }
}

/// Resources of a list. The store is read for one of them at a time, so that writes need not wait for a long list.
pub(in crate::api) struct Listed<'a> {
    store: &'a Store,
    host: HostState,
    found: Vec<Arc<Document>>,
}

impl Listed<'_> {
    /// In the order of their ids.
    pub(in crate::api) fn documents(&self) -> &[Arc<Document>] {
        &self.found
    }

    /// One of them, as it is shown.
    pub(in crate::api) fn show(&self, document: &Document) -> Body {
        let documents = self.store.read();
        shown(&View::new(&documents, self.host.clone()), document)
    }
}

fn is_own(documents: &Documents, asker: &Asker, document: &Document) -> bool {
    document.project == asker.project() && !resources::is_of_pair(documents, document)
}

/// The pool of a path, if there is one in it.
fn own_pool(
    view: &View<'_>,
    asker: &Asker,
    pool: Option<&str>,
) -> Result<Option<ResourceId>, Refusal> {
    let Some(id) = pool else { return Ok(None) };
    let found = view.get(asker.project(), DocumentKind::Pool, id)?;
    if !is_own(view.documents, asker, &found) {
        return Err(Refusal::not_found(DocumentKind::Pool, id));
    }
    Ok(Some(found.id))
}

fn shown(view: &View<'_>, document: &Document) -> Body {
    let mut shown = resources::object(&resources::show(view, document));
    let kind = document.kind;
    // A load balancer has its own, of all that belongs to it.
    if kind != DocumentKind::LoadBalancer {
        shown.insert("provisioning_status".to_owned(), view.own_status(document).into());
    }
    if kind == DocumentKind::Member {
        shown.insert("pool_id".to_owned(), document.text("pool_id").into());
    } else {
        shown.insert("operating_status".to_owned(), operating_status(view, document).into());
    }
    if let Some(allowed) = allowed(view, document) {
        shown.insert("allowed_cidrs".to_owned(), allowed);
    }
    shown
}

/// The networks that a listener lets in, where it does not let in all.
fn allowed(view: &View<'_>, listener: &Document) -> Option<Value> {
    let access = listener.body.get("ipgroup").filter(|access| {
        access.get("enable_ipgroup") == Some(&json!(true)) && access["type"] == "white"
    })?;
    let group = access.get("ipgroup_id")?.as_str()?.parse().ok()?;
    let group = view.documents.get(DocumentKind::IpGroup, group)?;
    let list = group.body.get("ip_list")?.as_array()?;
    Some(list.iter().filter_map(|entry| entry.get("ip")).cloned().collect())
}
