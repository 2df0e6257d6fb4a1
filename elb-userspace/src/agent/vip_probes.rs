//! By which path a member is probed.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use elb_common::addr::Be128;
use elb_common::backend::{Backend, backend_flags, mode};
use elb_common::reply::{Reply, reply_flags};

use super::core::Core;
use super::state::vip_probes::NoVipPath;
use super::state::watched::Watched;
use crate::control::network::{Network, Route};
use crate::control::plan::{Image, ListenerKey};
use crate::health::path::{AT_ONCE, Flow, ProbeRoute, Routing};
use crate::health::probe::ProbeSpec;
use crate::kernel::host::kept::KeptObject;

impl Core {
    /// How the virtual address of a member is probed that comes first.
    pub(super) fn vip_route(
        &self,
        member: &Watched,
        spec: &ProbeSpec,
    ) -> Result<ProbeRoute, NoVipPath> {
        self.route_to(member, spec, *spec.vips.first().ok_or(NoVipPath::NoVip)?)
    }

    /// How the virtual addresses of a member are probed whose turn it is.
    pub(super) fn routes_in_turn(&self, member: &Watched, spec: &ProbeSpec) -> Vec<ProbeRoute> {
        let turn = in_turn(spec.vips.len(), member.turn);
        turn.filter_map(|n| self.route_to(member, spec, spec.vips[n]).ok()).collect()
    }

    /// How all virtual addresses of a member are probed.
    pub(super) fn probe_routes(&self, member: &Watched, spec: &ProbeSpec) -> Vec<ProbeRoute> {
        spec.vips.iter().filter_map(|vip| self.route_to(member, spec, *vip).ok()).collect()
    }

    fn route_to(
        &self,
        member: &Watched,
        spec: &ProbeSpec,
        target: SocketAddr,
    ) -> Result<ProbeRoute, NoVipPath> {
        let router = self.probes.vip.router(target.ip())?;
        let register = &self.host.keeping.register;
        let of_v6 = || register.why_missing(&KeptObject::ProbePathV6).filter(|_| target.is_ipv6());
        if let Some(why) = register.why_missing(&KeptObject::ProbePath).or_else(of_v6) {
            return Err(NoVipPath::Host(format!(
                "the path of health probes is not in order: {why}"
            )));
        }
        let record = member.backend.and_then(|id| self.serving.observed.backends.get(&id));
        let back = match record {
            Some(record) if record.mode == mode::NAT46 => AnswersFrom::Vip,
            Some(_) | None => AnswersFrom::Member,
        };
        // First, since it is cheap and settles what most often stands in the way.
        let source = source(&self.network, member.socket.ip(), (target.ip(), back), rp_filter)?;
        let reachable = |id: &u16| {
            let backend = self.serving.observed.backends.get(id);
            backend.is_some_and(|backend| backend.flags & backend_flags::REACHABLE != 0)
        };
        let backend = member.backend.filter(reachable).ok_or(NoVipPath::Unreachable)?;
        let pool = self.serving.reconciler.assignments.pools.get(&member.pool);
        let pool = pool.map(|pool| pool.id);
        let target = translated(&self.serving.observed, (backend, pool), spec, target)?;
        let routing = Routing { backend, router };
        let source = spec.source.filter(|own| own.is_ipv4() == target.is_ipv4()).unwrap_or(source);
        Ok(ProbeRoute { target, source, routing })
    }
}

/// Where a probe has to ask whose answer may be translated: at the listener's port, which the answer gets.
fn translated(
    observed: &Image,
    (backend, pool): (u16, Option<u16>),
    spec: &ProbeSpec,
    target: SocketAddr,
) -> Result<SocketAddr, NoVipPath> {
    let is_translated =
        |one: &&Backend| [mode::NAT, mode::FULLNAT, mode::NAT46].contains(&one.mode);
    let Some(record) = observed.backends.get(&backend).filter(is_translated) else {
        return Ok(target);
    };
    let port = record.translation().port.get();
    let is_asked = (port == 0 || port == spec.target.port()) && spec.check.is_over_tcp();
    let member =
        ListenerKey { address: spec.target.ip(), port: spec.target.port(), protocol: Flow::TCP };
    let reply = observed.replies.get(&member).filter(|_| is_asked);
    let is_live = |reply: &&Reply| reply.flags & reply_flags::ENDED == 0;
    let reply = reply.filter(is_live);
    let asked = if record.mode == mode::NAT46 {
        // Whatever else the member's endpoint stands for: the address that it answers says by which listener.
        reply.and_then(|_| {
            let fits = |asked: &u16| port != 0 || *asked == spec.target.port();
            embedding_ports(observed, pool?, target.ip()).find(fits)
        })
    } else {
        reply.filter(|reply| is_at(reply.vip, target.ip())).map(|reply| reply.port.get())
    };
    Ok(SocketAddr::new(target.ip(), asked.ok_or(NoVipPath::Untranslated)?))
}

