//! What of this host is not as it should be, and which load balancers that concerns, whatever their members are.

use crate::agent::core::Core;
use crate::kernel::host::kept::KeptObject;
use crate::model::monitor::ProbePath;
use crate::model::{LoadBalancer, Model};

/// What is not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Impairment {
    /// What every load balancer needs.
    all: bool,
    /// What probes of virtual addresses need.
    probes: bool,
    /// What they need for IPv6.
    v6_probes: bool,
    /// What virtual IPv6 addresses need.
    v6: bool,
}

impl Impairment {
    /// Of this moment.
    pub(super) fn of(core: &Core) -> Self {
        let mut found = Self {
            all: core.faults.trouble.is_any()
                || !core.host.owned.taken().is_empty()
                || !core.serving.left_out.is_empty()
                || !core.faults.idle_tasks.is_empty(),
            ..Self::default()
        };
        let kept = core.host.keeping.register.all();
        for (object, _) in kept.filter(|(_, state)| state.missing.is_some()) {
            match object {
                KeptObject::ProbePath => found.probes = true,
                KeptObject::ProbePathV6 => found.v6_probes = true,
                KeptObject::Groups(_) => found.v6 = true,
                KeptObject::Program(_)
                | KeptObject::Mode(_)
                | KeptObject::Pins
                | KeptObject::ApiSocket => found.all = true,
            }
        }
        found
    }

    /// Whether it is any of the load balancer's business.
    pub(super) fn concerns(self, model: &Model, lb: &LoadBalancer) -> bool {
        let has_v6 = lb.ipv6_vip_address.is_some();
        self.all
            || (self.v6 && has_v6)
            || ((self.probes || (self.v6_probes && has_v6)) && is_probed_by_vip(model, lb))
    }
}

/// Whether members of the load balancer are probed at its addresses.
fn is_probed_by_vip(model: &Model, lb: &LoadBalancer) -> bool {
    let pools = lb.listeners.iter().flat_map(|listener| listener.pools());
    let mut monitors = pools.filter_map(|name| model.pool(name)?.healthmonitor.as_ref());
    monitors.any(|monitor| monitor.admin_state_up && monitor.probe_path == ProbePath::Vip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file;

    /// Load balancers of IPv4, of IPv6, and of both whose members are not probed at them.
    const FILE: &str = r#"
        [agent]
        interfaces = ["eth0"]
        [[load_balancer]]
        name = "v4"
        vip_address = "192.0.2.10"
        listener = [{ name = "v4", protocol = "TCP", protocol_port = 80, default_pool = "shared" }]
        [[load_balancer]]
        name = "v6"
        ipv6_vip_address = "2001:db8::10"
        listener = [{ name = "v6", protocol = "TCP", protocol_port = 80, default_pool = "shared" }]
        [[load_balancer]]
        name = "direct"
        vip_address = "192.0.2.11"
        ipv6_vip_address = "2001:db8::11"
        listener = [{ name = "direct", protocol = "TCP", protocol_port = 80, default_pool = "direct" }]
        [[pool]]
        name = "shared"
        protocol = "TCP"
        forwarding = "ipip"
        healthmonitor = { type = "TCP" }
        member = [{ address = "10.0.0.11", protocol_port = 80 }]
        [[pool]]
        name = "direct"
        protocol = "TCP"
        forwarding = "ipip"
        healthmonitor = { type = "TCP", probe_path = "direct" }
        member = [{ address = "10.0.0.12", protocol_port = 80 }]
    "#;

    #[test]
    fn only_those_are_concerned_that_need_what_is_missing() {
        let model = file::parse("elb.toml", FILE).unwrap().model;
        let concerned = |impairment: Impairment| {
            let all = model.load_balancers().iter();
            let concerned = all.filter(|lb| impairment.concerns(&model, lb));
            concerned.map(|lb| lb.name.as_str()).collect::<Vec<_>>()
        };
        let none = Impairment::default();
        assert!(concerned(none).is_empty());
        assert_eq!(concerned(Impairment { all: true, ..none }), ["v4", "v6", "direct"]);
        assert_eq!(concerned(Impairment { probes: true, ..none }), ["v4", "v6"]);
        assert_eq!(concerned(Impairment { v6_probes: true, ..none }), ["v6"]);
        assert_eq!(concerned(Impairment { v6: true, ..none }), ["v6", "direct"]);
    }
}
