//! Who may open flows at a listener, and how many; whether senders learn that no member serves them.

use elb_common::listener::{Listener as Record, listener_flags};

use super::{Desired, Reconciler};
use crate::model::{AccessList, Listener, Model, NoMember};

impl Reconciler {
    /// Numbers the IP groups and lists their networks.
    pub(super) fn ip_groups(&mut self, model: &Model, desired: &mut Desired) {
        for group in model.ip_groups() {
            let id = self.assignments.ip_group(group.id, group.name.as_str());
            desired.image.groups.insert(id, group.networks());
        }
    }

    /// The part of a listener's record that admission reads; the other fields are zero.
    pub(super) fn admission(&self, listener: &Listener, model: &Model) -> Record {
        let mut record = Record {
            cps: listener.cps.get(),
            max_connections: listener.max_connection.get(),
            ..Record::default()
        };
        if record.cps > 0 || record.max_connections > 0 {
            record.flags |= listener_flags::LIMITED;
        }
        if listener.no_member == NoMember::Reset {
            record.flags |= listener_flags::RESET;
        }
        if let Some(access) = listener.ipgroup.as_ref().filter(|access| access.enable_ipgroup) {
            let mut groups = model.ip_groups().iter();
            let group = groups.find(|group| group.name == access.ipgroup);
            let group = group.expect("a model has the groups that its listeners name");
            record.group = self.assignments.ip_groups[&group.id].id;
            record.flags |= if access.cut { listener_flags::CUT } else { 0 };
            record.flags |= match access.list {
                AccessList::White => listener_flags::WHITELIST,
                AccessList::Black => listener_flags::BLACKLIST,
            };
        }
        record
    }
}
