//! `elb explain`, from the maps in use.

use elb_common::addr::Mac;

use super::core::Core;
use super::state::flow_log::Naming;
use crate::control::plan::ListenerKey;
use crate::kernel::bpf::{Attachment, Live, coarse_seconds};
use crate::observe::explain::{ExplainRequest, Explanation, Ingress, explain, local};
use crate::observe::names::Names;

impl Core {
    /// What the maps' numbers are called now.
    pub(super) fn names(&self) -> Names {
        // A next hop may be behind an interface that is not served, which has a name as well.
        let links = self.network.links.iter().map(|(index, link)| (*index, link.name.clone()));
        let served = self.host.attachments.iter().map(|a| (a.index, a.interface.clone()));
        let interfaces = links.chain(served).collect();
        Names::new(&self.config.model, &self.serving.reconciler.assignments, interfaces)
    }

    /// What names depend on.
    pub(super) fn naming(&self) -> Naming {
        let interfaces = self.host.attachments.iter().map(|one| one.index).collect();
        (self.serving.revision, self.file.loaded.time, interfaces)
    }

    /// Where a packet would go. Changes nothing.
    pub(super) fn explain(&self, question: &ExplainRequest) -> Result<Explanation, String> {
        let ingress = self.ingress(question)?;
        let live = Live::new(&self.serving.maps);
        let explained = explain(question, ingress, &live, &self.names());
        live.finish().map_err(|error| error.to_string())?;
        let (mut explained, key) = explained?;
        if let (Some(entry), Some(key)) = (&mut explained.flow, key) {
            let flow = self.serving.maps.flow(&key).map_err(|error| error.to_string())?;
            entry.idle = flow.map(|flow| coarse_seconds().saturating_sub(flow.seen));
        }
        let own = local::own_addresses();
        let (source, vip) = (question.src.address, question.dst.ip());
        if let Some(decision) = local::decision(source, vip, &own, &self.config.model) {
            (explained.decision, explained.sent, explained.answer) = (decision, None, None);
        }
        Ok(explained)
    }

    /// Where the packet comes in: an answer by the interface, and from the Ethernet address, of its member.
    fn ingress(&self, question: &ExplainRequest) -> Result<Ingress, String> {
        let interface = question.interface.as_deref();
        let endpoint = question.src.port.and_then(|port| {
            let (address, protocol) = (question.src.address, question.proto.number());
            self.serving.observed.replies.get(&ListenerKey { address, port, protocol })
        });
        let wanted = |one: &&Attachment| match (interface, endpoint) {
            (Some(interface), _) => one.interface == interface,
            (None, Some(endpoint)) => one.index == endpoint.ifindex,
            (None, None) => true,
        };
        let attachments = &self.host.attachments;
        let first = || attachments.first().filter(|_| interface.is_none());
        let found = attachments.iter().find(wanted).or_else(first);
        let attachment = found.ok_or_else(|| {
            let known: Vec<_> =
                self.host.attachments.iter().map(|a| a.interface.as_str()).collect();
            let wanted = interface.unwrap_or_default();
            format!("{wanted:?} does not carry the program; these do: {}", known.join(", "))
        })?;
        let link = self.network.links.get(&attachment.index);
        let mac = link.and_then(|link| link.mac).map_or([0; 6], Mac::bytes);
        let ingress = Ingress::of_clients(attachment.index, mac);
        let member = endpoint.filter(|endpoint| endpoint.ifindex == attachment.index);
        let sender = member.map_or(ingress.sender, |endpoint| endpoint.mac.bytes());
        Ok(Ingress { sender, ..ingress })
    }
}
