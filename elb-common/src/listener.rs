//! Listeners and virtual addresses: the keys a packet is looked up by, and what is found.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, join, split};
use crate::embedded::Prefix;

/// Key of `LISTENERS_V4`: address (4 bytes), port (2), protocol (1), zero (1).
/// Port 0 stands for any port. Held as one word, because a key that is stored field by field makes
/// the hash's wide load wait for the narrow stores.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ListenerKeyV4(u64);

impl ListenerKeyV4 {
    /// Key of the listener at `address`:`port`/`protocol` (IANA protocol number).
    #[inline(always)]
    pub const fn new(address: Be32, port: Be16, protocol: u8) -> Self {
        Self(join(address.raw(), port_and_protocol(port, protocol)))
    }

    /// The address.
    pub const fn address(&self) -> Be32 {
        Be32::from_raw(split(self.0)[0])
    }
}

/// Key of `LISTENERS_V6`: address (16 bytes), port (2), protocol (1), zero (5).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ListenerKeyV6([u64; 3]);

impl ListenerKeyV6 {
    /// Key of the listener at `address`:`port`/`protocol` (IANA protocol number).
    #[inline(always)]
    pub const fn new(address: Be128, port: Be16, protocol: u8) -> Self {
        let [a, b] = address.words();
        Self([a, b, join(port_and_protocol(port, protocol), 0)])
    }

    /// The address.
    pub const fn address(&self) -> Be128 {
        let [a, b, _] = self.0;
        Be128::from_words([a, b])
    }
}

/// Port and protocol as they lie in a key: two bytes, one byte, one zero.
#[inline(always)]
pub(crate) const fn port_and_protocol(port: Be16, protocol: u8) -> u32 {
    if cfg!(target_endian = "little") {
        port.raw() as u32 | (protocol as u32) << 16
    } else {
        (port.raw() as u32) << 16 | (protocol as u32) << 8
    }
}

/// Value of `LISTENERS_V4`, `LISTENERS_V6` and `PORT_RANGES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Listener {
    /// First slot of the pool's ring in `RINGS`; a multiple of [`crate::ring::CHUNK`].
    pub ring_base: u32,
    /// Slots of the pool's ring; 0 has no slot, so every packet is refused.
    pub ring_size: u32,
    /// Index into `LISTENER_COUNTERS` and `LISTENER_STATES`.
    pub id: u16,
    /// Index into `POOLS`.
    pub pool: u16,
    /// Bits of [`listener_flags`].
    pub flags: u16,
    /// One of [`algorithm`].
    pub algorithm: u16,
    /// Id of the IP group that says who may open flows, see [`listener_flags::WHITELIST`].
    pub group: u16,
    /// Where the part of a QUIC connection id lies that names a server.
    pub cid: CidPart,
    /// New connections a second; 0: no limit. Needs [`listener_flags::LIMITED`].
    pub cps: u32,
    /// Concurrent connections; 0: no limit. Needs [`listener_flags::LIMITED`].
    pub max_connections: u32,
    /// Id of the pool that it served before, as long as flows without a record may live there;
    /// [`NO_POOL`]: none.
    pub former_pool: u16,
    /// Zero.
    pub reserved: u16,
    /// Until when (coarse monotonic seconds) its UDP flows without a record belong to the pool that
    /// it served before.
    pub former_hold_until: u32,
    /// Zero.
    pub reserved_too: u32,
}

impl Default for Listener {
    fn default() -> Self {
        Self { former_pool: NO_POOL, ..Self::zeroed() }
    }
}

/// No pool has this id.
pub const NO_POOL: u16 = u16::MAX;

/// Value of `LISTENER_POOLS`, by listener id: what a record that names the listener must be like.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ListenerPool {
    /// Id of the pool that it serves.
    pub pool: u16,
    /// Bits of [`listener_pool_flags`].
    pub flags: u16,
}

/// Bits of [`ListenerPool::flags`].
pub mod listener_pool_flags {
    /// There is a listener with this id.
    pub const EXISTS: u16 = 1 << 0;
    /// As [`super::listener_flags::MOVED`].
    pub const MOVED: u16 = 1 << 1;
}

impl ListenerPool {
    /// Whether there is a listener with this id.
    #[inline(always)]
    pub const fn exists(&self) -> bool {
        self.flags & listener_pool_flags::EXISTS != 0
    }

    /// Whether records of pools that it served before count, too.
    #[inline(always)]
    pub const fn is_moved(&self) -> bool {
        self.flags & listener_pool_flags::MOVED != 0
    }
}

/// Value of `LISTENER_ENDPOINTS`, by listener id: what clients know it by.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ListenerEndpoint {
    /// The virtual address. IPv4 in the first four bytes, before the [prefix](Self::prefix).
    pub vip: Be128,
    /// The port.
    pub port: Be16,
    /// Zero.
    pub reserved: u16,
}

impl ListenerEndpoint {
    /// At an IPv4 address; with a prefix, members with IPv6 know its clients by addresses of that.
    pub const fn v4(vip: Be32, port: Be16, prefix: Option<Prefix>) -> Self {
        let [first, second] = match prefix {
            Some(prefix) => prefix,
            None => [0; 2],
        };
        Self { vip: Be128::from_raw([vip.raw(), first, second, 0]), port, reserved: 0 }
    }

    /// The virtual IPv4 address.
    #[inline(always)]
    pub const fn vip_v4(&self) -> Be32 {
        let [vip, ..] = self.vip.raw();
        Be32::from_raw(vip)
    }

    /// The prefix of the addresses that members with IPv6 know the clients of an IPv4 address by; all zeroes: they have
    /// none.
    #[inline(always)]
    pub const fn prefix(&self) -> Prefix {
        let [_, first, second, _] = self.vip.raw();
        [first, second]
    }
}

