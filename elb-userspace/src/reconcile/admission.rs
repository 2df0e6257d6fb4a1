//! Who may open flows at a listener, how many, and how many of them are recorded.

use elb_common::listener::{Listener as Record, listener_flags};

use super::{Desired, Reconciler};
use crate::assign::Room;
use crate::model::{AccessList, Listener, Model};

impl Reconciler {
    /// Numbers the IP groups and lists their networks.
    pub(super) fn ip_groups(&mut self, model: &Model, desired: &mut Desired) {
        for group in model.ip_groups() {
            let id = self.assignments.ip_group(group.name.as_str());
            desired.image.groups.insert(id, group.networks());
        }
    }

    /// The part of a listener's record that admission reads; the other fields are zero.
    pub(super) fn admission(&self, listener: &Listener, flow_budget: u32) -> Record {
        let mut record = Record {
            cps: listener.cps.get(),
            max_connections: listener.max_connection.get(),
            flow_budget,
            ..Record::default()
        };
        if record.cps > 0 || record.max_connections > 0 {
            record.flags |= listener_flags::LIMITED;
        }
        if let Some(access) = listener.ipgroup.as_ref().filter(|access| access.enable_ipgroup) {
            record.group = self.assignments.ip_groups[access.ipgroup.as_str()];
            record.flags |= match access.list {
                AccessList::White => listener_flags::WHITELIST,
                AccessList::Black => listener_flags::BLACKLIST,
            };
        }
        record
    }
}

/// Flows that a listener may record a second on each CPU.
///
/// Within the longest idle timeout of all listeners, which is how long a record must be kept that
/// no packet refreshes, one listener then fills at most half of a flow table, however hard it is
/// flooded: the other half is left to the others. At least 100 a second, so that small tables
/// record something at all.
pub(super) fn flow_budget(model: &Model, room: Room) -> u32 {
    const LEAST: u32 = 100;
    let listeners = model.load_balancers().iter().flat_map(|lb| &lb.listeners);
    let longest = listeners.map(|listener| listener.keepalive_timeout.get()).max().unwrap_or(1);
    let whole = (room.flows / 2 / longest).max(LEAST);
    whole.div_ceil(room.cpus.max(1))
}
