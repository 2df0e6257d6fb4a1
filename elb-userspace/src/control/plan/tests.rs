use std::net::IpAddr;
use std::sync::Arc;

use elb_common::addr::{Be16, Be32};
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::listener::{Listener, Vip, listener_flags, vip_flags};
use proptest::prelude::*;

use super::image::vip_bit;
use super::*;
use crate::control::network::client_hops::ClientHops;
use crate::control::ring::slots::RingKind;
use crate::model::port_range::PortPrefix;

/// Maps in memory that complain when something is named before it exists or vanishes while named.
#[derive(Default)]
struct Fake {
    image: Image,
    rings: BTreeMap<u32, Vec<u16>>,
    /// The pictures that the maps are between.
    from: Image,
    to: Image,
}

impl MapStore for Fake {
    type Error = String;

    fn execute(&mut self, command: &Command) -> Result<(), String> {
        let image = &mut self.image;
        match command.clone() {
            Command::PutDevice(i) => drop(image.devices.insert(i)),
            Command::RemoveDevice(i) => drop(image.devices.remove(&i)),
            Command::PutInterface(i, v) => drop(image.interfaces.insert(i, v)),
            Command::PutMac(key) => drop(image.more_macs.insert(key)),
            Command::RemoveMac(key) => drop(image.more_macs.remove(&key)),
            Command::RemoveInterface(i) => drop(image.interfaces.remove(&i)),
            Command::PutBackend(id, v) if v == Backend::default() => {
                image.backends.remove(&id);
            }
            Command::PutBackend(id, v) => drop(image.backends.insert(id, v)),
            Command::PutServer(key, id) => drop(image.servers.insert(key, id)),
            Command::RemoveServer(key) => drop(image.servers.remove(&key)),
            Command::PutPool(id, v) if v == Pool::default() => drop(image.pools.remove(&id)),
            Command::PutPool(id, v) => drop(image.pools.insert(id, v)),
            Command::WriteRing(ring) => drop(self.rings.insert(ring.base, ring.owners)),
            Command::ClearRing(region) => drop(self.rings.remove(&region.base)),
            Command::PutListenerPool(id, v) if v == ListenerPool::default() => {
                image.listener_pools.remove(&id);
            }
            Command::PutListenerPool(id, v) => drop(image.listener_pools.insert(id, v)),
            Command::PutListener(k, v) => drop(image.listeners.insert(k, v)),
            Command::RemoveListener(k) => drop(image.listeners.remove(&k)),
            Command::PutRange(k, v) => drop(image.ranges.insert(k, v)),
            Command::RemoveRange(k) => drop(image.ranges.remove(&k)),
            Command::AddToGroup(id, network) => {
                assert!(image.groups.entry(id).or_default().insert(network), "added twice");
            }
            Command::RemoveFromGroup(id, network) => {
                let group = image.groups.get_mut(&id).expect("a network of a known group");
                assert!(group.remove(&network), "removed and never added");
                image.groups.retain(|_, networks| !networks.is_empty());
            }
            Command::PutClientRoute(..)
            | Command::RemoveClientRoute(_)
            | Command::PutClientBits(..)
            | Command::PutClientDefault(..) => {
                client_command(Arc::make_mut(&mut image.clients), command);
                self.clients()?;
            }
            Command::PutVipBits(index, 0) => drop(image.vip_bits.remove(&index)),
            Command::PutVipBits(index, word) => drop(image.vip_bits.insert(index, word)),
            Command::PutReply(k, v) => drop(image.replies.insert(k, v)),
            Command::RemoveReply(k) => drop(image.replies.remove(&k)),
            Command::PutMemberBits(index, 0) => drop(image.member_bits.remove(&index)),
            Command::PutMemberBits(index, word) => drop(image.member_bits.insert(index, word)),
            Command::PutVip(k, v) => drop(image.vips.insert(k, v)),
            Command::RemoveVip(k) => drop(image.vips.remove(&k)),
            Command::ClearBindings => {}
            Command::PutSnat(v) => image.snat = v,
            Command::PutEndpoint(id, v) if v == ListenerEndpoint::default() => {
                image.endpoints.remove(&id);
            }
            Command::PutEndpoint(id, v) => drop(image.endpoints.insert(id, v)),
            Command::ResetBackendCounter(_) | Command::ResetListenerCounter(_) => {}
        }
        self.consistent()
    }
}

