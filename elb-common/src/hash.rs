//! The hash that spreads flows over a ring.
//!
//! It has no seed: every load balancer node with the same pool must choose the same backend for the
//! same flow. Changing it is a change of the ABI between nodes; the golden values say so.

use crate::flow::{FlowKeyV4, FlowKeyV6};

/// Odd 64-bit constants without structure: the fractions of the golden ratio and of √2, √3 · 2^64.
const K: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b];

/// Hash of an IPv4 flow.
#[inline(always)]
pub const fn flow_v4(key: &FlowKeyV4) -> u32 {
    let [a, b] = key.words();
    finish(mix(a.wrapping_mul(K[0]), b))
}

/// Hash of an IPv6 flow.
#[inline(always)]
pub const fn flow_v6(key: &FlowKeyV6) -> u32 {
    let [a, b, c, d, e] = key.words();
    finish(mix(mix(mix(mix(a.wrapping_mul(K[0]), b), c), d), e))
}

/// Hash of a digest.
#[inline(always)]
pub const fn digest(digest: u64) -> u32 {
    finish(digest.wrapping_mul(K[0]))
}

/// Digest of three words.
#[inline(always)]
pub const fn words([a, b, c]: [u64; 3]) -> u64 {
    let hash = mix(mix(a.wrapping_mul(K[0]), b), c);
    (hash ^ (hash >> 29)).wrapping_mul(K[2])
}

/// Digest of a word that a key takes part in from the first step. Who takes a part of it multiplies it once more.
#[inline(always)]
pub const fn keyed(word: u64, key: u64) -> u64 {
    let hash = mix((word ^ key).wrapping_mul(K[0]), word.rotate_left(32));
    hash ^ (hash >> 29)
}

/// One multiply-xorshift round: the high half, where a product's entropy gathers, comes down.
#[inline(always)]
const fn mix(hash: u64, word: u64) -> u64 {
    ((hash ^ (hash >> 32)) ^ word).wrapping_mul(K[1])
}

#[inline(always)]
const fn finish(hash: u64) -> u32 {
    ((hash ^ (hash >> 29)).wrapping_mul(K[2]) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Be16, Be32, Be128};
    use crate::flow::Ports;
    use crate::ring;
    use std::vec;

    fn v4(source: u32, port: u16) -> u32 {
        let ports = Ports { source: Be16::new(port), destination: Be16::new(80) };
        let vip = Be32::from_raw(0xc000_020au32.to_be());
        flow_v4(&FlowKeyV4::new(Be32::from_raw(source.to_be()), vip, ports, 6))
    }

    fn v6(source: u32, port: u16) -> u32 {
        let ports = Ports { source: Be16::new(port), destination: Be16::new(80) };
        let prefix = 0x2001_0db8u32.to_be();
        let source = Be128::from_raw([prefix, 0, 0, source.to_be()]);
        flow_v6(&FlowKeyV6::new(source, Be128::from_raw([prefix, 0, 0, 10u32.to_be()]), ports, 6))
    }

    #[test]
    fn golden() {
        assert_eq!([v4(0x0a00_0001, 1024), v4(0x0a00_0001, 1025)], [2_635_121_797, 1_351_139_756]);
        assert_eq!([v6(1, 1024), v6(1, 1025)], [3_165_698_979, 3_979_996_376]);
    }

    /// Pearson's χ² of `count` flows over `bins`, divided by its degrees of freedom: 1 for a
    /// perfectly random hash, with a standard deviation of √(2/bins).
    fn evenness(hash: impl Fn(u32) -> u32, count: u32, bins: u32) -> f64 {
        let mut seen = vec![0u32; bins as usize];
        (0..count).for_each(|i| seen[ring::index(hash(i), bins) as usize] += 1);
        let expected = f64::from(count) / f64::from(bins);
        let chi: f64 = seen.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        chi / f64::from(bins - 1)
    }

    /// The flows people really have: one client with rising ports, a range of clients with one
    /// port, and both; over a small and over a usual ring.
    #[test]
    fn sequential_flows_spread_like_random_ones() {
        for bins in [101, 1021, 4093] {
            let tolerance = 1.0 + 6.0 * (2.0 / f64::from(bins)).sqrt();
            for (name, hash) in [("v4", v4 as fn(u32, u16) -> u32), ("v6", v6)] {
                let ports = evenness(|i| hash(0x0a00_0001, 1024 + i as u16), 60_000, bins);
                let clients = evenness(|i| hash(0x0a00_0000 + i, 40_000), 60_000, bins);
                let subnets = evenness(|i| hash(0x0a00_0001 + (i << 8), 40_000), 60_000, bins);
                let both = evenness(|i| hash(i / 250, 1024 + (i % 250) as u16), 60_000, bins);
                for (flows, value) in
                    [("ports", ports), ("clients", clients), ("subnets", subnets), ("both", both)]
                {
                    assert!(value < tolerance, "{name} {flows} over {bins}: {value}");
                }
            }
        }
    }

    #[test]
    fn every_input_bit_reaches_every_output_bit() {
        let flips = |base: FlowKeyV6, bit: usize| {
            let mut words = base.words();
            words[bit / 64] ^= 1 << (bit % 64);
            flow_v6(&base) ^ flow_v6(&bytemuck::cast(words))
        };
        for bit in (0..320).filter(|bit| *bit < 296) {
            let seen = (0..256u64).fold(0u32, |seen, i| {
                let base =
                    [i.wrapping_mul(K[0]), i.wrapping_mul(K[1]), !i, i << 7, i.wrapping_mul(K[2])];
                seen | flips(bytemuck::cast(base), bit)
            });
            assert_eq!(seen, u32::MAX, "bit {bit}");
        }
    }
}
