//! The state of the agent and what each event does to it. No task, no timer: the event loop calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use elb_common::addr::Mac;
use elb_common::backend::backend_flags;
use elb_common::limits;
use elb_common::listener::{Listener, listener_flags, vip_flags};

use super::draining::{self, Drained};
use super::sweep::{Drifts, Swept, Tracking};
use crate::assign::Room;
use crate::census::Register;
use crate::config::{self, Config};
use crate::health::probe::{Outcome, ProbeSource, ProbeSpec};
use crate::health::schedule::Schedule;
use crate::health::{MemberHealth, Status, Timing};
use crate::kernel::{
    AttachError, Attachment, MapError, Maps, Object, Program, coarse_seconds, possible_cpus,
};
use crate::model::{Member, Model, Pool};
use crate::nexthop::{Network, NextHop};
use crate::publish::{Image, Store, plan};
use crate::reconcile::{EncapSource, Owners, Reconciler, Seen, socket};
use crate::saved::{self, Saved, Verdict};
use crate::time::{Now, Time};

/// What an agent starts with.
pub(super) struct Parts {
    pub config: Config,
    pub file: PathBuf,
    pub object: Object,
    pub maps: Maps,
    pub tracking: Arc<Tracking>,
    pub attachments: Vec<Attachment>,
    pub observed: Image,
    pub saved: Saved,
    pub owners: BTreeMap<String, Owners>,
    pub problems: Vec<String>,
    pub now: Now,
}

/// The agent's state.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) file: PathBuf,
    /// Keeps the program loaded while it is being attached to more interfaces.
    pub(super) object: Object,
    pub(super) maps: Maps,
    /// What packets note of flows, read beside everything else.
    pub(super) tracking: Arc<Tracking>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) reconciler: Reconciler,
    pub(super) network: Network,
    pub(super) members: Members,
    /// What the maps hold, as far as the agent wrote or read it.
    pub(super) observed: Image,
    /// Pools with slots that move, and how many.
    pub(super) moving: BTreeMap<String, u32>,
    /// Members that are drained by command.
    pub(super) drained: Drained,
    /// When flows of a member that leaves are to be cut next.
    next_cut: Option<u32>,
    /// Counts the changes of the numbers.
    revision: u64,
    /// How far the counts of connections are off; none while a sweep has it.
    drifts: Option<Drifts>,
    /// Whether counts of connections are left that the last sweep found.
    counts_left: bool,
    pub(super) started: SystemTime,
    pub(super) loaded: SystemTime,
    pub(super) config_problems: Vec<String>,
    pub(super) map_problems: Vec<String>,
}

/// The health of all members, each under a number for the schedule and for probes under way.
#[derive(Default)]
pub(super) struct Members {
    numbers: HashMap<(String, SocketAddr), u32>,
    sources: ProbeSource,
    monitored: HashMap<u32, Monitored>,
    schedule: Schedule<u32>,
    next: u32,
}

