//! What an operation does to the documents of its project.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::keys;
use super::super::refusal::Refusal;
use super::{HostState, Quotas, View, is_of_pair};
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind, Documents, Transaction};

/// An operation under way.
pub(in crate::api::v3) struct Work<'w, 't> {
    pub(in crate::api::v3) transaction: &'w mut Transaction<'t>,
    pub(in crate::api::v3) project: &'w str,
    pub(in crate::api::v3) now: &'w str,
    /// The id of what is made.
    pub(in crate::api::v3) id: ResourceId,
    /// The pool in the path, of members.
    pub(in crate::api::v3) pool: Option<ResourceId>,
    pub(in crate::api::v3) host: HostState,
}

/// An id that nothing has yet.
pub(in crate::api::v3) fn new_id() -> Result<ResourceId, Refusal> {
    let no_id = |why: String| Refusal::internal(format!("no id can be made: {why}"));
    let random = keys::random(16).map_err(|error| no_id(error.to_string()))?;
    let bits = u128::from_str_radix(&random, 16).map_err(|error| no_id(error.to_string()))?;
    let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
    id.to_string().parse().map_err(|error| no_id(format!("{error}")))
}

impl Work<'_, '_> {
    /// Everything as it is with what this operation did so far.
    pub(in crate::api::v3) fn view(&self) -> View<'_> {
        View::new(self.documents(), self.host.clone())
    }

    /// The next thing that this operation makes has another id: which.
    pub(in crate::api::v3) fn next_id(&mut self) -> Result<ResourceId, Refusal> {
        self.id = new_id()?;
        Ok(self.id)
    }

    /// Whether there may be one more of a kind.
    pub(in crate::api::v3) fn has_room(&self, kind: DocumentKind) -> Result<(), Refusal> {
        let most = Quotas::of(kind, self.host.limits);
        if most < 0 || Quotas::used(self.documents(), kind) < most {
            return Ok(());
        }
        Err(Refusal::quota(format!("this host has {most} of kind {kind}, and takes no more")))
    }

    pub(in crate::api::v3) fn documents(&self) -> &Documents {
        self.transaction.documents()
    }

    /// A resource of the project: those of others are not there.
    pub(in crate::api::v3) fn get(
        &self,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Arc<Document>, Refusal> {
        let found = id.parse().ok().and_then(|id| self.documents().get(kind, id));
        let found = found.filter(|document| document.project == self.project);
        found.cloned().ok_or_else(|| Refusal::not_found(kind, id))
    }

    /// A pool whose members may be changed one by one.
    pub(in crate::api::v3) fn plain_pool(&self, id: &str) -> Result<Arc<Document>, Refusal> {
        let pool = self.get(DocumentKind::Pool, id)?;
        if is_of_pair(self.documents(), &pool) {
            return Err(Refusal::not_found(DocumentKind::Pool, id));
        }
        Ok(pool)
    }

    /// A resource that an attribute refers to, if it does.
    pub(in crate::api::v3) fn referred(
        &self,
        kind: DocumentKind,
        body: &Body,
        key: &str,
    ) -> Result<Option<Arc<Document>>, Refusal> {
        match body.get(key).and_then(Value::as_str) {
            Some(id) if !id.is_empty() => self.get(kind, id).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// Those that refer to a resource.
    pub(in crate::api::v3) fn referring(
        &self,
        kind: DocumentKind,
        key: &'static str,
        id: ResourceId,
    ) -> Vec<Arc<Document>> {
        self.documents().referring(kind, key, id).cloned().collect()
    }

    /// Makes what this operation makes.
    pub(in crate::api::v3) fn make(
        &mut self,
        kind: DocumentKind,
        body: Body,
        tags: BTreeMap<String, String>,
    ) {
        let (project, created) = (self.project.to_owned(), self.now.to_owned());
        let updated = created.clone();
        let id = self.id;
        let document =
            Document { kind, id, project, body, tags, created, updated, first: 0, revision: 0 };
        self.transaction.put(document);
    }

    /// Replaces the attributes of a resource.
    pub(in crate::api::v3) fn change(&mut self, old: &Document, body: Body) {
        let updated = self.now.to_owned();
        self.transaction.put(Document { body, updated, ..old.clone() });
    }

    /// Sets one attribute of a resource.
    pub(in crate::api::v3) fn set(&mut self, old: &Document, key: &str, value: Value) {
        let mut body = old.body.clone();
        body.insert(key.to_owned(), value);
        self.change(old, body);
    }

    /// Replaces the tags of a resource, which no packet depends on.
    pub(in crate::api::v3) fn tag(&mut self, old: &Document, tags: BTreeMap<String, String>) {
        let updated = self.now.to_owned();
        self.transaction.put(Document { tags, updated, ..old.clone() });
    }

    pub(in crate::api::v3) fn remove(&mut self, old: &Document) {
        self.transaction.remove(old.kind, old.id);
    }

    /// Something below a load balancer goes: until the maps know, it is not as it should be.
    pub(in crate::api::v3) fn touch(&mut self, load_balancer: Option<ResourceId>) {
        let found =
            load_balancer.and_then(|id| self.documents().get(DocumentKind::LoadBalancer, id));
        if let Some(found) = found.cloned() {
            self.transaction.put((*found).clone());
        }
    }
}
