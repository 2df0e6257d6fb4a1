//! Load balancers: the addresses that clients connect to.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, references, shown, tags, text};
use super::{FLAVOR, View, Work, addresses, protection};
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind, Flavor};

const KIND: DocumentKind = DocumentKind::LoadBalancer;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({
            "name": "", "description": "", "vip_address": null, "vip_subnet_cidr_id": null,
            "ipv6_vip_address": null, "ipv6_vip_virsubnet_id": null, "vpc_id": null,
            "availability_zone_list": [], "enterprise_project_id": "0", "admin_state_up": true,
            "ip_target_enable": false, "deletion_protection_enable": false,
            "protection_status": "nonProtection", "protection_reason": "", "l4_flavor_id": null,
        }),
        idle: json!({
            "guaranteed": true, "provider": "vlb", "waf_failure_action": "forward",
        }),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    if given.get("guaranteed") == Some(&json!(false)) {
        let why = "guaranteed is false: shared load balancers are not made any more, leave it out";
        return Err(Refusal::invalid(why.to_owned()));
    }
    let mut body = attributes().accept(given)?;
    if !addresses::are_asked_for(&body) {
        let why =
            "set vip_address or ipv6_vip_address, or vpc_id for a load balancer without an address";
        return Err(Refusal::invalid(why.to_owned()));
    }
    judge(work, &mut body, given, work.id)?;
    work.make(KIND, body, tags(given)?);
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let mut body = attributes().amend(old, given)?;
    protection::may_change(old, given)?;
    if old.is_set("ip_target_enable") && body.get("ip_target_enable") == Some(&json!(false)) {
        return Err(Refusal::invalid("ip_target_enable cannot be turned off again".to_owned()));
    }
    judge(work, &mut body, given, old.id)?;
    work.change(old, body);
    Ok(())
}

/// Its flavor is one of this host, and its addresses are its own.
fn judge(
    work: &Work<'_, '_>,
    body: &mut Body,
    given: &Body,
    id: ResourceId,
) -> Result<(), Refusal> {
    let flavor = text(body, "l4_flavor_id");
    if ![FLAVOR, ""].contains(&flavor) && Flavor::find(flavor).is_none() {
        let why = format!("l4_flavor_id {flavor:?} is none of this host: list_flavors has them");
        return Err(Refusal::not_supported(why));
    }
    addresses::settle(work, body, given, id)
}

/// Listeners and pools go before it does, its log tank with it.
pub(super) fn leave(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    if old.is_set("deletion_protection_enable") {
        let why = format!("loadbalancer {} has deletion_protection_enable", old.id);
        return Err(Refusal::conflict(why));
    }
    protection::may_touch(old)?;
    for kind in [DocumentKind::Listener, DocumentKind::Pool] {
        if let Some(one) = work.referring(kind, "loadbalancer_id", old.id).first() {
            let why = format!("{kind} {} is using this loadbalancer: delete it first", one.id);
            return Err(Refusal::conflict(why));
        }
    }
    for tank in work.referring(DocumentKind::LogTank, "loadbalancer_id", old.id) {
        work.remove(&tank);
    }
    Ok(())
}

/// The flavor of a load balancer. Those that were made when there was one have it.
pub(in crate::api::v3) fn flavor_of(lb: &Document) -> &str {
    Some(lb.text("l4_flavor_id")).filter(|id| !id.is_empty()).unwrap_or(FLAVOR)
}

pub(super) fn show(view: &View<'_>, lb: &Document) -> Value {
    let mut shown_lb = begin(lb);
    let tank = view.tank_of_balancer(lb.id);
    let log = |key| tank.map(|tank| tank.text(key).to_owned());
    let more = json!({
        "provisioning_status": view.provisioning_status(lb),
        "operating_status": "ONLINE",
        "listeners": references(view.listeners_of_balancer(lb.id)),
        "pools": references(view.pools_of_balancer(lb.id)),
        "tags": shown(&lb.tags),
        "provider": "vlb",
        "guaranteed": true,
        "eips": [], "publicips": [], "global_eips": [], "elb_virsubnet_ids": [],
        "vip_port_id": null, "ipv6_vip_port_id": null, "billing_info": "",
        "l4_flavor_id": flavor_of(lb), "l4_scale_flavor_id": null, "l7_flavor_id": null,
        "l7_scale_flavor_id": null, "elb_virsubnet_type": null, "frozen_scene": null,
        "log_group_id": log("log_group_id"), "log_topic_id": log("log_topic_id"),
    });
    shown_lb.extend(super::attributes::object(&more));
    Value::Object(shown_lb)
}
