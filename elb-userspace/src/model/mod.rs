//! Desired state: what the operator asks for, as types that cannot hold what cannot be served.
//!
//! Resources and fields are named as in the ELB V3 API. A value that is wrong by itself cannot be
//! constructed ([`value`], [`monitor`]); values that are wrong together are found by [`Model::new`]
//! ([`rules`]).

pub mod client_prefix;
pub mod codes;
pub mod command;
pub mod endpoint;
pub mod id;
pub mod ipgroup;
pub mod member_ref;
pub mod monitor;
pub mod persistence;
pub mod port_range;
pub mod probe_text;
pub mod quic;
pub mod rules;
pub mod seconds;
pub mod select;
pub mod snat;
pub mod target;
pub mod time;
pub mod transport;
pub mod value;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Serialize;

pub use client_prefix::ClientPrefix;
pub use id::ResourceId;
pub use ipgroup::{AccessControl, AccessList, IpGroup};
pub use member_ref::MemberRef;
pub use monitor::HealthMonitor;
pub use persistence::SessionPersistence;
pub use port_range::{PortRange, Ports};
pub use quic::{CidStrategy, ServerId};
pub use rules::Violation;
pub use snat::{SnatPrefixes, SourceAddresses};
pub use value::{
    Announce, DrainTimeout, FlowsOnUnhealthy, Forwarding, HoldTime, IdleTimeout, LbAlgorithm,
    Limit, MemberCount, MinimumHealthy, Name, NoMember, Protocol, RingSize, RiseTime, Weight,
};

/// Everything that is to be served. Immutable: a change is a new model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Model {
    load_balancers: Vec<LoadBalancer>,
    pools: Vec<Pool>,
    ip_groups: Vec<IpGroup>,
    /// What members see in the place of clients' addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_addresses: Option<SourceAddresses>,
    /// What members with IPv6 see IPv4 clients' addresses in.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_prefix: Option<ClientPrefix>,
    /// Where each pool is in the list.
    #[serde(skip)]
    places: Places,
}

/// Where pools are, by id and by name; and by name, where the listeners are that use them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    by_id: HashMap<ResourceId, usize>,
    by_name: HashMap<Name, usize>,
    listeners: HashMap<Name, Vec<(usize, usize)>>,
}

/// Addresses that take connections for listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// Unique among load balancers.
    pub id: ResourceId,
    /// Unique among load balancers.
    pub name: Name,
    /// Whether any of its listeners is to be served.
    pub admin_state_up: bool,
    /// The IPv4 VIP.
    pub vip_address: Option<Ipv4Addr>,
    /// The IPv6 VIP.
    pub ipv6_vip_address: Option<Ipv6Addr>,
    /// Who attracts the traffic for the VIPs.
    pub announce: Announce,
    /// Whether an address may be this host's own although the host needs ports that listeners take.
    pub allow_host_address: bool,
    /// In the order of the source.
    pub listeners: Vec<Listener>,
}

impl LoadBalancer {
    /// The addresses it has: none, one or one per family, IPv4 first.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.vip_address.map(IpAddr::V4);
        v4.into_iter().chain(self.ipv6_vip_address.map(IpAddr::V6))
    }
}

/// One protocol and port of a load balancer, and the pool that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Unique among listeners.
    pub id: ResourceId,
    /// Unique within the load balancer.
    pub name: Name,
    /// Transport protocol.
    pub protocol: Protocol,
    /// 0: `port_ranges` or, if there are none, every port that no other listener of the load
    /// balancer has.
    pub protocol_port: u16,
    /// In the order of the source; empty unless `protocol_port` is 0.
    pub port_ranges: Vec<PortRange>,
    /// The name of the pool that serves it.
    pub default_pool: Name,
    /// The name of the pool that serves it while too few members of the default pool can.
    pub fallback_pool: Option<Name>,
    /// It does while fewer of these take new flows.
    pub fallback_below: MemberCount,
    /// Whether it is to be served.
    pub admin_state_up: bool,
    /// How long an idle flow is protected, in seconds.
    pub keepalive_timeout: IdleTimeout,
    /// Who may open connections; every client where there is none.
    pub ipgroup: Option<AccessControl>,
    /// New connections a second; 0: no limit.
    pub cps: Limit,
    /// Concurrent connections; 0: no limit.
    pub max_connection: Limit,
    /// What becomes of packets while no member of the pool takes them.
    pub no_member: NoMember,
}

