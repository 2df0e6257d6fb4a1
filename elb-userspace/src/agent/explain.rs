//! `elb explain`, from the maps in use.

use elb_common::addr::Mac;

use super::core::Core;
use super::state::flow_log::Naming;
use crate::kernel::bpf::{Live, coarse_seconds};
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
        let ingress = self.ingress(question.interface.as_deref())?;
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

    fn ingress(&self, interface: Option<&str>) -> Result<Ingress, String> {
        let wanted = |name: &str| interface.is_none_or(|interface| interface == name);
        let found = self.host.attachments.iter().find(|attachment| wanted(&attachment.interface));
        let attachment = found.ok_or_else(|| {
            let known: Vec<_> =
                self.host.attachments.iter().map(|a| a.interface.as_str()).collect();
            let wanted = interface.unwrap_or_default();
            format!("{wanted:?} does not carry the program; these do: {}", known.join(", "))
        })?;
        let link = self.network.links.get(&attachment.index);
        let mac = link.and_then(|link| link.mac).map_or([0; 6], Mac::bytes);
        Ok(Ingress { index: attachment.index, mac })
    }
}
