//! The choice that takes more than a look at a slot: connection ids, flow table, former owners, turns.
//!
//! It is a function of a record of plain numbers, so that the kernel's program can hold it once,
//! verified by itself, and not in a copy for every path that ends here.

mod answer;
mod persistence;
mod room;
mod turn;

pub use answer::Answer;
pub use persistence::{client, occasion};
pub use room::{of as room_of, of_owner as room_of_owner};
pub use turn::{CANDIDATES, LOOKED_AT, Schedule, another};

use room::NONE;

use super::admit::{self, Admission};
use super::question::{Question, packet};
use super::{Family, Packet, Stop, Tables, identify};
use crate::addr::split;
use crate::backend::Backend;
use crate::flow::{Flow, Stage, Visit, flow_flags, visit};
use crate::limits::HALF_OPEN_TIMEOUT;
use crate::listener::{Listener, NO_POOL, algorithm, listener_flags};
use crate::pool::{Pool, Ring};
use crate::reason::Reason;
use crate::ring::{self, Slot};
use crate::room::Claim;

/// The answer: id of the backend, 0: none.
#[inline(always)]
pub fn answer<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    question: &mut Question<F::FlowKey>,
) -> Answer {
    if let Err(Stop(reason)) = identify::complete::<F, P, T>(packet, tables, question) {
        return Answer::refused(reason);
    }
    let choice = Choice::<F, T>::new(tables, question);
    let named = identify::server(tables, choice.listener(), question.digest);
    let settled = if serves_named(tables, named, choice.now) {
        named
    } else if choice.needs_no_record() {
        choice.slot.cur()
    } else {
        return choice.make();
    };
    match question.admission() {
        Admission::Granted => Answer::id(settled),
        Admission::IfRecorded => Answer::refused(Reason::AccessDenied),
    }
}

/// Whether the backend that a connection id names serves flows that it has. Nothing else shows
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

/// Who serves flows that are older than every record.
struct Older {
    backend: u16,
    /// Id of the pool that the backend belongs to.
    pool: u16,
}

/// A question, taken apart. Each step of the choice has one place in it: the program holds, and the
/// verifier walks, every copy.
struct Choice<'a, F: Family, T> {
    tables: &'a T,
    question: &'a Question<F::FlowKey>,
    slot: Slot,
    packet: u32,
    now: u32,
}

impl<'a, F: Family, T: Tables> Choice<'a, F, T> {
    #[inline(always)]
    fn new(tables: &'a T, question: &'a Question<F::FlowKey>) -> Self {
        let [_, slot] = split(question.slot);
        let [packet, now] = split(question.packet_and_now);
        Self { tables, question, slot: Slot(slot), packet, now }
    }

    /// Recorded flows stay where they are. Of others, new ones go to the slot's present owner or to
    /// the one whose turn it is; those that are older than every record stay with the former owner.
    #[inline(always)]
    fn make(&self) -> Answer {
        let live = self.live();
        if let Some(flow) = live {
            if self.joins(flow) {
                if self.is(packet::OPENS) {
                    // It may be the first of another connection, which lives from now on.
                    let flow = Flow { seen: self.now, ..flow };
                    F::record(self.tables, Stage::Live, &self.question.key, flow);
                    self.came(occasion::LATER, flow);
                }
                return Answer::id(flow.backend);
            }
            if self.is(packet::OPENS) {
                // The client uses its port again: the connection before is over.
                self.forget(Stage::Live, flow);
            }
        }
        if let Some(opening) = self.opening() {
            return self.second(opening, live.is_some());
        }
        if let Some(flow) = live.filter(|_| !self.is(packet::OPENS)) {
            if self.is_carried() {
                // Its ports may be those of another connection by now.
                return Answer::refused(Reason::CarriedOver);
            }
            // A reset may pass: by it the backend learns that its client is gone.
            if flow.is_cut() && !self.is(packet::RESETS) {
                return Answer::refused(Reason::Cut);
            }
            return Answer::id(flow.backend);
        }
        if self.is(packet::IF_RECORDED) {
            return Answer::refused(Reason::AccessDenied);
        }
        self.first()
    }

