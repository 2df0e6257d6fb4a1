//! The questions that the packet path asks of its maps.

mod translations;

pub use translations::Translations;

use super::choose;
use super::control::Quote;
use super::question::{Question, QuestionV4, QuestionV6};
use super::subprogram::{self};
use super::{Family, Packet, Stop, Target, V4, V6};
use crate::addr::{Be32, Be128, Mac};
use crate::admission::{GroupKeyV4, GroupKeyV6};
use crate::backend::Backend;
use crate::client::{Client, ClientKey};
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage, Visit};
use crate::fragment::Fragment;
use crate::interface::{Interface, MacKey};
use crate::listener::{CidPart, Listener, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip};
use crate::pool::Pool;
use crate::quic::{self, ServerIdKey};
use crate::reason::Reason;
use crate::ring::Slot;
use crate::room::Claim;

/// What the maps know. One method per question; nothing here decides.
///
/// The last methods are not questions: they are steps of the packet path that may be subprograms, see
/// [`subprogram`].
pub trait Tables: Translations {
    /// Whether [`Self::chosen`] and [`Self::stopped`] have to be called.
    const IS_LOGGED: bool = false;
    /// Whether translation is in subprograms: with what is noted on the way, all in one would be too much for the
    /// verifier.
    const IS_APART: bool = false;
    /// Whether packets are traced.
    const IS_TRACED: bool = false;

    /// Whether the address may be a virtual one, see [`crate::vip_bits`].
    fn may_be_vip_v4(&self, address: Be32) -> bool;
    /// As for IPv4.
    fn may_be_vip_v6(&self, address: Be128) -> bool;
    /// The IPv4 listener with exactly this key.
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener>;
    /// The IPv6 listener with exactly this key.
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener>;
    /// The listener for the narrowest range of ports that this port lies in.
    fn range(&self, key: &RangeKey) -> Option<&Listener>;
    /// The virtual IPv4 address.
    fn vip_v4(&self, address: Be32) -> Option<Vip>;
    /// The virtual IPv6 address.
    fn vip_v6(&self, address: Be128) -> Option<Vip>;

    /// Whether an IP group holds the address.
    fn group_v4(&self, key: &GroupKeyV4) -> bool;
    /// Whether an IP group holds the address.
    fn group_v6(&self, key: &GroupKeyV6) -> bool;
    /// Counts a connection that opens `now`: whether the listener had fewer than `limit` this
    /// second.
    fn may_open(&self, listener: u16, limit: u32, now: u32) -> bool;
    /// Connections that the listener has open.
    fn listener_connections(&self, listener: u16) -> u32;

    /// The slot at an index into all rings.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// The pool with this id.
    fn pool(&self, id: u16) -> Option<Pool>;
    /// Takes a turn in the pool: how many were taken before.
    fn turn(&self, pool: u16) -> u32;
    /// Id of the backend with this server id.
    fn server(&self, key: &ServerIdKey) -> Option<u16>;
    /// Notes that a connection id named the backend, which takes no new flows.
    fn note_named(&self, backend: u16, now: u32);
    /// Connections that the backend has open, and those that opened in this second.
    fn backend_connections(&self, backend: u16, now: u32) -> u32;
    /// The backend with this id.
    fn backend(&self, id: u16) -> Option<&Backend>;

