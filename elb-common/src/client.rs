//! Clients of pools with persistence: which backend served a client last, so that it serves the client's
//! next connection, too.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be32, Be128};
use crate::limits::MAX_PERSISTENCE;

/// For how long a pool remembers its clients, and what of an address is one client. A word, 0: it does not
/// remember any.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Persistence(u32);

impl Persistence {
    /// A client is remembered for so many seconds without a packet, at most [`MAX_PERSISTENCE`]. Addresses
    /// that begin with the same bits are one client.
    pub const fn new(seconds: u32, bits_v4: u32, bits_v6: u32) -> Self {
        let seconds = if seconds > MAX_PERSISTENCE { MAX_PERSISTENCE } else { seconds };
        let ignored_v4 = 32u32.saturating_sub(bits_v4) & 0x1f;
        let ignored_v6 = 128u32.saturating_sub(bits_v6) & 0x7f;
        Self(seconds | ignored_v4 << 20 | ignored_v6 << 25)
    }

    /// Whether clients are remembered.
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        self.seconds() != 0
    }

    /// Seconds without a packet for which a client is remembered.
    #[inline(always)]
    pub const fn seconds(self) -> u32 {
        self.0 & 0xf_ffff
    }

    /// Bits at the end of an IPv4 address that do not count.
    #[inline(always)]
    const fn ignored_v4(self) -> u32 {
        self.0 >> 20 & 0x1f
    }

    /// Bits at the end of an IPv6 address that do not count.
    #[inline(always)]
    const fn ignored_v6(self) -> u32 {
        self.0 >> 25
    }
}

/// Key of `CLIENTS` and `CLIENT_OPENINGS`: what counts of the client's address (16 bytes, of IPv4 the first
/// 4), pool (2), IP version (2), zero (4).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ClientKey([u64; 3]);

impl ClientKey {
    /// A client with an IPv4 address, of the pool with this id.
    #[inline(always)]
    pub const fn v4(address: Be32, pool: u16, persistence: Persistence) -> Self {
        let counts = u32::MAX << persistence.ignored_v4();
        Self([(address.raw() & counts.to_be()) as u64, 0, of_pool(pool, 4)])
    }

    /// A client with an IPv6 address, of the pool with this id.
    #[inline(always)]
    pub const fn v6(address: Be128, pool: u16, persistence: Persistence) -> Self {
        let [first, second] = address.words();
        let ignored = persistence.ignored_v6();
        let counts = u64::MAX << (ignored & 63);
        let (first_counts, second_counts) =
            if ignored < 64 { (u64::MAX, counts) } else { (counts, 0) };
        Self([first & first_counts.to_be(), second & second_counts.to_be(), of_pool(pool, 6)])
    }
}

#[inline(always)]
const fn of_pool(pool: u16, version: u64) -> u64 {
    pool as u64 | version << 16
}

/// Value of `CLIENTS` and `CLIENT_OPENINGS`. One word, so that a packet never sees half of one and half of
/// another.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Client {
    /// Id of the backend that serves it.
    pub backend: u16,
    /// Id of the pool that the backend belongs to.
    pub pool: u16,
    /// When its last packet came, in coarse monotonic seconds.
    pub seen: u32,
}

impl Client {
    /// Whether it is remembered `now` in the pool with this id.
    #[inline(always)]
    pub const fn is_known(&self, pool: u16, persistence: Persistence, now: u32) -> bool {
        self.pool == pool && now.saturating_sub(self.seen) <= persistence.seconds()
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;

    fn v4(bytes: [u8; 4]) -> Be32 {
        bytemuck::cast(bytes)
    }

    fn v6(bytes: [u16; 8]) -> Be128 {
        bytemuck::cast(bytes.map(u16::to_be))
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<Persistence>(), align_of::<Persistence>()), (4, 4));
        assert_eq!((size_of::<ClientKey>(), align_of::<ClientKey>()), (24, 8));
        assert_eq!((size_of::<Client>(), align_of::<Client>()), (8, 8));
        assert_eq!((offset_of!(Client, pool), offset_of!(Client, seen)), (2, 4));
    }

    #[test]
    fn nothing_is_remembered_by_default() {
        assert!(!Persistence::default().is_on() && !Persistence::new(0, 24, 64).is_on());
        for seconds in [1, 3600, MAX_PERSISTENCE] {
            for (bits_v4, bits_v6) in [(32, 128), (1, 1), (24, 64), (31, 63)] {
                let persistence = Persistence::new(seconds, bits_v4, bits_v6);
                assert!(persistence.is_on());
                assert_eq!(persistence.seconds(), seconds);
                assert_eq!(32 - persistence.ignored_v4(), bits_v4);
                assert_eq!(128 - persistence.ignored_v6(), bits_v6);
            }
        }
        assert_eq!(Persistence::new(u32::MAX, 32, 128).seconds(), MAX_PERSISTENCE);
    }

    #[test]
    fn a_client_is_an_address_or_a_network_in_a_pool() {
        let whole = Persistence::new(60, 32, 128);
        let networks = Persistence::new(60, 24, 64);
        let key = |last, pool, persistence| ClientKey::v4(v4([10, 0, 0, last]), pool, persistence);
        assert_ne!(key(1, 5, whole), key(2, 5, whole));
        assert_eq!(key(1, 5, networks), key(2, 5, networks));
        assert_ne!(key(1, 5, networks), key(1, 6, networks));
        let other = ClientKey::v4(v4([10, 0, 1, 1]), 5, networks);
        assert_ne!(key(1, 5, networks), other);
        let key = |fourth, last, persistence| {
            ClientKey::v6(v6([0xfd00, 0, 0, fourth, 0, 0, 0, last]), 5, persistence)
        };
        assert_ne!(key(0, 1, whole), key(0, 2, whole));
        assert_eq!(key(0, 1, networks), key(0, 2, networks));
        assert_ne!(key(0, 1, networks), key(1, 1, networks));
        let wide = Persistence::new(60, 32, 48);
        assert_eq!(key(0, 1, wide), key(7, 9, wide));
        let first = Persistence::new(60, 32, 1);
        assert_eq!(key(0, 1, first), ClientKey::v6(v6([0x8000, 0, 0, 0, 0, 0, 0, 0]), 5, first));
    }

    #[test]
    fn addresses_of_the_two_versions_are_different_clients() {
        let whole = Persistence::new(60, 32, 128);
        let same = v6([0x0a00, 1, 0, 0, 0, 0, 0, 0]);
        assert_ne!(ClientKey::v4(v4([10, 0, 0, 1]), 5, whole), ClientKey::v6(same, 5, whole));
    }

    #[test]
    fn a_client_is_known_until_it_was_away_for_the_time() {
        let persistence = Persistence::new(60, 32, 128);
        let client = Client { backend: 1, pool: 5, seen: 1000 };
        let known = [1000, 1060, 1061, 999].map(|now| client.is_known(5, persistence, now));
        assert_eq!(known, [true, true, false, true]);
        assert!(!client.is_known(6, persistence, 1000));
        assert!(!client.is_known(5, Persistence::default(), 1001));
    }
}
