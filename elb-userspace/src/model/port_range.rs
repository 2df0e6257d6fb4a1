//! Ports of a listener: one, ranges of them, or any; and the prefixes that ranges are made of.

use std::fmt;

use serde::Serialize;

use super::value::Invalid;

/// The UDP port of VXLAN, which the V3 API refuses for listeners.
pub const VXLAN_PORT: u16 = 4789;

/// A closed range of ports (V3 `port_ranges`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PortRange {
    start_port: u16,
    end_port: u16,
}

impl PortRange {
    /// Ranges of one listener (V3).
    pub const MOST: usize = 10;

    /// The ports from `start_port` to `end_port`, both included.
    ///
    /// # Errors
    /// There is none, or port 0 is among them.
    pub fn new(start_port: u16, end_port: u16) -> Result<Self, Invalid> {
        if start_port == 0 || start_port > end_port {
            let what = format!("{start_port}-{end_port} is not a range of ports");
            return Err(Invalid::new(what, "use 1 <= start_port <= end_port <= 65535"));
        }
        Ok(Self { start_port, end_port })
    }

    /// Its first port.
    pub const fn start_port(self) -> u16 {
        self.start_port
    }

    /// Its last port.
    pub const fn end_port(self) -> u16 {
        self.end_port
    }

    /// Whether some port is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start_port <= other.end_port && other.start_port <= self.end_port
    }

    /// Whether a port is in it.
    pub const fn contains(self, port: u16) -> bool {
        self.start_port <= port && port <= self.end_port
    }

    /// The fewest prefixes that hold exactly its ports, in their order: at most 30.
    pub fn prefixes(self) -> impl Iterator<Item = PortPrefix> {
        let end = u32::from(self.end_port);
        let mut start = u32::from(self.start_port);
        std::iter::from_fn(move || {
            let port = u16::try_from(start).ok().filter(|_| start <= end)?;
            // As many ports as begin here on a boundary of that many, and end in the range.
            let left = end + 1 - start;
            let free = start.trailing_zeros().min(left.ilog2());
            start += 1 << free;
            Some(PortPrefix { port, bits: 16 - u8::try_from(free).ok()? })
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start_port, self.end_port)
    }
}

/// Ports with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortPrefix {
    /// Its first port.
    pub port: u16,
    /// Bits that its ports have in common, 0 to 16.
    pub bits: u8,
}

impl PortPrefix {
    /// All ports, 0 included, which a packet may carry.
    pub const ANY: Self = Self { port: 0, bits: 0 };
}

/// What a listener listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports<'a> {
    /// A port.
    One(u16),
    /// Ranges of ports.
    Ranges(&'a [PortRange]),
    /// Every port that no other listener of the load balancer has.
    Any,
}

impl Ports<'_> {
    /// The prefixes that they are made of; none for a single port, which is looked up by itself.
    pub fn prefixes(self) -> Vec<PortPrefix> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Ranges(ranges) => ranges.iter().flat_map(|range| range.prefixes()).collect(),
            Self::Any => vec![PortPrefix::ANY],
        }
    }
}

impl fmt::Display for Ports<'_> {
    /// As a person writes them: `80`, `1000-1010,2000-2005`, `any`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => port.fmt(f),
            Self::Any => "any".fmt(f),
            Self::Ranges(ranges) => {
                let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
                ranges.join(",").fmt(f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefixes(start: u16, end: u16) -> Vec<(u16, u8)> {
        PortRange::new(start, end).unwrap().prefixes().map(|p| (p.port, p.bits)).collect()
    }

    #[test]
    fn ranges_have_ports_and_not_port_0() {
        assert!(PortRange::new(0, 5).is_err() && PortRange::new(6, 5).is_err());
        assert!(PortRange::new(5, 5).is_ok());
    }

    #[test]
    fn examples() {
        assert_eq!(prefixes(1000, 1010), [(1000, 13), (1008, 15), (1010, 16)]);
        assert_eq!(prefixes(80, 80), [(80, 16)]);
        assert_eq!(prefixes(65_535, 65_535), [(65_535, 16)]);
        assert_eq!(prefixes(32_768, 65_535), [(32_768, 1)]);
        assert_eq!(prefixes(1, 65_534).len(), 30, "the worst");
    }

    fn range() -> impl Strategy<Value = PortRange> {
        (1u16.., any::<u16>()).prop_map(|(a, b)| {
            let b = b.max(1);
            PortRange::new(a.min(b), a.max(b)).unwrap()
        })
    }

    proptest! {
        /// Exactly the ports of the range, each once, in order.
        #[test]
        fn prefixes_hold_the_range(range in range()) {
            let mut next = u32::from(range.start_port());
            for prefix in range.prefixes() {
                prop_assert_eq!(u32::from(prefix.port), next);
                let size = 1u32 << (16 - prefix.bits);
                prop_assert_eq!(next % size, 0, "a prefix begins on its boundary");
                next += size;
            }
            prop_assert_eq!(next, u32::from(range.end_port()) + 1);
        }

        /// No set of prefixes has fewer: none can be larger, since its double begins before the
        /// range, ends after it, or is not on its boundary.
        #[test]
        fn prefixes_are_as_large_as_can_be(range in range()) {
            for prefix in range.prefixes() {
                let double = 2u32 << (16 - prefix.bits);
                let start = u32::from(prefix.port) / double * double;
                let fits = start >= u32::from(range.start_port())
                    && start + double - 1 <= u32::from(range.end_port());
                prop_assert!(!fits, "{prefix:?} could be larger");
            }
        }

        #[test]
        fn two_ranges_overlap_if_a_port_is_in_both(a in range(), b in range()) {
            let both = (a.start_port()..=a.end_port()).any(|port| b.contains(port));
            prop_assert_eq!((a.overlaps(b), b.overlaps(a)), (both, both));
        }
    }
}
