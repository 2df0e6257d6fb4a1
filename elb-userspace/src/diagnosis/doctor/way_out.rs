//! Whether there is a way to each member, by an interface that the agent serves.

use std::net::IpAddr;

use super::Duty;
use crate::control::network::{Network, Unreachable};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};
use crate::diagnosis::way_out::{fix, route_fix, what};

/// Members without a route that are named.
const NAMED: usize = 4;

pub(super) fn way_out(duty: &Duty, network: &Network) -> Finding {
    let members = duty.members.iter().map(|(address, _)| *address);
    let is_served = |_, name: &str| duty.interfaces.iter().any(|one| one == name);
    let ways = network.unserved_ways(members, is_served);
    let (mut lines, mut fixes): (Vec<String>, Vec<String>) =
        ways.iter().map(|way| (what(way), fix(way))).unzip();
    let unrouted = unrouted(duty, network);
    for error in unrouted.iter().take(NAMED) {
        lines.push(error.1.to_string());
        fixes.push(route_fix(error.0, ""));
    }
    if unrouted.len() > NAMED {
        lines.push(format!("{} members more have no route", unrouted.len() - NAMED));
    }
    if lines.is_empty() {
        let what = "no member is without a route, or behind an interface that is not served";
        return Finding::seen(Check::WayOut, Outcome::Pass, what);
    }
    Finding::seen(Check::WayOut, Outcome::Fail, lines.join("\n")).fix(fixes.join("\n"))
}

fn unrouted(duty: &Duty, network: &Network) -> Vec<(IpAddr, Unreachable)> {
    let mut all: Vec<_> = duty
        .members
        .iter()
        .filter_map(|(address, _)| Some((*address, network.next_hop(*address).err()?)))
        .filter(|(_, why)| matches!(why, Unreachable::NoRoute { .. }))
        .collect();
    all.sort_by_key(|(address, _)| *address);
    all.dedup_by_key(|(address, _)| *address);
    all
}
