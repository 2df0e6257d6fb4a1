//! Loads the forwarding program with maps that outlive the agent.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::maps::{MapData, MapInfo, MapType};
use aya::programs::{ProgramError, RawTracePoint, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use elb_common::ring::CHUNK;
use elb_common::{limits, names};
use thiserror::Error;
use tokio::io::unix::AsyncFd;

use super::{pins, syscall};
use crate::kernel::signals::HeldSignals;
use crate::model::Model;
use crate::source::file::{AgentSettings, AttachMode};

pub(super) static XDP_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/elb-xdp"));
/// The object with the program for backend servers.
pub static DECAP_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/elb-decap"));

/// Sizes of the maps, fixed when they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Chunks of `RINGS`.
    pub chunks: u32,
    /// Records of each flow table.
    pub flows: u32,
    /// Backends.
    pub backends: u32,
    /// Listeners.
    pub listeners: u32,
    /// Clients that pools with persistence remember; [`Capacity::NO_CLIENTS`]: no pool does.
    pub clients: u32,
    /// Buckets of bindings of source addresses' ports; [`Capacity::NO_BINDINGS`]: there are no such addresses.
    pub bindings: u32,
}

impl Capacity {
    /// Room for clients where no pool remembers any: a map has one record at least.
    pub const NO_CLIENTS: u32 = 1;

    /// Room for bindings without source addresses: a map has one element at least.
    pub const NO_BINDINGS: u32 = 1;

    /// As the settings want it, for this model.
    pub fn of(settings: &AgentSettings, model: &Model) -> Self {
        let remembers = model.pools().iter().any(|pool| pool.session_persistence.is_some());
        Self {
            chunks: settings.ring_slots.get().div_ceil(CHUNK),
            flows: settings.max_flows.get(),
            backends: settings.max_backends.get(),
            listeners: settings.max_listeners.get(),
            clients: if remembers { settings.max_clients.get() } else { Self::NO_CLIENTS },
            bindings: model
                .source_addresses()
                .map_or(Self::NO_BINDINGS, |sources| sources.count() * elb_common::snat::BUCKETS),
        }
    }

    /// Maximum entries of a map by name; `None`: not settable.
    pub(super) fn entries(&self, name: &str) -> Option<u32> {
        match name {
            names::RINGS | names::RINGS_SEEN => Some(self.chunks),
            names::FLOWS_V4 | names::FLOWS_V6 => Some(self.flows),
            names::OPENINGS_V4 | names::OPENINGS_V6 => {
                Some((self.flows / limits::FLOWS_PER_OPENING).max(1))
            }
            names::BINDINGS_V4 => Some(self.bindings),
            names::CLIENTS => Some(self.clients),
            names::CLIENT_OPENINGS => Some((self.clients / limits::CLIENTS_PER_OPENING).max(1)),
            names::BACKENDS
            | names::BACKEND_STATES
            | names::BACKENDS_NAMED
            | names::BACKEND_CENSUS
            | names::BACKEND_OPENED
            | names::BACKEND_REPLIES
            | names::BACKEND_ANSWERS
            | names::EXCEPTED
            | names::REPLIES_V4
            | names::REPLIES_V6
            | names::BACKEND_COUNTERS => Some(self.backends),
            names::LISTENERS_V4
            | names::LISTENERS_V6
            | names::LISTENER_STATES
            | names::LISTENER_POOLS
            | names::LISTENER_ENDPOINTS
            | names::LISTENER_CENSUS
            | names::LISTENER_EVENTS
            | names::LISTENER_REPLIES
            | names::LISTENER_ANSWERS
            | names::LISTENER_COUNTERS => Some(self.listeners),
            _ => None,
        }
    }
}

