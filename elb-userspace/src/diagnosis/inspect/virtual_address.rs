//! The virtual addresses are on `lo`, and nowhere that answers for them.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Network};
use super::parts::Part;
use crate::backend::{Mode, covers, is_any_source};

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    if asked.mode.is_some_and(Mode::is_translated) {
        return vec![Part::not_applicable("packets come translated, to this host's own address")];
    }
    if asked.vips.is_empty() {
        return vec![Part::not_applicable("no virtual address was asked for or set up")];
    }
    match &facts.network {
        Ok(network) => asked.vips.iter().map(|vip| judge(*vip, asked, facts, network)).collect(),
        Err(needed) => vec![Part::unknown(needed)],
    }
}

fn judge(vip: IpAddr, asked: &InspectRequest, facts: &Facts, network: &Network) -> Part {
    let Some((link, address)) = network.holder(vip) else {
        return Part::fail(format!(
            "{vip} is on no interface: packets to it are not for this host"
        ))
        .fix(up(asked, facts));
    };
    let name = &link.name;
    if link.arp {
        return Part::fail(format!(
            "{vip} is on {name}, which answers for it in the place of the load balancer"
        ))
        .fix(format!(
            "ip address del {vip}/{} dev {name}; {}",
            address.prefix,
            up(asked, facts)
        ));
    }
    if !link.up {
        return Part::fail(format!("{vip} is on {name}, which is down"))
            .fix(format!("ip link set {name} up"));
    }
    Part::pass(format!("{vip} is on {name}"))
}

/// The command that makes this host what is asked about.
pub(super) fn up(asked: &InspectRequest, facts: &Facts) -> String {
    let vips: String = asked.vips.iter().map(|vip| format!(" --vip {vip}")).collect();
    let mode = asked.mode.unwrap_or(Mode::L2).name();
    let from = from(asked, facts);
    let interface = facts.interface(asked);
    let interface = interface.map_or_else(String::new, |name| format!(" --interface {name}"));
    format!("elb backend up{vips} --mode {mode}{from}{interface}{}", facts.place)
}

/// The load balancers that are known: those that are let in already, and those that were
/// asked about.
fn from(asked: &InspectRequest, facts: &Facts) -> String {
    if !asked.mode.is_some_and(Mode::is_tunnel) {
        return String::new();
    }
    let let_in = facts.backend.as_ref().ok().and_then(|recorded| recorded.from.clone());
    let let_in = let_in.filter(|from| !is_any_source(from)).unwrap_or_default();
    // Probes come from a load balancer, too.
    let outer = if asked.outer.is_empty() { &asked.from } else { &asked.outer };
    let new = outer.iter().filter(|outer| !covers(&let_in, **outer));
    let all: Vec<String> =
        let_in.iter().map(ToString::to_string).chain(new.map(ToString::to_string)).collect();
    if all.is_empty() {
        return " --from LOAD-BALANCER".to_owned();
    }
    all.iter().map(|one| format!(" --from {one}")).collect()
}
