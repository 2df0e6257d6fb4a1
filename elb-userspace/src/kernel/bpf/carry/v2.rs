//! What records meant in ABI version 2: one stage of flows, which named neither listener nor pool, and
//! moving slots that noted when an older flow was last seen. To be deleted when no installation upgrades from there.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use elb_common::admission::{BackendState, ListenerState};
use elb_common::client::Persistence;
use elb_common::flow::{Flow as Record, flow_flags};
use elb_common::listener::{
    CidPart, Listener as ListenerRecord, ListenerPool, listener_pool_flags,
};
use elb_common::names;
use elb_common::pool::{Pool as PoolRecord, PoolState, Ring};

use super::raw::RawMap;
use crate::control::flow_key::Key;

pub(super) const VERSION: u32 = 2;

/// Value of `FLOWS_V4` and `FLOWS_V6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Flow {
    backend: u16,
    flags: u16,
    seen: u32,
}

/// The only flag of [`Flow`]: it counts among the open connections.
const OPEN: u16 = 1 << 0;

/// Value of `LISTENERS_V4`, `LISTENERS_V6` and `PORT_RANGES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Listener {
    ring_base: u32,
    ring_size: u32,
    id: u16,
    pool: u16,
    flags: u16,
    algorithm: u16,
    group: u16,
    cid: CidPart,
    cps: u32,
    max_connections: u32,
    flow_budget: u32,
}

/// Value of `POOLS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Pool {
    udp_hold_until: u32,
    idle_timeout: u32,
    flows_since: u32,
    former_base: u32,
    former_size: u32,
    former_algorithm: u16,
    former_cid: CidPart,
}

/// Who listens where: what shows which listener a flow came to.
#[derive(Debug, Default)]
pub(super) struct Register {
    listeners: HashMap<Vec<u8>, Listener>,
    /// By prefix of a `RangeKey` and its bits.
    ranges: HashMap<(u64, u32), Listener>,
    /// Numbers of virtual addresses.
    vips: HashMap<Vec<u8>, u32>,
}