impl Listener {
    /// Whether the ring alone decides where packets go, by all of their tuple: no client is kept out, no
    /// flow is counted or recorded, and no connection id is looked for. Most listeners are so.
    #[inline(always)]
    pub const fn is_plain(&self) -> bool {
        self.flags & !(listener_flags::RESET | listener_flags::BINDS) == 0
            && self.algorithm == algorithm::FIVE_TUPLE
    }

    /// Whether members of its pool may have only so many connections.
    #[inline(always)]
    pub const fn limits_members(&self) -> bool {
        self.flags & listener_flags::MEMBER_LIMITS != 0
    }
}

/// The part of a QUIC connection id that decides where its packets go (V3 `quic_cid_hash_strategy`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct CidPart {
    /// Bytes of the connection id before it, 0 to 19.
    pub offset: u8,
    /// Its bytes, 1 to 20; together with the offset at most 20.
    pub length: u8,
}

/// Bits of [`Listener::flags`].
pub mod listener_flags {
    /// The listener or its load balancer is administratively down: its packets are dropped.
    pub const DISABLED: u16 = 1 << 0;
    /// Only clients in the IP group open flows.
    pub const WHITELIST: u16 = 1 << 1;
    /// Clients in the IP group open no flows.
    pub const BLACKLIST: u16 = 1 << 2;
    /// New or concurrent connections are limited.
    pub const LIMITED: u16 = 1 << 3;
    /// Every flow is recorded, because the algorithm chooses for each connection anew.
    pub const TRACKED: u16 = 1 << 4;
    /// Members have server ids, in `SERVER_IDS`.
    pub const SERVER_IDS: u16 = 1 << 5;
    /// It served another pool before, and flows that are recorded there may live.
    pub const MOVED: u16 = 1 << 6;
    /// The virtual address is this host's own, too: packets of its connections pass.
    pub const OWN: u16 = 1 << 7;
    /// Where no backend takes a packet, its sender is notified (V3 has no such setting).
    pub const RESET: u16 = 1 << 8;
    /// The IP group judges every packet, not only those that open a flow.
    pub const CUT: u16 = 1 << 9;
    /// Members may have only so many connections. Needs [`TRACKED`].
    pub const MEMBER_LIMITS: u16 = 1 << 10;
    /// Members that its flows go to may see source addresses of ours: such a flow has a [binding](crate::binding).
    pub const BINDS: u16 = 1 << 11;
}

/// Values of [`Listener::algorithm`]: what a flow's place on the ring depends on.
pub mod algorithm {
    /// Addresses, ports and protocol.
    pub const FIVE_TUPLE: u16 = 0;
    /// Addresses and protocol.
    pub const THREE_TUPLE: u16 = 1;
    /// Addresses.
    pub const TWO_TUPLE: u16 = 2;
    /// The client's address.
    pub const SOURCE: u16 = 3;
    /// The connection id of QUIC (RFC 9000 §5.1); datagrams without one as [`FIVE_TUPLE`].
    pub const CONNECTION_ID: u16 = 4;
    /// New flows take the ring's owners in turn; flows without a record as [`FIVE_TUPLE`].
    pub const ROUND_ROBIN: u16 = 5;
    /// New flows take, of the owners whose turn it is, the one with the fewest connections for its
    /// weight; flows without a record as [`FIVE_TUPLE`].
    pub const LEAST_CONNECTIONS: u16 = 6;

    /// Whether an algorithm looks at all of a flow's addresses, ports and protocol.
    #[inline(always)]
    pub const fn is_of_all(algorithm: u16) -> bool {
        !matches!(algorithm, THREE_TUPLE..=SOURCE)
    }
}

/// Key of `PORT_RANGES` with all its bits: number of the virtual address (4 bytes), protocol (1),
/// zero (1), port (2). A prefix stands for a power of two of neighbouring ports; one of
/// [`RANGE_FIXED_BITS`] bits for any port.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct RangeKey(u64);

/// Bits of a [`RangeKey`] before the port.
pub const RANGE_FIXED_BITS: u32 = 48;

impl RangeKey {
    /// Key of `port`/`protocol` (IANA protocol number) of the virtual address with this number.
    #[inline(always)]
    pub const fn new(vip: u32, port: Be16, protocol: u8) -> Self {
        let word = if cfg!(target_endian = "little") {
            protocol as u32 | (port.raw() as u32) << 16
        } else {
            (protocol as u32) << 24 | port.raw() as u32
        };
        Self(join(vip, word))
    }
}

/// Value of `VIPS_V4` and `VIPS_V6`; keys are the 4 and 16 bytes of the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Vip {
    /// Bits of [`vip_flags`].
    pub flags: u32,
    /// Its number in `PORT_RANGES`.
    pub number: u32,
}

/// Bits of [`Vip::flags`].
pub mod vip_flags {
    /// An enabled listener exists, so echo requests are answered.
    pub const ECHO: u32 = 1 << 0;
    /// ARP requests and neighbour solicitations are answered.
    pub const ANNOUNCE: u32 = 1 << 1;
    /// A TCP listener for a range of ports exists.
    pub const RANGES_TCP: u32 = 1 << 2;
    /// A UDP listener for a range of ports exists.
    pub const RANGES_UDP: u32 = 1 << 3;
    /// The address is this host's own, too: what no listener wants is for the kernel.
    pub const OWN: u32 = 1 << 4;
    /// It is a [source address](crate::snat) and no virtual one: packets for it are answers of members.
    pub const SOURCE: u32 = 1 << 5;
}

#[cfg(test)]
mod tests;
