//! Names that both sides, the pins on disk and the tests use.

/// Version of the map records. It is part of the pin path, so two versions never share a map.
pub const ABI_VERSION: u32 = RECORDS;
/// Version of what the records mean: maps that name the same one can be copied as they are.
pub const RECORDS: u32 = 3;

/// Program that forwards, in the object `elb-xdp`.
pub const PROGRAM: &str = "elb";
/// Same as `elb`, and reports matching packets to user space, in the object `elb-xdp`.
pub const TRACED_PROGRAM: &str = "elb_traced";
/// Same as `elb`, and writes opens, ends and refusals down for the flow log, in the object `elb-xdp`.
pub const LOGGED_PROGRAM: &str = "elb_logged";
/// Program that forwards health probes, in the object `elb-xdp`.
pub const PROBE_PROGRAM: &str = "elb_probe";
/// Program that sweeps the flow tables, in the object `elb-xdp`.
pub const SWEEP_PROGRAM: &str = "elb_sweep";
/// Program that cuts a recorded connection, in the object `elb-xdp`.
pub const CUT_PROGRAM: &str = "elb_cut";
/// Program that unwraps encapsulated packets on a backend server, in the object `elb-decap`.
pub const DECAP_PROGRAM: &str = "decap";

/// One record: the ABI version of the maps next to it.
pub const SETTINGS: &str = "SETTINGS";
/// IPv4 listeners by address, port and protocol.
pub const LISTENERS_V4: &str = "LISTENERS_V4";
/// IPv6 listeners by address, port and protocol.
pub const LISTENERS_V6: &str = "LISTENERS_V6";
/// Bits of all virtual addresses, of both families.
pub const VIP_BITS: &str = "VIP_BITS";
/// IPv4 virtual addresses.
pub const VIPS_V4: &str = "VIPS_V4";
/// IPv6 virtual addresses.
pub const VIPS_V6: &str = "VIPS_V6";
/// Ring slots of all pools.
pub const RINGS: &str = "RINGS";
/// Since when a slot moves, or when a sweep last found a record that it needs.
pub const RINGS_SEEN: &str = "RINGS_SEEN";
/// What the packet path needs to know of a pool, beyond its ring.
pub const POOLS: &str = "POOLS";
/// Whose turn it is in each pool that takes its members in turn.
pub const POOL_STATES: &str = "POOL_STATES";
/// Backends by id.
pub const BACKENDS: &str = "BACKENDS";
/// Open connections by backend, where they are tracked.
pub const BACKEND_STATES: &str = "BACKEND_STATES";
/// When connection ids last named a backend that takes no new flows.
pub const BACKENDS_NAMED: &str = "BACKENDS_NAMED";
/// Backends by server id in QUIC connection ids.
pub const SERVER_IDS: &str = "SERVER_IDS";
/// IPv4 flows of which one packet came.
pub const OPENINGS_V4: &str = "OPENINGS_V4";
/// IPv6 flows of which one packet came.
pub const OPENINGS_V6: &str = "OPENINGS_V6";
/// IPv4 flows that live and whose backend their slot alone does not determine.
pub const FLOWS_V4: &str = "FLOWS_V4";
/// IPv6 flows that live and whose backend their slot alone does not determine.
pub const FLOWS_V6: &str = "FLOWS_V6";
/// Clients of pools with persistence of which one packet came.
pub const CLIENT_OPENINGS: &str = "CLIENT_OPENINGS";
/// Clients of pools with persistence, and which backend serves each.
pub const CLIENTS: &str = "CLIENTS";
/// Room in the flow tables.
pub const FLOW_TABLES: &str = "FLOW_TABLES";
/// Listeners for ranges of ports.
pub const PORT_RANGES: &str = "PORT_RANGES";
/// IPv4 networks of IP groups.
pub const GROUPS_V4: &str = "GROUPS_V4";
/// IPv6 networks of IP groups.
pub const GROUPS_V6: &str = "GROUPS_V6";
/// What listeners have open and recorded.
pub const LISTENER_STATES: &str = "LISTENER_STATES";
/// Which pool each listener serves.
pub const LISTENER_POOLS: &str = "LISTENER_POOLS";
/// IPv4 datagrams that come in fragments.
pub const FRAGMENTS_V4: &str = "FRAGMENTS_V4";
/// IPv6 datagrams that come in fragments.
pub const FRAGMENTS_V6: &str = "FRAGMENTS_V6";
/// How many errors and resets were sent in this second.
pub const ERRORS_SENT: &str = "ERRORS_SENT";
/// What IPv4 endpoints of members stand for whose answers are translated.
pub const REPLIES_V4: &str = "REPLIES_V4";
/// What IPv6 endpoints of members stand for whose answers are translated.
pub const REPLIES_V6: &str = "REPLIES_V6";
/// Bits of all their addresses, of both families.
pub const MEMBER_BITS: &str = "MEMBER_BITS";
/// IPv4 flows that are exceptions at members' endpoints.
pub const EXCEPTIONS_V4: &str = "EXCEPTIONS_V4";
/// IPv6 flows that are exceptions at members' endpoints.
pub const EXCEPTIONS_V6: &str = "EXCEPTIONS_V6";
/// Until when each backend may have exceptions.
pub const EXCEPTED: &str = "EXCEPTED";
/// What members' answers say of their TCP connections, by listener.
pub const LISTENER_ANSWERS: &str = "LISTENER_ANSWERS";
/// The same by backend.
pub const BACKEND_ANSWERS: &str = "BACKEND_ANSWERS";
/// Answers that were translated back, by listener.
pub const LISTENER_REPLIES: &str = "LISTENER_REPLIES";
/// Answers that were translated back, by backend.
pub const BACKEND_REPLIES: &str = "BACKEND_REPLIES";
/// Ways back to clients that no other route is for.
pub const CLIENT_DEFAULTS: &str = "CLIENT_DEFAULTS";
/// Ways back to IPv4 clients.
pub const CLIENT_ROUTES_V4: &str = "CLIENT_ROUTES_V4";
/// Ways back to IPv6 clients.
pub const CLIENT_ROUTES_V6: &str = "CLIENT_ROUTES_V6";
/// Bits of the clients that the ways back may be others to than the default.
pub const CLIENT_ROUTE_BITS: &str = "CLIENT_ROUTE_BITS";
/// One record: the source addresses of `fullnat`.
pub const SNAT: &str = "SNAT";
/// Whose each port of a source address is.
pub const BINDINGS_V4: &str = "BINDINGS_V4";
/// What clients know each listener by.
pub const LISTENER_ENDPOINTS: &str = "LISTENER_ENDPOINTS";
/// Interfaces that carry the program.
pub const INTERFACES: &str = "INTERFACES";
/// Ethernet addresses of interfaces, where they are found first.
pub const INTERFACE_MACS: &str = "INTERFACE_MACS";
/// Ethernet addresses that interfaces take frames for besides their own.
pub const MORE_MACS: &str = "MORE_MACS";
/// Interfaces that frames may be redirected to.
pub const DEVMAP: &str = "DEVMAP";
/// Packets and bytes forwarded, by listener.
pub const LISTENER_COUNTERS: &str = "LISTENER_COUNTERS";
/// Packets and bytes forwarded, by backend.
pub const BACKEND_COUNTERS: &str = "BACKEND_COUNTERS";
/// What packets opened, reset and were dropped for, by listener.
pub const LISTENER_EVENTS: &str = "LISTENER_EVENTS";
/// TCP connections that were opened at each backend.
pub const BACKEND_OPENED: &str = "BACKEND_OPENED";
/// Packets and bytes not forwarded, by reason.
pub const REASON_COUNTERS: &str = "REASON_COUNTERS";

