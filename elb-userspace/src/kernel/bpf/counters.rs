//! Counters and states of all listeners and members at once, read with a few calls by descriptors of their
//! own: who scrapes them does not wait for the agent, nor the agent for them.

mod programs;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use aya::maps::MapData;
use aya::util::nr_cpus;
use bytemuck::Pod;
use elb_common::admission::{BackendState, ListenerState};
use elb_common::counter::{Answers, Counter, ListenerEvents};
use elb_common::names;
use elb_common::reason::REASONS;
use elb_common::room::FlowTable;

pub use self::programs::ProgramRuns;
use self::programs::Programs;
use super::object::LoadedObject;
use super::syscall::{self, End};

/// Bytes that one call reads.
const AT_ONCE: usize = 1 << 20;

/// The maps that packets count in.
#[derive(Debug)]
pub struct CounterMaps {
    programs: Programs,
    listeners: PerCpu,
    listener_replies: PerCpu,
    listener_answers: PerCpu,
    events: PerCpu,
    backends: PerCpu,
    backend_replies: PerCpu,
    backend_answers: PerCpu,
    opened: PerCpu,
    reasons: PerCpu,
    listener_states: Plain,
    backend_states: Plain,
    tables: Plain,
}

/// Which counters are wanted: of the listeners and members with ids below these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedCounts {
    /// Listeners.
    pub listeners: u32,
    /// Members.
    pub backends: u32,
}

/// What packets counted. Each list is indexed by id; what is not there was not asked for.
#[derive(Clone, Debug, Default)]
pub struct PacketCounts {
    /// What listeners forwarded.
    pub listeners: Vec<Counter>,
    /// What was translated back for listeners.
    pub listener_replies: Vec<Counter>,
    /// What that said of TCP connections.
    pub listener_answers: Vec<Answers>,
    /// What else happened at listeners.
    pub events: Vec<ListenerEvents>,
    /// What listeners have open.
    pub listener_states: Vec<ListenerState>,
    /// What members got.
    pub backends: Vec<Counter>,
    /// What members answered, of what was translated back.
    pub backend_replies: Vec<Counter>,
    /// What that said of TCP connections.
    pub backend_answers: Vec<Answers>,
    /// TCP connections that were opened at members.
    pub opened: Vec<u64>,
    /// What members have open.
    pub backend_states: Vec<BackendState>,
    /// What was not forwarded, by the number of its reason.
    pub reasons: Vec<Counter>,
    /// The flow tables of IPv4 and of IPv6.
    pub tables: Vec<FlowTable>,
    /// How often programs ran, if the kernel measures that now.
    pub runs: Vec<ProgramRuns>,
}

impl CounterMaps {
    /// Opens the pinned maps of a loaded object, and its programs.
    ///
    /// # Errors
    /// A map is not there, or cannot be opened.
    pub fn open(object: &LoadedObject) -> io::Result<Self> {
        let directory = &object.directory;
        Ok(Self {
            programs: Programs::of(object),
            listeners: PerCpu::open(directory, names::LISTENER_COUNTERS)?,
            listener_replies: PerCpu::open(directory, names::LISTENER_REPLIES)?,
            listener_answers: PerCpu::open(directory, names::LISTENER_ANSWERS)?,
            events: PerCpu::open(directory, names::LISTENER_EVENTS)?,
            backends: PerCpu::open(directory, names::BACKEND_COUNTERS)?,
            backend_replies: PerCpu::open(directory, names::BACKEND_REPLIES)?,
            backend_answers: PerCpu::open(directory, names::BACKEND_ANSWERS)?,
            opened: PerCpu::open(directory, names::BACKEND_OPENED)?,
            reasons: PerCpu::open(directory, names::REASON_COUNTERS)?,
            listener_states: Plain::open(directory, names::LISTENER_STATES)?,
            backend_states: Plain::open(directory, names::BACKEND_STATES)?,
            tables: Plain::open(directory, names::FLOW_TABLES)?,
        })
    }

