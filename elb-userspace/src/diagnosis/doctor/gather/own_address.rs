//! Which virtual addresses are this host's own, and what listeners take there from it.

use std::net::IpAddr;

use crate::diagnosis::doctor::Duty;
use crate::diagnosis::doctor::facts::OwnVip;
use crate::model::{LoadBalancer, Model};
use crate::source::file::Host;

pub(super) fn own_vips(duty: &Duty) -> Vec<OwnVip> {
    let Some((model, _)) = &duty.probed else { return Vec::new() };
    let host = Host::look();
    let all = model.load_balancers().iter().flat_map(|lb| lb.vips().map(move |vip| (lb, vip)));
    let own = all.filter_map(|(lb, vip)| {
        Some(OwnVip {
            balancer: lb.name.to_string(),
            vip,
            interface: host.addresses.get(&vip)?.clone(),
            taken: host.taken_by(lb, vip),
            is_allowed: lb.allow_host_address,
            is_translated: translates(model, lb),
        })
    });
    own.collect()
}

/// Source addresses, and addresses in the prefix of clients, that are this host's own, with the interface.
pub(super) fn own_sources(duty: &Duty) -> Vec<(IpAddr, String)> {
    let Some((model, _)) = &duty.probed else { return Vec::new() };
    let snat = model.snat();
    let host = Host::look();
    let own = host.addresses.iter().filter(|(address, _)| snat.use_of(**address).is_some());
    own.map(|(address, interface)| (*address, interface.clone())).collect()
}

/// Whether a pool of a load balancer has its members' answers translated.
fn translates(model: &Model, lb: &LoadBalancer) -> bool {
    let pools = lb.listeners.iter().flat_map(|listener| listener.pools());
    pools.filter_map(|name| model.pool(name)).any(|pool| pool.forwarding.translates())
}
