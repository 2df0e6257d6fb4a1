//! The questions that the packet path asks of its maps.

use super::Stop;
use super::choose::{QuestionV4, QuestionV6};
use crate::addr::{Be32, Be128};
use crate::admission::{GroupKeyV4, GroupKeyV6};
use crate::backend::Backend;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6};
use crate::interface::Interface;
use crate::listener::{Listener, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip};
use crate::pool::Pool;
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::ring::Slot;

/// What the maps know. One method per question; nothing here decides.
pub trait Tables {
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
    /// Notes that a moving slot served a flow of somebody else than its present owner.
    fn note_moving(&self, index: u32, now: u32);
    /// The pool with this id.
    fn pool(&self, id: u16) -> Option<Pool>;
    /// Takes a turn in the pool: how many were taken before.
    fn turn(&self, pool: u16) -> u32;
    /// Id of the backend with this server id.
    fn server(&self, key: &ServerIdKey) -> Option<u16>;
    /// Connections that the backend has open.
    fn backend_connections(&self, backend: u16) -> u32;
    /// The backend with this id.
    fn backend(&self, id: u16) -> Option<&Backend>;

    /// The record of a flow, unless it was last seen before `oldest`; notes that a packet of it
    /// came `now`.
    fn flow_v4(&self, key: &FlowKeyV4, oldest: u32, now: u32) -> Option<Flow>;
    /// As for IPv4.
    fn flow_v6(&self, key: &FlowKeyV6, oldest: u32, now: u32) -> Option<Flow>;
    /// Whether the listener may record one more flow `now`, at most `budget` a second; counts it.
    fn may_record(&self, listener: u16, budget: u32, now: u32) -> bool;
    /// Records a flow, replacing what was recorded.
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow);
    /// Records a flow, replacing what was recorded.
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow);
    /// Notes that a recorded flow counts no more among open connections; true if it did until now.
    fn close_v4(&self, key: &FlowKeyV4) -> bool;
    /// As for IPv4.
    fn close_v6(&self, key: &FlowKeyV6) -> bool;
    /// Counts a connection that opened.
    fn opened(&self, listener: u16, backend: u16);
    /// Counts a connection that closed.
    fn closed(&self, listener: u16, backend: u16);

    /// The answer to a question of `select`, which `ask` writes down where it stays; a program may
    /// hold [`super::choose::answer`] apart.
    fn choose_v4(&self, ask: impl FnOnce(&mut QuestionV4)) -> Result<u16, Stop>;
    /// As for IPv4.
    fn choose_v6(&self, ask: impl FnOnce(&mut QuestionV6)) -> Result<u16, Stop>;

    /// Seconds of the coarse monotonic clock.
    fn now(&self) -> u32;

    /// The interface with this index, if it carries the program.
    fn interface(&self, index: u32) -> Option<Interface>;
    /// Prepares the redirect of the frame to an interface; false where it takes none.
    fn redirect(&self, ifindex: u32) -> bool;

    /// Counts a forwarded frame.
    fn count_listener(&self, id: u16, bytes: u64);
    /// Counts a forwarded frame.
    fn count_backend(&self, id: u16, bytes: u64);
    /// Counts a frame that was not forwarded.
    fn count_reason(&self, reason: Reason, bytes: u64);
}
