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
use crate::health::path::{AT_ONCE, Guide, Lead, Way};
use crate::health::probe::ProbeSpec;
use crate::kernel::bpf::{Object, Prober, carry_probes, move_probes};
use crate::kernel::host::kept;
use crate::kernel::net::probe_way::{Steered, Steering, keep};
use crate::source::file::{Config, ProbeMark};

/// What this host offers probes of virtual addresses.
pub(super) struct VipProbes {
    /// Who leads them, or why there is nobody.
    guide: Result<Arc<dyn Guide>, String>,
    /// The same, as the kernel has it.
    prober: Option<Arc<Prober>>,
    /// Why there is nobody for IPv6, if so.
    no_v6: Option<String>,
    /// What leads them, to be kept.
    way: Option<keep::Way>,
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
    /// probed at their own addresses.
    pub(super) async fn begin(object: &mut Object, config: &Config) -> Self {
        let steering =
            Steering::of(&config.agent.pin_dir, config.agent.probe_mark.map(ProbeMark::get));
        match set_up(object, config, &steering).await {
            Ok((prober, steered)) => {
                let way = Some(keep::Way::new(steering, &steered));
                let no_v6 = steered.v6.err().map(|error| error.to_string());
                if let Some(why) = &no_v6 {
                    tracing::info!(why, "no probes of virtual IPv6 addresses on this host");
                }
                let prober = Arc::new(prober);
                Self { guide: Ok(prober.clone()), prober: Some(prober), no_v6, way }
            }
            Err(why) => {
                tracing::warn!(
                    why,
                    "probes cannot go by virtual addresses; members are probed at their own"
                );
                Self { guide: Err(why), prober: None, no_v6: None, way: None }
            }
        }
    }

    /// Goes on with another object, whose maps take the place of those of `before`.
    pub(super) fn follow(&mut self, before: &mut Object, object: &mut Object) {
        let Some(prober) = &self.prober else { return };
        let followed = prober.follow(object).map_err(|error| error.to_string());
        let followed =
            followed.and_then(|()| move_probes(before, object).map_err(|error| error.to_string()));
        if let Err(why) = followed {
            tracing::warn!(why, "probes cannot go by virtual addresses any more");
            (self.guide, self.prober) = (Err(why), None);
        }
    }

    /// The way of probes, to be kept.
    pub(super) fn way(&self) -> Option<keep::Way> {
        self.way.clone()
    }

    /// Whether there are such probes, so that what they need is to be kept.
    pub(super) const fn is_set_up(&self) -> bool {
        self.prober.is_some()
    }

    /// Why no virtual address can be probed, if so.
    pub(super) fn problem(&self) -> Option<&str> {
        self.guide.as_ref().err().map(String::as_str)
    }

    fn guide(&self, vip: IpAddr) -> Result<&Arc<dyn Guide>, NoVipPath> {
        match (&self.guide, &self.no_v6) {
            (Err(why), _) => Err(NoVipPath::Host(why.clone())),
            (Ok(_), Some(why)) if vip.is_ipv6() => Err(NoVipPath::Host(why.clone())),
            (Ok(guide), _) => Ok(guide),
        }
    }
}

async fn set_up(
    object: &mut Object,
    config: &Config,
    steering: &Steering,
) -> Result<(Prober, Steered), String> {
    if let Some(why) = &object.unprobeable {
        return Err(format!("the kernel refused the program for probes: {why}"));
    }
    let steered = steering.set_up().await.map_err(|error| error.to_string())?;
    let carried = carry_probes(object, (&steering.peer, steered.peer), config.agent.attach_mode);
    carried.map_err(|error| error.to_string())?;
    let prober = Prober::new(object, steered.mark).map_err(|error| error.to_string())?;
    Ok((prober, steered))
}

impl Core {
    /// How the virtual address of a member is probed that comes first.
    pub(super) fn vip_way(&self, member: &Watched, spec: &ProbeSpec) -> Result<Way, NoVipPath> {
        self.way_to(member, spec, *spec.vips.first().ok_or(NoVipPath::NoVip)?)
    }