impl Listener {
    /// The names of the pools that may serve it, the default pool first.
    pub fn pools(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.default_pool).chain(&self.fallback_pool)
    }

    /// What it listens on.
    pub fn ports(&self) -> Ports<'_> {
        match (self.protocol_port, &self.port_ranges[..]) {
            (0, []) => Ports::Any,
            (0, ranges) => Ports::Ranges(ranges),
            (port, _) => Ports::One(port),
        }
    }

    /// Protocol and ports as one text: what it is known by, with an address, if its name changes.
    pub fn place(&self) -> String {
        let ranges: Vec<String> = self.port_ranges.iter().map(ToString::to_string).collect();
        format!("{} {} {}", self.protocol, self.protocol_port, ranges.join(","))
    }
}

/// A backend server group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Unique among pools.
    pub id: ResourceId,
    /// Unique among pools.
    pub name: Name,
    /// That of the listeners it serves.
    pub protocol: Protocol,
    /// How a new flow chooses its member.
    pub lb_algorithm: LbAlgorithm,
    /// With the algorithm QUIC_CID, and only with it: the part of a connection id that counts.
    pub quic_cid_hash_strategy: Option<CidStrategy>,
    /// Whether clients are remembered, so that a client's connections go to one member.
    pub session_persistence: Option<SessionPersistence>,
    /// How a packet gets to its member.
    pub forwarding: Forwarding,
    /// Members take the port that the packet came for; they have none of their own.
    pub any_port_enable: bool,
    /// Slots of the lookup table.
    pub ring_size: RingSize,
    /// What becomes of the flows of a member that fails its health check.
    pub flows_on_unhealthy: FlowsOnUnhealthy,
    /// How long a member that leaves (is removed, gets the weight 0 or fails its health check)
    /// serves its flows on, before they are cut; `None`: until they end.
    pub connection_drain: Option<DrainTimeout>,
    /// How long a member that is new, or back, takes to rise to its share of new flows.
    pub slow_start: RiseTime,
    /// UDP pools: how long after a change of a slot's owner flows without a record go to the former
    /// owner, in seconds.
    pub udp_hold: HoldTime,
    /// Without one, every member counts as healthy.
    pub healthmonitor: Option<HealthMonitor>,
    /// 1: when no member is healthy, forward to all of them; 0: to none (V3 `pool_health`).
    pub minimum_healthy_member_count: MinimumHealthy,
    /// Backup members take new flows while fewer of the others than this can serve.
    pub backup_below: MemberCount,
    /// Whether a reload may take away all of its members while it is served.
    pub allow_empty: bool,
    /// In the order of the source.
    pub members: Vec<Member>,
}

impl Pool {
    /// Seconds in which a new member rises to its share, if it does.
    pub fn rise_seconds(&self) -> Option<u32> {
        Some(self.slow_start.get()).filter(|seconds| *seconds > 0)
    }
}

/// A backend server of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Unique among the members of all pools.
    pub id: ResourceId,
    /// Unique within the pool.
    pub name: Name,
    /// Unicast.
    pub address: IpAddr,
    /// 0 in a pool with `any_port_enable`, else that of the listeners.
    pub protocol_port: u16,
    /// Its part of the new connections.
    pub weight: Weight,
    /// Whether it takes new connections only while too few of the others can serve.
    pub backup: bool,
    /// Concurrent connections; 0: no limit.
    pub max_connection: Limit,
    /// What QUIC connection ids name it by, in a pool with the algorithm QUIC_CID.
    pub server_id: Option<ServerId>,
}

impl Member {
    /// Its address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.protocol_port)
    }
}

impl Model {
    /// The model of these resources, or everything that they violate together.
    pub fn new(
        load_balancers: Vec<LoadBalancer>,
        pools: Vec<Pool>,
        ip_groups: Vec<IpGroup>,
        snat: SnatPrefixes,
    ) -> Result<Self, Vec<Violation>> {
        let violations = rules::check(&load_balancers, &pools, &ip_groups, snat);
        let model = Self::right(load_balancers, pools, ip_groups, snat);
        if violations.is_empty() { Ok(model) } else { Err(violations) }
    }

