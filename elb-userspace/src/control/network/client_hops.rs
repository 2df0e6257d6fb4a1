//! The ways back to clients, as the maps hold them: what differs from a default, in as few entries as that takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use elb_common::client_hop::{
    BITS_V4, BITS_V6, CLIENT_ROUTE_WORDS, ClientBit, ClientHop, hop_kind,
};

use crate::model::ipgroup::Cidr;

/// What the packet path looks a client up in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHops {
    /// `CLIENT_DEFAULTS`: IPv4, IPv6.
    pub defaults: [ClientHop; 2],
    /// `CLIENT_ROUTES_V4` and `CLIENT_ROUTES_V6`.
    pub routes: BTreeMap<Cidr, ClientHop>,
    /// `CLIENT_ROUTE_BITS`; an absent word is 0.
    pub bits: BTreeMap<u32, u64>,
}

impl ClientHops {
    /// With the bits of these routes set, and no others.
    pub fn new(defaults: [ClientHop; 2], routes: BTreeMap<Cidr, ClientHop>) -> Self {
        let mut bits = BTreeMap::new();
        for prefix in routes.keys() {
            set_bits(*prefix, &mut bits);
        }
        Self { defaults, routes, bits }
    }

    /// The segment that an address is on, of a host that this one reaches without a gateway: the narrowest prefix
    /// whose addresses the kernel looks for there.
    pub fn segment_of(&self, address: IpAddr) -> Option<Cidr> {
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefixes = (1..all).rev().filter_map(|bits| Cidr::of(address, bits));
        let (prefix, hop) =
            prefixes.filter_map(|prefix| self.routes.get_key_value(&prefix)).next()?;
        (hop.kind == hop_kind::KERNEL).then_some(*prefix)
    }

    /// The way to a client, as the packet path finds it.
    pub fn hop(&self, client: IpAddr) -> ClientHop {
        let default = self.defaults[usize::from(client.is_ipv6())];
        let bit = client_bit(client);
        if !self.bits.get(&bit.word()).is_some_and(|word| bit.is_in(*word)) {
            return default;
        }
        let mut within = Cidr::host(client);
        // What is before it and does not cover it shares some bits with it, and what covers it no more than these.
        while let Some((prefix, hop)) = self.routes.range(..=within).next_back() {
            if prefix.covers(within) {
                return *hop;
            }
            let Some(wider) = within.shared_with(*prefix) else { break };
            within = wider;
        }
        default
    }

    /// Whether its ways leave by these interfaces only.
    pub fn are_by(&self, devices: &BTreeSet<u32>) -> bool {
        self.defaults.iter().chain(self.routes.values()).all(|hop| is_by(hop, devices))
    }

    /// The same, where the kernel finds the way by all but these interfaces.
    #[must_use]
    pub fn by(&self, devices: &BTreeSet<u32>) -> Self {
        let by = |hop: ClientHop| if is_by(&hop, devices) { hop } else { KERNEL };
        let routes = self.routes.iter().map(|(prefix, hop)| (*prefix, by(*hop))).collect();
        Self { defaults: self.defaults.map(by), routes, bits: self.bits.clone() }
    }
}

fn is_by(hop: &ClientHop, devices: &BTreeSet<u32>) -> bool {
    hop.kind != hop_kind::KNOWN || devices.contains(&hop.ifindex)
}

/// A way that the kernel finds.
pub(super) const KERNEL: ClientHop = of_kind(hop_kind::KERNEL);

/// A way that only its kind is known of.
pub(super) const fn of_kind(kind: u16) -> ClientHop {
    let mac = elb_common::addr::Mac::new([0; 6]);
    ClientHop { next_hop: mac, source: mac, ifindex: 0, largest: 0, kind }
}

/// The bit of a client in `CLIENT_ROUTE_BITS`.
pub fn client_bit(client: IpAddr) -> ClientBit {
    match client {
        IpAddr::V4(client) => ClientBit::v4(bytemuck::cast(client.octets())),
        IpAddr::V6(client) => ClientBit::v6(bytemuck::cast(client.octets())),
    }
}

/// Sets the bits of all clients that a prefix has.
fn set_bits(prefix: Cidr, all: &mut BTreeMap<u32, u64>) {
    let first = client_bit(prefix.address());
    let (bits, words) = match prefix.address() {
        IpAddr::V4(_) => (BITS_V4, 0..CLIENT_ROUTE_WORDS / 2),
        IpAddr::V6(_) => (BITS_V6, CLIENT_ROUTE_WORDS / 2..CLIENT_ROUTE_WORDS),
    };
    let missing = bits.saturating_sub(prefix.bits().into());
    match (prefix.address(), missing) {
        (_, 0) => *all.entry(first.word()).or_default() |= first.mask(),
        // Fewer than a word has, in a row.
        (IpAddr::V4(_), 1..6) => {
            let row = (1 << (1_u32 << missing)) - 1;
            *all.entry(first.word()).or_default() |= first.mask() * row;
        }
        (IpAddr::V4(_), _) => {
            let count = 1 << (missing - 6);
            all.extend((first.word()..first.word() + count).map(|word| (word, u64::MAX)));
        }
        // They are mixed, so that a short prefix may have any.
        (IpAddr::V6(_), _) => all.extend(words.map(|word| (word, u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
