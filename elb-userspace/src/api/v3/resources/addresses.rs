//! The addresses of load balancers: those that are given, and those that subnets of this host give.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::refusal::Refusal;
use super::Work;
use super::attributes::text;
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind};
use crate::source::subnet::Subnet;

/// An attribute with an address, and the one with its subnet.
#[derive(Clone, Copy)]
struct Keys {
    address: &'static str,
    subnet: &'static str,
    is_v4: bool,
}

const BOTH: [Keys; 2] = [
    Keys { address: "vip_address", subnet: "vip_subnet_cidr_id", is_v4: true },
    Keys { address: "ipv6_vip_address", subnet: "ipv6_vip_virsubnet_id", is_v4: false },
];

/// Whether a load balancer that is made with this has an address, or is to have none.
pub(super) fn are_asked_for(body: &Body) -> bool {
    let keys = BOTH.iter().flat_map(|keys| [keys.address, keys.subnet]);
    keys.chain(["vpc_id"]).any(|key| !text(body, key).is_empty())
}

/// Its addresses are addresses, of its own, and of the subnets that it names; without one, it gets one of there.
pub(super) fn settle(
    work: &Work<'_, '_>,
    body: &mut Body,
    given: &Body,
    id: ResourceId,
) -> Result<(), Refusal> {
    let (v4, v6) = (text(body, "vip_address"), text(body, "ipv6_vip_address"));
    if !v4.is_empty() && v4.parse::<Ipv4Addr>().is_err() {
        return Err(Refusal::invalid(format!("vip_address {v4:?} is no IPv4 address")));
    }
    if !v6.is_empty() && v6.parse::<Ipv6Addr>().is_err() {
        return Err(Refusal::invalid(format!("ipv6_vip_address {v6:?} is no IPv6 address")));
    }
    for keys in BOTH {
        of_subnet(work, keys, body, given, id)?;
    }
    for Keys { address, .. } in BOTH {
        let own = text(body, address);
        let is_taken = |other: &&std::sync::Arc<Document>| {
            other.id != id && same_address(own, other.text(address))
        };
        if let Some(other) = work.documents().of(DocumentKind::LoadBalancer).find(is_taken) {
            let mine = other.project == work.project;
            let whose =
                if mine { format!("loadbalancer {}", other.id) } else { "another".to_owned() };
            return Err(Refusal::conflict(format!("{address} {own} is that of {whose}")));
        }
    }
    Ok(())
}

fn same_address(one: &str, other: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    address(one).is_some() && address(one) == address(other)
}

/// An address of the subnet that is named, if one is.
fn of_subnet(
    work: &Work<'_, '_>,
    keys: Keys,
    body: &mut Body,
    given: &Body,
    id: ResourceId,
) -> Result<(), Refusal> {
    let named = text(body, keys.subnet);
    if named.is_empty() {
        return Ok(());
    }
    let subnets = work.host.subnets.get();
    if subnets.is_empty() {
        // A label.
        if text(body, keys.address).is_empty() {
            let why = format!(
                "this host assigns no addresses from {}: set {}",
                keys.subnet, keys.address
            );
            return Err(Refusal::not_supported(why));
        }
        return Ok(());
    }
    // What was right when it was given stays, whatever subnets there are now.
    if !given.contains_key(keys.subnet) && !given.contains_key(keys.address) {
        return Ok(());
    }
    let subnet = named_subnet(&subnets, keys, named)?;
    let label = subnet.label();
    let before = text(body, keys.address).parse::<IpAddr>().ok();
    let asks = |key: &str| given.get(key).is_some_and(|value| !value.is_null() && value != "");
    let address = match before {
        Some(address) if subnet.allows(address) => address,
        Some(address) if asks(keys.address) => {
            let why = format!(
                "{} {address} is none that a load balancer may have of subnet {label} ({})",
                keys.address,
                subnet.cidr()
            );
            return Err(Refusal::invalid(why));
        }
        None if !asks(keys.subnet) => {
            let why = format!(
                "{} is taken away, and {} names subnet {label}: take both away, or set both",
                keys.address, keys.subnet
            );
            return Err(Refusal::invalid(why));
        }
        Some(_) | None => subnet.free(&used(work, id)).ok_or_else(|| {
            let why = format!(
                "{} {label}: no address of {} is free; delete a load balancer, or add addresses to \
                 [[api.subnet]]",
                keys.subnet,
                subnet.cidr()
            );
            Refusal::exhausted(why)
        })?,
    };
    body.insert(keys.subnet.to_owned(), subnet.id.to_string().into());
    body.insert(keys.address.to_owned(), address.to_string().into());
    Ok(())
}

fn named_subnet<'s>(subnets: &'s [Subnet], keys: Keys, named: &str) -> Result<&'s Subnet, Refusal> {
    let Some(subnet) = subnets.iter().find(|subnet| subnet.is_called(named)) else {
        let there: Vec<String> = subnets.iter().map(Subnet::label).collect();
        let why = format!(
            "{} {named} could not be found: this host has {}",
            keys.subnet,
            there.join(", ")
        );
        return Err(Refusal::no_such(why));
    };
    if subnet.is_v4() != keys.is_v4 {
        let why = format!("{} {named} is of {}, use the key for that", keys.subnet, subnet.cidr());
        return Err(Refusal::invalid(why));
    }
    Ok(subnet)
}

/// The addresses that no load balancer is given: those of others, of members, and of this host.
fn used(work: &Work<'_, '_>, id: ResourceId) -> BTreeSet<IpAddr> {
    let mut used = work.host.subnets.of_host();
    let mut add = |text: &str| used.extend(text.parse::<IpAddr>().ok());
    for lb in work.documents().of(DocumentKind::LoadBalancer).filter(|lb| lb.id != id) {
        BOTH.iter().for_each(|keys| add(lb.text(keys.address)));
    }
    work.documents().of(DocumentKind::Member).for_each(|member| add(member.text("address")));
    used
}
