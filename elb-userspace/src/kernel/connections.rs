//! How many connections are open, as packets count them; read and mended beside the agent's other
//! work.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use elb_common::admission::{BackendState, ListenerState};
use elb_common::names;
use memmap2::{MmapOptions, MmapRaw};

use super::maps::{MapError, at};
use super::object::Capacity;

/// Both counts, mapped.
#[derive(Debug)]
pub struct Connections {
    /// In `BACKEND_STATES`.
    pub backends: Counts,
    /// In `LISTENER_STATES`.
    pub listeners: Counts,
}

impl Connections {
    /// Maps what is pinned in `directory`.
    ///
    /// # Errors
    /// The maps are not there, or cannot be mapped.
    pub fn new(directory: &Path, capacity: Capacity) -> Result<Self, MapError> {
        let backend = (size_of::<BackendState>(), std::mem::offset_of!(BackendState, connections));
        let listener =
            (size_of::<ListenerState>(), std::mem::offset_of!(ListenerState, connections));
        let counts = |name, count, (size, offset)| {
            let map = MapData::from_pin(directory.join(name)).map_err(at(name))?;
            let counts = Counts::new(map.fd(), count, size / 8, offset / 8);
            counts.map_err(|error| at(name)(aya::maps::MapError::IoError(error)))
        };
        Ok(Self {
            backends: counts(names::BACKEND_STATES, capacity.backends, backend)?,
            listeners: counts(names::LISTENER_STATES, capacity.listeners, listener)?,
        })
    }
}

/// How many connections are open, by id; in two's complement, since a count may be less than none
/// for a moment.
#[derive(Debug)]
pub struct Counts {
    memory: MmapRaw,
    count: usize,
    /// Words of an element, and which of them counts.
    words: usize,
    word: usize,
}

impl Counts {
    fn new(map: impl AsFd, count: u32, words: usize, word: usize) -> io::Result<Self> {
        let count = count as usize;
        let memory = MmapOptions::new().len(count * words * 8).map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self { memory, count, words, word })
    }

    /// The count of an id; none if the map does not have it.
    pub fn of(&self, id: u16) -> Option<&AtomicU64> {
        let id = usize::from(id);
        if id >= self.count {
            return None;
        }
        // SAFETY: the mapping is `count * words` words long and page-aligned, the index was just
        // checked, and it lives as long as `self`. Packets write to it too, which is why it is an
        // atomic.
        unsafe {
            let words = self.memory.as_mut_ptr().cast::<AtomicU64>();
            Some(&*words.add(id * self.words + self.word))
        }
    }

    /// All counts, by id.
    pub fn read(&self) -> Vec<u64> {
        let ids = (0..=u16::MAX).map_while(|id| self.of(id));
        ids.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Whether any count is other than none.
    pub fn any(&self) -> bool {
        self.read().iter().any(|count| *count != 0)
    }

    /// Adds to a count, or takes away from it.
    pub fn add(&self, id: u16, more: i64) {
        if let Some(count) = self.of(id) {
            count.fetch_add(more.cast_unsigned(), Ordering::Relaxed);
        }
    }
}
