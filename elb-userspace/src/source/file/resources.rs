//! Reads the resources of the file: each by itself, with where it was written.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::draft::{Draft, LoadBalancerPlace, PoolPlace};
use super::piece::Piece;
use super::place::Place;
use super::port::{Port, port};
use super::report::Report;
use super::source_text::{SourceText, include};
use super::table::{IPV4, IPV6, Table};
use super::{ipgroup, monitor, port_range, snat, tracking};
use crate::model::monitor::HealthCheck;
use crate::model::{
    Announce, FlowsOnUnhealthy, Forwarding, HoldTime, IdleTimeout, LbAlgorithm, Limit, Listener,
    LoadBalancer, Member, MemberCount, MinimumHealthy, Name, NoMember, Pool, Protocol, ResourceId,
    RingSize, SnatPrefixes, Weight,
};
use crate::source::api::{self, ApiSettings};
use crate::source::flow_log::{self, FlowLogSettings};
use crate::source::metrics::{self, MetricsSettings};
use crate::source::notify::{self, Notify};
use crate::source::settings::{self, AgentSettings};
use crate::source::sflow::{self, SflowSettings};

/// The parts of a file that are valid by themselves.
#[derive(Default)]
pub(super) struct FileDraft {
    pub(super) agent: Option<AgentSettings>,
    /// The byte at which `[agent]` starts.
    pub(super) agent_at: usize,
    pub(super) notify: Vec<Notify>,
    pub(super) flow_log: Option<FlowLogSettings>,
    pub(super) sflow: Option<SflowSettings>,
    pub(super) metrics: Option<MetricsSettings>,
    /// `None`: it is there, and wrong.
    pub(super) api: Option<Option<ApiSettings>>,
    pub(super) snat: SnatPrefixes,
    pub(super) resources: Draft,
}

/// Reads everything; what is wrong is in the report and not in the draft.
pub(super) fn read<'a>(document: &'a DeTable<'a>, report: &'a RefCell<Report>) -> FileDraft {
    let mut draft = FileDraft::default();
    let mut root = Table::root(document, report);
    if root.text("include", include::RULE).is_some_and(|text| include::parts(text).is_none()) {
        let what = "include is no such path".to_owned();
        root.wrong("include", what, format!("use {}, as in conf.d/*.toml", include::RULE));
    }
    root.require("agent", "add [agent] with interfaces = [\"...\"]");
    let agent = root.table("agent", "[agent]".to_owned());
    draft.agent_at = agent.as_ref().map_or(0, Table::at);
    draft.agent = agent.and_then(settings::read);
    let webhooks = root.tables("notify", url_of);
    draft.notify = notify::read_all(webhooks);
    let metrics = root.table("metrics", "[metrics]".to_owned());
    draft.metrics = metrics.map_or_else(|| Some(MetricsSettings::default()), metrics::read);
    let flow_log = root.table("flow_log", "[flow_log]".to_owned());
    draft.flow_log = flow_log.map_or_else(|| Some(FlowLogSettings::default()), flow_log::read);
    let api = root.table("api", "[api]".to_owned());
    draft.api = api.map_or(Some(None), |table| api::read(table).map(Some));
    if root.has("api") {
        only_in_the_store(&mut root);
    }
    draft.sflow = root.table("sflow", "[sflow]".to_owned()).and_then(sflow::read);
    draft.snat = snat::read(&mut root, draft.agent.as_ref());
    draft.resources.read_all(&mut root);
    root.finish();
    let pieces = report.borrow().pieces();
    for piece in pieces {
        report.borrow_mut().take(&piece);
        draft.resources.take(&piece.draft);
    }
    if let Some(agent) = &draft.agent {
        draft.resources.set_check_user(agent);
    }
    draft
}

