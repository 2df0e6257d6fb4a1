//! Which backend a packet goes to: the ring, and the flow table only where a slot is moving or the
//! algorithm chooses for each flow anew.

use super::identify::{self, Identity};
use super::{Family, Ip, Packet, Stop, Tables, Transport, admit};
use crate::flow::{Flow, flow_flags};
use crate::listener::{Listener, algorithm, listener_flags};
use crate::pool::Pool;
use crate::reason::Reason;
use crate::ring::{self, Slot};

/// Owners that `LEAST_CONNECTIONS` compares: all of a pool that has no more, else those whose turn
/// it is.
pub const CANDIDATES: u32 = 8;

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
    if serves_established(tables, server) {
        return Ok(server);
    }
    let index = listener.ring_base.wrapping_add(ring::index(flow.hash, listener.ring_size));
    let slot = tables.slot(index).ok_or(Stop(Reason::RingRange))?;
    let is_tracked = listener.flags & listener_flags::TRACKED != 0;
    let id = if slot.is_settled() && !is_tracked {
        slot.cur()
    } else {
        let pool = tables.pool(listener.pool).ok_or(Stop(Reason::RingRange))?;
        let now = tables.now();
        let choice = Choice::<F, P, T> {
            packet,
            tables,
            listener,
            pool,
            flow,
            ip,
            transport,
            slot,
            is_tracked,
            now,
        };
        let id = choice.make()?;
        if !slot.is_settled() && id != slot.cur() {
            tables.note_moving(index, now);
        }
        id
    };
    if id == 0 { Err(Stop(Reason::NoBackend)) } else { Ok(id) }
}

/// A choice that takes more than a look at the slot. Each step has one place in it: the program
/// holds, and the verifier walks, every copy.
struct Choice<'a, F: Family, P, T> {
    packet: &'a P,
    tables: &'a T,
    listener: &'a Listener,
    pool: Pool,
    flow: &'a Identity<F::FlowKey>,
    ip: &'a Ip<F::Addr>,
    transport: &'a Transport,
    slot: Slot,
    is_tracked: bool,
    now: u32,
}