/// Not pinned: which packets are reported.
pub const TRACE: &str = "TRACE";
/// Not pinned: what is reported about packets.
pub const EVENTS: &str = "EVENTS";
/// Not pinned: packets asked for, and those of them not reported.
pub const TRACE_COUNTERS: &str = "TRACE_COUNTERS";

/// Not pinned: how much the flow log takes.
pub const FLOW_LOG: &str = "FLOW_LOG";
/// Not pinned: what is written down for the flow log.
pub const FLOW_EVENTS: &str = "FLOW_EVENTS";
/// Not pinned: events of the flow log by kind, and those that were lost.
pub const FLOW_COUNTERS: &str = "FLOW_COUNTERS";

/// Not pinned: which backend each IPv4 flow probes.
pub const PROBES_V4: &str = "PROBES_V4";
/// Not pinned: which backend each IPv6 flow probes.
pub const PROBES_V6: &str = "PROBES_V6";

/// Not pinned: what a sweep goes by.
pub const SWEEP: &str = "SWEEP";
/// Not pinned: what a sweep found, by backend.
pub const BACKEND_CENSUS: &str = "BACKEND_CENSUS";
/// Not pinned: what a sweep found, by listener.
pub const LISTENER_CENSUS: &str = "LISTENER_CENSUS";

