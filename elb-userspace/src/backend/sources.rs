//! Whom tunnel packets are taken from: the set of networks that the program compares outer sources
//! with, which is replaced at once.

use std::net::{IpAddr, Ipv6Addr};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, Map, MapData, MapError};
use elb_common::names;
use elb_common::tunnel_source::{MAX_SOURCES, NO_SET, SET_BITS, SourceKey};

use super::causes::with_causes;
use super::decap::{Pins, pin_error};
use super::error::BackendError;
use crate::kernel::bpf::Record;
use crate::model::ipgroup::Cidr;

/// Bits of an IPv4-mapped address before the IPv4 address.
const MAPPED_BITS: u32 = 96;

/// What stands for every address, IPv4 ones included.
pub(super) fn any_source() -> Cidr {
    let everything = Cidr::of(Ipv6Addr::UNSPECIFIED.into(), 0);
    everything.expect("an address has at least no bits")
}

/// Whether a set accepts every sender.
pub fn is_any_source(sources: &[Cidr]) -> bool {
    sources.contains(&any_source())
}

/// Whether an address is in one of the networks.
pub fn covers(sources: &[Cidr], address: IpAddr) -> bool {
    let is_in = |network: &Cidr| Cidr::of(address, network.bits()) == Some(*network);
    let same = |network: &&Cidr| network.address().is_ipv4() == address.is_ipv4();
    is_any_source(sources) || sources.iter().filter(same).any(is_in)
}

/// The networks, each once and in order, if a set can have them.
pub(super) fn checked(given: &[Cidr]) -> Result<Vec<Cidr>, BackendError> {
    let mut sources = given.to_vec();
    sources.sort_unstable();
    sources.dedup();
    if is_any_source(&sources) {
        sources = vec![any_source()];
    }
    match sources.len() {
        0 => Err(BackendError::NoSource),
        many if many > MAX_SOURCES as usize => Err(BackendError::ManySources(many)),
        _ => Ok(sources),
    }
}

/// The pinned maps.
pub(super) struct Sources {
    trie: LpmTrie<MapData, Record<SourceKey>, u32>,
    set: Array<MapData, u32>,
}

impl Sources {
    /// Opens them; `None` where there are none: the set-up is an older version's.
    pub(super) fn open(pins: &Pins) -> Result<Option<Self>, BackendError> {
        let Some(trie) = pinned(pins, names::DECAP_SOURCES)? else { return Ok(None) };
        let Some(set) = pinned(pins, names::DECAP_SET)? else { return Ok(None) };
        Ok(Some(Self { trie, set }))
    }

    /// The networks of the set that counts.
    pub(super) fn all(&self) -> Result<Vec<Cidr>, BackendError> {
        let counts = self.number()?;
        let keys = self.keys()?;
        let mut sources: Vec<Cidr> =
            keys.iter().filter(|key| set_of(key) == counts).filter_map(network).collect();
        sources.sort_unstable();
        Ok(sources)
    }

    /// Puts another set in the place of the present one. Packets meet the one or the other.
    pub(super) fn replace(&mut self, sources: &[Cidr]) -> Result<(), BackendError> {
        let before = self.number()?;
        let next =
            if before.wrapping_add(1) == NO_SET { NO_SET + 1 } else { before.wrapping_add(1) };
        // What an earlier change that was interrupted left.
        self.remove_all_but(before)?;
        for source in sources {
            self.trie.insert(&key(next, *source), 1, 0).map_err(|error| refused(&error))?;
        }
        self.set.set(0, next, 0).map_err(|error| refused(&error))?;
        self.remove_all_but(next)
    }

    fn number(&self) -> Result<u32, BackendError> {
        self.set.get(&0, 0).map_err(|error| refused(&error))
    }

    fn keys(&self) -> Result<Vec<Key<Record<SourceKey>>>, BackendError> {
        let keys: Result<Vec<_>, MapError> = self.trie.keys().collect();
        keys.map_err(|error| refused(&error))
    }

