//! Whether there is a way to each member, by an interface that the agent serves.

use std::net::IpAddr;

use super::Duty;
use super::facts::Facts;
use crate::control::network::{Network, Unreachable, UnservedWay};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};
use crate::diagnosis::way_out::{fix, ipv6_fix, ipv6_off, route_fix, what};
use crate::model::Forwarding;

/// Members without a route that are named.
const NAMED: usize = 4;

pub(super) fn way_out(duty: &Duty, facts: &Facts) -> Finding {
    let network = &facts.network;
    let members = duty.members.iter().map(|(address, _)| *address);
    let is_served = |_, name: &str| duty.interfaces.iter().any(|one| one == name);
    let ways = network.unserved_ways(members, is_served);
    let (mut lines, mut fixes): (Vec<String>, Vec<String>) =
        ways.iter().map(|way| (what(way) + untranslated(duty, way), fix(way))).unzip();
    let unrouted = unrouted(duty, network);
    let off = if unrouted.iter().any(|(address, _)| address.is_ipv6()) {
        without_ipv6(duty, facts)
    } else {
        Vec::new()
    };
    if !off.is_empty() {
        lines.push(ipv6_off(&off));
        fixes.push(ipv6_fix(&off));
    }
    for (address, why) in unrouted.iter().take(NAMED) {
        lines.push(why.to_string());
        if off.is_empty() || address.is_ipv4() {
            fixes.push(route_fix(*address, ""));
        }
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

/// Of members whose answers must be translated where they come in.
fn untranslated(duty: &Duty, way: &UnservedWay) -> &'static str {
    let of_members = duty.members.iter().filter(|(address, _)| way.members.contains(address));
    let translated: Vec<Forwarding> =
        of_members.map(|(_, one)| *one).filter(|one| one.translates()).collect();
    if translated.is_empty() {
        ""
    } else if translated.iter().any(|one| one.embeds_clients()) {
        "; what comes in there is not translated either: answers by nat46, nat or fullnat do not reach clients"
    } else {
        "; what comes in there is not translated either: answers by nat or fullnat do not reach clients"
    }
}

fn without_ipv6(duty: &Duty, facts: &Facts) -> Vec<String> {
    let is_off = |name: &&String| facts.interfaces.get(*name).is_some_and(|one| one.ipv6_off);
    duty.interfaces.iter().filter(is_off).cloned().collect()
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
