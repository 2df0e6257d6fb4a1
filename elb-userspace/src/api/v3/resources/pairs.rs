//! Pools of a master and a slave, which are changed only as a whole.

use crate::source::store::{Document, DocumentKind, Documents};

/// The attribute that a pool of a master and a slave has; clients cannot give it.
pub(in crate::api::v3) const MASTER_SLAVE: &str = "master_slave";
/// The attribute that its members have.
pub(in crate::api::v3) const ROLE: &str = "role";

/// Whether a document is such a pool, or a part of one.
pub(in crate::api::v3) fn is_of_pair(documents: &Documents, document: &Document) -> bool {
    let pool = match document.kind {
        DocumentKind::Pool => Some(document.id),
        DocumentKind::Member | DocumentKind::HealthMonitor => document.reference("pool_id"),
        DocumentKind::LoadBalancer
        | DocumentKind::Listener
        | DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => None,
    };
    let pool = pool.and_then(|id| documents.get(DocumentKind::Pool, id));
    pool.is_some_and(|pool| pool.is_set(MASTER_SLAVE))
}
