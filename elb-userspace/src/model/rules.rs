//! What must hold between resources that are each valid by themselves.

mod admission;
mod ids;
mod ports;
mod quic;
mod snat;
mod unicast;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

pub(crate) use self::unicast::not_unicast;
use super::monitor::CheckType;
use super::value::Forwarding;
use super::{IpGroup, Listener, LoadBalancer, Member, Name, Pool, SnatPrefixes};

/// A resource that breaks a rule, the key that does, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The resource that must change. Of two that collide it is the later one.
    pub at: At,
    /// The key that must change.
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// A resource, by its places in the lists that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// `load_balancers[_]`
    LoadBalancer(usize),
    /// `load_balancers[_].listeners[_]`
    Listener(usize, usize),
    /// `pools[_]`
    Pool(usize),
    /// `pools[_].members[_]`
    Member(usize, usize),
    /// `pools[_].healthmonitor`
    HealthMonitor(usize),
    /// `ip_groups[_]`
    IpGroup(usize),
}

/// Everything that is wrong between these resources, in their order.
pub fn check(
    load_balancers: &[LoadBalancer],
    pools: &[Pool],
    ip_groups: &[IpGroup],
    snat: SnatPrefixes,
) -> Vec<Violation> {
    let mut rules = Rules::new(load_balancers, pools, ip_groups, snat);
    for (i, lb) in load_balancers.iter().enumerate() {
        rules.load_balancer(i, lb);
        for (j, listener) in lb.listeners.iter().enumerate() {
            rules.listener(At::Listener(i, j), lb, listener);
        }
    }
    for (i, pool) in pools.iter().enumerate() {
        rules.pool(i, pool);
    }
    for (i, group) in ip_groups.iter().enumerate() {
        rules.ip_group(i, group);
    }
    let wrong = rules.broken.iter().filter(|one| ["name", "address"].contains(&one.key));
    let wrong = wrong.map(|one| one.at).collect();
    let all = ids::Resources { load_balancers, pools, ip_groups };
    rules.broken.extend(all.with_taken_ids(&wrong));
    rules.broken
}

/// What has been seen so far, and what was wrong with it.
struct Rules<'a> {
    pools: HashMap<&'a str, &'a Pool>,
    ip_groups: HashSet<&'a str>,
    vips: HashSet<IpAddr>,
    load_balancer_names: Seen<&'a str>,
    listener_names: Seen<&'a str>,
    pool_names: Seen<&'a str>,
    ip_group_names: Seen<&'a str>,
    vip_owners: HashMap<IpAddr, &'a str>,
    snat: SnatPrefixes,
    broken: Vec<Violation>,
}

impl<'a> Rules<'a> {
    fn new(
        load_balancers: &'a [LoadBalancer],
        pools: &'a [Pool],
        ip_groups: &'a [IpGroup],
        snat: SnatPrefixes,
    ) -> Self {
        Self {
            // Of two pools with one name, the first is meant.
            pools: pools.iter().rev().map(|pool| (pool.name.as_str(), pool)).collect(),
            ip_groups: ip_groups.iter().map(|group| group.name.as_str()).collect(),
            vips: load_balancers.iter().flat_map(LoadBalancer::vips).collect(),
            load_balancer_names: Seen::default(),
            listener_names: Seen::default(),
            pool_names: Seen::default(),
            ip_group_names: Seen::default(),
            vip_owners: HashMap::new(),
            snat,
            broken: Vec::new(),
        }
    }

    fn report(&mut self, at: At, key: &'static str, what: String, fix: impl Into<String>) {
        self.broken.push(Violation { at, key, what, fix: fix.into() });
    }

    fn load_balancer(&mut self, i: usize, lb: &'a LoadBalancer) {
        let at = At::LoadBalancer(i);
        if self.load_balancer_names.again(lb.name.as_str()) {
            self.report(at, "name", name_taken("load balancer", lb.name.as_str()), RENAME);
        }
        for vip in lb.vips() {
            let key = if vip.is_ipv4() { "vip_address" } else { "ipv6_vip_address" };
            if let Some(what) = not_unicast(key, vip) {
                self.report(at, key, what, "use a unicast address that clients reach");
            }
            self.no_source(at, key, vip);
            match self.vip_owners.get(&vip) {
                None => {
                    self.vip_owners.insert(vip, lb.name.as_str());
                }
                Some(owner) => {
                    let what = format!("{key} {vip} is that of load balancer {owner:?}");
                    self.report(at, key, what, "use another address, or move the listeners there");
                }
            }
        }
        self.shared_ports(i, lb);
    }

    fn listener(&mut self, at: At, lb: &LoadBalancer, listener: &'a Listener) {
        if self.listener_names.again(listener.name.as_str()) {
            self.report(at, "name", name_taken("listener", listener.name.as_str()), RENAME);
        }
        self.own_ports(at, listener);
        self.access(at, listener);
        self.pool_of(at, lb, listener, ("default_pool", &listener.default_pool));
        let Some(fallback) = &listener.fallback_pool else { return };
        if *fallback == listener.default_pool {
            let what = format!("fallback_pool \"{fallback}\" is the default_pool");
            self.report(at, "fallback_pool", what, "name another pool, or remove it");
            return;
        }
        self.pool_of(at, lb, listener, ("fallback_pool", fallback));
    }

