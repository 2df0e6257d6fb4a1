//! The maps that are tries: listeners for ranges of ports, and networks of IP groups.

use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::MapData;
use aya::maps::lpm_trie::{Key, LpmTrie};
use elb_common::addr::Be16;
use elb_common::admission::{GROUP_FIXED_BITS, GroupKeyV4, GroupKeyV6};
use elb_common::listener::{Listener, RANGE_FIXED_BITS, RangeKey};
use elb_common::names;

use super::{MapError, at, take};
use crate::control::plan::{Image, RangeEntry};
use crate::kernel::bpf::record::Record;
use crate::model::ipgroup::{Cidr, GroupNetworks};
use crate::model::port_range::PortPrefix;

type Trie<K, V> = LpmTrie<MapData, Record<K>, Record<V>>;

/// `PORT_RANGES`, `GROUPS_V4` and `GROUPS_V6`.
pub(super) struct Tries {
    ranges: Trie<RangeKey, Listener>,
    groups_v4: Trie<GroupKeyV4, u32>,
    groups_v6: Trie<GroupKeyV6, u32>,
}

/// The value of every network of a group: only that it is there counts.
const MEMBER: Record<u32> = Record(1);

impl Tries {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            ranges: take(ebpf, names::PORT_RANGES)?,
            groups_v4: take(ebpf, names::GROUPS_V4)?,
            groups_v6: take(ebpf, names::GROUPS_V6)?,
        })
    }

    /// Adds what they hold to an image.
    pub(super) fn read(&self, image: &mut Image) -> Result<(), MapError> {
        for entry in self.ranges.iter() {
            let (key, listener) = entry.map_err(at(names::PORT_RANGES))?;
            image.ranges.insert(range_entry(&key), listener.0);
        }
        for key in self.groups_v4.keys() {
            let key = key.map_err(at(names::GROUPS_V4))?;
            let [group, address]: [[u8; 4]; 2] = bytemuck::cast(key.data().0);
            add(&mut image.groups, group, address.into(), key.prefix_len());
        }
        for key in self.groups_v6.keys() {
            let key = key.map_err(at(names::GROUPS_V6))?;
            let words: [[u8; 4]; 5] = bytemuck::cast(key.data().0);
            let [group, address @ ..] = words;
            let address: [u8; 16] = bytemuck::cast(address);
            add(&mut image.groups, group, address.into(), key.prefix_len());
        }
        Ok(())
    }

    pub(super) fn put_range(&mut self, entry: &RangeEntry, to: &Listener) -> Result<(), MapError> {
        self.ranges.insert(&range_key(entry), Record(*to), 0).map_err(at(names::PORT_RANGES))
    }

    pub(super) fn remove_range(&mut self, entry: &RangeEntry) -> Result<(), MapError> {
        self.ranges.remove(&range_key(entry)).map_err(at(names::PORT_RANGES))
    }

    pub(super) fn add_to_group(&mut self, group: u16, network: Cidr) -> Result<(), MapError> {
        match group_key(group, network) {
            GroupKey::V4(key) => {
                self.groups_v4.insert(&key, MEMBER, 0).map_err(at(names::GROUPS_V4))
            }
            GroupKey::V6(key) => {
                self.groups_v6.insert(&key, MEMBER, 0).map_err(at(names::GROUPS_V6))
            }
        }
    }

    pub(super) fn remove_from_group(&mut self, group: u16, network: Cidr) -> Result<(), MapError> {
        match group_key(group, network) {
            GroupKey::V4(key) => self.groups_v4.remove(&key).map_err(at(names::GROUPS_V4)),
            GroupKey::V6(key) => self.groups_v6.remove(&key).map_err(at(names::GROUPS_V6)),
        }
    }
}

fn range_key(entry: &RangeEntry) -> Key<Record<RangeKey>> {
    let PortPrefix { port, bits } = entry.ports;
    let key = RangeKey::new(entry.vip, Be16::new(port), entry.protocol);
    Key::new(RANGE_FIXED_BITS + u32::from(bits), Record(key))
}

fn range_entry(key: &Key<Record<RangeKey>>) -> RangeEntry {
    let [vip @ .., protocol, _, high, low]: [u8; 8] = bytemuck::cast(key.data().0);
    let port = u16::from_be_bytes([high, low]);
    let ports = PortPrefix { port, bits: bits(key.prefix_len(), RANGE_FIXED_BITS) };
    RangeEntry { vip: u32::from_ne_bytes(vip), protocol, ports }
}

enum GroupKey {
    V4(Key<Record<GroupKeyV4>>),
    V6(Key<Record<GroupKeyV6>>),
}

fn group_key(group: u16, network: Cidr) -> GroupKey {
    let bits = GROUP_FIXED_BITS + u32::from(network.bits());
    match network.address() {
        IpAddr::V4(address) => {
            let key = GroupKeyV4::new(group, bytemuck::cast(address.octets()));
            GroupKey::V4(Key::new(bits, Record(key)))
        }
        IpAddr::V6(address) => {
            let key = GroupKeyV6::new(group, bytemuck::cast(address.octets()));
            GroupKey::V6(Key::new(bits, Record(key)))
        }
    }
}

/// Adds what the maps say of a network; keys that no agent writes are not listed.
fn add(groups: &mut GroupNetworks, group: [u8; 4], address: IpAddr, prefix_len: u32) {
    let group = u16::try_from(u32::from_ne_bytes(group));
    let network = Cidr::of(address, bits(prefix_len, GROUP_FIXED_BITS));
    if let (Ok(group), Some(network)) = (group, network) {
        groups.entry(group).or_default().insert(network);
    }
}

/// Bits of a prefix after the fixed ones.
fn bits(prefix_len: u32, fixed: u32) -> u8 {
    u8::try_from(prefix_len.saturating_sub(fixed)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for (port, bits) in [(0, 0), (1000, 13), (65_535, 16)] {
            let ports = PortPrefix { port, bits };
            let entry = RangeEntry { vip: 70_000, protocol: 17, ports };
            let key = range_key(&entry);
            assert_eq!(key.prefix_len(), 48 + u32::from(bits));
            assert_eq!(range_entry(&key), entry);
        }
    }

    #[test]
    fn a_network_is_read_as_it_is_written() {
        for text in ["10.0.0.0/8", "192.0.2.1/32", "0.0.0.0/0", "2001:db8::/33", "::/0"] {
            let network: Cidr = text.parse().unwrap();
            let mut groups = GroupNetworks::new();
            match group_key(7, network) {
                GroupKey::V4(key) => {
                    let [group, address]: [[u8; 4]; 2] = bytemuck::cast(key.data().0);
                    add(&mut groups, group, address.into(), key.prefix_len());
                }
                GroupKey::V6(key) => {
                    let bytes: [u8; 20] = bytemuck::cast(key.data().0);
                    let (group, address) = bytes.split_first_chunk::<4>().unwrap();
                    let address: [u8; 16] = address.try_into().unwrap();
                    add(&mut groups, *group, address.into(), key.prefix_len());
                }
            }
            assert_eq!(groups, GroupNetworks::from([(7, [network].into())]), "{text}");
        }
    }
}
