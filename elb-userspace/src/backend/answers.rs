//! Answers through the load balancer (`--mode nat`): a routing table of its own with a default route, and rules
//! that choose it by the port that answers come from. Everything else that this host sends keeps its route.
//!
//! A rule for TCP also compares the source, so that a service at another address of this host keeps its route.
//! One for UDP does not: a server that takes datagrams at any address has none yet when the kernel chooses the
//! route, and the kernel asks no second time.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::RuleMessage;

use super::BackendError;
use super::answer_routes::{Found, gateways, route_by, writable};
use super::answer_rule::{AnswerRule, read};
use super::plan::Host;
use super::report::Step;
use super::service_port::ServicePort;
use super::wanted_answers::Answers;
use crate::kernel::net::links::{ANSWERS_TABLE as TABLE, Address, Link, Netlink};
use crate::model::ipgroup::Cidr;

/// Fails where an address cannot be the next hop of answers.
pub(super) fn check(via: &[IpAddr]) -> Result<(), BackendError> {
    for (place, one) in via.iter().enumerate() {
        let is_link_local = match one {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
        };
        if is_link_local || one.is_unspecified() || one.is_loopback() || one.is_multicast() {
            return Err(BackendError::NoGateway(*one));
        }
        let same = via.iter().take(place).find(|other| other.is_ipv4() == one.is_ipv4());
        if let Some(other) = same {
            return Err(BackendError::TwoGateways(*other, *one));
        }
    }
    Ok(())
}

/// What is to be done for answers.
pub(super) struct AnswerPlan {
    /// What is to be in the end.
    pub(super) answers: Answers,
    ways: Vec<Way>,
}

/// Answers of one version of IP.
struct Way {
    via: Option<IpAddr>,
    interface: u32,
    rules: Vec<AnswerRule>,
    found: Found,
}

impl AnswerPlan {
    /// What is to be done so that `answers` are as they say; `interface` is the one that packets come in by.
    pub(super) fn new(
        host: &Host,
        interface: &Link,
        answers: Answers,
    ) -> Result<Self, BackendError> {
        let ways = [false, true].map(|v6| Way::new(host, interface, &answers, v6));
        let ways = ways.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Self { answers, ways })
    }

    /// Whether IPv4 answers go by rules, so that strict reverse path filtering would drop what they answer.
    pub(super) fn needs_v4_rules(&self) -> bool {
        let needs = |way: &Way| {
            let is_v4 = way.via.is_some_and(|via| via.is_ipv4());
            is_v4 && !way.is_default() && !way.rules.is_empty()
        };
        self.ways.iter().any(needs)
    }

    /// Does it. What each step would take to undo is in `undo`, also where a later step fails.
    pub(super) fn carry_out(
        &self,
        netlink: &Netlink,
        steps: &mut Vec<Step>,
        undo: &mut Vec<AnswerUndo>,
    ) -> Result<(), BackendError> {
        self.ways.iter().try_for_each(|way| way.carry_out(netlink, steps, undo))
    }
}

impl Way {
    fn new(
        host: &Host,
        interface: &Link,
        answers: &Answers,
        v6: bool,
    ) -> Result<Self, BackendError> {
        let found = Found::look(&host.netlink, v6)?;
        let via = answers.via(v6);
        let mut way = Self { via, interface: interface.index, rules: Vec::new(), found };
        let Some(via) = via else { return Ok(way) };
        if host.addresses.iter().any(|address| address.ip == via) {
            return Err(BackendError::OwnGateway(via));
        }
        let own =
            |address: &&Address| address.index == interface.index && address.ip.is_ipv6() == v6;
        let own = || host.addresses.iter().filter(own);
        if !own().any(|address| covers(address.ip, address.prefix, via)) {
            return Err(BackendError::FarGateway { via, interface: interface.name.clone() });
        }
        if answers.ports.is_empty() && !way.found.leads_to(via) {
            return Err(BackendError::NoPort { via, default: way.found.default.clone() });
        }
        let sources: Vec<IpAddr> =
            own().map(|address| address.ip).filter(|ip| !is_of_link(*ip)).collect();
        way.rules = AnswerRule::all(v6, &sources, &answers.ports);
        Ok(way)
    }