/// Reads a resource of a store: a text with one `[[load_balancer]]`, `[[pool]]` or `[[ipgroup]]`.
pub fn read_piece(text: String) -> Piece {
    let report = RefCell::new(Report::new(SourceText::default()));
    let (document, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let what = error.message().to_owned();
        report.borrow_mut().error(0, "", what, "change it by the API".to_owned());
    }
    let mut draft = Draft::default();
    let mut root = Table::root(document.get_ref(), &report);
    draft.read_all(&mut root);
    root.finish();
    drop(document);
    let errors = report.into_inner().into_errors().iter().cloned().collect();
    Piece { text, draft: draft.in_store(), errors }
}

/// A host has one source: what the file has next to `[api]` is refused.
fn only_in_the_store(root: &mut Table<'_>) {
    for key in ["load_balancer", "pool", "ipgroup"] {
        if root.has(key) {
            let what =
                format!("a file with [api] has its resources in the store, not in [[{key}]]");
            root.wrong(key, what, "make them by the API, or remove [api]");
        }
    }
}

fn url_of(table: &DeTable<'_>) -> Option<String> {
    table.get("url").and_then(|url| url.get_ref().as_str()).map(str::to_owned)
}

fn name_of(table: &DeTable<'_>) -> Option<String> {
    table.get("name").and_then(|name| name.get_ref().as_str()).map(str::to_owned)
}

impl Draft {
    fn read_all(&mut self, root: &mut Table<'_>) {
        for table in root.tables("load_balancer", name_of) {
            self.read_load_balancer(table);
        }
        for table in root.tables("pool", name_of) {
            self.read_pool(table);
        }
        for table in root.tables("ipgroup", name_of) {
            self.read_ip_group(table);
        }
    }

    /// Commands of all monitors run as one user.
    fn set_check_user(&mut self, agent: &AgentSettings) {
        let monitors = self.pools.iter_mut().filter_map(|pool| pool.healthmonitor.as_mut());
        for monitor in monitors {
            if let HealthCheck::Command(check) = &mut monitor.check {
                check.user = agent.check_user.clone();
            }
        }
    }

    fn read_load_balancer(&mut self, mut t: Table<'_>) {
        t.require("name", "give it one");
        let name: Option<Name> = t.parsed("name");
        let id = t.parsed("id");
        let derived = || ResourceId::of_load_balancer(name.as_ref().map_or("", Name::as_str));
        let id = id.unwrap_or_else(derived);
        let admin_state_up = t.flag_or("admin_state_up", true);
        let vip_address = t.parsed_as("vip_address", IPV4);
        let ipv6_vip_address = t.parsed_as("ipv6_vip_address", IPV6);
        let announce = t.parsed_or("announce", Announce::Arp);
        let allow_host_address = t.flag_or("allow_host_address", false);
        let listeners = t.tables("listener", name_of);
        for key in ["default_pool", "fallback_pool"] {
            self.named_pools.extend(listeners.iter().filter_map(|l| l.peek(key)));
        }
        let groups = listeners.iter().filter_map(|l| l.peek_in("ipgroup", "ipgroup"));
        self.named_ip_groups.extend(groups);
        let (listeners, places) =
            listeners.into_iter().filter_map(|table| listener(table, id)).unzip();
        let (sound, own) = t.finish();
        if let (true, Some(name)) = (sound, name) {
            self.load_balancers.push(LoadBalancer {
                id,
                name,
                admin_state_up,
                vip_address,
                ipv6_vip_address,
                announce,
                allow_host_address,
                listeners,
            });
            let place = LoadBalancerPlace { own, listeners: places };
            self.load_balancer_places.push(Arc::new(place));
        }
    }

    fn read_pool(&mut self, mut t: Table<'_>) {
        let name = t.peek("name").unwrap_or_default();
        let pool = pool(&mut t);
        // What is wrong with the parts is reported, whatever the id.
        let id = pool.as_ref().map_or_else(|| ResourceId::of_pool(&name), |pool| pool.id);
        let members = members(&mut t, id);
        let monitor = monitor::monitor(&mut t, id);
        let (sound, own) = t.finish();
        match pool {
            Some(mut pool) if sound => {
                let (members, member_places) = members.into_iter().unzip();
                let (monitor, monitor_place) = monitor.unzip();
                pool.members = members;
                pool.healthmonitor = monitor;
                self.pools.push(pool);
                let place = PoolPlace { own, monitor: monitor_place, members: member_places };
                self.pool_places.push(Arc::new(place));
            }
            _ => self.broken_pools.push(name),
        }
    }

