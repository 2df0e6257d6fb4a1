//! Source addresses: what members of pools with `fullnat` and `nat46` see in the place of clients' addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use elb_common::snat::MAX_ADDRESSES;
use serde::Serialize;

use super::client_prefix::ClientPrefix;
use super::ipgroup::Cidr;
use super::value::{Forwarding, Invalid, ValueRule, as_text};

/// Addresses that members see in the place of clients' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnatPrefixes {
    /// Of pools with `fullnat`.
    pub v4: Option<SourceAddresses>,
    /// Of pools with `nat46`.
    pub v6: Option<ClientPrefix>,
}

impl SnatPrefixes {
    /// What an address is of them, as the end of a sentence that begins with the address; none: nothing.
    pub fn use_of(self, address: IpAddr) -> Option<String> {
        let source = self.v4.filter(|sources| sources.holds(address));
        let source = source.map(|v4| format!("is one of the source addresses, [snat] v4 {v4}"));
        let prefix = self.v6.filter(|prefix| prefix.holds(address));
        let prefix = prefix.map(|v6| format!("is in the prefix of clients, [snat] v6 {v6}"));
        source.or(prefix)
    }

    /// Such an address: of the prefix, that of some client.
    pub fn one_of(sources: &Cidr) -> IpAddr {
        const CLIENT: [u8; 4] = [192, 0, 2, 1];
        match sources.address() {
            IpAddr::V6(network) => {
                ClientPrefix::at(network).address(FIRST_LISTENER, CLIENT.into()).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        }
    }

    /// Where members see clients' packets come from, if not from clients' addresses.
    pub fn seen_with(self, forwarding: Forwarding) -> Option<Cidr> {
        if forwarding.hides_clients() {
            let v4 = self.v4?;
            Cidr::of(v4.network.into(), v4.bits)
        } else if forwarding.embeds_clients() {
            Cidr::of(self.v6?.network().into(), ClientPrefix::BITS)
        } else {
            None
        }
    }
}

/// A prefix of IPv4 addresses that belong to this load balancer alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceAddresses {
    network: Ipv4Addr,
    bits: u8,
}

/// 0 is no number of a listener in an address.
const FIRST_LISTENER: u16 = 1;

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
