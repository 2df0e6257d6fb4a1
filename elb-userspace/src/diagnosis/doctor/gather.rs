//! Asks the kernel: procfs and sysfs, rtnetlink, ethtool, bpf(2).

mod clock;
mod device;
mod host;
mod interrupts;
mod kept;
mod links;
mod other_end;
mod own_address;
mod process;
mod rss;
mod state_dir;

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use super::Duty;
use super::facts::Facts;
use crate::backend::privilege;
use crate::control::network::{Network, WantedAddresses};
use crate::diagnosis::instrument::{self, Fault, InstrumentQuestion};
use crate::kernel::net::probe_route::RouteNames;
use crate::kernel::net::{follow, ipv6};

/// Why nothing can be said at all.
#[derive(Debug, Error)]
pub enum GatherError {
    /// Interfaces and routes are not gathered.
    #[error("cannot ask for interfaces and routes")]
    Network(#[from] follow::FollowError),
    /// Netlink does not work.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// A request failed.
    #[error("netlink: {0}")]
    Request(#[from] rtnetlink::Error),
}

/// All that is judged.
///
/// # Errors
/// See [`GatherError`]. What the kernel does not say, or not to this process, is no error.
pub async fn gather(duty: &Duty) -> Result<Facts, GatherError> {
    let mut interfaces = links::links(duty).await?;
    device::complete(&mut interfaces).await?;
    for (name, interface) in &mut interfaces {
        interface.interrupts = interrupts::of(name, interface.index);
        interface.rss = rss::table(name).unwrap_or_default();
        interface.rp_filter = host::sysctl(&format!("ipv4/conf/{name}/rp_filter"));
        interface.ipv6_off = ipv6::is_off(name);
    }
    let network = network(duty, &interfaces).await?;
    let kept = kept::kept(duty).await;
    Ok(Facts {
        probes: probes(duty, &network).await,
        name: host::name(),
        kernel: host::kernel(),
        capabilities: privilege::effective(),
        bpffs: host::bpffs(&duty.pin_dir),
        synchronised: clock::synchronised(),
        forwarding: host::forwarding(),
        cpus: host::cpus(),
        interfaces,
        rp_filter_all: host::sysctl("ipv4/conf/all/rp_filter"),
        holders: if kept.agent { Vec::new() } else { kept::holders(duty) },
        silence: if kept.agent { None } else { process::silence(duty) },
        kept,
        own_vips: own_address::own_vips(duty),
        own_sources: own_address::own_sources(duty),
        state_dir: duty.state_dir.as_deref().map(state_dir::state_dir),
        network,
    })
}

/// What is wrong with probes, as an agent would send them.
async fn probes(duty: &Duty, network: &Network) -> Option<Vec<Fault>> {
    let (model, sources) = duty.probed.as_ref()?;
    let names = RouteNames::of(&duty.pin_dir, None);
    let dialogs = instrument::dialogs(model, network, *sources);
    let found = instrument::look(InstrumentQuestion { names, is_served: false, dialogs }).await;
    let unusable = duty.unusable.iter().map(|(what, fix)| Fault {
        what: what.clone(),
        fix: fix.clone(),
        hits_all: false,
        drops: Vec::new(),
    });
    let unusable: Vec<_> = unusable.collect();
    if unusable.is_empty() {
        found
    } else {
        Some(found.into_iter().flatten().chain(unusable).collect())
    }
}

/// The routes to virtual addresses and members, as the agent sees them.
async fn network(duty: &Duty, interfaces: &Interfaces) -> Result<Network, GatherError> {
    let members = duty.members.iter().map(|(address, _)| *address).collect();
    let vips = duty.vips.iter().copied().collect();
    let translates = duty.members.iter().any(|(_, forwarding)| forwarding.translates());
    let clients = translates.then(|| interfaces.values().map(|one| one.index).collect());
    Ok(follow::look(&WantedAddresses { members, vips, clients }).await?)
}

type Interfaces = BTreeMap<String, super::facts::InterfaceFacts>;
