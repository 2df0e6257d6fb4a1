//! The status in parts, each of which the loop makes in little time; in between it does what else there is
//! to do. What changes meanwhile, the parts that follow show.

use std::collections::{BTreeMap, HashMap};

use super::impairment::Impairment;
use super::selection::Selection;
use super::{Shares, arrivals, health, read, rolled_up};
use crate::agent::core::Core;
use crate::agent::state::arrivals::Arrived;
use crate::api::Answer;
use crate::api::report::{Part, PartRequest, Underway};
use crate::api::shape::status::{self, StatusRequest};
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::reconcile::Rising;
use crate::control::ring::shape::{Shape, algorithm_name};
use crate::health::{Cause, OperatingStatus};
use crate::kernel::bpf::coarse_seconds;
use crate::model::time::Time;
use crate::model::{self, MemberRef, ResourceId};

/// Members or listeners of a part: what takes a fraction of a millisecond.
const AT_ONCE: usize = 64;
/// Listeners that a member lists; the others are counted.
const LISTED: usize = 16;
/// Problems of members that are listed.
const PROBLEMS: usize = 100;

/// A status that is under way.
#[derive(Debug)]
struct Reporting {
    request: StatusRequest,
    /// Since the configuration of this moment; none yet.
    prepared: Option<(Time, Prepared)>,
    next: Next,
    /// Of pools whose members were all looked at.
    pools: HashMap<ResourceId, Summary>,
    problems: Vec<String>,
}

/// What is known before the first part.
#[derive(Debug)]
struct Prepared {
    selection: Selection,
    /// The listeners of each pool: numbers of the load balancer and of the listener.
    listeners: HashMap<ResourceId, Vec<(usize, usize)>>,
    /// The agent as it was then, so that what its problems make of load balancers agrees with them.
    agent: Box<status::Agent>,
    impairment: Impairment,
}

#[derive(Debug)]
enum Next {
    Pool(usize),
    Count(usize, Box<Counted>),
    Members(usize, Box<Within>),
    Balancer(usize),
    Listeners(usize, usize),
    Done,
}

/// Connections that members of a pool got and that were counted.
#[derive(Debug)]
struct Counted {
    pool: ResourceId,
    counts: HashMap<u16, u64>,
    at: usize,
}

/// What is known of a pool while its members are shown.
#[derive(Debug)]
struct Within {
    pool: ResourceId,
    shares: Shares,
    /// Members that rise to their shares.
    rising: BTreeMap<u16, Rising>,
    arrived: HashMap<u16, Arrived>,
    /// By the number of the member.
    opened: HashMap<u16, u64>,
    all: u64,
    /// The next member; behind the last come those that were removed.
    at: usize,
    /// The head, until it is shown.
    head: Option<status::PoolStatus>,
    numbers: HashMap<std::net::SocketAddr, AssignedMember>,
    removed: Vec<AssignedMember>,
}

/// What listeners need to know of their pool.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    takes_new: bool,
    any_offline: bool,
    /// Packets to some member would leave by an interface without the program.
    any_unserved: bool,
    /// The command that judges some member cannot be run.
    any_unjudged: bool,
    /// Some member is judged by probes, and therefore OFFLINE where there is no address.
    any_judged: bool,
}

impl Core {
    /// The next part of a status; `None`: there are no more.
    ///
    /// # Errors
    /// Something is asked for that there is not. Only at the first part.
    pub(in crate::agent) fn status(&self, asked: PartRequest) -> Answer<Option<(Part, Underway)>> {
        let mut reporting = match asked {
            PartRequest::First(request) => Reporting::new(request),
            PartRequest::Next(underway) => match underway.state::<Reporting>() {
                Some(reporting) => reporting,
                None => return Ok(None),
            },
        };
        let part = reporting.part(self)?;
        Ok(part.map(|part| (part, Underway::new(reporting))))
    }
}

