//! What is sent: which kind and flow at each step, and what the headers of such a packet say.

use bytemuck::{Pod, Zeroable};
use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::checksum;
use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::hash;
use elb_common::path::wire::{Ethernet, Icmp, Ipv4, Ipv6, Tcp, Udp};
use network_types::eth::EtherType;

use crate::QUEUES;
use crate::kind::Kind;

/// Flows of each kind; a power of two.
pub const FLOWS: u32 = 1 << 14;
/// Steps after which the kinds repeat; a power of two.
pub const PATTERN: usize = 64;
/// Steps of a CPU after which everything repeats.
pub const ROUND: u32 = PATTERN as u32 * FLOWS / QUEUES;

/// Value of `TRAFFIC`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    /// Ethernet address of the load balancer.
    pub destination: Mac,
    /// Port that is forwarded.
    pub port: Be16,
    /// Ethernet address that frames come from.
    pub source: Mac,
    /// Port without a listener.
    pub closed_port: Be16,
    /// Port of a listener that is down.
    pub disabled_port: Be16,
    /// Port of a listener whose pool has no member.
    pub empty_port: Be16,
    /// The virtual address.
    pub vip_v4: Be32,
    /// An address that is not virtual.
    pub foreign_v4: Be32,
    /// Network of the clients; its last three bytes are zero.
    pub clients_v4: Be32,
    /// The virtual address.
    pub vip_v6: Be128,
    /// Network of the clients; its last three bytes are zero.
    pub clients_v6: Be128,
    /// Numbers of kinds, sent in turn.
    pub pattern: [u8; PATTERN],
}

/// A TCP header without options.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Segment {
    tcp: Tcp,
    window: Be16,
    checksum: u16,
    urgent: Be16,
}

/// An echo request.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Echo {
    icmp: Icmp,
    identifier: Be16,
    sequence: Be16,
}

/// What follows the headers.
pub type Payload = [u16; 8];

const HOP_LIMIT: u8 = 61;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const ETHERTYPE_EXPERIMENT: u16 = 0x88b5;

impl Traffic {
    /// The kind and the flow of a packet that a CPU sends. Every flow has one CPU that sends it, as
    /// network cards hand it to one; in [`ROUND`] steps of that CPU, each element of the pattern
    /// meets it once.
    #[inline(always)]
    pub fn plan(&self, cpu: u32, step: u64) -> Option<(Kind, u32)> {
        let place = step as usize % PATTERN;
        let turn = (step / PATTERN as u64) as u32;
        let kind = Kind::new(self.pattern[place])?;
        let scattered = scatter(turn.wrapping_add(place as u32 * 257));
        Some((kind, scattered * QUEUES + cpu % QUEUES))
    }

    /// Hash of the flow that a packet belongs to.
    #[inline(always)]
    pub fn hash(&self, kind: Kind, flow: u32) -> u32 {
        let ports = self.ports(kind, flow);
        if kind.is_v6() {
            let ip = self.ipv6(kind, flow);
            hash::flow_v6(&FlowKeyV6::new(ip.source, ip.destination, ports, ip.next_header))
        } else {
            let ip = self.ipv4(kind, flow);
            hash::flow_v4(&FlowKeyV4::new(ip.source, ip.destination, ports, ip.protocol))
        }
    }

    /// The Ethernet header.
    #[inline(always)]
    pub fn ethernet(&self, kind: Kind) -> Ethernet {
        let ethertype = match kind {
            Kind::NotIp => ETHERTYPE_EXPERIMENT.to_be(),
            _ if kind.is_v6() => EtherType::Ipv6 as u16,
            _ => EtherType::Ipv4 as u16,
        };
        Ethernet {
            destination: if matches!(kind, Kind::GroupMac) {
                Mac::new([0xff; 6])
            } else {
                self.destination
            },
            source: self.source,
            ethertype: Be16::from_raw(ethertype),
        }
    }

    /// The IPv4 header. Its identification is the number of the kind, its type of service differs
    /// from flow to flow.
    #[inline(always)]
    pub fn ipv4(&self, kind: Kind, flow: u32) -> Ipv4 {
        let length = (size_of::<Ipv4>() + carried(kind)) as u16;
        let too_long = u16::from(matches!(kind, Kind::Truncated));
        let header = Ipv4 {
            version_length: if matches!(kind, Kind::BadHeader) { 0x44 } else { 0x45 },
            tos: flow as u8,
            total_length: Be16::new(length + too_long),
            identification: Be16::new(kind as u16),
            fragment: Be16::new(if matches!(kind, Kind::Fragment) { 0x00b9 } else { 0x4000 }),
            ttl: HOP_LIMIT,
            protocol: kind.protocol(),
            checksum: 0,
            source: Be32::from_raw(self.clients_v4.raw() | client(kind, flow).to_be()),
            destination: if matches!(kind, Kind::Foreign) { self.foreign_v4 } else { self.vip_v4 },
        };
        Ipv4 { checksum: checksum::finish(sum(&header)), ..header }
    }