    fn read_ip_group(&mut self, t: Table<'_>) {
        let name = t.peek("name").unwrap_or_default();
        match ipgroup::ipgroup(t) {
            Some((group, place)) => {
                self.ip_groups.push(group);
                self.ip_group_places.push(place);
            }
            None => self.broken_ip_groups.push(name),
        }
    }
}

fn listener(mut t: Table<'_>, load_balancer: ResourceId) -> Option<(Listener, Place)> {
    t.require("name", "give it one");
    t.require("protocol", "set it to TCP or UDP");
    t.require("default_pool", "name the pool that serves it");
    let name: Option<Name> = t.parsed("name");
    let id = t.parsed("id");
    let protocol = t.parsed("protocol");
    let (protocol_port, port_ranges) = port_range::ports(&mut t);
    let default_pool = t.parsed("default_pool");
    let fallback_pool: Option<Name> = t.parsed("fallback_pool");
    let fallback_below = t.number_or(
        "fallback_below",
        " members that take new connections",
        MemberCount::constant(1),
    );
    if fallback_pool.is_none() && t.has("fallback_below") {
        t.wrong("fallback_below", "there is no fallback_pool", "name one, or remove it");
    }
    let admin_state_up = t.flag_or("admin_state_up", true);
    let keepalive_timeout =
        t.number_or("keepalive_timeout", " seconds", IdleTimeout::constant(300));
    let ipgroup = ipgroup::access(&mut t);
    let limit = "; 0 is no limit";
    let cps = t.number_or("cps", limit, Limit::constant(0));
    let max_connection = t.number_or("max_connection", limit, Limit::constant(0));
    let no_member = t.parsed_or("no_member", NoMember::Drop);
    let (sound, place) = t.finish();
    let name = name?;
    let derived = || ResourceId::of_listener(load_balancer, name.as_str());
    let listener = Listener {
        id: id.unwrap_or_else(derived),
        name,
        protocol: protocol?,
        protocol_port: protocol_port?,
        port_ranges,
        default_pool: default_pool?,
        fallback_pool,
        fallback_below,
        admin_state_up,
        keepalive_timeout,
        ipgroup,
        cps,
        max_connection,
        no_member,
    };
    sound.then_some((listener, place))
}

/// A pool without its members and monitor.
fn pool(t: &mut Table<'_>) -> Option<Pool> {
    t.require("name", "give it one");
    t.require("protocol", "set it to TCP or UDP");
    t.require(
        "forwarding",
        "set it to nat, fullnat, nat46, l2, ipip or gue, as the members are prepared for",
    );
    let name: Option<Name> = t.parsed("name");
    let id = t.parsed("id");
    let protocol = t.parsed("protocol");
    let forwarding = t.parsed::<Forwarding>("forwarding");
    let lb_algorithm = t.parsed_or("lb_algorithm", LbAlgorithm::FiveTupleHash);
    let quic_cid_hash_strategy = tracking::quic_cid_hash_strategy(t, lb_algorithm);
    let session_persistence = tracking::session_persistence(t);
    let any_port_enable = t.flag_or("any_port_enable", false);
    let ring_size = t.number_or("ring_size", "", RingSize::default());
    let flows_on_unhealthy = t.parsed("flows_on_unhealthy");
    let connection_drain = tracking::connection_drain(t);
    let slow_start = tracking::slow_start(t, protocol, lb_algorithm);
    let udp_hold = t.number_or("udp_hold", " seconds", HoldTime::constant(30));
    if protocol == Some(Protocol::Tcp) && t.has("udp_hold") {
        t.wrong("udp_hold", "udp_hold is for UDP pools", "remove it");
    }
    let minimum_healthy_member_count = pool_health(t);
    let backup_below =
        t.number_or("backup_below", " members that can serve", MemberCount::constant(1));
    let allow_empty = t.flag_or("allow_empty", false);
    let (name, protocol) = (name?, protocol?);
    Some(Pool {
        id: id.unwrap_or_else(|| ResourceId::of_pool(name.as_str())),
        name,
        protocol,
        lb_algorithm,
        quic_cid_hash_strategy,
        session_persistence,
        forwarding: forwarding?,
        any_port_enable,
        ring_size,
        flows_on_unhealthy: flows_on_unhealthy
            .unwrap_or_else(|| FlowsOnUnhealthy::default_for(protocol)),
        connection_drain,
        slow_start,
        udp_hold,
        healthmonitor: None,
        minimum_healthy_member_count,
        backup_below,
        allow_empty,
        members: Vec::new(),
    })
}

