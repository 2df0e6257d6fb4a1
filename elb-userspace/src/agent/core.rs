//! The state of the agent and what each event does to it. No task, no timer: the event loop calls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use elb_common::addr::Mac;
use elb_common::limits;
use elb_common::listener::vip_flags;
use elb_common::ring::CHUNK;

use super::descriptors;
use super::owning::Owned;
use super::state::arrivals::Arrivals;
use super::state::bound::Bound;
use super::state::drained::Drained;
use super::state::events::Events;
use super::state::flow_log::FlowLogging;
use super::state::holders::Holders;
use super::state::instrument::Looked;
use super::state::keeping::Keeping;
use super::state::members::{DueProbe, Members};
use super::state::metering::Metering;
use super::state::quiet::Quiet;
use super::state::sources::Sources;
use super::state::sweep::Tracking;
use super::state::vip_probes::VipProbes;
use super::state::watched::Watched;
use super::state::webhooks::Webhooks;
use super::state::{Drains, Faults, Journal, LoadedFile, OnHost, OwnAddresses, Probes, Serving};
use crate::agent::saved::{self, Folder, Numbers, boot_id};
use crate::api::shape::events::AgentEvent;
use crate::control::assign::IdSpace;
use crate::control::network::{Network, Route, WantedAddresses};
use crate::control::plan::Image;
use crate::control::reconcile::{EncapSource, Owners, Reconciler, Renamed};
use crate::health::probe::{ProbeOutcome, ProbeSource};
use crate::health::{Lateness, Timing};
use crate::kernel::bpf::{
    AttachError, Attachment, Capacity, LoadedObject, Maps, Program, coarse_seconds,
};
use crate::model::time::{Now, Time};
use crate::model::{LoadBalancer, Model, Pool, ResourceId, SourceAddresses};
use crate::source::file::Config;

/// What an agent starts with.
pub(super) struct Parts {
    pub config: Config,
    pub file: PathBuf,
    pub text: String,
    pub object: LoadedObject,
    pub maps: Maps,
    pub flow_log: FlowLogging,
    pub vip_probes: VipProbes,
    pub tracking: Arc<Tracking>,
    pub attachments: Vec<Attachment>,
    pub keeping: Keeping,
    pub observed: Image,
    pub numbers: Numbers,
    pub drained: Drained,
    pub written_drained: saved::Drained,
    pub health: saved::SavedHealth,
    pub folder: Folder,
    /// Probes that may be under way at once.
    pub most_probes: usize,
    pub owners: BTreeMap<ResourceId, Owners>,
    pub problems: Vec<String>,
    pub now: Now,
}

/// The agent's state, in parts.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) file: LoadedFile,
    /// Where the agent keeps what the next one needs.
    pub(super) folder: Folder,
    pub(super) started: SystemTime,
    pub(super) network: Network,
    pub(super) serving: Serving,
    pub(super) probes: Probes,
    pub(super) drains: Drains,
    pub(super) host: OnHost,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    pub(super) metering: Metering,
    pub(super) flow_log: FlowLogging,
}

