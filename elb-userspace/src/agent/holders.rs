//! Others that answer for the virtual addresses: they are looked for now and then, named with their
//! Ethernet addresses, and forgotten when they do not answer any more.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::core::Core;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome, Report};
use crate::kernel::net::holders::{self, AddressHolder, HolderQuestion};
use crate::observe::packet::mac;

/// From the start to the first look, and from one look to the next.
const FIRST: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(5);
/// The same, while another host answers.
const CLOSER: Duration = Duration::from_secs(1);
/// Questions at once; where there are more, they take turns.
const MOST: usize = 64;
/// The looks.
pub(super) struct Looks {
    at: Instant,
    turn: usize,
    under_way: JoinSet<(Vec<HolderQuestion>, io::Result<Vec<AddressHolder>>)>,
}

impl Looks {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now + FIRST, turn: 0, under_way: JoinSet::new() }
    }

    /// Waits for what is next: a look that is due is begun, one that ended says what it found.
    pub(super) async fn next(
        &mut self,
    ) -> Option<(Vec<HolderQuestion>, io::Result<Vec<AddressHolder>>)> {
        match self.under_way.join_next().await {
            // A look that panicked found nothing.
            Some(ended) => ended.ok(),
            None => {
                tokio::time::sleep_until(self.at).await;
                None
            }
        }
    }

    /// Begins a look at some of what is announced, if it is time.
    pub(super) fn begin(&mut self, now: Instant, mut all: Vec<HolderQuestion>, is_held: bool) {
        if now < self.at || !self.under_way.is_empty() {
            return;
        }
        self.at = now + if is_held { CLOSER } else { PERIOD };
        all.sort_unstable_by_key(|one| (one.ifindex, one.vip));
        if all.is_empty() {
            return;
        }
        let from = self.turn % all.len();
        all.rotate_left(from);
        all.truncate(MOST);
        self.turn = self.turn.wrapping_add(all.len());
        self.under_way.spawn_blocking(move || {
            let found = holders::ask(&all);
            (all, found)
        });
    }
}

impl Core {
    /// What to ask for: the addresses that the program answers for.
    pub(super) fn announced(&self) -> Vec<HolderQuestion> {
        let question = |(ifindex, mac, vip)| HolderQuestion { ifindex, mac, vip };
        self.announcements().into_iter().map(question).collect()
    }

    /// Whether another host answers for an address.
    pub(super) fn is_held(&self) -> bool {
        !self.host.holders.known.is_empty()
    }

    /// Takes down what a look found.
    pub(super) fn held(
        &mut self,
        questions: &[HolderQuestion],
        found: io::Result<Vec<AddressHolder>>,
    ) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot ask who else has the virtual addresses");
                return;
            }
        };
        let own: Vec<_> = self.network.links.values().filter_map(|link| link.mac).collect();
        let found: Vec<AddressHolder> =
            found.into_iter().filter(|holder| !own.contains(&holder.mac)).collect();
        self.host.holders.retain(&self.announced());
        for holder in self.host.holders.found(questions, &found) {
            tracing::warn!("{}", self.held_by(&holder));
        }
    }

    /// A line for each of those who answer for a virtual address.
    pub(super) fn held_problems(&self) -> Vec<String> {
        let holders = self.host.holders.known.iter();
        holders
            .map(|(holder, _)| format!("{}; {}", self.held_by(holder), self.quiet(holder)))
            .collect()
    }

    /// A report on each virtual address of `vips` that a host answers for which is no member: of members
    /// their own reports say it.
    pub(super) fn held_reports(&self, vips: &[IpAddr]) -> Vec<Report> {
        let held = self.host.holders.known.iter().map(|(holder, _)| holder);
        let strange = held.filter(|one| vips.contains(&one.vip) && self.member_with(one).is_none());
        let report = |holder: &AddressHolder| {
            let finding = Finding::seen(Check::AddressBound, Outcome::Fail, self.held_by(holder))
                .fix(self.quiet(holder));
            Report::new(format!("virtual address {}", holder.vip), true, vec![finding])
        };
        strange.map(report).collect()
    }

    /// The virtual addresses that a member answers for.
    pub(super) fn held_by_member(&self, member: IpAddr) -> Vec<IpAddr> {
        let held = self.host.holders.known.iter().map(|(holder, _)| holder);
        held.filter(|one| self.has_mac(member, one)).map(|one| one.vip).collect()
    }

    fn has_mac(&self, member: IpAddr, holder: &AddressHolder) -> bool {
        self.network.neighbors.get(&(holder.ifindex, member)) == Some(&holder.mac)
    }

    fn held_by(&self, holder: &AddressHolder) -> String {
        let link = self.network.links.get(&holder.ifindex);
        let interface = link.map_or("an interface", |link| &link.name);
        let who = self.member_with(holder).map_or_else(
            || "another host".to_owned(),
            |member| format!("the backend server {member}"),
        );
        let AddressHolder { vip, mac: address, .. } = holder;
        if self.config.model.source_addresses().is_some_and(|sources| sources.holds(*vip)) {
            return format!(
                "{who} ({}) answers for the source address {vip} of [snat] on {interface}: members' answers go there \
                 and not to the load balancer",
                mac(&address.bytes())
            );
        }
        format!(
            "{who} ({}) answers for the virtual address {vip} on {interface}: clients' packets go there \
             and not to the load balancer",
            mac(&address.bytes())
        )
    }

    fn quiet(&self, holder: &AddressHolder) -> String {
        let vip = holder.vip;
        if self.config.model.source_addresses().is_some_and(|sources| sources.holds(vip)) {
            return format!(
                "take {vip} from the host with that Ethernet address, or use another prefix in [snat]"
            );
        }
        match self.member_with(holder) {
            Some(member) => format!(
                "on {member}: elb backend up (arp_ignore must be 1 and {vip} be on lo only); then clear \
                 {vip} from the neighbour tables of routers and clients"
            ),
            None => format!("find the host with that Ethernet address and take {vip} from it"),
        }
    }

    /// The member that has the holder's Ethernet address.
    fn member_with(&self, holder: &AddressHolder) -> Option<IpAddr> {
        let members = self.config.model.pools().iter().flat_map(|pool| &pool.members);
        let mut addresses = members.map(|member| member.address);
        addresses.find(|address| self.has_mac(*address, holder))
    }
}
