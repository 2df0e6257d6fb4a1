//! The table of all metrics: what each is called, counts and is labelled by. `docs/metrics.md` shows it.

use std::fmt;
use std::str::FromStr;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; `_total` ends its name.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations by size.
    Histogram,
    /// Always 1: its labels are what it says. `_info` ends its name.
    Info,
}

impl Kind {
    /// As the documentation calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What a metric is about: who scrapes may ask for some of these only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The agent, its host, and all traffic together.
    Agent,
    /// Load balancers and listeners.
    Listener,
    /// Pools.
    Pool,
    /// Members.
    Member,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Listener, Self::Pool, Self::Member];

    /// As it is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Listener => "listener",
            Self::Pool => "pool",
            Self::Member => "member",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scope = Self::ALL.into_iter().find(|scope| scope.name() == text);
        scope.ok_or_else(|| {
            format!("there is no scope {text:?}; use agent, listener, pool or member, or several with commas")
        })
    }
}

/// Reads scopes with commas between them.
///
/// # Errors
/// One of them is none.
pub fn scopes(text: &str) -> Result<Vec<Scope>, String> {
    text.split(',').map(|one| one.trim().parse()).collect()
}

/// Metrics that differ in their labels only.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricFamily {
    /// Without unit and suffix.
    pub base: &'static str,
    /// Part of the name; empty: a plain number.
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub scope: Scope,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in sentences.
    pub help: &'static str,
}

impl MetricFamily {
    /// The name that queries use, of a histogram without `_bucket`.
    pub fn name(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!("_{}", self.unit) };
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.base)
    }
}

macro_rules! families {
    ($($scope:ident { $($id:ident $kind:ident $base:literal $unit:literal [$($label:literal)*] $help:literal;)* })*) => {
        $($(
            #[doc = $help]
            pub const $id: MetricFamily = MetricFamily {
                base: $base,
                unit: $unit,
                kind: Kind::$kind,
                scope: Scope::$scope,
                labels: &[$($label),*],
                help: $help,
            };
        )*)*
        /// All of them, in the order in which they are written.
        pub const FAMILIES: &[MetricFamily] = &[$($($id,)*)*];
    };
}

