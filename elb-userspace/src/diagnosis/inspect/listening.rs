//! Something listens where probes go.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Network, Socket};
use super::parts::Part;
use crate::model::transport::TransportProtocol;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let sockets = match &facts.sockets {
        Ok(sockets) => sockets,
        Err(needed) => return vec![Part::unknown(needed)],
    };
    let Some(port) = asked.port else {
        return vec![Part::not_applicable(format!(
            "no port was asked for; there are {}",
            list(facts, sockets.iter())
        ))];
    };
    let targets = asked.targets();
    if targets.is_empty() {
        return vec![anywhere(asked, port, facts, sockets)];
    }
    let (mut parts, mut unheard) = (Vec::new(), Vec::new());
    for target in targets {
        match on_port(asked, port, sockets).into_iter().find(|socket| takes(socket, target)) {
            Some(socket) => parts.push(listens(asked, facts, socket)),
            None => unheard.push(target),
        }
    }
    if !unheard.is_empty() {
        let names: Vec<String> = unheard.iter().map(IpAddr::to_string).collect();
        let missing = missing(asked, &names.join(", "), port, facts, sockets);
        parts.push(if unheard.iter().all(|to| asked.is_spare(*to)) {
            missing.spare()
        } else {
            missing
        });
    }
    parts
}

/// The sockets that take what is asked about.
pub(super) fn serving<'a>(asked: &InspectRequest, facts: &'a Facts) -> Vec<&'a Socket> {
    let sockets = facts.sockets.as_deref().unwrap_or_default();
    let targets = asked.targets();
    let serves = |socket: &&Socket| {
        socket.protocol == asked.protocol
            && asked.port.is_none_or(|port| port == socket.port)
            && (targets.is_empty() || targets.iter().any(|target| takes(socket, *target)))
    };
    sockets.iter().filter(serves).collect()
}

/// Whether a socket takes what goes to an address.
pub(super) fn takes(socket: &Socket, target: IpAddr) -> bool {
    match (socket.address, target) {
        (IpAddr::V4(bound), IpAddr::V4(_)) if bound.is_unspecified() => true,
        (IpAddr::V6(bound), IpAddr::V6(_)) if bound.is_unspecified() => true,
        (IpAddr::V6(bound), IpAddr::V4(_)) if bound.is_unspecified() => !socket.v6_only,
        (bound, target) => bound.to_canonical() == target.to_canonical(),
    }
}

/// Without an address to look for: something that others than this host reach.
fn anywhere(asked: &InspectRequest, port: u16, facts: &Facts, sockets: &[Socket]) -> Part {
    let here = on_port(asked, port, sockets);
    match here.iter().find(|socket| !socket.address.is_loopback()) {
        Some(socket) => Part::pass(format!("{} listens", describe(facts, socket))),
        None => missing(asked, "this host's addresses", port, facts, sockets),
    }
}

fn listens(asked: &InspectRequest, facts: &Facts, socket: &Socket) -> Part {
    let by = facts.interface(asked);
    let bound = facts.network.as_ref().ok().and_then(|network| network.link(socket.interface));
    match (bound, by) {
        (Some(bound), Some(by)) if bound.name != by => Part::fail(format!(
            "{} takes only what comes in by {}; probes come in by {by}",
            describe(facts, socket),
            bound.name
        ))
        .fix(format!("let it listen without SO_BINDTODEVICE, or on {by}")),
        (_, _) => Part::pass(format!("{} listens", describe(facts, socket))),
    }
}

fn on_port<'a>(asked: &InspectRequest, port: u16, sockets: &'a [Socket]) -> Vec<&'a Socket> {
    let on = |socket: &&Socket| socket.port == port && socket.protocol == asked.protocol;
    sockets.iter().filter(on).collect()
}