/// Why the program is not in the kernel.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The binary was built without `ELB_BPF_DIR`.
    #[error("this elb was built without its BPF program; build it with `cargo xtask build`")]
    NoObject,
    /// The pin directory cannot be made.
    #[error(
        "pin_dir {path}: {error}; it must be in a BPF file system (mount -t bpf bpf /sys/fs/bpf)"
    )]
    PinDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A pinned map has another shape than this version's.
    #[error(
        "the pinned map {path} is not one of this version's: {what}; \
         stop forwarding with `elb detach`, then start the agent again"
    )]
    Incompatible {
        /// The pin.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The maps or the program cannot be created.
    #[error("cannot load the BPF program, which takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")]
    Ebpf(#[from] EbpfError),
    /// The kernel refused the program.
    #[error(
        "the kernel refused the BPF program, which takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"
    )]
    Program(#[from] ProgramError),
    /// A map cannot be read.
    #[error("cannot read a map")]
    Map(#[from] aya::maps::MapError),
}

/// Which of the programs of the object an interface carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// It forwards.
    Plain,
    /// It forwards and reports packets.
    Traced,
    /// It forwards and writes the flow log.
    Logged,
    /// It forwards health probes.
    Probing,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => names::PROGRAM,
            Self::Traced => names::TRACED_PROGRAM,
            Self::Logged => names::LOGGED_PROGRAM,
            Self::Probing => names::PROBE_PROGRAM,
        }
    }
}

/// The loaded object and where its maps are pinned.
#[derive(Debug)]
pub struct LoadedObject {
    pub(super) ebpf: Ebpf,
    /// Why the program for tracing is not loaded, if so; forwarding does without it.
    pub untraceable: Option<String>,
    /// Why the program for the flow log is not loaded, if so.
    pub unloggable: Option<String>,
    /// Why the program for probes through virtual addresses is not loaded, if so.
    pub unprobeable: Option<String>,
    /// Where the maps are pinned: `pin_dir/vN`, N being the ABI version, unless others are to give way.
    pub directory: PathBuf,
    /// Whether the maps were there before, or took the place of others.
    pub adopted: bool,
    /// Carries the program for probes to the agent's own interface, in this mode.
    pub(super) probing: Option<(OwnedFd, AttachMode)>,
    /// The pinned maps and the pinned program, so that they can be pinned again.
    held: Vec<(&'static str, OwnedFd)>,
}

impl LoadedObject {
    /// Loads the program with the maps of the version below `pin_dir`; see [`Self::load_at`].
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(pin_dir: &Path, capacity: Capacity) -> Result<Self, LoadError> {
        Self::load_at(pins::directory(pin_dir), capacity)
    }

    /// Loads the program. Maps that are pinned in the directory are adopted if they are of this version's shape; otherwise
    /// maps are made and pinned.
    ///
    /// # Errors
    /// See [`LoadError`]. Maps that were there before are unchanged then.
    pub fn load_at(directory: PathBuf, capacity: Capacity) -> Result<Self, LoadError> {
        if XDP_OBJECT.is_empty() {
            return Err(LoadError::NoObject);
        }
        fs::create_dir_all(&directory)
            .map_err(|error| LoadError::PinDirectory { path: directory.clone(), error })?;
        let _held = HeldSignals::now();
        let adopted = check_pins(&directory, capacity)?;
        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, directory.join(name));
            if let Some(entries) = capacity.entries(name) {
                loader.map_max_entries(name, entries);
            }
        }
        for name in [names::BACKEND_CENSUS, names::LISTENER_CENSUS] {
            loader.map_max_entries(name, capacity.entries(name).unwrap_or(1));
        }
        let mut ebpf = loader.load(XDP_OBJECT)?;
        program(&mut ebpf, Program::Plain).load()?;
        // Now, while the descriptors of all maps are open that it names.
        let traced = program(&mut ebpf, Program::Traced).load();
        let untraceable = traced.err().map(|error| error.to_string());
        let logged = program(&mut ebpf, Program::Logged).load();
        let unloggable = logged.err().map(|error| error.to_string());
        let probing = program(&mut ebpf, Program::Probing).load();
        let unprobeable = probing.err().map(|error| error.to_string());
        sweep_program(&mut ebpf).load()?;
        cut_program(&mut ebpf).load()?;
        pin_program(&directory, program(&mut ebpf, Program::Plain))?;
        let hold = |name: &&'static str| Some((*name, syscall::open(&directory.join(name)).ok()?));
        let held = names::MAPS.iter().chain([&pins::PROGRAM]).filter_map(hold).collect();
        Ok(Self {
            ebpf,
            untraceable,
            unloggable,
            unprobeable,
            directory,
            adopted,
            probing: None,
            held,
        })
    }

    /// Pins the maps again whose pins were removed; which.
    ///
    /// # Errors
    /// A pin cannot be made.
    pub fn pin_again(&self) -> Result<Vec<&'static str>, LoadError> {
        let at = |error| LoadError::PinDirectory { path: self.directory.clone(), error };
        if !pins::is_in_bpffs(&self.directory) {
            return Err(at(io::Error::other("there is no BPF file system any more")));
        }
        fs::create_dir_all(&self.directory).map_err(at)?;
        let mut again = Vec::new();
        for (name, map) in &self.held {
            let path = self.directory.join(name);
            if !path.exists() {
                syscall::pin(map.as_fd(), &path).map_err(at)?;
                again.push(*name);
            }
        }
        Ok(again)
    }

    /// The program's log, if it was built with the feature `trace`.
    pub fn logger(&mut self) -> Option<AsyncFd<EbpfLogger<&'static dyn log::Log>>> {
        self.ebpf.map("AYA_LOGS")?;
        let logger = EbpfLogger::init(&mut self.ebpf).ok()?;
        // SAFETY: the logger owns its ring buffer's descriptor and keeps it open for as long as it
        // lives, which is as long as the `AsyncFd` that owns it.
        unsafe { AsyncFd::register(logger) }.ok()
    }

    pub(super) fn program(&mut self, which: Program) -> &mut Xdp {
        program(&mut self.ebpf, which)
    }
}

