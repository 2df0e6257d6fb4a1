//! What is answered instead of forwarded: echo requests, ARP and neighbour solicitations, what does not
//! fit the way to its backend, and what nothing takes.

mod arp;
mod echo;
mod neighbor;
pub mod refuse;
mod too_big;

pub(super) use arp::arp;
pub(super) use neighbor::neighbor;
pub(super) use refuse::{refuse, reset_v4, reset_v6, unreachable_v4, unreachable_v6};
pub(super) use too_big::{too_big, too_big_v4, too_big_v6};

use super::wire::Icmp;
use super::{Family, Ip, Link, Outcome, Packet, Stop, Tables, classify};
use crate::listener::vip_flags;
use crate::reason::Reason;

/// Answers control messages; everything comes here that is neither TCP nor UDP, nor an error. What is left
/// for the kernel is dropped where the virtual address is not this host's: the kernel could only send it
/// back to the router that it came from.
#[inline(always)]
pub(super) fn control<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Outcome, Stop> {
    let stop = match icmp::<F, P, T>(packet, tables, link, ip) {
        Err(stop @ Stop(Reason::OtherProtocol | Reason::NoListener)) => stop,
        other => return other,
    };
    let Some(vip) = F::vip(tables, ip.destination) else { return Err(stop) };
    classify::addressed(packet, tables, link)?;
    Err(if vip.flags & vip_flags::OWN != 0 { stop } else { Stop(Reason::ClosedPort) })
}

#[inline(always)]
fn icmp<F: Family, P: Packet, T: Tables>(
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