impl Core {
    #[expect(clippy::too_many_lines, reason = "one line for each part of the state")]
    pub(super) fn new(mut parts: Parts) -> Self {
        let room = room(parts.maps.capacity);
        let encap_source = EncapSource {
            v4: parts.config.agent.encap_source,
            v6: parts.config.agent.encap_source_ipv6,
        };
        // Rings may be moving from before: the first look at them shows it.
        let moving = parts.owners.keys().map(|pool| (*pool, u32::MAX)).collect();
        let assignments = parts.numbers.assignments;
        let sources = ProbeSource {
            v4: parts.config.agent.probe_source,
            v6: parts.config.agent.probe_source_ipv6,
        };
        let mut reconciler = Reconciler::new(assignments, parts.owners, room, encap_source);
        reconciler.remember_replies(&parts.observed.replies, coarse_seconds());
        reconciler.remember_source_addresses(parts.observed.snat);
        let mut core = Self {
            config: parts.config,
            file: LoadedFile {
                problems: parts.problems,
                ..LoadedFile::new(parts.file, parts.text, parts.now)
            },
            folder: parts.folder,
            started: parts.now.wall,
            network: Network::default(),
            serving: Serving {
                reconciler,
                maps: parts.maps,
                observed: parts.observed,
                tracking: parts.tracking,
                moving,
                next_publish: None,
                first_rings_wait: false,
                fallbacks: BTreeMap::new(),
                reserves: BTreeMap::new(),
                rising: None,
                saved: None,
                revision: 0,
                census: None,
                left_out: Vec::new(),
            },
            probes: Probes {
                members: Members::probing_from(sources),
                vip: parts.vip_probes,
                looked: Looked::default(),
                under_way: 0,
                most: parts.most_probes,
                lateness: Lateness::default(),
            },
            drains: Drains {
                drained: parts.drained,
                written: parts.written_drained,
                quiet: Quiet::default(),
            },
            host: OnHost {
                object: parts.object,
                attachments: parts.attachments,
                keeping: parts.keeping,
                owned: Owned::default(),
                socket: None,
                own_addresses: OwnAddresses::default(),
                unserved: Vec::new(),
                ipv6_off: None,
                sources: Sources::default(),
                holders: Holders::default(),
            },
            journal: Journal {
                events: Events::new(std::mem::take(&mut parts.health.events)),
                bound: Bound::new(std::mem::take(&mut parts.health.bound_load_balancers)),
                webhooks: Webhooks::default(),
                arrivals: Arrivals::default(),
                out_of_service: BTreeMap::new(),
            },
            faults: Faults::default(),
            metering: Metering::default(),
            flow_log: parts.flow_log,
        };
        let model = core.config.model.clone();
        core.keep_drained();
        core.probes.members.follow(&model, &mut parts.health, parts.now);
        core.probes.members.assigned(&core.serving.reconciler.assignments.pools);
        core.journal.bound.follow(&core.config.model);
        core
    }

    pub(super) fn socket(&self) -> &Path {
        &self.config.agent.socket
    }

    /// Lets all interfaces carry a program; the first that refuses is the error.
    pub(super) fn carry(&mut self, program: Program) -> Result<(), AttachError> {
        self.host.keeping.program = program;
        self.host.keeping.changed();
        let carry = |attachment: &Attachment| attachment.carry(&mut self.host.object, program);
        self.host.attachments.iter().map(carry).fold(Ok(()), Result::and)
    }

    /// Addresses that routes are needed to.
    pub(super) fn addresses(&self) -> WantedAddresses {
        let removed =
            self.serving.reconciler.assignments.pools.values().flat_map(|pool| &pool.members);
        let mut all = addresses(&self.config.model);
        all.extend(removed.map(|member| member.address));
        let balancers = self.config.model.load_balancers();
        WantedAddresses {
            members: all,
            vips: balancers
                .iter()
                .flat_map(LoadBalancer::vips)
                .chain(source_addresses(&self.config.model))
                .collect(),
            clients: self.wanted_clients(self.translates()),
        }
    }

    /// Addresses of members whose pools do not wait for verdicts: they have a ring, or no monitor.
    pub(super) fn serving_at_once(&self) -> BTreeSet<IpAddr> {
        let assigned = &self.serving.reconciler.assignments.pools;
        let has_ring = |pool: &Pool| assigned.get(&pool.id).is_some_and(|pool| !pool.is_fresh);
        let serves =
            |pool: &&Pool| has_ring(pool) || Timing::of(pool.healthmonitor.as_ref()).is_none();
        let present =
            self.config.model.pools().iter().filter(serves).flat_map(|pool| &pool.members);
        let removed = assigned.values().flat_map(|pool| &pool.members);
        present
            .map(|member| member.address)
            .chain(removed.filter(|member| member.removed).map(|member| member.address))
            .collect()
    }

    /// When the next probe is due; none while no more may be under way.
    pub(super) fn next_probe(&self) -> Option<Time> {
        self.probes.members.next_probe().filter(|_| self.probes.under_way < self.probes.most)
    }

    /// The probes to start now. Each is to be handed back to [`Self::probed`].
    pub(super) fn due_probes(&mut self, now: Now) -> Vec<DueProbe> {
        self.probes.most = descriptors::most_probes_now();
        let free = self.probes.most.saturating_sub(self.probes.under_way);
        let mut due = self.probes.members.due(now, free);
        self.probes.under_way += due.len();
        for probe in &mut due {
            let watched = self.probes.members.watched(probe.member);
            probe.routes =
                watched.map_or_else(Vec::new, |one| self.routes_in_turn(one, &probe.spec));
        }
        due
    }

