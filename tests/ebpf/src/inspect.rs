//! A frame behind the load balancer: which backend it is for, which packet it carries, and whether
//! every byte is as it should be.

use bytemuck::Pod;
use elb_common::addr::{Be16, Mac};
use elb_common::backend::{Backend, OUTER_FRAGMENT, OUTER_TTL, mode};
use elb_common::checksum;
use elb_common::path::Packet;
use elb_common::path::wire::{Ethernet, Gue, Ipv4, Ipv6, Udp};
use network_types::eth::EtherType;
use network_types::ip::IpProto;

use crate::BACKENDS;
use crate::kind::{Kind, UDP};
use crate::traffic::{FLOWS, Segment, Traffic, flow_of, frame_length, sum};

/// An intact packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Id of the backend that it is for.
    pub backend: u32,
    /// Number of its kind.
    pub kind: u32,
    /// Its flow.
    pub flow: u32,
}

impl Arrival {
    /// Where it is counted in `ARRIVALS`.
    #[inline(always)]
    pub const fn index(&self) -> u32 {
        self.kind * FLOWS + self.flow
    }
}

/// What is wrong with a frame.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its Ethernet header is not one from the load balancer to a backend.
    Link = 1,
    /// It ends before its headers do.
    Short = 2,
    /// The outer header is not the one for this backend and packet.
    Outer = 3,
    /// The outer header's checksum is wrong.
    Checksum = 4,
    /// It is longer or shorter than the packet and what encapsulates it.
    Length = 5,
    /// Its kind is none that is forwarded.
    Kind = 6,
    /// The packet was changed on its way.
    Changed = 7,
}

impl Fault {
    /// All faults, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Link,
        Self::Short,
        Self::Outer,
        Self::Checksum,
        Self::Length,
        Self::Kind,
        Self::Changed,
    ];
}

/// Looks at a whole frame; `target` knows the backends by their id.
#[inline(always)]
pub fn inspect<'t, P: Packet>(
    packet: &P,
    traffic: &Traffic,
    target: impl FnOnce(u32) -> Option<&'t Backend>,
) -> Result<Arrival, Fault> {
    let ethernet: &Ethernet = view(packet, 0)?;
    let id = backend_id(ethernet.destination);
    let backend = target(id).ok_or(Fault::Link)?;
    if ethernet.destination != backend.next_hop || ethernet.source != backend.source {
        return Err(Fault::Link);
    }
    let (kind, flow) = match backend.mode {
        mode::L2 => inner(packet, traffic, LINK, ethernet.ethertype.raw())?,
        mode::IPIP_V4 | mode::GUE_V4 => in_v4(packet, traffic, backend, ethernet)?,
        mode::IPIP_V6 | mode::GUE_V6 => in_v6(packet, traffic, backend, ethernet)?,
        _ => return Err(Fault::Link),
    };
    Ok(Arrival { backend: id, kind: kind as u32, flow })
}

/// The number of a backend is the last byte of its Ethernet address.
#[inline(always)]
fn backend_id(address: Mac) -> u32 {
    u32::from(address.bytes()[5]) % BACKENDS
}

const LINK: usize = size_of::<Ethernet>();
const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
const IPV4_INSIDE: u8 = IpProto::Ipv4 as u8;
const IPV6_INSIDE: u8 = IpProto::Ipv6 as u8;

#[inline(always)]
fn in_v4<P: Packet>(
    packet: &P,
    traffic: &Traffic,
    backend: &Backend,
    ethernet: &Ethernet,
) -> Result<(Kind, u32), Fault> {
    let outer: &Ipv4 = view(packet, LINK)?;
    if checksum::fold(sum(outer)) != u16::MAX {
        return Err(Fault::Checksum);
    }
    if u32::from(outer.total_length.get()) + LINK as u32 != packet.length() {
        return Err(Fault::Length);
    }
    const OUTER: usize = LINK + size_of::<Ipv4>();
    let (protocol, payload) = tunnelled(packet, backend, outer.protocol, OUTER)?;
    let (kind, flow) = inner(packet, traffic, payload, inside(protocol)?)?;
    let hash = traffic.hash(kind, flow);
    let right = ethernet.ethertype.raw() == IPV4
        && tunnel_is_right(packet, backend, outer.protocol, OUTER, hash)?
        && outer.version_length == 0x45
        && outer.tos == flow as u8
        && outer.identification == Be16::new(0)
        && outer.fragment == Be16::new(OUTER_FRAGMENT)
        && outer.ttl == OUTER_TTL
        && outer.source == backend.outer_source_v4()
        && outer.destination == backend.address_v4();
    if right { Ok((kind, flow)) } else { Err(Fault::Outer) }
}

#[inline(always)]
fn in_v6<P: Packet>(
    packet: &P,
    traffic: &Traffic,
    backend: &Backend,
    ethernet: &Ethernet,
) -> Result<(Kind, u32), Fault> {
    const OUTER: usize = LINK + size_of::<Ipv6>();
    let outer: &Ipv6 = view(packet, LINK)?;
    if u32::from(outer.payload_length.get()) + OUTER as u32 != packet.length() {
        return Err(Fault::Length);
    }
    let (protocol, payload) = tunnelled(packet, backend, outer.next_header, OUTER)?;
    let (kind, flow) = inner(packet, traffic, payload, inside(protocol)?)?;
    let hash = traffic.hash(kind, flow);
    let word = 6 << 28 | (flow & 0xff) << 20 | hash >> 12;
    let right = ethernet.ethertype.raw() == IPV6
        && tunnel_is_right(packet, backend, outer.next_header, OUTER, hash)?
        && outer.version_class_label.raw() == word.to_be()
        && outer.hop_limit == OUTER_TTL
        && outer.source == backend.outer_source
        && outer.destination == backend.address;
    if right { Ok((kind, flow)) } else { Err(Fault::Outer) }
}