impl Reporting {
    fn new(request: StatusRequest) -> Self {
        Self {
            request,
            prepared: None,
            next: Next::Pool(0),
            pools: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// Whether no part was made yet.
    fn is_new(&self) -> bool {
        self.prepared.is_none()
    }

    fn part(&mut self, core: &Core) -> Result<Option<Part>, String> {
        if self.is_new() {
            let selection = Selection::of(&self.request, &core.config.model)?;
            self.prepared = Some((core.file.loaded.time, Prepared::new(selection, core)));
        }
        let Some((loaded, prepared)) = &mut self.prepared else { return Ok(None) };
        if *loaded != core.file.loaded.time {
            // The names may be of nothing now, which is then what the rest shows.
            *loaded = core.file.loaded.time;
            prepared.look(core);
        }
        // A step may have nothing to show; so that steps stay short, this is not repeated for ever.
        for _ in 0..AT_ONCE {
            if let Some(part) = self.step(core) {
                return Ok(Some(part));
            }
            if matches!(self.next, Next::Done) {
                return Ok(None);
            }
        }
        Ok(Some(Part::Nothing))
    }

    fn step(&mut self, core: &Core) -> Option<Part> {
        let model = &core.config.model;
        let (_, prepared) = self.prepared.as_ref()?;
        match std::mem::replace(&mut self.next, Next::Done) {
            Next::Pool(index) => {
                let Some(pool) = model.pools().get(index) else {
                    self.next = Next::Balancer(0);
                    return None;
                };
                let counted = Counted { pool: pool.id, counts: HashMap::new(), at: 0 };
                self.next = Next::Count(index, Box::new(counted));
                None
            }
            Next::Count(index, counted) => self.count(core, index, counted),
            Next::Members(index, within) => self.members(core, index, within),
            Next::Balancer(index) => {
                let Some(lb) = model.load_balancers().get(index) else {
                    let mut agent = prepared.agent.clone();
                    agent.problems.append(&mut self.problems);
                    return Some(Part::End(agent, core.drops()));
                };
                self.next = Next::Balancer(index + 1);
                let degraded = |listener| self.is_degraded(core, lb, listener);
                let is_impaired = prepared.impairment.concerns(model, lb);
                let is_degraded = is_impaired || lb.listeners.iter().any(degraded);
                let selection = &prepared.selection;
                if !selection.has_balancer(lb) || (selection.only_problems && !is_degraded) {
                    return None;
                }
                self.next = Next::Listeners(index, 0);
                Some(Part::Balancer(status::LoadBalancerStatus {
                    id: Some(lb.id),
                    name: lb.name.to_string(),
                    vips: lb.vips().collect(),
                    operating_status: rolled_up(lb.admin_state_up, is_degraded),
                    listeners: Vec::new(),
                }))
            }
            Next::Listeners(index, at) => self.listeners(core, index, at),
            Next::Done => None,
        }
    }

    fn count(&mut self, core: &Core, index: usize, mut counted: Box<Counted>) -> Option<Part> {
        let pool = core.config.model.pools().get(index);
        let Some(pool) = pool.filter(|pool| pool.id == counted.pool) else {
            self.next = Next::Pool(index + 1);
            return None;
        };
        let assigned = core.serving.reconciler.assignments.pools.get(&pool.id);
        let members = assigned.map_or(&[][..], |assigned| &assigned.members);
        let is_counted = pool.protocol == model::Protocol::Tcp;
        let slice = members.iter().skip(counted.at).take(AT_ONCE).filter(|_| is_counted);
        counted
            .counts
            .extend(slice.map(|one| (one.id, read(core.serving.maps.backend_opened(one.id)))));
        counted.at += AT_ONCE;
        if is_counted && counted.at < members.len() {
            self.next = Next::Count(index, counted);
            return Some(Part::Nothing);
        }
        let within = core.within(pool, assigned, &counted.counts);
        let takes_new = within.head.as_ref().and_then(|head| head.takes_new).unwrap_or(false);
        self.pools.insert(counted.pool, Summary { takes_new, ..Summary::default() });
        self.next = Next::Members(index, Box::new(within));
        // The ring was looked at.
        Some(Part::Nothing)
    }

    fn members(&mut self, core: &Core, index: usize, mut within: Box<Within>) -> Option<Part> {
        let pool = core.config.model.pools().get(index);
        let pool = pool.filter(|pool| pool.id == within.pool);
        let (Some(pool), Some((_, prepared))) = (pool, &self.prepared) else {
            self.next = Next::Pool(index + 1);
            return None;
        };
        let selection = &prepared.selection;
        let all = prepared.listeners.get(&within.pool).map_or(&[][..], Vec::as_slice);
        let most = if self.request.brief { 1 } else { LISTED };
        let listed = core.listed(all, most);
        let unlisted = if self.request.brief { 0 } else { all.len() - listed.len() };
        let summary = self.pools.entry(within.pool).or_default();
        let mut shown = Vec::new();
        for member in pool.members.iter().skip(within.at).take(AT_ONCE) {
            summary.note(core, pool, member);
            let one = core.one_member(pool, member, &within, &listed, &self.request, unlisted);
            let problem = arrivals::problem(pool, within.all, &one);
            let number = within.numbers.get(&member.socket());
            let stuck = number.and_then(|number| core.stuck_problem(pool, member, number.id));
            self.problems.extend(problem.into_iter().chain(stuck));
            self.problems.truncate(PROBLEMS);
            if selection.has_member(pool, member.socket()) && selection.shows(&one) {
                shown.push(one);
            }
        }
        within.at += AT_ONCE;
        let is_last = within.at >= pool.members.len();
        if is_last && !selection.only_problems {
            let removed =
                within.removed.iter().filter(|one| selection.has_member(pool, one.socket()));
            shown.extend(
                removed.map(|one| core.removed(pool, one, &within.shares, &within.arrived)),
            );
        }
        let is_shown = |head: &mut status::PoolStatus| {
            let is_wrong = head.takes_new == Some(false);
            !shown.is_empty()
                || (selection.has_pool(pool) && (is_wrong || !selection.only_problems))
        };
        let part = match within.head.take_if(is_shown) {
            Some(head) => Part::Pool(Box::new(status::PoolStatus { members: shown, ..head })),
            None => Part::Members(shown),
        };
        self.next = if is_last { Next::Pool(index + 1) } else { Next::Members(index, within) };
        Some(part)
    }

    fn listeners(&mut self, core: &Core, index: usize, at: usize) -> Option<Part> {
        self.next = Next::Balancer(index + 1);
        let lb = core.config.model.load_balancers().get(index)?;
        let (_, prepared) = self.prepared.as_ref()?;
        if at + AT_ONCE < lb.listeners.len() {
            self.next = Next::Listeners(index, at + AT_ONCE);
        }
        let slice = lb.listeners.iter().skip(at).take(AT_ONCE);
        let shown = slice.filter_map(|listener| {
            let is_degraded = self.is_degraded(core, lb, listener);
            let is_asked = prepared.selection.has_listener(lb, listener)
                && (is_degraded || !prepared.selection.only_problems);
            is_asked.then(|| core.listener(lb, listener, is_degraded))
        });
        Some(Part::Listeners(shown.collect()))
    }

    fn is_degraded(
        &self,
        core: &Core,
        lb: &model::LoadBalancer,
        listener: &model::Listener,
    ) -> bool {
        let pool = core.config.model.pool(&listener.default_pool);
        let pool = pool.and_then(|pool| self.pools.get(&pool.id)).copied().unwrap_or_default();
        !pool.takes_new
            || pool.any_offline
            || pool.any_unserved
            || pool.any_unjudged
            || (pool.any_judged && core.journal.bound.never_was(lb))
    }
}

impl Prepared {
    fn new(selection: Selection, core: &Core) -> Self {
        Self {
            selection,
            listeners: listeners(core),
            agent: Box::new(core.agent()),
            impairment: Impairment::of(core),
        }
    }

    /// Looks again, since the configuration is another one.
    fn look(&mut self, core: &Core) {
        self.listeners = listeners(core);
        (*self.agent, self.impairment) = (core.agent(), Impairment::of(core));
    }
}

fn listeners(core: &Core) -> HashMap<ResourceId, Vec<(usize, usize)>> {
    let mut listeners: HashMap<_, Vec<_>> = HashMap::new();
    for (index, lb) in core.config.model.load_balancers().iter().enumerate() {
        for (at, listener) in lb.listeners.iter().enumerate() {
            for pool in listener.pools().filter_map(|name| core.config.model.pool(name)) {
                listeners.entry(pool.id).or_default().push((index, at));
            }
        }
    }
    listeners
}

impl Summary {
    fn note(&mut self, core: &Core, pool: &model::Pool, member: &model::Member) {
        if core.drains.drained.has(member) {
            return;
        }
        let known = core.probes.members.get(pool.id, member.socket());
        let status = known.map_or(OperatingStatus::Initial, |known| known.health.status());
        self.any_offline |= status == OperatingStatus::Offline;
        self.any_unserved |= core.unserved_way(member.address).is_some();
        let lacks = known.and_then(|known| known.local.as_ref()).map(|local| &local.cause);
        self.any_unjudged |= matches!(lacks, Some(Cause::NoCommand { .. }));
        self.any_judged |= status != OperatingStatus::NoMonitor;
    }
}

impl Core {
    /// The listeners that a member lists, of all of its pool: one with an address among them, if any has.
    fn listed(&self, all: &[(usize, usize)], most: usize) -> Vec<health::At<'_>> {
        let at = |(lb, listener): &(usize, usize)| self.at(*lb, *listener);
        let mut listed: Vec<_> = all.iter().take(most).filter_map(at).collect();
        if listed.iter().all(health::At::is_unbound)
            && let Some(bound) = all.iter().skip(most).filter_map(at).find(|at| !at.is_unbound())
        {
            listed.pop();
            listed.push(bound);
        }
        listed
    }

    /// What is known of a pool whose connections were counted.
    fn within(
        &self,
        pool: &model::Pool,
        assigned: Option<&AssignedPool>,
        counts: &HashMap<u16, u64>,
    ) -> Within {
        let region = assigned.map(AssignedPool::region);
        let (owned, moving_slots) =
            region.map(|region| self.serving.maps.shares(region)).unwrap_or_default();
        let shape = assigned.map_or_else(|| Shape::of(pool), |assigned| assigned.ring.shape);
        let shares = Shares::new(shape, owned, |id| self.weight(id));
        let arrived = self.journal.arrivals.of(pool.id, counts);
        let members = assigned.map_or(&[][..], |assigned| &assigned.members);
        let (removed, present): (Vec<_>, Vec<_>) = members.iter().partition(|one| one.removed);
        let former = assigned.and_then(|assigned| assigned.former);
        let head = status::PoolStatus {
            id: Some(pool.id),
            name: pool.name.to_string(),
            forwarding: pool.forwarding.to_string(),
            lb_algorithm: algorithm_name(shape.algorithm).to_owned(),
            session_persistence: pool.session_persistence.map(|one| one.timeout.get()),
            slots: shape.size,
            moving_slots,
            former_slots: former.map_or(0, |ring| ring.shape.size),
            listeners: self.config.model.listeners_of(&pool.name).count(),
            takes_new: Some(members.iter().any(|one| shares.slots(Some(one.id)) > 0)),
            backup: self.serving.reserves.get(&pool.id).map(|one| one.reserve),
            members: Vec::new(),
        };
        Within {
            pool: pool.id,
            all: arrived.values().map(|arrived| arrived.count).sum(),
            arrived,
            opened: counts.clone(),
            rising: self.serving.reconciler.rising(pool, coarse_seconds()),
            shares,
            at: 0,
            head: Some(head),
            numbers: present.into_iter().map(|one: &AssignedMember| (one.socket(), *one)).collect(),
            removed: removed.into_iter().copied().collect(),
        }
    }

    fn one_member(
        &self,
        pool: &model::Pool,
        member: &model::Member,
        within: &Within,
        listed: &[health::At<'_>],
        request: &StatusRequest,
        more_listeners: usize,
    ) -> status::MemberStatus {
        let known = self.probes.members.get(pool.id, member.socket());
        let number = within.numbers.get(&member.socket());
        let backend =
            self.backend(MemberRef::from((pool, member)), number, &within.shares, &within.arrived);
        let shown = self.member(pool, member, known, listed, request, backend);
        let opened = number.and_then(|number| within.opened.get(&number.id)).copied();
        let rising = number.and_then(|number| within.rising.get(&number.id)).copied();
        let replies = self.backend_replies(pool, number);
        status::MemberStatus { more_listeners, opened, rising, replies, ..shown }
    }
}

#[cfg(test)]
mod tests;
