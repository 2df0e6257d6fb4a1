//! What is known of a packet of a probe.

use std::net::IpAddr;

use super::field::{Field, Value};
use super::names;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To this host.
    In,
    /// From this host.
    Out,
}

/// What connection tracking knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackingState {
    /// It opens a connection.
    New,
    /// It belongs to one.
    Established,
    /// Connection tracking leaves it alone: neighbour discovery.
    Untracked,
    /// Rules may have kept it from tracking.
    Unknown,
}

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortInterval(pub u16, pub u16);

impl PortInterval {
    /// A port that was not chosen.
    pub const EPHEMERAL: Self = Self(1024, u16::MAX);
    /// Any.
    pub const ANY: Self = Self(0, u16::MAX);

    /// One port; any, if it is not known.
    pub fn of(port: Option<u16>) -> Self {
        port.map_or(Self::ANY, |port| Self(port, port))
    }
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterPacket {
    /// Which way it goes.
    pub direction: Direction,
    /// Whether it is of IPv6.
    pub v6: bool,
    /// Where it comes from, if that is known.
    pub source: Option<IpAddr>,
    /// Where it goes, if that is known.
    pub destination: Option<IpAddr>,
    /// The transport protocol.
    pub protocol: u8,
    /// The source port; none, if the protocol has no ports.
    pub source_port: Option<PortInterval>,
    /// The destination port; none, if the protocol has no ports.
    pub destination_port: Option<PortInterval>,
    /// The flags of a TCP segment.
    pub tcp_flags: Option<u8>,
    /// The type of an ICMP message; the code is 0.
    pub icmp_type: Option<u8>,
    /// What connection tracking knows of it.
    pub state: TrackingState,
    /// The interface that it comes in or leaves by, if that is known.
    pub interface: Option<String>,
    /// Whether its connection has had another address or port, if that is known.
    pub translated: Option<bool>,
    /// The packet mark, if that is known.
    pub mark: Option<u32>,
    /// Whether there is a route back to the source.
    pub way_back: Option<bool>,
}

impl FilterPacket {
    /// What it has in a field.
    pub fn value(&self, field: Field) -> Value {
        let inbound = self.direction == Direction::In;
        match field {
            Field::Source4 => self.address(self.source, false),
            Field::Destination4 => self.address(self.destination, false),
            Field::Source6 => self.address(self.source, true),
            Field::Destination6 => self.address(self.destination, true),
            Field::Version => Value::known(Some(if self.v6 { 10 } else { 2 })),
            Field::Protocol4 if self.v6 => Value::Absent,
            Field::Protocol6 if !self.v6 => Value::Absent,
            Field::Protocol | Field::Protocol4 | Field::Protocol6 => {
                Value::known(Some(self.protocol.into()))
            }
            Field::SourcePort(protocol) => self.port(self.source_port, protocol),
            Field::DestinationPort(protocol) => self.port(self.destination_port, protocol),
            Field::TcpFlags => optional(self.tcp_flags),
            Field::IcmpType(protocol) => self.icmp(protocol, self.icmp_type),
            Field::IcmpCode(protocol) => self.icmp(protocol, self.icmp_type.map(|_| 0)),
            // What comes in has no way out yet; what goes out came in by none.
            Field::In if inbound => self.interface(),
            Field::Out if !inbound => self.interface(),
            Field::In | Field::Out => Value::Name(String::new()),
            Field::State => self.state(),
            Field::Reply if self.state == TrackingState::Unknown => Value::Any,
            Field::Reply => Value::known(Some((!inbound).into())),
            Field::Translated => Value::known(self.translated.map(u128::from)),
            Field::Mark => Value::known(self.mark.map(u128::from)),
            Field::DestinationType if self.is_multicast() => {
                Value::known(Some(names::ROUTE_MULTICAST))
            }
            Field::DestinationType if inbound => Value::known(Some(names::ROUTE_LOCAL)),
            Field::DestinationType => Value::Any,
            Field::WayBack => Value::known(self.way_back.map(u128::from)),
            Field::Addressee => {
                Value::known(inbound.then_some(if self.is_multicast() { 2 } else { 0 }))
            }
            Field::Fragment => Value::known(Some(0)),
        }
    }

    fn address(&self, address: Option<IpAddr>, v6: bool) -> Value {
        match (address, self.v6 == v6) {
            (_, false) => Value::Absent,
            (None, true) => Value::Any,
            (Some(address), true) => Value::known(Some(number(address))),
        }
    }

    fn port(&self, port: Option<PortInterval>, protocol: Option<u8>) -> Value {
        match port {
            Some(PortInterval(low, high))
                if protocol.is_none_or(|protocol| protocol == self.protocol) =>
            {
                Value::Between(low.into(), high.into())
            }
            Some(_) | None => Value::Absent,
        }
    }

    fn icmp(&self, protocol: u8, value: Option<u8>) -> Value {
        if protocol == self.protocol { optional(value) } else { Value::Absent }
    }

    fn is_multicast(&self) -> bool {
        self.destination.is_some_and(|address| address.is_multicast())
    }

    fn interface(&self) -> Value {
        self.interface.clone().map_or(Value::Any, Value::Name)
    }

    fn state(&self) -> Value {
        match self.state {
            TrackingState::New => Value::known(names::ct_state("new")),
            TrackingState::Established => Value::known(names::ct_state("established")),
            TrackingState::Untracked => Value::known(names::ct_state("untracked")),
            TrackingState::Unknown => Value::Any,
        }
    }
}

fn optional(value: Option<u8>) -> Value {
    value.map_or(Value::Absent, |value| Value::known(Some(value.into())))
}

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}
