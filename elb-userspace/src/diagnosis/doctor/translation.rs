//! What a host needs next to the program where members' answers are translated.

use super::Duty;
use super::facts::{Facts, InterfaceFacts};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

/// What it means that the kernel does not forward, where it has to: an answer to a client whose Ethernet address
/// is not known is the kernel's to send on, and the kernel finds the address by doing so.
pub(super) fn forwarding(duty: &Duty, facts: &Facts) -> Option<Finding> {
    let versions =
        [(false, "IPv4", "net.ipv4.ip_forward"), (true, "IPv6", "net.ipv6.conf.all.forwarding")];
    let off = versions.into_iter().zip(facts.forwarding);
    let off = off.filter(|((is_v6, ..), on)| !on && duty.translates(*is_v6));
    let off: Vec<(&str, &str)> = off.map(|((_, version, key), _)| (version, key)).collect();
    if off.is_empty() {
        return None;
    }
    let names: Vec<&str> = off.iter().map(|(version, _)| *version).collect();
    let what = format!(
        "off for {}: members' answers to a client on a segment of this host are dropped while the kernel does \
         not know the client's Ethernet address, since it then has to send them on itself; clients behind \
         routers need nothing",
        names.join(" and ")
    );
    let fix: Vec<String> = off.iter().map(|(_, key)| format!("sysctl -w {key}=1")).collect();
    Some(Finding::seen(Check::Forwarding, Outcome::Warn, what).fix(fix.join("; ")))
}

/// Whether translated answers leave as the kernel would send them. Nothing is said where none are.
pub(super) fn client_routes(duty: &Duty, facts: &Facts) -> Option<Finding> {
    if !duty.translates_any() {
        return None;
    }
    let found = |outcome, what: String| Finding::seen(Check::ClientRoutes, outcome, what);
    let Some(ways) = &facts.network.clients else {
        let what = "the main routing table could not be listed".to_owned();
        return Some(found(Outcome::Unknown, what).fix("sudo elb doctor"));
    };
    if ways.other_rules.is_empty() {
        let what =
            "translated answers follow the main routing table, as the kernel does".to_owned();
        return Some(found(Outcome::Pass, what));
    }
    let what = format!(
        "the host has routing rules of its own ({}), but translated answers to clients follow the main routing \
         table only: where the rules choose another route for them, they go a way that the kernel would not",
        ways.other_rules.join(", ")
    );
    Some(found(Outcome::Warn, what).fix(
        "ip rule; ip -6 rule    # put the routes to clients into the main table, or remove the rules",
    ))
}

/// The feature of an interface that lets the kernel leave checksums to it, as ethtool names it.
const CHECKSUMS: &str = "tx-checksum-ip-generic";

/// Whether packets come with real checksums. A veth hands packets over without, unless its other end is set to
/// compute them; what is changed in such a packet is added to a checksum that is none.
pub(super) fn checksums(duty: &Duty, interface: &InterfaceFacts) -> Option<Finding> {
    if !duty.translates_any() || interface.driver.as_deref() != Some("veth") {
        return None;
    }
    let found = |outcome, what: String| Finding::seen(Check::Checksums, outcome, what);
    let harm = "receivers drop packets that were translated, so that clients get no answer though members \
                are ONLINE: probes do not meet it";
    let peer = interface.peer.as_ref().map(|peer| (&*peer.name, peer.offloads.as_ref()));
    let fix = |name| {
        format!(
            "ethtool -K {name} tx off    # in the network namespace of that other end, not of hosts behind it"
        )
    };
    Some(match peer {
        Some((name, Some(offloads))) if offloads.contains(CHECKSUMS) => {
            let what = format!(
                "packets come without checksums from hosts of this machine, since the other end {name} of this veth \
                 leaves them to this one: {harm}"
            );
            found(Outcome::Warn, what).fix(fix(name))
        }
        Some((name, Some(_))) => {
            found(Outcome::Pass, format!("computed by the other end {name} of this veth"))
        }
        other => {
            let name = other.map_or("OTHER-END", |(name, _)| name);
            let what = format!(
                "whether the other end {name} of this veth computes them cannot be seen from here; if not, {harm}"
            );
            found(Outcome::Unknown, what).fix(fix(name))
        }
    })
}