    /// How the virtual addresses of a member are probed whose turn it is.
    pub(super) fn ways_in_turn(&self, member: &Watched, spec: &ProbeSpec) -> Vec<Way> {
        let turn = in_turn(spec.vips.len(), member.turn);
        turn.filter_map(|n| self.way_to(member, spec, spec.vips[n]).ok()).collect()
    }

    /// How all virtual addresses of a member are probed.
    pub(super) fn ways(&self, member: &Watched, spec: &ProbeSpec) -> Vec<Way> {
        spec.vips.iter().filter_map(|vip| self.way_to(member, spec, *vip).ok()).collect()
    }

    fn way_to(
        &self,
        member: &Watched,
        spec: &ProbeSpec,
        target: SocketAddr,
    ) -> Result<Way, NoVipPath> {
        let guide = self.vip_probes.guide(target.ip())?;
        if let Some(why) = self.keeping.register.why_missing(&kept::Object::ProbePath) {
            return Err(NoVipPath::Host(format!(
                "the path of health probes is not in order: {why}"
            )));
        }
        // First, since it is cheap and settles what most often stands in the way.
        let source = source(&self.network, member.socket.ip(), target.ip(), rp_filter)?;
        let reachable = |id: &u16| {
            let backend = self.observed.backends.get(id);
            backend.is_some_and(|backend| backend.flags & backend_flags::REACHABLE != 0)
        };
        let backend = member.backend.filter(reachable).ok_or(NoVipPath::Unreachable)?;
        let lead = Lead { backend, guide: guide.clone() };
        let source = spec.source.filter(|own| own.is_ipv4() == target.is_ipv4()).unwrap_or(source);
        Ok(Way { target, source, lead })
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
mod tests {
    use elb_common::addr::Mac;

    use super::*;
    use crate::control::network::Link;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// Member 11 by interface 2; the virtual address 100 by `route`.
    fn network(route: Option<Route>) -> Network {
        let mut network = Network::default();
        let mac = Mac::new([2, 0, 0, 0, 0, 1]);
        network.links.insert(2, Link { name: "eth0".into(), mac: Some(mac), mtu: 1500 });
        network.neighbors.insert((2, address(11)), mac);
        network.routes.insert(address(11), by(2));
        network.routes.extend(route.map(|route| (address(100), route)));
        network
    }

    fn by(ifindex: u32) -> Route {
        Route::Via { ifindex, gateway: None, source: Some(address(1)), mtu: None }
    }

    #[test]
    fn answers_must_get_in() {
        let told = |route, filter: [u8; 2]| {
            let of = |interface: &str| if interface == "all" { filter[0] } else { filter[1] };
            source(&network(route), address(11), address(100), of)
        };
        let refused = |needed| {
            let (vip, interface) = (address(100), "eth0".to_owned());
            Err(NoVipPath::ReversePath { vip, interface, needed })
        };
        for filter in [[0, 0], [1, 0], [0, 2]] {
            assert_eq!(told(Some(by(2)), filter), Ok(address(1)));
            let local = Err(NoVipPath::Local { vip: address(100) });
            assert_eq!(told(Some(Route::Local), filter), local);
        }
        for route in [Some(by(3)), Some(Route::None), None] {
            assert_eq!(told(route, [0, 0]), Ok(address(1)));
        }
        assert_eq!(told(Some(by(3)), [2, 1]), Ok(address(1)));
        assert_eq!(told(Some(by(3)), [0, 1]), refused("2"));
        assert_eq!(told(Some(Route::None), [0, 2]), refused("0"));
        assert_eq!(told(Some(Route::None), [1, 0]), refused("0"));
    }

    #[test]
    fn no_way_to_the_member_is_no_way_to_probe() {
        let none = source(&Network::default(), address(11), address(100), |_| 0);
        assert_eq!(none, Err(NoVipPath::Unreachable));
    }
}
