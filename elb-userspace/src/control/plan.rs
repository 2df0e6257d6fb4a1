//! From what the maps should hold to the writes that take them there, in an order that is safe
//! under traffic: nothing is named before it exists, and nothing vanishes that is still named.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use elb_common::backend::Backend;
use elb_common::interface::{Interface, MacKey};
use elb_common::listener::{Listener, ListenerPool, Vip};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::vip_bits::VipBit;

use crate::control::ring::slots::RingKind;
use crate::model::ipgroup::{Cidr, GroupNetworks};
use crate::model::port_range::PortPrefix;

/// Where a listener for one port listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// Virtual address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// Where a listener for several ports listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeEntry {
    /// Number of the virtual address.
    pub vip: u32,
    /// IANA protocol number.
    pub protocol: u8,
    /// Some of its ports.
    pub ports: PortPrefix,
}

/// What the small maps hold. Rings are apart: they are large and keep a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `DEVMAP`.
    pub devices: BTreeSet<u32>,
    /// `INTERFACES`.
    pub interfaces: BTreeMap<u32, Interface>,
    /// `MORE_MACS`.
    pub more_macs: BTreeSet<MacKey>,
    /// `BACKENDS`; an absent id is all zeroes.
    pub backends: BTreeMap<u16, Backend>,
    /// `POOLS`; an absent id is all zeroes.
    pub pools: BTreeMap<u16, Pool>,
    /// `SERVER_IDS`.
    pub servers: BTreeMap<ServerIdKey, u16>,
    /// `LISTENER_POOLS`; an absent id is all zeroes.
    pub listener_pools: BTreeMap<u16, ListenerPool>,
    /// `LISTENERS_V4` and `LISTENERS_V6`.
    pub listeners: BTreeMap<ListenerKey, Listener>,
    /// `PORT_RANGES`.
    pub ranges: BTreeMap<RangeEntry, Listener>,
    /// `GROUPS_V4` and `GROUPS_V6`; a group without networks is absent or empty.
    pub groups: GroupNetworks,
    /// `VIP_BITS`; an absent word is 0.
    pub vip_bits: BTreeMap<u32, u64>,
    /// `VIPS_V4` and `VIPS_V6`.
    pub vips: BTreeMap<IpAddr, Vip>,
}

/// What a ring is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingWrite {
    /// First slot in `RINGS`.
    pub base: u32,
    /// Present owner of each slot, 0 = none.
    pub owners: Vec<u16>,
    /// Backends that no longer serve even their established flows.
    pub gone: BTreeSet<u16>,
    /// The rules that its slots follow.
    pub kind: RingKind,
}

/// A region of `RINGS`: first slot and number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First slot.
    pub base: u32,
    /// Slots.
    pub size: u32,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Lets frames be redirected to an interface.
    PutDevice(u32),
    /// Writes an element of `INTERFACES`.
    PutInterface(u32, Interface),
    /// Lets an interface take frames for one more Ethernet address.
    PutMac(MacKey),
    /// Zeroes the counters of a backend id that is used anew.
    ResetBackendCounter(u16),
    /// Writes an element of `BACKENDS`; all zeroes to free it.
    PutBackend(u16, Backend),
    /// Writes an element of `POOLS`.
    PutPool(u16, Pool),
    /// Writes an element of `SERVER_IDS`.
    PutServer(ServerIdKey, u16),
    /// Changes a ring in place.
    WriteRing(RingWrite),
    /// Zeroes what is counted of a listener id that is used anew.
    ResetListenerCounter(u16),
    /// Adds a network to an IP group.
    AddToGroup(u16, Cidr),
    /// Writes an element of `LISTENER_POOLS`; all zeroes to free it.
    PutListenerPool(u16, ListenerPool),
    /// Writes a listener.
    PutListener(ListenerKey, Listener),
    /// Writes a listener for several ports.
    PutRange(RangeEntry, Listener),
    /// Writes a word of `VIP_BITS`.
    PutVipBits(u32, u64),
    /// Writes a virtual address.
    PutVip(IpAddr, Vip),
    /// Removes a virtual address.
    RemoveVip(IpAddr),
    /// Removes a listener.
    RemoveListener(ListenerKey),
    /// Removes a listener for several ports.
    RemoveRange(RangeEntry),
    /// Removes a network from an IP group.
    RemoveFromGroup(u16, Cidr),
    /// Removes an element of `SERVER_IDS`.
    RemoveServer(ServerIdKey),
    /// Empties a region that no listener names any more.
    ClearRing(Region),
    /// Removes an element of `MORE_MACS`.
    RemoveMac(MacKey),
    /// Removes an element of `INTERFACES`.
    RemoveInterface(u32),
    /// Removes an interface from `DEVMAP`.
    RemoveDevice(u32),
}

