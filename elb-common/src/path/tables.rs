//! The questions that the packet path asks of its maps.

use crate::addr::{Be32, Be128};
use crate::backend::Backend;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6};
use crate::fragment::Fragment;
use crate::interface::Interface;
use crate::listener::{Listener, ListenerKeyV4, ListenerKeyV6, Pool, Vip};
use crate::reason::Reason;
use crate::ring::Slot;

/// What the maps know. One method per question; nothing here decides.
pub trait Tables {
    /// The IPv4 listener with exactly this key.
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener>;
    /// The IPv6 listener with exactly this key.
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener>;
    /// The virtual IPv4 address.
    fn vip_v4(&self, address: Be32) -> Option<Vip>;
    /// The virtual IPv6 address.
    fn vip_v6(&self, address: Be128) -> Option<Vip>;

    /// The slot at an index into all rings.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// Notes that a moving slot served a flow of somebody else than its present owner.
    fn note_moving(&self, index: u32, now: u32);
    /// The pool with this id.
    fn pool(&self, id: u16) -> Option<Pool>;
    /// The backend with this id.
    fn backend(&self, id: u16) -> Option<&Backend>;

    /// Id of the backend that a recorded flow belongs to. Notes in the record that a packet of it
    /// came `now`.
    fn flow_v4(&self, key: &FlowKeyV4, now: u32) -> Option<u16>;
    /// As for IPv4.
    fn flow_v6(&self, key: &FlowKeyV6, now: u32) -> Option<u16>;
    /// Records a flow, replacing what was recorded.
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow);
    /// Records a flow, replacing what was recorded.
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow);

    /// Where the first fragment of a datagram went.
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment>;
    /// As for IPv4.
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment>;
    /// Notes where the first fragment of a datagram went.
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment);
    /// As for IPv4.
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment);

    /// Whether one more sender may be told of an error in the second `now`; counts it.
    fn may_answer(&self, now: u32) -> bool;

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
