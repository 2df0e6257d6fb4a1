//! `elb flows`: what is recorded of flows, from the maps in use.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use elb_common::flow::Flow;
use tokio::sync::mpsc;

use super::core::Core;
use crate::api::shape::error::{Error, ErrorCode};
use crate::api::shape::flows::FlowsLine;
use crate::control::flow_key::Key;
use crate::kernel::bpf::{Bindings, FlowTables, MapError, coarse_seconds};
use crate::observe::flows::cut::Reach;
use crate::observe::flows::{
    BoundFlow, BoundTerms, Clients, FlowCounts, FlowState, FlowsRequest, Identity, MemberFlows,
    Summary, Terms, TrackedFlow,
};
use crate::observe::names::Names;

impl Core {
    /// The flows that are asked for, to be read next to the agent's other work.
    pub(super) fn flows(&self, request: &FlowsRequest) -> Result<Listing, String> {
        let names = self.names();
        let all = request.member.is_none() && request.pool.is_none();
        let members = names.select(request.member.as_deref(), request.pool.as_deref())?;
        let listener = request.listener.as_deref().map(|name| names.select_listener(name));
        let tables = FlowTables::new(&self.host.object.directory, self.serving.maps.capacity)
            .map_err(|error| error.to_string())?;
        let wanted = Wanted {
            members: (!all).then_some(members),
            listener: listener.transpose()?,
            client: request.client,
        };
        let terms = Terms::new(&self.serving.observed);
        let FlowsRequest { limit, cut, .. } = *request;
        let bound = self.serving.observed.snat.addresses != 0;
        let bound =
            bound.then(|| (self.serving.maps.bindings(), BoundTerms::new(&self.serving.observed)));
        Ok(Listing { tables, names, terms, wanted, limit, cut, bound })
    }
}

/// Which flows are asked for, by the numbers in their records.
struct Wanted {
    /// Whose; `None`: every member's.
    members: Option<BTreeSet<u16>>,
    listener: Option<u16>,
    client: Option<Clients>,
}

impl Wanted {
    fn has(&self, key: &Key, flow: &Flow) -> bool {
        let is_client = |clients: &Clients| {
            let (source, ..): (SocketAddr, _, _) = key.five_tuple();
            key.connection().is_none() && clients.holds(source)
        };
        self.members.as_ref().is_none_or(|members| members.contains(&flow.backend))
            && self.listener.is_none_or(|listener| listener == flow.listener)
            && self.client.as_ref().is_none_or(is_client)
    }
}

/// Flows to be listed, or cut (`cutting`).
pub(super) struct Listing {
    tables: FlowTables,
    names: Names,
    terms: Terms,
    wanted: Wanted,
    limit: u64,
    cut: bool,
    /// Bindings, where there are source addresses.
    bound: Option<(Arc<Bindings>, BoundTerms)>,
}

impl Listing {
    /// Sends the summary and then the flows; all need a walk over the tables, so that memory does
    /// not grow with them. Ends early when the client is gone.
    pub(super) fn send(&self, lines: &mpsc::Sender<FlowsLine>) {
        let done = self.summary().and_then(|summary| {
            let ended = summary.counts.all() - summary.counts.open - summary.counts.settled;
            if lines.blocking_send(FlowsLine::Summary(summary)).is_err() {
                return Ok(());
            }
            let mut left = self.limit;
            self.list(lines, false, &mut left)?;
            if ended > 0 { self.list(lines, true, &mut left) } else { Ok(()) }
        });
        if let Err(error) = done {
            // The client may have gone meanwhile.
            let _ = lines
                .blocking_send(FlowsLine::Failed(Error::new(ErrorCode::Failed, error.to_string())));
        }
    }

    fn summary(&self) -> Result<Summary, MapError> {
        let mut by_member: HashMap<u16, FlowCounts> = HashMap::new();
        let mut reach = Reach::default();
        self.each(|key, flow, state| {
            by_member.entry(flow.backend).or_default().add(state);
            reach.add(&key, state);
            ControlFlow::Continue(())
        })?;
        self.each_bound(|bound| {
            by_member.entry(bound.flow.backend).or_default().add(bound.state);
            ControlFlow::Continue(())
        });
        let mut counts = FlowCounts::default();
        by_member.values().for_each(|one| counts += *one);
        let mut members: Vec<_> = by_member
            .into_iter()
            .map(|(id, counts)| MemberFlows {
                member: self.names.member(id),
                flows: counts.all(),
                counts,
            })
            .collect();
        members.sort_by_key(|one| (std::cmp::Reverse(one.flows), one.member.number));
        let cutting = self.cut.then(|| self.unrecorded(reach));
        Ok(Summary { members, flows: counts.all(), counts, cutting, room: self.tables.room })
    }

    /// Adds the slots on which flows have no record.
    fn unrecorded(&self, mut reach: Reach) -> Reach {
        let is_wanted = |listener: u16| self.wanted.listener.is_none_or(|one| one == listener);
        let pools = self.terms.settling().filter(|(listener, _)| is_wanted(*listener));
        let rings: BTreeSet<_> = pools
            .map(|(_, pool)| (pool.ring.base, pool.ring.base.saturating_add(pool.ring.size)))
            .collect();
        let slots = rings.into_iter().flat_map(|(base, end)| base..end);
        for slot in slots.filter_map(|index| self.tables.slot(index)) {
            if self.wanted.members.as_ref().is_none_or(|members| members.contains(&slot.cur())) {
                reach.slots += 1;
                reach.settled_slots += u64::from(slot.is_settled());
            }
        }
        reach
    }

    /// Lists those that have ended, or those that have not.
    fn list(
        &self,
        lines: &mpsc::Sender<FlowsLine>,
        ended: bool,
        left: &mut u64,
    ) -> Result<(), MapError> {
        if *left == 0 {
            return Ok(());
        }
        let now = coarse_seconds();
        let mut send = |key: &Key, flow: &Flow, state: FlowState, as_source: Option<SocketAddr>| {
            if state.has_ended() != ended {
                return ControlFlow::Continue(());
            }
            let line = FlowsLine::Flow(TrackedFlow {
                identity: Identity::of(key, &self.names),
                member: self.names.member(flow.backend),
                state,
                idle: now.saturating_sub(flow.seen),
                as_source,
            });
            *left -= 1;
            if lines.blocking_send(line).is_err() || *left == 0 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let mut is_over = false;
        self.each(|key, flow, state| {
            let goes_on = send(&key, &flow, state, None);
            is_over = goes_on.is_break();
            goes_on
        })?;
        if !is_over {
            self.each_bound(|one| send(&one.key, &one.flow, one.state, Some(one.source)));
        }
        Ok(())
    }

    /// Visits those with a port of a source address that are asked for.
    fn each_bound(&self, mut visit: impl FnMut(BoundFlow) -> ControlFlow<()>) {
        let Some((bindings, terms)) = &self.bound else { return };
        let now = coarse_seconds();
        bindings.walk(|number, binding| match terms.flow(number, binding, now) {
            Some(one) if self.wanted.has(&one.key, &one.flow) => visit(one),
            Some(_) | None => ControlFlow::Continue(()),
        });
    }

    /// Visits the flows that are asked for.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(Key, Flow, FlowState) -> ControlFlow<()>,
    ) -> Result<(), MapError> {
        let now = coarse_seconds();
        self.tables.each(|key, flow| {
            if !self.wanted.has(&key, &flow) {
                return ControlFlow::Continue(());
            }
            let state = self.terms.state(&key, &flow, now, |index| self.tables.slot(index));
            visit(key, flow, state)
        })
    }
}
