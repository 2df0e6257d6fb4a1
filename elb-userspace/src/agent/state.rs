//! The parts of the agent's state: each belongs to one thing that it does. Nothing here knows `Core`; what
//! events do to it is in the files next to `core`.

pub(super) mod arrivals;
pub(super) mod bound;
pub(super) mod drained;
pub(super) mod events;
pub(super) mod flow_log;
pub(super) mod flows_wanted;
pub(super) mod holders;
pub(super) mod instrument;
pub(super) mod judging;
pub(super) mod keeping;
pub(super) mod members;
pub(super) mod metering;
pub(super) mod prepared;
pub(super) mod proving;
pub(super) mod quiet;
pub(super) mod repeated;
pub(super) mod sources;
pub(super) mod stored;
pub(super) mod stuck;
pub(super) mod sweep;
pub(super) mod trouble;
pub(super) mod vip_probes;
pub(super) mod watched;
pub(super) mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use self::arrivals::Arrivals;
use self::bound::Bound;
use self::drained::Drained;
use self::events::Events;
use self::holders::Holders;
use self::instrument::Looked;
use self::keeping::Keeping;
use self::members::Members;
use self::prepared::Prepared;
use self::quiet::Quiet;
use self::sources::Sources;
use self::stored::StoredSource;
use self::stuck::Followed;
use self::sweep::Tracking;
use self::trouble::Trouble;
use self::vip_probes::VipProbes;
use self::webhooks::Webhooks;
use super::containment::Panics;
use super::owning::Owned;
use crate::agent::saved;
use crate::api::socket::ApiSocket;
use crate::control::census::Census;
use crate::control::network::UnservedWay;
use crate::control::plan::Image;
use crate::control::reconcile::{Fallback, Reconciler, Reserve};
use crate::health::Lateness;
use crate::kernel::bpf::{Attachment, LoadedObject, Maps};
use crate::model::ResourceId;
use crate::model::time::Now;

/// The configuration file, as it was read last.
pub(super) struct LoadedFile {
    pub(super) path: PathBuf,
    /// Its text, if all of it was right.
    pub(super) text: String,
    /// Whether it is written down, is on the way there, or was not right.
    pub(super) is_kept: bool,
    /// When the configuration that is served was read.
    pub(super) loaded: Now,
    /// Rises by one with each other text that is taken over, also across restarts; by more after a kill, where what a
    /// store changed was not written down yet.
    pub(super) generation: u64,
    /// When all of it was in force, if it is.
    pub(super) published: Option<SystemTime>,
    pub(super) problems: Vec<String>,
    /// Whether the file, or a part of it, is not what is served.
    pub(super) is_wrong: bool,
    /// Where load balancers come from, if not from the file.
    pub(super) stored: Option<StoredSource>,
    /// As it was read for a reload that is prepared.
    pub(super) prepared: Option<Prepared>,
}

impl LoadedFile {
    /// A file with this text, of which nothing else is known.
    pub(super) const fn new(path: PathBuf, text: String, loaded: Now) -> Self {
        Self {
            path,
            text,
            is_kept: true,
            loaded,
            generation: 0,
            published: None,
            problems: Vec::new(),
            is_wrong: false,
            stored: None,
            prepared: None,
        }
    }
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
    /// cut, the first ring of a pool waits no more, or a member rises further.
    pub(super) next_publish: Option<u32>,
    /// Whether a pool's first ring waits for its members.
    pub(super) first_rings_wait: bool,
    /// How the pool stands that takes over each listener that has one.
    pub(super) fallbacks: BTreeMap<ResourceId, Fallback>,
    /// How the backup members of each pool stand that has any, and since when.
    pub(super) reserves: BTreeMap<ResourceId, ReserveSince>,
    /// Members that rise to their shares; none: the maps were not written yet.
    pub(super) rising: Option<BTreeSet<(ResourceId, SocketAddr)>>,
    /// The numbers as they were written down last, if nothing failed since.
    pub(super) saved: Option<saved::Numbers>,
    /// Counts the changes of the numbers.
    pub(super) revision: u64,
    /// What the last sweep of the flow tables found.
    pub(super) census: Option<Census>,
    /// What found no room in the maps.
    pub(super) left_out: Vec<String>,
}

/// How the backup members of a pool stand.
#[derive(Clone, Copy)]
pub(super) struct ReserveSince {
    pub(super) reserve: Reserve,
    /// Since when they are needed, or not.
    pub(super) since: Now,
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
    /// That IPv6 is switched off where members need it, and what switches it on.
    pub(super) ipv6_off: Option<(String, String)>,
    /// Where packets in tunnels come from.
    pub(super) sources: Sources,
    /// Others that answer for the virtual addresses.
    pub(super) holders: Holders,
}

/// What is said of virtual addresses that are this host's own.
#[derive(Default)]
pub(super) struct OwnAddresses {
    pub(super) found: BTreeSet<IpAddr>,
    pub(super) problems: Vec<String>,
}

/// What happened.
pub(super) struct Journal {
    pub(super) events: Events,
    /// Where events are sent as well.
    pub(super) webhooks: Webhooks,
    /// Load balancers that have or had an address.
    pub(super) bound: Bound,
    /// New connections of the last minute.
    pub(super) arrivals: Arrivals,
    /// Served pools of which no member takes new connections, with their names.
    pub(super) out_of_service: BTreeMap<ResourceId, String>,
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