#[inline(always)]
fn is_gue(backend: &Backend) -> bool {
    matches!(backend.mode, mode::GUE_V4 | mode::GUE_V6)
}

/// Protocol and offset of the packet inside; `at` is the end of the outer IP header.
#[inline(always)]
fn tunnelled<P: Packet>(
    packet: &P,
    backend: &Backend,
    protocol: u8,
    at: usize,
) -> Result<(u8, usize), Fault> {
    if !is_gue(backend) {
        return Ok((protocol, at));
    }
    let gue: &Gue = view(packet, at + size_of::<Udp>())?;
    Ok((gue.protocol, at + size_of::<Udp>() + size_of::<Gue>()))
}

/// Whether the headers between, if there are to be some, are those of a packet whose flow has this
/// hash.
#[inline(always)]
fn tunnel_is_right<P: Packet>(
    packet: &P,
    backend: &Backend,
    protocol: u8,
    at: usize,
    hash: u32,
) -> Result<bool, Fault> {
    if !is_gue(backend) {
        return Ok(true);
    }
    let udp: &Udp = view(packet, at)?;
    let gue: &Gue = view(packet, at + size_of::<Udp>())?;
    Ok(protocol == UDP
        && udp.source == Be16::new(0xc000 | hash as u16)
        && udp.destination == Be16::new(6080)
        && u32::from(udp.length.get()) + at as u32 == packet.length()
        && udp.checksum == 0
        && gue.variant_length == 0
        && gue.flags == Be16::new(0))
}

/// The ethertype of what an outer header says that it carries.
#[inline(always)]
fn inside(protocol: u8) -> Result<u16, Fault> {
    match protocol {
        IPV4_INSIDE => Ok(IPV4),
        IPV6_INSIDE => Ok(IPV6),
        _ => Err(Fault::Outer),
    }
}

/// The packet itself: its header names kind and flow, from which all of it follows, but for the
/// hop that the load balancer is.
#[inline(always)]
fn inner<P: Packet>(
    packet: &P,
    traffic: &Traffic,
    at: usize,
    ethertype: u16,
) -> Result<(Kind, u32), Fault> {
    if !matches!(ethertype, IPV4 | IPV6) {
        return Err(Fault::Link);
    }
    if ethertype == IPV6 {
        let header: &Ipv6 = view(packet, at)?;
        let [.., last] = header.source.raw();
        let number = u32::from_be(header.version_class_label.raw()) as u8;
        let (kind, flow) = (forwarded(number, true)?, flow_of(u32::from_be(last)));
        let sent = traffic.ipv6(kind, flow);
        unchanged(*header == Ipv6 { hop_limit: sent.hop_limit - 1, ..sent })?;
        carried(packet, traffic, kind, flow, at, size_of::<Ipv6>())
    } else {
        let header: &Ipv4 = view(packet, at)?;
        let number = header.identification.get() as u8;
        let (kind, flow) = (forwarded(number, false)?, flow_of(u32::from_be(header.source.raw())));
        let sent = traffic.ipv4(kind, flow);
        let aged = Ipv4 { ttl: sent.ttl - 1, checksum: 0, ..sent };
        let checksum = checksum::finish(sum(&aged));
        unchanged(*header == Ipv4 { checksum, ..aged })?;
        carried(packet, traffic, kind, flow, at, size_of::<Ipv4>())
    }
}

#[inline(always)]
fn carried<P: Packet>(
    packet: &P,
    traffic: &Traffic,
    kind: Kind,
    flow: u32,
    at: usize,
    header: usize,
) -> Result<(Kind, u32), Fault> {
    if packet.length() != (at - LINK + frame_length(kind)) as u32 {
        return Err(Fault::Length);
    }
    let at = at + header;
    let payload = if kind.is_udp() {
        unchanged(*view::<P, Udp>(packet, at)? == traffic.datagram(kind, flow))?;
        at + size_of::<Udp>()
    } else {
        unchanged(*view::<P, Segment>(packet, at)? == traffic.segment(kind, flow))?;
        at + size_of::<Segment>()
    };
    unchanged(same(view(packet, payload)?, &traffic.payload(kind, flow)))?;
    Ok((kind, flow))
}

#[inline(always)]
fn forwarded(number: u8, v6: bool) -> Result<Kind, Fault> {
    let kind = Kind::new(number).ok_or(Fault::Kind)?;
    if kind.is_forwarded() && kind.is_v6() == v6 { Ok(kind) } else { Err(Fault::Kind) }
}

/// Compares word by word: a comparison of arrays would become a call of `memcmp`.
#[inline(always)]
fn same<const N: usize>(one: &[u16; N], other: &[u16; N]) -> bool {
    (0..N).fold(0, |difference, i| difference | (one[i] ^ other[i])) == 0
}

#[inline(always)]
fn unchanged(equal: bool) -> Result<(), Fault> {
    if equal { Ok(()) } else { Err(Fault::Changed) }
}

#[inline(always)]
fn view<P: Packet, H: Pod>(packet: &P, at: usize) -> Result<&H, Fault> {
    packet.view(at).ok_or(Fault::Short)
}