/// The program that sweeps the flow tables.
pub(super) fn sweep_program(ebpf: &mut Ebpf) -> &mut RawTracePoint {
    raw_tracepoint(ebpf, names::SWEEP_PROGRAM)
}

/// The program that cuts a recorded connection.
pub(super) fn cut_program(ebpf: &mut Ebpf) -> &mut RawTracePoint {
    raw_tracepoint(ebpf, names::CUT_PROGRAM)
}

fn raw_tracepoint<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut RawTracePoint {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object has the program; the tests load it")
}

pub(super) fn program(ebpf: &mut Ebpf, which: Program) -> &mut Xdp {
    ebpf.program_mut(which.name())
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object has the program; the tests load it")
}

/// In place of an earlier agent's, which used the same maps; there always is one.
fn pin_program(directory: &Path, program: &Xdp) -> Result<(), LoadError> {
    let path = directory.join(pins::PROGRAM);
    let new = directory.join(format!("{}-new", pins::PROGRAM));
    // An agent that was killed may have left it.
    let _ = fs::remove_file(&new);
    let pinned = syscall::pin(program.fd()?.as_fd(), &new).and_then(|()| fs::rename(&new, &path));
    pinned.map_err(|error| LoadError::PinDirectory { path, error })
}

/// Whether maps are pinned in `directory`; an error if one of them is not what this version makes.
fn check_pins(directory: &Path, capacity: Capacity) -> Result<bool, LoadError> {
    let mut adopted = false;
    for name in names::MAPS {
        let path = directory.join(name);
        if !path.exists() {
            continue;
        }
        let info = MapData::from_pin(&path)?.info()?;
        let found = Shape::of(&info)?;
        let wanted = Shape::wanted(name, capacity);
        if found != wanted {
            let what = format!("it has {found}, not {wanted}");
            return Err(LoadError::Incompatible { path, what });
        }
        adopted = true;
    }
    Ok(adopted)
}

/// What makes two maps interchangeable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: MapType,
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) entries: u32,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, key, value, entries } = self;
        write!(f, "type {kind:?}, keys of {key} bytes, values of {value} bytes, {entries} entries")
    }
}

impl Shape {
    fn of(info: &MapInfo) -> Result<Self, LoadError> {
        Ok(Self {
            kind: info.map_type()?,
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
        })
    }