struct Monitored {
    pool: String,
    name: String,
    health: MemberHealth,
    probe: Option<ProbeSpec>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        let room = Room {
            listeners: parts.config.agent.max_listeners.get(),
            pools: limits::MAX_POOLS,
            backends: parts.config.agent.max_backends.get(),
            slots: parts.config.agent.ring_slots.get(),
            flows: parts.config.agent.max_flows.get(),
            cpus: possible_cpus(),
        };
        let encap_source = EncapSource {
            v4: parts.config.agent.encap_source,
            v6: parts.config.agent.encap_source_ipv6,
        };
        // Rings may be moving from before: the first look at them tells.
        let moving = parts.owners.keys().map(|pool| (pool.clone(), u32::MAX)).collect();
        let drained =
            parts.saved.drained.iter().flat_map(|(pool, members)| {
                members.iter().map(move |member| (pool.clone(), *member))
            });
        let drained = draining::still_there(&drained.collect(), &parts.config.model);
        let assignments = parts.saved.assignments.clone();
        let sources = ProbeSource {
            v4: parts.config.agent.probe_source,
            v6: parts.config.agent.probe_source_ipv6,
        };
        let mut core = Self {
            config: parts.config,
            file: parts.file,
            object: parts.object,
            maps: parts.maps,
            tracking: parts.tracking,
            attachments: parts.attachments,
            reconciler: Reconciler::new(assignments, parts.owners, room, encap_source),
            network: Network::default(),
            members: Members { sources, ..Members::default() },
            observed: parts.observed,
            moving,
            drained,
            next_cut: None,
            revision: 0,
            drifts: Some(Drifts::default()),
            counts_left: false,
            started: parts.now.wall,
            loaded: parts.now.wall,
            config_problems: parts.problems,
            map_problems: Vec::new(),
        };
        core.members.follow(&core.config.model, &parts.saved, parts.now);
        core
    }

    pub(super) fn socket(&self) -> &Path {
        &self.config.agent.socket
    }

    /// Lets all interfaces carry a program; the first that refuses is the error.
    pub(super) fn carry(&mut self, program: Program) -> Result<(), AttachError> {
        let carry = |attachment: &Attachment| attachment.carry(&mut self.object, program);
        self.attachments.iter().map(carry).fold(Ok(()), Result::and)
    }

    /// Addresses that routes are needed to.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        let removed = self.reconciler.assignments.pools.values().flat_map(|pool| &pool.members);
        let mut all = addresses(&self.config.model);
        all.extend(removed.map(|member| member.address));
        all
    }

    pub(super) fn network_changed(&mut self, network: Network) {
        self.network = network;
        self.publish();
    }

    /// When the next probe is due.
    pub(super) fn next_probe(&self) -> Option<Time> {
        self.members.schedule.next_deadline()
    }

    /// The probes to start now.
    pub(super) fn due_probes(&mut self, now: Now) -> Vec<(u32, ProbeSpec)> {
        self.members.due(now)
    }

    /// Takes the result of a probe in.
    pub(super) fn probed(&mut self, member: u32, outcome: Outcome, now: Now) {
        if self.members.probed(member, outcome, now) {
            self.publish();
            self.save();
        }
    }

    /// Reads the file again. It must be right throughout: otherwise everything stays as it is. True
    /// if it was taken over.
    pub(super) fn reload(&mut self, now: Now) -> bool {
        match config::load(&self.file) {
            Err(errors) => {
                self.config_problems = errors.iter().map(ToString::to_string).collect();
                for error in errors.iter() {
                    tracing::error!("{error}");
                }
                tracing::error!("the file is not taken over, serving goes on as before");
                false
            }
            Ok(config) => {
                self.config_problems.clear();
                if config.agent != self.config.agent {
                    let what =
                        "[agent] changed: restart the agent for that; the rest is taken over";
                    tracing::warn!("{what}");
                    self.config_problems.push(what.to_owned());
                }
                self.config.model = config.model;
                self.drained = draining::still_there(&self.drained, &self.config.model);
                self.loaded = now.wall;
                self.members.follow(&self.config.model, &Saved::default(), now);
                self.publish();
                self.save();
                tracing::info!("the configuration is taken over");
                true
            }
        }
    }

    /// Whether some slots have former owners.
    pub(super) fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Settles slots that nobody needs to be moving, and forgets what is over then.
    pub(super) fn settle(&mut self) {
        let mut forgotten = false;
        for name in self.moving.keys().cloned().collect::<Vec<_>>() {
            let Some(assigned) = self.reconciler.assignments.pools.get(&name) else {
                self.moving.remove(&name);
                continue;
            };
            let replaces = assigned.former.is_some();
            let moving = self.maps.settle(assigned.region(), assigned.idle_timeout, replaces);
            if moving == 0 {
                let is_scheduled = assigned.ring.shape.is_scheduled();
                self.moving.remove(&name);
                forgotten |= self.reconciler.settled(&name, |_| is_scheduled);
                tracing::debug!(pool = name, "all slots are settled");
            } else {
                self.moving.insert(name, moving);
            }
        }
        if forgotten {
            self.publish();
            self.save();
        }
    }

    /// How long it is until flows of a member that leaves are to be cut.
    pub(super) fn cut_in(&self) -> Option<Duration> {
        let seconds = self.next_cut?.saturating_sub(coarse_seconds());
        Some(Duration::from_secs(seconds.into()))
    }

    /// Cuts the flows whose time has come.
    pub(super) fn cut(&mut self) {
        self.publish();
    }

    /// Whether a member serves nothing any more, not even the flows it had.
    pub(super) fn is_cut(&self, id: u16) -> bool {
        let backend = self.observed.backends.get(&id);
        backend.is_none_or(|backend| backend.flags & backend_flags::ESTABLISHED == 0)
    }

    /// Who is who in the flow tables.
    pub(super) fn register(&self) -> Register {
        Register::new(&self.reconciler.assignments, &self.observed, coarse_seconds())
    }

    /// Whether the flow tables are to be swept: connections are counted, or were until now.
    pub(super) fn needs_sweep(&self) -> bool {
        let counts = |listener: &Listener| listener.flags & listener_flags::TRACKED != 0;
        let mut all = self.observed.listeners.values().chain(self.observed.ranges.values());
        self.counts_left || all.any(counts)
    }

    /// What a sweep needs, and the revision that it is of; none while another one is under way.
    pub(super) fn begin_sweep(&mut self) -> Option<(Register, Drifts, u64)> {
        Some((self.register(), self.drifts.take()?, self.revision))
    }

    /// Takes in what a sweep of a revision found: removed members without flows are forgotten.
    pub(super) fn swept(&mut self, swept: Swept, revision: u64) {
        let Swept { census, removed, counts_left, took, .. } = &swept;
        tracing::debug!(removed, ?took, "the flow tables are swept");
        self.counts_left = *counts_left;
        let scheduled = self.reconciler.assignments.pools.iter().filter(|(name, pool)| {
            pool.ring.shape.is_scheduled() && !self.moving.contains_key(*name)
        });
        let mut forgotten = false;
        // A member that was removed since may have got a flow that the sweep did not see.
        if revision == self.revision {
            for name in scheduled.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                forgotten |= self.reconciler.settled(&name, |id| census.flows(id) > 0);
            }
        }
        self.drifts = Some(swept.drifts);
        if forgotten {
            self.publish();
            self.save();
        }
    }

    /// Goes on after a sweep that failed.
    pub(super) fn sweep_failed(&mut self, error: &MapError) {
        tracing::warn!(%error, "cannot sweep the flow tables");
        self.drifts = Some(Drifts::default());
    }

    /// Virtual addresses to announce: interface, its Ethernet address, address.
    pub(super) fn announcements(&self) -> Vec<(u32, Mac, IpAddr)> {
        let announced =
            |(_, vip): &(&IpAddr, &elb_common::listener::Vip)| vip.flags & vip_flags::ANNOUNCE != 0;
        let vips: Vec<_> = self.observed.vips.iter().filter(announced).map(|(a, _)| *a).collect();
        let interfaces = self.observed.interfaces.iter();
        interfaces
            .flat_map(|(index, interface)| vips.iter().map(|vip| (*index, interface.mac, *vip)))
            .collect()
    }

    /// Brings the maps in step with everything known.
    pub(super) fn publish(&mut self) {
        if self.publish_once() {
            // What found no room may take the place of what went meanwhile.
            self.publish_once();
        }
    }

    /// True if something found no room, and something else made room.
    fn publish_once(&mut self) -> bool {
        let view = View {
            members: &self.members,
            network: &self.network,
            attachments: &self.attachments,
            drained: &self.drained,
        };
        let numbers = self.reconciler.assignments.clone();
        let desired = self.reconciler.reconcile(&self.config.model, &view);
        self.map_problems =
            desired.left_out.iter().map(|(object, full)| format!("{object}: {full}")).collect();
        for problem in &self.map_problems {
            tracing::error!("{problem}");
        }
        for (pool, diff) in &desired.moved {
            let (moved, minimum) = (diff.share() * 100.0, diff.minimum_share() * 100.0);
            tracing::info!(pool, "{moved:.2}% of the ring moves, at least {minimum:.2}% had to");
            self.moving.insert(pool.clone(), u32::MAX);
        }
        let again = !desired.left_out.is_empty() && !desired.freed.is_empty();
        // Before the maps know a number, the next agent must: it empties rings that nobody names.
        if self.reconciler.assignments != numbers {
            self.revision += 1;
            self.save();
        }
        self.next_cut = desired.next_cut;
        let commands = plan(&self.observed, &desired.image, desired.rings, desired.freed);
        for command in &commands {
            if let Err(error) = self.maps.execute(command) {
                tracing::error!(%error, "the maps are not as they should be");
                self.map_problems.push(error.to_string());
            }
        }
        self.observed = if self.map_problems.is_empty() {
            desired.image
        } else {
            self.maps.image().unwrap_or_default()
        };
        again
    }

    /// Writes down what the next agent needs.
    pub(super) fn save(&self) {
        let mut drained: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for (pool, member) in &self.drained {
            drained.entry(pool.clone()).or_default().push(*member);
        }
        let saved = Saved {
            generation: self.maps.generation,
            assignments: self.reconciler.assignments.clone(),
            drained,
            verdicts: self.members.verdicts(),
        };
        let path = saved::path(self.socket());
        if let Err(error) = saved::write(&path, &saved) {
            tracing::error!(file = %path.display(), %error, "cannot save the state");
        }
    }
}

