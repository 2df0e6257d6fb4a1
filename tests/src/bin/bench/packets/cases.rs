//! What is measured, and how good is good enough.

use crate::world::{Kind, To};

/// What a bar is a multiple of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    Floor,
    /// Another case, named before.
    Case(&'static str),
    /// The same case, with a program that does not count connections. The bar is a difference, in nanoseconds.
    Uncounted,
}

/// What becomes of records in the flow tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// None is created.
    None,
    /// All flows live and are recorded before: by a SYN, which opens them, and by a packet after it.
    Before,
    /// Nearly every packet creates one, of a flow that opens, or finds no room for one.
    Created,
    /// None is created: all flows have ports of source addresses, which they got before.
    Bound,
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub kind: Kind,
    pub to: To,
    /// A power of two.
    pub flows: u32,
    pub records: Records,
    /// Whether it meets the program that writes the flow log, which is on.
    pub is_logged: bool,
    pub bar: Option<(f64, Against)>,
}

const ONE_FLOW: &str = "TCP, one flow";
const ONE_L2: &str = "l2, one flow";
const ONE_NAT: &str = "nat, one flow";
const NATS: &str = "nat, 1,048,576 flows";
const ONE_SYN: &str = "SYN, one flow";
const M: u32 = 1 << 20;

const fn case(name: &'static str, kind: Kind, to: To, flows: u32) -> Case {
    Case { name, kind, to, flows, records: Records::None, is_logged: false, bar: None }
}

impl Case {
    const fn records(self, records: Records) -> Self {
        Self { records, ..self }
    }

    const fn logged(self) -> Self {
        Self { is_logged: true, ..self }
    }

    /// May cost so many times the floor.
    const fn floors(self, multiple: f64) -> Self {
        Self { bar: Some((multiple, Against::Floor)), ..self }
    }

    /// May cost so many times another case.
    const fn times(self, multiple: f64, other: &'static str) -> Self {
        Self { bar: Some((multiple, Against::Case(other))), ..self }
    }

    /// May cost so many nanoseconds more than without the counters of connections.
    const fn counts_for(self, nanoseconds: f64) -> Self {
        Self { bar: Some((nanoseconds, Against::Uncounted)), ..self }
    }
}

pub const CASES: &[Case] = &[
    case(ONE_FLOW, Kind::Data, To::Ipip, 1).floors(1.3),
    case("TCP, 65,536 flows", Kind::Data, To::Ipip, 1 << 16),
    case("TCP, 1,048,576 flows", Kind::Data, To::Ipip, M).times(1.1, ONE_FLOW),
    case("TCP, 16,777,216 flows", Kind::Data, To::Ipip, 1 << 24),
    case(ONE_SYN, Kind::Syn, To::Ipip, 1),
    case("SYN flood, 1,048,576 sources", Kind::Syn, To::Ipip, M).times(1.15, ONE_SYN),
    case("all slots moving, one flow", Kind::Data, To::Moving, 1).records(Records::Before),
    case("all slots moving, 1,048,576 flows", Kind::Data, To::Moving, M)
        .records(Records::Before)
        .times(10.0, ONE_FLOW),
    case("all slots moving, SYN flood, 1,048,576 sources", Kind::Syn, To::Moving, M)
        .records(Records::Created),
    case("all slots moving, ACK flood, 1,048,576 sources", Kind::Data, To::Moving, M)
        .records(Records::Created),
    case("ROUND_ROBIN, one flow", Kind::Data, To::InTurn, 1).records(Records::Before),
    case("ROUND_ROBIN, 1,048,576 flows", Kind::Data, To::InTurn, M).records(Records::Before),
    case("ROUND_ROBIN, SYN flood, 16,777,216 sources", Kind::Syn, To::InTurn, 1 << 24)
        .records(Records::Created),
    case("UDP, one flow", Kind::Udp, To::Ipip, 1),
    case("UDP, 1,048,576 flows", Kind::Udp, To::Ipip, M),
    case("QUIC by connection id, one connection", Kind::Quic, To::Quic, 1),
    case("QUIC by connection id, 1,048,576 connections", Kind::Quic, To::Quic, M),
    case("IPv6 in IPv6, one flow", Kind::Data, To::IpipV6, 1).floors(1.6),
    case("IPv6 in IPv6, 1,048,576 flows", Kind::Data, To::IpipV6, M),
    case("gue, one flow", Kind::Data, To::Gue, 1).floors(1.4),
    case("gue, 1,048,576 flows", Kind::Data, To::Gue, M),
    case(ONE_L2, Kind::Data, To::L2, 1),
    case("l2, 1,048,576 flows", Kind::Data, To::L2, M),
    case(ONE_NAT, Kind::Data, To::Nat, 1).times(1.15, ONE_L2),
    case(NATS, Kind::Data, To::Nat, M).times(1.15, ONE_NAT),
    case("nat, answers, one flow", Kind::Data, To::Back, 1).times(1.0, ONE_NAT),
    case("nat, answers, 1,048,576 flows", Kind::Data, To::Back, M).times(0.8, NATS),
    case("nat, SYN flood, 1,048,576 sources", Kind::Syn, To::Nat, M),
    case("fullnat, one flow", Kind::Data, To::FullNat, 1).records(Records::Bound).floors(1.8),
    case("fullnat, 1,048,576 flows", Kind::Data, To::FullNat, M).records(Records::Bound),
    case("fullnat, answers, one flow", Kind::Data, To::FullBack, 1)
        .records(Records::Bound)
        .floors(1.4),
    case("fullnat, answers, 1,048,576 flows", Kind::Data, To::FullBack, M).records(Records::Bound),
    case("IPv6 nat, one flow", Kind::Data, To::NatV6, 1),
    case("IPv6 nat, answers, 1,048,576 flows", Kind::Data, To::BackV6, M),
    case("nat46, one flow", Kind::Data, To::Nat46, 1).times(1.15, ONE_FLOW),
    case("nat46, 1,048,576 flows", Kind::Data, To::Nat46, M),
    case("nat46, answers, one flow", Kind::Data, To::Back46, 1).times(0.9, ONE_L2),
    case("nat46, answers, 1,048,576 flows", Kind::Data, To::Back46, M),
    case("TCP, access control with 300 entries, one flow", Kind::Data, To::Listed, 1).floors(2.0),
    case("SYN, access control with 300 entries, one flow", Kind::Syn, To::Listed, 1).floors(1.8),
    case("SYN, access control with 300 entries, 1,048,576 flows", Kind::Syn, To::Listed, M),
    case("flow log on: TCP, one flow", Kind::Data, To::Ipip, 1).logged().times(1.15, ONE_FLOW),
    case("flow log on: TCP, 1,048,576 flows", Kind::Data, To::Ipip, M).logged(),
    case("flow log on: SYN flood, 1,048,576 sources", Kind::Syn, To::Ipip, M).logged(),
    case("counters of connections: TCP, one flow", Kind::Data, To::Ipip, 1).counts_for(1.0),
    case("counters of connections: TCP, 1,048,576 flows", Kind::Data, To::Ipip, M).counts_for(1.0),
    case("counters of connections: SYN, one flow", Kind::Syn, To::Ipip, 1).counts_for(5.0),
    case("not for a virtual address: pass", Kind::Data, To::Foreign, 1 << 16).floors(0.4),
    case("from a member, no answer: pass", Kind::Data, To::MembersOwn, 1 << 16),
];
