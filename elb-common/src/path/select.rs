//! Which backend a packet goes to: the owner of its slot, which is a look at the ring; where a slot
//! is moving, or the algorithm chooses for each flow anew, it takes more ([`choose`]).

use super::choose::{self, Question};
use super::identify::{self, Identity};
use super::{Family, Ip, Packet, Stop, Tables, Transport};
use crate::listener::{Listener, listener_flags};
use crate::reason::Reason;
use crate::ring;

/// Id of the backend that gets the packet; never 0.
#[inline(always)]
pub(super) fn backend<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    listener: &Listener,
    flow: &Identity<F::FlowKey>,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<u16, Stop> {
    if listener.ring_size == 0 {
        return Err(Stop(Reason::NoBackend));
    }
    let server = flow.server as u16;
    if choose::serves_established(tables, server) {
        return Ok(server);
    }
    let index = listener.ring_base.wrapping_add(ring::index(flow.hash, listener.ring_size));
    let slot = tables.slot(index).ok_or(Stop(Reason::RingRange))?;
    let is_tracked = listener.flags & listener_flags::TRACKED != 0;
    let id = if slot.is_settled() && !is_tracked {
        slot.cur()
    } else {
        let pool = tables.pool(listener.pool).ok_or(Stop(Reason::RingRange))?;
        let former = identify::formerly::<F, P>(packet, &pool, listener, flow, ip, transport);
        let now = tables.now();
        let question =
            Question::new(listener, &pool, [flow, &former], [index, slot.0], transport, now);
        F::choose(tables, &question)?
    };
    if id == 0 { Err(Stop(Reason::NoBackend)) } else { Ok(id) }
}