impl Register {
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let mut register = Self::default();
        for name in [names::LISTENERS_V4, names::LISTENERS_V6] {
            RawMap::open(&directory.join(name))?.each(|key, value| {
                register.listeners.insert(key.to_owned(), read(value)?);
                Ok(())
            })?;
        }
        RawMap::open(&directory.join(names::PORT_RANGES))?.each(|key, value| {
            let (bits, prefix) = key.split_at(4);
            let (bits, prefix): (u32, [u8; 8]) = (read(bits)?, read(prefix)?);
            register.ranges.insert((u64::from_be_bytes(prefix), bits), read(value)?);
            Ok(())
        })?;
        for name in [names::VIPS_V4, names::VIPS_V6] {
            RawMap::open(&directory.join(name))?.each(|key, value| {
                let [_, number]: [u32; 2] = read(value)?;
                register.vips.insert(key.to_owned(), number);
                Ok(())
            })?;
        }
        Ok(register)
    }

    /// A record as it is now; none where the flow's listener is gone.
    pub(super) fn flow(&self, key: &Key, flow: Flow) -> Option<Record> {
        let listener = match key.connection() {
            Some((_, id)) => self.all().find(|listener| listener.id == id)?,
            None => self.listener(key)?,
        };
        let flags = if flow.flags & OPEN == 0 { 0 } else { flow_flags::COUNTED };
        // A backend of a pool that the listener served before went on with its flows, and does now.
        let (backend, pool, listener) = (flow.backend, listener.pool, listener.id);
        Some(Record { backend, pool, listener, flags, seen: flow.seen, since: flow.seen })
    }

    /// How many elements are needed for the numbers of all listeners.
    pub(super) fn listeners(&self) -> u32 {
        self.all().map(|listener| u32::from(listener.id) + 1).max().unwrap_or(0)
    }

    /// Values of `LISTENER_POOLS`, by id.
    pub(super) fn pools(&self) -> impl Iterator<Item = (u16, ListenerPool)> {
        let pool = |listener: &Listener| {
            let flags = listener_pool_flags::EXISTS;
            (listener.id, ListenerPool { pool: listener.pool, flags })
        };
        self.all().map(pool)
    }

    /// The value of a map as it is now.
    pub(super) fn value(&self, map: &str, key: &[u8], value: &[u8]) -> io::Result<Vec<u8>> {
        let bytes = match map {
            names::LISTENERS_V4 | names::LISTENERS_V6 | names::PORT_RANGES => {
                bytemuck::bytes_of(&listener(read(value)?)).to_owned()
            }
            names::POOLS => {
                let id: u32 = read(key)?;
                bytemuck::bytes_of(&self.pool(id, read(value)?)).to_owned()
            }
            names::POOL_STATES => {
                let state = PoolState { turn: read(value)?, ..PoolState::default() };
                bytemuck::bytes_of(&state).to_owned()
            }
            names::LISTENER_STATES => {
                let [opened, connections] = read(value)?;
                let state = ListenerState { opened, connections, ..ListenerState::default() };
                bytemuck::bytes_of(&state).to_owned()
            }
            names::BACKEND_STATES => {
                let state = BackendState { connections: read(value)?, opened: 0 };
                bytemuck::bytes_of(&state).to_owned()
            }
            // The flags came later.
            names::INTERFACES => [value, &[0; 2]].concat(),
            _ => value.to_owned(),
        };
        Ok(bytes)
    }

    fn all(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.values().chain(self.ranges.values())
    }

    /// The listener of a flow's port, or of the narrowest range with it.
    fn listener(&self, key: &Key) -> Option<&Listener> {
        let (_, destination, protocol) = key.five_tuple();
        let [high, low] = destination.port().to_be_bytes();
        let (address, length) = match destination.ip() {
            std::net::IpAddr::V4(address) => (address.octets().to_vec(), 8),
            std::net::IpAddr::V6(address) => (address.octets().to_vec(), 24),
        };
        let mut exact = address.clone();
        exact.extend([high, low, protocol]);
        exact.resize(length, 0);
        if let Some(listener) = self.listeners.get(&exact) {
            return Some(listener);
        }
        let [a, b, c, d] = self.vips.get(&address)?.to_ne_bytes();
        let port = u64::from_be_bytes([a, b, c, d, protocol, 0, high, low]);
        (48..=64u32).rev().find_map(|bits| {
            let prefix = port & u64::MAX.checked_shl(64 - bits).unwrap_or(0);
            self.ranges.get(&(prefix, bits))
        })
    }

    /// The record of a pool, whose ring stood with its listeners only.
    fn pool(&self, id: u32, pool: Pool) -> PoolRecord {
        let served = self.all().find(|listener| u32::from(listener.pool) == id);
        PoolRecord {
            udp_hold_until: pool.udp_hold_until,
            idle_timeout: pool.idle_timeout,
            flows_since: pool.flows_since,
            persistence: Persistence::default(),
            ring: served.map_or_else(Ring::default, |listener| Ring {
                base: listener.ring_base,
                size: listener.ring_size,
                algorithm: listener.algorithm,
                cid: listener.cid,
                reserved: 0,
            }),
            former: Ring {
                base: pool.former_base,
                size: pool.former_size,
                algorithm: pool.former_algorithm,
                cid: pool.former_cid,
                reserved: 0,
            },
        }
    }
}

fn listener(old: Listener) -> ListenerRecord {
    ListenerRecord {
        ring_base: old.ring_base,
        ring_size: old.ring_size,
        id: old.id,
        pool: old.pool,
        flags: old.flags,
        algorithm: old.algorithm,
        group: old.group,
        cid: old.cid,
        cps: old.cps,
        max_connections: old.max_connections,
        ..ListenerRecord::default()
    }
}

fn read<T: Pod>(bytes: &[u8]) -> io::Result<T> {
    bytemuck::try_pod_read_unaligned(bytes)
        .map_err(|_| io::Error::other("a record is not as ABI version 2 has it"))
}

#[cfg(test)]
mod tests;