    /// The record that a packet meets, as it was. If the packet finds it, by [`Visit::finds`], what
    /// the packet makes of it is written.
    fn find_v4(&self, stage: Stage, key: &FlowKeyV4, visit: &Visit) -> Option<Flow>;
    /// As for IPv4.
    fn find_v6(&self, stage: Stage, key: &FlowKeyV6, visit: &Visit) -> Option<Flow>;
    /// Records a flow, replacing what was recorded.
    fn record_v4(&self, stage: Stage, key: &FlowKeyV4, flow: Flow);
    /// As for IPv4.
    fn record_v6(&self, stage: Stage, key: &FlowKeyV6, flow: Flow);
    /// Removes a record; true if there was one.
    fn forget_v4(&self, stage: Stage, key: &FlowKeyV4) -> bool;
    /// As for IPv4.
    fn forget_v6(&self, stage: Stage, key: &FlowKeyV6) -> bool;
    /// Which backend served a client last.
    fn client(&self, stage: Stage, key: &ClientKey) -> Option<Client>;
    /// Notes which backend serves a client, in place of what was noted.
    fn note_client(&self, stage: Stage, key: &ClientKey, client: Client);
    /// Whether the listener may have one more record in the flow table with this index.
    fn has_room(&self, table: usize, listener: u16, claim: Claim, now: u32) -> bool;
    /// Counts records of the listener that come or go, and the strays among them.
    fn count_records(&self, table: usize, listener: u16, records: i64, strays: i64);
    /// Notes that a flow found no room for its record.
    fn refused(&self, listener: u16, pool: u16, now: u32);
    /// Whether counts of connections are those of a sweep not long ago.
    fn counts_are_believed(&self) -> bool;
    /// Whether records are still being carried over to the flow table with this index.
    fn is_carried(&self, table: usize, now: u32) -> bool;
    /// Counts a flow that opens at a backend and is no connection yet.
    fn opening(&self, backend: u16, now: u32);
    /// Takes back one that [`Self::opening`] counted in this second: it counts as open from now on.
    fn no_longer_opening(&self, backend: u16, now: u32);
    /// Counts a connection that opened.
    fn opened(&self, listener: u16, backend: u16);
    /// Counts a connection that closed.
    fn closed(&self, listener: u16, backend: u16);
    /// Id of the backend that this flow probes.
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16>;
    /// As for IPv4.
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16>;

