//! Calls of bpf(2) that aya lacks: many records of a map with one call, records whose type is not known,
//! links that are held without a pin, and a run of a program that is shared between threads.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

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
    let count = keys.len().min(values.len());
    batch(Batch {
        from: from.map_or(0, |from| address(std::ptr::from_ref(from))),
        after: address(std::ptr::from_mut(after)),
        keys: address(keys.as_mut_ptr()),
        values: address(values.as_mut_ptr()),
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map: descriptor(map),
        element_flags: 0,
        flags: 0,
    })
}

/// Reads elements of an array map, `keys.len()` at most, behind `from`; `values` has for each of them as many
/// bytes as the kernel writes. Otherwise as [`read_batch`].
pub(super) fn read_elements(
    map: &OwnedFd,
    from: Option<&u32>,
    after: &mut u32,
    keys: &mut [u32],
    values: &mut [u8],
) -> io::Result<(usize, End)> {
    batch(Batch {
        from: from.map_or(0, |from| address(std::ptr::from_ref(from))),
        after: address(std::ptr::from_mut(after)),
        keys: address(keys.as_mut_ptr()),
        values: address(values.as_mut_ptr()),
        count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
        map: descriptor(map),
        element_flags: 0,
        flags: 0,
    })
}

fn batch(mut attributes: Batch) -> io::Result<(usize, End)> {
    let read = bpf(LOOKUP_BATCH, &mut attributes);
    let count = attributes.count as usize;
    match read {
        Ok(_) => Ok((count, End::Batch)),
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

/// Reads the value of a key into `value`, which must be as long as the map's values are for all CPUs.
pub(super) fn lookup(map: &OwnedFd, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let value = address(value.as_mut_ptr());
    let key = address(key.as_ptr());
    bpf(LOOKUP, &mut Element { map: descriptor(map), pad: 0, key, value, flags: 0 }).map(drop)
}

/// Writes the value of a key, both as long as the map has them.
pub(super) fn update(map: &OwnedFd, key: &[u8], value: &[u8], only_new: bool) -> io::Result<()> {
    const ONLY_NEW: u64 = 1;
    let flags = if only_new { ONLY_NEW } else { 0 };
    let (key, value) = (address(key.as_ptr()), address(value.as_ptr()));
    bpf(UPDATE, &mut Element { map: descriptor(map), pad: 0, key, value, flags }).map(drop)
}

/// Writes the key that follows one, or the first key, to `next`; false if there is none.
pub(super) fn next_key(map: &OwnedFd, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let key = key.map_or(0, |key| address(key.as_ptr()));
    let value = address(next.as_mut_ptr());
    match bpf(NEXT_KEY, &mut Element { map: descriptor(map), pad: 0, key, value, flags: 0 }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens what is pinned at a path.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Pinned { path: address(path.as_ptr()), descriptor: 0, flags: 0 };
    let opened = bpf(GET_OBJECT, &mut attributes)?;
    let opened = i32::try_from(opened).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for this call, which alone knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Pins what a descriptor stands for at a path that is free.
pub(super) fn pin(descriptor: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let path = address(path.as_ptr());
    bpf(PIN_OBJECT, &mut Pinned { path, descriptor: number(descriptor), flags: 0 }).map(drop)
}

/// Attaches an XDP program to an interface for as long as the link is held or pinned.
pub(super) fn create_xdp_link(
    program: BorrowedFd<'_>,
    interface: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let attach_type = ATTACH_XDP;
    let mut attributes = LinkCreate { program: number(program), interface, attach_type, flags };
    let created = bpf(CREATE_LINK, &mut attributes)?;
    let created = i32::try_from(created).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for this call, which alone knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(created) })
}

/// What an XDP link holds together.
pub(super) fn xdp_link(link: BorrowedFd<'_>) -> io::Result<XdpLink> {
    let mut info = LinkInfo::default();
    let length = u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?;
    let at = address(std::ptr::from_mut(&mut info));
    bpf(OBJECT_INFO, &mut ObjectInfo { descriptor: number(link), length, info: at })?;
    Ok(XdpLink { program: info.program, interface: info.interface })
}

/// Interface and program of an XDP link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpLink {
    /// The program's number.
    pub(super) program: u32,
    /// The interface's index, in whatever network namespace it is; 0: the interface is gone, or the link
    /// was detached.
    pub(super) interface: u32,
}

/// Lets a link carry another program.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (link, program) = (number(link), number(program));
    bpf(UPDATE_LINK, &mut LinkUpdate { link, program, flags: 0, expected: 0 }).map(drop)
}