    /// The table of all maps. A test compares it with the maps that the object makes.
    pub(super) fn wanted(name: &str, capacity: Capacity) -> Self {
        use MapType::{Array, DevMapHash, Hash, LpmTrie, LruHash, PerCpuArray};
        use elb_common::client_hop::{CLIENT_DEFAULTS, CLIENT_ROUTE_WORDS};
        let (kind, key, value, default) = match name {
            names::SETTINGS => (Array, 4, 8, 1),
            names::LISTENERS_V4 => (Hash, 8, 40, 0),
            names::LISTENERS_V6 => (Hash, 24, 40, 0),
            names::VIP_BITS => (Array, 4, 8, elb_common::vip_bits::VIP_WORDS),
            names::VIPS_V4 => (Hash, 4, 8, limits::MAX_VIPS),
            names::VIPS_V6 => (Hash, 16, 8, limits::MAX_VIPS),
            names::PORT_RANGES => (LpmTrie, 12, 40, limits::MAX_PORT_RANGES),
            names::GROUPS_V4 => (LpmTrie, 12, 4, limits::MAX_GROUP_ENTRIES),
            names::GROUPS_V6 => (LpmTrie, 24, 4, limits::MAX_GROUP_ENTRIES),
            names::LISTENER_STATES => (Array, 4, 64, 0),
            names::LISTENER_POOLS => (Array, 4, 4, 0),
            names::RINGS | names::RINGS_SEEN => (Array, 4, 64, 0),
            names::POOLS => (Array, 4, 48, limits::MAX_POOLS),
            names::POOL_STATES => (Array, 4, 16, limits::MAX_POOLS),
            names::BACKENDS => (Array, 4, 64, 0),
            names::BACKEND_STATES => (Array, 4, 16, 0),
            names::BACKENDS_NAMED => (Array, 4, 4, 0),
            names::SERVER_IDS => (Hash, 16, 4, limits::MAX_SERVER_IDS),
            names::OPENINGS_V4 | names::FLOWS_V4 => (LruHash, 16, 16, 0),
            names::OPENINGS_V6 | names::FLOWS_V6 => (LruHash, 40, 16, 0),
            names::CLIENT_OPENINGS | names::CLIENTS => (LruHash, 24, 8, 0),
            names::FLOW_TABLES => (Array, 4, 24, 2),
            names::FRAGMENTS_V4 => (LruHash, 16, 16, limits::MAX_FRAGMENTS),
            names::FRAGMENTS_V6 => (LruHash, 40, 16, limits::MAX_FRAGMENTS),
            names::ERRORS_SENT => (PerCpuArray, 4, 8, 2),
            names::REPLIES_V4 => (Hash, 8, 40, 0),
            names::REPLIES_V6 => (Hash, 24, 40, 0),
            names::MEMBER_BITS => (Array, 4, 8, elb_common::vip_bits::VIP_WORDS),
            names::EXCEPTIONS_V4 => (LruHash, 16, 28, limits::MAX_EXCEPTIONS),
            names::EXCEPTIONS_V6 => (LruHash, 40, 28, limits::MAX_EXCEPTIONS),
            names::EXCEPTED => (Array, 4, 4, 0),
            names::CLIENT_DEFAULTS => (Array, 4, 20, CLIENT_DEFAULTS),
            names::CLIENT_ROUTES_V4 => (LpmTrie, 8, 20, limits::MAX_CLIENT_ROUTES),
            names::CLIENT_ROUTES_V6 => (LpmTrie, 20, 20, limits::MAX_CLIENT_ROUTES),
            names::CLIENT_ROUTE_BITS => (Array, 4, 8, CLIENT_ROUTE_WORDS),
            names::SNAT => (Array, 4, 16, 1),
            names::BINDINGS_V4 => (Array, 4, 128, 0),
            names::LISTENER_ENDPOINTS => (Array, 4, 20, 0),
            names::INTERFACES => (Hash, 4, 10, limits::MAX_INTERFACES),
            names::INTERFACE_MACS => (Array, 4, 12, limits::MAX_INTERFACES),
            names::MORE_MACS => (Hash, 16, 4, limits::MAX_MORE_MACS),
            names::DEVMAP => (DevMapHash, 4, 8, limits::MAX_INTERFACES),
            names::LISTENER_COUNTERS
            | names::BACKEND_COUNTERS
            | names::LISTENER_REPLIES
            | names::BACKEND_REPLIES
            | names::LISTENER_ANSWERS
            | names::BACKEND_ANSWERS => (PerCpuArray, 4, 16, 0),
            names::LISTENER_EVENTS => (PerCpuArray, 4, 128, 0),
            names::BACKEND_OPENED => (PerCpuArray, 4, 8, 0),
            names::REASON_COUNTERS => (PerCpuArray, 4, 16, elb_common::reason::REASONS),
            _ => unreachable!("a map that is not in names::MAPS"),
        };
        Self { kind, key, value, entries: capacity.entries(name).unwrap_or(default) }
    }
}
