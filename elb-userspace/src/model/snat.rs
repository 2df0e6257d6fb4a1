//! Source addresses: what members of pools with `fullnat` see in the place of clients' addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use elb_common::snat::MAX_ADDRESSES;
use serde::Serialize;

use super::ipgroup::Cidr;
use super::value::{Invalid, ValueRule, as_text};

/// A prefix of IPv4 addresses that belong to this load balancer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceAddresses {
    network: Ipv4Addr,
    bits: u8,
}

/// The shortest prefix: of the most addresses.
const SHORTEST: u8 = {
    assert!(MAX_ADDRESSES == 64);
    26
};

impl SourceAddresses {
    /// The first address.
    pub const fn network(self) -> Ipv4Addr {
        self.network
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        1 << (32 - self.bits)
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.network.to_bits();
        (0..self.count()).map(move |n| Ipv4Addr::from_bits(first + n))
    }

    /// Whether an address is one of them.
    pub fn holds(self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address else { return false };
        address.to_bits().wrapping_sub(self.network.to_bits()) < self.count()
    }
}

impl fmt::Display for SourceAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl Serialize for SourceAddresses {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

impl ValueRule for SourceAddresses {
    fn rule() -> String {
        format!("an IPv4 prefix of /{SHORTEST} to /32, as in \"10.0.0.16/28\"")
    }
}

impl FromStr for SourceAddresses {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| Invalid::against_rule::<Self>(format!("{text:?} {what}"));
        let (address, bits) = text.split_once('/').ok_or_else(|| wrong("has no length"))?;
        let address: Ipv4Addr =
            address.parse().map_err(|_| wrong("does not begin with an IPv4 address"))?;
        let bits: u8 = bits.parse().map_err(|_| wrong("does not end with a length"))?;
        if !(SHORTEST..=32).contains(&bits) {
            return Err(wrong("is no such prefix"));
        }
        let Some(IpAddr::V4(network)) =
            Cidr::of(address.into(), bits).map(|network| network.address())
        else {
            return Err(wrong("is no prefix"));
        };
        if network != address {
            let what = format!("{text:?} has bits of hosts set");
            return Err(Invalid::new(what, format!("use \"{network}/{bits}\"")));
        }
        if let Some(what) = super::rules::not_unicast("v4", network.into()) {
            return Err(Invalid::new(what, "use addresses that this load balancer alone has"));
        }
        Ok(Self { network, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<SourceAddresses, String> {
        text.parse().map_err(|wrong: Invalid| wrong.to_string())
    }

    #[test]
    fn a_prefix_is_its_addresses() {
        let addresses = of("10.0.0.16/30").unwrap();
        let all: Vec<String> = addresses.all().map(|one| one.to_string()).collect();
        assert_eq!(all, ["10.0.0.16", "10.0.0.17", "10.0.0.18", "10.0.0.19"]);
        let held = |last| addresses.holds(IpAddr::from([10, 0, 0, last]));
        assert_eq!([15, 16, 19, 20].map(held), [false, true, true, false]);
        assert!(!addresses.holds("::10.0.0.16".parse().unwrap()));
        assert_eq!((addresses.to_string(), addresses.count()), ("10.0.0.16/30".to_owned(), 4));
        assert_eq!(of("10.0.0.64/26").unwrap().count(), MAX_ADDRESSES);
        assert_eq!(of("10.0.0.7/32").unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_such_prefix_is_refused() {
        for (text, said) in [
            ("10.0.0.16", "has no length; use an IPv4 prefix of /26 to /32, as in"),
            ("10.0.0.20/28", "has bits of hosts set; use \"10.0.0.16/28\""),
            ("10.0.0.0/25", "is no such prefix"),
            ("10.0.0.0/33", "is no such prefix"),
            ("2001:db8::/64", "does not begin with an IPv4 address"),
            ("10.0.0.16/x", "does not end with a length"),
            ("224.0.0.16/28", "use addresses that this load balancer alone has"),
        ] {
            let wrong = of(text).unwrap_err();
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
