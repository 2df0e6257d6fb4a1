//! The prefix of the IPv6 addresses that hold an IPv4 client's: what members of pools with `nat46` see.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use elb_common::embedded::{Prefix, embed};
use serde::Serialize;

use super::ipgroup::Cidr;
use super::value::{Invalid, ValueRule, as_text};

/// A prefix of 64 bits that is routed to this load balancer, and has no host in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientPrefix {
    network: Ipv6Addr,
}

impl ClientPrefix {
    /// Its bits.
    pub const BITS: u8 = 64;

    /// That which an address is in.
    pub const fn at(address: Ipv6Addr) -> Self {
        let [a, b, c, d, ..] = address.segments();
        Self { network: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0) }
    }

    /// Its first address.
    pub const fn network(self) -> Ipv6Addr {
        self.network
    }

    /// Its bits as they lie in memory.
    pub fn words(self) -> Prefix {
        let [first, second, ..]: [u32; 4] = bytemuck::cast(self.network.octets());
        [first, second]
    }

    /// The address that members see in the place of this client's, on a connection to the listener with this number.
    pub fn address(self, listener: u16, client: Ipv4Addr) -> Ipv6Addr {
        let address = embed(self.words(), listener, bytemuck::cast(client.octets()));
        bytemuck::cast::<_, [u8; 16]>(address).into()
    }

    /// Whether an address begins with it.
    pub fn holds(self, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return false };
        address.octets()[..8] == self.network.octets()[..8]
    }
}

impl fmt::Display for ClientPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, Self::BITS)
    }
}

impl Serialize for ClientPrefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

impl ValueRule for ClientPrefix {
    fn rule() -> String {
        format!("an IPv6 prefix of /{}, as in \"2001:db8:1:64::/64\"", Self::BITS)
    }
}

impl FromStr for ClientPrefix {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |what: &str| Invalid::against_rule::<Self>(format!("{text:?} {what}"));
        let (address, bits) = text.split_once('/').ok_or_else(|| wrong("has no length"))?;
        let address: Ipv6Addr =
            address.parse().map_err(|_| wrong("does not begin with an IPv6 address"))?;
        let bits: u8 = bits.parse().map_err(|_| wrong("does not end with a length"))?;
        if bits != Self::BITS {
            return Err(wrong("is no such prefix"));
        }
        let Some(IpAddr::V6(network)) =
            Cidr::of(address.into(), bits).map(|network| network.address())
        else {
            return Err(wrong("is no prefix"));
        };
        if network != address {
            let what = format!("{text:?} has bits of hosts set");
            return Err(Invalid::new(what, format!("use \"{network}/{bits}\"")));
        }
        if let Some(what) = super::rules::not_unicast("v6", network.into()) {
            return Err(Invalid::new(what, "use a prefix that is routed to this load balancer"));
        }
        Ok(Self { network })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<ClientPrefix, String> {
        text.parse().map_err(|wrong: Invalid| wrong.to_string())
    }

    #[test]
    fn a_client_is_in_an_address_of_it() {
        let prefix = of("2001:db8:1:64::/64").unwrap();
        let seen = prefix.address(7, Ipv4Addr::new(203, 0, 113, 9));
        assert_eq!(seen.to_string(), "2001:db8:1:64:0:7:cb00:7109");
        assert!(prefix.holds(seen.into()));
        let held = |text: &str| prefix.holds(text.parse().unwrap());
        assert!(held("2001:db8:1:64::") && held("2001:db8:1:64:ffff:ffff:ffff:ffff"));
        assert!(!held("2001:db8:1:63:ffff:ffff:ffff:ffff") && !held("203.0.113.9"));
        assert_eq!(prefix.to_string(), "2001:db8:1:64::/64");
    }

    #[test]
    fn what_is_no_such_prefix_is_refused() {
        for (text, said) in [
            ("2001:db8::", "has no length; use an IPv6 prefix of /64, as in"),
            ("2001:db8::1/64", "has bits of hosts set; use \"2001:db8::/64\""),
            ("2001:db8::/63", "is no such prefix; use an IPv6 prefix of /64"),
            ("2001:db8::/96", "is no such prefix"),
            ("2001:db8::/x", "does not end with a length"),
            ("10.0.0.16/28", "does not begin with an IPv6 address"),
            ("fe80::/64", "is a link-local address; use a prefix that is routed to this"),
            ("ff02::/64", "is a multicast address"),
            ("::/64", "is the unspecified address"),
        ] {
            let wrong = of(text).unwrap_err();
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
