//! Maps that others are to take the place of: what their records mean, and how much of them is in use.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bytemuck::Pod;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::interface::Settings;
use elb_common::ring::Chunk;
use elb_common::{limits, names};

use super::super::flow_table::FlowTable;
use super::super::object::{Capacity, Shape};
use super::super::pins::Pins;
use super::raw::RawMap;
use super::{CarryError, v2};
use crate::control::flow_key::Key;

/// Maps that see packets, or did.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) links: Vec<u32>,
    pub(super) generation: u32,
    pub(super) layout: Layout,
    pub(super) capacity: Capacity,
}

/// What the records mean.
pub(super) enum Layout {
    /// What they mean here.
    Same,
    /// What they meant in ABI version 2.
    V2(v2::Register),
}

/// A key of a flow table.
pub(super) trait FlowKey: Pod {
    fn key(self) -> Key;
}

impl FlowKey for FlowKeyV4 {
    fn key(self) -> Key {
        Key::V4(self)
    }
}

impl FlowKey for FlowKeyV6 {
    fn key(self) -> Key {
        Key::V6(self)
    }
}

impl Source {
    /// Looks at what is pinned.
    pub(super) fn open(pins: &Pins, wanted: Capacity) -> Result<Self, CarryError> {
        let path = pins.path.clone();
        let unreadable = |error| CarryError::Unreadable { path: path.clone(), error };
        let open = |name| RawMap::open(&path.join(name)).map_err(unreadable);
        let settings = open(names::SETTINGS)?.element(0).map_err(unreadable)?;
        let settings: Settings = bytemuck::try_pod_read_unaligned(&settings).unwrap_or_default();
        let version = settings.abi_version;
        let layout = match settings {
            Settings { records: names::RECORDS, .. } => Layout::Same,
            Settings { records: 0, abi_version: v2::VERSION } => {
                Layout::V2(v2::Register::read(&path).map_err(unreadable)?)
            }
            _ => return Err(CarryError::Unknown { path, version }),
        };
        let entries = |name| open(name).map(|map| map.entries);
        // Maps that lack one have none, until they are adopted with as many as are wanted.
        let later = |name, wanted| match path.join(name).exists() {
            true => entries(name),
            false => Ok(wanted),
        };
        let capacity = Capacity {
            chunks: entries(names::RINGS)?,
            flows: entries(names::FLOWS_V4)?,
            backends: entries(names::BACKENDS)?,
            listeners: entries(names::LISTENERS_V4)?,
            clients: later(names::CLIENTS, wanted.clients)?,
            bindings: later(names::BINDINGS_V4, wanted.bindings)?,
        };
        let (links, generation) = (pins.links.clone(), pins.generation);
        let source = Self { path, links, generation, layout, capacity };
        source.check()?;
        Ok(source)
    }

    /// That each map is as the layout has it: the records of another program may bear the same version.
    fn check(&self) -> Result<(), CarryError> {
        if !matches!(self.layout, Layout::Same) {
            return Ok(());
        }
        for name in names::MAPS {
            if names::LATER_MAPS.contains(&name) && !self.path.join(name).exists() {
                continue;
            }
            let map = self.map(name)?;
            let wanted = Shape::wanted(name, self.capacity);
            if (map.kind, map.key, map.value)
                != (wanted.kind, wanted.key as usize, wanted.value as usize)
            {
                let path = self.path.clone();
                return Err(CarryError::Unknown { path, version: names::RECORDS });
            }
        }
        Ok(())
    }

    pub(super) fn map(&self, name: &str) -> Result<RawMap, CarryError> {
        RawMap::open(&self.path.join(name)).map_err(|error| self.unreadable(error))
    }

    pub(super) fn unreadable(&self, error: io::Error) -> CarryError {
        CarryError::Unreadable { path: self.path.clone(), error }
    }

    /// Shows the records of a flow table as they are here.
    pub(super) fn flows<K: FlowKey>(
        &self,
        name: &str,
        mut visit: impl FnMut(&K, Flow),
    ) -> Result<(), CarryError> {
        let is_opening = [names::OPENINGS_V4, names::OPENINGS_V6].contains(&name);
        let walked = match &self.layout {
            Layout::Same => FlowTable::<K>::new(&self.map(name)?.fd).and_then(|table| {
                table.walk(|key, flow| {
                    visit(key, flow);
                    ControlFlow::Continue(())
                })
            }),
            Layout::V2(_) if is_opening => return Ok(()),
            Layout::V2(register) => {
                FlowTable::<K, v2::Flow>::new(&self.map(name)?.fd).and_then(|table| {
                    table.walk(|key, flow| {
                        if let Some(flow) = register.flow(&key.key(), flow) {
                            visit(key, flow);
                        }
                        ControlFlow::Continue(())
                    })
                })
            }
        };
        walked.map(drop).map_err(|error| self.unreadable(error))
    }