    /// Takes in the result of a probe that started so late. The maps are as they were until
    /// [`Self::publish`], and nothing is written down until [`Self::health`] is.
    pub(super) fn probed(
        &mut self,
        member: u32,
        late: Duration,
        outcome: ProbeOutcome,
        now: Now,
    ) -> ToDo {
        self.probes.under_way -= 1;
        self.probes.lateness.note(late);
        let begun = self.probes.looked.begun();
        self.probes.members.judging.proving.looked(begun);
        let proved = self.proved(member, &outcome);
        self.probes.members.prove(member, proved);
        let before = self.probes.members.watched(member).map_or(0, Watched::probes);
        let effect = self.probes.members.probed(member, outcome, now);
        if let Some(watched) = self.probes.members.watched(member) {
            self.metering.probed(watched, before);
        }
        if let Some(event) = effect.event {
            self.happened(AgentEvent::Member(event), now.time);
        }
        ToDo { publish: effect.standing_changed, save: effect.is_news }
    }

    /// A probe came to no result.
    pub(super) fn probe_abandoned(&mut self, member: u32, now: Now) {
        self.probes.under_way -= 1;
        self.probes.members.abandoned(member, now);
    }

    /// What is known by a pool's id goes with the pool to the id that it has now.
    pub(super) fn follow_names(&mut self, model: &Model) -> Vec<Renamed> {
        let renamed = self.serving.reconciler.follow_names(model);
        for one in &renamed {
            tracing::info!(from = %one.from, to = %one.to, "the pool got another id");
            one.apply(&mut self.serving.moving);
            self.journal.arrivals.renamed(one);
        }
        self.probes.members.rename(&renamed);
        renamed
    }

    /// Virtual addresses to announce: interface, its Ethernet address, address.
    pub(super) fn announcements(&self) -> Vec<(u32, Mac, IpAddr)> {
        let announced =
            |(_, vip): &(&IpAddr, &elb_common::listener::Vip)| vip.flags & vip_flags::ANNOUNCE != 0;
        let vips: Vec<_> =
            self.serving.observed.vips.iter().filter(announced).map(|(a, _)| *a).collect();
        let interfaces = self.serving.observed.interfaces.iter().filter(|(_, one)| !one.is_quiet());
        interfaces
            .flat_map(|(index, interface)| vips.iter().map(|vip| (*index, interface.mac, *vip)))
            .collect()
    }

    /// The host's own addresses towards members: interface, its Ethernet address, address. Where that has
    /// changed, members' answers to probes would go astray for long.
    pub(super) fn own_addresses(&self) -> BTreeSet<(u32, IpAddr)> {
        let own = self.network.routes.values().filter_map(|route| match route {
            Route::Via { ifindex, source, .. } => Some((*ifindex, (*source)?)),
            Route::Local | Route::None => None,
        });
        own.collect()
    }

    /// What the next agent is to know of the members' health.
    pub(super) fn health(&self) -> saved::SavedHealth {
        saved::SavedHealth {
            boot: boot_id().to_owned(),
            pools: self.probes.members.saved(),
            bound_load_balancers: self.journal.bound.ids().clone(),
            events: self.journal.events.past().cloned().collect(),
        }
    }
}

/// What maps of these sizes have room for.
pub(super) fn room(capacity: Capacity) -> IdSpace {
    IdSpace {
        listeners: capacity.listeners,
        pools: limits::MAX_POOLS,
        backends: capacity.backends,
        slots: capacity.chunks.saturating_mul(CHUNK),
    }
}

/// Source addresses of pools with `fullnat`.
pub(super) fn source_addresses(model: &Model) -> impl Iterator<Item = IpAddr> + use<> {
    model.source_addresses().into_iter().flat_map(SourceAddresses::all).map(IpAddr::V4)
}

/// Addresses of all members.
pub(super) fn addresses(model: &Model) -> BTreeSet<IpAddr> {
    model.pools().iter().flat_map(|pool| &pool.members).map(|member| member.address).collect()
}

/// What the result of a probe makes necessary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ToDo {
    /// Bring the maps in step.
    pub publish: bool,
    /// Write down what is known of the members' health, soon.
    pub save: bool,
}
