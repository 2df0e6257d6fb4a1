//! Echo request → echo reply (RFC 792, RFC 4443 §4), for virtual addresses with a listener.

use super::super::wire::{Ethernet, Icmp};
use super::super::{Family, Ip, Link, Outcome, Packet, Stop, Tables, classify};
use crate::checksum;
use crate::listener::vip_flags;
use crate::reason::Reason;

#[inline(always)]
pub(super) fn answer<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    request: Icmp,
) -> Result<Outcome, Stop> {
    let vip = F::vip(tables, ip.destination).ok_or(Stop(Reason::NotVip))?;
    if vip.flags & vip_flags::ECHO == 0 {
        return Err(Stop(Reason::NoListener));
    }
    classify::addressed(packet, tables, link)?;
    F::turn_round(packet, link.end)?;
    let truncated = Stop(Reason::Truncated);
    *packet.view_mut(ip.payload).ok_or(truncated)? = reply(request, F::ECHO_REPLY);
    let ethernet: &mut Ethernet = packet.view_mut(0).ok_or(truncated)?;
    (ethernet.destination, ethernet.source) = (link.source, link.destination);
    Ok(Outcome::Answer(Reason::EchoAnswered))
}

#[inline(always)]
fn reply(request: Icmp, kind: u8) -> Icmp {
    let old = u16::from_ne_bytes([request.kind, request.code]);
    let new = u16::from_ne_bytes([kind, request.code]);
    Icmp { kind, code: request.code, checksum: checksum::replace(request.checksum, old, new) }
}