/// Addresses of all members.
pub(super) fn addresses(model: &Model) -> BTreeSet<IpAddr> {
    model.pools().iter().flat_map(|pool| &pool.members).map(|member| member.address).collect()
}

/// Passes the program's log on, if it was built with one.
pub(super) fn trace(object: &mut Object) -> Option<tokio::task::JoinSet<()>> {
    object.logger().map(|mut logger| {
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        });
        task
    })
}

struct View<'a> {
    members: &'a Members,
    network: &'a Network,
    attachments: &'a [Attachment],
    drained: &'a Drained,
}

impl Seen for View<'_> {
    fn serves(&self, pool: &Pool, member: &Member) -> bool {
        let health = self.members.health(pool.name.as_str(), socket(member));
        health.is_some_and(MemberHealth::serves)
    }

    fn is_drained(&self, pool: &Pool, member: &Member) -> bool {
        !self.drained.is_empty()
            && self.drained.contains(&(pool.name.as_str().to_owned(), socket(member)))
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        self.network.next_hop(address).ok()
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        let indices = self.attachments.iter().map(|attachment| attachment.index);
        let mac = |index| Some((index, self.network.links.get(&index)?.mac?));
        indices.filter_map(mac).collect()
    }

    fn now(&self) -> u32 {
        coarse_seconds()
    }
}