    /// A packet of a flow that is not known.
    #[inline(always)]
    fn first(&self) -> Answer {
        if self.is(packet::QUOTED) {
            return Answer::id(self.older().backend);
        }
        let opens = self.is(packet::OPENS) || self.is(packet::UDP) && !self.is_held();
        if !opens {
            if self.is_recording() && self.is_carried() {
                return Answer::refused(Reason::CarriedOver);
            }
            return Answer::id(self.stray());
        }
        if self.is_tracked()
            && self.is(packet::UDP)
            && let Err(Stop(reason)) = admit::opening(self.tables, self.listener(), || self.now)
        {
            return Answer::refused(reason);
        }
        if !self.is_recording() {
            return Answer::id(self.slot.cur());
        }
        let next = if self.is_tracked() { self.next() } else { Answer::id(self.slot.cur()) };
        if next.is_refused() {
            return next;
        }
        self.open(next.word() as u16)
    }

    /// The record of the flow among those that live, if its backend still serves it; without that it
    /// ends. So does one that is over: the packet begins another flow, to which it would come back
    /// where the listener goes to a pool with a longer idle timeout.
    #[inline(always)]
    fn live(&self) -> Option<Flow> {
        let visit = self.visit(self.effect());
        let flow = F::find(self.tables, Stage::Live, &self.question.key, &visit)?;
        let is_over = !visit.finds(&flow);
        if is_over && self.is(packet::QUOTED) {
            return None;
        }
        if is_over || !serves_established(self.tables, flow.backend) {
            // As it was counted, whatever the packet made of it.
            self.forget(Stage::Live, flow);
            return None;
        }
        let Flow { flags, seen, .. } = visit.after(flow);
        if flow.flags & !flags & flow_flags::STRAY != 0 {
            self.tables.count_records(F::TABLE, flow.listener, 0, -1);
        }
        if flow.flags & !flags & flow_flags::COUNTED != 0 {
            self.tables.closed(flow.listener, flow.backend);
        }
        // Once a second is enough.
        if seen != flow.seen {
            self.came(occasion::LATER, flow);
        }
        Some(flow)
    }

    /// The record of a flow of which one packet came, if its backend may go on with it; without that
    /// it ends.
    #[inline(always)]
    fn opening(&self) -> Option<Flow> {
        let looks = self.is(packet::QUOTED);
        let mut visit = self.visit(if looks { visit::LOOKS } else { visit::REFRESHES });
        if !self.is(packet::UDP) {
            visit.oldest = visit.oldest.max(self.now.saturating_sub(HALF_OPEN_TIMEOUT));
        }
        let flow = F::find(self.tables, Stage::Opening, &self.question.key, &visit)?;
        let is_over = !visit.finds(&flow);
        if is_over && looks {
            return None;
        }
        // As of those that live: where the listener goes to a pool with a longer idle timeout, it would come back.
        let goes_on = !is_over
            && if self.is(packet::OPENS) {
                self.takes_new(flow.backend)
            } else {
                serves_established(self.tables, flow.backend)
            };
        if !goes_on {
            self.forget(Stage::Opening, flow);
            return None;
        }
        Some(flow)
    }

    /// What the packet does to the record of a flow that lives.
    #[inline(always)]
    fn effect(&self) -> u8 {
        if self.is(packet::OPENS | packet::QUOTED) {
            visit::LOOKS
        } else if self.is(packet::CLOSES) {
            visit::CLOSES
        } else {
            visit::REFRESHES
        }
    }

    #[inline(always)]
    fn visit(&self, effect: u8) -> Visit {
        let Listener { id, pool, flags, former_pool, .. } = *self.listener();
        // Datagrams have no end: they follow the listener to its pool when the connections that
        // are older than its move are known.
        let is_datagram = self.is(packet::UDP) && self.question.digest == 0;
        let is_moved = flags & listener_flags::MOVED != 0;
        let any_pool = is_moved && !(is_datagram && former_pool == NO_POOL);
        let oldest = self.pool().oldest(self.now, is_moved);
        Visit { listener: id, pool, any_pool, effect, oldest, now: self.now }
    }

