//! The backend server's side: an encapsulated packet for one of its virtual addresses loses its
//! outer headers, be they IP alone (`ipip`) or IP, UDP and GUE (`gue`). Everything else passes
//! untouched. A packet for one of them that does not come from a load balancer is dropped: any host that
//! could send one would walk around the load balancer's access control.
//!
//! What a router marked on the outer header is copied to the packet inside (RFC 6040 §4.2); its
//! DSCP stays. The outer UDP checksum is not looked at: the packet inside has its own.

use network_types::eth::EtherType;
use network_types::ip::IpProto;

use super::parse::{self, Family, Ip, V4, V6, part};
use super::wire::{Gue, Ipv4, Ipv6, Udp};
use super::{Packet, Stop};
use crate::addr::{Be16, Be32, Be128};
use crate::backend::GUE_PORT;
use crate::checksum;
use crate::reason::Reason;
use crate::tunnel_source::{mapped, words};

/// A backend server: its virtual addresses, and whom it takes packets for them from.
pub trait Server {
    /// Whether it serves this IPv4 address.
    fn has_v4(&self, address: Be32) -> bool;
    /// Whether it serves this IPv6 address.
    fn has_v6(&self, address: Be128) -> bool;
    /// Whether tunnel packets from this outer source are a load balancer's; an IPv4 address comes as
    /// the words of the IPv4-mapped one.
    fn trusts(&self, source: [u32; 4]) -> bool;
}

/// What became of a frame. The number is the index into `DECAP_COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwrapped {
    /// The outer header is gone.
    Yes = 0,
    /// The frame carries no encapsulated packet, or a broken one.
    NotEncapsulated = 1,
    /// The packet inside is for an address that is none of the server's.
    NotVip = 2,
    /// The driver would not let go of the outer header; the frame is useless.
    Failed = 3,
    /// A router met congestion on the way of a packet whose sender does not know such marks: it is
    /// dropped, which its sender knows (RFC 6040 §4.2).
    Congested = 4,
    /// The outer source is not one that the server takes packets from (`elb backend up --from`): it
    /// is dropped.
    UntrustedSource = 5,
}

impl Unwrapped {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Yes,
        Self::NotEncapsulated,
        Self::NotVip,
        Self::Failed,
        Self::Congested,
        Self::UntrustedSource,
    ];

    /// Stable name, for output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "unwrapped",
            Self::NotEncapsulated => "not_encapsulated",
            Self::NotVip => "not_vip",
            Self::Failed => "failed",
            Self::Congested => "congested",
            Self::UntrustedSource => "untrusted_source",
        }
    }

    /// What became of such frames, and why.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Yes => "outer headers taken off, passed to the service",
            Self::NotEncapsulated => "no tunnel packet, or a broken one: passed untouched",
            Self::NotVip => "for an address that is not served here: passed untouched",
            Self::Failed => "dropped: the driver could not remove the outer headers",
            Self::Congested => "dropped: congestion on the way, and the sender does not know ECN",
            Self::UntrustedSource => "dropped: the outer source is not in --from",
        }
    }
}

/// Removes the outer header of a packet for one of the virtual addresses of `server`.
#[inline(always)]
pub fn unwrap<P: Packet, S: Server>(packet: &mut P, server: &S) -> Unwrapped {
    outer(packet, server).unwrap_or(Unwrapped::NotEncapsulated)
}

#[inline(always)]
fn outer<P: Packet, S: Server>(packet: &mut P, server: &S) -> Result<Unwrapped, Stop> {
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    let link = parse::link(packet)?;
    let outer = match link.ethertype.raw() {
        IPV4 => {
            let ip = V4::parse(packet, link.end)?;
            Outer::of(&ip, mapped(ip.source))
        }
        IPV6 => {
            let ip = V6::parse(packet, link.end)?;
            Outer::of(&ip, words(ip.source))
        }
        _ => return Ok(Unwrapped::NotEncapsulated),
    };
    let (protocol, payload) = outer.carries(packet)?;
    let (ours, ecn, ethertype) = if protocol == V4::INNER_PROTOCOL {
        let inner: &Ipv4 = view(packet, payload)?;
        (server.has_v4(inner.destination), inner.tos & ECN, IPV4)
    } else if protocol == V6::INNER_PROTOCOL {
        let inner: &Ipv6 = view(packet, payload)?;
        (server.has_v6(inner.destination), class(inner) & ECN, IPV6)
    } else {
        return Ok(Unwrapped::NotEncapsulated);
    };
    if !ours {
        return Ok(Unwrapped::NotVip);
    }
    if !server.trusts(outer.source) {
        return Ok(Unwrapped::UntrustedSource);
    }
    if outer.ecn == CE && ecn == NOT_ECT {
        return Ok(Unwrapped::Congested);
    }
    let tags = link.tags(packet, 0);
    if packet.shrink_head((payload - link.end) as u32).is_none() {
        return Ok(Unwrapped::NotEncapsulated);
    }
    let (receiver, sender, ethertype) = (link.destination, link.source, Be16::from_raw(ethertype));
    let written =
        tags.and_then(|tags| link.write_tagged(packet, tags, receiver, sender, ethertype));
    let mark = combined(outer.ecn, ecn);
    let marked = if mark == ecn {
        Some(())
    } else if protocol == V4::INNER_PROTOCOL {
        mark_v4(packet, link.end, mark)
    } else {
        mark_v6(packet, link.end, mark)
    };
    Ok(if written.and(marked).is_some() { Unwrapped::Yes } else { Unwrapped::Failed })
}

