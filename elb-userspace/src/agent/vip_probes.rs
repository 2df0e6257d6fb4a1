//! By which path a member is probed, and what probes of virtual addresses need on this host.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use elb_common::backend::backend_flags;
use thiserror::Error;

use super::core::Core;
use super::members::Watched;
use crate::control::network::{Network, Route};
use crate::health::path::{AT_ONCE, ProbeRoute, ProbeRouter, Routing};
use crate::health::probe::ProbeSpec;
use crate::kernel::bpf::{LoadedObject, Prober, carry_probes, move_probes};
use crate::kernel::host::kept::{self, Register};
use crate::kernel::net::probe_route::RouteNames;
use crate::kernel::net::probe_route::keep::{self, Routed};
use crate::source::file::{AttachMode, Config, ProbeMark};

/// What this host offers probes of virtual addresses.
pub(super) struct VipProbes {
    /// The program that routes them, or why this kernel cannot run it.
    prober: Result<Arc<Prober>, String>,
    /// Their route, to be kept.
    kept: keep::KeptRoute,
    /// Why there is none for IPv6, if so.
    no_v6: Option<String>,
}

/// Why a member is probed at its own address though the pool wants the virtual one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum NoVipPath {
    /// No listener, or of another IP version.
    #[error("no listener of the pool has a virtual address of the member's IP version")]
    NoVip,
    /// Something is missing on this host.
    #[error("{0}")]
    Host(String),
    /// The maps do not know the way to the member.
    #[error("no packet can be sent to the member")]
    Unreachable,
    /// It would never leave.
    #[error("{vip} is an address of the load balancer itself; remove it from its interfaces")]
    Local {
        /// The virtual address.
        vip: IpAddr,
    },
    /// Nothing to answer to.
    #[error(
        "this host has no address towards {vip}, which the member answers from: give it an address of \
         that IP version, or a route to {vip}"
    )]
    NoSource {
        /// The virtual address.
        vip: IpAddr,
    },
    /// Answers would not be let in.
    #[error(
        "answers from {vip} would be dropped by the reverse path filter of {interface}; give {vip} \
         a route by {interface}, or set net.ipv4.conf.{interface}.rp_filter and that of all to \
         {needed}"
    )]
    ReversePath {
        /// The virtual address.
        vip: IpAddr,
        /// Where the answers come in.
        interface: String,
        /// What the settings may be at most.
        needed: &'static str,
    },
}

impl VipProbes {
    /// Sets up what is needed, or takes over what an earlier agent left. Without it, members are
    /// probed at their own addresses; what could not be set up is missing in `register`, and tried again
    /// with all that is kept.
    pub(super) async fn begin(
        object: &mut LoadedObject,
        config: &Config,
        register: &mut Register,
    ) -> Self {
        let agent = &config.agent;
        let names = RouteNames::of(&agent.pin_dir, agent.probe_mark.map(ProbeMark::get));
        let mut begun =
            Self { prober: prober(object), kept: keep::KeptRoute::new(names), no_v6: None };
        if begun.prober.is_ok()
            && let Err(why) = begun.set_up(object, agent.attach_mode).await
        {
            register
                .missing(&kept::KeptObject::ProbePath, format!("it could not be set up: {why}"));
        }
        if let Err(why) = &begun.prober {
            tracing::warn!(
                why,
                "probes cannot go by virtual addresses; members are probed at their own"
            );
        }
        begun
    }

    async fn set_up(&mut self, object: &mut LoadedObject, mode: AttachMode) -> Result<(), String> {
        if let Err(why) = self.kept.restore().await {
            if why.is_of_no_use() {
                self.prober = Err(why.to_string());
                return Ok(());
            }
            return Err(why.to_string());
        }
        self.follow_route(self.kept.routed.clone());
        let peer = self.kept.names.peer.clone();
        let index = nix::net::if_::if_nametoindex(peer.as_str()).unwrap_or_default();
        carry_probes(object, (&peer, index), mode).map_err(|error| error.to_string()).map(drop)
    }

    /// Goes on with another object, whose maps take the place of those of `before`.
    pub(super) fn follow(&mut self, before: &mut LoadedObject, object: &mut LoadedObject) {
        let Ok(prober) = &self.prober else { return };
        let followed = prober.follow(object).map_err(|error| error.to_string());
        let followed =
            followed.and_then(|()| move_probes(before, object).map_err(|error| error.to_string()));
        if let Err(why) = followed {
            tracing::warn!(why, "probes cannot go by virtual addresses any more");
            self.prober = Err(why);
        }
    }

    /// Probes go the way that was set up.
    pub(super) fn follow_route(&mut self, routed: Option<Routed>) {
        let (Some(routed), Ok(prober)) = (routed, &self.prober) else { return };
        prober.set_mark(routed.mark);
        if self.no_v6 != routed.no_v6 {
            self.no_v6 = routed.no_v6;
            match &self.no_v6 {
                Some(why) => {
                    tracing::info!(why, "no probes of virtual IPv6 addresses on this host");
                }
                None => tracing::info!("probes go by virtual IPv6 addresses now"),
            }
        }
    }

    /// The route of probes, to be kept; none where this kernel cannot have one.
    pub(super) fn way(&self) -> Option<keep::KeptRoute> {
        self.prober.is_ok().then(|| self.kept.clone())
    }

    /// Whether there may be such probes, so that what they need is to be kept.
    pub(super) const fn is_kept(&self) -> bool {
        self.prober.is_ok()
    }

