//! The choice that takes more than a look at a slot: connection ids, flow table, former owners, turns.
//!
//! It is a function of a record of plain numbers, so that the kernel's program can hold it once,
//! verified by itself, and not in a copy for every way that leads here.

use super::admit::{self, Admission};
use super::{Family, Packet, Stop, Tables, Transport, identify, select};
use crate::addr::{join, split};
use crate::backend::Backend;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, flow_flags};
use crate::listener::{Listener, algorithm, listener_flags};
use crate::pool::Pool;
use crate::reason::Reason;
use crate::ring::{self, Slot};

/// Owners that `LEAST_CONNECTIONS` compares: all of a pool that has no more, else those whose turn
/// it is.
pub const CANDIDATES: u32 = 8;

/// What is asked. Whole words, since it lies on the BPF stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question<K> {
    /// Addresses, ports and protocol.
    pub(super) tuple: K,
    pub(super) listener: [u64; 4],
    /// Bits of [`packet`], and the second it is.
    packet_and_now: u64,
    /// Offset of what the IP header carries.
    payload: u64,

    // What follows is found out by `identify::complete`.
    /// What the flow is recorded by.
    pub(super) key: K,
    /// Digest of the connection id of QUIC, 0: none.
    pub(super) digest: u64,
    /// The same as the pool's former algorithm saw it.
    pub(super) former_digest: u64,
    pub(super) pool: [u64; 3],
    /// Slot on the ring: its index and what it holds.
    pub(super) slot: u64,
}

/// A question about an IPv4 flow.
pub type QuestionV4 = Question<FlowKeyV4>;
/// A question about an IPv6 flow.
pub type QuestionV6 = Question<FlowKeyV6>;

/// Bits of [`Question::packet_and_now`].
mod packet {
    pub(super) const OPENS: u32 = 1 << 0;
    pub(super) const CLOSES: u32 = 1 << 1;
    pub(super) const UDP: u32 = 1 << 2;
    pub(super) const IF_RECORDED: u32 = 1 << 3;
}

impl<K> Question<K> {
    /// Takes the packet's part in.
    #[inline(always)]
    pub(super) fn about(
        &mut self,
        payload: usize,
        transport: &Transport,
        admission: Admission,
        now: u32,
    ) {
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let packet = bit(transport.opens(), packet::OPENS)
            | bit(transport.closes(), packet::CLOSES)
            | bit(transport.is_udp(), packet::UDP)
            | bit(admission == Admission::IfRecorded, packet::IF_RECORDED);
        self.packet_and_now = join(packet, now);
        self.payload = payload as u64;
    }

    #[inline(always)]
    pub(super) fn listener(&self) -> &Listener {
        bytemuck::cast_ref(&self.listener)
    }

    /// Offset of the datagram, if it is one.
    #[inline(always)]
    pub(super) fn datagram(&self) -> Option<usize> {
        (self.bits() & packet::UDP != 0).then_some(self.payload as usize)
    }

    #[inline(always)]
    fn admission(&self) -> Admission {
        if self.bits() & packet::IF_RECORDED == 0 {
            Admission::Granted
        } else {
            Admission::IfRecorded
        }
    }

    #[inline(always)]
    fn bits(&self) -> u32 {
        split(self.packet_and_now)[0]
    }
}

/// An answer as one word, for a function that can return nothing else: the id, or a reason.
#[inline(always)]
pub fn pack(answer: Result<u16, Stop>) -> u32 {
    match answer {
        Ok(id) => u32::from(id),
        Err(Stop(reason)) => REFUSED | reason as u32,
    }
}

/// The answer in a word.
#[inline(always)]
pub fn unpack(word: u32) -> Result<u16, Stop> {
    if word & REFUSED == 0 {
        return Ok(word as u16);
    }
    Err(Stop(Reason::new(word as u8).unwrap_or(Reason::RingRange)))
}

