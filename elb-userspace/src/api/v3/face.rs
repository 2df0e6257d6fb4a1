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
use super::server::{ApiServer, wall};
use super::{ids, keys};
use crate::api::tcp::Peer;
use crate::source::store::{Body, Document, DocumentKind};
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
}

impl From<Refusal> for Fault {
    fn from(Refusal { status, code, message }: Refusal) -> Self {
        Self { status, code, message }
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

/// Whether a resource may have these tags.
pub(in crate::api) fn judge_tags(tags: &Value) -> Result<(), Fault> {
    let given = Body::from_iter([("tags".to_owned(), tags.clone())]);
    Ok(resources::tags(&given).map(drop)?)
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
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (path, headers) = (asker.path(path), axum::http::HeaderMap::new());
        let received = Received { method, path: &path, query: "", headers: &headers, body: &body };
        let caller = asker.caller.clone();
        let reply = self.answered(caller, &received, wall(), &asker.request).await?;
        Ok(reply.body)
    }

    /// The resources of a kind, of one pool or with one id where that is asked for, in the order of their ids. Each
    /// has `provisioning_status` and `operating_status`, a member its `pool_id`, and a listener `allowed_cidrs`.
    pub(in crate::api) async fn resources(
        &self,
        asker: &Asker,
        kind: DocumentKind,
        pool: Option<&str>,
        id: Option<&str>,
    ) -> Result<Vec<Body>, Fault> {
        let store = self.store.as_ref();
        let store =
            store.map_err(|why| Refusal::internal(format!("the store cannot be used: {why}")))?;
        // Where one member is meant, only that one is asked for.
        let member = id.filter(|_| kind == DocumentKind::Member).and_then(|id| id.parse().ok());
        let health = self.health(member).await;
        let (limits, subnets, reached) = (self.limits, self.subnets.clone(), store.reached());
        let host = HostState { limits, subnets, reached, health };
        let documents = store.read();
        let view = View::new(&documents, host);
        let is_own = |document: &Document| {
            document.project == asker.caller.project && !resources::is_of_pair(&documents, document)
        };
        let pool = match pool {
            None => None,
            Some(id) => {
                let found = view.get(asker.project(), DocumentKind::Pool, id)?;
                let found = Some(found).filter(|found| is_own(found));
                Some(found.ok_or_else(|| Refusal::not_found(DocumentKind::Pool, id))?.id)
            }
        };
        let is_meant = |document: &&Arc<Document>| {
            is_own(document) && pool.is_none_or(|pool| document.reference("pool_id") == Some(pool))
        };
        let show = |document: &Arc<Document>| shown(&view, document);
        let Some(id) = id else {
            return Ok(documents.of(kind).filter(is_meant).map(show).collect());
        };
        let one = id.parse().ok().and_then(|id| documents.get(kind, id)).filter(is_meant);
        Ok(vec![shown(&view, one.ok_or_else(|| Refusal::not_found(kind, id))?)])
    }

    /// The subnets that give addresses.
    pub(in crate::api) fn subnets(&self) -> Arc<[Subnet]> {
        self.subnets.get()
    }

    /// Whether it is served by TLS.
    pub(in crate::api) const fn is_secure(&self) -> bool {
        self.settings.tls_certificate.is_some()
    }
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
