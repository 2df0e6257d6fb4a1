//! How large the segments are that clients are asked to send (`advmss` of routes).
//!
//! A client sends what the server's SYN-ACK says that it takes. With 1500 bytes on the wire and outer
//! headers in front, full segments do not fit; the load balancer answers them with ICMP, and where that
//! is filtered on the way to clients, uploads hang. A smaller size, said by the server itself, needs no
//! ICMP.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::net::IpAddr;

use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteType,
};
use serde::{Deserialize, Serialize};

use super::BackendError;
use crate::kernel::net::links::Netlink;

/// What a segment may have at most: 1500 bytes without headers of IPv4 and TCP.
pub const MOST: u32 = 1460;
/// What every host takes (RFC 9293 §3.7.1).
pub const LEAST: u32 = 536;

/// A route, and the size that it says; 0 is none, so that the kernel takes that of the interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Advertised {
    pub(super) route: String,
    pub(super) v6: bool,
    pub(super) was: u32,
    pub(super) set: u32,
}

/// Routes by which clients are asked for larger segments than `most`, as one that was made anew since: no
/// program of elb's runs on a backend server that would keep them.
pub(super) fn forgotten(
    netlink: &Netlink,
    vips: &[IpAddr],
    most: u32,
) -> Result<Vec<String>, BackendError> {
    let links = netlink.links()?;
    let Some(lo) = links.iter().find(|link| link.loopback) else { return Ok(Vec::new()) };
    let routes = ClientRoute::all(netlink, vips, lo.index)?;
    let asks_for_more = |route: &&ClientRoute| {
        let out = links.iter().find(|link| route.leaves_by(link.index));
        let mtu = out.map_or(u32::MAX, |link| link.mtu);
        said(route.metric(Metric::Advmss), route.metric(Metric::Mtu), mtu, route.is_v6()) > most
    };
    Ok(routes.iter().filter(asks_for_more).map(ClientRoute::name).collect())
}

/// The size that the kernel says for a route with these metrics, 0 where it has none, by an interface with
/// this MTU.
fn said(advmss: u32, mtu: u32, interface: u32, v6: bool) -> u32 {
    let headers = if v6 { 60 } else { 40 };
    match (advmss, mtu) {
        (0, 0) => interface.saturating_sub(headers),
        (0, mtu) => mtu.min(interface).saturating_sub(headers),
        (advmss, _) => advmss,
    }
}

/// A route of the main table by which clients may be reached.
pub(super) struct ClientRoute {
    message: RouteMessage,
}

impl ClientRoute {
    /// All of them, of the versions of IP that the addresses have.
    pub(super) fn all(
        netlink: &Netlink,
        vips: &[IpAddr],
        lo: u32,
    ) -> Result<Vec<Self>, BackendError> {
        let mut routes = Vec::new();
        for v6 in [false, true] {
            if vips.iter().any(|vip| vip.is_ipv6() == v6) {
                routes.extend(netlink.routes(v6)?.into_iter().map(|message| Self { message }));
            }
        }
        routes.retain(|route| route.leads_to_clients(lo));
        Ok(routes)
    }

    fn leads_to_clients(&self, lo: u32) -> bool {
        let header = &self.message.header;
        let by_lo = self.message.attributes.contains(&RouteAttribute::Oif(lo));
        let is_main = header.table == RouteHeader::RT_TABLE_MAIN;
        header.kind == RouteType::Unicast && is_main && !by_lo && !self.name().starts_with("fe80:")
    }

    /// What distinguishes it from other routes: its network, its way and its metric.
    pub(super) fn name(&self) -> String {
        let length = self.message.header.destination_prefix_length;
        let mut parts = [String::new(), String::new(), String::new()];
        for attribute in &self.message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => parts[0] = format!("{}/{length}", address(to)),
                RouteAttribute::Oif(index) => parts[1] = format!(" interface {index}"),
                RouteAttribute::Priority(metric) => parts[2] = format!(" metric {metric}"),
                _ => {}
            }
        }
        if parts[0].is_empty() {
            parts[0] = "default".to_owned();
        }
        parts.concat()
    }

    pub(super) fn is_v6(&self) -> bool {
        self.message.header.address_family == rtnetlink::packet_route::AddressFamily::Inet6
    }

    fn leaves_by(&self, index: u32) -> bool {
        self.message.attributes.contains(&RouteAttribute::Oif(index))
    }

    /// The size that it says.
    pub(super) fn advmss(&self) -> u32 {
        self.metric(Metric::Advmss)
    }

    /// 0 where it has none.
    fn metric(&self, which: Metric) -> u32 {
        let metrics = self.message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics),
            _ => None,
        });
        let value = metrics.into_iter().flatten().find_map(|metric| match (metric, which) {
            (RouteMetric::Advmss(value), Metric::Advmss)
            | (RouteMetric::Mtu(value), Metric::Mtu) => Some(*value),
            _ => None,
        });
        value.unwrap_or_default()
    }

    /// Puts the same route with another size in its place.
    pub(super) fn set(&self, netlink: &Netlink, advmss: u32) -> Result<(), BackendError> {
        let mut message = self.message.clone();
        message.header.flags &= RouteFlags::Onlink;
        // What the kernel only reports, it does not take.
        message.attributes.retain(|attribute| {
            !matches!(attribute, RouteAttribute::CacheInfo(_) | RouteAttribute::Metrics(_))
        });
        let metrics = self.message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics.clone()),
            _ => None,
        });
        let mut metrics = metrics.unwrap_or_default();
        metrics.retain(|metric| !matches!(metric, RouteMetric::Advmss(_)));
        if advmss > 0 {
            metrics.push(RouteMetric::Advmss(advmss));
        }
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        netlink
            .replace_route(message)
            .map_err(|error| BackendError::Route { route: self.name(), error })
    }
}

/// What a route may say of sizes.
#[derive(Clone, Copy)]
enum Metric {
    Advmss,
    Mtu,
}

fn address(address: &rtnetlink::packet_route::route::RouteAddress) -> String {
    use rtnetlink::packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(v4) => v4.to_string(),
        RouteAddress::Inet6(v6) => v6.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_asks_for_what_its_interface_takes_unless_it_says_less() {
        assert_eq!(said(0, 0, 1500, false), 1460);
        assert_eq!(said(0, 0, 1500, true), 1440);
        assert_eq!(said(0, 1400, 1500, false), 1360);
        assert_eq!(said(0, 9000, 1500, false), 1460, "no more than the interface");
        assert_eq!(said(1440, 0, 9000, false), 1440);
    }
}
