//! The flow tables, read from their pins beside the agent's other work.

use std::ops::ControlFlow;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::names;

use super::maps::{MapError, at};
use super::record::Record;
use crate::flows::Key;

/// Both tables, with handles of their own.
pub struct FlowTables {
    v4: HashMap<MapData, Record<FlowKeyV4>, Record<Flow>>,
    v6: HashMap<MapData, Record<FlowKeyV6>, Record<Flow>>,
    /// Flows that each has room for.
    pub room: u32,
}

impl FlowTables {
    /// Opens the tables that are pinned in `directory`.
    ///
    /// # Errors
    /// They are not there, or cannot be opened.
    pub fn open(directory: &Path) -> Result<Self, MapError> {
        let open = |name| MapData::from_pin(directory.join(name)).map_err(at(name));
        let (v4, v6) = (open(names::FLOWS_V4)?, open(names::FLOWS_V6)?);
        let room = v4.info().map_err(at(names::FLOWS_V4))?.max_entries();
        Ok(Self {
            v4: Map::LruHashMap(v4).try_into().map_err(at(names::FLOWS_V4))?,
            v6: Map::LruHashMap(v6).try_into().map_err(at(names::FLOWS_V6))?,
            room,
        })
    }

    /// Visits every flow until `visit` breaks off. Two system calls a flow.
    ///
    /// The tables change meanwhile: a flow that comes or goes may be missed, and where the very one
    /// that was visited last is evicted, the kernel begins anew. No more are visited than there is
    /// room for.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn each(
        &self,
        mut visit: impl FnMut(Key, Flow) -> ControlFlow<()>,
    ) -> Result<(), MapError> {
        let room = self.room as usize;
        for entry in self.v4.iter().take(room) {
            let (key, flow) = entry.map_err(at(names::FLOWS_V4))?;
            if visit(Key::V4(key.0), flow.0).is_break() {
                return Ok(());
            }
        }
        for entry in self.v6.iter().take(room) {
            let (key, flow) = entry.map_err(at(names::FLOWS_V6))?;
            if visit(Key::V6(key.0), flow.0).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}