const REFUSED: u32 = 1 << 16;

/// The answer: id of the backend, 0: none.
#[inline(always)]
pub fn answer<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    question: &mut Question<F::FlowKey>,
) -> Result<u16, Stop> {
    identify::complete::<F, P, T>(packet, tables, question)?;
    let choice = Choice::<F, T>::new(tables, question);
    let named = identify::server(tables, choice.listener(), question.digest);
    if serves_named(tables, named, choice.now) {
        return select::admitted(named, question.admission());
    }
    if choice.slot.is_settled() && !choice.is_tracked() {
        return select::admitted(choice.slot.cur(), question.admission());
    }
    let Made { id, is_older } = choice.make()?;
    // A schedule protects recorded flows only: others end with the ring that knows them.
    let needs_former = id != choice.slot.cur() || is_older && choice.is_tracked();
    if !choice.slot.is_settled() && needs_former {
        tables.note_moving(choice.index, choice.now);
    }
    Ok(id)
}

/// Whether the backend that a connection id names serves flows that it has. Nothing else tells of
/// these flows: where it takes no new ones, it is noted that there are some.
#[inline(always)]
fn serves_named<T: Tables>(tables: &T, id: u16, now: u32) -> bool {
    let Some(backend) = established(tables, id) else { return false };
    if !backend.takes_new() {
        tables.note_named(id, now);
    }
    true
}

/// Whether the backend serves flows that it has.
#[inline(always)]
fn serves_established<T: Tables>(tables: &T, id: u16) -> bool {
    established(tables, id).is_some()
}

/// The backend, if it serves flows that it has.
#[inline(always)]
fn established<T: Tables>(tables: &T, id: u16) -> Option<&Backend> {
    if id == 0 {
        return None;
    }
    tables.backend(id).filter(|backend| backend.serves_established())
}

/// A choice that was made.
struct Made {
    /// Id of the backend, 0: none.
    id: u16,
    /// Whether the flow is older than every change and every record.
    is_older: bool,
}

impl Made {
    #[inline(always)]
    const fn new(id: u16) -> Self {
        Self { id, is_older: false }
    }
}

/// A question, taken apart. Each step of the choice has one place in it: the program holds, and the
/// verifier walks, every copy.
struct Choice<'a, F: Family, T> {
    tables: &'a T,
    question: &'a Question<F::FlowKey>,
    index: u32,
    slot: Slot,
    packet: u32,
    now: u32,
}

impl<'a, F: Family, T: Tables> Choice<'a, F, T> {
    #[inline(always)]
    fn new(tables: &'a T, question: &'a Question<F::FlowKey>) -> Self {
        let [index, slot] = split(question.slot);
        let [packet, now] = split(question.packet_and_now);
        Self { tables, question, index, slot: Slot(slot), packet, now }
    }

    /// Recorded flows stay where they are. New ones go to the slot's present owner, or to the
    /// owner whose turn it is, and are recorded; a flow without a record that is not new is older
    /// than every change, and stays with the former owner.
    #[inline(always)]
    fn make(&self) -> Result<Made, Stop> {
        // An opening does not refresh what is recorded of an earlier connection.
        let recorded = if self.opens() && !self.is_tracked() { None } else { self.recorded() };
        if let Some(flow) = recorded
            && self.goes_on(flow)
        {
            return Ok(Made::new(flow.backend));
        }
        if self.packet & packet::IF_RECORDED != 0 {
            return Err(Stop(Reason::AccessDenied));
        }
        let older = self.older();
        if !self.opens() && !self.is_udp() {
            return Ok(Made { id: older, is_older: true });
        }
        if self.is_tracked() && self.is_udp() {
            admit::opening(self.tables, self.listener(), || self.now)?;
        }
        let is_held =
            self.is_udp() && !self.slot.is_settled() && self.now < self.pool().udp_hold_until;
        let backend = if is_held {
            older
        } else if self.is_tracked() {
            self.in_turn()
        } else {
            self.slot.cur()
        };
        self.record(backend, recorded.is_some(), older).map(Made::new)
    }

