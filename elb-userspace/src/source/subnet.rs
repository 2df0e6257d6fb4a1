//! Subnets from which load balancers of the API get their addresses, `[[api.subnet]]`.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

pub(super) use self::read::read_all;
use crate::model::ipgroup::Cidr;
use crate::model::{Name, ResourceId};

/// Addresses of a network that load balancers may have, and those of them that they are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// What load balancers name it by.
    pub id: ResourceId,
    /// What people call it.
    pub name: Option<Name>,
    cidr: Cidr,
    /// The first and the last address that are given.
    first: IpAddr,
    last: IpAddr,
    /// Networks within it whose addresses no load balancer has.
    exclude: Vec<Cidr>,
}

impl Subnet {
    /// Whether something names it: its id, or its name.
    pub fn is_called(&self, text: &str) -> bool {
        let is_id = text.parse::<ResourceId>().is_ok_and(|id| id == self.id);
        is_id || self.name.as_ref().is_some_and(|name| name.as_str() == text)
    }

    /// Its name, or its id.
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.id.to_string(), ToString::to_string)
    }

    /// Whether its addresses are of IPv4.
    pub const fn is_v4(&self) -> bool {
        self.cidr.address().is_ipv4()
    }

    /// Its network.
    pub const fn cidr(&self) -> Cidr {
        self.cidr
    }

    /// Whether a load balancer may have an address of it.
    pub fn allows(&self, address: IpAddr) -> bool {
        is_in(address, self.cidr)
            && !self.exclude.iter().any(|network| is_in(address, *network))
            && !reserved(self.cidr).contains(&address)
    }

    /// The lowest address that it gives and that is not in use.
    pub fn free(&self, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let last = number(self.last);
        let mut next = number(self.first);
        while next <= last {
            let address = self.address(next);
            let excluded = self.exclude.iter().find(|network| is_in(address, **network));
            let end = match excluded {
                Some(network) => bounds(*network).1,
                None if self.allows(address) && !used.contains(&address) => return Some(address),
                None => next,
            };
            next = end.checked_add(1)?;
        }
        None
    }

    fn address(&self, number: u128) -> IpAddr {
        match u32::try_from(number) {
            Ok(v4) if self.is_v4() => Ipv4Addr::from_bits(v4).into(),
            Ok(_) | Err(_) => Ipv6Addr::from_bits(number).into(),
        }
    }
}

/// The subnets of an agent: a reload may change them.
#[derive(Clone, Debug)]
pub struct Subnets {
    all: Arc<RwLock<Arc<[Subnet]>>>,
    host: fn() -> BTreeSet<IpAddr>,
}

impl Subnets {
    /// These, until others take their place, on a host that says which addresses are its own.
    pub fn new(all: &[Subnet], host: fn() -> BTreeSet<IpAddr>) -> Self {
        Self { all: Arc::new(RwLock::new(all.into())), host }
    }

    /// None, on a host of which nothing is known.
    pub fn none() -> Self {
        Self::new(&[], BTreeSet::new)
    }

    /// As they are now.
    pub fn get(&self) -> Arc<[Subnet]> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Others take their place.
    pub fn set(&self, all: &[Subnet]) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
    }

    /// The addresses that are the host's own.
    pub fn of_host(&self) -> BTreeSet<IpAddr> {
        (self.host)()
    }
}

/// Addresses that stand for the network itself, or for all of its hosts.
fn reserved(cidr: Cidr) -> BTreeSet<IpAddr> {
    let (first, last) = bounds(cidr);
    let at = |number: u128| match u32::try_from(number) {
        Ok(v4) if cidr.address().is_ipv4() => Ipv4Addr::from_bits(v4).into(),
        Ok(_) | Err(_) => IpAddr::from(Ipv6Addr::from_bits(number)),
    };
    match (cidr.address(), last - first) {
        // RFC 3021, RFC 6164: two addresses are those of two hosts.
        (_, 0 | 1) => BTreeSet::new(),
        (IpAddr::V4(_), _) => [at(first), at(last)].into(),
        // RFC 4291: that of all routers.
        (IpAddr::V6(_), _) => [at(first)].into(),
    }
}

/// The numbers of a network's first and last address.
fn bounds(network: Cidr) -> (u128, u128) {
    let first = number(network.address());
    let whole = if network.address().is_ipv4() { 32 } else { 128 };
    let free = whole - u32::from(network.bits());
    let count = u128::MAX.checked_shr(128 - free).unwrap_or(0);
    (first, first | count)
}

fn is_in(address: IpAddr, network: Cidr) -> bool {
    address.is_ipv4() == network.address().is_ipv4()
        && Cidr::of(address, network.bits()) == Some(network)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