/// Where commands go: the kernel's maps, or a fake.
pub trait MapStore {
    /// Why a write failed.
    type Error;

    /// Carries out one command.
    ///
    /// # Errors
    /// The map refused the write, for example because it is full.
    fn execute(&mut self, command: &Command) -> Result<(), Self::Error>;
}

/// The writes that take the maps from `observed` to `desired`, with the rings that change and the
/// regions that are freed. Nothing at all if nothing changes.
pub fn plan(
    observed: &Image,
    desired: &Image,
    rings: Vec<RingWrite>,
    freed: Vec<Region>,
) -> Vec<Command> {
    let Halves { mut build, remove } = halves(observed, desired, rings, freed);
    build.extend(remove);
    build
}

/// The writes of [`plan`]. What is removed may be what serves until all is built, so nothing is if a write of
/// the first half fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halves {
    /// What is new or changes. Each write relies on those before it.
    pub build: Vec<Command>,
    /// What goes. A write that fails harms no other.
    pub remove: Vec<Command>,
}

/// [`plan`] in its two halves.
pub fn halves(
    observed: &Image,
    desired: &Image,
    rings: Vec<RingWrite>,
    freed: Vec<Region>,
) -> Halves {
    let mut commands = Vec::new();
    let new = |ifindex: &&u32| !observed.devices.contains(ifindex);
    commands.extend(desired.devices.iter().filter(new).map(|i| Command::PutDevice(*i)));
    put(&mut commands, &observed.interfaces, &desired.interfaces, Command::PutInterface);
    let new = desired.more_macs.difference(&observed.more_macs);
    commands.extend(new.map(|key| Command::PutMac(*key)));
    // What is new: it would be gone the other way round.
    gone(&mut commands, &desired.backends, &observed.backends, Command::ResetBackendCounter);
    put(&mut commands, &observed.backends, &desired.backends, Command::PutBackend);
    put(&mut commands, &observed.pools, &desired.pools, Command::PutPool);
    commands.extend(rings.into_iter().map(Command::WriteRing));
    // From here on maps may be full: members that failed have left their rings by then.
    put(&mut commands, &observed.servers, &desired.servers, Command::PutServer);
    in_groups(&mut commands, &desired.groups, &observed.groups, Command::AddToGroup);
    let new = &desired.listener_ids() - &observed.listener_ids();
    commands.extend(new.into_iter().map(Command::ResetListenerCounter));
    // A sweep that meets the new records knows their listener's pool, and the old ones by the mark.
    put(&mut commands, &observed.listener_pools, &desired.listener_pools, Command::PutListenerPool);
    // Bits are set before their addresses are served, and cleared afterwards.
    let both = either(&observed.vip_bits, &desired.vip_bits);
    put(&mut commands, &observed.vip_bits, &both, Command::PutVipBits);
    put(&mut commands, &observed.listeners, &desired.listeners, Command::PutListener);
    put(&mut commands, &observed.ranges, &desired.ranges, Command::PutRange);
    put(&mut commands, &observed.vips, &desired.vips, Command::PutVip);

    let build = std::mem::take(&mut commands);
    gone(&mut commands, &observed.vips, &desired.vips, Command::RemoveVip);
    gone(&mut commands, &observed.listeners, &desired.listeners, Command::RemoveListener);
    gone(&mut commands, &observed.ranges, &desired.ranges, Command::RemoveRange);
    let zero = |id| Command::PutListenerPool(id, ListenerPool::default());
    gone(&mut commands, &observed.listener_pools, &desired.listener_pools, zero);
    let none = both.keys().filter(|index| !desired.vip_bits.contains_key(index));
    commands.extend(none.map(|index| Command::PutVipBits(*index, 0)));
    put(&mut commands, &both, &desired.vip_bits, Command::PutVipBits);
    in_groups(&mut commands, &observed.groups, &desired.groups, Command::RemoveFromGroup);
    gone(&mut commands, &observed.servers, &desired.servers, Command::RemoveServer);
    commands.extend(freed.into_iter().map(Command::ClearRing));
    let zero = |id| Command::PutPool(id, Pool::default());
    gone(&mut commands, &observed.pools, &desired.pools, zero);
    let zero = |id| Command::PutBackend(id, Backend::default());
    gone(&mut commands, &observed.backends, &desired.backends, zero);
    let old = observed.more_macs.difference(&desired.more_macs);
    commands.extend(old.map(|key| Command::RemoveMac(*key)));
    gone(&mut commands, &observed.interfaces, &desired.interfaces, Command::RemoveInterface);
    let old = observed.devices.difference(&desired.devices);
    commands.extend(old.map(|ifindex| Command::RemoveDevice(*ifindex)));
    Halves { build, remove: commands }
}