fn pool_health(t: &mut Table<'_>) -> MinimumHealthy {
    let key = "minimum_healthy_member_count";
    let object = format!("{}, pool_health", t.object());
    let table = t.table("pool_health", object);
    let count = table.and_then(|mut table| {
        table.require(key, "set it to 0 or 1, or remove pool_health");
        let count = table.number(key, "; 1 forwards to all members when none is healthy");
        let (sound, _) = table.finish();
        if !sound {
            t.mark_invalid();
        }
        count
    });
    count.unwrap_or(MinimumHealthy::constant(0))
}

fn members(t: &mut Table<'_>, pool: ResourceId) -> Vec<(Member, Place)> {
    let tables = t.tables("member", member_label);
    let count = tables.len();
    let members: Vec<_> = tables.into_iter().filter_map(|table| member(table, pool)).collect();
    if members.len() != count {
        t.mark_invalid();
    }
    members
}

/// An unnamed member is called by its address and, if it has one, port: `10.0.0.1:80`.
fn member_label(table: &DeTable<'_>) -> Option<String> {
    let value = |key| table.get(key).map(|value| value.get_ref());
    let unnamed = || {
        let address = value("address")?.as_str()?;
        let port = value("protocol_port").and_then(DeValue::as_integer);
        Some(match (address.parse::<IpAddr>(), port.map(|port| port.as_str())) {
            (Ok(IpAddr::V6(v6)), Some(port)) => format!("[{v6}]:{port}"),
            (_, Some(port)) => format!("{address}:{port}"),
            (_, None) => address.to_owned(),
        })
    };
    name_of(table).or_else(unnamed)
}

fn member(mut t: Table<'_>, pool: ResourceId) -> Option<(Member, Place)> {
    t.require("address", "set it to the address of the backend server");
    let name = t.parsed("name");
    let id = t.parsed("id");
    let unnamed = !t.has("name");
    let address: Option<IpAddr> = t.parsed_as("address", ("an IP address", "10.0.0.11"));
    let note = ", the listener's port; leave it out if the pool has any_port_enable";
    let protocol_port = port(t.number::<Port>("protocol_port", note)).unwrap_or(0);
    let weight = t.number_or("weight", "; 0 takes no new connections", Weight::constant(1));
    let backup = t.flag_or("backup", false);
    let max_connection = t.number_or("max_connection", "; 0 is no limit", Limit::constant(0));
    let server_id = t.parsed("server_id");
    let (sound, place) = t.finish();
    let address = address?;
    let by_address = || match protocol_port {
        0 => address.to_string().parse().ok(),
        port => SocketAddr::new(address, port).to_string().parse().ok(),
    };
    let name = if unnamed { by_address() } else { name };
    let derived = || ResourceId::of_member(pool, SocketAddr::new(address, protocol_port));
    let id = id.unwrap_or_else(derived);
    let member = Member {
        id,
        name: name?,
        address,
        protocol_port,
        weight,
        backup,
        max_connection,
        server_id,
    };
    sound.then_some((member, place))
}