    /// The model of resources in which [`rules::check`] finds nothing.
    pub(crate) fn right(
        load_balancers: Vec<LoadBalancer>,
        pools: Vec<Pool>,
        ip_groups: Vec<IpGroup>,
        snat: SnatPrefixes,
    ) -> Self {
        let by_id = pools.iter().zip(0..).map(|(pool, at)| (pool.id, at)).collect();
        let by_name = pools.iter().zip(0..).map(|(pool, at)| (pool.name.clone(), at)).collect();
        let mut listeners: HashMap<Name, Vec<(usize, usize)>> = HashMap::new();
        for (i, lb) in load_balancers.iter().enumerate() {
            for (j, listener) in lb.listeners.iter().enumerate() {
                for pool in listener.pools() {
                    listeners.entry(pool.clone()).or_default().push((i, j));
                }
            }
        }
        let places = Places { by_id, by_name, listeners };
        let SnatPrefixes { v4: source_addresses, v6: client_prefix } = snat;
        Self { load_balancers, pools, ip_groups, source_addresses, client_prefix, places }
    }

    /// In the order of the source.
    pub fn load_balancers(&self) -> &[LoadBalancer] {
        &self.load_balancers
    }

    /// In the order of the source.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// In the order of the source.
    pub fn ip_groups(&self) -> &[IpGroup] {
        &self.ip_groups
    }

    /// What members of pools with `fullnat` see in the place of clients' addresses.
    pub const fn source_addresses(&self) -> Option<SourceAddresses> {
        self.source_addresses
    }

    /// What members of pools with `nat46` see clients' addresses in.
    pub const fn client_prefix(&self) -> Option<ClientPrefix> {
        self.client_prefix
    }

    /// Both.
    pub const fn snat(&self) -> SnatPrefixes {
        SnatPrefixes { v4: self.source_addresses, v6: self.client_prefix }
    }

    /// The pool of that name.
    pub fn pool(&self, name: &Name) -> Option<&Pool> {
        self.pools.get(*self.places.by_name.get(name)?)
    }

    /// The pool with that id.
    pub fn pool_with(&self, id: ResourceId) -> Option<&Pool> {
        self.pools.get(*self.places.by_id.get(&id)?)
    }

    /// All listeners, each with its load balancer.
    pub fn listeners(&self) -> impl Iterator<Item = (&LoadBalancer, &Listener)> {
        self.load_balancers.iter().flat_map(|lb| lb.listeners.iter().map(move |one| (lb, one)))
    }

    /// The listeners that a pool serves, or takes over when another cannot, each with its load balancer, disabled ones included.
    pub fn listeners_of(&self, pool: &Name) -> impl Iterator<Item = (&LoadBalancer, &Listener)> {
        let places = self.places.listeners.get(pool).into_iter().flatten();
        places.map(|(i, j)| {
            let lb = &self.load_balancers[*i];
            (lb, &lb.listeners[*j])
        })
    }

    /// What a probe of `member` names as its host unless the monitor says otherwise: the VIP of the
    /// first listener of the pool (V3), of the member's own family if there is one, else the
    /// member.
    pub fn default_host(&self, pool: &Name, member: &Member) -> IpAddr {
        let vips = || self.listeners_of(pool).next().into_iter().flat_map(|(lb, _)| lb.vips());
        let same_family = vips().find(|vip| vip.is_ipv4() == member.address.is_ipv4());
        same_family.or_else(|| vips().next()).unwrap_or(member.address)
    }

    /// The virtual addresses at which `member` is probed as traffic is: those of all listeners of the
    /// pool that are served, the member's own IP version first; where none is served, the first of them.
    pub fn vips_towards(&self, pool: &Name, member: &Member) -> Vec<IpAddr> {
        let is_own = |vip: &IpAddr| vip.is_ipv4() == member.address.is_ipv4();
        let served = self
            .listeners_of(pool)
            .filter(|(lb, listener)| lb.admin_state_up && listener.admin_state_up);
        let mut vips = Vec::new();
        for vip in served.flat_map(|(lb, _)| lb.vips()) {
            if !vips.contains(&vip) {
                vips.push(vip);
            }
        }
        if vips.is_empty() {
            vips.extend(self.listeners_of(pool).flat_map(|(lb, _)| lb.vips()).find(is_own));
        }
        // Stable: otherwise in the order of the file.
        vips.sort_by_key(|vip| !is_own(vip));
        vips
    }
}