/// Why nothing listens there, from what does listen.
fn missing(
    asked: &InspectRequest,
    target: &str,
    port: u16,
    facts: &Facts,
    sockets: &[Socket],
) -> Part {
    let protocol = asked.protocol.name();
    let nothing = format!("nothing listens on {target} port {port}/{protocol}");
    let others = on_port(asked, port, sockets);
    if facts.translates(asked) {
        return Part::unknown(format!(
            "{nothing}, but a rule gives probes another address or port, which is not followed"
        ));
    }
    if let Some(socket) = others.first() {
        let why = match socket.address {
            address if address.is_loopback() => "takes connections from this host only",
            IpAddr::V6(v6) if v6.is_unspecified() => "takes IPv6 only",
            IpAddr::V4(_) | IpAddr::V6(_) => "listens on another address",
        };
        let wildcard = if target.contains(':') { "[::]" } else { "0.0.0.0" };
        let restart = facts.restart(socket);
        return Part::fail(format!("{nothing}: {} {why}", describe(facts, socket))).fix(format!(
            "let {} listen on {wildcard}, or on {target}, then restart it{restart}",
            name(facts, socket)
        ));
    }
    let mut near: Vec<&Socket> = sockets.iter().filter(|one| !one.address.is_loopback()).collect();
    near.sort_by_key(|socket| (socket.protocol != asked.protocol, socket.port.abs_diff(port)));
    near.truncate(3);
    if near.is_empty() {
        return Part::fail(format!("{nothing}, nor on any other port")).fix(format!(
            "start the server; `ss -ln{} 'sport = :{port}'` must show it",
            letter(asked)
        ));
    }
    Part::fail(format!("{nothing}; there are {}", list(facts, near.into_iter()))).fix(format!(
        "start the server on port {port}/{protocol}, or give the member the port that it has"
    ))
}

fn letter(asked: &InspectRequest) -> char {
    match asked.protocol {
        TransportProtocol::Tcp => 't',
        TransportProtocol::Udp => 'u',
    }
}

fn list<'a>(facts: &Facts, sockets: impl Iterator<Item = &'a Socket>) -> String {
    const MOST: usize = 30;
    let mut all: Vec<String> = sockets.map(|socket| describe(facts, socket)).collect();
    all.dedup();
    match all.len().checked_sub(MOST) {
        _ if all.is_empty() => "no sockets".to_owned(),
        Some(more @ 1..) => format!("{}, and {more} more", all[..MOST].join(", ")),
        Some(0) | None => all.join(", "),
    }
}

/// `nginx (process 12) on 0.0.0.0:80/tcp`
pub(super) fn describe(facts: &Facts, socket: &Socket) -> String {
    let place = std::net::SocketAddr::new(socket.address, socket.port);
    let only = if socket.v6_only && socket.address.is_unspecified() { " (IPv6 only)" } else { "" };
    format!("{} on {place}/{}{only}", name(facts, socket), socket.protocol.name())
}

fn name(facts: &Facts, socket: &Socket) -> String {
    match facts.processes.get(&socket.inode) {
        Some(process) => format!("{} (process {})", process.name, process.id),
        None => "a process that cannot be seen from here".to_owned(),
    }
}

impl Facts {
    /// ` (systemctl restart UNIT)`, if the unit is known.
    fn restart(&self, socket: &Socket) -> String {
        let unit = self.processes.get(&socket.inode).and_then(|process| process.unit.as_deref());
        unit.map_or_else(String::new, |unit| format!(" (systemctl restart {unit})"))
    }

    /// The interface that probes come in by: the one that has the address that they go to, else the
    /// one that answers go out by.
    pub(super) fn interface(&self, asked: &InspectRequest) -> Option<String> {
        let out = self.interface_to(*asked.from.first()?);
        let network = self.network.as_ref().ok()?;
        let mut links = asked.to.iter().filter_map(|to| Some(network.holder(*to)?.0));
        let holder = links.find(|link| !link.loopback).map(|link| link.name.clone());
        let is_loopback =
            |name: &String| network.links.iter().any(|link| link.name == *name && link.loopback);
        out.clone().filter(is_loopback).or(holder).or(out)
    }

    /// The interface that traffic comes in by: as [`Facts::interface`], but not `lo` where another
    /// carries elb's program.
    pub(super) fn way_in(&self, asked: &InspectRequest) -> Option<String> {
        let interface = self.interface(asked);
        let recorded = || self.backend.as_ref().ok()?.interfaces.first().cloned();
        let is_outside = |name: &String| {
            let links = self.network.as_ref().map_or(&[][..], |network| &network.links);
            links.iter().any(|link| link.name == *name && !link.loopback)
        };
        interface.clone().filter(is_outside).or_else(recorded).or(interface)
    }

    /// The interface that packets to an address go out by.
    pub(super) fn interface_to(&self, to: IpAddr) -> Option<String> {
        let (_, route) = self.routes.iter().find(|(source, _)| *source == to)?;
        match route.as_ref().ok()? {
            super::facts::Route::Via { interface, .. } => Some(interface.clone()),
            super::facts::Route::Local => {
                let links = &self.network.as_ref().ok().map(|network: &Network| &network.links)?;
                links.iter().find(|link| link.loopback).map(|link| link.name.clone())
            }
            super::facts::Route::None | super::facts::Route::Refused(..) => None,
        }
    }
}
