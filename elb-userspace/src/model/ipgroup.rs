//! IP groups: who may open connections to a listener, or may not (V3 `ipgroup`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use super::value::{Invalid, ValueRule, as_text, choice};
use super::{Name, ResourceId};

/// Networks under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IpGroup {
    /// Unique among IP groups.
    pub id: ResourceId,
    /// Unique among IP groups.
    pub name: Name,
    ip_list: Vec<IpGroupEntry>,
}

/// A network of an IP group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IpGroupEntry {
    /// Its addresses.
    pub ip: Cidr,
    /// What it is; may be empty.
    pub description: Description,
}

impl IpGroup {
    /// Networks of one group (V3 quota).
    pub const MOST_NETWORKS: usize = 300;
    /// Groups of one model (V3 quota).
    pub const MOST: usize = 50;

    /// A group. Of entries with the same network, the first counts (V3: `0.0.0.0` and `0.0.0.0/32`
    /// are one).
    ///
    /// # Errors
    /// There are too many.
    pub fn new(id: ResourceId, name: Name, entries: Vec<IpGroupEntry>) -> Result<Self, Invalid> {
        let mut seen = BTreeSet::new();
        let ip_list: Vec<_> = entries.into_iter().filter(|entry| seen.insert(entry.ip)).collect();
        if ip_list.len() > Self::MOST_NETWORKS {
            let what =
                format!("has {} networks, of at most {}", ip_list.len(), Self::MOST_NETWORKS);
            return Err(Invalid::new(what, "join neighbouring networks, or use two listeners"));
        }
        Ok(Self { id, name, ip_list })
    }

    /// In the order of the source; no network is there twice.
    pub fn ip_list(&self) -> &[IpGroupEntry] {
        &self.ip_list
    }

    /// Its networks.
    pub fn networks(&self) -> BTreeSet<Cidr> {
        self.ip_list.iter().map(|entry| entry.ip).collect()
    }
}

/// Networks of IP groups, by the number of the group.
pub type GroupNetworks = BTreeMap<u16, BTreeSet<Cidr>>;

/// Addresses with the same first bits: an address, and zeroes after its first `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The network of this size that an address is in; `None` if an address has fewer bits.
    pub fn of(address: IpAddr, bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32u32.checked_sub(bits.into())?).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128u32.checked_sub(bits.into())?).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        };
        Some(Self { address, bits })
    }

    /// An address alone.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether all addresses of another network are its own, too.
    pub fn covers(&self, other: Self) -> bool {
        let is_same_version = self.address.is_ipv4() == other.address.is_ipv4();
        is_same_version
            && self.bits <= other.bits
            && Self::of(other.address, self.bits) == Some(*self)
    }

    /// The network that is twice as large, and its other half; none for one of all addresses.
    pub fn halves_with(&self) -> Option<(Self, Self)> {
        let bits = self.bits.checked_sub(1)?;
        let other = match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 1 << (31 - bits)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1 << (127 - bits)).into(),
        };
        Some((Self::of(self.address, bits)?, Self { address: other, bits: self.bits }))
    }

    /// The smallest network that both are in; none for two of different IP versions.
    pub fn shared_with(&self, other: Self) -> Option<Self> {
        let shared = match (self.address, other.address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let shared = u8::try_from(shared).unwrap_or(u8::MAX);
        Self::of(self.address, shared.min(self.bits).min(other.bits))
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that its addresses have in common: 0 to 32 or 128.
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl FromStr for Cidr {
    type Err = Invalid;

    /// An address, or an address and the number of bits that count; the others may be set.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let network = || {
            let address: IpAddr = address.parse().ok()?;
            let whole = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(whole), |bits| bits.parse().ok());
            Self::of(address, bits?)
        };
        match network() {
            Some(Self { address: IpAddr::V6(v6), bits: 96.. }) if v6.to_ipv4_mapped().is_some() => {
                let what = format!("{text:?} is an IPv4 network written as IPv6");
                Err(Invalid::new(what, "write it as in \"10.0.0.0/8\""))
            }
            Some(network) => Ok(network),
            None if is_range(text) => {
                let what = format!("{text:?} is a range, which this version does not support");
                Err(Invalid::new(what, "write it as networks, as in \"10.0.0.0/8\""))
            }
            None => {
                let what = format!("{text:?} is not an address or a network");
                Err(Invalid::against_rule::<Self>(what))
            }
        }
    }
}

impl ValueRule for Cidr {
    fn rule() -> String {
        "an address or a network, as in \"10.0.0.7\" or \"10.0.0.0/8\"".to_owned()
    }
}

/// Whether it is two addresses, as the V3 API knows them: `10.0.0.1-10.0.0.9`.
fn is_range(text: &str) -> bool {
    let is_address = |text: &str| text.trim().parse::<IpAddr>().is_ok();
    text.split_once('-').is_some_and(|(first, last)| is_address(first) && is_address(last))
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

/// What a network is: up to 255 characters without `<` and `>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(String);

impl FromStr for Description {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let characters = text.chars().count();
        if characters > 255 {
            return Err(Invalid::against_rule::<Self>(format!("has {characters} characters")));
        }
        if text.contains(['<', '>']) {
            return Err(Invalid::against_rule::<Self>("contains < or >"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ValueRule for Description {
    fn rule() -> String {
        "up to 255 characters without < and >".to_owned()
    }
}

/// Access control of a listener (V3 `ipgroup` of a listener).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessControl {
    /// The name of the IP group.
    pub ipgroup: Name,
    /// What its members may do.
    #[serde(rename = "type")]
    pub list: AccessList,
    /// false: every client may open connections.
    pub enable_ipgroup: bool,
    /// Whether connections that exist are judged, too, and cut.
    pub cut: bool,
}

choice! {
    /// What members of an IP group may do at a listener.
    AccessList {
        /// Only they open connections; of an empty group, no client.
        White = "white",
        /// They open no connections; of an empty group, all clients do.
        Black = "black",
    }
    not yet: [], use "white or black"
}

#[cfg(test)]
mod tests;
