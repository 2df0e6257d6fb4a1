//! What is measured, and how good is good enough.

/// A kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP data.
    Data,
    /// A TCP SYN.
    Syn,
    /// UDP.
    Udp,
}

/// Which listener the packets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// IPv4, ipip in IPv4, ring settled.
    Ipip,
    /// The same with all slots moving.
    Moving,
    /// IPv4 by l2.
    L2,
    /// IPv6, ipip in IPv6.
    IpipV6,
    /// An address that is not virtual.
    Foreign,
}

/// What a bar is a multiple of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    Floor,
    /// Another case, named before.
    Case(&'static str),
}

#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    pub to: To,
    /// A power of two.
    pub flows: u32,
    /// All flows are recorded before, by a SYN each.
    pub recorded: bool,
    pub against: Against,
    pub bar: Option<f64>,
}

const ONE_FLOW: &str = "tcp v4 ipip, one flow";
const ONE_SYN: &str = "syn v4 ipip, one flow";
const ONE_MOVING: &str = "tcp v4 ipip, all slots moving, one flow";
const M: u32 = 1 << 20;

const fn case(name: &'static str, kind: Kind, to: To, flows: u32) -> Case {
    Case { name, kind, to, flows, recorded: false, against: Against::Floor, bar: None }
}

pub const CASES: &[Case] = &[
    Case { bar: Some(1.5), ..case(ONE_FLOW, Kind::Data, To::Ipip, 1) },
    case("tcp v4 ipip, 65,536 flows", Kind::Data, To::Ipip, 1 << 16),
    Case {
        against: Against::Case(ONE_FLOW),
        bar: Some(1.15),
        ..case("tcp v4 ipip, 1,048,576 flows", Kind::Data, To::Ipip, M)
    },
    case("tcp v4 ipip, 16,777,216 flows", Kind::Data, To::Ipip, 1 << 24),
    case(ONE_SYN, Kind::Syn, To::Ipip, 1),
    Case {
        against: Against::Case(ONE_SYN),
        bar: Some(1.15),
        ..case("syn flood v4 ipip, 1,048,576 sources", Kind::Syn, To::Ipip, M)
    },
    Case { recorded: true, ..case(ONE_MOVING, Kind::Data, To::Moving, 1) },
    Case {
        recorded: true,
        against: Against::Case(ONE_MOVING),
        bar: Some(10.0),
        ..case("tcp v4 ipip, all slots moving, 1,048,576 flows", Kind::Data, To::Moving, M)
    },
    case("udp v4 ipip, 65,536 flows", Kind::Udp, To::Ipip, 1 << 16),
    Case { bar: Some(2.0), ..case("tcp v6 ipip, one flow", Kind::Data, To::IpipV6, 1) },
    case("tcp v6 ipip, 1,048,576 flows", Kind::Data, To::IpipV6, M),
    case("tcp v4 l2, one flow", Kind::Data, To::L2, 1),
    case("not for a virtual address: pass", Kind::Data, To::Foreign, 1 << 16),
];
