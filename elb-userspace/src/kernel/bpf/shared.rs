//! An array map that the agent, packets and sweeps share as memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytemuck::Pod;
use memmap2::{MmapOptions, MmapRaw};

/// The elements of an array of `T`, mapped.
#[derive(Debug)]
pub(super) struct Shared<T> {
    memory: MmapRaw,
    elements: usize,
    value: std::marker::PhantomData<fn() -> T>,
}

impl<T: Pod> Shared<T> {
    /// Bytes from one element to the next: the kernel rounds them up to whole words.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps an array of so many elements.
    pub(super) fn new(map: impl AsFd, elements: u32) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(4) && align_of::<T>() <= 8) };
        let elements = elements as usize;
        let bytes = elements * Self::STRIDE;
        let memory = MmapOptions::new().len(bytes).map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self { memory, elements, value: std::marker::PhantomData })
    }

    /// The 64-bit word at an offset of an element.
    pub(super) fn word(&self, element: usize, offset: usize) -> Option<&AtomicU64> {
        if element >= self.elements || offset + 8 > size_of::<T>() || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the mapping is `elements` strides long and page-aligned, the bounds and the alignment
        // were just checked, and it lives as long as `self`. Packets write to it too, which is why it
        // is an atomic.
        Some(unsafe { &*self.memory.as_mut_ptr().add(element * Self::STRIDE + offset).cast() })
    }

    /// The 32-bit word at an offset of an element.
    pub(super) fn half(&self, element: usize, offset: usize) -> Option<&AtomicU32> {
        if element >= self.elements || offset + 4 > size_of::<T>() || !offset.is_multiple_of(4) {
            return None;
        }
        // SAFETY: as in `word`.
        Some(unsafe { &*self.memory.as_mut_ptr().add(element * Self::STRIDE + offset).cast() })
    }

    /// An element; each half of a word of it is one that was there.
    pub(super) fn read(&self, element: usize) -> T {
        let mut value = T::zeroed();
        let halves = bytemuck::bytes_of_mut(&mut value).chunks_exact_mut(4);
        for (at, half) in halves.enumerate() {
            if let Some(word) = self.half(element, at * 4) {
                half.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
        }
        value
    }

    /// All elements.
    pub(super) fn all(&self) -> Vec<T> {
        (0..self.elements).map(|element| self.read(element)).collect()
    }

    /// Zeroes all elements.
    pub(super) fn clear(&self) {
        for element in 0..self.elements {
            for at in 0..size_of::<T>() / 4 {
                // Most were never used: reading does not make the kernel back them with memory.
                match self.half(element, at * 4) {
                    Some(half) if half.load(Ordering::Relaxed) != 0 => {
                        half.store(0, Ordering::Relaxed);
                    }
                    _ => {}
                }
            }
        }
    }
}