    /// What must hold between a listener and a pool that serves it.
    fn pool_of(
        &mut self,
        at: At,
        lb: &LoadBalancer,
        listener: &Listener,
        (key, name): (&'static str, &Name),
    ) {
        let Some(&pool) = self.pools.get(name.as_str()) else {
            let what = format!("{key} \"{name}\" does not exist");
            self.report(at, key, what, "define a pool of that name or name another");
            return;
        };
        if listener.protocol != pool.protocol {
            let (of_listener, of_pool, name) = (listener.protocol, pool.protocol, &pool.name);
            let what = format!("protocol {of_listener} is not that of pool \"{name}\", {of_pool}");
            self.report(at, key, what, "give both the same protocol");
            return;
        }
        self.pool_ports(at, listener, pool);
        self.families(at, lb, (key, pool));
        self.limits(at, listener, pool);
    }

    /// Only a tunnel carries packets of the other family, or a translation to IPv6.
    fn families(&mut self, at: At, lb: &LoadBalancer, (key, pool): (&'static str, &Pool)) {
        let forwarding = pool.forwarding;
        for vip in lb.vips() {
            if vip.is_ipv6() && (forwarding.hides_clients() || forwarding.embeds_clients()) {
                self.unhidden_version(at, (key, pool), vip);
                continue;
            }
            if !forwarding.keeps_version() {
                continue;
            }
            let other = pool.members.iter().find(|m| m.address.is_ipv4() != vip.is_ipv4());
            if let Some(member) = other {
                let what = format!(
                    "VIP {vip} and member \"{}\" ({}) of pool \"{}\" differ in family, \
                     which forwarding {} cannot bridge",
                    member.name, member.address, pool.name, pool.forwarding,
                );
                let is_nat = forwarding == Forwarding::Nat && vip.is_ipv4();
                let fix = if is_nat { TO_IPV6 } else { PER_FAMILY };
                self.report(at, key, what, fix);
            }
        }
    }

    fn pool(&mut self, i: usize, pool: &'a Pool) {
        if self.pool_names.again(pool.name.as_str()) {
            self.report(At::Pool(i), "name", name_taken("pool", pool.name.as_str()), RENAME);
        }
        self.hidden_clients(i, pool);
        self.embedded_clients(i, pool);
        let mut names = Seen::default();
        let mut sockets = Seen::default();
        for (j, member) in pool.members.iter().enumerate() {
            let at = At::Member(i, j);
            let socket = SocketAddr::new(member.address, member.protocol_port);
            if sockets.again(socket) {
                let what = format!("{socket} is in the pool twice");
                self.report(at, "address", what, "remove one of them, and add its weight");
            } else if names.again(member.name.as_str()) {
                self.report(at, "name", name_taken("member", member.name.as_str()), RENAME);
            }
            self.member(at, pool, member);
            self.member_limit(at, pool, member);
        }
        self.monitor(At::HealthMonitor(i), pool);
        self.quic(i, pool);
        self.persistence(At::Pool(i), pool);
    }

    fn member(&mut self, at: At, pool: &Pool, member: &Member) {
        let (address, port) = (member.address, member.protocol_port);
        if let Some(what) = not_unicast("address", address) {
            self.report(at, "address", what, "use the unicast address of the backend server");
        } else if self.vips.contains(&address) {
            let what = format!("address {address} is a load balancer's VIP");
            self.report(at, "address", what, "use the backend server's own address");
        }
        self.no_source(at, "address", address);
        if pool.any_port_enable && port != 0 {
            let what = format!("protocol_port {port} contradicts any_port_enable of the pool");
            let fix = "remove protocol_port: members take the port that a packet came for";
            self.report(at, "protocol_port", what, fix);
        }
        if !pool.any_port_enable && port == 0 {
            let what = "protocol_port is missing".to_owned();
            let fix = "set it to the listener's port, 1..=65535, or set any_port_enable = true in \
                       the pool";
            self.report(at, "protocol_port", what, fix);
        }
    }

    fn monitor(&mut self, at: At, pool: &Pool) {
        let Some(monitor) = &pool.healthmonitor else { return };
        let (check_type, fitting) = (monitor.check.check_type(), CheckType::of_pool(pool.protocol));
        if !fitting.contains(&check_type) {
            let what = format!("type {check_type} does not probe members of {}", pool.protocol);
            self.report(at, "type", what, format!("use {}", listed(fitting)));
        }
        if monitor.monitor_port.is_none() && pool.any_port_enable {
            let what = "monitor_port is missing: the members of this pool have no port".to_owned();
            self.report(at, "monitor_port", what, "set it to a port that the members listen on");
        }
    }
}

const PER_FAMILY: &str = "use forwarding = \"ipip\", or a load balancer and a pool per family";
const TO_IPV6: &str = "use forwarding = \"nat46\" in a pool with the members' IPv6 addresses, or a load balancer and a \
                       pool per family";

/// `TCP, HTTP or TLS`
fn listed(types: &[CheckType]) -> String {
    let names: Vec<&str> = types.iter().map(|name| name.as_str()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

const RENAME: &str = "rename one of them";

fn name_taken(kind: &str, name: &str) -> String {
    format!("name \"{name}\" is that of another {kind}")
}

/// What has been seen, to notice it the second time.
struct Seen<T>(HashSet<T>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> Seen<T> {
    fn again(&mut self, value: T) -> bool {
        !self.0.insert(value)
    }
}
