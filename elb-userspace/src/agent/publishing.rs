//! Bringing the maps, and what the next agent reads, in step with what is known.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use elb_common::addr::Mac;

use super::clock::now;
use super::core::Core;
use super::draining::Drained;
use super::members::Members;
use crate::health::MemberHealth;
use crate::host::found::Found;
use crate::kernel::{Attachment, coarse_seconds};
use crate::model::{Member, Pool};
use crate::nexthop::{Network, NextHop, Unreachable};
use crate::publish::{Store as _, plan};
use crate::reconcile::{Seen, socket};
use crate::saved::{self, Numbers};

impl Core {
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
            host: &self.keeping.found,
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
        for (pool, assigned) in &self.reconciler.assignments.pools {
            if desired.rings.iter().any(|ring| ring.base == assigned.ring.base) {
                self.arrivals.changed(pool, now().time);
            }
        }
        let again = !desired.left_out.is_empty() && !desired.freed.is_empty();
        // Before the maps know a number, the next agent must: it empties rings that nobody names.
        if self.reconciler.assignments != numbers {
            self.revision += 1;
            self.members.assigned(&self.reconciler.assignments.pools);
            self.save();
        }
        self.next_publish = desired.next_cut.into_iter().chain(desired.next_first).min();
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

    pub(super) fn view(&self) -> View<'_> {
        View {
            members: &self.members,
            network: &self.network,
            attachments: &self.attachments,
            host: &self.keeping.found,
            drained: &self.drained,
        }
    }

    /// Writes down what the next agent needs to make use of the maps.
    pub(super) fn save(&self) {
        self.save_for(None);
    }

    /// As [`Self::save`], for an agent that finds these maps or those that they are carried over to.
    pub(super) fn save_for(&self, carried_to: Option<u32>) {
        let mut drained: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for (pool, member) in &self.drained {
            drained.entry(pool.clone()).or_default().push(*member);
        }
        let numbers = Numbers {
            generation: self.maps.generation,
            carried_to,
            assignments: self.reconciler.assignments.clone(),
            drained,
        };
        let path = saved::numbers_path(self.socket());
        if let Err(error) = saved::write(&path, &numbers) {
            tracing::error!(file = %path.display(), %error, "cannot save the state");
        }
    }
}

/// What is seen of the world.
pub(super) struct View<'a> {
    pub(super) members: &'a Members,
    pub(super) network: &'a Network,
    attachments: &'a [Attachment],
    host: &'a Found,
    pub(super) drained: &'a Drained,
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

    fn is_undecided(&self, pool: &Pool, member: &Member) -> bool {
        let health = self.members.health(pool.name.as_str(), socket(member));
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

    fn now(&self) -> u32 {
        coarse_seconds()
    }
}