families! {
    Agent {
        BUILD Info "elb_build" "" ["version" "abi"]
            "Version of the agent and of the map records (abi).";
        ATTACHED Gauge "elb_attached" "" ["interface" "mode"]
            "Whether the program is on the interface, as the agent's last look at the host found it: 1 or 0.";
        ADOPTED Gauge "elb_agent_adopted" "" []
            "Whether the agent took over the maps of an earlier one: 1 or 0.";
        RELOAD_SUCCESSFUL Gauge "elb_config_last_reload_successful" "" []
            "Whether all of the configuration file, as it was read last, is what is served: 1 or 0.";
        RELOAD_TIME Gauge "elb_config_last_reload_success_timestamp" "seconds" []
            "When the configuration that is served was read, in seconds since 1970.";
        PROBLEMS Gauge "elb_problems" "" ["kind"]
            "Problems that elb status lists: of the configuration (config), of what could not be written to maps or state (map), of this host (host).";
        DROPPED_PACKETS Counter "elb_dropped" "packets" ["reason"]
            "Packets that were dropped on this host, by the reasons of elb drops.";
        DROPPED_BYTES Counter "elb_dropped" "bytes" ["reason"]
            "Bytes of dropped packets as received, Ethernet header included.";
        PASSED_PACKETS Counter "elb_passed" "packets" ["reason"]
            "Packets that are not for elb and that this host's network stack got, by reason.";
        ANSWERED_PACKETS Counter "elb_answered" "packets" ["reason"]
            "Packets that elb answered itself: ARP, neighbour discovery, echo, packets that are too big, refusals.";
        MAP_WRITES Counter "elb_map_writes" "" ["map"]
            "Writes of the agent to a BPF map, since the agent started.";
        MAP_WRITE_ERRORS Counter "elb_map_write_errors" "" ["map"]
            "Writes of the agent to a BPF map that failed, since the agent started; they are repeated.";
        MAP_ENTRIES Gauge "elb_map_entries" "" ["map"]
            "Entries in use of maps that the agent writes, from its own records; of RINGS in slots.";
        MAP_MAX_ENTRIES Gauge "elb_map_max_entries" "" ["map"]
            "Capacity of the same maps.";
        FLOW_RECORDS Gauge "elb_flow_records" "" ["family"]
            "Recorded flows in the flow table of the IP version, as packets count them and the last sweep corrected them.";
        FLOW_RECORDS_LIMIT Gauge "elb_flow_records_limit" "" ["family"]
            "Records that the flow table of the IP version has room for.";
        FLOW_SWEEP Gauge "elb_flow_sweep_timestamp" "seconds" ["family"]
            "When the flow table was last swept, in seconds since 1970; there is nothing to sweep while no flow is recorded.";
        PROBE_LATENESS Histogram "elb_probe_lateness" "seconds" []
            "How long after their time health probes started, since the agent started.";
        PROBES_IN_FLIGHT Gauge "elb_probes_in_flight" "" []
            "Health probes that are under way.";
        PROBES_IN_FLIGHT_LIMIT Gauge "elb_probes_in_flight_limit" "" []
            "Health probes that may be under way at once; open files limit it.";
        VERDICT_PUBLISH Histogram "elb_verdict_publish" "seconds" []
            "Time from the end of the probe that decided a verdict to the last map write that packets meet it by.";
        PUBLISH Histogram "elb_publish" "seconds" []
            "Time that it took to bring the maps in step with what is known.";
        RING_BUILD Histogram "elb_ring_build" "seconds" []
            "Time that it took to compute what the maps must hold, of publications that changed some pool's look-up table.";
        XDP_RUNS Counter "elb_xdp_runs" "" ["program"]
            "Runs of the XDP program that the kernel measured; only while the sysctl kernel.bpf_stats_enabled is 1.";
        XDP_TIME Counter "elb_xdp_run" "seconds" ["program"]
            "Time of these runs; only while the sysctl kernel.bpf_stats_enabled is 1.";
        TRACE_LISTENERS Gauge "elb_trace_listeners" "" []
            "Clients of elb trace and elb capture; while there are any, packets cost more.";
        FLOW_LOG_ENABLED Gauge "elb_flow_log_enabled" "" []
            "Whether flows are logged, so that packets cost more.";
        FLOW_LOG_EVENTS Counter "elb_flow_log_events" "" ["kind"]
            "Opens, ends and refusals that packets met while flows were logged, since the agent started; those that were lost included.";
        FLOW_LOG_LOST Counter "elb_flow_log_lost" "" ["cause"]
            "Of these, those that were not written: beyond events_per_second, no room in the kernel's ring, or not taken by where the log goes.";
        SFLOW_ENABLED Gauge "elb_sflow_enabled" "" []
            "Whether samples of packets are sent by sFlow, so that packets cost more.";
        SFLOW_SAMPLES Counter "elb_sflow_samples" "" ["kind"]
            "Sampled (flow) and refused (discard) packets that were sent to the collector, since the agent started.";
        SFLOW_LOST Counter "elb_sflow_lost" "" ["cause"]
            "Those that were not: beyond what the kernel writes down in a second or without room there, refused packets beyond discards_per_second, or not sent by this host, or refused by the collector's.";
        SOURCE_PORTS Gauge "elb_source_ports" "" []
            "Ports of source addresses that connections of pools with fullnat may have; absent where there are none.";
        SOURCE_PORTS_USED Gauge "elb_source_ports_used" "" []
            "Of these, those that connections have, a few seconds ago at most; above 0.6 of all, some connections find none soon.";
        EVENTS Counter "elb_events" "" ["kind"]
            "Events as elb events shows them, since the agent started: unhealthy, recovered, in_service and in_reserve of backup members, slow_start and slow_start_over of members that rise to their share, and fallback and fallback_over of listeners.";
        LOG_MESSAGES Counter "elb_log_messages" "" ["level"]
            "Lines that the agent logged, since it started.";
        LOG_LOST Counter "elb_log_lost_messages" "" []
            "Lines that could not be written to the log, since the agent started.";
        API_WRONG_CREDENTIALS Counter "elb_api_wrong_credentials" "" []
            "Requests to the V3 API with wrong credentials, since the agent started.";
        API_UNRECORDED Counter "elb_api_unrecorded_refusals" "" []
            "Refused calls of the V3 API without an audit record, since their key had too many in a short time, since the agent started.";
        API_REQUESTS Counter "elb_api_requests" "" ["operation" "class"]
            "Requests to the API over TCP that were answered, by operation of V3 (version_2: all of version 2; other: no operation), and as ok, refused (4xx) or failed (5xx), since the agent started; operations that were asked for.";
        API_DURATION Histogram "elb_api_request_duration" "seconds" ["method"]
            "Time from the head of such a request to its answer, since the agent started; wrong credentials wait for it.";
        STORE_COMMIT Histogram "elb_store_commit" "seconds" []
            "Time that a commit to the store of the API took until it was on the disk, several writes together, since the agent started.";
        STORE_BYTES Gauge "elb_store" "bytes" []
            "Size of the store of the API: its file and its log.";
        STORE_BACKUP Gauge "elb_store_backup_timestamp" "seconds" []
            "When elb store backup last copied the store of the API, in seconds since 1970; absent: never.";
        MEMBERS_LEFT_OUT Gauge "elb_metrics_members_left_out" "" []
            "Members that have no metrics of their own, since there are more than metrics.members.";
        SNAPSHOT Gauge "elb_metrics_snapshot_timestamp" "seconds" []
            "When the agent last updated the values that are not counters of packets, in seconds since 1970.";
        SCRAPE Gauge "elb_scrape" "seconds" []
            "Time that this scrape took to read the counters of packets.";
        SCRAPE_ERRORS Gauge "elb_scrape_errors" "" []
            "Maps that could not be read for this scrape, whose metrics are therefore absent.";
        PROCESS_CPU Counter "process_cpu" "seconds" []
            "Time that the agent's process has run on CPUs.";
        PROCESS_RESIDENT Gauge "process_resident_memory" "bytes" []
            "Memory of the agent's process that is resident.";
        PROCESS_OPEN_FDS Gauge "process_open_fds" "" []
            "Open file descriptors of the agent's process.";
        PROCESS_MAX_FDS Gauge "process_max_fds" "" []
            "File descriptors that the agent's process may open.";
        PROCESS_START Gauge "process_start_time" "seconds" []
            "When the agent's process started, in seconds since 1970.";
    }
    Listener {
        LOAD_BALANCER_MEMBERS Gauge "elb_load_balancer_members" "" ["load_balancer" "status"]
            "Distinct members of all pools behind the load balancer, by their status.";
        LISTENER Info "elb_listener" "" ["load_balancer" "listener" "id" "protocol" "port" "vip" "pool"]
            "What the listener is; one series for each of its virtual addresses.";
        LISTENER_UP Gauge "elb_listener_up" "" ["load_balancer" "listener"]
            "Whether the listener is enabled and some member of the pool that serves it takes new connections: 1 or 0.";
        LISTENER_FALLBACK_USED Gauge "elb_listener_fallback_used" "" ["load_balancer" "listener"]
            "Whether the fallback pool serves the listener, since too few members of its default pool take new connections: 1 or 0; of listeners that have one.";
        LISTENER_PACKETS Counter "elb_listener_forwarded" "packets" ["load_balancer" "listener"]
            "Packets of clients that were forwarded.";
        LISTENER_BYTES Counter "elb_listener_forwarded" "bytes" ["load_balancer" "listener"]
            "Bytes of forwarded packets as received, Ethernet header included.";
        LISTENER_REPLY_PACKETS Counter "elb_listener_reply" "packets" ["load_balancer" "listener"]
            "Packets of members that were translated and sent on to clients, of listeners with a pool whose answers pass elb (nat, fullnat, nat46).";
        LISTENER_REPLY_BYTES Counter "elb_listener_reply" "bytes" ["load_balancer" "listener"]
            "Bytes of these packets as received from members, Ethernet header included.";
        LISTENER_ACCEPTED Counter "elb_listener_accepted_connections" "" ["load_balancer" "listener"]
            "TCP connections that members accepted (SYN-ACK), of listeners with a pool whose answers pass elb (nat, fullnat, nat46); a repeated SYN-ACK counts again.";
        LISTENER_SERVER_RESETS Counter "elb_listener_server_resets" "" ["load_balancer" "listener"]
            "TCP segments with RST from members, of listeners with a pool whose answers pass elb (nat, fullnat, nat46).";
        LISTENER_OPENED Counter "elb_listener_opened_connections" "" ["load_balancer" "listener"]
            "TCP connections that clients opened and that were given a member; a repeated SYN counts again.";
        LISTENER_RESETS Counter "elb_listener_client_resets" "" ["load_balancer" "listener"]
            "TCP segments with RST from clients.";
        LISTENER_DROPPED Counter "elb_listener_dropped" "packets" ["load_balancer" "listener" "reason"]
            "Packets for the listener that were dropped; the reason other is a fault of this host that elb drops names.";
        LISTENER_CONNECTIONS Gauge "elb_listener_connections" "" ["load_balancer" "listener"]
            "Open connections, of listeners whose pool records them (ROUND_ROBIN, LEAST_CONNECTIONS).";
        LISTENER_CONNECTIONS_LIMIT Gauge "elb_listener_connections_limit" "" ["load_balancer" "listener"]
            "Concurrent connections that the listener may have (max_connection), where it is set.";
        LISTENER_NEW_LIMIT Gauge "elb_listener_new_connections_limit" "" ["load_balancer" "listener"]
            "New connections per second that the listener may have (cps), where it is set.";
    }
    Pool {
        POOL_MEMBERS Gauge "elb_pool_members" "" ["pool" "status"]
            "Members of the pool by their status, as elb status shows it.";
        POOL_LISTENERS Gauge "elb_pool_listeners" "" ["pool"]
            "Listeners that the pool serves; 0: it is not used.";
        POOL_BACKUP_USED Gauge "elb_pool_backup_used" "" ["pool"]
            "Whether the backup members of the pool take new connections, since too few of the others can serve: 1 or 0; of pools that have any.";
        POOL_PROBE_FAILURES Counter "elb_pool_probe_failures" "" ["pool" "reason"]
            "Health probes of the pool's members that failed, by reason code, since the agent started.";
        PROBE_DURATION Histogram "elb_probe_duration" "seconds" ["pool" "type"]
            "Time that health probes of the pool's members took, since the agent started.";
        RING_SLOTS Gauge "elb_ring_slots" "" ["pool"]
            "Slots of the pool's look-up table.";
        RING_MOVING_SLOTS Gauge "elb_ring_moving_slots" "" ["pool"]
            "Slots that changed their owner and still protect connections of the former one.";
        RING_MOVED_SLOTS Counter "elb_ring_moved_slots" "" ["pool"]
            "Slots that changed their owner, since the agent started.";
    }
    Member {
        MEMBER Info "elb_member" "" ["pool" "member" "id" "address" "port"]
            "What the member is: its id, its address and its port.";
        MEMBER_PACKETS Counter "elb_member_forwarded" "packets" ["pool" "member"]
            "Packets of clients that the member got.";
        MEMBER_BYTES Counter "elb_member_forwarded" "bytes" ["pool" "member"]
            "Bytes of the packets that the member got, as received from clients, Ethernet header included.";
        MEMBER_REPLY_PACKETS Counter "elb_member_reply" "packets" ["pool" "member"]
            "Packets of the member that were translated and sent on to clients, of pools whose answers pass elb (nat, fullnat, nat46).";
        MEMBER_REPLY_BYTES Counter "elb_member_reply" "bytes" ["pool" "member"]
            "Bytes of these packets as received from the member, Ethernet header included.";
        MEMBER_ACCEPTED Counter "elb_member_accepted_connections" "" ["pool" "member"]
            "TCP connections that the member accepted (SYN-ACK), of pools whose answers pass elb (nat, fullnat, nat46); a repeated SYN-ACK counts again.";
        MEMBER_RESETS Counter "elb_member_resets" "" ["pool" "member"]
            "TCP segments with RST from the member, of pools whose answers pass elb (nat, fullnat, nat46).";
        MEMBER_OPENED Counter "elb_member_opened_connections" "" ["pool" "member"]
            "TCP connections that clients opened and that the member was given; a repeated SYN counts again.";
        MEMBER_HEALTHY Gauge "elb_member_healthy" "" ["pool" "member"]
            "Whether the member is healthy: 1 for ONLINE and NO_MONITOR, 0 for OFFLINE and INITIAL.";
        MEMBER_SINCE Gauge "elb_member_status_since_timestamp" "seconds" ["pool" "member"]
            "Since when the member's health is what it is, in seconds since 1970.";
        MEMBER_TRANSITIONS Counter "elb_member_transitions" "" ["pool" "member" "to"]
            "Times that the member turned OFFLINE, or ONLINE again; kept across restarts of the agent.";
        MEMBER_WEIGHT Gauge "elb_member_weight" "" ["pool" "member"]
            "Weight in the configuration.";
        MEMBER_SHARE Gauge "elb_member_share" "ratio" ["pool" "member"]
            "Part of the pool's new connections that is due to the member by the weights of those that take any, from 0 to 1.";
        MEMBER_CONNECTIONS Gauge "elb_member_connections" "" ["pool" "member"]
            "Open connections, of members of pools that record them (ROUND_ROBIN, LEAST_CONNECTIONS).";
        MEMBER_CONNECTIONS_LIMIT Gauge "elb_member_connections_limit" "" ["pool" "member"]
            "Concurrent connections that the member may have (max_connection), where it is set.";
        MEMBER_REACHABLE Gauge "elb_member_reachable" "" ["pool" "member"]
            "Whether the next hop towards the member is known: 1 or 0.";
        MEMBER_PROBES Counter "elb_member_probes" "" ["pool" "member"]
            "Health probes of the member that are over; kept across restarts of the agent.";
        MEMBER_PROBE_FAILURES Counter "elb_member_probe_failures" "" ["pool" "member"]
            "Health probes of the member that failed; kept across restarts of the agent.";
        MEMBER_LAST_PROBE Gauge "elb_member_last_probe" "seconds" ["pool" "member"]
            "Time that the last health probe of the member took.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_keep_the_conventions() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            let name = family.name();
            assert!(seen.insert(name.clone()), "{name} is there twice");
            assert!(name.starts_with("elb_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!family.base.ends_with("_total") && !family.base.ends_with("_info"), "{name}");
            let units = ["", "seconds", "bytes", "packets", "ratio"];
            assert!(units.contains(&family.unit), "{name}: unit {:?}", family.unit);
            let says_unit = ["second", "byte", "ratio"].iter().any(|u| family.base.ends_with(u));
            assert!(!says_unit, "{name}: its unit is apart");
            if family.kind == Kind::Histogram {
                assert!(!family.unit.is_empty(), "{name} has no unit");
            }
        }
    }

    #[test]
    fn help_is_a_sentence() {
        for family in FAMILIES {
            let help = family.help;
            assert!(help.ends_with('.') && help.len() > 20, "{help}");
            assert!(help.chars().next().is_some_and(char::is_uppercase), "{help}");
            assert!(!help.contains(['\\', '\n', '"']), "{help}");
        }
    }

    #[test]
    fn scopes_are_read_with_commas() {
        assert_eq!(scopes("agent, member"), Ok(vec![Scope::Agent, Scope::Member]));
        assert!(scopes("agent,hosts").unwrap_err().contains("\"hosts\""));
    }
}
