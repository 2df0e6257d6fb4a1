//! Bringing the maps in step with what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use elb_common::addr::Mac;

use super::clock::now;
use super::core::Core;
use super::state::drained::Drained;
use super::state::members::Members;
use super::state::trouble::Written;
use crate::control::assign::Full;
use crate::control::network::client_hops::ClientHops;
use crate::control::network::{Network, NextHop, Unreachable};
use crate::control::plan::{Command, Halves, MapStore as _, halves};
use crate::control::reconcile::{Desired, ReconcileInput, Reconciler};
use crate::health::MemberHealth;
use crate::kernel::bpf::{Attachment, MapError, coarse_seconds};
use crate::kernel::host::found::HostState;
use crate::model::{Member, Pool};
use crate::source::file::AttachMode;

/// What is seen of the world, while everything else in the core may change.
macro_rules! view_of {
    ($core:expr) => {
        View {
            members: &$core.probes.members,
            network: &$core.network,
            attachments: &$core.host.attachments,
            host: &$core.host.keeping.found,
            quiet: &$core.host.keeping.quiet,
            mode: $core.config.agent.attach_mode,
            drained: &$core.drains.drained,
            clients: $core.client_hops(),
        }
    };
}

impl Core {
    /// Brings the maps in step with everything known.
    pub(super) fn publish(&mut self) {
        if self.network.links.is_empty() {
            // No interface is known, not even that of the loopback: what is in the maps is better.
            self.probes.members.tell();
            return;
        }
        let begun = now().time;
        self.look_for_unserved_ways();
        self.look_for_ipv6_off();
        self.save_again();
        if self.publish_once() {
            // What found no room may take the place of what went meanwhile.
            self.publish_once();
        }
        if !self.faults.trouble.is(Written::Maps) {
            self.metering.published(begun, now().time);
        }
        self.probes.members.tell();
        self.note_pools_without_members();
        self.note_in_force(now());
    }

    /// True if something found no room, and something else made room.
    fn publish_once(&mut self) -> bool {
        if self.faults.trouble.is(Written::Reading) && !self.read_again() {
            // Nothing is decided from a guess of what the maps hold.
            return false;
        }
        let before = self.serving.reconciler.clone();
        let mut desired = self.decide(&before);
        for (pool, diff) in &desired.moved {
            let (moved, minimum) = (diff.share() * 100.0, diff.minimum_share() * 100.0);
            let name = self.serving.reconciler.assignments.pools.get(pool).map(|pool| &pool.name);
            let what = format!("{moved:.2}% of the ring moves, at least {minimum:.2}% had to");
            match desired.steps.contains(pool) {
                true => tracing::debug!(pool = name, "{what}, since a member rises"),
                false => tracing::info!(pool = name, "{what}"),
            }
            self.metering.moved(*pool, diff.moved);
            self.serving.moving.insert(*pool, u32::MAX);
        }
        for (pool, assigned) in &self.serving.reconciler.assignments.pools {
            if desired.rings.iter().any(|ring| ring.base == assigned.ring.base) {
                self.journal.arrivals.changed(*pool, now().time);
            }
        }
        self.note_fallbacks(std::mem::take(&mut desired.fallbacks), &desired.turned);
        let again = !desired.left_out.is_empty() && !desired.freed.is_empty();
        let due = [desired.next_cut, desired.next_first, desired.next_step, desired.next_forgotten];
        self.serving.next_publish = due.into_iter().flatten().min();
        self.serving.first_rings_wait = desired.next_first.is_some();
        self.put_into_force(&before, desired);
        again
    }

    /// What the maps must hold. Before they know a number, the next agent must: it empties rings that have no
    /// pool. Numbers that cannot be saved are not used.
    fn decide(&mut self, before: &Reconciler) -> Desired {
        let (view, begun) = (view_of!(self), now().time);
        let desired = self.serving.reconciler.reconcile(&self.config.model, &view);
        if !desired.rings.is_empty() {
            self.metering.built(begun, now().time);
        }
        let gives_more = self.serving.reconciler.assignments.gives_more_than(&before.assignments);
        if self.serving.reconciler.assignments == before.assignments || self.save() || !gives_more {
            self.note_numbers(before);
            self.note_left_out(&desired, |object, full| format!("{object}: {full}"));
            return desired;
        }
        if before.assignments.is_empty() {
            // Nothing is served yet, and without the file the maps say what their numbers mean.
            self.note_numbers(before);
            return desired;
        }
        let view = view_of!(self);
        self.serving.reconciler = before.clone();
        let desired =
            self.serving.reconciler.reconcile_without_new_numbers(&self.config.model, &view);
        self.note_numbers(before);
        self.note_left_out(&desired, |object, _| {
            format!("{object}: not served, since its number cannot be saved")
        });
        desired
    }