    /// The IPv6 header. Its flow label is the number of the kind, its traffic class differs from
    /// flow to flow.
    #[inline(always)]
    pub fn ipv6(&self, kind: Kind, flow: u32) -> Ipv6 {
        let word = 6 << 28 | (flow & 0xff) << 20 | kind as u32;
        let [a, b, c, d] = self.clients_v6.raw();
        Ipv6 {
            version_class_label: Be32::from_raw(word.to_be()),
            payload_length: Be16::new(carried(kind) as u16),
            next_header: kind.protocol(),
            hop_limit: HOP_LIMIT,
            source: Be128::from_raw([a, b, c, d | client(kind, flow).to_be()]),
            destination: self.vip_v6,
        }
    }

    /// The TCP header.
    #[inline(always)]
    pub fn segment(&self, kind: Kind, flow: u32) -> Segment {
        let ports = self.ports(kind, flow);
        Segment {
            tcp: Tcp {
                source: ports.source,
                destination: ports.destination,
                sequence: Be32::from_raw(flow.wrapping_mul(0x9e37_79b9)),
                acknowledgement: Be32::from_raw(!flow),
                offset: 5 << 4,
                flags: if kind.opens() { SYN } else { ACK },
            },
            window: Be16::new(512),
            checksum: mark(kind, flow),
            urgent: Be16::new(0),
        }
    }

    /// The UDP header.
    #[inline(always)]
    pub fn datagram(&self, kind: Kind, flow: u32) -> Udp {
        let ports = self.ports(kind, flow);
        Udp {
            source: ports.source,
            destination: ports.destination,
            length: Be16::new((size_of::<Udp>() + size_of::<Payload>()) as u16),
            checksum: mark(kind, flow),
        }
    }

    /// The echo request.
    #[inline(always)]
    pub fn echo(&self, kind: Kind, flow: u32) -> Echo {
        Echo {
            icmp: Icmp { kind: 8, code: 0, checksum: mark(kind, flow) },
            identifier: self.port,
            sequence: Be16::new(flow as u16),
        }
    }

    /// What follows the headers, different for each packet.
    #[inline(always)]
    pub fn payload(&self, kind: Kind, flow: u32) -> Payload {
        let word = mark(kind, flow);
        [word, !word, flow as u16, !flow as u16, word ^ 0x5555, kind as u16, 0, word]
    }

    /// The ports.
    #[inline(always)]
    pub fn ports(&self, kind: Kind, flow: u32) -> Ports {
        let destination = match kind {
            Kind::ClosedPort => self.closed_port,
            Kind::DisabledPort => self.disabled_port,
            Kind::EmptyPort => self.empty_port,
            _ => self.port,
        };
        Ports { source: Be16::new(0x8000 | flow.wrapping_mul(0x9e5) as u16), destination }
    }
}

/// Length of a frame of this kind.
pub const fn frame_length(kind: Kind) -> usize {
    let ip = if kind.is_v6() { size_of::<Ipv6>() } else { size_of::<Ipv4>() };
    size_of::<Ethernet>() + ip + carried(kind)
}

/// Length of the longest frame.
pub const MAX_LENGTH: usize = frame_length(Kind::TcpV6);

/// Sum of the words of an IPv4 header: all ones if its checksum is right.
#[inline(always)]
pub fn sum(header: &Ipv4) -> u32 {
    u32::from(u16::from_ne_bytes([header.version_length, header.tos]))
        + u32::from(header.total_length.raw())
        + u32::from(header.identification.raw())
        + u32::from(header.fragment.raw())
        + u32::from(u16::from_ne_bytes([header.ttl, header.protocol]))
        + u32::from(header.checksum)
        + checksum::add_u32(header.source.raw())
        + checksum::add_u32(header.destination.raw())
}

/// The flow that a client's address, as a host integer, belongs to.
#[inline(always)]
pub const fn flow_of(address: u32) -> u32 {
    address % FLOWS
}

/// Length of what the IP header is followed by.
#[inline(always)]
const fn carried(kind: Kind) -> usize {
    let header = match kind {
        Kind::Echo => size_of::<Echo>(),
        _ if kind.is_udp() => size_of::<Udp>(),
        _ => size_of::<Segment>(),
    };
    header + size_of::<Payload>()
}

/// The part of a client's address that distinguishes it from others.
#[inline(always)]
const fn client(kind: Kind, flow: u32) -> u32 {
    (kind.clients() as u32) << 16 | flow
}

/// A word that differs from packet to packet. It stands for transport checksums too, which no one
/// on the way has to know about: what matters is that they arrive as they were.
#[inline(always)]
const fn mark(kind: Kind, flow: u32) -> u16 {
    ((flow << 8 | kind as u32).wrapping_mul(0x9e37_79b1) >> 16) as u16
}

/// A bijection of `0..FLOWS / QUEUES`, so that neighbours in time are none in number.
#[inline(always)]
const fn scatter(number: u32) -> u32 {
    let mixed = number.wrapping_mul(0x2a65) % (FLOWS / QUEUES);
    mixed ^ mixed >> 7
}
