//! Who has which address in a lab. Every lab uses the same ones: namespaces keep them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Prefix lengths of a lab's networks.
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// A version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The versions that a lab speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone; IPv6 is off, so that nothing but a test's packets is on the wire.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Each of them.
    pub fn list(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::Both => &[Family::V4, Family::V6],
        }
    }

    /// Whether `family` is one of them.
    pub fn contain(self, family: Family) -> bool {
        self.list().contains(&family)
    }
}

/// A network of a lab: the segment that the backends are on, or the clients' one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Backends, and in a one-armed lab everyone: 10.0.0.0/24 and fd00::/64.
    Back,
    /// Clients of a two-armed lab: 10.1.0.0/24 and fd01::/64.
    Front,
}

/// A host of a lab; the number is its address within a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Joins the networks of a two-armed lab: .1.
    Router,
    /// The load balancer: .2.
    LoadBalancer,
    /// A second one that may take the first one's place: .3.
    Standby,
    /// The client: .10.
    Client,
    /// A backend: .11 and on.
    Backend(u8),
    /// A load-balanced address, which no host has on the wire: .100.
    Vip,
}

impl Host {
    fn number(self) -> u8 {
        match self {
            Self::Router => 1,
            Self::LoadBalancer => 2,
            Self::Standby => 3,
            Self::Client => 10,
            Self::Backend(index) => 11 + index,
            Self::Vip => 100,
        }
    }

    /// Its Ethernet address in `network`; that of the switch's end of its cable differs in `port`.
    pub fn mac(self, network: Network, port: bool) -> [u8; 6] {
        [0x02, 0xe1, 0xb0, u8::from(port), network.number(), self.number()]
    }
}

impl Network {
    fn number(self) -> u8 {
        match self {
            Self::Back => 0,
            Self::Front => 1,
        }
    }

    /// The address of `host` in this network; its last number reads the same in both families.
    pub fn address(self, family: Family, host: Host) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, self.number(), 0, host.number()).into(),
            Family::V6 => {
                let prefix = 0xfd00 + u16::from(self.number());
                let number = in_decimal_digits(host.number());
                Ipv6Addr::new(prefix, 0, 0, 0, 0, 0, 0, number).into()
            }
        }
    }

    /// The addresses that `host` has on a device in this network.
    pub fn addresses(self, families: Families, host: Host) -> Vec<(IpAddr, u8)> {
        let with_prefix = |family: &Family| match family {
            Family::V4 => (self.address(*family, host), PREFIX_V4),
            Family::V6 => (self.address(*family, host), PREFIX_V6),
        };
        families.list().iter().map(with_prefix).collect()
    }
}

/// The number whose hexadecimal digits are the decimal digits of `number`.
fn in_decimal_digits(number: u8) -> u16 {
    let number = u16::from(number);
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_the_same_number_in_both_families() {
        let member = Host::Backend(2);
        let v4 = Network::Back.address(Family::V4, member);
        let v6 = Network::Back.address(Family::V6, member);
        assert_eq!((v4.to_string(), v6.to_string()), ("10.0.0.13".into(), "fd00::13".into()));

        let vip = Network::Front.address(Family::V6, Host::Vip);
        assert_eq!(vip.to_string(), "fd01::100");
    }
}
