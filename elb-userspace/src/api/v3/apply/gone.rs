//! What a file says nothing of: what goes, what stays since the file has no word for it, and what may not go.

use std::collections::BTreeSet;

use super::super::resources::{is_of_pair, is_protected, takes_ports_of};
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind, Documents};

/// The documents of a file.
pub(super) type WantedIds = BTreeSet<(DocumentKind, ResourceId)>;

/// What a store has, a file does not, and is to be taken away.
pub(super) fn gone(documents: &Documents, wanted: &WantedIds) -> Vec<Document> {
    let balancer_stays = |one: &Document| {
        let balancer = one.reference("loadbalancer_id");
        balancer.is_some_and(|id| wanted.contains(&(DocumentKind::LoadBalancer, id)))
    };
    // A file has no word for a listener without a pool.
    let is_idle = |one: &Document| one.text("default_pool_id").is_empty() && balancer_stays(one);
    let is_idle = |one: &Document| !wanted.contains(&(one.kind, one.id)) && is_idle(one);
    let idle = documents.of(DocumentKind::Listener).filter(|one| is_idle(one));
    // Without its group, such a listener would let everyone in once it has a pool.
    let groups: BTreeSet<_> = idle.filter_map(|one| one.reference("ipgroup")).collect();
    let stays = |one: &Document| match one.kind {
        DocumentKind::Listener => is_idle(one),
        DocumentKind::IpGroup => groups.contains(&one.id),
        // It goes with its load balancer, as in the API.
        DocumentKind::LogTank => one.text("loadbalancer_id").is_empty() || balancer_stays(one),
        // No file has them, and they belong to nothing.
        DocumentKind::SecurityPolicy
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => true,
        DocumentKind::LoadBalancer
        | DocumentKind::Pool
        | DocumentKind::Member
        | DocumentKind::HealthMonitor => false,
    };
    let all = DocumentKind::ALL.iter().flat_map(|kind| documents.of(*kind));
    let all = all.filter(|one| !wanted.contains(&(one.kind, one.id)) && !stays(one));
    all.map(|one| (**one).clone()).collect()
}

/// The load balancers that a resource belongs to.
pub(super) fn above(documents: &Documents, one: &Document) -> Vec<ResourceId> {
    let is_pool = one.kind == DocumentKind::Pool;
    let pool = if is_pool { Some(one.id) } else { one.reference("pool_id") };
    let of_pool = pool.into_iter().flat_map(|pool| {
        let own = documents.get(DocumentKind::Pool, pool).into_iter();
        own.chain(documents.referring(DocumentKind::Listener, "default_pool_id", pool))
    });
    let parts = of_pool.map(AsRef::as_ref).chain([one]);
    parts.filter_map(|one| one.reference("loadbalancer_id")).collect()
}

/// What keeps a resource from being taken away, and a member from another pool.
pub(super) fn protection(documents: &Documents, gone: &Document) -> Option<String> {
    let is_protected = match gone.kind {
        DocumentKind::LoadBalancer => gone.is_set("deletion_protection_enable"),
        DocumentKind::Member => {
            let pool = documents.get(DocumentKind::Pool, gone.reference("pool_id")?)?;
            pool.is_set("member_deletion_protection_enable")
        }
        DocumentKind::Listener
        | DocumentKind::Pool
        | DocumentKind::HealthMonitor
        | DocumentKind::IpGroup
        | DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => false,
    };
    is_protected.then(|| {
        let (kind, id) = (gone.kind, gone.id);
        format!("{kind} {id} is not in its place in the file, and is protected from deletion")
    })
}

/// What keeps a resource, or what it is part of, from being other than it is.
pub(super) fn modification(
    documents: &Documents,
    before: Option<&Document>,
    now: Option<&Document>,
) -> Option<String> {
    let part = before.or(now)?;
    let stays = before.is_some() && now.is_some();
    if part.kind == DocumentKind::Member && stays {
        // What it weighs may change.
        return None;
    }
    let is_of_pool = matches!(part.kind, DocumentKind::Member | DocumentKind::HealthMonitor);
    let whole = if is_of_pool {
        documents.get(DocumentKind::Pool, part.reference("pool_id")?).map(|pool| &**pool)
    } else {
        before
    };
    let whole = whole.filter(|whole| is_protected(whole))?;
    Some(format!(
        "{} {} is other in the file, and {} {} has protection_status consoleProtection: take it off by the API",
        part.kind, part.id, whole.kind, whole.id
    ))
}

/// Refuses a listener that takes a port of one without a pool: that one stays, and no file has a word for it.
pub(super) fn clash(documents: &Documents, listener: &Document) -> Result<(), String> {
    if listener.kind != DocumentKind::Listener {
        return Ok(());
    }
    let Some(balancer) = listener.reference("loadbalancer_id") else { return Ok(()) };
    let mut others = documents.referring(DocumentKind::Listener, "loadbalancer_id", balancer);
    let other = others.find(|other| {
        other.id != listener.id
            && other.text("default_pool_id").is_empty()
            && takes_ports_of(other, listener)
    });
    match other {
        None => Ok(()),
        Some(other) => Err(format!(
            "listener {:?} ({}) takes a port of listener {:?} ({}), which has no pool and is therefore in no file: delete \
             that one by the API, or give this one another port",
            listener.text("name"),
            listener.id,
            other.text("name"),
            other.id
        )),
    }
}

/// What keeps a part of a pool from being made, changed or taken away by itself: a pool of a master and a slave is made
/// and deleted as a whole.
pub(super) fn pair(documents: &Documents, wanted: &WantedIds, part: &Document) -> Option<String> {
    if !matches!(part.kind, DocumentKind::Member | DocumentKind::HealthMonitor) {
        return None;
    }
    let pool = documents.get(DocumentKind::Pool, part.reference("pool_id")?)?;
    let is_kept = wanted.contains(&(DocumentKind::Pool, pool.id));
    (is_kept && is_of_pair(documents, part)).then(|| {
        format!(
            "{} {} is other in the file, and pool {:?} ({}) is one of a master and a slave, which is made and deleted as \
             a whole: leave its members and its healthmonitor as `elb export` prints them, or delete it by the API \
             (delete_master_slave_pool) and make it again",
            part.kind,
            part.id,
            pool.text("name"),
            pool.id
        )
    })
}
