//! Members that are drained by command, and how far that is.

use std::net::SocketAddr;

use super::core::Core;
use crate::api::shape::drain::{DrainAction, DrainReport, DrainRequest, DrainedMember};
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::census::Census;
use crate::kernel::bpf::coarse_seconds;
use crate::model::select::{self, Label};
use crate::model::{Member, MemberRef, ResourceId};

/// A member that a request named.
struct Named {
    id: ResourceId,
    pool: ResourceId,
    pool_name: String,
    /// The member; none of one that was removed.
    member: Option<Member>,
    socket: SocketAddr,
}

/// A member that a request may name.
struct Candidate<'a> {
    id: ResourceId,
    pool: ResourceId,
    pool_name: &'a str,
    member: Option<&'a Member>,
    socket: SocketAddr,
}

impl Candidate<'_> {
    fn named(self) -> Named {
        let Self { id, pool, pool_name, member, socket } = self;
        Named { id, pool, pool_name: pool_name.to_owned(), member: member.cloned(), socket }
    }
}

/// A report that lacks what the flow tables say.
#[derive(Debug)]
pub(super) struct Draft {
    members: Vec<(u16, DrainedMember)>,
}

impl Draft {
    /// The whole report.
    pub(super) fn complete(self, census: &Census) -> DrainReport {
        let member = |(id, mut member): (u16, DrainedMember)| {
            let found = census.backend(id);
            member.flows = found.flows;
            member.connections = member.connections.map(|_| found.open);
            member
        };
        DrainReport { members: self.members.into_iter().map(member).collect() }
    }
}

impl Core {
    /// Does what was asked, and returns how far it is; an error names the member that was not found.
    pub(super) fn drain(&mut self, request: &DrainRequest) -> Result<Draft, String> {
        let named = self.named(request)?;
        let before = self.drains.drained.clone();
        for Named { id, pool, member, .. } in &named {
            let pool = self.config.model.pool_with(*pool);
            match (request.action, pool, member) {
                (DrainAction::Start, Some(pool), Some(member)) => {
                    self.drains.drained.start(pool, member);
                }
                (DrainAction::Cancel, ..) => self.drains.drained.cancel(*id),
                (DrainAction::Start | DrainAction::Look, ..) => {}
            }
        }
        if self.drains.drained != before {
            if let Err(why) = self.save_drained() {
                self.drains.drained = before;
                tracing::error!("{why}");
                return Err(format!("{why}; nothing is changed, since a restart would forget it"));
            }
            tracing::info!(member = request.member, action = ?request.action, "draining changed");
            self.publish();
        }
        let members = named.iter().filter_map(|named| self.drained_member(named)).collect();
        Ok(Draft { members })
    }

    fn named(&self, request: &DrainRequest) -> Result<Vec<Named>, String> {
        let pool = request.pool.as_deref();
        if let Some(pool) = pool {
            select::all("pool", pool, self.pools())?;
        }
        let place = pool.map_or("any pool".to_owned(), |pool| format!("pool {pool:?}"));
        let all = self.present_members().chain(self.removed_members());
        let in_question = all.filter(|(label, _)| pool.is_none_or(|pool| label.is_within(pool)));
        let found = select::all(&format!("member of {place}"), &request.member, in_question)?;
        Ok(found.into_iter().map(Candidate::named).collect())
    }

    /// Those that there are, and those that only serve flows.
    fn pools(&self) -> impl Iterator<Item = (Label<'_>, ())> {
        let present = self.config.model.pools().iter().map(Label::from);
        let removed =
            self.serving.reconciler.assignments.pools.iter().filter(|(_, pool)| pool.removed);
        let removed = removed.map(|(id, pool)| Label::pool(Some(*id), &pool.name));
        present.chain(removed).map(|label| (label, ()))
    }

    fn present_members(&self) -> impl Iterator<Item = (Label<'_>, Candidate<'_>)> {
        let pools = self.config.model.pools().iter();
        let members = pools.flat_map(|pool| pool.members.iter().map(move |one| (pool, one)));
        members.map(|(pool, member)| {
            let label = Label::from((pool, member));
            let (pool_name, socket) = (pool.name.as_str(), member.socket());
            let (id, member) = (member.id, Some(member));
            (label, Candidate { id, pool: pool.id, pool_name, member, socket })
        })
    }

    fn removed_members(&self) -> impl Iterator<Item = (Label<'_>, Candidate<'_>)> {
        self.serving.reconciler.assignments.pools.iter().flat_map(|(pool, assigned)| {
            let removed = assigned.members.iter().filter(|member| member.removed);
            removed.map(|number| {
                let (pool_name, socket) = (assigned.name.as_str(), number.socket());
                let id = number.resource(*pool);
                let label = Label::member((Some(*pool), pool_name), Some(id), None, socket);
                (label, Candidate { id, pool: *pool, pool_name, member: None, socket })
            })
        })
    }

    fn drained_member(&self, named: &Named) -> Option<(u16, DrainedMember)> {
        let assigned = self.serving.reconciler.assignments.pools.get(&named.pool)?;
        let number = assigned.members.iter().find(|member| member.socket() == named.socket)?;
        let (slots, former_slots) = self.slots_naming(assigned, number.id);
        let cut_in = number.cut_at.map(|at| at.saturating_sub(coarse_seconds()));
        let counts = assigned.ring.shape.is_scheduled();
        let member = DrainedMember {
            member: MemberRef::new(
                (Some(named.pool), &named.pool_name),
                Some(number.resource(named.pool)),
                named.member.as_ref().map(|member| member.name.as_str()),
                number.socket(),
            ),
            state: self.state(named, number).to_owned(),
            slots,
            former_slots,
            flows: 0,
            connections: counts.then_some(0),
            named_ago: self.named_ago(assigned, number).filter(|_| !self.is_cut(number.id)),
            idle_timeout: assigned.idle_timeout,
            quiet_for: self.quiet_for(number.id),
            others: self.others(assigned, number.id),
            cut_in,
        };
        Some((number.id, member))
    }

    /// Seconds for which no packet went to a member, if that is known.
    fn quiet_for(&self, id: u16) -> u32 {
        match self.serving.maps.backend_counter(id) {
            Ok(counter) => self.drains.quiet.time(id, counter.packets, coarse_seconds()),
            Err(error) => {
                tracing::warn!(%error, "cannot read whether packets go to a member");
                0
            }
        }
    }

    /// How many members of a pool take new flows next to one.
    fn others(&self, pool: &AssignedPool, id: u16) -> usize {
        let (owners, _) = self.serving.maps.shares(pool.region());
        owners.keys().filter(|owner| ![0, id].contains(owner)).count()
    }

    fn state(&self, named: &Named, number: &AssignedMember) -> &'static str {
        match named {
            _ if self.is_cut(number.id) => "CUT",
            Named { member: None, .. } => "REMOVED",
            Named { member: Some(member), .. } if self.drains.drained.has(member) => "DRAINING",
            Named { .. } => "SERVING",
        }
    }

    /// Slots that a member owns, and slots where it serves as a former owner.
    fn slots_naming(&self, assigned: &AssignedPool, id: u16) -> (u32, u32) {
        let (owned, former) = self.serving.maps.naming(assigned.region(), id);
        if self.is_cut(id) {
            return (owned, former);
        }
        let before = assigned.former.map(|ring| self.serving.maps.naming(ring.region(), id));
        let (owned_before, former_before) = before.unwrap_or_default();
        (owned, former + owned_before + former_before)
    }
}
