//! Steps that few packets need and that are long: a program may have each as a subprogram (a BPF function
//! that is called), so that the verifier does not walk it for every path that ends there (see [`Tables`]).
//! Each function reads the headers again.

use network_types::eth::EtherType;

use super::answer::refuse::refusal;
use super::control::{self, Quote};
use super::{Family, Packet, Stop, Tables, V4, answer, parse};
use crate::interface::MacKey;
use crate::reason::Reason;

/// What becomes of a control message that is not about a flow: why it is not forwarded. Of ARP, too,
/// if `F` is IPv4.
#[inline(always)]
pub fn answer<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Reason {
    const ARP: u16 = EtherType::Arp as u16;
    let mut answered = || {
        let link = parse::link(packet)?;
        if F::INNER_PROTOCOL == V4::INNER_PROTOCOL && link.ethertype.raw() == ARP {
            return answer::arp(packet, tables, &link);
        }
        let ip = F::parse(packet, link.end)?;
        answer::control::<F, P, T>(packet, tables, &link, &ip)
    };
    match answered() {
        Ok(outcome) => outcome.reason().unwrap_or(Reason::OtherProtocol),
        Err(Stop(reason)) => reason,
    }
}

/// The packet that an error quotes.
#[inline(always)]
pub fn quote<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Quote, Stop> {
    let link = parse::link(packet)?;
    let ip = F::parse(packet, link.end)?;
    // Known already, but not to the verifier.
    if !control::is_error::<F, P>(packet, &link, &ip) {
        return Err(Stop(Reason::OtherProtocol));
    }
    control::quote::<F, P, T>(packet, tables, &link, &ip)
}

/// Makes a packet that is too big the answer that one of `mtu` bytes would fit; what became of it.
#[inline(always)]
pub fn too_big<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, mtu: u16) -> Reason {
    let mut answered = || {
        let link = parse::link(packet)?;
        let ip = F::parse(packet, link.end)?;
        answer::too_big::<F, P, T>(packet, tables, &link, &ip, mtu)
    };
    answered().err().map_or(Reason::TooBigAnswered, |Stop(reason)| reason)
}

/// Makes a packet the answer that it is refused, for the reason that the number `refusal` stands for.
/// What became of it.
#[inline(always)]
pub fn refuse<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, refusal: u32) -> Reason {
    let mut answered = || {
        let link = parse::link(packet)?;
        let ip = F::parse(packet, link.end)?;
        answer::refuse::<F, P, T>(packet, tables, &link, &ip)
    };
    refusal::reason(refusal, answered().is_ok())
}

/// Whom a frame is for that is not for the Ethernet address by which the interface is found first: none,
/// for us. Of an interface that is not known, nothing is.
#[inline(always)]
pub fn stray<P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<Reason> {
    let destination = parse::link(packet).ok()?.destination;
    if destination.is_group() {
        return Some(Reason::GroupMac);
    }
    let interface = tables.interface(packet.ingress())?;
    let is_ours = interface.mac == destination
        || tables.takes_mac(&MacKey::new(packet.ingress(), destination));
    if is_ours { None } else { Some(Reason::ForeignMac) }
}

/// A quote as one word, for a function that can return nothing else. Its payload is behind other
/// headers, so no quote is less than 256.
#[inline(always)]
pub fn pack(quote: Result<Quote, Stop>) -> u32 {
    match quote {
        Ok(Quote { payload, protocol }) => payload << 8 | protocol,
        Err(Stop(reason)) => reason as u32,
    }
}

/// The quote in a word.
#[inline(always)]
pub fn unpack(word: u32) -> Result<Quote, Stop> {
    /// Farther than any header chain that is walked reaches.
    const FARTHEST: u32 = 0x1fff;
    if word < 256 {
        return Err(Stop(Reason::new(word as u8).unwrap_or(Reason::OtherProtocol)));
    }
    Ok(Quote { payload: word >> 8 & FARTHEST, protocol: word & 0xff })
}