impl Image {
    /// Sets the bits of the addresses that are served, and no others.
    pub fn mark_vips(&mut self) {
        self.vip_bits.clear();
        for address in self.vips.keys().chain(self.listeners.keys().map(|key| &key.address)) {
            let bit = vip_bit(*address);
            *self.vip_bits.entry(bit.word()).or_default() |= bit.mask();
        }
    }

    fn listener_ids(&self) -> BTreeSet<u16> {
        self.listeners.values().chain(self.ranges.values()).map(|listener| listener.id).collect()
    }
}

/// The bit of an address in `VIP_BITS`.
fn vip_bit(address: IpAddr) -> VipBit {
    match address {
        IpAddr::V4(address) => VipBit::v4(bytemuck::cast(address.octets())),
        IpAddr::V6(address) => VipBit::v6(bytemuck::cast(address.octets())),
    }
}

/// The bits that are set in one of two bitmaps.
fn either(one: &BTreeMap<u32, u64>, other: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let mut both = one.clone();
    other.iter().for_each(|(index, word)| *both.entry(*index).or_default() |= word);
    both
}

/// A command for each network that is in `these` groups and not in the `others`.
fn in_groups(
    commands: &mut Vec<Command>,
    these: &GroupNetworks,
    others: &GroupNetworks,
    command: impl Fn(u16, Cidr) -> Command,
) {
    let none = BTreeSet::new();
    for (id, networks) in these {
        let other = others.get(id).unwrap_or(&none);
        commands.extend(networks.difference(other).map(|network| command(*id, *network)));
    }
}

fn put<K: Ord + Copy, V: PartialEq + Copy>(
    commands: &mut Vec<Command>,
    observed: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    command: impl Fn(K, V) -> Command,
) {
    if have_the_same_keys(observed, desired) {
        let changed = observed.values().zip(desired).filter(|(old, (_, new))| old != new);
        commands.extend(changed.map(|(_, (key, value))| command(*key, *value)));
        return;
    }
    let changed = desired.iter().filter(|(key, value)| observed.get(key) != Some(value));
    commands.extend(changed.map(|(key, value)| command(*key, *value)));
}

/// So it mostly is, and walking both takes less than searching the one for each key of the other.
fn have_the_same_keys<K: Ord, V>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> bool {
    one.keys().eq(other.keys())
}

fn gone<K: Ord + Copy, V>(
    commands: &mut Vec<Command>,
    observed: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    command: impl Fn(K) -> Command,
) {
    if have_the_same_keys(observed, desired) {
        return;
    }
    let old = observed.keys().filter(|key| !desired.contains_key(key));
    commands.extend(old.map(|key| command(*key)));
}

#[cfg(test)]
mod tests;
