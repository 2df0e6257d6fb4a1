//! What is wrong with probes on the load balancer's own host: their interface, rule and route, its packet
//! filter and marks, its addresses and ports. Nothing of that is the members' fault.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::inspect::{self, packet_filter};
use crate::control::network::{Network, Route};
use crate::health::probe::{ProbeSource, ProbeSpec};
use crate::kernel::net::probe_route::RouteNames;
use crate::model::Model;
use crate::model::monitor::HealthCheck;

/// Dialogs that are looked at.
const MOST: usize = 32;
/// Members of a pool that are looked at: mostly they are reached alike.
const OF_A_POOL: usize = 2;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentQuestion {
    /// The way of probes.
    pub names: RouteNames,
    /// Whether an agent runs.
    pub is_served: bool,
    /// Whose packets must pass.
    pub dialogs: Vec<Dialog>,
}

/// A probe and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dialog {
    /// Where the probe goes.
    pub to: SocketAddr,
    /// Whether that is a virtual address.
    pub is_vip: bool,
    /// Where it comes from.
    pub own: IpAddr,
    /// Whether it is of UDP.
    pub is_udp: bool,
    /// The interface that the answer comes in by.
    pub interface: String,
    /// Whether the route back to where the answer comes from goes out there, too.
    pub leads_back: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was seen.
    pub what: String,
    /// What to do.
    pub fix: String,
    /// Whether it also hits probes of the members' own addresses.
    pub hits_all: bool,
    /// The probes that it was proved to drop, or whose answers.
    pub drops: Vec<Dialog>,
}

/// The probes of a model, a few of each pool.
pub fn dialogs(model: &Model, network: &Network, sources: ProbeSource) -> Vec<Dialog> {
    let pools = model.pools().iter();
    let members =
        pools.flat_map(|pool| pool.members.iter().take(OF_A_POOL).map(move |one| (pool, one)));
    let specs = members.filter_map(|(pool, member)| ProbeSpec::new(model, pool, member, sources));
    specs.flat_map(|spec| dialogs_of(&spec, network)).take(MOST).collect()
}

/// The probes of a member, at its own address and at its virtual ones.
pub fn dialogs_of(spec: &ProbeSpec, network: &Network) -> Vec<Dialog> {
    if matches!(spec.check, HealthCheck::Command(_)) {
        // What it sends is not known.
        return Vec::new();
    }
    let Some(Route::Via { ifindex, source, .. }) = network.routes.get(&spec.target.ip()) else {
        return Vec::new();
    };
    let interface = network.links.get(ifindex).map(|link| link.name.clone()).unwrap_or_default();
    let to = |to: SocketAddr, is_vip| {
        let route = network.routes.get(&to.ip());
        let routed = match route {
            Some(Route::Via { source, .. }) => *source,
            Some(Route::Local | Route::None) | None => None,
        };
        let is_alike = to.is_ipv4() == spec.target.is_ipv4();
        let own = if is_alike { spec.source.or(*source) } else { routed };
        Some(Dialog {
            to,
            is_vip,
            own: own?,
            is_udp: spec.check == HealthCheck::UdpConnect,
            interface: interface.clone(),
            leads_back: matches!(route, Some(Route::Via { ifindex: back, .. }) if back == ifindex),
        })
    };
    let vips = spec.vips.iter().map(|vip| to(*vip, true));
    [to(spec.target, false)].into_iter().chain(vips).flatten().collect()
}

/// Looks at all of it; `None` where no agent has set probes up.
pub async fn look(question: InstrumentQuestion) -> Option<Vec<Fault>> {
    let InstrumentQuestion { names, is_served, dialogs } = question;
    let vips: BTreeSet<_> =
        dialogs.iter().filter(|one| one.is_vip).map(|one| one.to.ip()).collect();
    let vips: Vec<_> = vips.into_iter().collect();
    let state = names.look(&vips).await;
    if !state.is_set_up && !is_served {
        let unbound = unbound(&dialogs);
        return (!unbound.is_empty()).then_some(unbound);
    }
    // Without an agent, `elb doctor` says by itself what is missing of the way.
    let way = state.faults.into_iter().filter(|_| is_served && !vips.is_empty());
    let mut faults: Vec<_> = way
        .map(|what| Fault {
            what,
            fix: "elb doctor; the agent restores the way of probes, and `elb status` says what it cannot"
                .to_owned(),
            hits_all: false,
            drops: Vec::new(),
        })
        .collect();
    faults.extend(unbound(&dialogs));
    let rules = tokio::task::spawn_blocking(packet_filter).await;
    if let Ok(Ok(rules)) = rules {
        let mark = state.mark.unwrap_or_default();
        let probes: Vec<_> = dialogs.iter().map(|dialog| dialog.probe(&names, mark)).collect();
        faults.extend(inspect::filtered(&rules, &probes).into_iter().map(|filtered| {
            let is_vip = dialogs.get(filtered.probe).is_some_and(|dialog| dialog.is_vip);
            let drops =
                filtered.drops.into_iter().filter_map(|number| dialogs.get(number).cloned());
            let drops: Vec<_> = drops.collect();
            let hits_all = !is_vip || drops.iter().any(|dialog| !dialog.is_vip);
            Fault { what: filtered.what, fix: filtered.fix, hits_all, drops }
        }));
    }
    Some(faults)
}

/// Addresses that probes cannot be sent from.
fn unbound(dialogs: &[Dialog]) -> Vec<Fault> {
    let owns: BTreeSet<_> = dialogs.iter().map(|dialog| dialog.own).collect();
    let fault = |own: IpAddr| {
        let error = TcpListener::bind(SocketAddr::new(own, 0)).err()?;
        Some(Fault {
            what: format!("no probe can be sent from {own}: {error}"),
            fix: "ip address show; [agent] probe_source must be an address of this host; sysctl \
                  net.ipv4.ip_local_port_range"
                .to_owned(),
            hits_all: true,
            drops: Vec::new(),
        })
    };
    owns.into_iter().filter_map(fault).collect()
}

impl Dialog {
    fn probe(&self, names: &RouteNames, mark: u32) -> inspect::OwnProbe {
        inspect::OwnProbe {
            to: self.to,
            own: self.own,
            is_udp: self.is_udp,
            out: if self.is_vip { Some(names.device.clone()) } else { None },
            back: self.interface.clone(),
            mark: if self.is_vip { mark } else { 0 },
            leads_back: self.leads_back,
        }
    }
}