fn client_command(clients: &mut ClientHops, command: &Command) {
    if let Command::PutClientRoute(prefix, hop) = *command {
        clients.routes.insert(prefix, hop);
    } else if let Command::RemoveClientRoute(prefix) = *command {
        clients.routes.remove(&prefix).expect("what was written");
    } else if let Command::PutClientBits(index, word) = *command {
        clients.bits.insert(index, word);
        clients.bits.retain(|_, word| *word != 0);
    } else if let Command::PutClientDefault(version, hop) = *command {
        clients.defaults[version as usize] = hop;
    }
}

impl Fake {
    fn new(from: Image, rings: BTreeMap<u32, Vec<u16>>, to: Image) -> Self {
        Self { image: from.clone(), rings, from, to }
    }

    fn consistent(&self) -> Result<(), String> {
        let image = &self.image;
        if !image.clients.are_by(&image.devices) {
            return Err("a way to clients leaves by an unknown device".to_owned());
        }
        for listener in image.listeners.values().chain(image.ranges.values()) {
            self.ring(listener)?;
        }
        self.sources()?;
        let vips = image.vips.iter().filter(|(_, vip)| !is_source(vip)).map(|(address, _)| address);
        let served = vips.chain(image.listeners.keys().map(|key| &key.address));
        for address in served {
            let bit = vip_bit(*address);
            if !image.vip_bits.get(&bit.word()).is_some_and(|word| bit.is_in(*word)) {
                return Err(format!("{address} is served and has no bit"));
            }
        }
        for (address, vip) in &image.vips {
            let mut entries = image.ranges.keys().filter(|entry| entry.vip == vip.number);
            if vip.flags & vip_flags::RANGES_TCP != 0 && entries.next().is_none() {
                return Err(format!("{address} promises ranges and has none"));
            }
        }
        let (from, to) = (&self.from, &self.to);
        for (key, listener) in &image.listeners {
            self.group(listener, [(from, from.listeners.get(key)), (to, to.listeners.get(key))])?;
        }
        for (key, listener) in &image.ranges {
            self.group(listener, [(from, from.ranges.get(key)), (to, to.ranges.get(key))])?;
        }
        Ok(())
    }

    /// Where members are to see source addresses, these are known, and so is what their answers become.
    fn sources(&self) -> Result<(), String> {
        let image = &self.image;
        for (key, listener) in &image.listeners {
            if listener.flags & listener_flags::BINDS == 0 {
                continue;
            }
            if image.snat.addresses == 0 || !image.endpoints.contains_key(&listener.id) {
                return Err(format!("{key:?} has no source addresses, or no endpoint"));
            }
        }
        let answered = image.vips.values().any(is_source);
        if image.snat.addresses != 0 && self.to.snat.addresses != 0 && !answered {
            return Err("source addresses are in use that nobody answers for".to_owned());
        }
        Ok(())
    }

    fn ring(&self, listener: &Listener) -> Result<(), String> {
        let Some(owners) = self.rings.get(&listener.ring_base) else {
            return Err(format!("{listener:?} names a ring that is not there"));
        };
        for owner in owners {
            let Some(backend) = self.image.backends.get(owner) else {
                return Err(format!("{listener:?} names backend {owner} that is not there"));
            };
            if !self.image.devices.contains(&backend.ifindex) {
                return Err(format!("backend {owner} leaves by an unknown device"));
            }
        }
        Ok(())
    }

    /// Each client is behind its old way or its new one.
    fn clients(&self) -> Result<(), String> {
        let (from, to, image) = (&self.from.clients, &self.to.clients, &self.image);
        for client in from.routes.keys().chain(to.routes.keys()).flat_map(|prefix| near(*prefix)) {
            let hop = image.clients.hop(client);
            if hop != from.hop(client) && hop != to.hop(client) {
                return Err(format!("{client} is behind {hop:?}"));
            }
        }
        Ok(())
    }

