//! Bytes → what the later stages need to know of them.

mod ipv4;
mod ipv6;
mod link;
mod transport;

pub use ipv4::V4;
pub use ipv6::V6;
pub use link::Link;
pub use transport::Transport;

pub(super) use link::link;
pub(super) use transport::{is_transport, transport};

use super::choose::Question;
use super::{Packet, Stop, Tables};
use crate::addr::Be16;
use crate::flow::Flow;
use crate::listener::{Listener, Vip};

/// What an IP header says, extension headers and options included.
///
/// The order of the fields keeps each at its natural alignment when the compiler puts the record on
/// the BPF stack, which allows no other access.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<A> {
    /// Offset of the payload in the frame.
    pub payload: usize,
    /// Length of the packet: headers and payload.
    pub length: u32,
    /// Length of the payload.
    pub payload_length: u32,
    /// Protocol of the payload (IANA number).
    pub protocol: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// 1 where the payload is a part of a datagram, else 0; not a `bool`, see [`Transport`].
    pub fragment: u8,
    reserved: u32,
    /// Sender.
    pub source: A,
    /// Receiver.
    pub destination: A,
}

/// An IP version: what differs between the two, resolved at compile time.
pub trait Family {
    /// An address.
    type Addr: Copy;
    /// Key of the flow table.
    type FlowKey: Copy + PartialEq;

    /// Protocol number of this version inside another IP header.
    const INNER_PROTOCOL: u8;
    /// Protocol number of its control messages.
    const ICMP: u8;
    /// Type of an echo request.
    const ECHO_REQUEST: u8;
    /// Type of an echo reply.
    const ECHO_REPLY: u8;

    /// Reads the IP header at `offset` and walks what lies between it and the payload.
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Self::Addr>, Stop>;
    /// Turns the header at `offset` round: the answer to the packet.
    fn turn_round<P: Packet>(packet: &mut P, offset: usize) -> Result<(), Stop>;
    /// Answers neighbour discovery.
    fn neighbor<P: Packet, T: Tables>(
        packet: &mut P,
        tables: &T,
        link: &Link,
        ip: &Ip<Self::Addr>,
        kind: u8,
    ) -> Result<super::Outcome, Stop>;

    /// The virtual address.
    fn vip<T: Tables>(tables: &T, address: Self::Addr) -> Option<Vip>;
    /// The listener with exactly this address, port and protocol.
    fn listener<T: Tables>(
        tables: &T,
        address: Self::Addr,
        port: Be16,
        protocol: u8,
    ) -> Option<&Listener>;
    /// The flow a packet belongs to.
    fn flow_key(ip: &Ip<Self::Addr>, transport: &Transport) -> Self::FlowKey;
    /// The flow of the QUIC connection whose id has this digest.
    fn connection_key(digest: u64, listener: u16) -> Self::FlowKey;
    /// The hash of what an algorithm looks at.
    fn hash(key: &Self::FlowKey, algorithm: u16) -> u32;
    /// Whether an IP group holds an address.
    fn in_group<T: Tables>(tables: &T, group: u16, address: Self::Addr) -> bool;
    /// As [`Tables::flow_v4`].
    fn flow<T: Tables>(tables: &T, key: &Self::FlowKey, oldest: u32, now: u32) -> Option<Flow>;
    /// As [`Tables::choose_v4`].
    fn choose<T: Tables>(
        tables: &T,
        ask: impl FnOnce(&mut Question<Self::FlowKey>),
    ) -> Result<u16, Stop>;
    /// Records a flow.
    fn record<T: Tables>(tables: &T, key: &Self::FlowKey, flow: Flow);
    /// As [`Tables::close_v4`].
    fn close<T: Tables>(tables: &T, key: &Self::FlowKey) -> bool;
}
