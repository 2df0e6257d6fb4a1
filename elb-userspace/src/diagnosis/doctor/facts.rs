//! What the kernel says about this host. `None` is what it did not say, or not to this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::control::network::Network;
use crate::diagnosis::instrument::Fault;

/// Everything that is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The host's name.
    pub name: String,
    /// The kernel.
    pub kernel: Kernel,
    /// The capabilities of this process, a bit for each.
    pub capabilities: Option<u64>,
    /// The file system of the pins.
    pub bpffs: Bpffs,
    /// Whether the kernel takes its clock for synchronised.
    pub synchronised: Option<bool>,
    /// Whether the host forwards IPv4 and IPv6.
    pub forwarding: [bool; 2],
    /// Processors that run.
    pub cpus: usize,
    /// Interfaces by name.
    pub interfaces: BTreeMap<String, InterfaceFacts>,
    /// `net.ipv4.conf.all.rp_filter`.
    pub rp_filter_all: Option<u8>,
    /// What an agent left or keeps here.
    pub kept: KeptFacts,
    /// What only one agent may use, with the process that has it, while no agent answers.
    pub holders: Vec<String>,
    /// Why that process does not answer, where it can be seen.
    pub silence: Option<Silence>,
    /// Virtual addresses that are this host's own.
    pub own_vips: Vec<OwnVip>,
    /// Source addresses that are, each with the interface that has it.
    pub own_sources: Vec<(IpAddr, String)>,
    /// Where the agent keeps what the next one needs; none: it is not known where.
    pub state_dir: Option<StateDir>,
    /// Routes to virtual addresses and members.
    pub network: Network,
    /// What is wrong with probes of members; none where no agent has set them up.
    pub probes: Option<Vec<Fault>>,
}

/// Why an agent that runs does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// There is no such socket file.
    NoSocket(PathBuf),
    /// A signal stopped this process.
    Stopped(u32),
    /// It can open no more files.
    NoFile {
        /// The process.
        pid: u32,
        /// How many it has open.
        open: u64,
        /// How many it may.
        limit: u64,
    },
}

/// A virtual address that is this host's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnVip {
    /// The load balancer.
    pub balancer: String,
    /// The address.
    pub vip: IpAddr,
    /// The interface that has it.
    pub interface: String,
    /// What listeners take there from the host; none: nothing that is known.
    pub taken: Option<String>,
    /// Whether the configuration allows that.
    pub is_allowed: bool,
    /// Whether answers of members are translated to it.
    pub is_translated: bool,
}

/// The state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    /// Its path.
    pub path: PathBuf,
    /// What there is of it.
    pub room: DirectoryRoom,
}

/// What there is of a directory to be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryRoom {
    /// So many bytes are free, and whether files can be made.
    Free {
        /// For a process without privileges.
        bytes: u64,
        /// Whether another file finds an inode.
        files: bool,
    },
    /// Its file system is read-only.
    ReadOnly,
    /// This process may not look.
    Unknown(String),
}

/// What an agent left or keeps here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFacts {
    /// Whether an agent answers.
    pub agent: bool,
    /// Whether maps are pinned.
    pub pins: bool,
    /// What the agent says is missing, and why.
    pub missing: Vec<(String, String)>,
    /// What is missing of the path of health probes; `None`: nothing, or this process may not look.
    pub probe_path: Option<String>,
}

/// The kernel, and what it said to the forwarding program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// What came of loading the program.
    pub program: Trial,
    /// `net.core.bpf_jit_enable`; of the first network namespace only.
    pub jit: Option<u8>,
    /// Whether it describes its types.
    pub btf: bool,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It worked.
    Accepted,
    /// This process may not.
    NotAllowed,
    /// Why it did not work.
    Refused(String),
}

/// Where pins are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bpffs {
    /// In a BPF file system that this process may write to.
    Writable,
    /// In a BPF file system that it may not write to.
    ReadOnly,
    /// Elsewhere.
    Missing,
    /// This process may not look.
    Unknown(String),
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its number.
    pub index: u32,
    /// Whether it is set up.
    pub up: bool,
    /// Whether something is at the other end.
    pub carrier: bool,
    /// Driver, or kind of virtual device.
    pub driver: Option<String>,
    /// The XDP program that it carries.
    pub attached: Option<AttachedProgram>,
    /// What of XDP the driver says it can: bits of `NETDEV_A_DEV_XDP_FEATURES`, Linux 6.3.
    pub xdp_features: Option<u64>,
    /// The other end, of a veth.
    pub peer: Option<Peer>,
    /// Offloads that are on, as `ethtool -k` names them inside the kernel.
    pub offloads: Option<BTreeSet<String>>,
    /// Receive queues.
    pub queues: Option<Queues>,
    /// The receive queue in each entry of its RSS indirection table; empty where it has none.
    pub rss: Vec<u32>,
    /// The processors that each interrupt of its device goes to.
    pub interrupts: BTreeMap<u32, BTreeSet<u32>>,
    /// Whether VLAN interfaces are on top of it.
    pub vlans: bool,
    /// Its own `rp_filter`.
    pub rp_filter: Option<u8>,
    /// Whether IPv6 is switched off on it.
    pub ipv6_off: bool,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Its number.
    pub program: u32,
    /// Its name.
    pub name: Option<String>,
    /// Whether an agent of this configuration attached it.
    pub ours: bool,
    /// Whether the driver runs it.
    pub native: bool,
    /// The link that holds it.
    pub link: Option<u32>,
}

/// The other end of a veth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Whether it carries an XDP program in its driver.
    pub xdp: bool,
    /// Its offloads that are on, where they can be seen.
    pub offloads: Option<BTreeSet<String>>,
}

/// Receive queues of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// In use.
    pub now: u32,
    /// The most that the device has.
    pub most: u32,
    /// Whether each sends, too.
    pub combined: bool,
}
