//! What is known of the kernel's network, what of it is out of date, and what of it matters. No I/O.

mod clients;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Bound;

use self::clients::Clients;
use super::messages::{Entry, Interface, State};
use super::notices::Notice;
use crate::control::network::{Neighbor, Network, Route, WantedAddresses};

/// A copy of what the kernel knows and that matters here.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    known: Network,
    /// Every neighbour that the kernel has an entry for, needed or not: bounded by the kernel.
    table: HashMap<Neighbor, Entry>,
    /// Neighbours that are a next hop, or may be one, to some member, or a gateway of clients.
    used: BTreeSet<Neighbor>,
    members: BTreeSet<IpAddr>,
    clients: Option<Clients>,
    /// All addresses whose routes matter.
    followed: BTreeSet<IpAddr>,
    /// Addresses whose routes are to be asked for at once, since none is known.
    new: BTreeSet<IpAddr>,
    /// Addresses whose routes may be others.
    stale: BTreeSet<IpAddr>,
    /// Prefixes that changed since routes were last asked for: the next change of one says nothing new.
    doubted: HashSet<(IpAddr, u8)>,
    /// The last of those that was asked for.
    asked: Option<IpAddr>,
    /// Members whose other next hops are to be asked for.
    alternatives: BTreeSet<IpAddr>,
    /// Whether routes changed, and so perhaps which neighbours matter.
    rerouted: bool,
    /// Whether other neighbours are in use, or the kernel has something else of one.
    used_changed: bool,
    changed: bool,
}

impl Mirror {
    /// Begins with what was known before, by an earlier follower or an earlier agent.
    pub(super) fn of(before: Network) -> Self {
        Self { known: before, changed: true, ..Self::default() }
    }

    /// These addresses are followed from now on.
    pub(super) fn want(&mut self, wanted: &WantedAddresses) {
        let all: BTreeSet<IpAddr> = wanted.members.union(&wanted.vips).copied().collect();
        let is_known = |address: &&IpAddr| self.known.routes.contains_key(*address);
        self.new = all.iter().filter(|address| !is_known(address)).copied().collect();
        self.stale.retain(|address| all.contains(address));
        self.known.routes.retain(|address, _| all.contains(address));
        let members = &wanted.members;
        self.known.alternatives.retain(|address, _| members.contains(address));
        self.known.last_hops.retain(|address, _| members.contains(address));
        self.known.path_mtus.retain(|address, _| members.contains(address));
        self.members.clone_from(members);
        self.followed = all;
        self.changed = true;
        self.want_clients(wanted);
        self.use_neighbors();
    }

    /// Takes in all that the kernel has: it is what counts, whatever was known before. All routes are to
    /// be asked for again.
    pub(super) fn take_over(
        &mut self,
        interfaces: HashMap<u32, Interface>,
        table: HashMap<Neighbor, Entry>,
    ) {
        let before = (self.known.links.clone(), self.known.sits_on.clone());
        let before = (before, self.known.part_of.clone());
        (self.known.links, self.known.sits_on) = Default::default();
        self.known.part_of = HashMap::new();
        for (index, interface) in interfaces {
            self.know(index, interface);
        }
        let now = (self.known.links.clone(), self.known.sits_on.clone());
        self.changed |= before != (now, self.known.part_of.clone());
        self.table = table;
        let links = &self.known.links;
        self.known.neighbors.retain(|(index, _), _| links.contains_key(index));
        self.doubt_all();
        self.doubt_tables();
        self.use_neighbors();
    }

    /// Takes in what changed; true if what is known must be asked for anew, all of it.
    pub(super) fn learn(&mut self, notice: Notice) -> bool {
        match notice {
            Notice::Lost => return true,
            Notice::Link(index, interface) => {
                // Where a link goes down, the kernel does not say which IPv4 routes go with it.
                self.doubt_all();
                self.doubt_tables();
                if self.interface(index).as_ref() != Some(&interface) {
                    self.know(index, interface);
                    self.changed = true;
                    self.use_neighbors();
                }
            }
            Notice::NoLink(index) => self.forget_link(index),
            Notice::Neighbor(neighbor, entry) => {
                let before = self.table.insert(neighbor, entry);
                if before.and_then(|before| before.mac) != entry.mac {
                    self.doubt_client(neighbor);
                }
                if before != Some(entry) && self.used.contains(&neighbor) {
                    self.used_changed = true;
                    self.judge(neighbor);
                }
            }
            // One in use stays known: packets go on to it without the kernel's noticing.
            Notice::NoNeighbor(neighbor) => {
                self.table.remove(&neighbor);
                self.doubt_client(neighbor);
                self.used_changed |= self.used.contains(&neighbor);
            }
            Notice::Prefix(address, length) => {
                self.doubt(address, length);
                self.doubt_tables();
            }
            Notice::Routes => {
                self.doubt_all();
                self.doubt_tables();
            }
        }
        false
    }