impl<F: Family, P: Packet, T: Tables> Choice<'_, F, P, T> {
    /// Recorded flows stay where they are. New ones go to the slot's present owner, or to the
    /// owner whose turn it is, and are recorded; a flow without a record that is not new is older
    /// than every change, and stays with the former owner.
    #[inline(always)]
    fn make(&self) -> Result<u16, Stop> {
        let recorded = self.recorded();
        if let Some(flow) = recorded
            && self.goes_on(flow)
        {
            return Ok(flow.backend);
        }
        let older = self.older();
        let is_udp = self.transport.is_udp();
        if !self.transport.opens() && !is_udp {
            return Ok(older);
        }
        if self.is_tracked && is_udp {
            admit::opening(self.tables, self.listener, self.now)?;
        }
        let is_held = is_udp && !self.slot.is_settled() && self.now < self.pool.udp_hold_until;
        let backend = if is_held {
            older
        } else if self.is_tracked {
            self.in_turn()
        } else {
            self.slot.cur()
        };
        self.record(backend, recorded.is_some(), older)
    }

    /// The record of the flow, if its backend still serves it.
    #[inline(always)]
    fn recorded(&self) -> Option<Flow> {
        F::flow(self.tables, &self.flow.key, self.pool.oldest(self.now), self.now)
            .filter(|flow| serves_established(self.tables, flow.backend))
    }

    /// Whether the packet belongs to the recorded flow, and is not the first one of another; what
    /// ends is counted. The repeated opening of a connection that took its turn takes no other.
    #[inline(always)]
    fn goes_on(&self, flow: Flow) -> bool {
        if !self.is_tracked {
            return !self.transport.opens();
        }
        let goes_on = !self.transport.opens() || flow.is_open() && self.takes_new(flow.backend);
        let ends = self.transport.closes() || !goes_on;
        if ends && flow.is_open() && F::close(self.tables, &self.flow.key) {
            self.tables.closed(self.listener.id, flow.backend);
        }
        goes_on
    }

    /// Records that a backend serves the flow. Where the listener has used up what it may record,
    /// the flow goes where packets without a record go, if new flows are welcome there.
    #[inline(always)]
    fn record(&self, backend: u16, again: bool, older: u16) -> Result<u16, Stop> {
        if backend == 0 {
            return Ok(0);
        }
        let Listener { id, flow_budget, .. } = *self.listener;
        if again || self.tables.may_record(id, flow_budget, self.now) {
            let flags = if self.is_tracked { flow_flags::OPEN } else { 0 };
            F::record(self.tables, &self.flow.key, Flow { backend, flags, seen: self.now });
            if self.is_tracked {
                self.tables.opened(id, backend);
            }
            return Ok(backend);
        }
        if older == self.slot.cur() || self.takes_new(older) {
            Ok(older)
        } else {
            Err(Stop(Reason::FlowBudget))
        }
    }

    /// Who serves flows that are older than every change and every record.
    #[inline(always)]
    fn older(&self) -> u16 {
        let (slot, flow) = if self.slot.is_settled() || self.pool.former_size == 0 {
            (self.slot, None)
        } else {
            self.former()
        };
        let owner = match flow {
            Some(flow) => flow.backend,
            None if slot.is_settled() => slot.cur(),
            None => slot.prev(),
        };
        if serves_established(self.tables, owner) { owner } else { self.slot.cur() }
    }

    /// The slot that the flow had on the ring that the pool had before, and its record, if it was
    /// recorded by another key then.
    #[inline(always)]
    fn former(&self) -> (Slot, Option<Flow>) {
        let Self { packet, tables, listener, pool, .. } = self;
        let flow = identify::formerly::<F, P>(*packet, pool, listener, self.ip, self.transport);
        let recorded = if flow.key == self.flow.key {
            None
        } else {
            F::flow(*tables, &flow.key, pool.oldest(self.now), self.now)
        };
        let index = pool.former_base.wrapping_add(ring::index(flow.hash, pool.former_size));
        (tables.slot(index).unwrap_or(self.slot), recorded)
    }

    /// The owner whose turn it is.
    #[inline(always)]
    fn in_turn(&self) -> u16 {
        let turn = self.tables.turn(self.listener.pool);
        if self.listener.algorithm == algorithm::LEAST_CONNECTIONS
            && let Some(id) = self.least_loaded(turn)
        {
            return id;
        }
        self.owner(turn).unwrap_or(0)
    }

    /// The owner with the fewest connections for its weight, of those whose turn it is. Without a
    /// branch for each comparison, whose combinations the verifier would walk.
    #[inline(always)]
    fn least_loaded(&self, turn: u32) -> Option<u16> {
        let mut least = i64::MAX;
        for candidate in 0..CANDIDATES {
            let load = self.load(self.owner(turn.wrapping_add(candidate))?)?;
            let more = load.wrapping_sub(least);
            least = least.wrapping_add(more & (more >> 63));
        }
        Some(least as u16)
    }

    /// Connections for its weight in the high bits, its id in the low 16.
    #[inline(always)]
    fn load(&self, id: u16) -> Option<i64> {
        const MOST: u32 = (1 << 30) - 1;
        let weight = u64::from(self.tables.backend(id)?.weight);
        let connections = u64::from(self.tables.backend_connections(id) & MOST);
        let load = (connections << 16).checked_div(weight)?;
        Some((load << 16 | u64::from(id)) as i64)
    }

    #[inline(always)]
    fn owner(&self, turn: u32) -> Option<u16> {
        let Listener { ring_base, ring_size, .. } = *self.listener;
        let index = ring_base.wrapping_add(turn.checked_rem(ring_size)?);
        self.tables.slot(index).map(Slot::cur)
    }

    #[inline(always)]
    fn takes_new(&self, id: u16) -> bool {
        id != 0 && self.tables.backend(id).is_some_and(|backend| backend.takes_new())
    }
}

#[inline(always)]
fn serves_established<T: Tables>(tables: &T, id: u16) -> bool {
    id != 0 && tables.backend(id).is_some_and(|backend| backend.serves_established())
}
