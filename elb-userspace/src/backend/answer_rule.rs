//! The rules by which answers take the table, as the kernel has them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::fmt;
use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::service_port::{PortText, ServicePort};
use crate::kernel::net::links::{ANSWERS_TABLE as TABLE, Netlink};
use crate::model::port_range::PortRange;
use crate::model::transport::TransportProtocol;

/// Before the rules of the main tables; after that of local addresses, which no rule precedes.
const PRIORITY: u32 = 91;

/// A rule by which answers take the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct AnswerRule {
    /// IPv6, or else IPv4.
    pub is_v6: bool,
    /// The source of answers; none: any.
    pub source: Option<IpAddr>,
    /// Their source ports.
    pub port: ServicePort,
}

impl AnswerRule {
    /// The rules for services at these addresses.
    pub(super) fn all(is_v6: bool, addresses: &[IpAddr], ports: &[ServicePort]) -> Vec<Self> {
        let sources = |port: &ServicePort| match port.protocol {
            TransportProtocol::Tcp => addresses.iter().copied().map(Some).collect(),
            TransportProtocol::Udp => vec![None],
        };
        let rules = |port: &ServicePort| -> Vec<Self> {
            let port = *port;
            sources(&port).into_iter().map(|source| Self { is_v6, source, port }).collect()
        };
        ports.iter().flat_map(rules).collect()
    }

    pub(super) fn message(self) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.header.family = family(self.is_v6);
        rule.header.action = RuleAction::ToTable;
        let protocol = match self.port.protocol {
            TransportProtocol::Tcp => IpProtocol::Tcp,
            TransportProtocol::Udp => IpProtocol::Udp,
        };
        let (start, end) = (self.port.ports.start_port(), self.port.ports.end_port());
        rule.attributes = vec![
            RuleAttribute::Priority(PRIORITY),
            // Packets of this host's own, not what it forwards.
            RuleAttribute::Iifname("lo".to_owned()),
            RuleAttribute::IpProtocol(protocol),
            RuleAttribute::SourcePortRange(RulePortRange { start, end }),
            RuleAttribute::Table(TABLE),
        ];
        if let Some(source) = self.source {
            rule.header.src_len = if self.is_v6 { 128 } else { 32 };
            rule.attributes.push(RuleAttribute::Source(source));
        }
        rule
    }

    /// Whether a rule of the kernel's is this one.
    pub(super) fn is(self, found: &RuleMessage) -> bool {
        let wanted = self.message();
        let (here, there) = (&wanted.header, &found.header);
        here.family == there.family
            && here.src_len == there.src_len
            && wanted.attributes.iter().all(|one| found.attributes.contains(one))
    }
}

impl fmt::Display for AnswerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.is_v6 { "ip -6" } else { "ip" };
        write!(f, "{version} rule")?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        let (protocol, ports) = (self.port.protocol.name(), PortText(self.port.ports));
        write!(f, " iif lo ipproto {protocol} sport {ports} lookup {TABLE}")
    }
}

impl Serialize for AnswerRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const fn family(is_v6: bool) -> AddressFamily {
    if is_v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

/// What a rule of the kernel's means; none, if it is not one of ours.
pub(super) fn read(message: &RuleMessage) -> Option<AnswerRule> {
    let is_v6 = message.header.family == AddressFamily::Inet6;
    let (mut source, mut protocol, mut ports) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => source = Some(*address),
            RuleAttribute::IpProtocol(IpProtocol::Tcp) => protocol = Some(TransportProtocol::Tcp),
            RuleAttribute::IpProtocol(IpProtocol::Udp) => protocol = Some(TransportProtocol::Udp),
            RuleAttribute::SourcePortRange(range) => ports = Some(*range),
            _ => {}
        }
    }
    let (protocol, ports) = (protocol?, ports?);
    let ports = PortRange::new(ports.start, ports.end).ok()?;
    Some(AnswerRule { is_v6, source, port: ServicePort { protocol, ports } })
}

/// Whether a set-up's rules are there.
pub(super) fn have_rules(netlink: &Netlink) -> bool {
    let ours = RuleAttribute::Table(TABLE);
    let any = |v6| {
        let rules = netlink.rules(v6).unwrap_or_default();
        rules.iter().any(|rule| rule.attributes.contains(&ours))
    };
    any(false) || any(true)
}
