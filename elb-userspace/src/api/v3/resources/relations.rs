//! What resources have to do with each other, looked up once for an answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::refusal::Refusal;
use super::HostState;
use crate::health::Failure;
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind, Documents};

type Ids = BTreeSet<ResourceId>;

/// What is known of the health of members, by their ids: the status, and why it is OFFLINE.
pub type MemberHealths = HashMap<ResourceId, (String, Option<Failure>)>;

/// Everything that an answer is made of.
pub(in crate::api::v3) struct View<'a> {
    pub(in crate::api::v3) documents: &'a Documents,
    pub(in crate::api::v3) host: HostState,
    pub(in crate::api::v3) listeners_of_balancer: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) pools_of_balancer: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) listeners_of_pool: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) balancers_of_pool: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) members_of_pool: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) monitors_of_pool: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) listeners_of_group: BTreeMap<ResourceId, Ids>,
    pub(in crate::api::v3) tanks_of_balancer: BTreeMap<ResourceId, Ids>,
}

impl<'a> View<'a> {
    /// Of these documents, with what is known of the host.
    pub(in crate::api::v3) fn new(documents: &'a Documents, host: HostState) -> Self {
        let mut view = Self {
            documents,
            host,
            listeners_of_balancer: BTreeMap::new(),
            pools_of_balancer: BTreeMap::new(),
            listeners_of_pool: BTreeMap::new(),
            balancers_of_pool: BTreeMap::new(),
            members_of_pool: BTreeMap::new(),
            monitors_of_pool: BTreeMap::new(),
            listeners_of_group: BTreeMap::new(),
            tanks_of_balancer: BTreeMap::new(),
        };
        for listener in documents.of(DocumentKind::Listener) {
            let (balancer, pool) =
                (listener.reference("loadbalancer_id"), listener.reference("default_pool_id"));
            note(&mut view.listeners_of_balancer, balancer, listener.id);
            note(&mut view.listeners_of_pool, pool, listener.id);
            if let (Some(balancer), Some(pool)) = (balancer, pool) {
                view.relate(balancer, pool);
            }
            note(&mut view.listeners_of_group, group(listener), listener.id);
        }
        for pool in documents.of(DocumentKind::Pool) {
            if let Some(balancer) = pool.reference("loadbalancer_id") {
                view.relate(balancer, pool.id);
            }
        }
        for member in documents.of(DocumentKind::Member) {
            note(&mut view.members_of_pool, member.reference("pool_id"), member.id);
        }
        for monitor in documents.of(DocumentKind::HealthMonitor) {
            note(&mut view.monitors_of_pool, monitor.reference("pool_id"), monitor.id);
        }
        for tank in documents.of(DocumentKind::LogTank) {
            note(&mut view.tanks_of_balancer, tank.reference("loadbalancer_id"), tank.id);
        }
        view
    }

    fn relate(&mut self, balancer: ResourceId, pool: ResourceId) {
        note(&mut self.pools_of_balancer, Some(balancer), pool);
        note(&mut self.balancers_of_pool, Some(pool), balancer);
    }

    /// What is related to a resource.
    pub(in crate::api::v3) fn related(
        relation: &BTreeMap<ResourceId, Ids>,
        id: ResourceId,
    ) -> Vec<ResourceId> {
        relation.get(&id).into_iter().flatten().copied().collect()
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
        let revision = |kind: DocumentKind| {
            move |id: &ResourceId| self.documents.get(kind, *id).map_or(0, |one| one.revision)
        };
        let mut all = vec![balancer.revision];
        let listeners = self.listeners_of_balancer.get(&balancer.id).into_iter().flatten();
        all.extend(listeners.map(revision(DocumentKind::Listener)));
        for pool in self.pools_of_balancer.get(&balancer.id).into_iter().flatten() {
            all.push(revision(DocumentKind::Pool)(pool));
            let members = self.members_of_pool.get(pool).into_iter().flatten();
            all.extend(members.map(revision(DocumentKind::Member)));
            let monitors = self.monitors_of_pool.get(pool).into_iter().flatten();
            all.extend(monitors.map(revision(DocumentKind::HealthMonitor)));
        }
        all.into_iter().max().unwrap_or(0)
    }
}

/// The IP group of a listener.
pub(in crate::api::v3) fn group(listener: &Document) -> Option<ResourceId> {
    listener.body.get("ipgroup")?.get("ipgroup_id")?.as_str()?.parse().ok()
}

fn note(relation: &mut BTreeMap<ResourceId, Ids>, of: Option<ResourceId>, id: ResourceId) {
    if let Some(of) = of {
        relation.entry(of).or_default().insert(id);
    }
}
