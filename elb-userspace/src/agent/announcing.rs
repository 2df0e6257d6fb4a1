//! Announces virtual addresses on segments that may not know where they are, by one interface each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elb_common::addr::Mac;
use tokio::time::Instant;

use super::core::Core;
use super::{Agent, now};
use crate::kernel::host::groups::{self, MulticastGroup};
use crate::kernel::host::kept::KeptObject;
use crate::kernel::host::segments::Pair;
use crate::kernel::net::announce::{Announcer, OwnSegment, solicited_node_mac};
use crate::model::time::Now;

/// When virtual addresses are announced after a change: soon, as soon as it is known which interfaces are on
/// one segment, and again for those who missed it.
const ANNOUNCE: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(3)];
/// How often interfaces are asked which of them are on one segment: a switch may have been slow.
const ASK: Duration = Duration::from_secs(30);

/// What announces, and when.
pub(super) struct Announcing {
    sockets: Option<(Announcer, OwnSegment)>,
    due: Vec<Instant>,
    asked: Instant,
    /// Groups that this agent or the one before joined.
    joined: BTreeSet<MulticastGroup>,
}

impl Announcing {
    /// After an agent that announced these addresses.
    pub(super) fn new(core: &Core) -> Self {
        let untold = "cannot announce virtual addresses; it takes CAP_NET_RAW";
        let token =
            u64::from(std::process::id()) << 32 | u64::from(crate::kernel::bpf::coarse_seconds());
        let sockets = Announcer::new().and_then(|one| Ok((one, OwnSegment::new(token)?)));
        let sockets = sockets.inspect_err(|error| tracing::warn!(%error, "{untold}")).ok();
        let now = Instant::now();
        Self { sockets, due: Vec::new(), asked: now, joined: core.wanted_groups() }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.iter().min().copied()
    }
}

impl Agent {
    /// Hosts may not know where virtual addresses are.
    pub(super) fn announce_anew(&mut self) {
        let now = Instant::now();
        self.announcing.due = ANNOUNCE.iter().map(|after| now + *after).collect();
        self.ask_segments();
    }

    pub(super) fn announce(&mut self) {
        self.hear_segments();
        let due = Instant::now();
        self.announcing.due.retain(|at| *at > due);
        let Some((announcer, _)) = &self.announcing.sockets else { return };
        let able: BTreeMap<u32, Mac> = self.core.able_to_announce().into_iter().collect();
        let own = self.core.own_addresses().into_iter();
        let own = own.filter_map(|(index, address)| Some((index, *able.get(&index)?, address)));
        for (ifindex, mac, vip) in self.core.announcements().into_iter().chain(own) {
            if let Err(error) = announcer.announce(ifindex, mac, vip) {
                tracing::debug!(ifindex, %vip, %error, "cannot announce");
            }
        }
        self.ask_segments();
    }

    /// What the segments are to keep in mind, each time that the host was looked at.
    pub(super) fn keep_announced(&mut self) {
        self.hear_segments();
        if self.announcing.asked.elapsed() >= ASK {
            self.ask_segments();
        }
        self.keep_groups(now());
    }

    fn ask_segments(&mut self) {
        self.announcing.asked = Instant::now();
        let Some((announcer, own)) = &self.announcing.sockets else { return };
        let able = self.core.able_to_announce();
        if able.len() > 1 {
            able.into_iter().for_each(|(index, mac)| own.ask(announcer, index, mac));
        }
    }

    fn hear_segments(&mut self) {
        let Some((_, own)) = &self.announcing.sockets else { return };
        if self.core.joined(own.heard()) {
            self.announce_anew();
        }
    }

    /// Joins the groups that are wanted, and leaves those that are not any more.
    fn keep_groups(&mut self, now: Now) {
        let wanted = self.core.wanted_groups();
        let Announcing { sockets, joined, .. } = &mut self.announcing;
        let Some((announcer, _)) = sockets else { return };
        if wanted.is_empty() && joined.is_empty() {
            return;
        }
        let found = match groups::found() {
            Ok(found) => found,
            Err(error) => return tracing::debug!(%error, "cannot look at multicast groups"),
        };
        let (join, leave) = groups::compare(&wanted, joined, &found);
        for (index, group) in leave {
            if let Err(error) = announcer.leave(index, Mac::new(group)) {
                tracing::debug!(index, %error, "cannot leave a multicast group");
            }
        }
        let before = std::mem::replace(joined, wanted);
        let mut done: Vec<(u32, Result<bool, String>)> = Vec::new();
        for (index, group) in join {
            let was_there = before.contains(&(index, group));
            let result = announcer.join(index, Mac::new(group)).map(|()| was_there);
            done.push((index, result.map_err(|error| error.to_string())));
        }
        self.core.groups_joined(&done, now);
    }
}

impl Core {
    /// Interfaces that can say where virtual addresses are, in the order of the file.
    fn able_to_announce(&self) -> Vec<(u32, Mac)> {
        let found = &self.host.keeping.found;
        let able = |index: u32| {
            let interface = found.interfaces.get(&index).filter(|one| one.carrier)?;
            Some((index, interface.mac?))
        };
        let names = self.config.agent.interfaces.iter();
        let placed = names.filter_map(|name| {
            Some(self.host.attachments.iter().find(|one| one.interface == *name)?.index)
        });
        placed.filter_map(able).collect()
    }

    /// Notes which interfaces are on one segment; true if others answer now than before.
    fn joined(&mut self, pairs: BTreeSet<Pair>) -> bool {
        self.host.keeping.joined.extend(pairs);
        self.choose_quiet()
    }

    /// Chooses anew which interfaces leave it to others to answer; true if these are others.
    pub(super) fn choose_quiet(&mut self) -> bool {
        let able: Vec<u32> = self.able_to_announce().into_iter().map(|(index, _)| index).collect();
        let here = |index: &u32| self.host.attachments.iter().any(|one| one.index == *index);
        self.host.keeping.joined.retain(|(one, other)| here(one) && here(other));
        let quiet = crate::kernel::host::segments::quiet(&able, &self.host.keeping.joined);
        if quiet == self.host.keeping.quiet {
            return false;
        }
        tracing::info!(
            ?quiet,
            "these interfaces stay quiet: another one on their segment answers for the addresses"
        );
        self.host.keeping.quiet = quiet;
        self.publish();
        true
    }

    /// Groups that solicitations for announced addresses come by.
    fn wanted_groups(&self) -> BTreeSet<MulticastGroup> {
        let announced = self.announcements().into_iter();
        let group = |(index, _, vip)| match vip {
            std::net::IpAddr::V4(_) => None,
            std::net::IpAddr::V6(vip) => Some((index, solicited_node_mac(vip).bytes())),
        };
        announced.filter_map(group).collect()
    }

    /// Groups were joined of these interfaces, some of which had been; or it did not work, and why.
    fn groups_joined(&mut self, done: &[(u32, Result<bool, String>)], now: Now) {
        let register = &mut self.host.keeping.register;
        for one in &self.host.attachments {
            let object = KeptObject::Groups(one.interface.clone());
            let mut of_it = done.iter().filter(|(index, _)| *index == one.index).map(|(_, r)| r);
            match of_it.clone().find_map(|result| result.as_ref().err()) {
                Some(why) => register.missing(&object, why.clone()),
                None if of_it.any(|result| *result == Ok(true)) => {
                    register.restored(&object, "groups of virtual IPv6 addresses", now.wall);
                }
                None => register.in_place(&object),
            }
        }
    }
}
