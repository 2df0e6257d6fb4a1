//! The kinds of resources: what each takes, what it refuses, and how it is shown.

mod addresses;
mod attributes;
mod certificate;
mod health_monitor;
mod hidden;
mod ip_group;
mod limits;
mod listener;
mod load_balancer;
mod log_tank;
mod member;
mod member_healths;
mod pairs;
mod pool;
mod project_settings;
mod protection;
mod relations;
mod security_policy;
mod work;

use serde_json::Value;

use super::refusal::Refusal;
use crate::source::store::{Body, Document, DocumentKind};

use self::attributes::Attributes;
pub(super) use self::attributes::{object, shown, tags, text};
pub(super) use self::certificate::judge_name;
pub(super) use self::hidden::{HIDDEN_KEYS, hidden};
pub(super) use self::ip_group::{merge_list, remove_from_list};
pub use self::limits::{ApiHost, ApiLimits};
pub(super) use self::limits::{FLAVOR, HostState, Quotas};
pub(super) use self::listener::takes_ports_of;
pub(super) use self::load_balancer::flavor_of;
pub(super) use self::member::has_offline_member;
pub use self::member_healths::MemberHealths;
pub(super) use self::pairs::{MASTER_SLAVE, ROLE, is_of_pair};
pub(super) use self::project_settings::{echoes_keys, set_echo};
pub(super) use self::protection::{is_protected, may_touch};
pub(super) use self::relations::View;
pub(super) use self::work::{Work, new_id};

/// The key that a resource of a kind has in bodies, and that of a list of them.
pub(super) const fn keys(kind: DocumentKind) -> (&'static str, &'static str) {
    match kind {
        DocumentKind::LoadBalancer => ("loadbalancer", "loadbalancers"),
        DocumentKind::Listener => ("listener", "listeners"),
        DocumentKind::Pool => ("pool", "pools"),
        DocumentKind::Member => ("member", "members"),
        DocumentKind::HealthMonitor => ("healthmonitor", "healthmonitors"),
        DocumentKind::IpGroup => ("ipgroup", "ipgroups"),
        DocumentKind::SecurityPolicy => ("security_policy", "security_policies"),
        DocumentKind::LogTank => ("logtank", "logtanks"),
        DocumentKind::Certificate => ("certificate", "certificates"),
        DocumentKind::ProjectSettings => ("project_settings", "project_settings"),
        DocumentKind::Job => ("job", "jobs"),
    }
}

/// Makes a resource of what was given.
pub(super) fn create(
    work: &mut Work<'_, '_>,
    kind: DocumentKind,
    given: &Body,
) -> Result<(), Refusal> {
    work.has_room(kind)?;
    match kind {
        DocumentKind::LoadBalancer => load_balancer::create(work, given),
        DocumentKind::Listener => listener::create(work, given),
        DocumentKind::Pool => pool::create(work, given),
        DocumentKind::Member => member::create(work, given),
        DocumentKind::HealthMonitor => health_monitor::create(work, given),
        DocumentKind::IpGroup => ip_group::create(work, given),
        DocumentKind::SecurityPolicy => security_policy::create(work, given),
        DocumentKind::LogTank => log_tank::create(work, given),
        DocumentKind::Certificate => certificate::create(work, given),
        DocumentKind::Job | DocumentKind::ProjectSettings => Err(no_resource(kind)),
    }
}

/// What a new resource has of what was given, and by default.
pub(super) fn blank(kind: DocumentKind, given: &Body) -> Result<Body, Refusal> {
    attributes(kind).ok_or_else(|| no_resource(kind))?.accept(given)
}

/// Whether a kind of resource takes an attribute at all.
pub(super) fn takes(kind: DocumentKind, attribute: &str) -> bool {
    // Where a new pool is served is kept by the listener.
    (kind, attribute) == (DocumentKind::Pool, "listener_id")
        || attributes(kind).is_some_and(|attributes| attributes.takes(attribute))
}

fn attributes(kind: DocumentKind) -> Option<Attributes> {
    Some(match kind {
        DocumentKind::LoadBalancer => load_balancer::attributes(),
        DocumentKind::Listener => listener::attributes(),
        DocumentKind::Pool => pool::attributes(),
        DocumentKind::Member => member::attributes(),
        DocumentKind::HealthMonitor => health_monitor::attributes(),
        DocumentKind::IpGroup => ip_group::attributes(),
        DocumentKind::SecurityPolicy => security_policy::attributes(),
        DocumentKind::LogTank => log_tank::attributes(),
        DocumentKind::Certificate => certificate::attributes(),
        DocumentKind::Job | DocumentKind::ProjectSettings => return None,
    })
}

/// Changes a resource by what was given.
pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    match old.kind {
        DocumentKind::LoadBalancer => load_balancer::update(work, old, given),
        DocumentKind::Listener => listener::update(work, old, given),
        DocumentKind::Pool => pool::update(work, old, given),
        DocumentKind::Member => member::update(work, old, given),
        DocumentKind::HealthMonitor => health_monitor::update(work, old, given),
        DocumentKind::IpGroup => ip_group::update(work, old, given),
        DocumentKind::SecurityPolicy => security_policy::update(work, old, given),
        DocumentKind::LogTank => log_tank::update(work, old, given),
        DocumentKind::Certificate => certificate::update(work, old, given),
        DocumentKind::Job | DocumentKind::ProjectSettings => Err(no_resource(old.kind)),
    }
}

/// Takes a resource away, unless something is in the way.
pub(super) fn delete(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    match old.kind {
        DocumentKind::LoadBalancer => load_balancer::leave(work, old)?,
        DocumentKind::Listener => listener::may_go(work, old)?,
        DocumentKind::Pool => pool::leave(work, old)?,
        DocumentKind::Member => member::may_go(work, old)?,
        DocumentKind::HealthMonitor => health_monitor::may_go(work, old)?,
        DocumentKind::IpGroup => ip_group::may_go(work, old)?,
        // No listener uses them yet.
        DocumentKind::SecurityPolicy | DocumentKind::LogTank | DocumentKind::Certificate => {}
        DocumentKind::Job | DocumentKind::ProjectSettings => return Err(no_resource(old.kind)),
    }
    work.remove(old);
    Ok(())
}

/// Jobs are made by what they stand for alone, and what a project has set is no resource.
fn no_resource(kind: DocumentKind) -> Refusal {
    Refusal::not_supported(format!("{kind}: none can be made, changed or deleted"))
}

/// A member as lists of the members of all pools show it.
pub(super) fn show_with_pool(view: &View<'_>, member: &Document) -> Value {
    member::show_with_pool(view, member)
}

/// The listeners that use an IP group.
pub(super) fn listeners_of_group(view: &View<'_>, group: &Document) -> Value {
    ip_group::listeners(view, group)
}

/// A resource as the API shows it.
pub(super) fn show(view: &View<'_>, document: &Document) -> Value {
    match document.kind {
        DocumentKind::LoadBalancer => load_balancer::show(view, document),
        DocumentKind::Listener => listener::show(view, document),
        DocumentKind::Pool => pool::show(view, document),
        DocumentKind::Member => member::show(view, document),
        DocumentKind::HealthMonitor => health_monitor::show(document),
        DocumentKind::IpGroup => ip_group::show(view, document),
        DocumentKind::SecurityPolicy => security_policy::show(document),
        DocumentKind::LogTank => log_tank::show(document),
        DocumentKind::Certificate => certificate::show(view, document),
        DocumentKind::Job | DocumentKind::ProjectSettings => Value::Object(document.body.clone()),
    }
}
