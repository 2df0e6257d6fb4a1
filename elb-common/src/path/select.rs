//! Which backend a packet goes to: the owner of its slot, which is a look at the ring; where a slot
//! is moving, or the algorithm chooses for each flow anew, it takes more ([`choose`]).

use super::admit::Admission;
use super::choose;
use super::identify::{self, Identity};
use super::{Family, Ip, Packet, Stop, Tables, Transport};
use crate::addr::join;
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
    admission: Admission,
) -> Result<u16, Stop> {
    if listener.ring_size == 0 {
        return Err(Stop(Reason::NoBackend));
    }
    let server = flow.server as u16;
    if choose::serves_established(tables, server) {
        return admitted(server, admission);
    }
    let index = listener.ring_base.wrapping_add(ring::index(flow.hash, listener.ring_size));
    let slot = tables.slot(index).ok_or(Stop(Reason::RingRange))?;
    let is_tracked = listener.flags & listener_flags::TRACKED != 0;
    let id = if slot.is_settled() && !is_tracked {
        admitted(slot.cur(), admission)?
    } else {
        let pool = tables.pool(listener.pool).ok_or(Stop(Reason::RingRange))?;
        let former = identify::formerly(packet, tables, &pool, ip);
        F::choose(tables, |question| {
            question.key = identify::key::<F>(&flow.tuple, flow.digest, listener.id);
            (question.tuple, question.digest) = (flow.tuple, flow.digest);
            question.former_digest = former;
            question.listener = bytemuck::cast(*listener);
            question.pool = bytemuck::cast(pool);
            question.slot = join(index, slot.0);
            question.about(transport, admission, tables.now());
        })?
    };
    if id == 0 { Err(Stop(Reason::NoBackend)) } else { Ok(id) }
}

/// Here no flow is recorded.
#[inline(always)]
fn admitted(id: u16, admission: Admission) -> Result<u16, Stop> {
    match admission {
        Admission::Granted => Ok(id),
        Admission::IfRecorded => Err(Stop(Reason::AccessDenied)),
    }
}
