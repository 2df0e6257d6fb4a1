//! The questions of the packet path, answered by the maps.

mod translations;

use core::mem::offset_of;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::maps::lpm_trie::Key;
use elb_common::addr::{Be32, Be128, Mac};
use elb_common::admission::{GroupKeyV4, GroupKeyV6, connections};
use elb_common::backend::Backend;
use elb_common::client::{Client, ClientKey};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage, Visit};
use elb_common::fragment::Fragment;
use elb_common::interface::{Interface, LinkMac, MacKey};
use elb_common::listener::{CidPart, Listener, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip};
use elb_common::path::choose::Schedule;
use elb_common::path::control::Quote;
use elb_common::path::question::{Question, QuestionV4, QuestionV6};
use elb_common::path::{Family, Packet, Stop, Tables, Target};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Slot};
use elb_common::room::Claim;
use elb_common::vip_bits::VipBit;

use crate::handle::Maps;
use crate::maps::*;
use crate::shared::{
    add, client, count, count_connection, count_opening, count_records, find, note, note_client,
    take_back_opening,
};
use crate::subprogram;

/// Reads of records that the agent may replace meanwhile see the old or the new word; see the
/// records for what that means.
impl Tables for Maps<'_> {
    #[inline(always)]
    fn may_be_vip_v4(&self, address: Be32) -> bool {
        is_set(VipBit::v4(address))
    }

    #[inline(always)]
    fn may_be_vip_v6(&self, address: Be128) -> bool {
        is_set(VipBit::v6(address))
    }

    #[inline(always)]
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        // SAFETY: elements of a preallocated hash map stay mapped, and any bytes are a listener. One that
        // the agent replaced may be given to another listener while a packet reads it (the kernel's
        // alloc_htab_elem): that packet may be balanced as one of the other's, which nothing here prevents.
        unsafe { LISTENERS_V4.get(key) }
    }

    #[inline(always)]
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        // SAFETY: as for IPv4.
        unsafe { LISTENERS_V6.get(key) }
    }

    #[inline(always)]
    fn range(&self, key: &RangeKey) -> Option<&Listener> {
        // The agent replaces a node of the trie as it replaces an element of a hash.
        PORT_RANGES.get(Prefix::new(64, *key).key())
    }

    #[inline(always)]
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        // SAFETY: one word, copied at once.
        unsafe { VIPS_V4.get(address.raw()) }.copied()
    }

    #[inline(always)]
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        // SAFETY: one word, copied at once.
        unsafe { VIPS_V6.get(address.raw()) }.copied()
    }

    #[inline(always)]
    fn group_v4(&self, key: &GroupKeyV4) -> bool {
        GROUPS_V4.get(Prefix::new(64, *key).key()).is_some()
    }

    #[inline(always)]
    fn group_v6(&self, key: &GroupKeyV6) -> bool {
        GROUPS_V6.get(Prefix::new(160, key.words()).key()).is_some()
    }

    #[inline(always)]
    fn may_open(&self, listener: u16, limit: u32, now: u32) -> bool {
        let Some(state) = LISTENER_STATES.get_ptr_mut(u32::from(listener)) else { return false };
        // SAFETY: the element stays mapped while the program runs; packets on all CPUs and the
        // agent write its words atomically.
        unsafe { count_opening(&raw mut (*state).opened, now) <= limit }
    }

    #[inline(always)]
    fn listener_connections(&self, listener: u16) -> u32 {
        LISTENER_STATES.get(u32::from(listener)).map_or(0, |state| connections(state.connections))
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        let chunk = RINGS.get(index / CHUNK)?;
        Some(Slot(chunk[(index % CHUNK) as usize]))
    }

    #[inline(always)]
    fn pool(&self, id: u16) -> Option<Pool> {
        POOLS.get(u32::from(id)).copied()
    }

    #[inline(always)]
    fn turn(&self, pool: u16) -> u32 {
        let Some(state) = POOL_STATES.get_ptr_mut(u32::from(pool)) else { return 0 };
        // SAFETY: as in `may_open`.
        unsafe { add(&raw mut (*state).turn, 1) as u32 }
    }

    #[inline(always)]
    fn server(&self, key: &ServerIdKey) -> Option<u16> {
        // SAFETY: one word, copied at once.
        unsafe { SERVER_IDS.get(key) }.map(|id| *id as u16)
    }

    #[inline(always)]
    fn note_named(&self, backend: u16, now: u32) {
        let Some(named) = BACKENDS_NAMED.get_ptr_mut(u32::from(backend)) else { return };
        // SAFETY: the map holds the word for as long as the program lives.
        unsafe { note(named, now) }
    }

    #[inline(always)]
    fn backend_connections(&self, backend: u16, now: u32) -> u32 {
        BACKEND_STATES.get(u32::from(backend)).map_or(0, |state| state.load(now))
    }

    #[inline(always)]
    fn backend(&self, id: u16) -> Option<&Backend> {
        BACKENDS.get(u32::from(id))
    }

    #[inline(always)]
    fn find_v4(&self, stage: Stage, key: &FlowKeyV4, by: &Visit) -> Option<Flow> {
        find(stage_of(stage, &OPENINGS_V4, &FLOWS_V4).get_ptr_mut(key)?, by)
    }

    #[inline(always)]
    fn find_v6(&self, stage: Stage, key: &FlowKeyV6, by: &Visit) -> Option<Flow> {
        find(stage_of(stage, &OPENINGS_V6, &FLOWS_V6).get_ptr_mut(key)?, by)
    }

    #[inline(always)]
    fn record_v4(&self, stage: Stage, key: &FlowKeyV4, flow: Flow) {
        // A flow that cannot be recorded is served by the former owner's rule.
        let _ = stage_of(stage, &OPENINGS_V4, &FLOWS_V4).insert(key, flow, 0);
    }

    #[inline(always)]
    fn record_v6(&self, stage: Stage, key: &FlowKeyV6, flow: Flow) {
        // A flow that cannot be recorded is served by the former owner's rule.
        let _ = stage_of(stage, &OPENINGS_V6, &FLOWS_V6).insert(key, flow, 0);
    }

    #[inline(always)]
    fn forget_v4(&self, stage: Stage, key: &FlowKeyV4) -> bool {
        stage_of(stage, &OPENINGS_V4, &FLOWS_V4).remove(key).is_ok()
    }

    #[inline(always)]
    fn forget_v6(&self, stage: Stage, key: &FlowKeyV6) -> bool {
        stage_of(stage, &OPENINGS_V6, &FLOWS_V6).remove(key).is_ok()
    }

    #[inline(always)]
    fn client(&self, stage: Stage, key: &ClientKey) -> Option<Client> {
        stage_of(stage, &CLIENT_OPENINGS, &CLIENTS).get_ptr(key).map(client)
    }

    #[inline(always)]
    fn note_client(&self, stage: Stage, key: &ClientKey, client: Client) {
        note_client(stage_of(stage, &CLIENT_OPENINGS, &CLIENTS), key, client);
    }

    #[inline(always)]
    fn has_room(&self, table: usize, listener: u16, claim: Claim, now: u32) -> bool {
        let Some(state) = LISTENER_STATES.get(u32::from(listener)) else { return false };
        let Some(all) = FLOW_TABLES.get(table as u32) else { return false };
        all.has_room(state.own(table), claim, now)
    }

    #[inline(always)]
    fn count_records(&self, table: usize, listener: u16, records: i64, strays: i64) {
        count_records(table, listener, records, strays);
    }

    #[inline(always)]
    fn refused(&self, listener: u16, pool: u16, now: u32) {
        let Some(state) = LISTENER_STATES.get_ptr_mut(u32::from(listener)) else { return };
        let Some(pool) = POOL_STATES.get_ptr_mut(u32::from(pool)) else { return };
        // SAFETY: as in `may_open`; the second is a word that any CPU may write.
        unsafe {
            add(&raw mut (*state).refused, 1);
            note(&raw mut (*pool).refused, now);
        }
    }

    #[inline(always)]
    fn counts_are_believed(&self) -> bool {
        FLOW_TABLES.get(0).is_some_and(|table| table.is_believed(self.now()))
    }

    #[inline(always)]
    fn is_carried(&self, table: usize, now: u32) -> bool {
        FLOW_TABLES.get(table as u32).is_some_and(|table| table.is_carried(now))
    }

    #[inline(always)]
    fn opening(&self, backend: u16, now: u32) {
        let Some(state) = BACKEND_STATES.get_ptr_mut(u32::from(backend)) else { return };
        // SAFETY: as in `may_open`.
        unsafe { count_opening(&raw mut (*state).opened, now) };
    }

    #[inline(always)]
    fn no_longer_opening(&self, backend: u16, now: u32) {
        let Some(state) = BACKEND_STATES.get_ptr_mut(u32::from(backend)) else { return };
        // SAFETY: as in `may_open`.
        unsafe { take_back_opening(&raw mut (*state).opened, now) };
    }

    #[inline(always)]
    fn opened(&self, listener: u16, backend: u16) {
        count_connection(listener, backend, 1);
    }

    #[inline(always)]
    fn closed(&self, listener: u16, backend: u16) {
        count_connection(listener, backend, 1u64.wrapping_neg());
    }

    #[inline(always)]
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16> {
        // SAFETY: one word, copied at once; an element that is recycled meanwhile yields another
        // probe's backend for one packet.
        unsafe { PROBES_V4.get(key) }.map(|id| *id as u16)
    }

    #[inline(always)]
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16> {
        // SAFETY: as for IPv4.
        unsafe { PROBES_V6.get(key) }.map(|id| *id as u16)
    }

    #[inline(always)]
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment> {
        // SAFETY: copied at once; an element that is recycled meanwhile yields another datagram's
        // backend for one fragment.
        unsafe { FRAGMENTS_V4.get(key) }.copied()
    }

    #[inline(always)]
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment> {
        // SAFETY: as for IPv4.
        unsafe { FRAGMENTS_V6.get(key) }.copied()
    }

    #[inline(always)]
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment) {
        // Without a record, later fragments are dropped as those are that come before the first.
        let _ = FRAGMENTS_V4.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment) {
        let _ = FRAGMENTS_V6.insert(key, fragment, 0);
    }

    #[inline(always)]
    fn may_answer(&self, kind: u32, now: u32) -> bool {
        let Some(errors_sent) = ERRORS_SENT.get_ptr_mut(kind) else { return false };
        // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each other
        // on one CPU.
        unsafe { (*errors_sent).one_more(kind, now) }
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes no argument and touches no memory of ours.
        (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32
    }

    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        // SAFETY: one word, copied at once.
        unsafe { INTERFACES.get(index) }.copied()
    }

    #[inline(always)]
    fn is_mac_of(&self, index: u32, mac: Mac) -> bool {
        // A packet that comes while the address is being replaced is looked up in `INTERFACES`.
        INTERFACE_MACS.get(LinkMac::place(index)).is_some_and(|l| l.index == index && l.mac == mac)
    }

    #[inline(always)]
    fn takes_mac(&self, key: &MacKey) -> bool {
        // SAFETY: the value is not looked at.
        unsafe { MORE_MACS.get(key) }.is_some()
    }

    #[inline(always)]
    fn is_connected_v4(&self, key: &FlowKeyV4) -> bool {
        subprogram::is_connected_v4(self.context, key)
    }

    #[inline(always)]
    fn is_connected_v6(&self, key: &FlowKeyV6) -> bool {
        subprogram::is_connected_v6(self.context, key)
    }

    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        let action = DEVMAP.redirect(ifindex, u64::from(xdp_action::XDP_DROP));
        action.is_ok_and(|action| action == xdp_action::XDP_REDIRECT)
    }

    #[inline(always)]
    fn count_listener(&self, id: u16, bytes: u64) {
        count(&LISTENER_COUNTERS, u32::from(id), bytes);
    }

    #[inline(always)]
    fn count_backend(&self, id: u16, bytes: u64) {
        count(&BACKEND_COUNTERS, u32::from(id), bytes);
    }

    #[inline(always)]
    fn count_opening(&self, listener: u16, backend: u16) {
        if let Some(opened) = BACKEND_OPENED.get_ptr_mut(u32::from(backend)) {
            // SAFETY: the element belongs to this CPU, and XDP programs are not preempted by each
            // other on one CPU.
            unsafe { *opened = (*opened).wrapping_add(1) };
        }
        if let Some(events) = LISTENER_EVENTS.get_ptr_mut(u32::from(listener)) {
            // SAFETY: as above.
            unsafe { (*events).opened = (*events).opened.wrapping_add(1) };
        }
    }

    #[inline(always)]
    fn count_reset(&self, listener: u16) {
        if let Some(events) = LISTENER_EVENTS.get_ptr_mut(u32::from(listener)) {
            // SAFETY: as in `count_opening`.
            unsafe { (*events).resets = (*events).resets.wrapping_add(1) };
        }
    }

    #[inline(always)]
    fn count_dropped(&self, listener: u16, reason: Reason) {
        if let Some(events) = LISTENER_EVENTS.get_ptr_mut(u32::from(listener)) {
            // SAFETY: as in `count_opening`.
            unsafe { (*events).add_dropped(reason) };
        }
    }

    #[inline(always)]
    fn count_reason(&self, reason: Reason, bytes: u64) {
        count(&REASON_COUNTERS, reason as u32, bytes);
    }

    #[inline(always)]
    fn choose_v4<P: Packet>(&self, _: &P, ask: impl FnOnce(&mut QuestionV4)) -> Result<u16, Stop> {
        subprogram::choose_v4(self.context, ask)
    }

    #[inline(always)]
    fn choose_v6<P: Packet>(&self, _: &P, ask: impl FnOnce(&mut QuestionV6)) -> Result<u16, Stop> {
        subprogram::choose_v6(self.context, ask)
    }

    #[inline(always)]
    fn another(&self, schedule: Schedule, turn: u32) -> u32 {
        subprogram::another(schedule, turn)
    }

    #[inline(always)]
    fn least_loaded(&self, schedule: Schedule, turn: u32) -> u16 {
        subprogram::least_loaded(schedule, turn)
    }

    #[inline(always)]
    fn owner_room(&self, slot: u32, now: u32, best: u32) -> u32 {
        subprogram::owner_room(slot, now, best)
    }

    #[inline(always)]
    fn room(&self, backend: u16, now: u32) -> u32 {
        subprogram::room(backend, now)
    }

    #[inline(always)]
    fn client_at<F: Family>(&self, _: &Question<F::FlowKey>, occasion: u32, backend: u16) -> u16 {
        subprogram::client::<F>(occasion, backend)
    }

    #[inline(always)]
    fn connection_id<P: Packet>(&self, _: &P, datagram: usize, part: CidPart) -> Option<u64> {
        subprogram::connection_id(self.context, datagram, part)
    }

    #[inline(always)]
    fn answer<F: Family, P: Packet>(&self, _: &mut P) -> Reason {
        subprogram::answer::<F>(self.context)
    }

    #[inline(always)]
    fn quote<F: Family, P: Packet>(&self, _: &P) -> Result<Quote, Stop> {
        subprogram::quote::<F>(self.context)
    }

    #[inline(always)]
    fn refuse<F: Family, P: Packet>(&self, _: &mut P, refusal: u32) -> Reason {
        subprogram::refuse::<F>(self.context, refusal)
    }

    #[inline(always)]
    fn stray<P: Packet>(&self, _: &P) -> Option<Reason> {
        subprogram::stray(self.context)
    }

    #[inline(always)]
    fn fragment_target<F: Family, P: Packet>(&self, _: &P) -> Option<Target> {
        subprogram::fragment_target::<F>(self.context)
    }

    #[inline(always)]
    fn note_fragment<F: Family, P: Packet>(&self, _: &P, target: Target, part: u32) {
        subprogram::note_fragment::<F>(self.context, target, part);
    }

    #[inline(always)]
    fn too_big<F: Family, P: Packet>(&self, _: &mut P, mtu: u16) -> Reason {
        subprogram::too_big::<F>(self.context, mtu)
    }
}

/// The table of a stage.
#[inline(always)]
fn stage_of<T>(stage: Stage, openings: T, live: T) -> T {
    match stage {
        Stage::Opening => openings,
        Stage::Live => live,
    }
}

#[inline(always)]
fn is_set(bit: VipBit) -> bool {
    VIP_BITS.get(bit.word()).is_none_or(|word| bit.is_in(*word))
}

/// A key of a trie with all its bits, so that its data is aligned: stored where it would follow four
/// bytes of length, it would be written at an odd word, which the BPF stack does not allow.
#[repr(C, align(8))]
struct Prefix<W> {
    reserved: u32,
    bits: u32,
    words: W,
}

impl<W> Prefix<W> {
    #[inline(always)]
    const fn new(bits: u32, words: W) -> Self {
        Self { reserved: 0, bits, words }
    }

    /// The key, whose data is the first bytes of the words.
    #[inline(always)]
    fn key<K>(&self) -> &Key<K> {
        const { assert!(size_of::<K>() <= size_of::<W>()) };
        // SAFETY: a key is a length and then its data, packed; both lie in this record from `bits`
        // on, and any bytes are valid ones.
        unsafe { &*(&raw const *self).byte_add(offset_of!(Self, bits)).cast() }
    }
}