    fn remove_all_but(&mut self, set: u32) -> Result<(), BackendError> {
        for key in self.keys()?.iter().filter(|key| set_of(key) != set) {
            self.trie.remove(key).map_err(|error| refused(&error))?;
        }
        Ok(())
    }
}

fn pinned<T: TryFrom<Map, Error = MapError>>(
    pins: &Pins,
    name: &'static str,
) -> Result<Option<T>, BackendError> {
    let path = pins.map(name);
    if !path.exists() {
        return Ok(None);
    }
    let error = |error: MapError| pin_error(&path, &error);
    let map = Map::from_map_data(MapData::from_pin(&path).map_err(error)?).map_err(error)?;
    match T::try_from(map) {
        Ok(map) => Ok(Some(map)),
        Err(error) => Err(BackendError::Incompatible { error: with_causes(&error), path }),
    }
}

fn refused(error: &MapError) -> BackendError {
    BackendError::Sources { map: names::DECAP_SOURCES, error: with_causes(error) }
}

fn set_of(key: &Key<Record<SourceKey>>) -> u32 {
    key.data().0.parts().0
}

fn key(set: u32, source: Cidr) -> Key<Record<SourceKey>> {
    let (address, bits) = match source.address() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), MAPPED_BITS + u32::from(source.bits())),
        IpAddr::V6(v6) => (v6, source.bits().into()),
    };
    let words: [u32; 4] = bytemuck::cast(address.octets());
    Key::new(SET_BITS + bits, Record(SourceKey::new(set, words)))
}

fn network(key: &Key<Record<SourceKey>>) -> Option<Cidr> {
    let octets: [u8; 16] = bytemuck::cast(key.data().0.parts().1);
    let bits = key.prefix_len().checked_sub(SET_BITS)?;
    let address = Ipv6Addr::from(octets);
    match (address.to_ipv4_mapped(), bits.checked_sub(MAPPED_BITS)) {
        (Some(v4), Some(bits)) => Cidr::of(v4.into(), u8::try_from(bits).ok()?),
        _ => Cidr::of(address.into(), u8::try_from(bits).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_network_comes_back_from_its_key() {
        for text in
            ["10.0.0.2", "10.0.0.0/24", "0.0.0.0/0", "fd00::2", "fd00::/64", "::/0", "::/96"]
        {
            let source: Cidr = text.parse().unwrap();
            let key = key(7, source);
            assert_eq!((set_of(&key), network(&key)), (7, Some(source)), "{text}");
        }
    }

    #[test]
    fn a_set_has_each_network_once() {
        let given = networks(&["10.0.0.3", "10.0.0.2/32", "10.0.0.2", "10.0.0.7/24"]);
        let wanted = networks(&["10.0.0.0/24", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(checked(&given).unwrap(), wanted);
        assert!(matches!(checked(&[]), Err(BackendError::NoSource)));
        let many: Vec<Cidr> = (0..257u32)
            .filter_map(|n| Cidr::of(IpAddr::V4((0x0a00_0000 + n).into()), 32))
            .collect();
        assert!(matches!(checked(&many), Err(BackendError::ManySources(257))));
        assert_eq!(checked(&many[..256]).unwrap().len(), 256);
    }

    #[test]
    fn any_source_includes_all_others() {
        let given = [networks(&["10.0.0.2"]), vec![any_source()]].concat();
        assert_eq!(checked(&given).unwrap(), [any_source()]);
        assert!(covers(&[any_source()], "10.0.0.2".parse().unwrap()));
    }

    #[test]
    fn an_address_is_covered_by_networks_of_its_own_version() {
        let sources = networks(&["10.0.0.0/24", "fd00::2"]);
        for (text, is_in) in
            [("10.0.0.9", true), ("10.0.1.9", false), ("fd00::2", true), ("fd00::3", false)]
        {
            assert_eq!(covers(&sources, text.parse().unwrap()), is_in, "{text}");
        }
        assert!(!covers(&networks(&["0.0.0.0/0"]), "fd00::2".parse().unwrap()));
    }
}
