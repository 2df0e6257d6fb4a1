//! From what the maps should hold to the writes that take them there, in an order that is safe
//! under traffic: nothing is named before it exists, and nothing vanishes that is still named.

mod clients;
mod command;
mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use elb_common::backend::Backend;
use elb_common::listener::{ListenerEndpoint, ListenerPool, Vip};
use elb_common::pool::Pool;
use elb_common::snat::Snat;

pub use self::command::{Command, MapStore, Region, RingWrite};
use self::image::is_source;
pub use self::image::{Image, ListenerKey, RangeEntry};
use crate::model::ipgroup::{Cidr, GroupNetworks};

type Addresses = BTreeMap<IpAddr, Vip>;

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
    // Who gets packets translated may answer at once, and asks for the source address that it answers.
    let (sources, served) = sources_and_served(&desired.vips);
    put(&mut commands, &observed.vips, &sources, Command::PutVip);
    let has_sources = desired.snat.addresses != 0;
    if has_sources && desired.snat != observed.snat {
        // What a port was bound to is about the source addresses of before.
        commands.extend([Command::ClearBindings, Command::PutSnat(desired.snat)]);
    }
    put(&mut commands, &observed.replies, &desired.replies, Command::PutReply);
    let members = either(&observed.member_bits, &desired.member_bits);
    put(&mut commands, &observed.member_bits, &members, Command::PutMemberBits);
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
    clients::build(&mut commands, &observed.clients, &desired.clients);
    // Bits are set before their addresses are served, and cleared afterwards.
    let both = either(&observed.vip_bits, &desired.vip_bits);
    put(&mut commands, &observed.vip_bits, &both, Command::PutVipBits);
    put(&mut commands, &observed.endpoints, &desired.endpoints, Command::PutEndpoint);
    put(&mut commands, &observed.listeners, &desired.listeners, Command::PutListener);
    put(&mut commands, &observed.ranges, &desired.ranges, Command::PutRange);
    put(&mut commands, &observed.vips, &served, Command::PutVip);

    let build = std::mem::take(&mut commands);
    gone(&mut commands, &observed.vips, &desired.vips, Command::RemoveVip);
    gone(&mut commands, &observed.listeners, &desired.listeners, Command::RemoveListener);
    gone(&mut commands, &observed.ranges, &desired.ranges, Command::RemoveRange);
    let zero = |id| Command::PutEndpoint(id, ListenerEndpoint::default());
    gone(&mut commands, &observed.endpoints, &desired.endpoints, zero);
    let zero = |id| Command::PutListenerPool(id, ListenerPool::default());
    gone(&mut commands, &observed.listener_pools, &desired.listener_pools, zero);
    clear(&mut commands, &both, &desired.vip_bits, Command::PutVipBits);
    clients::remove(&mut commands, &observed.clients, &desired.clients);
    in_groups(&mut commands, &observed.groups, &desired.groups, Command::RemoveFromGroup);
    gone(&mut commands, &observed.servers, &desired.servers, Command::RemoveServer);
    commands.extend(freed.into_iter().map(Command::ClearRing));
    let zero = |id| Command::PutPool(id, Pool::default());
    gone(&mut commands, &observed.pools, &desired.pools, zero);
    clear(&mut commands, &members, &desired.member_bits, Command::PutMemberBits);
    gone(&mut commands, &observed.replies, &desired.replies, Command::RemoveReply);
    let zero = |id| Command::PutBackend(id, Backend::default());
    gone(&mut commands, &observed.backends, &desired.backends, zero);
    if !has_sources && observed.snat != Snat::default() {
        commands.push(Command::PutSnat(Snat::default()));
    }
    let old = observed.more_macs.difference(&desired.more_macs);
    commands.extend(old.map(|key| Command::RemoveMac(*key)));
    gone(&mut commands, &observed.interfaces, &desired.interfaces, Command::RemoveInterface);
    let old = observed.devices.difference(&desired.devices);
    commands.extend(old.map(|ifindex| Command::RemoveDevice(*ifindex)));
    Halves { build, remove: commands }
}

/// Source addresses, and virtual addresses.
fn sources_and_served(all: &Addresses) -> (Addresses, Addresses) {
    all.iter().map(|(address, vip)| (*address, *vip)).partition(|(_, vip)| is_source(vip))
}

/// The bits that are set in one of two bitmaps.
fn either(one: &BTreeMap<u32, u64>, other: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let mut both = one.clone();
    other.iter().for_each(|(index, word)| *both.entry(*index).or_default() |= word);
    both
}

/// Clears what is set in a bitmap and is not to be.
fn clear(
    commands: &mut Vec<Command>,
    set: &BTreeMap<u32, u64>,
    desired: &BTreeMap<u32, u64>,
    command: impl Fn(u32, u64) -> Command,
) {
    let none = set.keys().filter(|index| !desired.contains_key(index));
    commands.extend(none.map(|index| command(*index, 0)));
    put(commands, set, desired, command);
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
