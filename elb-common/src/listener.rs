//! Listeners and virtual addresses: the keys a packet is looked up by, and what is found.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, join};

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

/// Value of `LISTENERS_V4` and `LISTENERS_V6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Listener {
    /// First slot of the pool's ring in `RINGS`; a multiple of [`crate::ring::CHUNK`].
    pub ring_base: u32,
    /// Slots of the pool's ring; 0 has no slot, so every packet is refused.
    pub ring_size: u32,
    /// Index into `LISTENER_COUNTERS`.
    pub id: u16,
    /// Index into `POOLS`.
    pub pool: u16,
    /// Bits of [`listener_flags`].
    pub flags: u16,
    /// Zero.
    pub reserved: u16,
}

/// Bits of [`Listener::flags`].
pub mod listener_flags {
    /// The listener or its load balancer is administratively down: its packets are dropped.
    pub const DISABLED: u16 = 1 << 0;
}

/// Value of `VIPS_V4` and `VIPS_V6`; keys are the 4 and 16 bytes of the address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Vip {
    /// Bits of [`vip_flags`].
    pub flags: u32,
}

/// Bits of [`Vip::flags`].
pub mod vip_flags {
    /// An enabled listener exists, so echo requests are answered.
    pub const ECHO: u32 = 1 << 0;
    /// ARP requests and neighbour solicitations are answered.
    pub const ANNOUNCE: u32 = 1 << 1;
    /// A TCP listener for any port exists.
    pub const ANY_TCP: u32 = 1 << 2;
    /// A UDP listener for any port exists.
    pub const ANY_UDP: u32 = 1 << 3;
}

/// Value of `POOLS`: what only packets on moving slots read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Pool {
    /// Until when (coarse monotonic seconds) a UDP flow without a record belongs to the former
    /// owner of its slot; afterwards to the present one.
    pub udp_hold_until: u32,
    /// Zero.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn keys_are_address_port_protocol_in_network_order() {
        let v4 = ListenerKeyV4::new(bytemuck::cast([192u8, 0, 2, 10]), Be16::new(443), 6);
        assert_eq!(bytemuck::bytes_of(&v4), [192, 0, 2, 10, 1, 187, 6, 0]);
        let address: [u8; 16] = core::array::from_fn(|i| 0xa0 + i as u8);
        let v6 = ListenerKeyV6::new(bytemuck::cast(address), Be16::new(443), 17);
        assert_eq!(&bytemuck::bytes_of(&v6)[..16], address);
        assert_eq!(bytemuck::bytes_of(&v6)[16..], [1, 187, 17, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<ListenerKeyV4>(), align_of::<ListenerKeyV4>()), (8, 8));
        assert_eq!((size_of::<ListenerKeyV6>(), align_of::<ListenerKeyV6>()), (24, 8));
        assert_eq!((size_of::<Listener>(), align_of::<Listener>()), (16, 4));
        assert_eq!(offset_of!(Listener, ring_base), 0);
        assert_eq!(offset_of!(Listener, ring_size), 4);
        assert_eq!(offset_of!(Listener, id), 8);
        assert_eq!(offset_of!(Listener, pool), 10);
        assert_eq!(offset_of!(Listener, flags), 12);
        assert_eq!(offset_of!(Listener, reserved), 14);
        assert_eq!((size_of::<Vip>(), align_of::<Vip>()), (4, 4));
        assert_eq!((size_of::<Pool>(), align_of::<Pool>()), (8, 4));
        assert_eq!(offset_of!(Pool, reserved), 4);
    }
}
