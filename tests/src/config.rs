//! The agent's configuration, built from a lab so that tests read like what they mean.
//!
//! Fields are named after the keys of the file and free for a test to change.

mod monitor;
mod snat;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

pub use self::monitor::{HealthMonitor, MonitorKind};
pub use self::snat::{SourceAddresses, client_prefix};
use crate::{address::Family, lab::Lab};

/// The whole file.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    pub agent: AgentSection,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snat: Option<SourceAddresses>,
    /// What members see clients' addresses in where a pool forwards by `nat46`: `v6` of `[snat]`, as
    /// [`client_prefix`] has it.
    #[serde(skip)]
    pub client_prefix: Option<String>,
    #[serde(rename = "load_balancer")]
    pub load_balancers: Vec<LoadBalancer>,
    #[serde(rename = "pool")]
    pub pools: Vec<Pool>,
    #[serde(rename = "ipgroup", skip_serializing_if = "Vec::is_empty")]
    pub ip_groups: Vec<IpGroup>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AgentSection {
    pub interfaces: Vec<String>,
    pub attach_mode: String,
    pub socket: PathBuf,
    pub pin_dir: PathBuf,
    pub state_dir: PathBuf,
    /// Records of each flow table, if not as many as the agent takes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_flows: Option<u32>,
    /// Slots of all rings, if not as many as the agent takes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_slots: Option<u32>,
    /// Members of all pools, and one, if not as many as the agent takes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_backends: Option<u32>,
    /// Listeners, if not as many as the agent takes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_listeners: Option<u32>,
    /// Clients that are remembered at most, if not as many as the agent takes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
    /// The address that members are probed from, if not what the routes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_source: Option<Ipv4Addr>,
    /// Whether a reload may take everything away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_empty: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LoadBalancer {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_vip_address: Option<Ipv6Addr>,
    pub announce: Announce,
    #[serde(rename = "listener")]
    pub listeners: Vec<Listener>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Listener {
    pub name: String,
    pub protocol: Protocol,
    /// 0: the ranges or, if there are none, any.
    pub protocol_port: u16,
    pub default_pool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_below: Option<u32>,
    pub admin_state_up: bool,
    /// Seconds for which an idle flow is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_timeout: Option<u32>,
    /// New connections a second; 0: no limit.
    pub cps: u32,
    /// Concurrent connections; 0: no limit.
    pub max_connection: u32,
    /// "drop" or "reset".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_member: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_ranges: Vec<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipgroup: Option<AccessControl>,
}

/// The ports from one to another, both included.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PortRange {
    pub start_port: u16,
    pub end_port: u16,
}