impl Members {
    pub(super) fn health(&self, pool: &str, member: SocketAddr) -> Option<&MemberHealth> {
        let number = self.numbers.get(&(pool.to_owned(), member))?;
        self.monitored.get(number).map(|monitored| &monitored.health)
    }

    /// Follows a model: members that stay keep their health, unless what is probed changed.
    fn follow(&mut self, model: &Model, saved: &Saved, now: Now) {
        let mut present = BTreeSet::new();
        for pool in model.pools() {
            let timing = Timing::of(pool.healthmonitor.as_ref());
            let verdicts = saved.verdicts.get(pool.name.as_str());
            for member in &pool.members {
                let probe = ProbeSpec::new(model, pool, member, self.sources);
                let key = (pool.name.as_str().to_owned(), socket(member));
                let verdict = || verdicts?.iter().find(|verdict| verdict.member == socket(member));
                let number = self.member(key, member, timing, probe, verdict(), now);
                present.insert(number);
            }
        }
        self.numbers.retain(|_, number| present.contains(number));
        self.monitored.retain(|number, _| present.contains(number));
        let numbers: Vec<u32> = (0..self.next).filter(|n| !present.contains(n)).collect();
        numbers.into_iter().for_each(|number| self.schedule.set(number, None));
    }

    fn member(
        &mut self,
        key: (String, SocketAddr),
        member: &Member,
        timing: Option<Timing>,
        probe: Option<ProbeSpec>,
        verdict: Option<&Verdict>,
        now: Now,
    ) -> u32 {
        let name = member.name.as_str().to_owned();
        let pool = key.0.clone();
        if let Some(number) = self.numbers.get(&key) {
            let known = self.monitored.get_mut(number).expect("every number has a member");
            if known.probe != probe || known.health.timing() != timing {
                known.health.reconfigure(timing, now);
                known.probe = probe;
            }
            known.name = name;
            self.schedule.set(*number, known.health.next_probe());
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let random = RandomState::new().hash_one(number);
        let health = match verdict {
            Some(verdict) => {
                let (status, since) = (verdict.status(), verdict.since);
                MemberHealth::restore(status, since, None, timing, now, random)
            }
            None => MemberHealth::new(timing, now, random),
        };
        self.schedule.set(number, health.next_probe());
        self.numbers.insert(key, number);
        self.monitored.insert(number, Monitored { pool, name, health, probe });
        number
    }

    fn due(&mut self, now: Now) -> Vec<(u32, ProbeSpec)> {
        let mut probes = Vec::new();
        for number in self.schedule.due(now.time) {
            let Some(member) = self.monitored.get_mut(&number) else { continue };
            match &member.probe {
                Some(probe) if member.health.start(now) => probes.push((number, probe.clone())),
                _ => self.schedule.set(number, member.health.next_probe()),
            }
        }
        probes
    }

    /// True if the member's status changed.
    fn probed(&mut self, number: u32, outcome: Outcome, now: Now) -> bool {
        let Some(member) = self.monitored.get_mut(&number) else { return false };
        let change = member.health.finish(now, outcome.result);
        self.schedule.set(number, member.health.next_probe());
        if let Some(change) = change {
            let (pool, name, from, to) = (&member.pool, &member.name, change.from, change.to);
            match (to, member.health.reason()) {
                (Status::Offline, Some(reason)) => {
                    tracing::warn!(pool, member = name, %from, %to, %reason, "a member changed");
                }
                _ => tracing::info!(pool, member = name, %from, %to, "a member changed"),
            }
        }
        change.is_some()
    }

    fn verdicts(&self) -> BTreeMap<String, Vec<Verdict>> {
        let mut verdicts: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
        for ((pool, member), number) in &self.numbers {
            let health = &self.monitored[number].health;
            let online = match health.status() {
                Status::Online => true,
                Status::Offline => false,
                Status::Initial | Status::NoMonitor => continue,
            };
            let verdict = Verdict { member: *member, online, since: health.since() };
            verdicts.entry(pool.clone()).or_default().push(verdict);
        }
        verdicts.values_mut().for_each(|list| list.sort_by_key(|verdict| verdict.member));
        verdicts
    }
}
