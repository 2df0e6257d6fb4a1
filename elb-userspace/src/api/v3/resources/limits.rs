//! What there may be on this host, and what else is known of it.

use elb_common::limits::{MAX_POOLS, MAX_VIPS};

use super::MemberHealths;
use crate::model::IpGroup;
use crate::source::store::{DocumentKind, Documents, Reached};
use crate::source::subnet::Subnets;

/// The flavor of load balancers that ask for none: this host.
pub(in crate::api::v3) const FLAVOR: &str = "e1b00000-0000-4000-8000-000000000001";

/// What the maps of this host have room for, and how it forwards, as its file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Listeners, each counted once for each address.
    pub listeners: u32,
    /// Members of all pools.
    pub members: u32,
    /// Connections that are recorded.
    pub connections: u32,
    /// Whether members of all pools see source addresses in the place of clients'.
    pub hides_clients: bool,
}

/// What an API knows of its host at any time.
#[derive(Clone)]
pub struct ApiHost {
    /// What it has room for.
    pub limits: ApiLimits,
    /// Which addresses it gives.
    pub subnets: Subnets,
    /// How its members are.
    pub health: MemberHealths,
}

/// What is known of the host that answers.
#[derive(Clone)]
pub(in crate::api::v3) struct HostState {
    pub(in crate::api::v3) limits: ApiLimits,
    pub(in crate::api::v3) subnets: Subnets,
    pub(in crate::api::v3) reached: Reached,
    pub(in crate::api::v3) health: MemberHealths,
    /// Whether the one who asks may be shown private keys, where the project has them shown.
    pub(in crate::api::v3) may_see_keys: bool,
}

impl HostState {
    /// Of a host that has room for everything, and of which nothing else is known.
    pub(in crate::api::v3) fn unbounded() -> Self {
        let limits = ApiLimits {
            listeners: u32::MAX,
            members: u32::MAX,
            connections: u32::MAX,
            hides_clients: false,
        };
        Self {
            limits,
            subnets: Subnets::none(),
            reached: Reached::default(),
            health: MemberHealths::default(),
            may_see_keys: false,
        }
    }
}

/// How many resources there may be, by the names that the API has for that.
pub(in crate::api::v3) struct Quotas;

impl Quotas {
    /// There is no limit.
    const NONE: i64 = -1;
    const POLICIES: i64 = 50;
    const CERTIFICATES: i64 = 120;
    pub(in crate::api::v3) const LISTENERS_OF_BALANCER: usize = 50;
    pub(in crate::api::v3) const MEMBERS_OF_POOL: usize = 500;

    /// How many of a kind there may be on this host.
    pub(in crate::api::v3) fn of(kind: DocumentKind, limits: ApiLimits) -> i64 {
        match kind {
            DocumentKind::LoadBalancer => i64::from(MAX_VIPS),
            DocumentKind::Listener => i64::from(limits.listeners),
            DocumentKind::Pool | DocumentKind::HealthMonitor => i64::from(MAX_POOLS),
            DocumentKind::Member => i64::from(limits.members),
            DocumentKind::IpGroup => whole(IpGroup::MOST),
            DocumentKind::SecurityPolicy => Self::POLICIES,
            DocumentKind::Certificate => Self::CERTIFICATES,
            DocumentKind::LogTank | DocumentKind::ProjectSettings | DocumentKind::Job => Self::NONE,
        }
    }

    /// Each quota: its name, its limit, and the kind whose number on this host is what is used of it.
    pub(in crate::api::v3) fn all(
        limits: ApiLimits,
    ) -> [(&'static str, i64, Option<DocumentKind>); 20] {
        let of = |key, kind| (key, Self::of(kind, limits), Some(kind));
        let each = |key, limit: usize| (key, whole(limit), None);
        let none = |key| (key, Self::NONE, None);
        let zero = |key| (key, 0, None);
        [
            of("loadbalancer", DocumentKind::LoadBalancer),
            of("listener", DocumentKind::Listener),
            of("ipgroup", DocumentKind::IpGroup),
            of("pool", DocumentKind::Pool),
            of("member", DocumentKind::Member),
            of("healthmonitor", DocumentKind::HealthMonitor),
            zero("l7policy"),
            of("certificate", DocumentKind::Certificate),
            of("security_policy", DocumentKind::SecurityPolicy),
            each("listeners_per_loadbalancer", Self::LISTENERS_OF_BALANCER),
            none("listeners_per_pool"),
            each("members_per_pool", Self::MEMBERS_OF_POOL),
            zero("condition_per_policy"),
            none("ipgroup_bindings"),
            each("ipgroup_max_length", IpGroup::MOST_NETWORKS),
            each("ipgroups_per_listener", 1),
            zero("pools_per_l7policy"),
            zero("l7policies_per_listener"),
            zero("free_instance_members_per_pool"),
            zero("free_instance_listeners_per_loadbalancer"),
        ]
    }

    /// How many of a kind there are on this host.
    pub(in crate::api::v3) fn used(documents: &Documents, kind: DocumentKind) -> i64 {
        whole(documents.count(kind))
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