    /// The record of the flow, if its backend still serves it.
    #[inline(always)]
    fn recorded(&self) -> Option<Flow> {
        F::flow(self.tables, &self.question.key, self.pool().oldest(self.now), self.now)
            .filter(|flow| serves_established(self.tables, flow.backend))
    }

    /// Whether the packet belongs to the recorded flow, and is not the first one of another; what
    /// ends is counted. The repeated opening of a connection that took its turn takes no other.
    #[inline(always)]
    fn goes_on(&self, flow: Flow) -> bool {
        if !self.is_tracked() {
            return !self.opens();
        }
        let goes_on = !self.opens() || flow.is_open() && self.takes_new(flow.backend);
        let ends = self.packet & packet::CLOSES != 0 || !goes_on;
        if ends && flow.is_open() && F::close(self.tables, &self.question.key) {
            self.tables.closed(self.listener().id, flow.backend);
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
        let Listener { id, flow_budget, .. } = *self.listener();
        let only_again = again || !self.tables.may_record(id, flow_budget, self.now);
        if !only_again || self.recorded().is_some() {
            let flags = if self.is_tracked() { flow_flags::OPEN } else { 0 };
            F::record(self.tables, &self.question.key, Flow { backend, flags, seen: self.now });
            if self.is_tracked() {
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
        let owner = if self.slot.is_settled() || self.pool().former_size == 0 {
            oldest_owner(self.slot)
        } else {
            self.former_owner()
        };
        if serves_established(self.tables, owner) { owner } else { self.slot.cur() }
    }

    /// Who served the flow on the ring that the pool had before.
    #[inline(always)]
    fn former_owner(&self) -> u16 {
        let Question { tuple, digest, former_digest, .. } = self.question;
        if digest != former_digest {
            let key = identify::key::<F>(tuple, *former_digest, self.listener().id);
            if let Some(flow) = F::flow(self.tables, &key, self.pool().oldest(self.now), self.now) {
                return flow.backend;
            }
        }
        let Pool { former_base, former_size, former_algorithm, .. } = *self.pool();
        let hash = identify::hash::<F>(tuple, *former_digest, former_algorithm);
        let index = former_base.wrapping_add(ring::index(hash, former_size));
        oldest_owner(self.tables.slot(index).unwrap_or(self.slot))
    }

    /// The owner whose turn it is.
    #[inline(always)]
    fn in_turn(&self) -> u16 {
        let turn = self.tables.turn(self.listener().pool);
        if self.listener().algorithm == algorithm::LEAST_CONNECTIONS
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
        let Listener { ring_base, ring_size, .. } = *self.listener();
        let index = ring_base.wrapping_add(turn.checked_rem(ring_size)?);
        self.tables.slot(index).map(Slot::cur)
    }

    #[inline(always)]
    fn takes_new(&self, id: u16) -> bool {
        id != 0 && self.tables.backend(id).is_some_and(|backend| backend.takes_new())
    }

    #[inline(always)]
    fn listener(&self) -> &Listener {
        self.question.listener()
    }

    #[inline(always)]
    fn pool(&self) -> &Pool {
        bytemuck::cast_ref(&self.question.pool)
    }

    #[inline(always)]
    fn is_tracked(&self) -> bool {
        self.listener().flags & listener_flags::TRACKED != 0
    }

    #[inline(always)]
    fn opens(&self) -> bool {
        self.packet & packet::OPENS != 0
    }

    #[inline(always)]
    fn is_udp(&self) -> bool {
        self.packet & packet::UDP != 0
    }
}

#[inline(always)]
fn oldest_owner(slot: Slot) -> u16 {
    if slot.is_settled() { slot.cur() } else { slot.prev() }
}