/// Virtual addresses a backend server unwraps packets for, in the object `elb-decap`.
pub const DECAP_VIPS: &str = "DECAP_VIPS";
/// Networks that tunnel packets may come from, in the object `elb-decap`.
pub const DECAP_SOURCES: &str = "DECAP_SOURCES";
/// The number of the set of [`DECAP_SOURCES`] that counts, in the object `elb-decap`.
pub const DECAP_SET: &str = "DECAP_SET";
/// Packets and bytes unwrapped, in the object `elb-decap`.
pub const DECAP_COUNTERS: &str = "DECAP_COUNTERS";

/// Those of [`MAPS`] that came after others of this version did: an older agent's maps lack them.
pub const LATER_MAPS: [&str; 19] = [
    CLIENT_OPENINGS,
    CLIENTS,
    REPLIES_V4,
    REPLIES_V6,
    MEMBER_BITS,
    EXCEPTIONS_V4,
    EXCEPTIONS_V6,
    EXCEPTED,
    LISTENER_REPLIES,
    BACKEND_REPLIES,
    LISTENER_ANSWERS,
    BACKEND_ANSWERS,
    CLIENT_DEFAULTS,
    CLIENT_ROUTES_V4,
    CLIENT_ROUTES_V6,
    CLIENT_ROUTE_BITS,
    SNAT,
    BINDINGS_V4,
    LISTENER_ENDPOINTS,
];

/// The maps of the object `elb-xdp` that outlive the agent, each pinned under its name.
pub const MAPS: [&str; 55] = [
    SETTINGS,
    LISTENERS_V4,
    LISTENERS_V6,
    VIP_BITS,
    VIPS_V4,
    VIPS_V6,
    RINGS,
    RINGS_SEEN,
    POOLS,
    POOL_STATES,
    BACKENDS,
    BACKEND_STATES,
    BACKENDS_NAMED,
    SERVER_IDS,
    OPENINGS_V4,
    OPENINGS_V6,
    FLOWS_V4,
    FLOWS_V6,
    CLIENT_OPENINGS,
    CLIENTS,
    FLOW_TABLES,
    PORT_RANGES,
    GROUPS_V4,
    GROUPS_V6,
    LISTENER_STATES,
    LISTENER_POOLS,
    FRAGMENTS_V4,
    FRAGMENTS_V6,
    ERRORS_SENT,
    REPLIES_V4,
    REPLIES_V6,
    MEMBER_BITS,
    EXCEPTIONS_V4,
    EXCEPTIONS_V6,
    EXCEPTED,
    LISTENER_REPLIES,
    BACKEND_REPLIES,
    LISTENER_ANSWERS,
    BACKEND_ANSWERS,
    CLIENT_DEFAULTS,
    CLIENT_ROUTES_V4,
    CLIENT_ROUTES_V6,
    CLIENT_ROUTE_BITS,
    SNAT,
    BINDINGS_V4,
    LISTENER_ENDPOINTS,
    INTERFACES,
    INTERFACE_MACS,
    MORE_MACS,
    DEVMAP,
    LISTENER_COUNTERS,
    LISTENER_EVENTS,
    BACKEND_COUNTERS,
    BACKEND_OPENED,
    REASON_COUNTERS,
];
