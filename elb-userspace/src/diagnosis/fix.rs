//! What to do, as commands to run.

use std::net::IpAddr;

use super::command::{apply, quoted};
use super::evidence::{Evidence, WantedMember};
use super::inspect::InspectRequest;
use super::report::Ask;
use crate::backend::{Mode, ServicePort};
use crate::model::transport::TransportProtocol;
use crate::model::{Forwarding, SnatPrefixes};

/// A change of the health monitor of a member's pool.
pub fn monitor(wanted: &WantedMember, change: &str) -> String {
    monitor_line(wanted, &format!("set {change} in"))
}

/// As [`monitor`], in other words.
pub fn monitor_line(wanted: &WantedMember, change: &str) -> String {
    let WantedMember { file, pool, .. } = wanted;
    let name = &pool.name;
    format!(
        "{change} [pool.healthmonitor] of pool {name:?} in {}, then {}",
        file.display(),
        apply(file)
    )
}

/// A change of the file.
pub fn file(wanted: &WantedMember, change: &str) -> String {
    format!("{change} in {}, then {}", wanted.file.display(), apply(&wanted.file))
}

/// What is to be said of a check that the member's host alone can answer. How to ask it is said once, see
/// [`ask`].
pub const ON_HOST: &str = "known to the backend server's host only";

/// How to ask the member's host what only it knows, from the load balancer.
pub fn ask(evidence: &Evidence) -> Ask {
    Ask {
        command: ask_host(evidence),
        runs: format!("elb {}", inspect_on_host(evidence).join(" ")),
    }
}

/// The command that asks the member's host.
pub fn ask_host(evidence: &Evidence) -> String {
    let WantedMember { pool, member, .. } = &evidence.wanted;
    let target = quoted(&format!("member:{}/{member}", pool.name));
    format!("elb diagnose {target} --ssh {}", evidence.address())
}

