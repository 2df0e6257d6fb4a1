//! What is wrong with this load balancer itself, for `elb diagnose`.

use super::core::Core;
use super::report::lost_lines;
use super::state::trouble::Written;
use crate::diagnosis::checks::balancer::{Balancer, WrittenTo, not_served};
use crate::diagnosis::report::Report;
use crate::kernel::host::joining;
use crate::kernel::host::kept::KeptObject;
use crate::model::target::Target;

impl Core {
    /// What the agent knows of itself and its host.
    pub(super) fn balancer(&self) -> Balancer {
        let not_in_force = if self.file.is_wrong { self.file.problems.clone() } else { Vec::new() };
        let idle = |(task, why): (&&str, &String)| ((*task).to_owned(), why.clone());
        Balancer {
            file: self.file.path.clone(),
            state_dir: self.folder.path().to_owned(),
            missing: self.missing(),
            unserved: self.host.unserved.clone(),
            ipv6_off: self.host.ipv6_off.clone(),
            taken: self.host.owned.taken(),
            unwritten: self.unwritten(),
            not_in_force,
            idle: self.faults.idle_tasks.iter().map(idle).collect(),
            panicked: self.faults.panics.problems().chain(lost_lines()).collect(),
            own_addresses: self.host.own_addresses.problems.clone(),
            joined: self.packets_joined(),
        }
    }

    /// The report on something that the file has and that is not served; none: the file does not have it
    /// either.
    pub(super) fn not_served(&self, name: &str) -> Option<Report> {
        let text = self.file.peek().ok()?.whole();
        if !self.file.is_wrong && text == self.file.text {
            return None;
        }
        Target::is_in_text(name, &text).then(|| not_served(&self.balancer(), name))
    }

    /// What is missing in the host, and why.
    fn missing(&self) -> Vec<(KeptObject, String)> {
        let all = self.host.keeping.register.all();
        all.filter_map(|(object, kept)| Some((object.clone(), kept.missing.clone()?))).collect()
    }

    fn packets_joined(&self) -> Option<(String, String)> {
        let interfaces: Vec<_> =
            self.host.attachments.iter().map(|a| a.interface.clone()).collect();
        joining::problem(self.config.agent.attach_mode, &interfaces)
            .map(|_| (joining::what(&interfaces), joining::fix(&interfaces)))
    }

    fn unwritten(&self) -> Vec<(WrittenTo, String)> {
        let store = |what| match what {
            Written::Maps | Written::Reading => WrittenTo::Maps,
            Written::Numbers | Written::Drained | Written::LastGood | Written::Health => {
                WrittenTo::State
            }
        };
        let failing = self.faults.trouble.all().map(|(what, why)| (store(what), why.to_owned()));
        // What has no number, since none can be saved, waits for the state directory.
        let numbers = self.faults.trouble.is(Written::Numbers);
        let left_out = if numbers { WrittenTo::State } else { WrittenTo::Room };
        let left_out = self.serving.left_out.iter().map(|why| (left_out, why.clone()));
        failing.chain(left_out).collect()
    }
}
