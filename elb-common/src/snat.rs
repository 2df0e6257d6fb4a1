//! Source NAT: the addresses of ours that members see in the place of clients' (`[snat]`), and which of their ports a
//! flow may get.
//!
//! A flow that opens has a few candidates among all ports of all addresses, by a hash of its client; the
//! [binding](crate::binding) of the port that it gets says whose it is. So the same table is found by what
//! a client sends and, by its index, by what a member answers.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32};
use crate::hash;

/// Value of `SNAT`: one record. Of none, `addresses` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Snat {
    /// The first address.
    pub network: Be32,
    /// How many there are: a power of two, whose prefix `network` is.
    pub addresses: u32,
    /// Keys the hash, so that ports cannot be aimed at. Chosen by the agent at random.
    pub secret: u64,
}

/// Most addresses: 64 MiB of bindings.
pub const MAX_ADDRESSES: u32 = 64;
const _: () = assert!(MAX_ADDRESSES <= 1 << 8, "more would share bits with the choice of a bucket");
/// Bindings that lie side by side: those of neighbouring ports, two cache lines.
pub const WAYS: u32 = 8;
/// Buckets of [`WAYS`] bindings that each address has.
pub const BUCKETS: u32 = (1 << 16) / WAYS;
/// Ports below are no client's.
pub const FIRST_PORT: u32 = 1024;
/// Buckets of an address that flows get.
const USED: u32 = BUCKETS - FIRST_PORT / WAYS;
/// Buckets that a flow may be in.
pub const CHOICES: u32 = 4;

impl Snat {
    /// Whether an address is one of these.
    #[inline(always)]
    pub const fn holds(&self, address: Be32) -> bool {
        let distance = distance(self.network, address);
        distance < self.addresses
    }

    /// The number of a port of one of these addresses.
    #[inline(always)]
    pub const fn number(&self, address: Be32, port: Be16) -> u32 {
        distance(self.network, address) << 16 | port.get() as u32
    }

    /// The address of a number.
    #[inline(always)]
    pub const fn address(&self, number: u32) -> Be32 {
        let first = u32::from_be(self.network.raw());
        Be32::from_raw(first.wrapping_add(number >> 16).to_be())
    }

    /// The bucket with this index of the [`CHOICES`] of a flow with such a hash.
    #[inline(always)]
    pub const fn bucket(&self, hash: u64, choice: u32) -> u32 {
        // Each choice mixes the hash anew, by an odd number of its own. Some bits say which address, others which of its
        // buckets.
        let mixed = hash.wrapping_mul(STEP.wrapping_add((choice as u64).wrapping_mul(NEXT)));
        let address = (mixed >> 32) as u32 & self.addresses.wrapping_sub(1);
        let place = (((mixed >> 40) * USED as u64) >> 24) as u32;
        address * BUCKETS + FIRST_PORT / WAYS + place
    }

    /// The hash of a client's flow.
    #[inline(always)]
    pub const fn hash(&self, tuple: u64) -> u64 {
        hash::keyed(tuple, self.secret)
    }
}

/// Port of a number.
#[inline(always)]
pub const fn port(number: u32) -> Be16 {
    Be16::new(number as u16)
}

/// Constants without structure, as in [`crate::hash`]: an odd one, and an even one.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const NEXT: u64 = 0x6a09_e667_f3bc_c908;

#[inline(always)]
const fn distance(first: Be32, address: Be32) -> u32 {
    u32::from_be(address.raw()).wrapping_sub(u32::from_be(first.raw()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};
    use proptest::prelude::*;

    fn address(a: u8, b: u8, c: u8, d: u8) -> Be32 {
        bytemuck::cast([a, b, c, d])
    }

    fn snat(addresses: u32) -> Snat {
        Snat { network: address(10, 0, 0, 16), addresses, secret: 0x1234_5678_9abc_def0 }
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<Snat>(), align_of::<Snat>()), (16, 8));
        assert_eq!((offset_of!(Snat, addresses), offset_of!(Snat, secret)), (4, 8));
    }

    #[test]
    fn only_its_addresses_are_its_own() {
        let of = |last| snat(16).holds(address(10, 0, 0, last));
        assert_eq!([15, 16, 31, 32].map(of), [false, true, true, false]);
        assert!(!snat(16).holds(address(10, 0, 1, 16)));
        assert!(!Snat::default().holds(address(0, 0, 0, 0)));
    }

    proptest! {
        #[test]
        fn a_number_names_an_address_and_a_port(log in 0u32..=6, tuple: u64, choice in 0..CHOICES) {
            let snat = snat(1 << log);
            let bucket = snat.bucket(snat.hash(tuple), choice);
            prop_assert!(bucket < snat.addresses * BUCKETS);
            for way in 0..WAYS {
                let number = bucket * WAYS + way;
                let (address, port) = (snat.address(number), port(number));
                prop_assert!(snat.holds(address));
                prop_assert!(u32::from(port.get()) >= FIRST_PORT);
                prop_assert_eq!(snat.number(address, port), number);
            }
        }
    }

    /// Clients of one address with rising ports, and addresses with one port, spread over all buckets.
    #[test]
    fn buckets_are_taken_evenly() {
        let snat = snat(1);
        for choice in 0..CHOICES {
            for shift in [16, 32] {
                let mut seen = std::vec![0u32; BUCKETS as usize];
                for n in 0..(u64::from(USED) * 16) {
                    let hash = snat.hash((0x0a00_0001 << 32 | 7) + (n << shift));
                    seen[snat.bucket(hash, choice) as usize] += 1;
                }
                let (first, used) = seen.split_at((FIRST_PORT / WAYS) as usize);
                assert!(first.iter().all(|count| *count == 0));
                let chi: f64 = used.iter().map(|n| (f64::from(*n) - 16.0).powi(2) / 16.0).sum();
                let degrees = f64::from(USED - 1);
                assert!((chi / degrees) < 1.0 + 6.0 * (2.0 / degrees).sqrt(), "{choice}, {shift}");
            }
        }
    }
}