    fn carry_out(
        &self,
        netlink: &Netlink,
        steps: &mut Vec<Step>,
        undo: &mut Vec<AnswerUndo>,
    ) -> Result<(), BackendError> {
        let needed = match self.via {
            Some(via) if self.is_default() => {
                steps.push(Step::DefaultRoute { via });
                return Ok(());
            }
            // Whose ports are none any more.
            Some(via) if !self.rules.is_empty() => Some(via),
            _ => None,
        };
        if let Some(via) = needed {
            self.set_route(netlink, via, steps, undo)?;
            for rule in &self.rules {
                self.set_rule(netlink, *rule, steps, undo)?;
            }
        }
        let kept = |found: &&RuleMessage| self.rules.iter().any(|rule| rule.is(found));
        for found in self.found.rules.iter().filter(|found| !kept(found)) {
            remove_rule(netlink, found.clone(), steps)?;
            undo.push(AnswerUndo::AddRule(found.clone()));
        }
        match (&self.found.route, needed) {
            (Some(route), None) => remove_route(netlink, route, self.found.gateway(), steps, undo),
            _ => self.check_rules(netlink),
        }
    }

    /// Whether the default route leads there, and nothing is needed.
    fn is_default(&self) -> bool {
        let nothing_of_ours = self.found.route.is_none() && self.found.rules.is_empty();
        nothing_of_ours && self.via.is_some_and(|via| self.found.leads_to(via))
    }

    fn set_route(
        &self,
        netlink: &Netlink,
        via: IpAddr,
        steps: &mut Vec<Step>,
        undo: &mut Vec<AnswerUndo>,
    ) -> Result<(), BackendError> {
        let was = self.found.gateway();
        let by = |route: &RouteMessage| {
            route.attributes.contains(&RouteAttribute::Oif(self.interface)) && was == Some(via)
        };
        if self.found.route.as_ref().is_some_and(by) {
            steps.push(Step::RouteAlready { via, table: TABLE });
            return Ok(());
        }
        let route = route_by(via, self.interface);
        let refused = |error| BackendError::AnswerRoute { via, error };
        netlink.replace_route(route.clone()).map_err(refused)?;
        undo.push(AnswerUndo::Route { now: route, was: self.found.route.clone() });
        steps.push(Step::RouteSet { via, table: TABLE, was });
        Ok(())
    }

    fn set_rule(
        &self,
        netlink: &Netlink,
        rule: AnswerRule,
        steps: &mut Vec<Step>,
        undo: &mut Vec<AnswerUndo>,
    ) -> Result<(), BackendError> {
        if self.found.has(rule) {
            steps.push(Step::RuleAlready { rule });
            return Ok(());
        }
        let refused = |error| BackendError::Rule { rule: rule.to_string(), doing: "add", error };
        netlink.add_rule(rule.message()).map_err(refused)?;
        undo.push(AnswerUndo::RemoveRule(rule.message()));
        steps.push(Step::RuleAdded { rule });
        Ok(())
    }

    /// A kernel before 4.17 takes rules with ports, and leaves the ports out.
    fn check_rules(&self, netlink: &Netlink) -> Result<(), BackendError> {
        let Some(first) = self.rules.first() else { return Ok(()) };
        let found = Found::look(netlink, first.is_v6)?;
        match self.rules.iter().find(|rule| !found.has(**rule)) {
            Some(rule) => Err(BackendError::RuleIgnored(rule.to_string())),
            None => Ok(()),
        }
    }
}

fn remove_route(
    netlink: &Netlink,
    route: &RouteMessage,
    via: Option<IpAddr>,
    steps: &mut Vec<Step>,
    undo: &mut Vec<AnswerUndo>,
) -> Result<(), BackendError> {
    let via = via.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    netlink
        .remove_route(route.clone())
        .map_err(|error| BackendError::AnswerRoute { via, error })?;
    undo.push(AnswerUndo::Route { now: route.clone(), was: Some(route.clone()) });
    steps.push(Step::RouteRemoved { via, table: TABLE });
    Ok(())
}