    /// Reads all counters that are wanted.
    ///
    /// # Errors
    /// The kernel refuses to read a map.
    pub fn read(&self, wanted: WantedCounts) -> io::Result<PacketCounts> {
        Ok(PacketCounts {
            listeners: self.listeners.sums(wanted.listeners)?,
            listener_replies: self.listener_replies.sums(wanted.listeners)?,
            listener_answers: self.listener_answers.sums(wanted.listeners)?,
            events: self.events.sums(wanted.listeners)?,
            listener_states: self.listener_states.values(wanted.listeners)?,
            backends: self.backends.sums(wanted.backends)?,
            backend_replies: self.backend_replies.sums(wanted.backends)?,
            backend_answers: self.backend_answers.sums(wanted.backends)?,
            opened: self.opened.sums(wanted.backends)?,
            backend_states: self.backend_states.values(wanted.backends)?,
            reasons: self.reasons.sums(REASONS)?,
            tables: self.tables.values(2)?,
            runs: self.programs.runs(),
        })
    }
}

/// An array in which each CPU has elements of its own.
#[derive(Debug)]
struct PerCpu {
    map: Elements,
    cpus: usize,
}

impl PerCpu {
    fn open(directory: &Path, name: &'static str) -> io::Result<Self> {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        Ok(Self { map: Elements::open(directory, name, cpus)?, cpus })
    }

    /// The first elements, each summed up over all CPUs.
    fn sums<T: Pod + std::iter::Sum>(&self, count: u32) -> io::Result<Vec<T>> {
        let stride = self.map.stride / self.cpus;
        let mut sums = Vec::with_capacity(count as usize);
        self.map.each(count, |element| {
            let values = element.chunks_exact(stride);
            let value = |bytes: &[u8]| bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()]);
            sums.push(values.map(value).sum());
        })?;
        Ok(sums)
    }
}

/// An array that all CPUs share.
#[derive(Debug)]
struct Plain(Elements);

impl Plain {
    fn open(directory: &Path, name: &'static str) -> io::Result<Self> {
        Elements::open(directory, name, 1).map(Self)
    }

    fn values<T: Pod>(&self, count: u32) -> io::Result<Vec<T>> {
        let mut values = Vec::with_capacity(count as usize);
        self.0.each(count, |element| {
            values.push(bytemuck::pod_read_unaligned(&element[..size_of::<T>()]));
        })?;
        Ok(values)
    }
}

/// The elements of an array map, as bytes.
#[derive(Debug)]
struct Elements {
    fd: OwnedFd,
    name: &'static str,
    entries: u32,
    /// Bytes that the kernel writes for an element.
    stride: usize,
}

impl Elements {
    fn open(directory: &Path, name: &'static str, cpus: usize) -> io::Result<Self> {
        let at = |error: &dyn std::error::Error| io::Error::other(format!("map {name}: {error}"));
        let map = MapData::from_pin(directory.join(name)).map_err(|error| at(&error))?;
        let info = map.info().map_err(|error| at(&error))?;
        let value = info.value_size() as usize;
        let stride = if cpus == 1 { value } else { value.next_multiple_of(8) * cpus };
        let fd = map.fd().as_fd().try_clone_to_owned()?;
        Ok(Self { fd, name, entries: info.max_entries(), stride })
    }

    /// Shows the first elements to `visit`, in the order of their indices.
    fn each(&self, count: u32, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = count.min(self.entries) as usize;
        let batch = (AT_ONCE / self.stride).clamp(1, left.max(1));
        let mut keys = vec![0_u32; batch];
        let mut values = vec![0_u8; batch * self.stride];
        let mut next: Option<u32> = None;
        while left > 0 {
            let wanted = batch.min(left);
            let (keys, values) = (&mut keys[..wanted], &mut values[..wanted * self.stride]);
            let mut after = 0;
            let read = syscall::read_elements(&self.fd, next.as_ref(), &mut after, keys, values);
            let (read, end) = read.map_err(|error| {
                io::Error::new(error.kind(), format!("map {}: {error}", self.name))
            })?;
            values.chunks_exact(self.stride).take(read).for_each(&mut visit);
            left -= read.min(left);
            if read == 0 || end != End::Batch {
                break;
            }
            next = Some(after);
        }
        Ok(())
    }
}
