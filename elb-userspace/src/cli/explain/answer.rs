//! Answers of members in words, and what else is said of packets that are translated.

use super::member;
use crate::observe::explain::{
    BoundPort, EndpointRecord, Explanation, NotedFlow, WayBack, WayKind,
};
use crate::observe::packet::Translated;

/// Lines with their titles, where a member's answer is explained.
pub(super) fn lines(explained: &Explanation) -> Vec<(&'static str, String)> {
    let noted = explained.noted.as_ref();
    let endpoint = explained.endpoint.as_ref();
    let flow = noted.map(self::noted).or_else(|| endpoint.map(not_noted));
    [
        endpoint.map(|endpoint| ("answer", answer(endpoint))),
        endpoint.map(|endpoint| ("comes by", comes_by(endpoint))),
        flow.map(|flow| ("noted flow", flow)),
        explained.bound.as_ref().map(|port| ("source port", source_port(port))),
        explained.way_back.as_ref().map(|way| ("way back", way_back(way))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the addresses become.
pub(super) fn translated(translated: Translated) -> String {
    let Translated { source, destination } = translated;
    format!("it is now {source} → {destination}")
}

fn answer(endpoint: &EndpointRecord) -> String {
    let EndpointRecord { member: of, listener, stands_for, shared, .. } = endpoint;
    let shared = if *shared { ", which other listeners share" } else { "" };
    let (of, pool) = (member(of), of.pool());
    format!(
        "of {of}, pool {pool}; its endpoint stands for {stands_for}, listener {listener}{shared}"
    )
}

fn comes_by(endpoint: &EndpointRecord) -> String {
    let EndpointRecord { interface, mac, .. } = endpoint;
    match mac {
        Some(mac) => format!("it must come by {interface}, and from {mac}"),
        None => format!("it must come by {interface}"),
    }
}

fn noted(flow: &NotedFlow) -> String {
    let NotedFlow { listener, address, ago, by_this_packet } = flow;
    let when = match by_this_packet {
        true => "noted with this packet".to_owned(),
        false => format!("noted {ago} s ago"),
    };
    match listener.as_ref().zip(*address) {
        Some((listener, address)) => format!("{when}: it is of {address}, listener {listener}"),
        None => format!(
            "{when}: the member's packets are left alone, since the client reached the member itself by this \
             host, or the member opened the connection"
        ),
    }
}

fn source_port(port: &BoundPort) -> String {
    let BoundPort { source, client, listener, member: of, stage, idle, lives, by_this_packet } =
        port;
    let when = match by_this_packet {
        true => "taken by this packet".to_owned(),
        false => format!("last seen {idle} s ago"),
    };
    format!(
        "{source} is {client}'s, by listener {listener} to {}: {}, {when}, lives for {lives} s without a packet",
        member(of),
        stage.replace('_', " ")
    )
}

fn not_noted(endpoint: &EndpointRecord) -> String {
    let why = if endpoint.asked_for_flow {
        "none is noted, so the endpoint decides"
    } else {
        "not asked, so the endpoint decides"
    };
    why.to_owned()
}

fn way_back(way: &WayBack) -> String {
    let WayBack { kind, interface, next_hop_mac, mtu } = way;
    match kind {
        WayKind::Known => {
            format!("{next_hop_mac} by {interface}, packets of at most {mtu} bytes")
        }
        WayKind::Kernel => "the kernel finds it".to_owned(),
        WayKind::Local => "to this host itself".to_owned(),
        WayKind::None => "there is no route".to_owned(),
    }
}