    /// Whether the packet belongs to a recorded flow, and is not one of another with the same ports.
    #[inline(always)]
    fn joins(&self, flow: Flow) -> bool {
        !flow.is_closed() && (!self.is(packet::OPENS) || self.takes_new(flow.backend))
    }

    /// A packet of a flow of which one came before: it lives. A record that its client closed may be
    /// in the place of its record.
    #[inline(always)]
    fn second(&self, opening: Flow, replaces: bool) -> Answer {
        if self.is(packet::OPENS | packet::CLOSES | packet::QUOTED) {
            return Answer::id(opening.backend);
        }
        let Listener { id, .. } = *self.listener();
        let is_tracked = self.is_tracked();
        if is_tracked && admit::is_full(self.tables, self.listener()) {
            return Answer::refused(Reason::ConnectionLimit);
        }
        if self.is_full(opening.backend) {
            return Answer::refused(Reason::MemberLimit);
        }
        if !self.tables.has_room(F::TABLE, id, Claim::Live, self.now) {
            if opening.flags & flow_flags::REFUSED == 0 {
                self.refused();
                let opening = Flow { flags: opening.flags | flow_flags::REFUSED, ..opening };
                F::record(self.tables, Stage::Opening, &self.question.key, opening);
            }
            return self.unrecorded(opening.backend);
        }
        let flags = if is_tracked { flow_flags::COUNTED } else { 0 };
        let flow = Flow { flags, seen: self.now, since: self.now, ..opening };
        F::record(self.tables, Stage::Live, &self.question.key, flow);
        F::forget(self.tables, Stage::Opening, &self.question.key);
        self.came(occasion::SECOND, flow);
        if !replaces {
            self.tables.count_records(F::TABLE, id, 1, 0);
        }
        if is_tracked {
            self.tables.opened(id, flow.backend);
            if self.counts_openings() && opening.since == self.now {
                self.tables.no_longer_opening(flow.backend, self.now);
            }
        }
        Answer::id(flow.backend)
    }

    /// Notes that a backend serves a flow whose first packet this is. Where there is no room for
    /// its record, it goes where packets without a record go, if new flows are welcome there.
    #[inline(always)]
    fn open(&self, backend: u16) -> Answer {
        if backend == 0 {
            return Answer::id(0);
        }
        let Listener { id, pool, .. } = *self.listener();
        if !self.tables.has_room(F::TABLE, id, Claim::Opening, self.now) {
            self.refused();
            let older = self.older().backend;
            let is_welcome = older == self.slot.cur() || self.takes_new(older);
            let refused = Answer::refused(Reason::NoRecord);
            return if is_welcome { self.unrecorded(older) } else { refused };
        }
        let flow = Flow { backend, pool, listener: id, flags: 0, seen: self.now, since: self.now };
        F::record(self.tables, Stage::Opening, &self.question.key, flow);
        if self.counts_openings() {
            self.tables.opening(backend, self.now);
        }
        self.came(occasion::FIRST, flow);
        Answer::id(backend)
    }

    /// A packet that opens no flow, of none that is recorded: the flow is older than every record.
    /// Id of the backend that serves it.
    #[inline(always)]
    fn stray(&self) -> u16 {
        let Older { backend, pool } = self.older();
        let id = self.listener().id;
        let is_older = self.slot.is_moving() || self.has_origin();
        if backend == 0 || !is_older {
            return backend;
        }
        if self.tables.has_room(F::TABLE, id, Claim::Stray, self.now) {
            let flags = flow_flags::STRAY;
            let flow = Flow { backend, pool, listener: id, flags, seen: self.now, since: self.now };
            F::record(self.tables, Stage::Live, &self.question.key, flow);
            self.tables.count_records(F::TABLE, id, 1, 1);
        } else {
            self.refused();
        }
        backend
    }

    /// Where nothing can be recorded: a pool that records every flow serves none that it could not
    /// keep where it is.
    #[inline(always)]
    fn unrecorded(&self, backend: u16) -> Answer {
        if self.is_tracked() { Answer::refused(Reason::NoRecord) } else { Answer::id(backend) }
    }

    #[inline(always)]
    fn refused(&self) {
        let Listener { id, pool, .. } = *self.listener();
        self.tables.refused(id, pool, self.now);
    }

