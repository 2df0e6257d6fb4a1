//! Answers find their way back to the source of probes.

mod clients;

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Network, Route};
use super::parts::Part;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let mut parts = to_sources(asked, facts);
    parts.extend(clients::check(asked, facts));
    parts
}

fn to_sources(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    if asked.from.is_empty() {
        return vec![Part::not_applicable("no source of probes was given: name it with --from")];
    }
    let empty = Network::default();
    let network = facts.network.as_ref().unwrap_or(&empty);
    let part = |(source, route): &(IpAddr, _)| match route {
        Ok(route) => judge(*source, route, network),
        Err(needed) => Part::unknown(needed),
    };
    facts.routes.iter().map(part).collect()
}

fn judge(source: IpAddr, route: &Route, network: &Network) -> Part {
    match route {
        Route::Via { interface, gateway: Some(gateway), .. } => {
            Part::pass(format!("{source} is reached by {interface}, next hop {gateway}"))
        }
        Route::Via { interface, gateway: None, .. } => {
            Part::pass(format!("{source} is reached by {interface}, on the link"))
        }
        Route::Local => Part::pass(format!("{source} is an address of this host")),
        Route::None => missing(source, network),
        Route::Refused(kind, Some(found)) => {
            Part::fail(format!("answers to {source} go nowhere: `{found}` is in the way ({kind})"))
                .fix(format!("ip {}", delete(found, source)))
        }
        Route::Refused(kind, None) => {
            Part::fail(format!("answers to {source} go nowhere: the kernel refuses them ({kind})"))
                .fix(format!(
                    "see `ip rule` and `ip route show table all {kind}`, and delete what refuses"
                ))
        }
    }
}

/// `route KIND NETWORK …` and `rule PREFERENCE …`, as the command that deletes it.
fn delete(found: &str, source: IpAddr) -> String {
    let version = if source.is_ipv6() { "-6 " } else { "" };
    let (object, rest) = found.split_once(' ').unwrap_or((found, ""));
    format!("{version}{object} del {rest}")
}

fn missing(source: IpAddr, network: &Network) -> Part {
    let none = format!("there is no route to {source}");
    let version = if source.is_ipv6() { "-6 " } else { "" };
    let near = network.addresses.iter().find_map(|address| {
        let net = ipnet::IpNet::new(address.ip, address.prefix).ok()?;
        let link = network.link(address.index)?;
        (net.contains(&source) && !link.loopback).then_some((net, link))
    });
    match near {
        Some((_, link)) if !link.up => {
            let name = &link.name;
            Part::fail(format!("{none}: {name}, which has an address next to it, is down"))
                .fix(format!("ip link set {name} up"))
        }
        Some((net, link)) => {
            let name = &link.name;
            let (address, trunc) = (net.addr(), net.trunc());
            Part::fail(format!(
                "{none}, though {name} has {net}: the route of that network is gone"
            ))
            .fix(format!("ip {version}route add {trunc} dev {name} src {address}"))
        }
        None => {
            let link = network.links.iter().find(|link| link.up && !link.loopback);
            let name = link.map_or("INTERFACE", |link| &link.name);
            Part::fail(format!("{none}, and no default route"))
                .fix(format!("ip {version}route add default via GATEWAY dev {name}"))
        }
    }
}
