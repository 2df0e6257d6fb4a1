//! How a lab is wired: hosts on cables to bridges in a switch, and in a two-armed lab a router.
//!
//! One-armed, everyone on one segment; the load balancer sends out where packets came in:
//!
//! ```text
//!   client ── back ── backend-0 … backend-n
//!              │
//!              lb (lb0)
//! ```
//!
//! Two-armed; the load balancer hands packets from lb0 to lb1, replies come through the router:
//!
//! ```text
//!   client ── front ── router ── back ── backend-0 … backend-n
//!               │                 │
//!               └─ lb0   lb   lb1 ┘
//! ```

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    address::{Families, Family, Host, Network},
    netns::NetNs,
    veth::{self, End},
    wait::{STUCK, wait_for},
};

/// The greatest packet of clients.
pub const CLIENT_MTU: u32 = 1500;

/// The name of the device of every host that has only one.
pub const DEVICE: &str = "eth0";

/// Whether the load balancer has one device or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// One segment, one device.
    One,
    /// Clients and backends in networks of their own, a device in each.
    Two,
}

impl Arms {
    /// The networks and the load balancer's device in each.
    pub fn devices(self) -> &'static [(Network, &'static str)] {
        match self {
            Self::One => &[(Network::Back, "lb0")],
            Self::Two => &[(Network::Front, "lb0"), (Network::Back, "lb1")],
        }
    }

    /// The network of the client and of the load-balanced addresses.
    pub fn client_network(self) -> Network {
        match self {
            Self::One => Network::Back,
            Self::Two => Network::Front,
        }
    }
}

/// A namespace of bridges, and the cables that end in it.
#[derive(Debug)]
pub(crate) struct Switch {
    netns: NetNs,
    families: Families,
}

impl Switch {
    /// Bridges for the networks of a lab.
    pub(crate) fn new(arms: Arms, families: Families) -> Result<Self> {
        let netns = NetNs::new("switch")?;
        // A switch has no addresses; without IPv6 its ports send nothing of their own.
        for scope in ["all", "default"] {
            netns.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
        }
        for (network, _) in arms.devices() {
            let name = bridge(*network);
            netns.ip(&format!(
                "link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                 link set {name} up"
            ))?;
        }
        Ok(Self { netns, families })
    }

    pub(crate) fn netns(&self) -> &NetNs {
        &self.netns
    }

    /// Connects `device` of `host` to the bridge of `network`; returns the port's name.
    pub(crate) fn connect(
        &self,
        netns: &NetNs,
        device: &str,
        host: Host,
        network: Network,
        mtu: u32,
    ) -> Result<String> {
        let near = End {
            netns: netns.clone(),
            name: device.to_owned(),
            mac: host.mac(network, false),
            mtu,
            addresses: network.addresses(self.families, host),
        };
        let far = End {
            netns: self.netns.clone(),
            name: port(host, network),
            mac: host.mac(network, true),
            mtu,
            addresses: Vec::new(),
        };
        veth::join(&near, &far)?;
        self.netns.ip(&format!("link set {} master {}", far.name, bridge(network)))?;
        Ok(far.name)
    }

    /// Waits until every port forwards, which it does a moment after its cable is up.
    pub(crate) fn wait_until_forwarding(&self) -> Result<()> {
        wait_for("ports of the switch to forward", STUCK, || {
            Ok(self.all_ports_forward()?.then_some(()))
        })
    }

    fn all_ports_forward(&self) -> Result<bool> {
        let mut list = std::process::Command::new("ip");
        list.args(["-netns", self.netns.name(), "-details", "-json", "link", "show"]);
        let links = crate::process::output(list, STUCK)?;
        let links: Value = serde_json::from_str(&links).context("ip -json printed no JSON")?;
        Ok(links.as_array().into_iter().flatten().all(forwards_if_up))
    }
}

/// Whether a link is no port, or unplugged, or forwards; `link` is as `ip` describes it.
fn forwards_if_up(link: &Value) -> bool {
    let Some(state) = link.pointer("/linkinfo/info_slave_data/state") else {
        return true;
    };
    let mut flags = link["flags"].as_array().into_iter().flatten();
    state == "forwarding" || !flags.any(|flag| flag == "UP")
}

/// The port of the switch that `host` is connected to.
pub(crate) fn port(host: Host, network: Network) -> String {
    let side = match network {
        Network::Back => "b",
        Network::Front => "f",
    };
    match host {
        Host::Router => format!("{side}-router"),
        Host::LoadBalancer => format!("{side}-lb"),
        Host::Standby => format!("{side}-standby"),
        Host::Client => format!("{side}-client"),
        Host::Backend(index) => format!("{side}-backend-{index}"),
        Host::Vip => unreachable!("no cable goes to a load-balanced address"),
    }
}

fn bridge(network: Network) -> &'static str {
    match network {
        Network::Back => "back",
        Network::Front => "front",
    }
}

/// A namespace for a host that speaks `families`, quiet about what a test does not ask for.
pub(crate) fn host(role: &str, families: Families) -> Result<NetNs> {
    let netns = NetNs::new(role)?;
    for scope in ["all", "default"] {
        let ipv6 = format!("ipv6/conf/{scope}");
        if !families.contain(Family::V6) {
            netns.sysctl(&format!("{ipv6}/disable_ipv6"), "1")?;
            continue;
        }
        // Link-local addresses stay: a backend that answers from an address on `lo` asks for its
        // neighbours with them. They are usable at once, and no one looks for routers.
        netns.sysctl(&format!("{ipv6}/accept_dad"), "0")?;
        netns.sysctl(&format!("{ipv6}/dad_transmits"), "0")?;
        netns.sysctl(&format!("{ipv6}/accept_ra"), "0")?;
        netns.sysctl(&format!("{ipv6}/router_solicitations"), "0")?;
    }
    Ok(netns)
}

/// Makes `netns` pass packets on between its devices, whatever way they came.
pub(crate) fn make_router(netns: &NetNs, families: Families) -> Result<()> {
    if families.contain(Family::V4) {
        netns.sysctl("ipv4/ip_forward", "1")?;
        for scope in ["all", "default"] {
            netns.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
            netns.sysctl(&format!("ipv4/conf/{scope}/send_redirects"), "0")?;
        }
    }
    if families.contain(Family::V6) {
        netns.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

/// Sends what is for other networks to the router of `network`.
pub(crate) fn route_through_router(
    netns: &NetNs,
    network: Network,
    families: Families,
) -> Result<()> {
    for family in families.list() {
        let router = network.address(*family, Host::Router);
        netns.ip(&format!("route add default via {router} dev {DEVICE}"))?;
    }
    Ok(())
}
