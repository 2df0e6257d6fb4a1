//! The writes of a plan.

use super::super::clock::coarse_seconds;
use super::keys::{Key, record_key};
use super::*;

impl MapStore for Maps {
    type Error = MapError;

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn execute(&mut self, command: &Command) -> Result<(), MapError> {
        match command {
            Command::PutDevice(index) => {
                self.devices.insert(*index, *index, None, 0).map_err(|error| match error {
                    XdpMapError::MapError(error) => at(names::DEVMAP)(error),
                    XdpMapError::ChainedProgramNotSupported => unreachable!("none is chained"),
                })
            }
            // The kernel itself removes an interface that goes.
            Command::RemoveDevice(index) => match self.devices.remove(*index) {
                Err(error) if is_absent(&error) => Ok(()),
                removed => removed.map_err(at(names::DEVMAP)),
            },
            Command::PutInterface(index, value) => {
                self.interfaces
                    .insert(Record(*index), Record(*value), 0)
                    .map_err(at(names::INTERFACES))?;
                self.put_link_mac(*index, LinkMac::new(*index, value.mac))
            }
            Command::RemoveInterface(index) => {
                self.put_link_mac(*index, LinkMac::default())?;
                self.interfaces.remove(&Record(*index)).map_err(at(names::INTERFACES))
            }
            Command::PutMac(key) => {
                self.more_macs.insert(Record(*key), Record(1), 0).map_err(at(names::MORE_MACS))
            }
            Command::RemoveMac(key) => {
                self.more_macs.remove(&Record(*key)).map_err(at(names::MORE_MACS))
            }
            Command::ResetBackendCounter(id) => {
                reset(&mut self.backend_counters, *id).map_err(at(names::BACKEND_COUNTERS))?;
                self.backend_states
                    .set(u32::from(*id), Record(BackendState::default()), 0)
                    .map_err(at(names::BACKEND_STATES))?;
                reset(&mut self.opened, *id).map_err(at(names::BACKEND_OPENED))?;
                self.replies.reset_backend(*id)?;
                self.named.set(u32::from(*id), 0, 0).map_err(at(names::BACKENDS_NAMED))
            }
            Command::ResetListenerCounter(id) => {
                reset(&mut self.listener_counters, *id).map_err(at(names::LISTENER_COUNTERS))?;
                reset(&mut self.listener_events, *id).map_err(at(names::LISTENER_EVENTS))?;
                self.replies.reset_listener(*id)?;
                self.listener_states
                    .set(u32::from(*id), Record(ListenerState::default()), 0)
                    .map_err(at(names::LISTENER_STATES))
            }
            Command::AddToGroup(group, network) => self.tries.add_to_group(*group, *network),
            Command::RemoveFromGroup(group, network) => {
                self.tries.remove_from_group(*group, *network)
            }
            Command::PutBackend(id, value) => {
                self.backends.set(u32::from(*id), Record(*value), 0).map_err(at(names::BACKENDS))
            }
            Command::PutPool(id, value) => {
                self.pools.set(u32::from(*id), Record(*value), 0).map_err(at(names::POOLS))
            }
            Command::PutServer(key, id) => self
                .servers
                .insert(Record(*key), Record(u32::from(*id)), 0)
                .map_err(at(names::SERVER_IDS)),
            Command::RemoveServer(key) => {
                self.servers.remove(&Record(*key)).map_err(at(names::SERVER_IDS))
            }
            Command::WriteRing(ring) => {
                let size = u32::try_from(ring.owners.len()).unwrap_or(u32::MAX);
                self.rings.words(Region { base: ring.base, size }).write(ring, coarse_seconds());
                Ok(())
            }
            Command::ClearRing(region) => {
                self.rings.words(*region).clear();
                Ok(())
            }
            Command::PutListenerPool(id, value) => self
                .listener_pools
                .set(u32::from(*id), Record(*value), 0)
                .map_err(at(names::LISTENER_POOLS)),
            Command::PutClientRoute(prefix, hop) => self.clients.put(*prefix, *hop),
            Command::RemoveClientRoute(prefix) => self.clients.remove(*prefix),
            Command::PutClientBits(index, word) => self.clients.put_bits(*index, *word),
            Command::PutClientDefault(version, hop) => self.clients.put_default(*version, *hop),
            Command::PutListener(key, value) => self.put_listener(key, value),
            Command::RemoveListener(key) => self.remove_listener(key),
            Command::PutRange(entry, value) => self.tries.put_range(entry, value),
            Command::RemoveRange(entry) => self.tries.remove_range(entry),
            Command::PutVipBits(index, word) => {
                self.vip_bits.set(*index, *word, 0).map_err(at(names::VIP_BITS))
            }
            Command::PutReply(key, reply) => self.replies.put(key, reply),
            Command::RemoveReply(key) => self.replies.remove(key),
            Command::PutMemberBits(index, word) => self.replies.put_bits(*index, *word),
            Command::ClearBindings => {
                self.snat.clear();
                Ok(())
            }
            Command::PutSnat(snat) => self.snat.put(snat),
            Command::PutEndpoint(id, endpoint) => self.snat.put_endpoint(*id, endpoint),
            Command::PutVip(IpAddr::V4(address), value) => self
                .vips_v4
                .insert(Record(u32::from_ne_bytes(address.octets())), Record(*value), 0)
                .map_err(at(names::VIPS_V4)),
            Command::PutVip(IpAddr::V6(address), value) => self
                .vips_v6
                .insert(Record(bytemuck::cast(address.octets())), Record(*value), 0)
                .map_err(at(names::VIPS_V6)),
            Command::RemoveVip(IpAddr::V4(address)) => self
                .vips_v4
                .remove(&Record(u32::from_ne_bytes(address.octets())))
                .map_err(at(names::VIPS_V4)),
            Command::RemoveVip(IpAddr::V6(address)) => self
                .vips_v6
                .remove(&Record(bytemuck::cast(address.octets())))
                .map_err(at(names::VIPS_V6)),
        }
    }
}

impl Maps {
    fn put_listener(&mut self, key: &ListenerKey, value: &Listener) -> Result<(), MapError> {
        let value = Record(*value);
        match record_key(key) {
            Key::V4(key) => {
                self.listeners_v4.insert(Record(key), value, 0).map_err(at(names::LISTENERS_V4))
            }
            Key::V6(key) => {
                self.listeners_v6.insert(Record(key), value, 0).map_err(at(names::LISTENERS_V6))
            }
        }
    }

    fn remove_listener(&mut self, key: &ListenerKey) -> Result<(), MapError> {
        match record_key(key) {
            Key::V4(key) => self.listeners_v4.remove(&Record(key)).map_err(at(names::LISTENERS_V4)),
            Key::V6(key) => self.listeners_v6.remove(&Record(key)).map_err(at(names::LISTENERS_V6)),
        }
    }
}

pub(super) fn reset<T: bytemuck::Pod>(
    counters: &mut PerCpuArray<MapData, Record<T>>,
    id: u16,
) -> Result<(), aya::maps::MapError> {
    let cpus = nr_cpus().map_err(|(_, error)| aya::maps::MapError::IoError(error))?;
    let zero = PerCpuValues::try_from(vec![Record(T::zeroed()); cpus])?;
    counters.set(u32::from(id), zero, 0)
}