    /// Ends a record of the flow.
    #[inline(always)]
    fn forget(&self, stage: Stage, flow: Flow) {
        if !F::forget(self.tables, stage, &self.question.key) || stage == Stage::Opening {
            return;
        }
        self.tables.count_records(F::TABLE, flow.listener, -1, -i64::from(flow.is_stray()));
        if flow.is_counted() {
            self.tables.closed(flow.listener, flow.backend);
        }
    }

    /// Who serves flows that are older than every change and every record.
    #[inline(always)]
    fn older(&self) -> Older {
        let Listener { pool, former_pool, .. } = *self.listener();
        let has_origin = self.has_origin();
        let owner = if has_origin { self.former_owner() } else { oldest_owner(self.slot) };
        if !serves_established(self.tables, owner) {
            return Older { backend: self.slot.cur(), pool };
        }
        let is_of_former = has_origin && former_pool != NO_POOL;
        Older { backend: owner, pool: if is_of_former { former_pool } else { pool } }
    }

    /// Who served the flow on the ring before.
    #[inline(always)]
    fn former_owner(&self) -> u16 {
        let Question { tuple, digest, former_digest, .. } = self.question;
        if digest != former_digest {
            let visit = Visit { any_pool: true, ..self.visit(visit::LOOKS) };
            let found = F::find(self.tables, Stage::Live, &self.question.former_key, &visit);
            if let Some(flow) = found.filter(|flow| visit.finds(flow)) {
                return flow.backend;
            }
        }
        let Ring { base, size, algorithm, .. } = *self.origin();
        let hash = identify::hash::<F>(tuple, *former_digest, algorithm);
        let index = base.wrapping_add(ring::index(hash, size));
        oldest_owner(self.tables.slot(index).unwrap_or(self.slot))
    }

    /// Whether a backend has as many connections as it may, by a count that a sweep corrects.
    #[inline(always)]
    fn is_full(&self, id: u16) -> bool {
        self.listener().limits_members()
            && self.tables.room(id, self.now) == NONE
            && self.tables.counts_are_believed()
    }

    /// Whether flows that open count before they are connections.
    #[inline(always)]
    fn counts_openings(&self) -> bool {
        let listener = self.listener();
        listener.algorithm == algorithm::LEAST_CONNECTIONS || listener.limits_members()
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
    fn origin(&self) -> &Ring {
        bytemuck::cast_ref(&self.question.origin)
    }

    /// Whether flows older than every record live on another ring.
    #[inline(always)]
    fn has_origin(&self) -> bool {
        self.origin().size != 0
    }

    #[inline(always)]
    fn is_tracked(&self) -> bool {
        self.listener().flags & listener_flags::TRACKED != 0
    }

    /// Whether new flows are recorded: where those without a record go elsewhere.
    #[inline(always)]
    fn is_recording(&self) -> bool {
        self.is_tracked() || self.slot.is_moving() || self.has_origin()
    }

    /// Whether a record may exist that is not here yet.
    #[inline(always)]
    fn is_carried(&self) -> bool {
        self.tables.is_carried(F::TABLE, self.now)
    }

    /// Whether all flows go to the owner of the slot.
    #[inline(always)]
    fn needs_no_record(&self) -> bool {
        let is_moved = self.listener().flags & listener_flags::MOVED != 0;
        self.slot.is_settled() && !self.is_tracked() && !is_moved && !self.has_origin()
    }

    /// Whether datagrams without a record belong to flows that are older than the last change.
    #[inline(always)]
    fn is_held(&self) -> bool {
        let Listener { former_pool, former_hold_until, .. } = *self.listener();
        if former_pool != NO_POOL {
            return self.now < former_hold_until;
        }
        (self.slot.is_moving() || self.has_origin()) && self.now < self.pool().udp_hold_until
    }

    /// Whether the packet is one of these kinds.
    #[inline(always)]
    fn is(&self, kinds: u32) -> bool {
        self.packet & kinds != 0
    }
}

#[inline(always)]
fn oldest_owner(slot: Slot) -> u16 {
    if slot.is_moving() { slot.prev() } else { slot.cur() }
}
