//! What is answered instead of forwarded: echo requests, ARP and neighbour solicitations, and what
//! does not fit the way to its backend.

mod arp;
mod echo;
mod neighbor;
mod too_big;

pub(super) use arp::arp;
pub(super) use neighbor::neighbor;
pub(super) use too_big::{too_big, too_big_v4, too_big_v6};

use super::wire::Icmp;
use super::{Family, Ip, Link, Outcome, Packet, Stop, Tables};
use crate::reason::Reason;

/// Answers control messages; everything comes here that is neither TCP nor UDP, nor an error.
#[inline(always)]
pub(super) fn icmp<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Outcome, Stop> {
    if ip.protocol != F::ICMP {
        return Err(Stop(Reason::OtherProtocol));
    }
    if ip.payload_length < 8 {
        return Err(Stop(Reason::Truncated));
    }
    let message: Icmp = *packet.view(ip.payload).ok_or(Stop(Reason::Truncated))?;
    if message.kind == F::ECHO_REQUEST && message.code == 0 {
        return echo::answer::<F, P, T>(packet, tables, link, ip, message);
    }
    F::neighbor(packet, tables, link, ip, message.kind)
}
