//! What this host offers probes of virtual addresses, and why a member is not probed at one.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::health::path::ProbeRouter;
use crate::kernel::bpf::{LoadedObject, Prober, carry_probes, move_probes};
use crate::kernel::host::kept::{self, Register};
use crate::kernel::net::probe_route::RouteNames;
use crate::kernel::net::probe_route::keep::{self, Routed};
use crate::source::file::{AttachMode, Config, ProbeMark};

/// What this host offers probes of virtual addresses.
pub(in crate::agent) struct VipProbes {
    /// The program that routes them, or why this kernel cannot run it.
    prober: Result<Arc<Prober>, String>,
    /// Their route, to be kept.
    kept: keep::KeptRoute,
    /// Why there is none for IPv6, if so.
    no_v6: Option<String>,
}

/// Why a member is probed at its own address though the pool wants the virtual one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in crate::agent) enum NoVipPath {
    /// No listener, or of another IP version.
    #[error("no listener of the pool has a virtual address of the member's IP version")]
    NoVip,
    /// With `nat`: of what the member answers to the probe, nothing would be translated.
    #[error(
        "with nat and nat46, answers of members to clients only are translated: the health check asks by another port or \
         protocol, or another listener has the same members"
    )]
    Untranslated,
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
    pub(in crate::agent) async fn begin(
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
    pub(in crate::agent) fn follow(
        &mut self,
        before: &mut LoadedObject,
        object: &mut LoadedObject,
    ) {
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
    pub(in crate::agent) fn follow_route(&mut self, routed: Option<Routed>) {
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
    pub(in crate::agent) fn way(&self) -> Option<keep::KeptRoute> {
        self.prober.is_ok().then(|| self.kept.clone())
    }

    /// Whether there may be such probes, so that what they need is to be kept.
    pub(in crate::agent) const fn is_kept(&self) -> bool {
        self.prober.is_ok()
    }

    /// Why this kernel probes no virtual address, if so.
    pub(in crate::agent) fn problem(&self) -> Option<&str> {
        self.prober.as_ref().err().map(String::as_str)
    }

    pub(in crate::agent) fn router(&self, vip: IpAddr) -> Result<Arc<dyn ProbeRouter>, NoVipPath> {
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
