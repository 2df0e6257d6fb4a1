//! What an operation does to the documents of its project.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::refusal::Refusal;
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
}

impl Work<'_, '_> {
    pub(super) fn documents(&self) -> &Documents {
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

    /// A resource that an attribute refers to, if it does.
    pub(super) fn referred(
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
    pub(super) fn referring(
        &self,
        kind: DocumentKind,
        key: &str,
        id: ResourceId,
    ) -> Vec<Arc<Document>> {
        self.documents().referring(kind, key, id).cloned().collect()
    }

    /// Makes what this operation makes.
    pub(super) fn make(&mut self, kind: DocumentKind, body: Body, tags: BTreeMap<String, String>) {
        let (project, created) = (self.project.to_owned(), self.now.to_owned());
        let updated = created.clone();
        let id = self.id;
        let document =
            Document { kind, id, project, body, tags, created, updated, first: 0, revision: 0 };
        self.transaction.put(document);
    }

    /// Replaces the attributes of a resource.
    pub(super) fn change(&mut self, old: &Document, body: Body) {
        let updated = self.now.to_owned();
        self.transaction.put(Document { body, updated, ..old.clone() });
    }

    /// Sets one attribute of a resource.
    pub(super) fn set(&mut self, old: &Document, key: &str, value: Value) {
        let mut body = old.body.clone();
        body.insert(key.to_owned(), value);
        self.change(old, body);
    }

    pub(super) fn remove(&mut self, old: &Document) {
        self.transaction.remove(old.kind, old.id);
    }

    /// Something below a load balancer goes: until the maps know, it is not as it should be.
    pub(super) fn touch(&mut self, load_balancer: Option<ResourceId>) {
        let found =
            load_balancer.and_then(|id| self.documents().get(DocumentKind::LoadBalancer, id));
        if let Some(found) = found.cloned() {
            self.transaction.put((*found).clone());
        }
    }
}
