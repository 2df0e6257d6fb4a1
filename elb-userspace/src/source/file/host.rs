//! What is known of the host that a file is for: a virtual address that is the host's own takes packets
//! that the host itself needs.

mod look;

pub use self::look::own_addresses;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::draft::Draft;
use super::report::Report;
use crate::model::rules::{At, Violation};
use crate::model::{Listener, LoadBalancer, Ports, Protocol};

/// Addresses and ports of a host. Nothing is known by default, and then nothing is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its addresses but 127.0.0.0/8 and ::1, and the interfaces that have them.
    pub addresses: BTreeMap<IpAddr, String>,
    /// Addresses with protocol and ports (see [`Listener::place`]) that are served already: what they
    /// take, they have taken, and it is only said.
    pub served: BTreeSet<(IpAddr, String)>,
    /// Ports that its own connections begin at, first and last.
    pub ephemeral: Option<(u16, u16)>,
    /// Sockets that take connections or datagrams.
    pub listening: BTreeSet<Listening>,
}

/// A socket that takes connections or datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its address; none: all of the host's.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Host {
    /// What a listener at an address of this host takes from the host; none: nothing that is known.
    fn taken(&self, vip: IpAddr, listener: &Listener) -> Option<String> {
        let protocol = listener.protocol;
        let mut ports = match listener.ports() {
            Ports::Any => {
                return Some("every connection to and from this host, ssh included".into());
            }
            Ports::One(port) => self.open(vip, protocol, port, port),
            Ports::Ranges(ranges) => {
                let open = ranges
                    .iter()
                    .flat_map(|one| self.open(vip, protocol, one.start_port(), one.end_port()));
                open.collect()
            }
        };
        ports.sort_unstable();
        ports.dedup();
        let (first, last) = self.ephemeral.unwrap_or((1, 0));
        let outgoing = match listener.ports() {
            Ports::Ranges(ranges) => {
                ranges.iter().any(|one| one.start_port() <= last && one.end_port() >= first)
            }
            Ports::One(port) => (first..=last).contains(&port),
            Ports::Any => true,
        };
        let outgoing = outgoing.then(|| {
            format!(
                "answers to connections that this host opens (its ports {first}-{last}, \
                 net.ipv4.ip_local_port_range), health probes included"
            )
        });
        let incoming = (!ports.is_empty()).then(|| {
            let ports: Vec<_> = ports.iter().take(5).map(ToString::to_string).collect();
            format!("{protocol} port {}, where this host itself listens", ports.join(", "))
        });
        let all: Vec<String> = [incoming, outgoing].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", and "))
    }

    /// What the listeners of a load balancer take from this host at an address; none: nothing known.
    pub fn taken_by(&self, lb: &LoadBalancer, vip: IpAddr) -> Option<String> {
        let all = lb.listeners.iter().filter_map(|one| Some((one, self.taken(vip, one)?)));
        let all: Vec<_> =
            all.map(|(one, taken)| format!("listener \"{}\" takes {taken}", one.name)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Ports between two that this host listens on at an address.
    fn open(&self, vip: IpAddr, protocol: Protocol, first: u16, last: u16) -> Vec<u16> {
        let at = |one: &&Listening| {
            one.protocol == protocol
                && (first..=last).contains(&one.port)
                && one.address.is_none_or(|address| address == vip)
        };
        self.listening.iter().filter(at).map(|one| one.port).collect()
    }

    /// Whether what a listener takes at an address is refused, not only said.
    fn refuses(&self, lb: &LoadBalancer, listener: &Listener, vip: IpAddr) -> bool {
        !lb.allow_host_address && !self.served.contains(&(vip, listener.place()))
    }

    /// Virtual addresses of a load balancer that are this host's own, with the interface.
    fn own<'a>(&'a self, lb: &'a LoadBalancer) -> impl Iterator<Item = (IpAddr, &'a str)> {
        lb.vips().filter_map(|vip| Some((vip, self.addresses.get(&vip)?.as_str())))
    }
}

impl Draft {
    /// Listeners that would take more from the host than one port, each once.
    pub(super) fn takes_what_the_host_needs(&self, host: &Host) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (i, lb) in self.load_balancers.iter().enumerate() {
            for (j, listener) in lb.listeners.iter().enumerate() {
                let mut own = host.own(lb).filter(|(vip, _)| host.refuses(lb, listener, *vip));
                let many = !matches!(listener.ports(), Ports::One(_));
                let Some((vip, interface)) = own.next().filter(|_| many) else { continue };
                let Some(taken) = host.taken(vip, listener) else { continue };
                let key =
                    if listener.port_ranges.is_empty() { "protocol_port" } else { "port_ranges" };
                let what = format!(
                    "{vip} is an address of this host ({interface}), and the listener would take \
                     from it {taken}"
                );
                let fix = "use a virtual address that no interface has, take other ports, or set \
                           allow_host_address = true in the load balancer";
                violations.push(Violation { at: At::Listener(i, j), key, what, fix: fix.into() });
            }
        }
        violations
    }

    /// Virtual addresses, and members, that are this host's own.
    pub(super) fn warn_of_host_addresses(&self, host: &Host, report: &RefCell<Report>) {
        let warn = |at: usize, object: &str, what: String, fix: &str| {
            report.borrow_mut().warning(at, object, what, fix.to_owned());
        };
        for (lb, place) in self.load_balancers.iter().zip(&self.load_balancer_places) {
            for (vip, interface) in host.own(lb) {
                let key = if vip.is_ipv4() { "vip_address" } else { "ipv6_vip_address" };
                let taken = host.taken_by(lb, vip);
                let taken = taken.map_or_else(String::new, |taken| format!("; {taken}"));
                let what = format!(
                    "{key} {vip} is an address of this host ({interface}): members that have it on \
                     their lo do not answer this host, so that probes of them fail{taken}"
                );
                let fix = "use a virtual address that no interface of a load balancer has";
                warn(place.own.of(key), &place.own.object, what, fix);
            }
        }
        for (pool, place) in self.pools.iter().zip(&self.pool_places) {
            for (member, place) in pool.members.iter().zip(&place.members) {
                if let Some(interface) = host.addresses.get(&member.address) {
                    let what = format!(
                        "{} is an address of this host ({interface}), which cannot be a member of \
                         its own pool: nothing is sent to it",
                        member.address
                    );
                    let fix = "remove it, or let another host be the load balancer";
                    warn(place.of("address"), &place.object, what, fix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
