//! Answers of members whose packets are translated: they come to us, since we are the members' route to their
//! clients, and get the virtual address back. No flow is looked for: the member's address, port and protocol
//! say which listener it is.

use super::translate::{self, Address, Port, end};
use super::{Family, Ip, Link, Packet, Stop, Tables, classify, forward};
use crate::addr::Be16;
use crate::client_hop::hop_kind;
use crate::flow::Ports;
use crate::reason::Reason;
use crate::reply::{Reply, reply_flags};

/// In the place of a listener, where an answer is a probe's: any number but 0.
const PROBED: u16 = 1;

/// Whether a packet may be the answer of a member. Its sender is read again: an address that is kept until then takes
/// too much of the BPF stack.
#[inline(always)]
pub(super) fn may_be<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, link: &Link) -> bool {
    F::addresses(packet, link.end).is_ok_and(|(source, _)| F::may_be_member(tables, source))
}

/// An answer that was translated back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Back {
    /// The interface that it leaves by, or [`forward::KERNEL`].
    pub ifindex: u32,
    /// Id of the listener that it is counted by.
    pub listener: u16,
    /// Id of the backend that it is counted by; 0: it answers a probe, and is not counted.
    pub backend: u16,
}

/// Why a packet was not translated back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBack {
    /// Why.
    pub reason: Reason,
    /// How large it might be, where it is too big; 0 otherwise.
    pub mtu: u16,
}

impl From<Stop> for NotBack {
    #[inline(always)]
    fn from(Stop(reason): Stop) -> Self {
        Self { reason, mtu: 0 }
    }
}

/// The rest of the way of what may be the answer of a member: the interface that it leaves by.
#[inline(always)]
pub(super) fn leaves<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    endpoint: u32,
    received: u64,
) -> Result<u32, Stop> {
    match tables.reply::<F, P>(packet, link, ip, endpoint) {
        Ok(Back { ifindex, backend: 0, .. }) => Ok(ifindex),
        Ok(Back { ifindex, listener, backend }) => {
            tables.count_reply(listener, backend, received);
            Ok(ifindex)
        }
        Err(NotBack { reason, mtu: 0 }) => Err(Stop(reason)),
        Err(NotBack { mtu, .. }) => Err(Stop(tables.too_big::<F, P>(packet, mtu))),
    }
}

/// What is not for a virtual address, and may be the answer of a member at this endpoint: it is translated, and sent
/// to its client.
#[inline(always)]
pub(super) fn packet<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    endpoint: u32,
) -> Result<Back, NotBack> {
    let (port, protocol) = (Be16::from_raw(endpoint as u16), (endpoint >> 16) as u8);
    let reply =
        F::reply(tables, ip.source, port, protocol).ok_or_else(|| Stop::because(Reason::NotVip))?;
    classify::addressed(packet, tables, link)?;
    if !is_from_member(packet, link, reply) {
        return Err(Stop::because(Reason::ReplyUnknown).into());
    }
    back::<F, P, T>(packet, tables, link, ip, reply)
}

/// Whether the frame came the way that the member's packets come. Otherwise anybody could send with a virtual
/// address as sender through us.
#[inline(always)]
fn is_from_member<P: Packet>(packet: &P, link: &Link, reply: &Reply) -> bool {
    reply.ifindex == packet.ingress()
        && (reply.flags & reply_flags::ON_LINK == 0 || reply.mac == link.source)
}

/// Translates the packet back. The interface that it leaves by.
#[inline(always)]
fn back<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    reply: &Reply,
) -> Result<Back, NotBack> {
    let hop = F::client_hop(tables, ip.destination)
        .filter(|hop| hop.kind != hop_kind::NONE)
        .ok_or_else(|| Stop::because(Reason::NoRoute))?;
    let is_own = hop.kind == hop_kind::LOCAL;
    if is_own && !tables.answers_probe::<F, P>(packet, link, ip) {
        return Err(Stop::because(Reason::NotVip).into());
    }
    if ip.hop_limit <= 1 {
        return Err(Stop::because(Reason::TtlExpired).into());
    }
    if hop.kind == hop_kind::KNOWN {
        if ip.length > u32::from(hop.largest) {
            return Err(NotBack { reason: Reason::TooBig, mtu: hop.largest });
        }
        let addresses = packet.view_mut(0).ok_or_else(|| Stop::because(Reason::Truncated))?;
        *addresses = hop.ethernet();
    }
    let address = Address { new: &reply.vip, by: u32::from(reply.address_difference) };
    F::readdress::<{ end::SOURCE }, P>(packet, link.end, &address)?;
    if !ip.is_later_fragment() {
        let port = Port { new: reply.port, by: u32::from(reply.difference) };
        translate::transport::<{ end::SOURCE }, P>(packet, ip.payload, ip.protocol, port)?;
    }
    let Reply { listener, backend, .. } = *reply;
    if is_own {
        return Ok(Back { ifindex: forward::KERNEL, listener: PROBED, backend: 0 });
    }
    if hop.kind != hop_kind::KNOWN {
        return Ok(Back { ifindex: forward::KERNEL, listener, backend });
    }
    if hop.ifindex != packet.ingress() && !tables.redirect(hop.ifindex) {
        return Err(Stop::because(Reason::NoDevice).into());
    }
    Ok(Back { ifindex: hop.ifindex, listener, backend })
}

/// Whether the packet answers a health probe of a virtual address; this host's other connections to the member
/// are its own.
#[inline(always)]
pub(super) fn answers_probe<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
) -> Option<()> {
    let ports: Ports = *packet.view(ip.payload)?;
    let reply = F::reply(tables, ip.source, ports.source, ip.protocol)?;
    let ports = Ports { source: ports.destination, destination: reply.port };
    let key = F::asked_key(ip.destination, &reply.vip, ports, ip.protocol);
    F::probed(tables, &key).map(drop)
}