/// Takes away the rules of these ports, or of all, and with the last rule the route.
pub(super) fn remove(
    netlink: &Netlink,
    ports: Option<&[ServicePort]>,
    steps: &mut Vec<Step>,
) -> Result<(), BackendError> {
    let is_asked = |rule: &RuleMessage| match (ports, read(rule)) {
        (None, _) => true,
        (Some(ports), rule) => rule.is_some_and(|rule| ports.contains(&rule.port)),
    };
    for v6 in [false, true] {
        let found = Found::look(netlink, v6)?;
        let (gone, left): (Vec<_>, Vec<_>) =
            found.rules.iter().cloned().partition(|rule| is_asked(rule));
        for rule in gone {
            remove_rule(netlink, rule, steps)?;
        }
        if let Some(route) = found.route.as_ref().filter(|_| left.is_empty()) {
            remove_route(netlink, route, found.gateway(), steps, &mut Vec::new())?;
        }
    }
    Ok(())
}

fn remove_rule(
    netlink: &Netlink,
    message: RuleMessage,
    steps: &mut Vec<Step>,
) -> Result<(), BackendError> {
    let rule = read(&message).map_or_else(|| "a rule".to_owned(), |rule| rule.to_string());
    let refused = |error| BackendError::Rule { rule: rule.clone(), doing: "remove", error };
    netlink.remove_rule(message).map_err(refused)?;
    steps.push(Step::RuleRemoved { rule });
    Ok(())
}

/// How to undo a step.
pub(super) enum AnswerUndo {
    /// A rule was added.
    RemoveRule(RuleMessage),
    /// A rule was removed.
    AddRule(RuleMessage),
    /// A route was put in the place of another, or of none.
    Route { now: RouteMessage, was: Option<RouteMessage> },
}

impl AnswerUndo {
    /// Undoes it.
    pub(super) fn take_back(self, netlink: &Netlink) -> Result<Step, BackendError> {
        let text = |rule: &RuleMessage| read(rule).map(|rule| rule.to_string()).unwrap_or_default();
        match self {
            Self::RemoveRule(message) => {
                let rule = text(&message);
                remove_rule(netlink, message, &mut Vec::new())?;
                Ok(Step::RuleRemoved { rule })
            }
            Self::AddRule(message) => {
                let rule = text(&message);
                let refused =
                    |error| BackendError::Rule { rule: rule.clone(), doing: "add", error };
                netlink.add_rule(message).map_err(refused)?;
                Ok(Step::RuleRestored { rule })
            }
            Self::Route { now, was } => {
                let via = gateways(&now).first().copied();
                let via = via.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let refused = |error| BackendError::AnswerRoute { via, error };
                match was {
                    Some(was) => {
                        let before = gateways(&was).first().copied();
                        netlink.replace_route(writable(was)).map_err(refused)?;
                        let via = before.unwrap_or(via);
                        Ok(Step::RouteSet { via, table: TABLE, was: None })
                    }
                    None => {
                        netlink.remove_route(now).map_err(refused)?;
                        Ok(Step::RouteRemoved { via, table: TABLE })
                    }
                }
            }
        }
    }
}

/// Whether `other` is in the network of an address.
fn covers(address: IpAddr, prefix: u8, other: IpAddr) -> bool {
    let network = Cidr::of(address, prefix);
    network.is_some() && network == Cidr::of(other, prefix)
}

/// Whether an address counts on its link only.
fn is_of_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The interface that an address is a neighbour on.
pub(super) fn interface_to(via: IpAddr) -> Result<String, BackendError> {
    let host = Host::look()?;
    let mut near = host.addresses.iter().filter(|address| {
        address.ip.is_ipv6() == via.is_ipv6() && covers(address.ip, address.prefix, via)
    });
    let on = near.next().map(|address| host.name(address.index));
    on.ok_or(BackendError::NoWayToGateway(via))
}

#[cfg(test)]
mod tests;
