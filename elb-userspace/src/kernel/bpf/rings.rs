//! The rings, written in place through shared memory: one aligned word at a time, so that every
//! packet sees a valid slot.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU32;

use elb_common::ring::{CHUNK, Chunk, Slot};
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::AsRawFd;

use crate::control::plan::Region;
use crate::control::ring;

/// `RINGS` and `RINGS_SEEN`, mapped.
#[derive(Debug)]
pub struct Rings {
    slots: Words,
    seen: Words,
}

#[derive(Debug)]
struct Words {
    memory: MmapRaw,
    count: u32,
}

impl Words {
    /// Maps the elements of an array of [`Chunk`]s.
    fn new(map: impl AsFd, chunks: u32) -> io::Result<Self> {
        let bytes = chunks as usize * size_of::<Chunk>();
        let memory = MmapOptions::new().len(bytes).map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self { memory, count: chunks * CHUNK })
    }

    /// The words from `base` on; empty where the region is not within the map.
    fn region(&self, Region { base, size }: Region) -> &[AtomicU32] {
        if base.checked_add(size).is_none_or(|end| end > self.count) {
            return &[];
        }
        // SAFETY: the mapping is `count` words long and page-aligned, the bounds were just checked,
        // and it lives as long as `self`. The kernel writes to it too, which is why the words are
        // atomics.
        unsafe {
            let first = self.memory.as_mut_ptr().cast::<AtomicU32>().add(base as usize);
            std::slice::from_raw_parts(first, size as usize)
        }
    }
}

impl Rings {
    /// Maps both arrays, of `chunks` elements each.
    pub fn new(slots: impl AsFd, seen: impl AsFd, chunks: u32) -> io::Result<Self> {
        Ok(Self { slots: Words::new(slots, chunks)?, seen: Words::new(seen, chunks)? })
    }

    /// The slot at an index.
    pub fn slot(&self, index: u32) -> Option<Slot> {
        self.words(Region { base: index, size: 1 }).slots().next()
    }

    /// The slots of a region; none where it is not within the map.
    pub fn words(&self, region: Region) -> ring::region::Words<'_> {
        ring::region::Words::new(self.slots.region(region), self.seen.region(region))
    }
}
