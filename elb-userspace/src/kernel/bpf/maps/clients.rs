//! The maps of the ways back to clients.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData};
use elb_common::client_hop::{CLIENT_ROUTE_WORDS, ClientHop};
use elb_common::names;

use super::{MapError, at, take};
use crate::control::network::client_hops::ClientHops;
use crate::kernel::bpf::record::Record;
use crate::model::ipgroup::Cidr;

type Trie<K> = LpmTrie<MapData, Record<K>, Record<ClientHop>>;

/// `CLIENT_DEFAULTS`, `CLIENT_ROUTES_V4`, `CLIENT_ROUTES_V6` and `CLIENT_ROUTE_BITS`.
pub(super) struct ClientMaps {
    defaults: Array<MapData, Record<ClientHop>>,
    routes_v4: Trie<u32>,
    routes_v6: Trie<[u64; 2]>,
    bits: Array<MapData, u64>,
}

impl ClientMaps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            defaults: take(ebpf, names::CLIENT_DEFAULTS)?,
            routes_v4: take(ebpf, names::CLIENT_ROUTES_V4)?,
            routes_v6: take(ebpf, names::CLIENT_ROUTES_V6)?,
            bits: take(ebpf, names::CLIENT_ROUTE_BITS)?,
        })
    }

    /// What they hold.
    pub(super) fn read(&self) -> Result<ClientHops, MapError> {
        let default = |version| self.defaults.get(&version, 0).map_err(at(names::CLIENT_DEFAULTS));
        let mut hops =
            ClientHops { defaults: [default(0)?.0, default(1)?.0], ..ClientHops::default() };
        for entry in self.routes_v4.iter() {
            let (key, hop) = entry.map_err(at(names::CLIENT_ROUTES_V4))?;
            add(&mut hops.routes, key.data().0.to_ne_bytes().into(), key.prefix_len(), hop.0);
        }
        for entry in self.routes_v6.iter() {
            let (key, hop) = entry.map_err(at(names::CLIENT_ROUTES_V6))?;
            let address: [u8; 16] = bytemuck::cast(key.data().0);
            add(&mut hops.routes, address.into(), key.prefix_len(), hop.0);
        }
        for index in 0..CLIENT_ROUTE_WORDS {
            let word = self.bits.get(&index, 0).map_err(at(names::CLIENT_ROUTE_BITS))?;
            if word != 0 {
                hops.bits.insert(index, word);
            }
        }
        Ok(hops)
    }

    pub(super) fn put(&mut self, prefix: Cidr, hop: ClientHop) -> Result<(), MapError> {
        match key(prefix) {
            ClientKey::V4(key) => {
                self.routes_v4.insert(&key, Record(hop), 0).map_err(at(names::CLIENT_ROUTES_V4))
            }
            ClientKey::V6(key) => {
                self.routes_v6.insert(&key, Record(hop), 0).map_err(at(names::CLIENT_ROUTES_V6))
            }
        }
    }

    pub(super) fn remove(&mut self, prefix: Cidr) -> Result<(), MapError> {
        match key(prefix) {
            ClientKey::V4(key) => self.routes_v4.remove(&key).map_err(at(names::CLIENT_ROUTES_V4)),
            ClientKey::V6(key) => self.routes_v6.remove(&key).map_err(at(names::CLIENT_ROUTES_V6)),
        }
    }

    pub(super) fn put_bits(&mut self, index: u32, word: u64) -> Result<(), MapError> {
        self.bits.set(index, word, 0).map_err(at(names::CLIENT_ROUTE_BITS))
    }

    pub(super) fn put_default(&mut self, version: u32, hop: ClientHop) -> Result<(), MapError> {
        self.defaults.set(version, Record(hop), 0).map_err(at(names::CLIENT_DEFAULTS))
    }
}

enum ClientKey {
    V4(Key<Record<u32>>),
    V6(Key<Record<[u64; 2]>>),
}

fn key(prefix: Cidr) -> ClientKey {
    let bits = prefix.bits().into();
    match prefix.address() {
        IpAddr::V4(address) => {
            ClientKey::V4(Key::new(bits, Record(u32::from_ne_bytes(address.octets()))))
        }
        IpAddr::V6(address) => {
            ClientKey::V6(Key::new(bits, Record(bytemuck::cast(address.octets()))))
        }
    }
}

fn add(routes: &mut BTreeMap<Cidr, ClientHop>, address: IpAddr, bits: u32, hop: ClientHop) {
    let prefix = u8::try_from(bits).ok().and_then(|bits| Cidr::of(address, bits));
    routes.extend(prefix.map(|prefix| (prefix, hop)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/33", "2001:db8::7/128"] {
            let prefix: Cidr = text.parse().unwrap();
            let mut routes = BTreeMap::new();
            let hop = ClientHop { ifindex: 7, ..ClientHop::default() };
            match key(prefix) {
                ClientKey::V4(key) => {
                    let address: [u8; 4] = bytemuck::cast(key.data().0);
                    add(&mut routes, address.into(), key.prefix_len(), hop);
                }
                ClientKey::V6(key) => {
                    let address: [u8; 16] = bytemuck::cast(key.data().0);
                    add(&mut routes, address.into(), key.prefix_len(), hop);
                }
            }
            assert_eq!(routes, [(prefix, hop)].into(), "{text}");
        }
    }
}
