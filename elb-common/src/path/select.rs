//! Which backend a packet goes to: the ring, and the flow table only where a slot is moving.

use super::{Family, Stop, Tables, Transport};
use crate::flow::Flow;
use crate::listener::Listener;
use crate::reason::Reason;
use crate::ring::{self, Slot};

/// Id of the backend that gets the packet; never 0.
#[inline(always)]
pub(super) fn backend<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    key: &F::FlowKey,
    hash: u32,
    transport: &Transport,
) -> Result<u16, Stop> {
    if listener.ring_size == 0 {
        return Err(Stop(Reason::NoBackend));
    }
    let index = listener.ring_base.wrapping_add(ring::index(hash, listener.ring_size));
    let slot = tables.slot(index).ok_or(Stop(Reason::RingRange))?;
    let id = if slot.is_settled() {
        slot.cur()
    } else {
        let pool = listener.pool;
        let now = tables.now();
        let id = moving::<F, T>(tables, slot, pool, key, now, transport);
        if id != slot.cur() {
            tables.note_moving(index, now);
        }
        id
    };
    if id == 0 { Err(Stop(Reason::NoBackend)) } else { Ok(id) }
}

/// The choice on a slot that changes its owner. New flows go to the present owner and are
/// recorded; a flow that is not recorded is older than the change and stays with the former owner.
#[inline(always)]
fn moving<F: Family, T: Tables>(
    tables: &T,
    slot: Slot,
    pool: u16,
    key: &F::FlowKey,
    now: u32,
    transport: &Transport,
) -> u16 {
    if transport.opens() {
        return record::<F, T>(tables, key, slot.cur(), now);
    }
    if let Some(id) = F::flow(tables, key, now).filter(|id| serves_established(tables, *id)) {
        return id;
    }
    let former = if serves_established(tables, slot.prev()) { slot.prev() } else { slot.cur() };
    if !transport.is_udp() {
        return former;
    }
    let held = tables.pool(pool).is_some_and(|pool| now < pool.udp_hold_until);
    record::<F, T>(tables, key, if held { former } else { slot.cur() }, now)
}

#[inline(always)]
fn record<F: Family, T: Tables>(tables: &T, key: &F::FlowKey, id: u16, now: u32) -> u16 {
    if id != 0 {
        F::record(tables, key, Flow { backend: u32::from(id), seen: now });
    }
    id
}

#[inline(always)]
fn serves_established<T: Tables>(tables: &T, id: u16) -> bool {
    id != 0 && tables.backend(id).is_some_and(|backend| backend.serves_established())
}
