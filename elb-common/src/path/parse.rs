//! Bytes → what the later stages need to know of them.

pub mod extension;
mod ipv4;
mod ipv6;
mod link;
mod transport;

pub use ipv4::V4;
pub use ipv6::V6;
pub use link::Link;
pub use transport::Transport;

pub(super) use link::link;
pub(super) use transport::{is_tcp, is_transport, is_udp, transport, verdict};

use super::ends::Address;
use super::question::Question;
use super::wire::Tcp;
use super::{Packet, Stop, Tables};
use crate::addr::{Be16, Be32, Be128};
use crate::binding::Owner;
use crate::client::{ClientKey, Persistence};
use crate::client_hop::ClientHop;
use crate::exception::Exception;
use crate::flow::{Flow, Ports, Stage, Visit};
use crate::fragment::Fragment;
use crate::listener::{Listener, Vip};
use crate::reason::Reason;
use crate::reply::Reply;

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
    /// Which part of a datagram the payload is, one of [`part`]; not an `enum`, see [`Transport`].
    pub fragment: u32,
    /// What fragments of one datagram have in common, a word as it lies in memory.
    pub identification: u32,
    /// Sender.
    pub source: A,
    /// Receiver.
    pub destination: A,
}

/// Values of [`Ip::fragment`].
pub mod part {
    /// All of it.
    pub const WHOLE: u32 = 0;
    /// The first part, which names the ports.
    pub const FIRST: u32 = 1;
    /// A later part.
    pub const LATER: u32 = 2;
}

impl<A> Ip<A> {
    /// Whether the payload is the first part of a datagram in fragments.
    #[inline(always)]
    pub const fn is_first_fragment(&self) -> bool {
        self.fragment == part::FIRST
    }

    /// Whether the payload is a later part of a datagram in fragments.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.fragment == part::LATER
    }
}

/// An IP version: what differs between the two, resolved at compile time.
pub trait Family {
    /// An address.
    type Addr: Copy;
    /// Key of the flow table.
    type FlowKey: Copy + PartialEq;

    /// Index of its flow table, see [`crate::room`].
    const TABLE: usize;
    /// Length of a header without options and extension headers.
    const HEADER: usize;
    /// Which word of a header has the time to live or hop limit; one of the first three.
    const HOP_WORD: usize;
    /// Whether a header has a checksum.
    const HAS_CHECKSUM: bool;
    /// Whether members may see source addresses of ours.
    const BINDS: bool;
    /// Whether members may know clients of the other version by addresses of this one.
    const EMBEDS: bool;
    /// Protocol number of this version inside another IP header.
    const INNER_PROTOCOL: u8;
    /// Protocol number of its control messages.
    const ICMP: u8;
    /// What every host takes at once; no sender is asked to send less.
    const LEAST_MTU: u16;
    /// Type of an echo request.
    const ECHO_REQUEST: u8;
    /// Type of an echo reply.
    const ECHO_REPLY: u8;
    /// Whether a control message of this type is an error that a packet caused.
    fn is_error(kind: u8) -> bool;

    /// Reads the IP header at `offset` and walks what lies between it and the payload.
    fn parse<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Self::Addr>, Stop>;
    /// Reads the IP header at `offset` and nothing behind it.
    fn header<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Self::Addr>, Stop>;
    /// Reads the IP header at `offset` of a packet that an error quotes the beginning of.
    fn quoted<P: Packet>(packet: &P, offset: usize) -> Result<Ip<Self::Addr>, Stop>;
    /// The word [`Family::HOP_WORD`] of a header after a hop, which takes one from the time to live; that
    /// must be greater.
    fn after_hop(word: u32) -> u32;
    /// DSCP and ECN, which are in the first word of a header.
    fn tos(word: u32) -> u8;
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

    /// Makes the packet the answer to its sender that one of `mtu` bytes would fit.
    fn too_big<P: Packet>(packet: &mut P, link: &Link, mtu: u16) -> Result<(), Stop>;
    /// Whether an address is that of one host, to which errors may be sent.
    fn is_one_host(address: Self::Addr) -> bool;
    /// Whether two addresses are the same.
    fn same(one: Self::Addr, other: Self::Addr) -> bool;

    /// Source and destination in the header at `offset`.
    fn addresses<P: Packet>(packet: &P, offset: usize) -> Result<(Self::Addr, Self::Addr), Stop>;

    /// The first words of an address as they lie in memory; IPv4 has one.
    fn first_words(address: Self::Addr) -> [u32; 2];
    /// What is added to a sum to take an address's words away.
    fn away(address: Self::Addr) -> u32;
    /// Puts another address in the place of one end's of the header at `offset`, which has a hop less; the time
    /// to live must be greater than one.
    fn readdress<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop>;

    /// As [`Self::readdress`], of a header that an error quotes: it has made its hops.
    fn readdress_quoted<const END: usize, P: Packet>(
        packet: &mut P,
        offset: usize,
        address: &Address<'_>,
    ) -> Result<(), Stop>;
    /// Takes a hop from the header at `offset`; its time to live must be greater than one.
    fn a_hop_less<P: Packet>(packet: &mut P, offset: usize) -> Result<(), Stop> {
        let word: &mut Be32 = packet
            .view_mut(offset + Self::HOP_WORD * size_of::<Be32>())
            .ok_or_else(|| Stop::because(Reason::Truncated))?;
        *word = Be32::from_raw(Self::after_hop(word.raw()));
        Ok(())
    }

