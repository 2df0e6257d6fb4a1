//! ARP requests for announced virtual addresses (RFC 826, RFC 5227).

use super::super::wire::{Arp, Ethernet};
use super::super::{Link, Outcome, Packet, Stop, Tables, classify};
use crate::addr::{Be16, Be32, Mac};
use crate::listener::vip_flags;
use crate::reason::Reason;

const ETHERNET: u16 = 1;
const IPV4: u16 = 0x0800;
const LENGTHS: u16 = 0x0604;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Answers a request, and notices a host that claims one of the addresses.
#[inline(always)]
pub(in super::super) fn arp<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
) -> Result<Outcome, Stop> {
    let message: Arp = *packet.view(link.end).ok_or(Stop(Reason::Truncated))?;
    let shape = (message.hardware.get(), message.protocol.get(), message.lengths.get());
    if shape != (ETHERNET, IPV4, LENGTHS) {
        return Err(Stop(Reason::ArpOther));
    }
    let is_claimed = is_announced(tables, message.sender);
    let is_asked = message.operation.get() == REQUEST && is_announced(tables, message.target);
    if !link.destination.is_group() && (is_claimed || is_asked) {
        classify::addressed(packet, tables, link)?;
    }
    let interface = tables.interface(packet.ingress()).ok_or(Stop(Reason::ArpOther))?;
    if interface.is_quiet() {
        return Err(Stop(Reason::ArpOther));
    }
    let ours = interface.mac;
    if is_claimed {
        let foreign = message.sender_mac != ours;
        return Err(Stop(if foreign { Reason::VipConflict } else { Reason::ArpOther }));
    }
    if !is_asked {
        return Err(Stop(Reason::ArpOther));
    }
    answer(packet, link, &message, ours).ok_or(Stop(Reason::Truncated))?;
    Ok(Outcome::Answer(Reason::ArpAnswered))
}

#[inline(always)]
fn is_announced<T: Tables>(tables: &T, address: Be32) -> bool {
    tables.vip_v4(address).is_some_and(|vip| vip.flags & vip_flags::ANNOUNCE != 0)
}

#[inline(always)]
fn answer<P: Packet>(packet: &mut P, link: &Link, request: &Arp, ours: Mac) -> Option<()> {
    *packet.view_mut(link.end)? = Arp {
        operation: Be16::new(REPLY),
        sender_mac: ours,
        sender: request.target,
        target_mac: request.sender_mac,
        target: request.sender,
        ..*request
    };
    let ethernet: &mut Ethernet = packet.view_mut(0)?;
    (ethernet.destination, ethernet.source) = (link.source, ours);
    Some(())
}
