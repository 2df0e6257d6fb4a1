//! No packet gets to the member: the load balancer's own side, and the routers between.

use std::net::IpAddr;

use crate::control::network::Unreachable;
use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::{Evidence, PinnedNeighbor};
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::diagnosis::way_out;
use crate::health::Cause;
use crate::observe::packet::mac;

/// Why no packet can be sent, as the load balancer's kernel says.
pub(super) fn blocked(evidence: &Evidence) -> Option<Finding> {
    if let Some(way) = &evidence.way.unserved {
        let finding = Finding::seen(Check::Neighbor, Outcome::Fail, way_out::what(way));
        return Some(finding.fix(way_out::fix(way)));
    }
    match &evidence.way.next_hop {
        Err(Unreachable::Local { address }) => Some(itself(evidence, *address)),
        Err(Unreachable::NoRoute { address }) if !evidence.way.ipv6_off.is_empty() => {
            let off = &evidence.way.ipv6_off;
            let what =
                format!("the load balancer has no way to {address}: {}", way_out::ipv6_off(off));
            let finding = Finding::seen(Check::Neighbor, Outcome::Fail, what);
            Some(finding.fix(way_out::ipv6_fix(off)))
        }
        Err(Unreachable::NoRoute { address }) => {
            let error = match evidence.failure() {
                Some(Cause::NoRoute { error }) => error.clone(),
                _ => format!("there is no route to {address}"),
            };
            Some(no_route(evidence, &error))
        }
        Err(error @ Unreachable::NoEthernet { .. }) => Some(no_route(evidence, &error.to_string())),
        Err(Unreachable::NoNeighbor { neighbor, .. }) => Some(no_neighbor(evidence, *neighbor)),
        Err(Unreachable::Unknown) => Some(not_learned(evidence)),
        Ok(_) => {
            let hop = evidence.way.gateway.unwrap_or(evidence.address());
            if let Some(entry) = evidence.looks.pinned.as_ref().filter(|_| !evidence.answers()) {
                return Some(pinned(evidence, hop, entry));
            }
            // Where the fresh look is not answered in time, what was known before it counts.
            let is_gone = match evidence.looks.neighbor {
                Some(confirmed) => !confirmed,
                None => evidence.way.doubt.is_some(),
            };
            (is_gone && !evidence.answers()).then(|| no_neighbor(evidence, hop))
        }
    }
}

fn itself(evidence: &Evidence, address: IpAddr) -> Finding {
    let what = format!("{address} is an address of the load balancer itself");
    let member = &evidence.wanted.member;
    let change = format!("give member {member:?} the address of another host, or remove it,");
    Finding::seen(Check::Itself, Outcome::Fail, what).fix(fix::file(&evidence.wanted, &change))
}

/// Nothing is sent before the kernel has said how.
fn not_learned(evidence: &Evidence) -> Finding {
    let address = evidence.address();
    let what = format!(
        "this load balancer has not learned the route to {address} yet, and sends nothing there"
    );
    Finding::seen(Check::Neighbor, Outcome::Fail, what).fix(format!(
        "elb status    # says whether routes are followed; if this stays: ip route get {address}; \
         systemctl restart elb"
    ))
}

pub(super) fn no_route(evidence: &Evidence, error: &str) -> Finding {
    let address = evidence.address();
    let what = format!("the load balancer has no way to {address}: {error}");
    Finding::seen(Check::Neighbor, Outcome::Fail, what).fix(way_out::route_fix(address, error))
}

pub(super) fn no_neighbor(evidence: &Evidence, neighbor: IpAddr) -> Finding {
    let (interface, address) = (&evidence.way.interface, evidence.address());
    let asked = if neighbor.is_ipv4() { "ARP requests" } else { "neighbour solicitations" };
    let what = format!("{neighbor} does not answer {asked} on {interface}");
    let fix = if neighbor == address {
        format!(
            "start the host {address} or its interface (ip link set DEVICE up there), or correct \
             the member's address; then: ip neigh show {address}"
        )
    } else {
        format!("the gateway {neighbor} is down or wrong: ip route get {address}")
    };
    Finding::seen(Check::Neighbor, Outcome::Fail, what).fix(fix)
}

/// The kernel asks for no entry that an administrator made, and sends to its Ethernet address for ever.
fn pinned(evidence: &Evidence, neighbor: IpAddr, entry: &PinnedNeighbor) -> Finding {
    let (interface, has) = (&evidence.way.interface, mac(&entry.has.bytes()));
    let asked = if neighbor.is_ipv4() { "ARP requests" } else { "neighbour solicitations" };
    let answers = match &entry.answers {
        Some(other) => format!("{} answers {asked} for it", mac(&other.bytes())),
        None => format!("no host answers {asked} for it"),
    };
    let what = format!(
        "the neighbour entry of {neighbor} on {interface} is PERMANENT and has {has}, but {answers}"
    );
    Finding::seen(Check::Neighbor, Outcome::Fail, what)
        .fix(format!("ip neigh del {neighbor} dev {interface}    # the kernel asks for it anew"))
}

pub(super) fn host_unreachable(evidence: &Evidence, by: IpAddr) -> Finding {
    let address = evidence.address();
    if evidence.way.gateway.is_none() {
        return no_neighbor(evidence, address);
    }
    let what = format!(
        "the router {by} says that {address} is unreachable: it answers no ARP request there"
    );
    Finding::inferred(Check::Neighbor, Outcome::Fail, what).fix(format!(
        "start the host {address} or its interface (ip link set DEVICE up there), or correct the \
         member's address"
    ))
}

pub(super) fn net_unreachable(evidence: &Evidence, by: IpAddr) -> Finding {
    let address = evidence.address();
    let what = format!("the router {by} says that it has no route to {address}");
    Finding::inferred(Check::Neighbor, Outcome::Fail, what)
        .fix(format!("on {by}: ip route get {address}; add the route that is missing"))
}