    /// Whether the address may be that of a member whose answers are translated.
    fn may_be_member<T: Tables>(tables: &T, address: Self::Addr) -> bool;
    /// What a member's endpoint stands for whose answers are translated.
    fn reply<T: Tables>(
        tables: &T,
        address: Self::Addr,
        port: Be16,
        protocol: u8,
    ) -> Option<&Reply>;
    /// The number of the listener of the client that members know by this address; none: it is no such address.
    fn listener_of_client<T: Tables>(tables: &T, address: Self::Addr) -> Option<u16>;
    /// Whose the binding of a client's flow is.
    fn owner(client: Self::Addr, port: Be16, listener: u16) -> Owner;
    /// The number of a port of a source address of ours; none: it is not.
    fn source_number<T: Tables>(tables: &T, address: Self::Addr, port: Be16) -> Option<u32>;
    /// The flow as the member sees it.
    fn member_key(
        client: Self::Addr,
        member: Self::Addr,
        ports: Ports,
        protocol: u8,
    ) -> Self::FlowKey;
    /// The address in a record, and as it lies there.
    fn from_record(address: &Be128) -> Self::Addr;
    /// As it lies in a record: IPv4 in the first four bytes.
    fn to_record(address: Self::Addr) -> Be128;
    /// What is noted of a flow at a member's endpoint.
    fn exception<T: Tables>(tables: &T, key: &Self::FlowKey) -> Option<Exception>;
    /// Notes it.
    fn except<T: Tables>(tables: &T, key: &Self::FlowKey, exception: Exception);
    /// The way back to a client.
    fn client_hop<T: Tables>(tables: &T, client: Self::Addr) -> Option<&ClientHop>;
    /// Whether the address may be a virtual one.
    fn may_be_vip<T: Tables>(tables: &T, address: Self::Addr) -> bool;
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
    /// The client that a flow is of, in a pool.
    fn client_key(flow: &Self::FlowKey, pool: u16, persistence: Persistence) -> ClientKey;
    /// The flow of a probe.
    fn probe_key(ip: &Ip<Self::Addr>, ports: Ports) -> Self::FlowKey;
    /// The flow of a packet that a member's packet to this receiver answers, by way of a virtual address.
    fn asked_key(client: Self::Addr, vip: &Be128, ports: Ports, protocol: u8) -> Self::FlowKey;
    /// As [`Tables::probed_v4`].
    fn probed<T: Tables>(tables: &T, key: &Self::FlowKey) -> Option<u16>;
    /// As [`Tables::is_connected_v4`].
    fn is_connected<T: Tables>(tables: &T, key: &Self::FlowKey) -> bool;
    /// Makes the packet the reset that answers the segment in it; `next` is the number after its last byte.
    fn reset<P: Packet>(packet: &mut P, link: &Link, segment: &Tcp, next: u32) -> Option<()>;
    /// Makes the packet the answer to its sender that the port is closed.
    fn unreachable<P: Packet>(packet: &mut P, link: &Link) -> Option<()>;
    /// The flow of the QUIC connection whose id has this digest.
    fn connection_key(digest: u64, listener: u16) -> Self::FlowKey;
    /// The digest of the connection id that a key stands for; none: it is one of addresses and ports.
    fn digest_in(key: &Self::FlowKey) -> Option<u64>;
    /// Whether a key is that of a TCP connection.
    fn is_tcp(key: &Self::FlowKey) -> bool;
    /// The hash of what an algorithm looks at.
    fn hash(key: &Self::FlowKey, algorithm: u16) -> u32;
    /// Whether an IP group holds an address.
    fn in_group<T: Tables>(tables: &T, group: u16, address: Self::Addr) -> bool;
    /// As [`Tables::find_v4`].
    fn find<T: Tables>(
        tables: &T,
        stage: Stage,
        key: &Self::FlowKey,
        visit: &Visit,
    ) -> Option<Flow>;
    /// As [`Tables::choose_v4`].
    fn choose<P: Packet, T: Tables>(
        packet: &P,
        tables: &T,
        ask: impl FnOnce(&mut Question<Self::FlowKey>),
    ) -> Result<u16, Stop>;
    /// As [`Tables::record_v4`].
    fn record<T: Tables>(tables: &T, stage: Stage, key: &Self::FlowKey, flow: Flow);
    /// As [`Tables::forget_v4`].
    fn forget<T: Tables>(tables: &T, stage: Stage, key: &Self::FlowKey) -> bool;
    /// Where the first fragment of the datagram went that this is a fragment of.
    fn fragment<T: Tables>(tables: &T, ip: &Ip<Self::Addr>) -> Option<Fragment>;
    /// Notes where the first fragment of a datagram went.
    fn record_fragment<T: Tables>(tables: &T, ip: &Ip<Self::Addr>, fragment: Fragment);
}
