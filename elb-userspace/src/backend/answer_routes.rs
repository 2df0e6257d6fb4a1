//! What the kernel has for answers: routes and rules.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};

use super::BackendError;
use super::answer_rule::{AnswerRule, read};
use super::service_port::ServicePort;
use super::wanted_answers::Answers;
use crate::kernel::net::links::{ANSWERS_TABLE as TABLE, Netlink};

/// What the kernel has for answers of one version of IP.
pub(super) struct Found {
    /// The next hops of the main table's default route that counts; more than one share the packets.
    pub(super) default: Vec<IpAddr>,
    /// Our table's route.
    pub(super) route: Option<RouteMessage>,
    /// The rules that choose our table.
    pub(super) rules: Vec<RuleMessage>,
}

impl Found {
    pub(super) fn look(netlink: &Netlink, is_v6: bool) -> Result<Self, BackendError> {
        let routes = netlink.routes(is_v6)?;
        let is_default = |route: &&RouteMessage| route.header.destination_prefix_length == 0;
        let mut main: Vec<&RouteMessage> =
            routes.iter().filter(is_default).filter(|route| table(route) == MAIN).collect();
        main.sort_by_key(|route| metric(route));
        let least = main.first().map(|route| metric(route));
        let main = main.into_iter().filter(|route| Some(metric(route)) == least);
        let default = main.flat_map(gateways).collect();
        let route = routes.iter().filter(is_default).find(|route| table(route) == TABLE).cloned();
        let mut rules = netlink.rules(is_v6)?;
        rules.retain(|rule| rule.attributes.contains(&RuleAttribute::Table(TABLE)));
        Ok(Self { default, route, rules })
    }

    pub(super) fn has(&self, rule: AnswerRule) -> bool {
        self.rules.iter().any(|found| rule.is(found))
    }

    pub(super) fn gateway(&self) -> Option<IpAddr> {
        self.route.as_ref().and_then(|route| gateways(route).first().copied())
    }

    /// Whether all answers go there by themselves.
    pub(super) fn leads_to(&self, via: IpAddr) -> bool {
        self.default == [via]
    }
}

const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

fn table(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or_else(|| route.header.table.into())
}

fn metric(route: &RouteMessage) -> u32 {
    let metric = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    metric.unwrap_or_default()
}

pub(super) fn gateways(route: &RouteMessage) -> Vec<IpAddr> {
    let of = |attributes: &[RouteAttribute]| -> Vec<IpAddr> {
        let gateway = |attribute: &RouteAttribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        };
        attributes.iter().filter_map(gateway).collect()
    };
    let mut all = of(&route.attributes);
    for attribute in &route.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            all.extend(hops.iter().flat_map(|hop| of(&hop.attributes)));
        }
    }
    all
}

pub(super) fn route_by(via: IpAddr, interface: u32) -> RouteMessage {
    match via {
        IpAddr::V4(v4) => {
            let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(v4);
            route.output_interface(interface).table_id(TABLE).build()
        }
        IpAddr::V6(v6) => {
            let route = RouteMessageBuilder::<Ipv6Addr>::new().gateway(v6);
            route.output_interface(interface).table_id(TABLE).build()
        }
    }
}

/// A route of the kernel's without what it only reports.
pub(super) fn writable(mut route: RouteMessage) -> RouteMessage {
    route.header.flags = Default::default();
    route.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_)));
    route
}

/// Why answers do not go where a set-up says; none: they do.
pub(super) fn fault(netlink: &Netlink, answers: &Answers) -> Result<Option<String>, BackendError> {
    for via in &answers.via {
        let found = Found::look(netlink, via.is_ipv6())?;
        let by_rule = |port: &ServicePort| {
            let is_for = |rule: &RuleMessage| read(rule).is_some_and(|rule| rule.port == *port);
            found.gateway() == Some(*via) && found.rules.iter().any(is_for)
        };
        let lost = answers.ports.iter().find(|port| !by_rule(port));
        if found.leads_to(*via) && (found.rules.is_empty() || lost.is_none()) {
            continue;
        }
        let what = match lost {
            None if !answers.ports.is_empty() => continue,
            None => format!("the default route does not lead to {via} any more"),
            Some(port) if found.gateway() != Some(*via) => {
                format!(
                    "answers of {port} do not go through {via}: the route of table {TABLE} is gone"
                )
            }
            Some(port) => {
                format!("answers of {port} do not go through {via}: the rule for them is gone")
            }
        };
        return Ok(Some(format!(
            "{what}, as after an interface went down or systemd-networkd restarted \
             (ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no in networkd.conf keep them): run \
             `elb backend up` again"
        )));
    }
    Ok(None)
}

/// The next hops of the default routes, of both versions of IP.
pub(super) fn default_gateways() -> Result<Vec<IpAddr>, BackendError> {
    let netlink = Netlink::open()?;
    let of = |v6| Found::look(&netlink, v6).map(|found| found.default);
    Ok([of(false)?, of(true)?].concat())
}
