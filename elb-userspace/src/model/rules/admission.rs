//! What listeners may ask of IP groups and limits.

use super::{At, RENAME, Rules, name_taken};
use crate::model::{IpGroup, Listener, Member, Pool, Protocol};

/// What makes a pool count connections.
const COUNTS: &str =
    "remove it, or set lb_algorithm = \"ROUND_ROBIN\" or \"LEAST_CONNECTIONS\" in the pool";

impl<'a> Rules<'a> {
    pub(super) fn ip_group(&mut self, i: usize, group: &'a IpGroup) {
        let at = At::IpGroup(i);
        if self.ip_group_names.again(group.name.as_str()) {
            self.report(at, "name", name_taken("IP group", group.name.as_str()), RENAME);
        }
        if i >= IpGroup::MOST {
            let what = format!("it is IP group {}, of at most {}", i + 1, IpGroup::MOST);
            self.report(at, "name", what, "join some of them");
        }
    }

    /// Who may open connections.
    pub(super) fn access(&mut self, at: At, listener: &Listener) {
        let Some(access) = &listener.ipgroup else { return };
        if !self.ip_groups.contains(access.ipgroup.as_str()) {
            let what = format!("ipgroup \"{}\" does not exist", access.ipgroup);
            let fix = "define an [[ipgroup]] of that name or name another";
            self.report(at, "ipgroup", what, fix);
        }
    }

    /// How many connections a member may have: only some algorithms count them.
    pub(super) fn member_limit(&mut self, at: At, pool: &Pool, member: &Member) {
        let most = member.max_connection.get();
        if most == 0 || pool.lb_algorithm.is_tracked() {
            return;
        }
        let what = format!(
            "max_connection {most} needs a pool that records every connection; that of pool \"{}\" is \
             {}, which does not",
            pool.name, pool.lb_algorithm
        );
        self.report(at, "max_connection", what, COUNTS);
    }

    /// Which pools remember their clients: each connection is recorded, where another member may have its slot.
    pub(super) fn persistence(&mut self, at: At, pool: &Pool) {
        if pool.session_persistence.is_none() || pool.lb_algorithm.is_tracked() {
            return;
        }
        let what = format!(
            "session_persistence needs a pool that records every connection; that of pool \"{}\" is \
             {}, which does not",
            pool.name, pool.lb_algorithm
        );
        self.report(at, "session_persistence", what, COUNTS);
    }

    /// How many connections may open. Those that are not recorded cannot be counted, and a datagram
    /// does not show whether it is the first.
    pub(super) fn limits(&mut self, at: At, listener: &Listener, pool: &Pool) {
        if pool.lb_algorithm.is_tracked() {
            return;
        }
        let algorithm = pool.lb_algorithm;
        let fix = COUNTS;
        if listener.max_connection.get() > 0 {
            let what = format!(
                "max_connection needs a pool that records every connection; that of pool \"{}\" \
                 is {algorithm}, which does not",
                pool.name
            );
            self.report(at, "max_connection", what, fix);
        }
        if listener.cps.get() > 0 && listener.protocol == Protocol::Udp {
            let what = format!(
                "cps of a UDP listener needs a pool that records every flow; that of pool \"{}\" \
                 is {algorithm}, which does not",
                pool.name
            );
            self.report(at, "cps", what, fix);
        }
    }
}
