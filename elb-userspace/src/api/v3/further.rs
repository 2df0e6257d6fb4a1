//! Operations that are more, or less, than one change of one resource.

mod balancers;
mod batch;
mod certificates;
mod copies;
mod host;
mod jobs;
mod l7;
mod master_slave;
mod quotas;
mod removal;
mod statuses;
mod system_policies;
mod tags;
mod topology;

pub(super) use self::statuses::operating_status;

use super::call::{Call, Reply};
use super::refusal::Refusal;
use super::resources::{View, Work};

/// What an operation does.
#[derive(Clone, Copy)]
pub(super) enum Deed {
    Read(Reads),
    Change(Changes),
}

type Reads = fn(&Call, &View<'_>) -> Result<Reply, Refusal>;
/// All of it or, with a refusal, nothing.
pub(super) type Changes = fn(&Call, &mut Work<'_, '_>) -> Result<Reply, Refusal>;

/// An operation.
pub(super) struct Further {
    pub(super) name: &'static str,
    pub(super) deed: Deed,
    /// What it is called in the audit log; empty if it changes nothing.
    pub(super) audited: &'static str,
}

impl Further {
    const fn read(name: &'static str, reads: Reads) -> Self {
        Self { name, deed: Deed::Read(reads), audited: "" }
    }

    const fn change(name: &'static str, audited: &'static str, changes: Changes) -> Self {
        Self { name, deed: Deed::Change(changes), audited }
    }

    /// All of them.
    #[rustfmt::skip]
    pub(super) const ALL: &[Self] = &[
        Self::read("list_loadbalancer_tags", tags::of_balancers),
        Self::read("list_listener_tags", tags::of_listeners),
        Self::read("show_loadbalancer_tags", tags::show_balancer),
        Self::read("show_listener_tags", tags::show_listener),
        Self::change("change_loadbalancer_tags", "updateLoadbalancer", tags::change_balancer),
        Self::change("change_listener_tags", "updateListener", tags::change_listener),
        Self::read("show_quota", quotas::show),
        Self::read("list_quota_details", quotas::details),
        Self::read("list_flavors", host::flavors),
        Self::read("show_flavor", host::flavor),
        Self::read("list_availability_zones", host::zones),
        Self::read("list_feature_configs", host::feature_configs),
        Self::read("list_loadbalancer_feature", host::features_of_balancer),
        Self::read("show_load_balancer_ports", host::ports),
        Self::read("count_preoccupy_ip_num", host::addresses_needed),
        Self::read("show_load_balancer_status", statuses::show),
        Self::read("show_load_balancer_topology", topology::show),
        Self::change("delete_load_balancer_force", "deleteLoadbalancer", removal::balancer),
        Self::change("delete_load_balancer_cascade", "deleteLoadbalancer", removal::balancer_with),
        Self::change("delete_listener_force", "deleteListener", removal::listener),
        Self::change("delete_pool_cascade", "deletePool", removal::pool),
        Self::change("batch_delete_loadbalancers", "deleteLoadbalancer", removal::balancers),
        Self::change("batch_delete_listeners", "deleteListener", removal::listeners),
        Self::change("batch_delete_pools", "deletePool", removal::pools),
        Self::change("batch_delete_certificates", "deleteCertificate", removal::certificates),
        Self::read("show_certificate_private_key_echo", certificates::show_echo),
        Self::change("create_certificate_private_key_echo", "createCertificatePrivateKeyEcho", certificates::set_echo),
        Self::read("list_system_security_policies", system_policies::list),
        Self::change("create_l7_policy", "createL7policy", l7::create_policy),
        Self::read("list_l7_policies", l7::policies),
        Self::read("show_l7_policy", l7::show_policy),
        Self::change("update_l7_policy", "updateL7policy", l7::update_policy),
        Self::change("delete_l7_policy", "deleteL7policy", l7::delete_policy),
        Self::change("batch_update_policies_priority", "updateL7policy", l7::set_priorities),
        Self::change("create_l7_rule", "createl7rule", l7::create_rule),
        Self::read("list_l7_rules", l7::rules_of_policy),
        Self::read("list_all_l7_rules", l7::rules),
        Self::read("show_l7_rule", l7::show_rule),
        Self::change("update_l7_rule", "updateL7rule", l7::update_rule),
        Self::change("delete_l7_rule", "deleteL7rule", l7::delete_rule),
        Self::change("batch_create_members", "createMember", batch::create),
        Self::change("batch_update_members", "batchUpdateMember", batch::update),
        Self::change("batch_delete_members", "batchUpdateMember", batch::delete),
        Self::change("batch_create_load_balancers", "createLoadbalancer", balancers::create),
        Self::change("clone_listener", "createListener", copies::listener),
        Self::change("clone_loadbalancer", "createLoadbalancer", copies::balancer),
        Self::change("create_master_slave_pool", "createPool", master_slave::create),
        Self::change("delete_master_slave_pool", "deletePool", master_slave::delete),
        Self::read("list_master_slave_pools", master_slave::list),
        Self::read("show_master_slave_pool", master_slave::show),
        Self::read("list_jobs", jobs::list),
        Self::read("show_job", jobs::show),
    ];

    /// The operation of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|one| one.name == name)
    }
}