    /// Shows the slots that are not zero, or since when they are as they are, a chunk at a time.
    pub(super) fn chunks(
        &self,
        name: &str,
        mut visit: impl FnMut(u32, Chunk) -> io::Result<()>,
    ) -> Result<(), CarryError> {
        let mut failed = None;
        let map = self.map(name)?;
        let walked = FlowTable::<u32, Chunk>::new(&map.fd).and_then(|chunks| {
            chunks.walk(|index, chunk| {
                if chunk == Chunk::default() {
                    return ControlFlow::Continue(());
                }
                failed = visit(*index, chunk).err();
                if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        });
        walked
            .and_then(|_| failed.map_or(Ok(()), Err))
            .map_err(|error| CarryError::Unreadable { path: self.path.join(name), error })
    }

    /// The sizes to make maps of where so much is wanted, and why some stay as they are: what is in use
    /// must fit.
    pub(super) fn resized(
        &self,
        wanted: Capacity,
        oldest: u32,
    ) -> Result<(Capacity, Vec<String>), CarryError> {
        let mut capacity = wanted;
        let mut kept = Vec::new();
        let mut keep = |key: &str, wanted: &mut u32, has: u32, unit: u32, used: u32, what: &str| {
            if *wanted < has && *wanted < used {
                kept.push(format!(
                    "[agent] {key} = {} is too small, it stays {}: {what}; write {} or more",
                    u64::from(*wanted) * u64::from(unit),
                    u64::from(has) * u64::from(unit),
                    u64::from(used) * u64::from(unit),
                ));
                *wanted = has;
            }
        };
        let Capacity { chunks, flows, backends, listeners, clients, bindings } = self.capacity;
        if wanted.clients == Capacity::NO_CLIENTS {
            // A pool may ask for them again.
            capacity.clients = clients;
        }
        if wanted.bindings == Capacity::NO_BINDINGS {
            // So that a pool that is to have none for a moment replaces nothing.
            capacity.bindings = bindings;
        }
        if wanted.chunks < chunks {
            let used = self.used_chunks()?;
            let what = "rings lie up to there";
            keep("ring_slots", &mut capacity.chunks, chunks, elb_common::ring::CHUNK, used, what);
        }
        if wanted.flows < flows {
            // One in 16 stays free, and a listener may have half of the others.
            let used = self.used_flows(oldest)?;
            let used = used.saturating_mul(2).saturating_add(used / 8);
            keep("max_flows", &mut capacity.flows, flows, 1, used, "so many are recorded");
        }
        if wanted.backends < backends {
            let used = self.highest(names::BACKENDS)?;
            let what = "members have numbers up to there";
            keep("max_backends", &mut capacity.backends, backends, 1, used, what);
        }
        if wanted.listeners < listeners {
            let used = self.used_listeners()?;
            let what = "listeners have numbers or entries up to there";
            keep("max_listeners", &mut capacity.listeners, listeners, 1, used, what);
        }
        Ok((capacity, kept))
    }

    fn used_chunks(&self) -> Result<u32, CarryError> {
        let mut used = 0;
        self.chunks(names::RINGS, |index, _| {
            used = used.max(index + 1);
            Ok(())
        })?;
        Ok(used)
    }

    /// Records of the fuller table that are not from before `oldest`.
    fn used_flows(&self, oldest: u32) -> Result<u32, CarryError> {
        let [mut v4, mut v6] = [0u32; 2];
        self.flows::<FlowKeyV4>(names::FLOWS_V4, |_, flow| v4 += u32::from(flow.seen >= oldest))?;
        self.flows::<FlowKeyV6>(names::FLOWS_V6, |_, flow| v6 += u32::from(flow.seen >= oldest))?;
        Ok(v4.max(v6))
    }

    /// How many elements an array needs for those of it that are not all zeroes.
    fn highest(&self, name: &str) -> Result<u32, CarryError> {
        let mut highest = 0;
        let visited = self.map(name)?.each(|key, _| {
            highest = bytemuck::pod_read_unaligned::<u32>(key) + 1;
            Ok(())
        });
        visited.map_err(|error| self.unreadable(error)).map(|()| highest)
    }

    fn used_listeners(&self) -> Result<u32, CarryError> {
        let mut used = match &self.layout {
            Layout::Same => self.highest(names::LISTENER_POOLS)?,
            Layout::V2(register) => register.listeners(),
        };
        for name in [names::LISTENERS_V4, names::LISTENERS_V6] {
            let mut entries = 0;
            let counted = self.map(name)?.each(|_, _| {
                entries += 1;
                Ok(())
            });
            counted.map_err(|error| self.unreadable(error))?;
            used = used.max(entries);
        }
        Ok(used)
    }

    /// The longest idle timeout of a pool, in seconds.
    pub(super) fn longest_idle(&self) -> Result<u32, CarryError> {
        const IDLE_TIMEOUT: usize = std::mem::offset_of!(elb_common::pool::Pool, idle_timeout);
        let mut longest = limits::HALF_OPEN_TIMEOUT;
        let visited = self.map(names::POOLS)?.each(|_, pool| {
            // It lies in the same place in ABI version 2.
            let idle = pool.get(IDLE_TIMEOUT..IDLE_TIMEOUT + 4);
            longest = longest.max(idle.map_or(0, bytemuck::pod_read_unaligned));
            Ok(())
        });
        visited.map_err(|error| self.unreadable(error)).map(|()| longest)
    }
}
