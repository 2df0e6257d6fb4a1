//! The rings, written in place through shared memory: one aligned word at a time, so that every
//! packet sees a valid slot.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use elb_common::ring::{CHUNK, Chunk, Slot};
use memmap2::{MmapOptions, MmapRaw};
use std::os::fd::AsRawFd;

use crate::publish::{Region, RingWrite};
use crate::ring::slots;

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

    /// Lets a ring follow a new table; a slot that changes starts to be watched `now`.
    pub fn write(&self, ring: &RingWrite, now: u32) {
        let size = u32::try_from(ring.owners.len()).unwrap_or(u32::MAX);
        let region = Region { base: ring.base, size };
        let words = self.slots.region(region).iter().zip(self.seen.region(region));
        for ((word, seen), owner) in words.zip(&ring.owners) {
            let slot = Slot(word.load(Ordering::Relaxed));
            let next = slots::change(slot, *owner, |id| ring.gone.contains(&id));
            if next != slot {
                seen.store(now, Ordering::Relaxed);
                word.store(next.0, Ordering::Release);
            }
        }
    }

    /// Settles the slots that nobody needed to be moving for `idle` seconds. The number of slots
    /// that still move.
    pub fn settle(&self, region: Region, now: u32, idle: u32) -> u32 {
        let mut moving = 0;
        for (word, seen) in self.slots.region(region).iter().zip(self.seen.region(region)) {
            let slot = Slot(word.load(Ordering::Relaxed));
            let next = slots::settle(slot, seen.load(Ordering::Relaxed), now, idle);
            if next != slot {
                word.store(next.0, Ordering::Release);
            }
            moving += u32::from(!next.is_settled());
        }
        moving
    }

    /// Empties a region.
    pub fn clear(&self, region: Region) {
        let words = self.slots.region(region).iter().chain(self.seen.region(region));
        // Most of a map was never used: reading does not make the kernel back it with memory.
        words
            .filter(|word| word.load(Ordering::Relaxed) != 0)
            .for_each(|word| word.store(0, Ordering::Release));
    }

    /// The slot at an index.
    pub fn slot(&self, index: u32) -> Option<Slot> {
        self.slots(Region { base: index, size: 1 }).next()
    }

    /// The slots of a region.
    pub fn slots(&self, region: Region) -> impl Iterator<Item = Slot> {
        self.slots.region(region).iter().map(|word| Slot(word.load(Ordering::Relaxed)))
    }
}