    /// Where the first fragment of a datagram went.
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment>;
    /// As for IPv4.
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment>;
    /// Notes where the first fragment of a datagram went.
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment);
    /// As for IPv4.
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment);

    /// Whether one more sender may be notified in the second `now`, by an answer of this
    /// [kind](crate::error_limit::kind); counts it.
    fn may_answer(&self, kind: u32, now: u32) -> bool;

    /// Seconds of the coarse monotonic clock.
    fn now(&self) -> u32;

    /// The interface with this index, if it carries the program.
    fn interface(&self, index: u32) -> Option<Interface>;
    /// Whether this is known to be the interface's own Ethernet address; `false` decides nothing.
    fn is_mac_of(&self, index: u32, mac: Mac) -> bool;
    /// Whether the interface takes frames for this Ethernet address, which is not its own.
    fn takes_mac(&self, key: &MacKey) -> bool;
    /// Whether this host has a connection whose packets look so.
    fn is_connected_v4(&self, key: &FlowKeyV4) -> bool;
    /// As for IPv4.
    fn is_connected_v6(&self, key: &FlowKeyV6) -> bool;
    /// Prepares the redirect of the frame to an interface; false where it takes none.
    fn redirect(&self, ifindex: u32) -> bool;

    /// Counts a forwarded frame.
    fn count_listener(&self, id: u16, bytes: u64);
    /// Counts a forwarded frame.
    fn count_backend(&self, id: u16, bytes: u64);
    /// Counts a TCP connection of a listener that opens at a backend.
    fn count_opening(&self, listener: u16, backend: u16);
    /// Counts a TCP connection of a listener that its client resets.
    fn count_reset(&self, listener: u16);
    /// Counts a packet for a listener that is dropped.
    fn count_dropped(&self, listener: u16, reason: Reason);
    /// Notes which backend was chosen for a packet that opens or ends a TCP connection.
    fn chosen(&self, _listener: u16, _backend: u16) {}
    /// Notes which listener a packet is for that is not forwarded, and the backend chosen, or 0.
    fn stopped(&self, _listener: u16, _backend: u16) {}
    /// Counts a frame that was not forwarded.
    fn count_reason(&self, reason: Reason, bytes: u64);

    /// The answer to a question of `select`, which `ask` writes down where it stays, see
    /// [`choose::answer`].
    fn choose_v4<P: Packet>(
        &self,
        packet: &P,
        ask: impl FnOnce(&mut QuestionV4),
    ) -> Result<u16, Stop> {
        let mut question = QuestionV4::default();
        ask(&mut question);
        choose::answer::<V4, P, Self>(packet, self, &mut question).get()
    }
    /// As for IPv4.
    fn choose_v6<P: Packet>(
        &self,
        packet: &P,
        ask: impl FnOnce(&mut QuestionV6),
    ) -> Result<u16, Stop> {
        let mut question = QuestionV6::default();
        ask(&mut question);
        choose::answer::<V6, P, Self>(packet, self, &mut question).get()
    }
    /// Another owner than one without room, see [`choose::another`].
    fn another(&self, schedule: choose::Schedule, turn: u32) -> u32 {
        choose::another(self, &schedule, turn)
    }
    /// The owner with the fewest connections of those whose turn it is, 0: not known; see
    /// [`choose::Schedule::least_loaded`].
    fn least_loaded(&self, schedule: choose::Schedule, turn: u32) -> u16 {
        schedule.least_loaded(self, turn).unwrap_or(0)
    }
    /// What the owner of a slot has room for, see [`choose::room_of_owner`].
    fn owner_room(&self, slot: u32, now: u32, best: u32) -> u32 {
        choose::room_of_owner(self, slot, now, best)
    }
    /// What a backend has room for, see [`choose::room_of`].
    fn room(&self, backend: u16, now: u32) -> u32 {
        choose::room_of(self, backend, now)
    }
    /// What happens to what is known of the question's client, see [`choose::client`].
    fn client_at<F: Family>(
        &self,
        question: &Question<F::FlowKey>,
        occasion: u32,
        backend: u16,
    ) -> u16 {
        choose::client::<F, Self>(self, question, occasion, backend)
    }
    /// The digest of a QUIC connection id, see [`quic::digest_of`].
    fn connection_id<P: Packet>(&self, packet: &P, datagram: usize, part: CidPart) -> Option<u64> {
        quic::digest_of(packet, datagram, part)
    }
    /// What becomes of a control message that is not about a flow, see [`subprogram::answer`].
    fn answer<F: Family, P: Packet>(&self, packet: &mut P) -> Reason {
        subprogram::answer::<F, P, Self>(packet, self)
    }
    /// The packet that an error quotes, see [`subprogram::quote`].
    fn quote<F: Family, P: Packet>(&self, packet: &P) -> Result<Quote, Stop> {
        subprogram::quote::<F, P, Self>(packet, self)
    }
    /// What becomes of a packet that is refused, see [`subprogram::refuse`].
    fn refuse<F: Family, P: Packet>(&self, packet: &mut P, refusal: u32) -> Reason {
        subprogram::refuse::<F, P, Self>(packet, self, refusal)
    }
    /// Whom a frame is for that is not for the interface's own Ethernet address, see [`subprogram::stray`].
    fn stray<P: Packet>(&self, packet: &P) -> Option<Reason> {
        subprogram::stray(packet, self)
    }
    /// Where the first fragment of a later one's datagram went, see [`subprogram::fragment_target`].
    fn fragment_target<F: Family, P: Packet>(&self, packet: &P) -> Option<Target> {
        subprogram::fragment_target::<F, P, Self>(packet, self)
    }
    /// Notes where a packet goes that is such a [part](super::part), if that is the first, see
    /// [`subprogram::note_fragment`].
    fn note_fragment<F: Family, P: Packet>(&self, packet: &P, target: Target, part: u32) {
        subprogram::note_fragment::<F, P, Self>(packet, self, target, part);
    }
    /// What becomes of a packet that does not fit, see [`subprogram::too_big`].
    fn too_big<F: Family, P: Packet>(&self, packet: &mut P, mtu: u16) -> Reason {
        subprogram::too_big::<F, P, Self>(packet, self, mtu)
    }
}
