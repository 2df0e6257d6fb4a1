//! What lists are filtered by although their resources do not show it.

use serde_json::{Value, json};

use super::View;
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind};

/// The keys of it.
pub(in crate::api::v3) const HIDDEN_KEYS: [&str; 3] =
    ["member_address", "healthmonitor_id", "enterprise_project_id"];

/// Of one resource; null: nothing.
pub(in crate::api::v3) fn hidden(view: &View<'_>, document: &Document) -> Value {
    let of_parent = |kind, key: &str| {
        let parent = document.reference(key).and_then(|id| view.documents.get(kind, id));
        json!({"enterprise_project_id": parent.map(|parent| parent.text("enterprise_project_id"))})
    };
    match document.kind {
        DocumentKind::LoadBalancer => {
            let pools = view.pools_of_balancer(document.id).into_iter();
            json!({"member_address": addresses(view, pools.map(|pool| pool.id))})
        }
        DocumentKind::Listener => {
            let pool = document.reference("default_pool_id");
            json!({"member_address": addresses(view, pool)})
        }
        DocumentKind::Pool => {
            let monitor = view.monitor_of_pool(document.id).map(|monitor| monitor.id.to_string());
            let addresses = addresses(view, [document.id]);
            json!({"member_address": addresses, "healthmonitor_id": monitor})
        }
        DocumentKind::Member | DocumentKind::HealthMonitor => {
            of_parent(DocumentKind::Pool, "pool_id")
        }
        DocumentKind::LogTank => of_parent(DocumentKind::LoadBalancer, "loadbalancer_id"),
        DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => Value::Null,
    }
}

/// The addresses of the members of pools.
fn addresses(view: &View<'_>, pools: impl IntoIterator<Item = ResourceId>) -> Value {
    let members = pools.into_iter().flat_map(|pool| view.members_of_pool(pool));
    members.map(|member| member.text("address")).collect()
}
