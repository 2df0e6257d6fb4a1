//! What clients send fits this host's interface, outer headers included.

use std::net::{IpAddr, Ipv4Addr};

use super::asked::InspectRequest;
use super::facts::Facts;
use super::parts::Part;
use crate::backend::Mode;
use crate::diagnosis::packet_size::{LEAST, USUAL, overhead};
use crate::model::Forwarding;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let Some(mode) = asked.mode.filter(|_| !asked.vips.is_empty()) else {
        return vec![Part::not_applicable("no virtual address was asked for or set up")];
    };
    let network = match &facts.network {
        Ok(network) => network,
        Err(needed) => return vec![Part::unknown(needed)],
    };
    let name = facts.way_in(asked);
    let Some(link) = network.links.iter().find(|link| Some(&link.name) == name.as_ref()) else {
        return vec![Part::not_applicable("no source of probes was given: name it with --from")];
    };
    vec![judge(&link.name, link.mtu, grown(mode, &asked.to), &asked.vips)]
}

fn judge(name: &str, mtu: u32, overhead: u32, vips: &[IpAddr]) -> Part {
    let wanted = USUAL + overhead;
    if mtu >= wanted {
        return Part::pass(format!("{name} takes {mtu} bytes, {wanted} are needed"));
    }
    let fits = mtu.saturating_sub(overhead);
    let fix = format!("ip link set dev {name} mtu {wanted}");
    let tight = format!("{name} takes {mtu} bytes, {overhead} of them outer headers: {fits} fit");
    if fits < LEAST && vips.iter().any(IpAddr::is_ipv6) {
        return Part::fail(format!("{tight}, IPv6 needs {LEAST}")).fix(fix);
    }
    Part::warn(format!(
        "{tight}, clients send {USUAL}: where the load balancer's way here takes more, larger packets \
         are lost and their senders do not learn it"
    ))
    .fix(fix)
}

/// Bytes of outer headers; where the member's address is not known, those of IPv4.
fn grown(mode: Mode, to: &[IpAddr]) -> u32 {
    let forwarding = match mode {
        Mode::L2 => Forwarding::L2,
        Mode::Ipip => Forwarding::Ipip,
        Mode::Gue => Forwarding::Gue,
        Mode::Nat => Forwarding::Nat,
        Mode::FullNat => Forwarding::FullNat,
        Mode::Nat46 => Forwarding::Nat46,
    };
    let usual = overhead(forwarding, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    to.iter().map(|member| overhead(forwarding, *member)).max().unwrap_or(usual)
}
