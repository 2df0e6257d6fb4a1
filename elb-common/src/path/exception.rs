//! Flows that are no answers to the listener that a member's endpoint stands for, or to none: they are noted when they
//! pass, so that the member's packets are not translated as those are.

use super::wire::Tcp;
use super::{Family, Ip, Packet, Stop, Tables, parse};
use crate::addr::Be128;
use crate::exception::{Exception, exception_flags};
use crate::flow::Ports;
use crate::reason::Reason;
use crate::reply::{Reply, reply_flags};

/// What comes from the side of a client, and passes: numbers, since they may be a subprogram's argument.
pub mod passes {
    /// A client's packet for a member itself.
    pub const DIRECT: u32 = 0;
    /// A packet that opens a member's own connection: who is asked is on the client's side.
    pub const OWN: u32 = 1;
}

/// Notes that a packet passes, if it is for, or from, an endpoint whose packets would be translated: those of its flow
/// are left alone.
#[inline(always)]
pub(super) fn passes<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
    how: u32,
) -> Option<()> {
    let Ports { source, destination } = *packet.view(ip.payload)?;
    let (client, member, ports) = if how == passes::OWN {
        (ip.destination, ip.source, Ports { source: destination, destination: source })
    } else {
        (ip.source, ip.destination, Ports { source, destination })
    };
    let reply = F::reply(tables, member, ports.destination, ip.protocol)
        .filter(|reply| reply.flags & reply_flags::PROBES == 0)?;
    let (backend, now) = (reply.backend, tables.now());
    let key = F::member_key(client, member, ports, ip.protocol);
    let (flags, opens) = flags(packet, ip)?;
    let wanted = Exception::alone(backend, flags, now);
    if F::exception(tables, &key).is_none_or(|known| changes(&known, &wanted, opens)) {
        F::except(tables, &key, wanted);
    }
    tables.note_excepted(backend, now);
    Some(())
}

/// Notes which listener a client's packet came by, whose address is still that, to a member's endpoint that several
/// listeners share.
#[inline(always)]
pub(super) fn shares<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
    backend: u16,
    listener: u16,
) -> Result<(), Stop> {
    let unknown = || Stop(Reason::UnknownBackend);
    let record = tables.backend(backend).ok_or_else(unknown)?;
    let Ports { source, destination } = *packet.view(ip.payload).ok_or(Stop(Reason::Truncated))?;
    let port = record.translation().port;
    let port = if port.raw() == 0 { destination } else { port };
    let member = F::from_record(&record.address);
    // Without a record no answer is translated, and there is nothing to distinguish.
    let Some(reply) = F::reply(tables, member, port, ip.protocol) else { return Ok(()) };
    let now = tables.now();
    let vip = F::to_record(ip.destination);
    let (flags, opens) = flags(packet, ip).ok_or(Stop(Reason::Truncated))?;
    let wanted = Exception { vip, port: destination, listener, backend, flags, seen: now };
    let key = F::member_key(ip.source, member, Ports { source, destination: port }, ip.protocol);
    match F::exception(tables, &key).filter(|known| known.is_live(now)) {
        None if is_default(reply, &wanted) => return Ok(()),
        Some(known) if known.says(&wanted) && !changes(&known, &wanted, opens) => return Ok(()),
        Some(known) if !(known.says(&wanted) || opens && known.gives_way(now)) => {
            return Err(Stop(Reason::TupleClash));
        }
        _ => {}
    }
    F::except(tables, &key, wanted);
    Ok(())
}

/// What a packet says of its flow's end, and whether it may begin one.
#[inline(always)]
fn flags<P: Packet, A>(packet: &P, ip: &Ip<A>) -> Option<(u16, bool)> {
    if parse::is_udp(ip.protocol) {
        return Some((exception_flags::UDP, true));
    }
    let segment: &Tcp = packet.view(ip.payload)?;
    let closes = segment.flags & (FIN | RST) != 0;
    let opens = segment.flags & (SYN | ACK | FIN | RST) == SYN;
    Some((if closes { exception_flags::CLOSED } else { 0 }, opens))
}

/// Whether a packet changes what is noted of its flow. One that is closed stays so until another opens.
#[inline(always)]
const fn changes(known: &Exception, wanted: &Exception, opens: bool) -> bool {
    let is_closed = known.flags & exception_flags::CLOSED != 0;
    let closes = wanted.flags & exception_flags::CLOSED != 0;
    if is_closed && !opens {
        return false;
    }
    known.seen != wanted.seen || is_closed || closes || !known.says(wanted)
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Whether the endpoint's record says what is so.
#[inline(always)]
const fn is_default(reply: &Reply, wanted: &Exception) -> bool {
    same(&reply.vip, &wanted.vip) && reply.port.raw() == wanted.port.raw()
}

#[inline(always)]
const fn same(one: &Be128, other: &Be128) -> bool {
    let ([a, b], [c, d]) = (one.words(), other.words());
    a == c && b == d
}
