//! A pinned map as bytes: what is carried over without knowing what it means.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use aya::maps::{MapData, MapType};
use aya::util::nr_cpus;

use super::super::syscall;

/// A map, and how long its keys and values are.
pub(super) struct RawMap {
    pub(super) fd: OwnedFd,
    pub(super) kind: MapType,
    pub(super) key: usize,
    /// Bytes of one value, on one CPU.
    pub(super) value: usize,
    pub(super) entries: u32,
    /// Bytes that the kernel reads and writes for a value.
    stride: usize,
}

impl RawMap {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let at = |error: &dyn std::error::Error| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let map = MapData::from_pin(path).map_err(|error| at(&error))?;
        let info = map.info().map_err(|error| at(&error))?;
        let kind = info.map_type().map_err(|error| at(&error))?;
        let (key, value) = (info.key_size() as usize, info.value_size() as usize);
        let stride = if kind == MapType::PerCpuArray {
            let cpus = nr_cpus().map_err(|(_, error)| error)?;
            value.next_multiple_of(8) * cpus
        } else {
            value
        };
        let fd = map.fd().as_fd().try_clone_to_owned()?;
        Ok(Self { fd, kind, key, value, entries: info.max_entries(), stride })
    }

    /// The value of a key; on all CPUs, one after the other, where each has its own.
    pub(super) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.fits(key, self.stride)?;
        let mut value = vec![0; self.stride];
        match syscall::lookup(&self.fd, key, &mut value) {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a value; false if the key has one and `only_new` is set.
    pub(super) fn put(&self, key: &[u8], value: &[u8], only_new: bool) -> io::Result<bool> {
        self.fits(key, value.len())?;
        match syscall::update(&self.fd, key, value, only_new) {
            Ok(()) => Ok(true),
            Err(error) if only_new && error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// That the kernel reads and writes no more than there is.
    fn fits(&self, key: &[u8], value: usize) -> io::Result<()> {
        if (key.len(), value) == (self.key, self.stride) {
            return Ok(());
        }
        let Self { key: own, stride, .. } = self;
        let key = key.len();
        Err(io::Error::other(format!(
            "a record of {key} and {value} bytes is none of a map with {own} and {stride}"
        )))
    }

    /// The element of an array.
    pub(super) fn element(&self, index: u32) -> io::Result<Vec<u8>> {
        Ok(self.get(&index.to_ne_bytes())?.unwrap_or_else(|| vec![0; self.stride]))
    }

    /// Keys and values; of an array, of the elements that are not all zeroes.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if matches!(self.kind, MapType::Array | MapType::PerCpuArray) {
            for index in 0..self.entries {
                let value = self.element(index)?;
                if value.iter().any(|byte| *byte != 0) {
                    visit(&index.to_ne_bytes(), &value)?;
                }
            }
            return Ok(());
        }
        let mut key: Option<Vec<u8>> = None;
        let mut next = vec![0; self.key];
        // Where packets remove the key that is next, the kernel begins anew: not for ever.
        let mut left = u64::from(self.entries) * 2;
        while left > 0 && syscall::next_key(&self.fd, key.as_deref(), &mut next)? {
            left -= 1;
            if let Some(value) = self.get(&next)? {
                visit(&next, &value)?;
            }
            key = Some(next.clone());
        }
        Ok(())
    }
}
