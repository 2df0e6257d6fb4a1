//! Reads everything that the checks need from this host. Nothing is changed, and what cannot be read
//! is noted with what it would take.

mod filter;
mod host;
mod nf_tables;
mod processes;
mod routes;
mod sockets;

pub use self::filter::rules as packet_filter;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::asked::InspectRequest;
use super::facts::{Defaults, Facts, Known, Network, Route};
use crate::backend::{self, Mode, PIN_DIR, Recorded, STATE_DIR};
use crate::kernel::net::links::{Netlink, NetlinkError};

const NO_WAY_IN: &str =
    "the interface that packets come in by is not known: name a source of probes with --from";

/// Where `elb backend up` keeps what it did.
#[derive(Clone, Debug)]
pub struct BackendDirectories {
    /// The directory of its pins.
    pub pin_dir: PathBuf,
    /// The directory of its state files.
    pub state_dir: PathBuf,
}

/// Gathers what the checks need, and completes the question by what was set up here.
pub(super) fn gather(
    asked: &InspectRequest,
    place: &BackendDirectories,
) -> (InspectRequest, Facts) {
    let backend = backend::recorded(&place.pin_dir, &place.state_dir)
        .map_err(|error| host::needs_root(&error.to_string()));
    let netlink = Netlink::open().map_err(|error| error.to_string());
    let network = netlink.as_ref().map_err(Clone::clone).and_then(network);
    let mut asked = asked.clone();
    if let Ok(recorded) = &backend {
        complete(&mut asked, recorded);
    }
    let route = |source: &IpAddr| {
        let netlink = netlink.as_ref().map_err(Clone::clone);
        (*source, netlink.and_then(|netlink| routes::route(netlink, *source, &asked.to)))
    };
    let routes: Vec<(IpAddr, Known<Route>)> = asked.from.iter().map(route).collect();
    if asked.to.is_empty() {
        asked.to = answering(&routes);
    }
    let of_client = |client: &IpAddr| {
        let netlink = netlink.as_ref().map_err(Clone::clone);
        (*client, netlink.and_then(|netlink| routes::route(netlink, *client, &asked.targets())))
    };
    let clients = asked.clients.iter().map(of_client).collect();
    let sockets = sockets::all();
    let processes = processes::of(sockets.as_deref().unwrap_or_default());
    let mut facts = Facts {
        host: host::name(),
        sockets,
        processes,
        filter: filter::rules(),
        network,
        routes,
        clients,
        defaults: netlink.as_ref().map_err(Clone::clone).and_then(defaults),
        gateways: backend::default_gateways().map_err(|error| error.to_string()),
        backend,
        sysctls: host::sysctls(),
        settings: Ok(Vec::new()),
        xdp: Ok(None),
        load: host::load(),
        wrappers: host::wrappers(),
        place: words(place),
    };
    let is_nat = asked.mode == Some(Mode::Nat) && asked.to.iter().any(IpAddr::is_ipv4);
    if is_nat || !asked.vips.is_empty() {
        let interface = facts.way_in(&asked).or_else(|| backend::default_interface().ok());
        let interface = interface.ok_or_else(|| NO_WAY_IN.to_owned());
        let mode = asked.mode.unwrap_or(Mode::L2);
        facts.settings = interface.clone().and_then(|interface| {
            backend::settings(&interface, mode).map_err(|error| error.to_string())
        });
        facts.xdp = interface.and_then(|interface| xdp(&interface, &facts.network));
    }
    (asked, facts)
}

/// Adds what is set up here to the question.
fn complete(asked: &mut InspectRequest, recorded: &Recorded) {
    let is_nat = asked.mode.is_some_and(Mode::is_translated);
    if asked.vips.is_empty() && !is_nat {
        asked.vips.clone_from(&recorded.vips);
    }
    if asked.mode.is_none() && recorded.vips.is_empty() && recorded.answers.is_some() {
        asked.mode = Some(Mode::Nat);
    }
    if asked.mode.is_none() && !recorded.vips.is_empty() {
        let tunnel = !recorded.interfaces.is_empty();
        asked.mode = Some(if tunnel { Mode::Ipip } else { Mode::L2 });
    }
}

fn network(netlink: &Netlink) -> Known<Network> {
    let described = |error: NetlinkError| error.to_string();
    let (links, addresses) =
        (netlink.links().map_err(described)?, netlink.addresses().map_err(described)?);
    Ok(Network { links, addresses })
}

fn defaults(netlink: &Netlink) -> Known<Defaults> {
    let of = |v6| netlink.default_interface_of(v6).map_err(|error| error.to_string());
    Ok(Defaults { v4: of(false)?, v6: of(true)? })
}

/// The addresses that answers come from: those that probes go to, unless others are given.
fn answering(routes: &[(IpAddr, Known<Route>)]) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (source, route) in routes {
        let address = match route {
            Ok(Route::Via { source: Some(address), .. }) => *address,
            Ok(Route::Local) => *source,
            Ok(Route::Via { .. } | Route::None | Route::Refused(..)) | Err(_) => continue,
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn xdp(interface: &str, network: &Known<Network>) -> Known<Option<(String, bool)>> {
    let links = &network.as_ref().map_err(Clone::clone)?.links;
    let id = links.iter().find(|link| link.name == interface).and_then(|link| link.xdp);
    let program = id.map(backend::xdp_program).transpose();
    program.map_err(|error| host::needs_root(&error.to_string()))
}

/// The options that name a place, if it is not the usual one.
fn words(place: &BackendDirectories) -> String {
    let option = |name: &str, path: &Path, usual: &str| {
        if path == Path::new(usual) { String::new() } else { format!(" {name} {}", path.display()) }
    };
    option("--pin-dir", &place.pin_dir, PIN_DIR)
        + &option("--state-dir", &place.state_dir, STATE_DIR)
}
