//! The flow tables, opened from their pins and read next to the agent's other work.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use aya::maps::MapData;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::names;
use elb_common::ring::{CHUNK, Chunk, Slot};

use super::flow_table::FlowTable;
use super::maps::{MapError, at};
use super::object::Capacity;
use super::shared::Shared;
use crate::control::flow_key::Key;

/// Both tables, with handles of their own.
#[derive(Debug)]
pub struct FlowTables {
    /// `FLOWS_V4`.
    pub v4: FlowTable<FlowKeyV4>,
    /// `FLOWS_V6`.
    pub v6: FlowTable<FlowKeyV6>,
    /// Flows that each has room for.
    pub room: u32,
    rings: Shared<Chunk>,
}

impl FlowTables {
    /// Opens the tables that are pinned in `directory`, whose maps have these sizes.
    ///
    /// # Errors
    /// They are not there, or cannot be opened.
    pub fn new(directory: &Path, capacity: Capacity) -> Result<Self, MapError> {
        let rings = pinned(directory, names::RINGS)?;
        let chunks = capacity.entries(names::RINGS).unwrap_or_default();
        Ok(Self {
            rings: Shared::new(rings.fd(), chunks).map_err(unreadable(names::RINGS))?,
            v4: open(directory, names::FLOWS_V4)?,
            v6: open(directory, names::FLOWS_V6)?,
            room: capacity.flows,
        })
    }

    /// The slot at an index into all rings.
    pub fn slot(&self, index: u32) -> Option<Slot> {
        let at = (index % CHUNK) as usize * size_of::<u32>();
        let word = self.rings.half((index / CHUNK) as usize, at)?;
        Some(Slot(word.load(Ordering::Relaxed)))
    }

    /// Visits every flow until `visit` breaks off; see [`FlowTable::walk`].
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn each(
        &self,
        mut visit: impl FnMut(Key, Flow) -> ControlFlow<()>,
    ) -> Result<(), MapError> {
        let walked = self.v4.walk(|key, flow| visit(Key::V4(*key), flow));
        if walked.map_err(unreadable(names::FLOWS_V4))?.is_break() {
            return Ok(());
        }
        let walked = self.v6.walk(|key, flow| visit(Key::V6(*key), flow));
        walked.map(drop).map_err(unreadable(names::FLOWS_V6))
    }
}

fn open<K: bytemuck::Pod>(directory: &Path, name: &'static str) -> Result<FlowTable<K>, MapError> {
    FlowTable::new(pinned(directory, name)?.fd()).map_err(unreadable(name))
}

fn pinned(directory: &Path, name: &'static str) -> Result<MapData, MapError> {
    MapData::from_pin(directory.join(name)).map_err(at(name))
}

/// What went wrong with a table.
fn unreadable(map: &'static str) -> impl Fn(io::Error) -> MapError {
    move |error| at(map)(aya::maps::MapError::IoError(error))
}