/// What matters of an outer IP header.
struct Outer {
    protocol: u8,
    payload: usize,
    ecn: u8,
    source: [u32; 4],
}

impl Outer {
    /// A fragment carries no whole packet.
    #[inline(always)]
    fn of<A>(ip: &Ip<A>, source: [u32; 4]) -> Self {
        const NONE: u8 = IpProto::Ipv6NoNxt as u8;
        let protocol = if ip.fragment == part::WHOLE { ip.protocol } else { NONE };
        Self { protocol, payload: ip.payload, ecn: ip.tos & ECN, source }
    }

    /// Protocol and offset of what is inside, behind UDP and GUE if they are there. A GUE header
    /// with a version, options or flags that we do not send is not ours.
    #[inline(always)]
    fn carries<P: Packet>(&self, packet: &P) -> Result<(u8, usize), Stop> {
        const UDP: u8 = IpProto::Udp as u8;
        if self.protocol != UDP {
            return Ok((self.protocol, self.payload));
        }
        let udp: &Udp = view(packet, self.payload)?;
        if udp.destination != Be16::new(GUE_PORT) {
            return Err(Stop(Reason::OtherProtocol));
        }
        let gue: &Gue = view(packet, self.payload + size_of::<Udp>())?;
        if gue.variant_length != 0 || gue.flags != Be16::new(0) {
            return Err(Stop(Reason::OtherProtocol));
        }
        Ok((gue.protocol, self.payload + size_of::<Udp>() + size_of::<Gue>()))
    }
}

/// The ECN field (RFC 3168 §5): the lower two bits of DSCP and ECN.
const ECN: u8 = 0b11;
const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// The mark of the packet inside when it has left the tunnel (RFC 6040 §4.2, figure 4), where it is
/// not dropped.
#[inline(always)]
const fn combined(outer: u8, inner: u8) -> u8 {
    match (outer, inner) {
        (CE, _) => CE,
        (ECT_1, ECT_0) => ECT_1,
        _ => inner,
    }
}

#[inline(always)]
fn mark_v4<P: Packet>(packet: &mut P, offset: usize, mark: u8) -> Option<()> {
    let header: &mut Ipv4 = packet.view_mut(offset)?;
    let old = u16::from_ne_bytes([header.version_length, header.tos]);
    header.tos = header.tos & !ECN | mark;
    let new = u16::from_ne_bytes([header.version_length, header.tos]);
    header.checksum = checksum::replace(header.checksum, old, new);
    Some(())
}

#[inline(always)]
fn mark_v6<P: Packet>(packet: &mut P, offset: usize, mark: u8) -> Option<()> {
    let header: &mut Ipv6 = packet.view_mut(offset)?;
    let word = u32::from_be(header.version_class_label.raw());
    let marked = word & !(u32::from(ECN) << 20) | u32::from(mark) << 20;
    header.version_class_label = Be32::from_raw(marked.to_be());
    Some(())
}

/// The traffic class.
#[inline(always)]
fn class(header: &Ipv6) -> u8 {
    (u32::from_be(header.version_class_label.raw()) >> 20) as u8
}

/// A header of the packet inside: only its destination and its mark matter here, the rest is the
/// kernel's.
#[inline(always)]
fn view<P: Packet, H: bytemuck::Pod>(packet: &P, offset: usize) -> Result<&H, Stop> {
    packet.view(offset).ok_or(Stop(Reason::Truncated))
}
