//! Routes to the sources of probes, as the kernel looks them up.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::net::IpAddr;

use rtnetlink::IpVersion;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::diagnosis::inspect::facts::{Known, Route};
use crate::kernel::net::links::{Netlink, NetlinkError};

/// The route to `to`; policy rules may ask for the address that answers come from, the first of
/// `answering`.
pub(super) fn route(netlink: &Netlink, to: IpAddr, answering: &[IpAddr]) -> Known<Route> {
    let from = answering.iter().find(|address| address.is_ipv4() == to.is_ipv4());
    let answers = netlink.all(netlink.handle().route().get(request(to, from)).execute());
    let failed = |error: &NetlinkError| format!("the route to {to} cannot be looked up: {error}");
    match answers {
        Ok(messages) => match messages.first() {
            Some(message) => read(netlink, to, message).map_err(|error| failed(&error)),
            None => Ok(Route::None),
        },
        Err(NetlinkError(error)) => Ok(match error.raw_os_error() {
            Some(libc::ENETUNREACH) => Route::None,
            Some(libc::EHOSTUNREACH) => refused(netlink, to, "unreachable"),
            Some(libc::EACCES) => refused(netlink, to, "prohibit"),
            Some(libc::EINVAL) => refused(netlink, to, "blackhole"),
            Some(libc::EAGAIN) => refused(netlink, to, "throw"),
            _ => return Err(failed(&NetlinkError(error))),
        }),
    }
}

fn request(to: IpAddr, from: Option<&IpAddr>) -> RouteMessage {
    let mut request = RouteMessage::default();
    let (family, length) =
        if to.is_ipv4() { (AddressFamily::Inet, 32) } else { (AddressFamily::Inet6, 128) };
    request.header.address_family = family;
    request.header.destination_prefix_length = length;
    request.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    if let Some(from) = from {
        request.header.source_prefix_length = length;
        request.attributes.push(RouteAttribute::Source(RouteAddress::from(*from)));
    }
    request
}

fn read(netlink: &Netlink, to: IpAddr, message: &RouteMessage) -> Result<Route, NetlinkError> {
    match message.header.kind {
        RouteType::Local => return Ok(Route::Local),
        RouteType::Unicast => {}
        other => return Ok(refused(netlink, to, kind(other).unwrap_or("unreachable"))),
    }
    let (mut index, mut gateway, mut source) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::PrefSource(address) => source = ip(address),
            _ => {}
        }
    }
    let links = netlink.links()?;
    let link = links.into_iter().find(|link| Some(link.index) == index);
    Ok(link.map_or(Route::None, |link| Route::Via { interface: link.name, gateway, source }))
}

/// What refuses: the most specific route of its kind, else a rule.
fn refused(netlink: &Netlink, to: IpAddr, why: &'static str) -> Route {
    Route::Refused(
        why,
        refusing_route(netlink, to, why).or_else(|| refusing_rule(netlink, to, why)),
    )
}

fn refusing_route(netlink: &Netlink, to: IpAddr, why: &str) -> Option<String> {
    let mut request = RouteMessage::default();
    request.header.address_family =
        if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let routes = netlink.all(netlink.handle().route().get(request).execute()).ok()?;
    let fitting = routes.iter().filter(|route| kind(route.header.kind) == Some(why));
    let fitting = fitting.filter_map(|route| Some((network(route, to)?, table(route))));
    let (network, table) = fitting.max_by_key(|(network, _)| network.prefix_len())?;
    let table = if table == u32::from(RouteHeader::RT_TABLE_MAIN) {
        String::new()
    } else {
        format!(" table {table}")
    };
    Some(format!("route {why} {network}{table}"))
}

/// The network of a route, if `to` is in it.
fn network(route: &RouteMessage, to: IpAddr) -> Option<ipnet::IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    let any = match to {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let length = route.header.destination_prefix_length;
    let network = ipnet::IpNet::new(address.unwrap_or(any), length).ok()?;
    network.contains(&to).then_some(network)
}

fn table(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or(route.header.table.into())
}

fn refusing_rule(netlink: &Netlink, to: IpAddr, why: &str) -> Option<String> {
    let version = if to.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
    let rules = netlink.all(netlink.handle().rule().get(version).execute()).ok()?;
    let action = match why {
        "blackhole" => RuleAction::Blackhole,
        "prohibit" => RuleAction::Prohibit,
        _ => RuleAction::Unreachable,
    };
    let preference = |rule: &RuleMessage| {
        rule.attributes.iter().find_map(|attribute| match attribute {
            RuleAttribute::Priority(preference) => Some(*preference),
            _ => None,
        })
    };
    let refusing: Vec<u32> =
        rules.iter().filter(|rule| rule.header.action == action).filter_map(preference).collect();
    match refusing[..] {
        // With several, it takes more than is known here to say which.
        [preference] => Some(format!("rule preference {preference}")),
        _ => None,
    }
}

fn kind(kind: RouteType) -> Option<&'static str> {
    match kind {
        RouteType::BlackHole => Some("blackhole"),
        RouteType::Unreachable => Some("unreachable"),
        RouteType::Prohibit => Some("prohibit"),
        RouteType::Throw => Some("throw"),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
