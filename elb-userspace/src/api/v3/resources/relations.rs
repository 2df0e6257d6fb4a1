//! What resources have to do with each other, looked up once for an answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::refusal::Refusal;
use super::HostState;
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind, Documents};

/// Everything that an answer is made of.
pub(in crate::api::v3) struct View<'a> {
    pub(in crate::api::v3) documents: &'a Documents,
    pub(in crate::api::v3) host: HostState,
}

impl<'a> View<'a> {
    /// Of these documents, with what is known of the host.
    pub(in crate::api::v3) const fn new(documents: &'a Documents, host: HostState) -> Self {
        Self { documents, host }
    }

    pub(in crate::api::v3) fn listeners_of_balancer(&self, id: ResourceId) -> Vec<&'a Document> {
        self.referring(DocumentKind::Listener, "loadbalancer_id", id)
    }

    /// Its own, and those of its listeners.
    pub(in crate::api::v3) fn pools_of_balancer(&self, id: ResourceId) -> Vec<&'a Document> {
        let listeners = self.listeners_of_balancer(id).into_iter();
        let used = listeners.filter_map(|listener| listener.reference("default_pool_id"));
        let own = self.referring(DocumentKind::Pool, "loadbalancer_id", id).into_iter();
        self.all(DocumentKind::Pool, own.map(|pool| pool.id).chain(used))
    }

    pub(in crate::api::v3) fn listeners_of_pool(&self, id: ResourceId) -> Vec<&'a Document> {
        self.referring(DocumentKind::Listener, "default_pool_id", id)
    }

    /// The one that it belongs to, and those of its listeners.
    pub(in crate::api::v3) fn balancers_of_pool(&self, id: ResourceId) -> Vec<&'a Document> {
        let pool = self.documents.get(DocumentKind::Pool, id).map(AsRef::as_ref);
        let parts = pool.into_iter().chain(self.listeners_of_pool(id));
        self.all(
            DocumentKind::LoadBalancer,
            parts.filter_map(|one| one.reference("loadbalancer_id")),
        )
    }

    pub(in crate::api::v3) fn members_of_pool(&self, id: ResourceId) -> Vec<&'a Document> {
        self.referring(DocumentKind::Member, "pool_id", id)
    }

    pub(in crate::api::v3) fn monitor_of_pool(&self, id: ResourceId) -> Option<&'a Document> {
        self.referring(DocumentKind::HealthMonitor, "pool_id", id).first().copied()
    }

    pub(in crate::api::v3) fn listeners_of_group(&self, id: ResourceId) -> Vec<&'a Document> {
        self.referring(DocumentKind::Listener, "ipgroup", id)
    }

    pub(in crate::api::v3) fn tank_of_balancer(&self, id: ResourceId) -> Option<&'a Document> {
        self.referring(DocumentKind::LogTank, "loadbalancer_id", id).first().copied()
    }

    fn referring(
        &self,
        kind: DocumentKind,
        key: &'static str,
        id: ResourceId,
    ) -> Vec<&'a Document> {
        self.documents.referring(kind, key, id).map(AsRef::as_ref).collect()
    }

    /// Those of a kind with these ids, each once, in the order of their ids.
    fn all(&self, kind: DocumentKind, ids: impl Iterator<Item = ResourceId>) -> Vec<&'a Document> {
        let ids: BTreeSet<ResourceId> = ids.collect();
        let found = ids.into_iter().filter_map(|id| self.documents.get(kind, id));
        found.map(AsRef::as_ref).collect()
    }

    /// A resource of a project: those of others are not there.
    pub(in crate::api::v3) fn get(
        &self,
        project: &str,
        kind: DocumentKind,
        id: &str,
    ) -> Result<Arc<Document>, Refusal> {
        let found = id.parse().ok().and_then(|id| self.documents.get(kind, id));
        let found = found.filter(|document| document.project == project);
        found.cloned().ok_or_else(|| Refusal::not_found(kind, id))
    }

    /// Whether the data path has a load balancer with all that belongs to it.
    pub(in crate::api::v3) fn provisioning_status(&self, balancer: &Document) -> &'static str {
        self.status_at(self.last_revision(balancer), balancer.first)
    }

    /// Whether the data path has a resource as it is.
    pub(in crate::api::v3) fn own_status(&self, document: &Document) -> &'static str {
        self.status_at(document.revision, document.first)
    }

    fn status_at(&self, revision: u64, first: u64) -> &'static str {
        let reached = &self.host.reached;
        match &reached.refused {
            _ if revision <= reached.applied => "ACTIVE",
            Some((refused, _)) if revision <= *refused => "ERROR",
            _ if first > reached.applied => "PENDING_CREATE",
            _ => "PENDING_UPDATE",
        }
    }

    /// The last revision of a load balancer and of what belongs to it.
    fn last_revision(&self, balancer: &Document) -> u64 {
        let mut all = vec![balancer];
        all.extend(self.listeners_of_balancer(balancer.id));
        for pool in self.pools_of_balancer(balancer.id) {
            all.push(pool);
            all.extend(self.members_of_pool(pool.id));
            all.extend(self.monitor_of_pool(pool.id));
        }
        all.into_iter().map(|one| one.revision).max().unwrap_or(0)
    }
}
