//! The parts of the agent's state: each belongs to one thing that it does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::arrivals::Arrivals;
use super::bound::Bound;
use super::containment::Panics;
use super::drained::Drained;
use super::events::Events;
use super::holders::Holders;
use super::instrument::Looked;
use super::keeping::Keeping;
use super::members::Members;
use super::own_address::OwnAddresses;
use super::owning::Owned;
use super::quiet::Quiet;
use super::sources::Sources;
use super::stuck::Followed;
use super::sweep::Tracking;
use super::trouble::Trouble;
use super::vip_probes::VipProbes;
use crate::agent::saved;
use crate::api::socket::ApiSocket;
use crate::control::census::Census;
use crate::control::network::UnservedWay;
use crate::control::plan::Image;
use crate::control::reconcile::Reconciler;
use crate::health::Lateness;
use crate::kernel::bpf::{Attachment, LoadedObject, Maps};
use crate::model::ResourceId;
use crate::model::time::Now;

/// The configuration file, as it was read last.
pub(super) struct LoadedFile {
    pub(super) path: PathBuf,
    /// Its text, if all of it was right.
    pub(super) text: String,
    /// When the configuration that is served was read.
    pub(super) loaded: Now,
    pub(super) problems: Vec<String>,
    /// Whether the file, or a part of it, is not what is served.
    pub(super) is_wrong: bool,
}

/// What the maps are to hold, and what they hold.
pub(super) struct Serving {
    pub(super) reconciler: Reconciler,
    pub(super) maps: Maps,
    /// What the maps hold, by what the agent wrote or read.
    pub(super) observed: Image,
    /// What packets note of flows, read next to everything else.
    pub(super) tracking: Arc<Tracking>,
    /// Pools with slots that are not settled, and how many.
    pub(super) moving: BTreeMap<ResourceId, u32>,
    /// When to publish again although nothing else happens: flows of a member that leaves are to be
    /// cut, or the first ring of a pool waits no more.
    pub(super) next_publish: Option<u32>,
    /// Whether a pool's first ring waits for its members.
    pub(super) first_rings_wait: bool,
    /// Counts the changes of the numbers.
    pub(super) revision: u64,
    /// What the last sweep of the flow tables found.
    pub(super) census: Option<Census>,
    /// What found no room in the maps.
    pub(super) left_out: Vec<String>,
}

/// Members, and the probes of them.
pub(super) struct Probes {
    pub(super) members: Members,
    /// What this host offers probes of virtual addresses.
    pub(super) vip: VipProbes,
    /// What was found to be wrong with probes on this host, while they give reason to look.
    pub(super) looked: Looked,
    /// How many are under way.
    pub(super) under_way: usize,
    /// How many may be at once.
    pub(super) most: usize,
    pub(super) lateness: Lateness,
}

/// Members that are drained by command.
pub(super) struct Drains {
    pub(super) drained: Drained,
    /// As last written down.
    pub(super) written: saved::Drained,
    /// Since when no packet went to each member.
    pub(super) quiet: Quiet,
}

/// What is elb's on this host.
pub(super) struct OnHost {
    /// Keeps the program loaded while it is being attached to more interfaces.
    pub(super) object: LoadedObject,
    pub(super) attachments: Vec<Attachment>,
    /// What is kept in the host.
    pub(super) keeping: Keeping,
    /// What this agent alone may use.
    pub(super) owned: Owned,
    /// Where the command line asks; none: not bound yet.
    pub(super) socket: Option<ApiSocket>,
    pub(super) own_addresses: OwnAddresses,
    /// Interfaces without the program that members are reached by.
    pub(super) unserved: Vec<UnservedWay>,
    /// Where packets in tunnels come from.
    pub(super) sources: Sources,
    /// Others that answer for the virtual addresses.
    pub(super) holders: Holders,
}

/// What happened.
pub(super) struct Journal {
    pub(super) events: Events,
    /// Load balancers that have or had an address.
    pub(super) bound: Bound,
    /// New connections of the last minute.
    pub(super) arrivals: Arrivals,
}

/// What the agent itself cannot do.
#[derive(Default)]
pub(super) struct Faults {
    /// What could not be written.
    pub(super) trouble: Trouble,
    /// Tasks that panicked.
    pub(super) panics: Panics,
    /// Why lasting tasks do not run at present, by task.
    pub(super) idle_tasks: BTreeMap<&'static str, String>,
    /// Whether packets follow the openings of connections.
    pub(super) followed: Followed,
}