    /// Addresses whose routes are to be asked for now, so many at the most; those that none is known
    /// of come first.
    pub(super) fn questions(&mut self, most: usize) -> Vec<IpAddr> {
        self.doubted.clear();
        let mut taken: Vec<IpAddr> = Vec::new();
        while taken.len() < most
            && let Some(address) = self.new.pop_first().or_else(|| self.next_stale())
        {
            taken.push(address);
        }
        taken
    }

    /// The next in a circle: those that change all the time keep no others waiting.
    fn next_stale(&mut self) -> Option<IpAddr> {
        let after = (self.asked.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let next = self.stale.range(after).next().or_else(|| self.stale.first()).copied()?;
        self.stale.remove(&next);
        self.asked = Some(next);
        Some(next)
    }

    /// Whether routes are to be asked for that none is known of.
    pub(super) fn is_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Whether routes are to be asked for again.
    pub(super) fn is_stale(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Members whose other next hops are to be asked for, so many at the most: the kernel's choice is
    /// silent.
    pub(super) fn looks_for_others(&mut self, most: usize) -> Vec<IpAddr> {
        let taken: Vec<IpAddr> = self.alternatives.iter().take(most).copied().collect();
        for address in &taken {
            self.alternatives.remove(address);
        }
        taken
    }

    /// Whether some are left for the next time.
    pub(super) fn has_more_to_ask(&self) -> bool {
        !self.alternatives.is_empty()
    }

    /// The kernel says the way to an address.
    pub(super) fn routed(&mut self, address: IpAddr, route: Route) {
        if matches!(route, Route::Local | Route::None) {
            self.known.last_hops.remove(&address);
        }
        if self.known.routes.get(&address) != Some(&route) {
            self.known.routes.insert(address, route);
            (self.changed, self.rerouted) = (true, true);
        }
        if self.known.alternatives.contains_key(&address) {
            self.alternatives.insert(address);
        }
    }

    /// All next hops of the route to a member: none or one where it has no choice.
    pub(super) fn offered(&mut self, address: IpAddr, hops: Vec<Neighbor>) {
        let alternatives = &mut self.known.alternatives;
        self.changed |= match hops.len() {
            0 | 1 => alternatives.remove(&address).is_some(),
            _ => alternatives.insert(address, hops.clone()) != Some(hops),
        };
        self.rerouted = true;
    }

    /// A router on the way to a member said what fits; `None`: that is long ago.
    pub(super) fn narrow(&mut self, member: IpAddr, mtu: Option<u32>) {
        let before = self.known.path_mtus.get(&member).copied();
        if before == mtu || !self.members.contains(&member) {
            return;
        }
        match mtu {
            Some(mtu) => drop(self.known.path_mtus.insert(member, mtu)),
            None => drop(self.known.path_mtus.remove(&member)),
        }
        self.changed = true;
    }

    /// Of what was known of paths at the beginning, what links and routes do not say themselves.
    pub(super) fn narrow_paths(&mut self) -> &HashMap<IpAddr, u32> {
        let paths = std::mem::take(&mut self.known.path_mtus);
        let is_narrow = |(member, mtu): &(IpAddr, u32)| {
            self.known.next_hop(*member).is_ok_and(|hop| u32::from(hop.mtu) > *mtu)
        };
        self.known.path_mtus = paths.into_iter().filter(is_narrow).collect();
        &self.known.path_mtus
    }

    /// Follows from routes that changed.
    pub(super) fn settle(&mut self) {
        if std::mem::take(&mut self.rerouted) {
            self.use_neighbors();
        }
    }

    /// Which neighbours matter, and what is known of those that did not until now.
    fn use_neighbors(&mut self) {
        self.used_changed = true;
        self.doubt_clients();
        let mut used: BTreeSet<Neighbor> =
            self.members.iter().flat_map(|member| self.known.hops(*member)).collect();
        used.extend(self.client_gateways());
        let count = self.known.neighbors.len() + self.known.silent.len();
        self.known.neighbors.retain(|neighbor, _| used.contains(neighbor));
        self.known.silent.retain(|neighbor| used.contains(neighbor));
        self.changed |= count != self.known.neighbors.len() + self.known.silent.len();
        self.used = used;
        for neighbor in self.used.clone() {
            self.judge(neighbor);
        }
        self.look_for_others();
    }

    /// What the kernel's entry says of a neighbour in use.
    fn judge(&mut self, neighbor: Neighbor) {
        let Some(entry) = self.table.get(&neighbor).copied() else { return };
        if let Some(mac) = entry.mac
            && self.known.neighbors.get(&neighbor) != Some(&mac)
        {
            self.known.neighbors.insert(neighbor, mac);
            self.changed = true;
            self.doubt_clients();
        }
        match entry.state {
            State::Silent if self.known.silent.insert(neighbor) => {
                self.changed = true;
                self.doubt_clients();
                self.look_for_others();
            }
            State::Known | State::Fixed => {
                if self.known.silent.remove(&neighbor) {
                    self.changed = true;
                    self.doubt_clients();
                }
            }
            // One that was silent stays so until it answers: entries of hosts that are gone are in these states, too,
            // for as long as the kernel asks.
            State::Silent | State::Asked | State::Unconfirmed => {}
        }
    }

    fn look_for_others(&mut self) {
        let is_dead_end = |member: &&IpAddr| {
            let route = self.known.routes.get(*member);
            let chosen = route.and_then(|route| route.neighbor(**member));
            let gateway = matches!(route, Some(Route::Via { gateway: Some(_), .. }));
            gateway
                && !self.known.alternatives.contains_key(*member)
                && chosen.is_some_and(|chosen| self.known.silent.contains(&chosen))
        };
        self.alternatives.extend(self.members.iter().filter(is_dead_end));
    }

    /// What is known, if it changed since it was last asked for.
    pub(super) fn news(&mut self) -> Option<Network> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        for member in &self.members {
            if let Some(hop) = self.known.resolved(*member) {
                self.known.last_hops.insert(*member, hop);
            }
        }
        Some(self.known.clone())
    }

    /// Neighbours that matter, and what the kernel has of each, if that changed.
    pub(super) fn used(&mut self) -> Option<BTreeMap<Neighbor, Option<State>>> {
        if !std::mem::take(&mut self.used_changed) {
            return None;
        }
        let state = |neighbor: &Neighbor| self.table.get(neighbor).map(|entry| entry.state);
        Some(self.used.iter().map(|neighbor| (*neighbor, state(neighbor))).collect())
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        let link = self.known.links.get(&index)?.clone();
        let sits_on = self.known.sits_on.get(&index).copied();
        Some(Interface { link, sits_on, part_of: self.known.part_of.get(&index).copied() })
    }

    fn know(&mut self, index: u32, Interface { link, sits_on, part_of }: Interface) {
        self.known.links.insert(index, link);
        self.known.stack(index, sits_on, part_of);
    }

    fn forget_link(&mut self, index: u32) {
        self.known.links.remove(&index);
        self.known.stack(index, None, None);
        self.known.neighbors.retain(|(ifindex, _), _| *ifindex != index);
        self.known.last_hops.retain(|_, hop| hop.ifindex != index);
        self.table.retain(|(ifindex, _), _| *ifindex != index);
        self.changed = true;
        self.doubt_all();
        self.doubt_tables();
        self.use_neighbors();
    }

    /// Routes to all addresses may be others.
    pub(super) fn doubt_all(&mut self) {
        if self.stale.len() < self.followed.len() {
            self.stale.extend(&self.followed);
        }
    }

    fn doubt(&mut self, address: IpAddr, length: u8) {
        let Some((first, last)) = range(address, length) else { return };
        let mut concerned = self.followed.range(first..=last).peekable();
        if concerned.peek().is_some() && self.doubted.insert((address, length)) {
            self.stale.extend(concerned);
        }
    }

    /// Whether an address is that of a member.
    pub(super) fn has_member(&self, address: IpAddr) -> bool {
        self.members.contains(&address)
    }

    /// How many addresses are followed.
    pub(super) fn size(&self) -> usize {
        self.followed.len()
    }
}

/// The first and the last address of a prefix.
fn range(address: IpAddr, length: u8) -> Option<(IpAddr, IpAddr)> {
    let network = ipnet::IpNet::new(address, length).ok()?;
    Some((network.network(), network.broadcast()))
}

#[cfg(test)]
mod tests;