/// Who may open connections.
#[derive(Clone, Debug, Serialize)]
pub struct AccessControl {
    /// Name of the group.
    pub ipgroup: String,
    #[serde(rename = "type")]
    pub list: AccessList,
    pub enable_ipgroup: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Networks and addresses.
#[derive(Clone, Debug, Serialize)]
pub struct IpGroup {
    pub name: String,
    pub ip_list: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Pool {
    pub name: String,
    pub protocol: Protocol,
    pub forwarding: Forwarding,
    /// Members have no port of their own.
    pub any_port_enable: bool,
    /// How a new flow chooses its member, if not by the hash of its 5-tuple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lb_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_size: Option<u32>,
    /// Whether clients are remembered, so that a client's connections go to one member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_drain: Option<ConnectionDrain>,
    /// Seconds for which unknown UDP flows stay with the former owner, if not the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_hold: Option<u32>,
    /// Seconds in which a new member rises to its share, if not at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<u32>,
    pub pool_health: PoolHealth,
    /// Of fewer other members that can serve, backup members take new connections, if not of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_below: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthmonitor: Option<HealthMonitor>,
    #[serde(rename = "member")]
    pub members: Vec<Member>,
}

/// How long members that leave serve the flows that they have.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ConnectionDrain {
    pub enable: bool,
    /// Seconds.
    pub timeout: u32,
}

/// Until when a client is remembered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SessionPersistence {
    /// Seconds without a packet of it.
    pub timeout: u32,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct PoolHealth {
    /// 0: without a healthy member, no one is forwarded to; 1: everyone is.
    pub minimum_healthy_member_count: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct Member {
    pub address: IpAddr,
    /// 0 in a pool with `any_port_enable`.
    #[serde(skip_serializing_if = "is_zero")]
    pub protocol_port: u16,
    pub weight: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// 0: no limit.
    pub max_connection: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Announce {
    Arp,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessList {
    White,
    Black,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    L2,
    Ipip,
    Gue,
    Nat,
    FullNat,
    Nat46,
}

impl Forwarding {
    /// Its name in the file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Nat => "nat",
            Self::FullNat => "fullnat",
            Self::Nat46 => "nat46",
        }
    }
}

impl Pool {
    /// All backends of `lab`, with weight 1, forwarded to by IPIP, without health monitor.
    pub fn of(lab: &Lab, name: &str, family: Family, protocol: Protocol, port: u16) -> Self {
        let member = |index| Member {
            address: lab.member_addr(index, family),
            protocol_port: port,
            weight: 1,
            backup: false,
            max_connection: 0,
        };
        Self {
            name: name.to_owned(),
            protocol,
            forwarding: Forwarding::Ipip,
            lb_algorithm: None,
            ring_size: None,
            session_persistence: None,
            connection_drain: None,
            udp_hold: None,
            slow_start: None,
            pool_health: PoolHealth::default(),
            backup_below: None,
            any_port_enable: false,
            healthmonitor: None,
            members: (0..lab.backends().len()).map(member).collect(),
        }
    }

    /// Forwards in another way.
    pub fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// Chooses members in another way.
    pub fn by(mut self, algorithm: &str) -> Self {
        self.lb_algorithm = Some(algorithm.to_owned());
        self
    }

    /// Remembers clients until they were away for so many seconds.
    pub fn remembering_for(mut self, timeout: u32) -> Self {
        self.session_persistence = Some(SessionPersistence { timeout });
        self
    }

    /// Cuts the flows of members that leave after so many seconds.
    pub fn drained_for(mut self, timeout: u32) -> Self {
        self.connection_drain = Some(ConnectionDrain { enable: true, timeout });
        self
    }

    /// New members rise to their share in so many seconds.
    pub fn rising_in(mut self, seconds: u32) -> Self {
        self.slow_start = Some(seconds);
        self
    }

    /// Gives the members, in their order, these weights.
    pub fn weights(mut self, weights: &[u32]) -> Self {
        for (member, weight) in self.members.iter_mut().zip(weights) {
            member.weight = *weight;
        }
        self
    }

    /// Watches the members quickly.
    pub fn monitored_by(mut self, kind: MonitorKind) -> Self {
        self.healthmonitor = Some(HealthMonitor::quick(kind));
        self
    }

    /// Watches the members quickly, on a port of its own: it shows what the members' health is,
    /// whatever their service does.
    pub fn monitored_on(mut self, kind: MonitorKind, port: u16) -> Self {
        self.healthmonitor = Some(HealthMonitor::quick(kind).port(port));
        self
    }

    /// Watches the members like this.
    pub fn watched(mut self, monitor: HealthMonitor) -> Self {
        self.healthmonitor = Some(monitor);
        self
    }

    /// Takes packets for any port; members have none of their own.
    pub fn any_port(mut self) -> Self {
        self.any_port_enable = true;
        for member in &mut self.members {
            member.protocol_port = 0;
        }
        self
    }

    /// Forwards to all members where none is healthy.
    pub fn all_if_none_healthy(mut self) -> Self {
        self.pool_health.minimum_healthy_member_count = 1;
        self
    }
}

impl AgentSection {
    /// The folder of the state directory that is this agent's.
    pub fn state(&self) -> PathBuf {
        let settings = self.pin_dir.to_string_lossy().trim_matches('/').replace('-', "\\x2d");
        self.state_dir.join(settings.replace('/', "-"))
    }
}

impl Config {
    /// An agent for `lab` that balances nothing yet.
    pub fn new(lab: &Lab) -> Self {
        Self {
            agent: AgentSection {
                interfaces: lab.lb_interfaces().iter().map(|name| (*name).to_owned()).collect(),
                attach_mode: "native".to_owned(),
                socket: lab.files().join("elb.sock"),
                pin_dir: lab.pins().join("agent"),
                state_dir: lab.files().join("state"),
                max_flows: None,
                ring_slots: None,
                max_backends: None,
                max_listeners: None,
                max_clients: None,
                probe_source: None,
                allow_empty: None,
            },
            snat: None,
            client_prefix: None,
            load_balancers: Vec::new(),
            pools: Vec::new(),
            ip_groups: Vec::new(),
        }
    }

    /// Balances `port` of the lab's address of `family` over `pool`; the listener is named after it.
    pub fn balance(mut self, lab: &Lab, family: Family, port: u16, pool: Pool) -> Self {
        let vip = lab.vip(family);
        let listener = Listener {
            name: pool.name.clone(),
            protocol: pool.protocol,
            protocol_port: port,
            default_pool: pool.name.clone(),
            fallback_pool: None,
            fallback_below: None,
            admin_state_up: true,
            cps: 0,
            max_connection: 0,
            no_member: None,
            port_ranges: Vec::new(),
            ipgroup: None,
            keepalive_timeout: None,
        };
        self.load_balancer(vip).listeners.push(listener);
        self.pools.push(pool);
        self
    }

    /// Flows of all listeners are over when so many seconds have passed without a packet.
    pub fn idle_after(mut self, seconds: u32) -> Self {
        for listener in self.load_balancers.iter_mut().flat_map(|lb| &mut lb.listeners) {
            listener.keepalive_timeout = Some(seconds);
        }
        self
    }

    /// The pool called `name`, which must be there.
    pub fn pool_mut(&mut self, name: &str) -> &mut Pool {
        let found = self.pools.iter_mut().find(|pool| pool.name == name);
        found.unwrap_or_else(|| panic!("no pool is called {name}"))
    }

    /// The listener called `name`, which must be there.
    pub fn listener_mut(&mut self, name: &str) -> &mut Listener {
        let mut all = self.load_balancers.iter_mut().flat_map(|lb| &mut lb.listeners);
        let found = all.find(|listener| listener.name == name);
        found.unwrap_or_else(|| panic!("no listener is called {name}"))
    }

    /// Gives an IP group these networks, and makes it if there is none.
    pub fn set_group(&mut self, name: &str, networks: &[&str]) {
        let ip_list = networks.iter().map(|network| (*network).to_owned()).collect();
        match self.ip_groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.ip_list = ip_list,
            None => self.ip_groups.push(IpGroup { name: name.to_owned(), ip_list }),
        }
    }

    /// Lets only members of a group open connections to the listener called `name`, or only others.
    pub fn restrict(&mut self, name: &str, list: AccessList, group: &str) {
        let ipgroup = group.to_owned();
        self.listener_mut(name).ipgroup =
            Some(AccessControl { ipgroup, list, enable_ipgroup: true, cut: false });
    }

    /// The text of the file.
    pub fn text(&self) -> Result<String> {
        const CONTEXT: &str = "the configuration cannot be written as TOML";
        let Some(prefix) = &self.client_prefix else {
            return toml::to_string(self).context(CONTEXT);
        };
        let mut text = toml::Table::try_from(self).context(CONTEXT)?;
        let snat = text.entry("snat").or_insert_with(|| toml::Table::new().into());
        let snat = snat.as_table_mut().context(CONTEXT)?;
        snat.insert("v6".to_owned(), prefix.clone().into());
        toml::to_string(&text).context(CONTEXT)
    }

    fn load_balancer(&mut self, vip: IpAddr) -> &mut LoadBalancer {
        let (v4, v6) = match vip {
            IpAddr::V4(v4) => (Some(v4), None),
            IpAddr::V6(v6) => (None, Some(v6)),
        };
        let has_it = |lb: &LoadBalancer| (lb.vip_address, lb.ipv6_vip_address) == (v4, v6);
        let index = self.load_balancers.iter().position(has_it).unwrap_or_else(|| {
            self.load_balancers.push(LoadBalancer {
                name: format!("lb-{}", self.load_balancers.len()),
                vip_address: v4,
                ipv6_vip_address: v6,
                announce: Announce::Arp,
                listeners: Vec::new(),
            });
            self.load_balancers.len() - 1
        });
        &mut self.load_balancers[index]
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes by reference")]
fn is_zero(port: &u16) -> bool {
    *port == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes by reference")]
fn is_no_time(seconds: &u32) -> bool {
    *seconds == 0
}
