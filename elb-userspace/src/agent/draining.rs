//! Members that are drained by command, and how far that is.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::core::Core;
use crate::agent::saved;
use crate::api::shape::drain::{Action, DrainReport, DrainRequest, DrainedMember};
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::census::Census;
use crate::control::reconcile::Renamed;
use crate::kernel::bpf::coarse_seconds;
use crate::model::Model;
use crate::observe::names::is_named;

/// Members that are drained, each with its pool.
pub(super) type Drained = BTreeSet<(String, SocketAddr)>;

/// A member that a request named.
struct Named {
    pool: String,
    name: Option<String>,
    socket: SocketAddr,
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
        let before = self.drained.clone();
        for Named { pool, socket, name } in &named {
            match request.action {
                Action::Start if name.is_some() => {
                    self.drained.insert((pool.clone(), *socket));
                }
                Action::Cancel => drop(self.drained.remove(&(pool.clone(), *socket))),
                Action::Start | Action::Look => {}
            }
        }
        if self.drained != before {
            if let Err(why) = self.save_drained() {
                self.drained = before;
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
        let in_question = |pool: &str| request.pool.as_deref().is_none_or(|name| name == pool);
        let mut found = Vec::new();
        for pool in self.config.model.pools().iter().filter(|p| in_question(p.name.as_str())) {
            for member in &pool.members {
                let (name, socket) = (member.name.as_str(), member.socket());
                if is_named(&request.member, Some(name), socket) {
                    let (pool, name) = (pool.name.to_string(), Some(name.to_owned()));
                    found.push(Named { pool, name, socket });
                }
            }
        }
        for (pool, assigned) in &self.reconciler.assignments.pools {
            let removed = assigned.members.iter().filter(|m| m.removed && in_question(pool));
            for socket in removed.map(AssignedMember::socket) {
                if is_named(&request.member, None, socket) {
                    found.push(Named { pool: pool.clone(), name: None, socket });
                }
            }
        }
        if found.is_empty() {
            let place = request.pool.as_ref().map_or("any pool".into(), |p| format!("pool {p:?}"));
            return Err(format!(
                "no member of {place} is called {:?}, or has it as its address; `elb status` lists \
                 them",
                request.member
            ));
        }
        Ok(found)
    }

    fn drained_member(&self, named: &Named) -> Option<(u16, DrainedMember)> {
        let assigned = self.reconciler.assignments.pools.get(&named.pool)?;
        let number = assigned.members.iter().find(|member| member.socket() == named.socket)?;
        let (slots, former_slots) = self.slots_naming(assigned, number.id);
        let cut_in = number.cut_at.map(|at| at.saturating_sub(coarse_seconds()));
        let counts = assigned.ring.shape.is_scheduled();
        let member = DrainedMember {
            pool: named.pool.clone(),
            member: named.name.clone().unwrap_or_else(|| named.socket.to_string()),
            address: number.address,
            protocol_port: number.port,
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
        match self.maps.backend_counter(id) {
            Ok(counter) => self.quiet.time(id, counter.packets, coarse_seconds()),
            Err(error) => {
                tracing::warn!(%error, "cannot read whether packets go to a member");
                0
            }
        }
    }

    /// How many members of a pool take new flows next to one.
    fn others(&self, pool: &AssignedPool, id: u16) -> usize {
        let (owners, _) = self.maps.shares(pool.region());
        owners.keys().filter(|owner| ![0, id].contains(owner)).count()
    }

    fn state(&self, named: &Named, number: &AssignedMember) -> &'static str {
        match named {
            _ if self.is_cut(number.id) => "CUT",
            Named { name: None, .. } => "REMOVED",
            Named { pool, socket, .. } if self.drained.contains(&(pool.clone(), *socket)) => {
                "DRAINING"
            }
            _ => "SERVING",
        }
    }

    /// Slots that a member owns, and slots where it serves as a former owner.
    fn slots_naming(&self, assigned: &AssignedPool, id: u16) -> (u32, u32) {
        let (owned, former) = self.maps.naming(assigned.region(), id);
        if self.is_cut(id) {
            return (owned, former);
        }
        let before = assigned.former.map(|ring| self.maps.naming(ring.region(), id));
        let (owned_before, former_before) = before.unwrap_or_default();
        (owned, former + owned_before + former_before)
    }
}

/// Pools have other names: their members are drained as before.
pub(super) fn rename(drained: &mut Drained, pools: &[Renamed]) {
    for Renamed { from: old, to: new } in pools {
        let (here, others) =
            std::mem::take(drained).into_iter().partition::<Drained, _>(|(pool, _)| pool == old);
        *drained = others;
        drained.extend(here.into_iter().map(|(_, member)| (new.clone(), member)));
    }
}

/// What was written down of drained members.
pub(super) fn of(written: &saved::Drained) -> Drained {
    let members = written.members.iter();
    members.map(|drained| (drained.pool.clone(), drained.member)).collect()
}

/// The drained members where pools may have other names now; `pools` are those that there were.
pub(super) fn followed(drained: &Drained, pools: &BTreeSet<String>, model: &Model) -> Drained {
    let member = |(pool, member): &(String, SocketAddr)| saved::DrainedMember {
        pool: pool.clone(),
        member: *member,
    };
    let mut known =
        saved::Drained { members: drained.iter().map(member).collect(), pools: pools.clone() };
    let now = model.pools().iter();
    let now: Vec<_> = now
        .map(|pool| {
            (pool.name.as_str(), pool.members.iter().map(|member| member.socket()).collect())
        })
        .collect();
    known.follow(&now);
    of(&known)
}

/// Those of the drained members that a model still has.
pub(super) fn still_there(drained: &Drained, model: &Model) -> Drained {
    let pools = model.pools().iter();
    let there = pools.flat_map(|pool| {
        pool.members.iter().map(move |member| (pool.name.to_string(), member.socket()))
    });
    let there: Drained = there.collect();
    drained.intersection(&there).cloned().collect()
}
