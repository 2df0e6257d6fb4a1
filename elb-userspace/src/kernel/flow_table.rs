//! A flow table as the agent sees it: many records with one call, and the removal of those that are
//! over. aya has neither, so this speaks bpf(2) itself.

use std::io;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, size_of};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use bytemuck::Pod;
use elb_common::flow::Flow;

/// Records that one call reads: with IPv6 keys 192 KiB.
const BATCH: usize = 4096;

/// `FLOWS_V4` or `FLOWS_V6`.
#[derive(Debug)]
pub struct FlowTable<K> {
    map: OwnedFd,
    keys: PhantomData<fn(K)>,
}

impl<K: Pod> FlowTable<K> {
    /// The map behind a descriptor, which must have keys of this type.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn new(map: impl AsFd) -> io::Result<Self> {
        Ok(Self { map: map.as_fd().try_clone_to_owned()?, keys: PhantomData })
    }

    /// Shows every record to `visit`, until it breaks off. One that comes or goes meanwhile may be missed, none is shown
    /// twice. About 0.1 µs a record.
    ///
    /// # Errors
    /// The kernel refuses to read the map.
    pub fn walk(
        &self,
        mut visit: impl FnMut(&K, Flow) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut keys = vec![K::zeroed(); BATCH];
        let mut flows = vec![Flow::default(); BATCH];
        let mut next = None;
        loop {
            let mut after = 0u32;
            let (count, end) = self.read(next.as_ref(), &mut after, &mut keys, &mut flows)?;
            if end == End::NoRoom {
                // More records hash to one place than there is room for.
                keys.resize(keys.len() * 2, K::zeroed());
                flows.resize(keys.len(), Flow::default());
                continue;
            }
            for (key, flow) in keys.iter().zip(&flows).take(count) {
                if visit(key, *flow).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if end == End::Map {
                return Ok(ControlFlow::Continue(()));
            }
            next = Some(after);
        }
    }

    /// Removes a record, unless `lives` says of it, as it is then, that it is to stay.
    ///
    /// # Errors
    /// The kernel refuses to write the map.
    pub fn remove(&self, key: &K, lives: impl Fn(Flow) -> bool) -> io::Result<bool> {
        let mut flow = MaybeUninit::<Flow>::uninit();
        let removed = self.element(LOOKUP_AND_DELETE, key, flow.as_mut_ptr().cast(), 0);
        if removed.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
            return Ok(false);
        }
        removed?;
        // SAFETY: the kernel wrote a whole value, as the call succeeded.
        let mut flow = unsafe { flow.assume_init() };
        if !lives(flow) {
            return Ok(true);
        }
        // A packet was quicker. It may have been quicker again, then its record stands.
        let back = self.element(UPDATE, key, (&raw mut flow).cast(), NOEXIST);
        match back {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            back => back.map(|()| false),
        }
    }

    /// Reads a batch of records that follows `from`. How many there are, and what is behind them.
    fn read(
        &self,
        from: Option<&u32>,
        after: &mut u32,
        keys: &mut [K],
        flows: &mut [Flow],
    ) -> io::Result<(usize, End)> {
        let mut attributes = Batch {
            from: from.map_or(0, |from| address(std::ptr::from_ref(from))),
            after: address(std::ptr::from_mut(after)),
            keys: address(keys.as_mut_ptr()),
            values: address(flows.as_mut_ptr()),
            count: u32::try_from(keys.len().min(flows.len())).unwrap_or(u32::MAX),
            map: descriptor(&self.map),
            element_flags: 0,
            flags: 0,
        };
        let read = bpf(LOOKUP_BATCH, &mut attributes);
        let count = attributes.count as usize;
        match read {
            Ok(()) => Ok((count, End::Batch)),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => Ok((count, End::Map)),
                Some(libc::ENOSPC) => Ok((0, End::NoRoom)),
                _ => Err(error),
            },
        }
    }

    fn element(&self, command: libc::c_int, key: &K, value: *mut u8, flags: u64) -> io::Result<()> {
        let mut attributes = Element {
            map: descriptor(&self.map),
            reserved: 0,
            key: address(std::ptr::from_ref(key)),
            value: address(value),
            flags,
        };
        bpf(command, &mut attributes)
    }
}

/// What is behind the records that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Batch,
    Map,
    NoRoom,
}

// Numbers of `enum bpf_cmd` and of the flags of BPF_MAP_UPDATE_ELEM in linux/bpf.h.
const UPDATE: libc::c_int = 2;
const LOOKUP_AND_DELETE: libc::c_int = 21;
const LOOKUP_BATCH: libc::c_int = 24;
const NOEXIST: u64 = 1;

/// `union bpf_attr` of commands on one element.
#[repr(C)]
struct Element {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_attr` of commands on many elements.
#[repr(C)]
struct Batch {
    from: u64,
    after: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// A layout of `union bpf_attr`.
trait Attributes {}
impl Attributes for Element {}
impl Attributes for Batch {}

fn bpf<A: Attributes>(command: libc::c_int, attributes: &mut A) -> io::Result<()> {
    let size = libc::c_long::try_from(size_of::<A>()).expect("a few words");
    // SAFETY: the attributes are those of the command and as long as said. The addresses in them are
    // those of references that the callers hold during the call, to keys and values of the map's own
    // sizes, which the loader checked against the records' when it adopted or made the map.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            libc::c_long::from(command),
            std::ptr::from_mut(attributes),
            size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn descriptor(map: &OwnedFd) -> u32 {
    u32::try_from(map.as_raw_fd()).expect("an open descriptor is not negative")
}