    /// Why this kernel probes no virtual address, if so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.prober.as_ref().err().map(String::as_str)
    }

    fn router(&self, vip: IpAddr) -> Result<Arc<dyn ProbeRouter>, NoVipPath> {
        match (&self.prober, &self.no_v6) {
            (Err(why), _) => Err(NoVipPath::Host(why.clone())),
            (Ok(_), Some(why)) if vip.is_ipv6() => Err(NoVipPath::Host(why.clone())),
            (Ok(prober), _) => Ok(prober.clone()),
        }
    }
}

fn prober(object: &mut LoadedObject) -> Result<Arc<Prober>, String> {
    if let Some(why) = &object.unprobeable {
        return Err(format!("the kernel refused the program for probes: {why}"));
    }
    Prober::new(object).map(Arc::new).map_err(|error| error.to_string())
}

impl Core {
    /// How the virtual address of a member is probed that comes first.
    pub(super) fn vip_route(
        &self,
        member: &Watched,
        spec: &ProbeSpec,
    ) -> Result<ProbeRoute, NoVipPath> {
        self.route_to(member, spec, *spec.vips.first().ok_or(NoVipPath::NoVip)?)
    }

    /// How the virtual addresses of a member are probed whose turn it is.
    pub(super) fn routes_in_turn(&self, member: &Watched, spec: &ProbeSpec) -> Vec<ProbeRoute> {
        let turn = in_turn(spec.vips.len(), member.turn);
        turn.filter_map(|n| self.route_to(member, spec, spec.vips[n]).ok()).collect()
    }

    /// How all virtual addresses of a member are probed.
    pub(super) fn probe_routes(&self, member: &Watched, spec: &ProbeSpec) -> Vec<ProbeRoute> {
        spec.vips.iter().filter_map(|vip| self.route_to(member, spec, *vip).ok()).collect()
    }

    fn route_to(
        &self,
        member: &Watched,
        spec: &ProbeSpec,
        target: SocketAddr,
    ) -> Result<ProbeRoute, NoVipPath> {
        let router = self.probes.vip.router(target.ip())?;
        if let Some(why) = self.host.keeping.register.why_missing(&kept::KeptObject::ProbePath) {
            return Err(NoVipPath::Host(format!(
                "the path of health probes is not in order: {why}"
            )));
        }
        // First, since it is cheap and settles what most often stands in the way.
        let source = source(&self.network, member.socket.ip(), target.ip(), rp_filter)?;
        let reachable = |id: &u16| {
            let backend = self.serving.observed.backends.get(id);
            backend.is_some_and(|backend| backend.flags & backend_flags::REACHABLE != 0)
        };
        let backend = member.backend.filter(reachable).ok_or(NoVipPath::Unreachable)?;
        let routing = Routing { backend, router };
        let source = spec.source.filter(|own| own.is_ipv4() == target.is_ipv4()).unwrap_or(source);
        Ok(ProbeRoute { target, source, routing })
    }
}

/// Which of so many virtual addresses are probed when it is this turn.
fn in_turn(addresses: usize, turn: usize) -> impl Iterator<Item = usize> {
    let first = if addresses > AT_ONCE { turn.wrapping_mul(AT_ONCE) } else { 0 };
    (0..addresses.min(AT_ONCE)).map(move |n| first.wrapping_add(n) % addresses)
}

/// The address that this host has towards a member, if answers from the virtual address get in by
/// that way; `rp_filter` reads the setting of an interface.
fn source(
    network: &Network,
    member: IpAddr,
    vip: IpAddr,
    rp_filter: impl Fn(&str) -> u8,
) -> Result<IpAddr, NoVipPath> {
    let hop = network.next_hop(member).map_err(|_| NoVipPath::Unreachable)?;
    let routed = network.routes.get(&vip);
    if member.is_ipv4() != vip.is_ipv4() {
        // The member answers in the other IP version: to the address that this host has there.
        return match routed {
            Some(Route::Local) => Err(NoVipPath::Local { vip }),
            Some(Route::Via { source: Some(source), .. }) => Ok(*source),
            Some(Route::Via { source: None, .. } | Route::None) | None => {
                Err(NoVipPath::NoSource { vip })
            }
        };
    }
    let needed = match routed {
        Some(Route::Local) => return Err(NoVipPath::Local { vip }),
        Some(Route::Via { ifindex, .. }) if *ifindex == hop.ifindex => {
            return source_of(hop.source);
        }
        Some(Route::Via { .. }) => "2",
        Some(Route::None) | None => "0",
    };
    let interface = network.links.get(&hop.ifindex).map_or("", |link| link.name.as_str());
    let filter = rp_filter("all").max(rp_filter(interface));
    // Strict: the way back must be this one. Loose: there must be one.
    let gets_in = vip.is_ipv6() || filter == 0 || (filter == 2 && needed == "2");
    if !gets_in {
        let interface = interface.to_owned();
        return Err(NoVipPath::ReversePath { vip, interface, needed });
    }
    source_of(hop.source)
}

fn source_of(source: Option<IpAddr>) -> Result<IpAddr, NoVipPath> {
    source.ok_or(NoVipPath::Unreachable)
}

/// The setting of an interface; a strict one if it cannot be read.
fn rp_filter(interface: &str) -> u8 {
    let path = Path::new("/proc/sys/net/ipv4/conf").join(interface).join("rp_filter");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests;
