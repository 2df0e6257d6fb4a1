//! The flow tables, read from their pins beside the agent's other work.

use std::ops::ControlFlow;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::names;

use super::maps::{MapError, at, open};
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
    /// Opens the tables that are pinned in `directory`, each with room for so many flows.
    ///
    /// # Errors
    /// They are not there, or cannot be opened.
    pub fn new(directory: &Path, room: u32) -> Result<Self, MapError> {
        Ok(Self {
            v4: open(directory, names::FLOWS_V4, Map::LruHashMap)?,
            v6: open(directory, names::FLOWS_V6, Map::LruHashMap)?,
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