    pub(super) fn view(&self) -> View<'_> {
        view_of!(self)
    }

    fn note_numbers(&mut self, before: &Reconciler) {
        if self.serving.reconciler.assignments != before.assignments {
            self.serving.revision += 1;
            self.probes.members.assigned(&self.serving.reconciler.assignments.pools);
        }
    }

    fn note_left_out(&mut self, desired: &Desired, words: impl Fn(&String, &Full) -> String) {
        let left_out = desired.left_out.iter().map(|(object, full)| words(object, full));
        self.serving.left_out = left_out.collect();
        for problem in &self.serving.left_out {
            tracing::error!("{problem}");
        }
    }

    /// Writes the maps: first all that is new, and only then what goes away. Where a write fails, what serves
    /// stays, and it is tried again.
    fn put_into_force(&mut self, before: &Reconciler, mut desired: Desired) {
        let bases: Vec<u32> = desired.rings.iter().map(|ring| ring.base).collect();
        let freed = desired.freed.clone();
        let reserves = std::mem::take(&mut desired.reserves);
        let Halves { build, remove } =
            halves(&self.serving.observed, &desired.image, desired.rings, desired.freed);
        let mut failed: Option<MapError> = None;
        let mut unwritten = bases;
        for command in &build {
            let result = self.serving.maps.execute(command);
            self.metering.wrote(command, &result);
            if let Err(error) = result {
                self.faults.trouble.failed_writes += 1;
                failed = Some(error);
                break;
            }
            if let Command::WriteRing(ring) = command {
                unwritten.retain(|base| *base != ring.base);
            }
        }
        if failed.is_some() {
            self.serving.reconciler.take_back(before, &unwritten, freed);
        } else {
            for command in &remove {
                let result = self.serving.maps.execute(command);
                self.metering.wrote(command, &result);
                if let Err(error) = result {
                    self.faults.trouble.failed_writes += 1;
                    failed.get_or_insert(error);
                }
            }
        }
        let is_written = failed.is_none();
        let result = failed.map_or(Ok(()), |error| {
            Err(format!("cannot write a BPF map, what serves stays as it is: {error}"))
        });
        self.faults.trouble.note(Written::Maps, result, now().time);
        if is_written {
            self.serving.observed = desired.image;
            self.note_reserves(reserves);
            self.note_rises();
        } else {
            self.read_again();
        }
    }

    /// Reads what the maps hold after a write failed; until that succeeds nothing more is written.
    pub(super) fn read_again(&mut self) -> bool {
        let read = self.serving.maps.image();
        let result = match read {
            Ok(image) => {
                self.serving.observed = image;
                Ok(())
            }
            Err(error) => Err(format!("cannot read the BPF maps, nothing is changed: {error}")),
        };
        self.faults.trouble.note(Written::Reading, result, now().time)
    }
}

/// What is seen of the world.
pub(super) struct View<'a> {
    pub(super) members: &'a Members,
    pub(super) network: &'a Network,
    attachments: &'a [Attachment],
    host: &'a HostState,
    quiet: &'a BTreeSet<u32>,
    mode: AttachMode,
    pub(super) drained: &'a Drained,
    clients: Arc<ClientHops>,
}

impl ReconcileInput for View<'_> {
    fn serves(&self, pool: &Pool, member: &Member) -> bool {
        let health = self.members.health(pool.id, member.socket());
        health.is_some_and(MemberHealth::serves)
    }

    fn is_drained(&self, _: &Pool, member: &Member) -> bool {
        self.drained.has(member)
    }

    fn is_undecided(&self, pool: &Pool, member: &Member) -> bool {
        let health = self.members.health(pool.id, member.socket());
        health.is_some_and(MemberHealth::is_undecided)
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        self.network.next_hop(address).ok()
    }

    fn is_resolving(&self, address: IpAddr) -> bool {
        let why = self.network.next_hop(address).err();
        matches!(why, Some(Unreachable::Unknown | Unreachable::NoNeighbor { .. }))
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        let indices = self.attachments.iter().map(|attachment| attachment.index);
        let mac = |index| Some((index, self.host.interfaces.get(&index)?.mac?));
        indices.filter_map(mac).collect()
    }

    fn is_quiet(&self, index: u32) -> bool {
        self.quiet.contains(&index)
    }

    fn largest_received(&self, interface: u32) -> u16 {
        let joins = self.mode == AttachMode::Generic;
        let link = self.network.links.get(&interface).filter(|_| joins);
        link.map_or(0, |link| u16::try_from(link.mtu).unwrap_or(0))
    }

    fn macs_above(&self, interface: u32) -> BTreeSet<Mac> {
        self.network.macs_above(interface)
    }

    fn is_own(&self, vip: IpAddr) -> bool {
        self.network.may_be_own(vip)
    }

    fn client_hops(&self) -> Arc<ClientHops> {
        self.clients.clone()
    }

    fn secret(&self) -> u64 {
        // Keyed by the kernel's random numbers.
        RandomState::new().hash_one(self.now())
    }

    fn now(&self) -> u32 {
        coarse_seconds()
    }
}