/// Detaches what a link holds, also where other processes hold the link.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(DETACH_LINK, &mut LinkDetach { link: number(link) }).map(drop)
}

/// Runs a raw tracepoint program once.
pub(super) fn run(program: &OwnedFd) -> io::Result<()> {
    let mut attributes = Run { program: descriptor(program), ..Run::default() };
    bpf(PROG_TEST_RUN, &mut attributes).map(drop)
}

/// Runs a raw tracepoint program once with these arguments; its answer.
pub(super) fn ask(program: &OwnedFd, arguments: &[u64]) -> io::Result<u32> {
    let context_size_in = u32::try_from(size_of_val(arguments)).map_err(io::Error::other)?;
    let context_in = address(arguments.as_ptr());
    let program = descriptor(program);
    let mut attributes = Run { program, context_size_in, context_in, ..Run::default() };
    bpf(PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.result)
}

// Numbers of `enum bpf_cmd` in linux/bpf.h.
const LOOKUP: libc::c_int = 1;
const UPDATE: libc::c_int = 2;
const NEXT_KEY: libc::c_int = 4;
const PIN_OBJECT: libc::c_int = 6;
const GET_OBJECT: libc::c_int = 7;
const PROG_TEST_RUN: libc::c_int = 10;
const OBJECT_INFO: libc::c_int = 15;
const LOOKUP_BATCH: libc::c_int = 24;
const CREATE_LINK: libc::c_int = 28;
const UPDATE_LINK: libc::c_int = 29;
const DETACH_LINK: libc::c_int = 34;

/// `BPF_XDP` of `enum bpf_attach_type`.
const ATTACH_XDP: u32 = 37;

/// `union bpf_attr` of commands on one element.
#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    /// Or the next key.
    value: u64,
    flags: u64,
}

/// `union bpf_attr` of BPF_LINK_CREATE.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// `union bpf_attr` of BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
struct ObjectInfo {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// `struct bpf_link_info` of an XDP link.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    interface: u32,
    reserved: u32,
}

/// `union bpf_attr` of BPF_OBJ_PIN and BPF_OBJ_GET.
#[repr(C)]
struct Pinned {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `union bpf_attr` of BPF_LINK_UPDATE.
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    expected: u32,
}

/// `union bpf_attr` of BPF_LINK_DETACH.
#[repr(C)]
struct LinkDetach {
    link: u32,
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
impl Attributes for Element {}
impl Attributes for Pinned {}
impl Attributes for LinkCreate {}
impl Attributes for ObjectInfo {}
impl Attributes for LinkUpdate {}
impl Attributes for LinkDetach {}
impl Attributes for Batch {}
impl Attributes for Run {}

fn bpf<A: Attributes>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_long> {
    let size = libc::c_long::try_from(size_of::<A>()).expect("a few words");
    // SAFETY: the attributes are those of the command and as long as said. The addresses in them are
    // those of references that the callers hold during the call, to a path, to an info record of the length
    // given, or to keys and values of the map's own sizes, which its info shows or the loader checked when it adopted or made the map.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            libc::c_long::from(command),
            std::ptr::from_mut(attributes),
            size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    u32::try_from(descriptor.as_raw_fd()).expect("an open descriptor is not negative")
}

fn descriptor(map: &OwnedFd) -> u32 {
    u32::try_from(map.as_raw_fd()).expect("an open descriptor is not negative")
}
