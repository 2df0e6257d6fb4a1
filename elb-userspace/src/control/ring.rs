//! Which member gets which connection: the Maglev table or a schedule, and how a ring in use becomes
//! the next.

pub mod maglev;
pub mod rise;
pub mod schedule;

pub mod shape;

pub mod region;
pub mod slots;

use std::net::IpAddr;

/// The hash of a member's identity that fixes its place in every ring: 64 bits of (address, port).
///
/// The 16 address bytes (IPv4 in its mapped form, RFC 4291 §2.5.5.2) are two big-endian words, the
/// port (0 for members that take any port) is a third; each is xored into the state, which then
/// takes a step of SplitMix64 (Steele et al., OOPSLA 2014). The state starts as 2^64 / the golden
/// ratio. Load balancers that share a pool must agree on this value: changing it is a change of
/// protocol.
#[expect(clippy::cast_possible_truncation, reason = "the address is cut into its halves")]
pub fn identity(address: IpAddr, port: u16) -> u64 {
    let address = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let bits = address.to_bits();
    let words = [(bits >> 64) as u64, bits as u64, u64::from(port)];
    words.iter().fold(GOLDEN, |state, word| mix(state ^ word))
}

/// 2^64 divided by the golden ratio: the increment of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: a bijection in which every input bit changes half of the output
/// bits.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(GOLDEN);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_is_splitmix64() {
        // First outputs of the reference generator seeded with 0 and 1234567.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    /// The interface between nodes: these numbers may never change.
    #[test]
    fn identities_are_fixed() {
        let id = |address: &str, port| identity(address.parse().unwrap(), port);
        assert_eq!(id("10.0.0.11", 80), 0x3042_003a_df49_2b86);
        assert_eq!(id("10.0.0.11", 0), 0x7c54_6228_04a4_e423);
        assert_eq!(id("10.0.0.12", 80), 0xbfa5_931a_e540_ba12);
        assert_eq!(id("2001:db8::11", 80), 0xc926_eed7_8218_ea09);
        assert_eq!(id("::ffff:10.0.0.11", 80), id("10.0.0.11", 80));
    }
}
