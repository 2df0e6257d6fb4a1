//! Tables that report what they were asked, and what they answered: how a decision is explained and
//! traced without the packet path knowing.

mod asked;
mod translations;

pub use asked::Asked;

#[cfg(any(test, feature = "std"))]
use core::cell::RefCell;

use super::choose;
use super::control::Quote;
use super::question::{Question, QuestionV4, QuestionV6};
use super::subprogram::{self};
use super::{Family, Packet, Stop, Tables, Target, V4, V6};
use crate::addr::{Be32, Be128, Mac};
use crate::admission::{GroupKeyV4, GroupKeyV6};
use crate::backend::Backend;
use crate::client::{Client, ClientKey};
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage, Visit};
use crate::fragment::Fragment;
use crate::interface::{Interface, MacKey};
use crate::listener::{CidPart, Listener, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip};
use crate::pool::Pool;
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::ring::Slot;
use crate::room::Claim;

/// Takes notes of what tables were asked.
pub trait Note<'t> {
    /// Whether to note what the steps ask, too, that may be subprograms (see [`super::subprogram`]). A
    /// program in which they are cannot.
    const SUBPROGRAMS: bool;
    /// Whether to note what the flow log needs, see [`Tables::IS_LOGGED`].
    const LOGS: bool = false;
    /// Whether to note where each packet goes, as a program that traces packets does.
    const TRACES: bool = false;

    /// Takes notice of a question and its answer, in their order.
    fn note(&self, asked: Asked<'t>);
}

/// The whole protocol.
#[cfg(any(test, feature = "std"))]
impl<'t> Note<'t> for RefCell<std::vec::Vec<Asked<'t>>> {
    const SUBPROGRAMS: bool = true;

    fn note(&self, asked: Asked<'t>) {
        self.borrow_mut().push(asked);
    }
}

/// Tables that pass every question on and report it to `note`. What is written reaches the tables, too.
#[derive(Debug)]
pub struct Witness<'t, 'n, T, N> {
    tables: &'t T,
    note: &'n N,
}

impl<'t, 'n, T, N: Note<'t>> Witness<'t, 'n, T, N> {
    /// Stands between the packet path and `tables`.
    #[inline(always)]
    pub const fn new(tables: &'t T, note: &'n N) -> Self {
        Self { tables, note }
    }

    #[inline(always)]
    fn noted<A: Copy>(&self, answer: A, asked: impl FnOnce(A) -> Asked<'t>) -> A {
        self.note.note(asked(answer));
        answer
    }

    #[inline(always)]
    fn answering(&self) {
        if N::LOGS {
            self.note.note(Asked::Answering);
        }
    }
}

impl<'t, T: Tables, N: Note<'t>> Tables for Witness<'t, '_, T, N> {
    const IS_LOGGED: bool = N::LOGS;
    const IS_APART: bool = !N::SUBPROGRAMS;
    const IS_TRACED: bool = N::TRACES;

