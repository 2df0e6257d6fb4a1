//! Calls of bpf(2) that aya lacks: many records of a map with one call, and a run of a program that is
//! shared between threads.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use bytemuck::Pod;

/// Reads records of a hash map, `keys.len()` at most, behind `from`; writes to `after` where the next
/// call goes on. How many there are, and what is behind them.
pub(super) fn read_batch<K: Pod, V: Pod>(
    map: &OwnedFd,
    from: Option<&u32>,
    after: &mut u32,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, End)> {
    let mut attributes = Batch {
        from: from.map_or(0, |from| address(std::ptr::from_ref(from))),
        after: address(std::ptr::from_mut(after)),
        keys: address(keys.as_mut_ptr()),
        values: address(values.as_mut_ptr()),
        count: u32::try_from(keys.len().min(values.len())).unwrap_or(u32::MAX),
        map: descriptor(map),
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

/// What is behind the records that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// More, perhaps.
    Batch,
    /// Nothing.
    Map,
    /// More records that hash to one place than there is room for.
    NoRoom,
}

/// Runs a raw tracepoint program once.
pub(super) fn run(program: &OwnedFd) -> io::Result<()> {
    let mut attributes = Run { program: descriptor(program), ..Run::default() };
    bpf(PROG_TEST_RUN, &mut attributes)
}

// Numbers of `enum bpf_cmd` in linux/bpf.h.
const PROG_TEST_RUN: libc::c_int = 10;
const LOOKUP_BATCH: libc::c_int = 24;

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

/// `union bpf_attr` of BPF_PROG_TEST_RUN.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    result: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// A layout of `union bpf_attr`.
trait Attributes {}
impl Attributes for Batch {}
impl Attributes for Run {}

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
