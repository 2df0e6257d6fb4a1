//! Which ports listeners may have, next to each other and with their pools.

use std::collections::BTreeMap;

use super::{At, Rules};
use crate::model::port_range::VXLAN_PORT;
use crate::model::{Listener, LoadBalancer, Member, Name, Pool, PortRange, Ports, Protocol};

impl<'a> Rules<'a> {
    /// What must hold between the listeners of a load balancer: a port has one listener, but for
    /// one that takes what the others leave.
    pub(super) fn shared_ports(&mut self, i: usize, lb: &'a LoadBalancer) {
        let mut owners: BTreeMap<Protocol, Owners<'a>> = BTreeMap::new();
        for (j, listener) in lb.listeners.iter().enumerate() {
            let owners = owners.entry(listener.protocol).or_default();
            if let Err(what) = owners.add(listener) {
                let what = format!("{} {what}", listener.protocol);
                self.report(At::Listener(i, j), key(listener), what, "use another port");
            }
        }
    }

    /// What must hold for the ports of one listener.
    pub(super) fn own_ports(&mut self, at: At, listener: &Listener) {
        let ranges = &listener.port_ranges[..];
        if !ranges.is_empty() && listener.protocol_port != 0 {
            let what = format!("port_ranges contradicts protocol_port {}", listener.protocol_port);
            self.report(at, "port_ranges", what, "set protocol_port = 0, or remove port_ranges");
        }
        if ranges.len() > PortRange::MOST {
            let what =
                format!("port_ranges has {} ranges, of at most {}", ranges.len(), PortRange::MOST);
            self.report(at, "port_ranges", what, "use another listener for the others");
        }
        for (n, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[..n].iter().find(|other| other.overlaps(*range)) {
                let what = format!("port_ranges {other} and {range} overlap");
                self.report(at, "port_ranges", what, "join them, or make one smaller");
            }
        }
        let has_vxlan = match listener.ports() {
            Ports::One(port) => port == VXLAN_PORT,
            Ports::Ranges(ranges) => ranges.iter().any(|range| range.contains(VXLAN_PORT)),
            Ports::Any => false,
        };
        if listener.protocol == Protocol::Udp && has_vxlan {
            let what = match listener.ports() {
                Ports::One(port) => format!("UDP protocol_port {port} is reserved for VXLAN"),
                Ports::Ranges(_) | Ports::Any => {
                    format!("port_ranges hold UDP port {VXLAN_PORT}, which is reserved for VXLAN")
                }
            };
            self.report(at, key(listener), what, "use another port");
        }
    }

    /// Direct server return leaves the destination port of a packet as it is.
    pub(super) fn pool_ports(&mut self, at: At, listener: &Listener, pool: &Pool) {
        if pool.any_port_enable {
            if pool.forwarding.translates() && !matches!(listener.ports(), Ports::One(_)) {
                self.translated_ports(at, listener, pool);
            }
            return;
        }
        let port = match listener.ports() {
            Ports::One(port) => port,
            Ports::Ranges(_) => return self.many_ports(at, "a range of ports", listener, pool),
            Ports::Any => return self.many_ports(at, "any port (0)", listener, pool),
        };
        if pool.forwarding.translates() {
            return;
        }
        let mut others = pool.members.iter().filter(|m| ![0, port].contains(&m.protocol_port));
        if let Some(Member { name, protocol_port, .. }) = others.next() {
            let more = match others.count() {
                0 => String::new(),
                1 => " (and that of another member)".to_owned(),
                count => format!(" (and of {count} other members)"),
            };
            let what = format!(
                "protocol_port {port} is not that of member \"{name}\" of pool \"{}\", \
                 {protocol_port}{more}: {} cannot translate ports",
                pool.name, pool.forwarding,
            );
            let fix = "give both the same port, or set any_port_enable = true in the pool and \
                       remove its members' protocol_port";
            self.report(at, "protocol_port", what, fix);
        }
    }

    /// An answer is known by the one port that its member sends it from.
    fn translated_ports(&mut self, at: At, listener: &Listener, pool: &Pool) {
        let forwarding = pool.forwarding;
        let what = format!(
            "pool \"{}\" has forwarding {forwarding}, which takes one port at each listener",
            pool.name
        );
        let fix = "give the listener one port, or use forwarding = \"ipip\" or \"l2\"";
        self.report(at, key(listener), what, fix);
    }

    fn many_ports(&mut self, at: At, asked: &str, listener: &Listener, pool: &Pool) {
        let what = format!("{asked} is asked of pool \"{}\", which has ports", pool.name);
        let fix = "set any_port_enable = true in the pool and remove its members' \
                   protocol_port, or give the listener one port";
        self.report(at, key(listener), what, fix);
    }
}

/// The key that says which ports a listener has.
fn key(listener: &Listener) -> &'static str {
    if listener.port_ranges.is_empty() { "protocol_port" } else { "port_ranges" }
}

/// Ports of listeners of one load balancer and protocol, and whose they are.
#[derive(Default)]
struct Owners<'a> {
    any: Option<&'a Name>,
    /// By their first port; none overlaps another.
    ranges: BTreeMap<u16, (u16, &'a Listener)>,
}

impl<'a> Owners<'a> {
    /// Adds the ports of a listener, up to the first that another one has.
    fn add(&mut self, listener: &'a Listener) -> Result<(), String> {
        match listener.ports() {
            Ports::Any => match self.any {
                Some(owner) => Err(format!("protocol_port 0 is that of listener \"{owner}\"")),
                None => {
                    self.any = Some(&listener.name);
                    Ok(())
                }
            },
            Ports::One(port) => self.add_range(port, port, listener),
            Ports::Ranges(ranges) => ranges.iter().try_for_each(|range| {
                self.add_range(range.start_port(), range.end_port(), listener)
            }),
        }
    }

    fn add_range(&mut self, start: u16, end: u16, listener: &'a Listener) -> Result<(), String> {
        // They do not overlap each other, so of those that begin before the end, the last ends last.
        let before = self.ranges.range(..=end).next_back();
        match before.filter(|(_, (last, owner))| *last >= start && !std::ptr::eq(*owner, listener))
        {
            None => {
                self.ranges.insert(start, (end, listener));
                Ok(())
            }
            Some((first, (last, owner))) if (*first, *last) == (start, end) && start == end => Err(
                format!("{} is that of listener \"{}\"", name(start, end, listener), owner.name),
            ),
            Some((first, (last, owner))) => {
                let (own, other) = (name(start, end, listener), name(*first, *last, owner));
                Err(format!("{own} overlaps {other} of listener \"{}\"", owner.name))
            }
        }
    }
}

fn name(start: u16, end: u16, listener: &Listener) -> String {
    match listener.ports() {
        Ports::One(port) => format!("protocol_port {port}"),
        Ports::Ranges(_) | Ports::Any => format!("port_ranges {start}-{end}"),
    }
}
