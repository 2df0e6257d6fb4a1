//! `elb explain` and `elb flows`, from the maps in use.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use elb_common::addr::Mac;
use tokio::sync::mpsc;

use super::core::Core;
use crate::kernel::bpf::{FlowTables, Live, MapError, coarse_seconds};
use crate::observe::explain::{Explanation, Ingress, Question, explain, local};
use crate::observe::flows::{Identity, Line, MemberFlows, Request, Summary, TrackedFlow};
use crate::observe::names::Names;

impl Core {
    /// What the maps' numbers are called now.
    pub(super) fn names(&self) -> Names {
        let interfaces = self.attachments.iter().map(|a| (a.index, a.interface.clone()));
        Names::new(&self.config.model, &self.reconciler.assignments, interfaces.collect())
    }

    /// Where a packet would go. Changes nothing.
    pub(super) fn explain(&self, question: &Question) -> Result<Explanation, String> {
        let ingress = self.ingress(question.interface.as_deref())?;
        let live = Live::new(&self.maps);
        let told = explain(question, ingress, &live, &self.names());
        live.finish().map_err(|error| error.to_string())?;
        let (mut told, key) = told?;
        if let (Some(entry), Some(key)) = (&mut told.flow, key) {
            let flow = self.maps.flow(&key).map_err(|error| error.to_string())?;
            entry.idle = flow.map(|flow| coarse_seconds().saturating_sub(flow.seen));
        }
        let own = local::own_addresses();
        let (source, vip) = (question.src.address, question.dst.ip());
        if let Some(verdict) = local::verdict(source, vip, &own, &self.config.model) {
            (told.verdict, told.sent, told.answer) = (verdict, None, None);
        }
        Ok(told)
    }

    fn ingress(&self, interface: Option<&str>) -> Result<Ingress, String> {
        let wanted = |name: &str| interface.is_none_or(|interface| interface == name);
        let found = self.attachments.iter().find(|attachment| wanted(&attachment.interface));
        let attachment = found.ok_or_else(|| {
            let known: Vec<_> = self.attachments.iter().map(|a| a.interface.as_str()).collect();
            let wanted = interface.unwrap_or_default();
            format!("{wanted:?} does not carry the program; these do: {}", known.join(", "))
        })?;
        let link = self.network.links.get(&attachment.index);
        let mac = link.and_then(|link| link.mac).map_or([0; 6], Mac::bytes);
        Ok(Ingress { index: attachment.index, mac })
    }

    /// The flows that are asked for, to be read beside the agent's other work.
    pub(super) fn flows(&self, request: &Request) -> Result<Listing, String> {
        let names = self.names();
        let all = request.member.is_none() && request.pool.is_none();
        let members = names.select(request.member.as_deref(), request.pool.as_deref())?;
        let room = self.maps.capacity.flows;
        let tables =
            FlowTables::new(&self.object.directory, room).map_err(|error| error.to_string())?;
        Ok(Listing { tables, names, members: (!all).then_some(members), limit: request.limit })
    }
}

/// Flows to be listed.
pub(super) struct Listing {
    tables: FlowTables,
    names: Names,
    /// Whose; `None`: everybody's.
    members: Option<BTreeSet<u16>>,
    limit: u64,
}

impl Listing {
    /// Sends the summary and then the flows; both need a walk over the tables, so that memory does
    /// not grow with them. Ends early when nobody listens any more.
    pub(super) fn send(&self, lines: &mpsc::Sender<Line>) {
        let done = self.summary().and_then(|summary| {
            let listened = lines.blocking_send(Line::Summary(summary)).is_ok();
            if listened && self.limit > 0 { self.list(lines) } else { Ok(()) }
        });
        if let Err(error) = done {
            // Whoever asked may have gone meanwhile.
            let _ = lines.blocking_send(Line::Failed(error.to_string()));
        }
    }

    fn summary(&self) -> Result<Summary, MapError> {
        let mut counts: HashMap<u16, u64> = HashMap::new();
        self.tables.each(|_, flow| {
            if self.wants(flow.backend) {
                *counts.entry(flow.backend).or_default() += 1;
            }
            ControlFlow::Continue(())
        })?;
        let mut members: Vec<_> = counts
            .iter()
            .map(|(id, flows)| MemberFlows { member: self.names.member(*id), flows: *flows })
            .collect();
        members.sort_by_key(|one| (std::cmp::Reverse(one.flows), one.member.id));
        Ok(Summary { members, flows: counts.values().sum(), room: self.tables.room })
    }

    fn list(&self, lines: &mpsc::Sender<Line>) -> Result<(), MapError> {
        let (now, mut left) = (coarse_seconds(), self.limit);
        self.tables.each(|key, flow| {
            if !self.wants(flow.backend) {
                return ControlFlow::Continue(());
            }
            let line = Line::Flow(TrackedFlow {
                identity: Identity::of(&key, &self.names),
                member: self.names.member(flow.backend),
                idle: now.saturating_sub(flow.seen),
            });
            left -= 1;
            if lines.blocking_send(line).is_err() || left == 0 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
    }

    fn wants(&self, backend: u16) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(&backend))
    }
}
