//! Which backend a packet goes to: the owner of its slot, which is a look at the ring; where a slot
//! is not settled, the algorithm chooses for each flow anew, the listener served another pool before, or a
//! connection id names the flow, it takes more ([`choose`](super::choose)).

use super::admit::{self, Admission};
use super::identify::{Identity, slot};
use super::{Family, Ip, Packet, Stop, Tables, Transport, identify};
use crate::listener::{Listener, listener_flags};
use crate::reason::Reason;

/// Id of the backend that gets the packet; never 0. Most listeners ask for nothing but the ring, and
/// are done first.
#[inline(always)]
pub(super) fn backend<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    listener: &Listener,
    flow: &Identity<F::FlowKey>,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<u16, Stop> {
    if listener.ring_size != 0 && listener.is_plain() {
        let (_, slot) = slot(tables, listener, flow.hash)?;
        return match (slot.is_settled(), slot.cur()) {
            (true, 0) => Err(Stop::because(Reason::NoBackend)),
            (true, owner) => Ok(owner),
            (false, _) => {
                chosen::<F, P, T>(packet, tables, listener, flow, ip, transport, Admission::Granted)
            }
        };
    }
    if listener.flags & listener_flags::OWN != 0 && F::is_connected(tables, &flow.tuple) {
        return Err(Stop(Reason::OwnConnection));
    }
    let admission = admit::packet::<F, T>(tables, listener, ip, transport)?;
    if listener.ring_size == 0 {
        return Err(Stop::because(Reason::NoBackend));
    }
    const RECORDED: u16 = listener_flags::TRACKED | listener_flags::MOVED;
    let is_recorded = listener.flags & RECORDED != 0;
    if !is_recorded && !identify::by_connection_id(listener, transport.is_udp()) {
        let (_, slot) = slot(tables, listener, flow.hash)?;
        if slot.is_settled() {
            let id = admitted(slot.cur(), admission)?;
            return if id == 0 { Err(Stop::because(Reason::NoBackend)) } else { Ok(id) };
        }
    }
    chosen::<F, P, T>(packet, tables, listener, flow, ip, transport, admission)
}

/// The choice that takes more than a look at a slot.
#[inline(always)]
fn chosen<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    listener: &Listener,
    flow: &Identity<F::FlowKey>,
    ip: &Ip<F::Addr>,
    transport: &Transport,
    admission: Admission,
) -> Result<u16, Stop> {
    let id = F::choose(packet, tables, |question| {
        question.tuple = flow.tuple;
        question.listener = bytemuck::cast(*listener);
        question.about(ip.payload, transport, admission, tables.now());
    })?;
    if id == 0 { Err(Stop::because(Reason::NoBackend)) } else { Ok(id) }
}

/// Where no flow is recorded.
#[inline(always)]
pub(super) fn admitted(id: u16, admission: Admission) -> Result<u16, Stop> {
    match admission {
        Admission::Granted => Ok(id),
        Admission::IfRecorded => Err(Stop::because(Reason::AccessDenied)),
    }
}