    /// The group that a listener names holds what it does before and after, and nothing else.
    fn group(
        &self,
        listener: &Listener,
        records: [(&Image, Option<&Listener>); 2],
    ) -> Result<(), String> {
        let id = listener.group;
        let networks = |image: &Image| image.groups.get(&id).cloned().unwrap_or_default();
        let has = networks(&self.image);
        let names = |record: Option<&Listener>| record.and_then(named_group) == Some(id);
        let wanted = records.iter().filter(|(_, record)| names(*record));
        let wanted = wanted.map(|(image, _)| networks(image)).reduce(|a, b| &a & &b);
        let all = &networks(&self.from) | &networks(&self.to);
        if named_group(listener).is_some()
            && !(wanted.is_some_and(|wanted| wanted.is_subset(&has)) && has.is_subset(&all))
        {
            return Err(format!("{listener:?} names a group of {has:?}"));
        }
        Ok(())
    }
}

fn named_group(listener: &Listener) -> Option<u16> {
    (listener.flags & listener_flags::WHITELIST != 0).then_some(listener.group)
}

/// Networks of the groups that a picture may name.
fn groups() -> impl Strategy<Value = GroupNetworks> {
    let network = (0u8..6).prop_map(|n| Cidr::of(IpAddr::from([10, 0, 0, n]), 32).unwrap());
    prop::collection::btree_map(0u16..3, prop::collection::btree_set(network, 1..4), 0..3)
}

/// The first address of a prefix, and those next to it in its longer bits.
fn near(prefix: Cidr) -> [IpAddr; 3] {
    let first = prefix.address();
    let other = |bit: u8| match first {
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() ^ 1 << (bit % 32)).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() ^ 1 << bit).to_be_bytes()),
    };
    [first, other(1), other(17)]
}

/// Ways back to clients, by their numbers, many of them within others. Short prefixes would have many bits.
fn clients() -> impl Strategy<Value = ([u16; 2], Vec<(Cidr, u16)>)> {
    let v4 = ([0u8..2, 0..2, 0..2, 0..4], 8u8..=32).prop_map(|(bytes, bits)| (bytes.into(), bits));
    let v6 = (prop::array::uniform8(0u16..2), 32u8..=128);
    let v6 = v6.prop_map(|(words, bits)| (IpAddr::from(words), bits));
    let prefix = prop_oneof![v4, v6].prop_map(|(address, bits)| Cidr::of(address, bits).unwrap());
    (prop::array::uniform2(0u16..4), prop::collection::vec((prefix, 0u16..4), 0..12))
}

/// A consistent picture: listeners, some with IP groups, for a port or a range, on pools, pools with
/// rings of backends, backends on devices.
fn picture() -> impl Strategy<Value = (Image, Vec<RingWrite>)> {
    let pools = prop::collection::btree_map(0u16..4, prop::collection::vec(1u16..9, 1..5), 0..4);
    let listener = (0u16..4, any::<bool>(), 0u16..4);
    let listeners = prop::collection::btree_map(1u16..9, listener, 0..6);
    (pools, listeners, groups(), 1u32..4, clients(), 0u8..3).prop_map(|parts| {
        let (pools, listeners, groups, device, (defaults, routes), sources) = parts;
        let mut image = Image { groups, ..Image::default() };
        let hop = |n: u16| match n {
            0 | 1 => {
                let ifindex = device + u32::from(n);
                ClientHop { ifindex, kind: hop_kind::KNOWN, ..ClientHop::default() }
            }
            n => ClientHop { kind: n, ..ClientHop::default() },
        };
        let defaults = defaults.map(hop);
        let routes = routes.into_iter().map(|(prefix, n)| (prefix, hop(n))).collect();
        image.clients = Arc::new(ClientHops::new(defaults, routes));
        image.devices.extend([device, device + 1]);
        let mut rings = Vec::new();
        for (pool, owners) in &pools {
            for owner in owners {
                let ifindex = device + u32::from(owner % 2);
                image.devices.insert(ifindex);
                let backend = Backend { flags: 3, ifindex, ..Backend::default() };
                image.backends.insert(*owner, backend);
            }
            image.pools.insert(*pool, Pool { udp_hold_until: 7, ..Pool::default() });
            let base = u32::from(*pool) * 16;
            rings.push(RingWrite {
                base,
                owners: owners.clone(),
                gone: BTreeSet::new(),
                kind: RingKind::default(),
            });
        }
        for (port, (pool, is_range, group)) in listeners {
            if pools.contains_key(&pool) {
                listen(&mut image, port, pool, is_range, group);
            }
        }
        have_sources(&mut image, sources);
        image.mark_addresses();
        (image, rings)
    })
}