    #[inline(always)]
    fn may_be_vip_v4(&self, address: Be32) -> bool {
        self.noted(self.tables.may_be_vip_v4(address), |may| Asked::MayBeVipV4(address, may))
    }
    #[inline(always)]
    fn may_be_vip_v6(&self, address: Be128) -> bool {
        self.noted(self.tables.may_be_vip_v6(address), |may| Asked::MayBeVipV6(address, may))
    }
    #[inline(always)]
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        self.noted(self.tables.listener_v4(key), |answer| Asked::ListenerV4(*key, answer))
    }
    #[inline(always)]
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        self.noted(self.tables.listener_v6(key), |answer| Asked::ListenerV6(*key, answer))
    }
    #[inline(always)]
    fn range(&self, key: &RangeKey) -> Option<&Listener> {
        self.noted(self.tables.range(key), |answer| Asked::Range(*key, answer))
    }
    #[inline(always)]
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        self.noted(self.tables.vip_v4(address), |answer| Asked::VipV4(address, answer))
    }
    #[inline(always)]
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        self.noted(self.tables.vip_v6(address), |answer| Asked::VipV6(address, answer))
    }
    #[inline(always)]
    fn group_v4(&self, key: &GroupKeyV4) -> bool {
        self.noted(self.tables.group_v4(key), |answer| Asked::GroupV4(*key, answer))
    }
    #[inline(always)]
    fn group_v6(&self, key: &GroupKeyV6) -> bool {
        self.noted(self.tables.group_v6(key), |answer| Asked::GroupV6(*key, answer))
    }
    #[inline(always)]
    fn may_open(&self, listener: u16, limit: u32, now: u32) -> bool {
        self.noted(self.tables.may_open(listener, limit, now), |may| Asked::MayOpen(listener, may))
    }
    #[inline(always)]
    fn listener_connections(&self, listener: u16) -> u32 {
        self.noted(self.tables.listener_connections(listener), |open| {
            Asked::ListenerConnections(listener, open)
        })
    }
    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        self.noted(self.tables.slot(index), |answer| Asked::Slot(index, answer))
    }
    #[inline(always)]
    fn pool(&self, id: u16) -> Option<Pool> {
        self.noted(self.tables.pool(id), |answer| Asked::Pool(id, answer))
    }
    #[inline(always)]
    fn turn(&self, pool: u16) -> u32 {
        self.noted(self.tables.turn(pool), |turn| Asked::Turn(pool, turn))
    }
    #[inline(always)]
    fn server(&self, key: &ServerIdKey) -> Option<u16> {
        self.noted(self.tables.server(key), |answer| Asked::Server(*key, answer))
    }
    #[inline(always)]
    fn note_named(&self, backend: u16, now: u32) {
        self.tables.note_named(backend, now);
    }
    #[inline(always)]
    fn backend_connections(&self, backend: u16, now: u32) -> u32 {
        self.noted(self.tables.backend_connections(backend, now), |open| {
            Asked::BackendConnections(backend, open)
        })
    }
    #[inline(always)]
    fn backend(&self, id: u16) -> Option<&Backend> {
        self.noted(self.tables.backend(id), |answer| Asked::Backend(id, answer))
    }
    #[inline(always)]
    fn find_v4(&self, stage: Stage, key: &FlowKeyV4, visit: &Visit) -> Option<Flow> {
        self.noted(self.tables.find_v4(stage, key, visit), |answer| {
            Asked::FindV4(stage, *key, answer)
        })
    }
    #[inline(always)]
    fn find_v6(&self, stage: Stage, key: &FlowKeyV6, visit: &Visit) -> Option<Flow> {
        self.noted(self.tables.find_v6(stage, key, visit), |answer| {
            Asked::FindV6(stage, *key, answer)
        })
    }
    #[inline(always)]
    fn record_v4(&self, stage: Stage, key: &FlowKeyV4, flow: Flow) {
        self.tables.record_v4(stage, key, flow);
        self.note.note(Asked::RecordV4(stage, *key, flow));
    }
    #[inline(always)]
    fn record_v6(&self, stage: Stage, key: &FlowKeyV6, flow: Flow) {
        self.tables.record_v6(stage, key, flow);
        self.note.note(Asked::RecordV6(stage, *key, flow));
    }
    #[inline(always)]
    fn forget_v4(&self, stage: Stage, key: &FlowKeyV4) -> bool {
        self.noted(self.tables.forget_v4(stage, key), |was| Asked::ForgetV4(stage, *key, was))
    }
    #[inline(always)]
    fn forget_v6(&self, stage: Stage, key: &FlowKeyV6) -> bool {
        self.noted(self.tables.forget_v6(stage, key), |was| Asked::ForgetV6(stage, *key, was))
    }
    #[inline(always)]
    fn client(&self, stage: Stage, key: &ClientKey) -> Option<Client> {
        self.noted(self.tables.client(stage, key), |answer| Asked::Client(stage, *key, answer))
    }
    #[inline(always)]
    fn note_client(&self, stage: Stage, key: &ClientKey, client: Client) {
        self.tables.note_client(stage, key, client);
        self.note.note(Asked::NoteClient(stage, *key, client));
    }
    #[inline(always)]
    fn has_room(&self, table: usize, listener: u16, claim: Claim, now: u32) -> bool {
        self.noted(self.tables.has_room(table, listener, claim, now), |has| {
            Asked::HasRoom(listener, claim, has)
        })
    }
    #[inline(always)]
    fn count_records(&self, table: usize, listener: u16, records: i64, strays: i64) {
        self.tables.count_records(table, listener, records, strays);
        self.note.note(Asked::CountRecords(listener, records, strays));
    }
    #[inline(always)]
    fn refused(&self, listener: u16, pool: u16, now: u32) {
        self.tables.refused(listener, pool, now);
        self.note.note(Asked::Refused(listener));
    }
    #[inline(always)]
    fn counts_are_believed(&self) -> bool {
        self.noted(self.tables.counts_are_believed(), Asked::CountsAreBelieved)
    }
    #[inline(always)]
    fn is_carried(&self, table: usize, now: u32) -> bool {
        self.noted(self.tables.is_carried(table, now), Asked::IsCarried)
    }
    #[inline(always)]
    fn opening(&self, backend: u16, now: u32) {
        self.tables.opening(backend, now);
        self.note.note(Asked::Opening(backend));
    }
    #[inline(always)]
    fn no_longer_opening(&self, backend: u16, now: u32) {
        self.tables.no_longer_opening(backend, now);
        self.note.note(Asked::NoLongerOpening(backend));
    }
    #[inline(always)]
    fn opened(&self, listener: u16, backend: u16) {
        self.tables.opened(listener, backend);
        self.note.note(Asked::Opened(listener, backend));
    }
    #[inline(always)]
    fn closed(&self, listener: u16, backend: u16) {
        self.tables.closed(listener, backend);
        self.note.note(Asked::Closed(listener, backend));
    }
    #[inline(always)]
    fn choose_v4<P: Packet>(
        &self,
        packet: &P,
        ask: impl FnOnce(&mut QuestionV4),
    ) -> Result<u16, Stop> {
        if !N::SUBPROGRAMS {
            return self.tables.choose_v4(packet, ask);
        }
        let mut question = QuestionV4::default();
        ask(&mut question);
        choose::answer::<V4, P, Self>(packet, self, &mut question).get()
    }
    #[inline(always)]
    fn choose_v6<P: Packet>(
        &self,
        packet: &P,
        ask: impl FnOnce(&mut QuestionV6),
    ) -> Result<u16, Stop> {
        if !N::SUBPROGRAMS {
            return self.tables.choose_v6(packet, ask);
        }
        let mut question = QuestionV6::default();
        ask(&mut question);
        choose::answer::<V6, P, Self>(packet, self, &mut question).get()
    }
    #[inline(always)]
    fn another(&self, schedule: choose::Schedule, turn: u32) -> u32 {
        if N::SUBPROGRAMS {
            choose::another(self, &schedule, turn)
        } else {
            self.tables.another(schedule, turn)
        }
    }
    #[inline(always)]
    fn least_loaded(&self, schedule: choose::Schedule, turn: u32) -> u16 {
        if N::SUBPROGRAMS {
            schedule.least_loaded(self, turn).unwrap_or(0)
        } else {
            self.tables.least_loaded(schedule, turn)
        }
    }
    #[inline(always)]
    fn owner_room(&self, slot: u32, now: u32, best: u32) -> u32 {
        if N::SUBPROGRAMS {
            choose::room_of_owner(self, slot, now, best)
        } else {
            self.tables.owner_room(slot, now, best)
        }
    }
    #[inline(always)]
    fn room(&self, backend: u16, now: u32) -> u32 {
        if N::SUBPROGRAMS {
            choose::room_of(self, backend, now)
        } else {
            self.tables.room(backend, now)
        }
    }
    #[inline(always)]
    fn client_at<F: Family>(&self, asked: &Question<F::FlowKey>, at: u32, backend: u16) -> u16 {
        if N::SUBPROGRAMS {
            choose::client::<F, Self>(self, asked, at, backend)
        } else {
            self.tables.client_at::<F>(asked, at, backend)
        }
    }
    #[inline(always)]
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16> {
        self.noted(self.tables.probed_v4(key), |answer| Asked::ProbedV4(*key, answer))
    }
    #[inline(always)]
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16> {
        self.noted(self.tables.probed_v6(key), |answer| Asked::ProbedV6(*key, answer))
    }
    #[inline(always)]
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment> {
        self.noted(self.tables.fragment_v4(key), |answer| Asked::FragmentV4(*key, answer))
    }
    #[inline(always)]
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment> {
        self.noted(self.tables.fragment_v6(key), |answer| Asked::FragmentV6(*key, answer))
    }
    #[inline(always)]
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment) {
        self.tables.record_fragment_v4(key, fragment);
        self.note.note(Asked::RecordFragmentV4(*key, fragment));
    }
    #[inline(always)]
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment) {
        self.tables.record_fragment_v6(key, fragment);
        self.note.note(Asked::RecordFragmentV6(*key, fragment));
    }
    #[inline(always)]
    fn may_answer(&self, kind: u32, now: u32) -> bool {
        self.noted(self.tables.may_answer(kind, now), Asked::MayAnswer)
    }
    #[inline(always)]
    fn connection_id<P: Packet>(&self, packet: &P, datagram: usize, part: CidPart) -> Option<u64> {
        self.tables.connection_id(packet, datagram, part)
    }
    #[inline(always)]
    fn answer<F: Family, P: Packet>(&self, packet: &mut P) -> Reason {
        if N::SUBPROGRAMS {
            subprogram::answer::<F, P, Self>(packet, self)
        } else {
            self.tables.answer::<F, P>(packet)
        }
    }
    #[inline(always)]
    fn quote<F: Family, P: Packet>(&self, packet: &P) -> Result<Quote, Stop> {
        if N::SUBPROGRAMS {
            subprogram::quote::<F, P, Self>(packet, self)
        } else {
            self.tables.quote::<F, P>(packet)
        }
    }
    #[inline(always)]
    fn refuse<F: Family, P: Packet>(&self, packet: &mut P, refusal: u32) -> Reason {
        self.answering();
        if N::SUBPROGRAMS {
            subprogram::refuse::<F, P, Self>(packet, self, refusal)
        } else {
            self.tables.refuse::<F, P>(packet, refusal)
        }
    }
    #[inline(always)]
    fn stray<P: Packet>(&self, packet: &P) -> Option<Reason> {
        if N::SUBPROGRAMS { subprogram::stray(packet, self) } else { self.tables.stray(packet) }
    }
    #[inline(always)]
    fn fragment_target<F: Family, P: Packet>(&self, packet: &P) -> Option<Target> {
        if N::SUBPROGRAMS {
            subprogram::fragment_target::<F, P, Self>(packet, self)
        } else {
            self.tables.fragment_target::<F, P>(packet)
        }
    }
    #[inline(always)]
    fn note_fragment<F: Family, P: Packet>(&self, packet: &P, target: Target, part: u32) {
        if N::SUBPROGRAMS {
            subprogram::note_fragment::<F, P, Self>(packet, self, target, part);
        } else {
            self.tables.note_fragment::<F, P>(packet, target, part);
        }
    }
    #[inline(always)]
    fn too_big<F: Family, P: Packet>(&self, packet: &mut P, mtu: u16) -> Reason {
        self.answering();
        if N::SUBPROGRAMS {
            subprogram::too_big::<F, P, Self>(packet, self, mtu)
        } else {
            self.tables.too_big::<F, P>(packet, mtu)
        }
    }
    #[inline(always)]
    fn now(&self) -> u32 {
        self.noted(self.tables.now(), Asked::Now)
    }
    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        self.noted(self.tables.interface(index), |answer| Asked::Interface(index, answer))
    }
    #[inline(always)]
    fn is_mac_of(&self, index: u32, mac: Mac) -> bool {
        self.noted(self.tables.is_mac_of(index, mac), |is| Asked::IsMacOf(index, mac, is))
    }
    #[inline(always)]
    fn takes_mac(&self, key: &MacKey) -> bool {
        self.noted(self.tables.takes_mac(key), |takes| Asked::TakesMac(*key, takes))
    }
    #[inline(always)]
    fn is_connected_v4(&self, key: &FlowKeyV4) -> bool {
        self.noted(self.tables.is_connected_v4(key), Asked::IsConnected)
    }
    #[inline(always)]
    fn is_connected_v6(&self, key: &FlowKeyV6) -> bool {
        self.noted(self.tables.is_connected_v6(key), Asked::IsConnected)
    }
    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        self.noted(self.tables.redirect(ifindex), |answer| Asked::Redirect(ifindex, answer))
    }
    #[inline(always)]
    fn count_listener(&self, id: u16, bytes: u64) {
        self.tables.count_listener(id, bytes);
        self.note.note(Asked::CountListener(id));
    }
    #[inline(always)]
    fn count_backend(&self, id: u16, bytes: u64) {
        self.tables.count_backend(id, bytes);
        self.note.note(Asked::CountBackend(id));
    }
    #[inline(always)]
    fn count_opening(&self, listener: u16, backend: u16) {
        self.tables.count_opening(listener, backend);
        self.note.note(Asked::CountOpening(listener, backend));
    }
    #[inline(always)]
    fn count_reset(&self, listener: u16) {
        self.tables.count_reset(listener);
        self.note.note(Asked::CountReset(listener));
    }
    #[inline(always)]
    fn count_dropped(&self, listener: u16, reason: Reason) {
        self.tables.count_dropped(listener, reason);
        self.note.note(Asked::CountDropped(listener, reason));
    }
    #[inline(always)]
    fn count_reason(&self, reason: Reason, bytes: u64) {
        self.tables.count_reason(reason, bytes);
        self.note.note(Asked::CountReason(reason));
    }
    #[inline(always)]
    fn chosen(&self, listener: u16, backend: u16) {
        self.note.note(Asked::Chosen(listener, backend));
    }
    #[inline(always)]
    fn stopped(&self, listener: u16, backend: u16) {
        self.note.note(Asked::Stopped(listener, backend));
    }
}

#[cfg(test)]
mod tests;
