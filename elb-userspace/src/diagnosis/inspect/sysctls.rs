//! Kernel settings that keep direct server return, or answers to probes, from working.

use super::asked::InspectRequest;
use super::facts::Facts;
use super::parts::Part;
use super::reverse_path::{Strict, strict};
use crate::backend::{Mode, SysctlKey, WantedSysctl};
use crate::model::transport::TransportProtocol;

/// The kernel's own value of `icmp_ratelimit`: a message a second to one receiver, in milliseconds.
const USUAL_RATELIMIT: i64 = 1000;
/// The bit of destination unreachable in `icmp_ratemask`.
const UNREACHABLE: i64 = 1 << 3;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let mut parts = Vec::new();
    if asked.mode == Some(Mode::Nat) || asked.vips.iter().any(std::net::IpAddr::is_ipv4) {
        match &facts.settings {
            Ok(settings) => {
                parts.extend(settings.iter().map(|one| setting(one, settings, asked, facts)));
            }
            Err(needed) => parts.push(Part::unknown(needed)),
        }
    } else {
        parts.extend(way_back(asked, facts));
    }
    if asked.protocol == TransportProtocol::Udp {
        parts.extend(icmp(asked, facts));
    }
    if parts.is_empty() {
        parts.push(Part::pass("nothing keeps probes from being answered"));
    }
    parts
}

fn setting(
    wanted: &WantedSysctl,
    all: &[WantedSysctl],
    asked: &InspectRequest,
    facts: &Facts,
) -> Part {
    let WantedSysctl { sysctl, from, to } = wanted;
    if from == to {
        return Part::pass(format!("{sysctl} is {from}"));
    }
    let alike = all.iter().filter(|other| other.sysctl.key == sysctl.key);
    if let Some(greatest) = alike.max_by_key(|other| other.from).filter(|one| one.from == one.to) {
        return Part::warn(format!(
            "{sysctl} is {from}; only {} makes up for it, since the greater of the two counts",
            greatest.sysctl
        ))
        .fix(format!("sysctl -w {sysctl}={to}"));
    }
    if sysctl.key == SysctlKey::RpFilter {
        return reverse_path(wanted, asked, facts);
    }
    let why = match sysctl.key {
        SysctlKey::ArpIgnore => "this host answers ARP requests for virtual addresses",
        SysctlKey::ArpAnnounce => "this host announces virtual addresses as its own",
        SysctlKey::RpFilter => {
            "packets out of tunnels are dropped for the interface that they come in by"
        }
    };
    Part::fail(format!("{sysctl} is {from}, and so {why}")).fix(format!("sysctl -w {sysctl}={to}"))
}

/// Strict filtering of what comes out of tunnels, where it drops anything.
fn reverse_path(wanted: &WantedSysctl, asked: &InspectRequest, facts: &Facts) -> Part {
    let WantedSysctl { sysctl, to, .. } = wanted;
    let interface = &sysctl.interface;
    let is = format!("{sysctl} is strict (1, its own or that of all)");
    let fix = format!("sysctl -w {sysctl}={to}");
    match strict(interface, asked, facts) {
        Strict::DropsNothing => Part::pass(format!(
            "{is}, which drops nothing here: answers go out by {interface}, which packets come in by"
        )),
        Strict::Drops { from, out: Some(out) } => Part::fail(format!(
            "{is}, packets come in by {interface}, and answers to {from} go out by {out}: those packets \
             are dropped"
        ))
        .fix(fix),
        Strict::Drops { from, out: None } => Part::fail(format!(
            "{is}, and there is no route to {from}: its packets are dropped"
        ))
        .fix(fix),
        Strict::Unknown => Part::warn(format!(
            "{is}: packets of clients whose answers do not go out by {interface} are dropped; name one \
             with --client to know"
        ))
        .fix(fix),
    }
}

/// Strict reverse path filtering drops what comes in by another interface than answers go out by.
fn way_back(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let Ok(network) = &facts.network else { return Vec::new() };
    let mut parts = Vec::new();
    for to in asked.to.iter().filter(|to| to.is_ipv4()) {
        let Some((link, _)) = network.holder(*to) else { continue };
        let name = &link.name;
        let value = |scope: &str| facts.sysctls.get(&format!("net.ipv4.conf.{scope}.rp_filter"));
        let strict = value("all").max(value(name)) == Some(&1);
        for from in asked.from.iter().filter(|from| from.is_ipv4()) {
            let out = facts.interface_to(*from);
            if let Some(out) = out.filter(|out| strict && out != name && !link.loopback) {
                let key = name.replace('.', "/");
                parts.push(
                    Part::fail(format!(
                        "net.ipv4.conf.{key}.rp_filter is strict (1), {to} is on {name}, and answers \
                         to {from} go out by {out}: probes that come in by {name} are dropped"
                    ))
                    .fix(format!("sysctl -w net.ipv4.conf.{key}.rp_filter=2")),
                );
            }
        }
    }
    parts
}

fn icmp(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let value = |key: &str| facts.sysctls.get(key).copied();
    let mut parts = Vec::new();
    let keys = [(false, "net.ipv4.icmp_echo_ignore_all"), (true, "net.ipv6.icmp.echo_ignore_all")];
    for (v6, key) in keys {
        if asked.speaks(v6) && value(key).is_some_and(|value| value != 0) {
            parts.push(
                Part::fail(format!("{key} is 1: the echo requests of UDP checks are not answered"))
                    .fix(format!("sysctl -w {key}=0")),
            );
        }
    }
    let limit = value("net.ipv4.icmp_ratelimit").unwrap_or_default();
    let mask = value("net.ipv4.icmp_ratemask").unwrap_or_default();
    if limit > USUAL_RATELIMIT && mask & UNREACHABLE != 0 {
        parts.push(
            Part::warn(format!(
                "net.ipv4.icmp_ratelimit is {limit} ms: a stopped UDP server may look healthy, since \
                 port unreachable is sent that seldom"
            ))
            .fix(format!("sysctl -w net.ipv4.icmp_ratelimit={USUAL_RATELIMIT}")),
        );
    }
    parts
}