/// Virtual addresses: the second has a bit in the same word as the first, the third the same bit.
fn addresses() -> [IpAddr; 3] {
    let first = IpAddr::from([192, 0, 2, 1]);
    let others =
        || (0..1_000_000_u32).map(|n| IpAddr::from(n.wrapping_mul(0x1_0003).to_be_bytes()));
    let bit = vip_bit(first);
    let same_word = |other: &IpAddr| vip_bit(*other).word() == bit.word() && vip_bit(*other) != bit;
    let same_bit = |other: &IpAddr| vip_bit(*other) == bit && *other != first;
    [first, others().find(same_word).unwrap(), others().find(same_bit).unwrap()]
}

/// Source addresses of which there is one set or another, or none, and listeners whose flows have such.
fn have_sources(image: &mut Image, sources: u8) {
    if sources == 0 {
        return;
    }
    let network = [10, 0, sources, 0];
    image.snat = Snat { network: bytemuck::cast(network), addresses: 1, secret: 9 };
    let flags = vip_flags::ANNOUNCE | vip_flags::SOURCE;
    image.vips.insert(network.into(), Vip { flags, number: 0 });
    for listener in image.listeners.values_mut().filter(|listener| listener.pool % 2 == 0) {
        listener.flags |= listener_flags::BINDS;
        let endpoint = ListenerEndpoint::v4(
            Be32::default(),
            Be16::new(listener.id),
            Some([sources.into(), 0]),
        );
        image.endpoints.insert(listener.id, endpoint);
    }
}

fn listen(image: &mut Image, port: u16, pool: u16, is_range: bool, group: u16) {
    let address = addresses()[usize::from(pool % 3)];
    let ring_base = u32::from(pool) * 16;
    let mut listener = Listener { ring_base, ring_size: 5, id: port, pool, ..Listener::default() };
    if image.groups.contains_key(&group) {
        (listener.group, listener.flags) = (group, listener_flags::WHITELIST);
    }
    let vip = image.vips.entry(address).or_insert(Vip { flags: 3, number: 5 });
    if is_range {
        let ports = PortPrefix { port: port * 16, bits: 12 };
        image.ranges.insert(RangeEntry { vip: vip.number, protocol: 6, ports }, listener);
        vip.flags |= vip_flags::RANGES_TCP;
    } else {
        image.listeners.insert(ListenerKey { address, port, protocol: 6 }, listener);
    }
}

proptest! {
    /// From any picture to any other: the end is right, and no step on the way names what is not
    /// there. A ring that vanishes is freed.
    #[test]
    fn every_step_is_consistent(first in picture(), second in picture()) {
        let mut store = Fake::new(Image::default(), BTreeMap::new(), first.0.clone());
        for command in plan(&Image::default(), &first.0, first.1.clone(), vec![]) {
            store.execute(&command).unwrap();
        }
        prop_assert_eq!(&store.image, &first.0);
        let kept: BTreeSet<u32> = second.1.iter().map(|ring| ring.base).collect();
        let freed = first.1.iter().filter(|ring| !kept.contains(&ring.base));
        let freed = freed.map(|ring| Region { base: ring.base, size: 16 }).collect();
        let mut store = Fake::new(first.0.clone(), store.rings, second.0.clone());
        for command in plan(&first.0, &second.0, second.1.clone(), freed) {
            store.execute(&command).unwrap();
        }
        prop_assert_eq!(&store.image, &second.0);
        prop_assert_eq!(store.rings.keys().copied().collect::<BTreeSet<_>>(), kept);
    }

    #[test]
    fn nothing_changed_is_nothing_to_do((image, _) in picture()) {
        prop_assert!(plan(&image, &image, vec![], vec![]).is_empty());
    }
}