/// Ports at a virtual IPv4 address whose listeners lead to a pool with members that see clients in addresses of a prefix.
fn embedding_ports(observed: &Image, pool: u16, vip: IpAddr) -> impl Iterator<Item = u16> {
    let at_vip = observed.listeners.iter().filter(move |(key, listener)| {
        (key.address, key.protocol, listener.pool) == (vip, Flow::TCP, pool)
    });
    let embeds = |id: u16| observed.endpoints.get(&id).is_some_and(|one| one.prefix() != [0; 2]);
    at_vip.filter(move |(_, listener)| embeds(listener.id)).map(|(key, _)| key.port)
}

/// Whether a record's address is this one: IPv4 in the first bytes.
fn is_at(vip: Be128, address: IpAddr) -> bool {
    let bytes: [u8; 16] = bytemuck::cast(vip);
    match address {
        IpAddr::V4(address) => bytes[..4] == address.octets(),
        IpAddr::V6(address) => bytes == address.octets(),
    }
}

/// Which of so many virtual addresses are probed when it is this turn.
fn in_turn(addresses: usize, turn: usize) -> impl Iterator<Item = usize> {
    let first = if addresses > AT_ONCE { turn.wrapping_mul(AT_ONCE) } else { 0 };
    (0..addresses.min(AT_ONCE)).map(move |n| first.wrapping_add(n) % addresses)
}

/// What answers come from, where the member is of another IP version than the virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswersFrom {
    /// The member answers directly, by the way of its own choice.
    Member,
    /// They are translated where they come in.
    Vip,
}

/// The address that this host has towards a member, if answers from the virtual address get in by
/// that way; `rp_filter` reads the setting of an interface.
fn source(
    network: &Network,
    member: IpAddr,
    (vip, back): (IpAddr, AnswersFrom),
    rp_filter: impl Fn(&str) -> u8,
) -> Result<IpAddr, NoVipPath> {
    let hop = network.next_hop(member).map_err(|_| NoVipPath::Unreachable)?;
    let routed = network.routes.get(&vip);
    if member.is_ipv4() != vip.is_ipv4() {
        // The member answers in the other IP version: to the address that this host has there.
        return match routed {
            Some(Route::Local) => Err(NoVipPath::Local { vip }),
            Some(Route::Via { source: Some(source), ifindex, .. }) => {
                if back == AnswersFrom::Vip && *ifindex != hop.ifindex {
                    get_in(network, hop.ifindex, (vip, "2"), rp_filter)?;
                }
                Ok(*source)
            }
            Some(Route::Via { source: None, .. } | Route::None) | None => {
                Err(NoVipPath::NoSource { vip })
            }
        };
    }
    let needed = match routed {
        Some(Route::Local) => return Err(NoVipPath::Local { vip }),
        Some(Route::Via { ifindex, .. }) if *ifindex == hop.ifindex => {
            return source_of(hop.source);
        }
        Some(Route::Via { .. }) => "2",
        Some(Route::None) | None => "0",
    };
    get_in(network, hop.ifindex, (vip, needed), rp_filter)?;
    source_of(hop.source)
}

/// Whether answers from a virtual address get in by an interface that no route to it leads by; what the interface's
/// setting has to be for that, `needed` says.
fn get_in(
    network: &Network,
    ifindex: u32,
    (vip, needed): (IpAddr, &'static str),
    rp_filter: impl Fn(&str) -> u8,
) -> Result<(), NoVipPath> {
    let interface = network.links.get(&ifindex).map_or("", |link| link.name.as_str());
    let filter = rp_filter("all").max(rp_filter(interface));
    // Strict: the way back must be this one. Loose: there must be one.
    let gets_in = vip.is_ipv6() || filter == 0 || (filter == 2 && needed == "2");
    if !gets_in {
        let interface = interface.to_owned();
        return Err(NoVipPath::ReversePath { vip, interface, needed });
    }
    Ok(())
}

fn source_of(source: Option<IpAddr>) -> Result<IpAddr, NoVipPath> {
    source.ok_or(NoVipPath::Unreachable)
}

/// The setting of an interface; a strict one if it cannot be read.
fn rp_filter(interface: &str) -> u8 {
    let path = Path::new("/proc/sys/net/ipv4/conf").join(interface).join("rp_filter");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests;