/// The arguments of `elb` that let a member's host look at itself, as JSON.
pub fn inspect_on_host(evidence: &Evidence) -> Vec<String> {
    let InspectRequest { protocol, port, from, to, vips, mode, direct, outer, .. } =
        question(evidence);
    let mut words = vec!["backend".to_owned(), "inspect".to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    option("--protocol", protocol.name());
    if let Some(port) = port {
        option("--port", &port.to_string());
    }
    for (name, addresses) in [("--from", from), ("--to", to), ("--vip", vips), ("--outer", outer)] {
        addresses.iter().for_each(|address| option(name, &address.to_string()));
    }
    if let Some(mode) = mode {
        option("--mode", mode.name());
    }
    if direct {
        words.push("--direct".to_owned());
    }
    words.extend(["-o", "json"].map(str::to_owned));
    words
}

/// What a member's host is to be asked.
pub fn question(evidence: &Evidence) -> InspectRequest {
    let WantedMember { pool, .. } = &evidence.wanted;
    InspectRequest {
        protocol: TransportProtocol::from(pool.protocol),
        port: Some(evidence.target().port()).filter(|port| *port > 0),
        from: evidence.way.source.into_iter().chain(asks_for_clients(evidence)).collect(),
        to: vec![evidence.address()],
        // Translated packets come to the member's own address.
        vips: if pool.forwarding.translates() { Vec::new() } else { pool.vips().collect() },
        mode: Some(mode(pool.forwarding)),
        outer: match mode(pool.forwarding).is_tunnel() {
            true => evidence.way.outer.into_iter().collect(),
            false => Vec::new(),
        },
        clients: Vec::new(),
        direct: evidence.wanted.probe.as_ref().is_some_and(|probe| probe.vips.is_empty()),
    }
}

/// What clients' connections come from: with `fullnat`, where only these get no answer, and with `nat46`.
fn asks_for_clients(evidence: &Evidence) -> Option<IpAddr> {
    let pool = &evidence.wanted.pool;
    // With `nat46`, their route is what the host needs, stuck or not.
    evidence.health.stuck.map(drop).or(pool.forwarding.embeds_clients().then_some(()))?;
    pool.source_addresses.as_ref().map(SnatPrefixes::one_of)
}

/// The command that makes a member's host take packets for the virtual addresses; with `fullnat`, that shows whether it
/// takes those of clients; with `nat46`, that leads its answers to the load balancer.
pub fn backend_up(evidence: &Evidence) -> String {
    let pool = &evidence.wanted.pool;
    if pool.forwarding.hides_clients() {
        return let_in(evidence);
    }
    if pool.forwarding.embeds_clients() {
        return lead_prefix(evidence);
    }
    if pool.forwarding.translates() {
        return lead_answers(evidence);
    }
    let vips: String = pool.vips().map(|vip| format!(" --vip {vip}")).collect();
    let mode = mode(pool.forwarding);
    let from = match evidence.way.outer {
        _ if !mode.is_tunnel() => String::new(),
        Some(source) => format!(" --from {source}"),
        None => " --from LOAD-BALANCER".to_owned(),
    };
    format!("elb backend up{vips} --mode {}{from}", mode.name())
}

/// What clients' packets come from, with `fullnat` and `nat46`.
pub fn source_addresses(evidence: &Evidence) -> String {
    let sources = evidence.wanted.pool.source_addresses;
    sources.map_or_else(|| "[snat]".to_owned(), |sources| sources.to_string())
}

/// The command that shows whether a member's host lets source addresses in, and answers them.
fn let_in(evidence: &Evidence) -> String {
    let WantedMember { pool, service, .. } = &evidence.wanted;
    let source = pool.source_addresses.as_ref().map(SnatPrefixes::one_of);
    let source = source.map_or_else(|| "SOURCE-ADDRESS".to_owned(), |source| source.to_string());
    let protocol = match TransportProtocol::from(pool.protocol) {
        TransportProtocol::Tcp => "",
        TransportProtocol::Udp => " --protocol udp",
    };
    let port = match service.port() {
        0 => "PORT".to_owned(),
        port => port.to_string(),
    };
    let mode = mode(pool.forwarding).name();
    format!("elb backend inspect --mode {mode} --port {port}{protocol} --from {source}")
}

/// The command that shows whether a member's host takes packets from addresses that hold clients', and answers them.
pub fn inspect_clients(evidence: &Evidence) -> String {
    let_in(evidence)
}

/// The command that leads a member's answers to clients' addresses in the prefix to the load balancer.
fn lead_prefix(evidence: &Evidence) -> String {
    let prefix = source_addresses(evidence);
    let source = evidence.way.source.filter(|_| evidence.way.gateway.is_none());
    let via = source.map_or_else(|| "LOAD-BALANCER".to_owned(), |source| source.to_string());
    format!("ip -6 route add {prefix} via {via}")
}

/// The command that makes answers of a member's service go through the load balancer, which must be its neighbour
/// for that.
fn lead_answers(evidence: &Evidence) -> String {
    let WantedMember { pool, service, .. } = &evidence.wanted;
    let source = evidence.way.source.filter(|_| evidence.way.gateway.is_none());
    let via = source.map_or_else(|| "LOAD-BALANCER".to_owned(), |source| source.to_string());
    let protocol = TransportProtocol::from(pool.protocol);
    let port = match ServicePort::one(protocol, service.port()) {
        Ok(port) => port.to_string(),
        Err(_) => format!("PORT/{}", protocol.name()),
    };
    format!("elb backend up --mode nat --via {via} --port {port}")
}

/// How `elb backend` calls a way of forwarding.
const fn mode(forwarding: Forwarding) -> Mode {
    match forwarding {
        Forwarding::L2 => Mode::L2,
        Forwarding::Nat => Mode::Nat,
        Forwarding::FullNat => Mode::FullNat,
        Forwarding::Nat46 => Mode::Nat46,
        Forwarding::Ipip => Mode::Ipip,
        Forwarding::Gue => Mode::Gue,
    }
}
