//! The maps of the forwarding program: one comment each says who writes, who reads, how large it
//! is, and why it is of this kind. All are pinned by the agent under their names; sizes marked
//! *settable* in `elb_common::limits` are set by it when the map is made.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf};
use elb_common::admission::{BackendState, GroupKeyV4, GroupKeyV6, ListenerState};
use elb_common::backend::Backend;
use elb_common::binding::Bucket;
use elb_common::client::{Client, ClientKey};
use elb_common::client_hop::{CLIENT_DEFAULTS as DEFAULTS, CLIENT_ROUTE_WORDS, ClientHop};
use elb_common::counter::{Answers, Counter, ListenerEvents};
use elb_common::error_limit::ErrorsSent;
use elb_common::exception::Exception;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::flow_log::{FLOW_EVENT_BYTES, FlowLog, flow_counter};
use elb_common::fragment::Fragment;
use elb_common::interface::{Interface, LinkMac, MacKey, Settings};
use elb_common::limits::*;
use elb_common::listener::{
    Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, ListenerPool, RangeKey, Vip,
};
use elb_common::path::question::{QuestionV4, QuestionV6};
use elb_common::pool::{Pool, PoolState};
use elb_common::quic::ServerIdKey;
use elb_common::reason::REASONS;
use elb_common::reply::Reply;
use elb_common::ring::{CHUNK, Chunk};
use elb_common::room::FlowTable;
use elb_common::snat::Snat;
use elb_common::sweep::{BackendCensus, ListenerCensus, Sweep};
use elb_common::trace::{EVENT_BYTES, Trace, trace_counter};
use elb_common::vip_bits::VIP_WORDS;

use crate::draft::{Draft, LogDraft};

/// Agent writes and reads; packets do not. One element: what the maps next to it are.
#[map]
pub(crate) static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// Agent writes, every TCP and UDP packet reads one word. An array, since an index costs nothing, and
/// of words, since each is valid by itself.
#[map]
pub(crate) static VIP_BITS: Array<u64> = Array::with_max_entries(VIP_WORDS, 0);

/// Agent writes, every IPv4 packet A hash keyed by one word, the cheapest exact look-up.
#[map]
pub(crate) static LISTENERS_V4: HashMap<ListenerKeyV4, Listener> =
    HashMap::with_max_entries(MAX_LISTENERS, 0);

/// Agent writes, IPv6 packets read. Separate from IPv4, which need not pay for long keys.
#[map]
pub(crate) static LISTENERS_V6: HashMap<ListenerKeyV6, Listener> =
    HashMap::with_max_entries(MAX_LISTENERS, 0);

/// Agent writes; packets without an exact listener, ARP and echo requests read.
#[map]
pub(crate) static VIPS_V4: HashMap<u32, Vip> = HashMap::with_max_entries(MAX_VIPS, 0);

/// Agent writes; packets without an exact listener, solicitations and echo requests read.
#[map]
pub(crate) static VIPS_V6: HashMap<[u32; 4], Vip> = HashMap::with_max_entries(MAX_VIPS, 0);

/// Agent writes; packets without an exact listener, for addresses that have ranges, read. A trie,
/// since a range is a few prefixes of port numbers; tries cannot be allocated beforehand.
#[map]
pub(crate) static PORT_RANGES: LpmTrie<RangeKey, Listener> =
    LpmTrie::with_max_entries(MAX_PORT_RANGES, BPF_F_NO_PREALLOC);

/// Agent writes; packets that open a flow at a listener with an IP group read.
#[map]
pub(crate) static GROUPS_V4: LpmTrie<GroupKeyV4, u32> =
    LpmTrie::with_max_entries(MAX_GROUP_ENTRIES, BPF_F_NO_PREALLOC);

/// As `GROUPS_V4`.
#[map]
pub(crate) static GROUPS_V6: LpmTrie<GroupKeyV6, u32> =
    LpmTrie::with_max_entries(MAX_GROUP_ENTRIES, BPF_F_NO_PREALLOC);

/// Packets that open or close a connection at a listener that tracks or limits them, or that record a
/// flow, write and read; the agent reads, and corrects the counts. Shared by all CPUs, since a limit is
/// one.
#[map]
pub(crate) static LISTENER_STATES: Array<ListenerState> =
    Array::with_max_entries(MAX_LISTENERS, BPF_F_MMAPABLE);

/// Agent writes, sweeps read: which pool each listener serves.
#[map]
pub(crate) static LISTENER_POOLS: Array<ListenerPool> = Array::with_max_entries(MAX_LISTENERS, 0);

/// Agent writes through shared memory, one slot at a time; every forwarded packet reads one slot.
/// An array, since an index costs nothing; each slot is valid by itself, so no packet sees half a
/// ring.
#[map]
pub(crate) static RINGS: Array<Chunk> = Array::with_max_entries(MAX_SLOTS / CHUNK, BPF_F_MMAPABLE);

/// Agent and sweeps write, the agent reads through shared memory. Indexed like `RINGS`.
#[map]
pub(crate) static RINGS_SEEN: Array<Chunk> =
    Array::with_max_entries(MAX_SLOTS / CHUNK, BPF_F_MMAPABLE);

/// Agent writes; packets on moving slots and of pools that record every flow read.
#[map]
pub(crate) static POOLS: Array<Pool> = Array::with_max_entries(MAX_POOLS, 0);

/// Packets that take a turn, or find no room for a record, write; the agent reads. Shared by all CPUs,
/// since turns are taken in one order.
#[map]
pub(crate) static POOL_STATES: Array<PoolState> = Array::with_max_entries(MAX_POOLS, 0);

/// Agent writes; QUIC packets of pools whose members have server ids read.
#[map]
pub(crate) static SERVER_IDS: HashMap<ServerIdKey, u32> =
    HashMap::with_max_entries(MAX_SERVER_IDS, 0);

/// Packets that open or close a tracked connection write, those that choose by it read; the agent
/// reads and corrects it.
#[map]
pub(crate) static BACKEND_STATES: Array<BackendState> =
    Array::with_max_entries(MAX_BACKENDS, BPF_F_MMAPABLE);

/// Packets that a connection id sends to a backend that takes no new flows write, the agent reads.
#[map]
pub(crate) static BACKENDS_NAMED: Array<u32> = Array::with_max_entries(MAX_BACKENDS, 0);

/// Agent writes, every forwarded packet reads one record of one cache line.
#[map]
pub(crate) static BACKENDS: Array<Backend> = Array::with_max_entries(MAX_BACKENDS, 0);

/// Packets that open a flow on a moving slot write, the second packet of the flow removes. LRU, since
/// any host can send first packets: a flood of them pushes out nothing but first packets.
#[map]
pub(crate) static OPENINGS_V4: LruHashMap<FlowKeyV4, Flow> =
    LruHashMap::with_max_entries(MAX_FLOWS / FLOWS_PER_OPENING, 0);

/// As `OPENINGS_V4`.
#[map]
pub(crate) static OPENINGS_V6: LruHashMap<FlowKeyV6, Flow> =
    LruHashMap::with_max_entries(MAX_FLOWS / FLOWS_PER_OPENING, 0);

/// Packets on moving slots write and read, sweeps remove, the agent reads. `FLOW_TABLES` keeps it
/// from filling up; LRU for the time without an agent, when nothing is swept. Settled slots never come
/// here.
#[map]
pub(crate) static FLOWS_V4: LruHashMap<FlowKeyV4, Flow> =
    LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// As `FLOWS_V4`.
#[map]
pub(crate) static FLOWS_V6: LruHashMap<FlowKeyV6, Flow> =
    LruHashMap::with_max_entries(MAX_FLOWS, 0);

/// Packets that open a connection of a pool with persistence write and read, sweeps remove. LRU, as
/// `OPENINGS_V4`: any host can send first packets.
#[map]
pub(crate) static CLIENT_OPENINGS: LruHashMap<ClientKey, Client> =
    LruHashMap::with_max_entries(MAX_CLIENTS / CLIENTS_PER_OPENING, 0);

/// Packets of connections of a pool with persistence write and read, sweeps remove. LRU, since there may be
/// more clients than there is room for: those that were away for the longest time are forgotten.
#[map]
pub(crate) static CLIENTS: LruHashMap<ClientKey, Client> =
    LruHashMap::with_max_entries(MAX_CLIENTS, 0);

/// Packets that record a flow write and read, sweeps and the agent write. Shared by all CPUs, since the
/// room is.
#[map]
pub(crate) static FLOW_TABLES: Array<FlowTable> = Array::with_max_entries(2, BPF_F_MMAPABLE);

/// Packets on moving slots write and read: what they ask. Per CPU; not pinned.
#[map]
pub(crate) static QUESTION_V4: PerCpuArray<QuestionV4> = PerCpuArray::with_max_entries(1, 0);

/// As `QUESTION_V4`.
#[map]
pub(crate) static QUESTION_V6: PerCpuArray<QuestionV6> = PerCpuArray::with_max_entries(1, 0);

/// First fragments write, later ones read. Apart from the flows, and LRU: a flood of fragments
/// pushes out nothing but fragments.
#[map]
pub(crate) static FRAGMENTS_V4: LruHashMap<FlowKeyV4, Fragment> =
    LruHashMap::with_max_entries(MAX_FRAGMENTS, 0);

/// As `FRAGMENTS_V4`.
#[map]
pub(crate) static FRAGMENTS_V6: LruHashMap<FlowKeyV6, Fragment> =
    LruHashMap::with_max_entries(MAX_FRAGMENTS, 0);

/// Packets that are answered by an error or a reset write and read. Per CPU, so that no CPU waits for
/// another.
#[map]
pub(crate) static ERRORS_SENT: PerCpuArray<ErrorsSent> = PerCpuArray::with_max_entries(2, 0);

/// Agent writes; what comes from the address of a member whose answers are translated reads. A hash keyed by one
/// word, as `LISTENERS_V4`.
#[map]
pub(crate) static REPLIES_V4: HashMap<ListenerKeyV4, Reply> =
    HashMap::with_max_entries(MAX_BACKENDS, 0);

/// As `REPLIES_V4`.
#[map]
pub(crate) static REPLIES_V6: HashMap<ListenerKeyV6, Reply> =
    HashMap::with_max_entries(MAX_BACKENDS, 0);

/// Packets at endpoints that several listeners share, and at those that are reached by this host otherwise, write and
/// read. LRU, and small: there are few of them, and a packet of the client's side notes each again.
#[map]
pub(crate) static EXCEPTIONS_V4: LruHashMap<FlowKeyV4, Exception> =
    LruHashMap::with_max_entries(MAX_EXCEPTIONS, 0);

/// As `EXCEPTIONS_V4`.
#[map]
pub(crate) static EXCEPTIONS_V6: LruHashMap<FlowKeyV6, Exception> =
    LruHashMap::with_max_entries(MAX_EXCEPTIONS, 0);

/// Packets to and from members' endpoints that are left alone write, those that are translated back read.
#[map]
pub(crate) static EXCEPTED: Array<u32> = Array::with_max_entries(MAX_BACKENDS, 0);

/// Agent writes; what is not for a virtual address reads one word. As `VIP_BITS`.
#[map]
pub(crate) static MEMBER_BITS: Array<u64> = Array::with_max_entries(VIP_WORDS, 0);

/// Packets that are translated back write, the agent reads.
#[map]
pub(crate) static LISTENER_REPLIES: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(MAX_LISTENERS, 0);

/// Packets that are translated back write, the agent reads.
#[map]
pub(crate) static BACKEND_REPLIES: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Answers that begin or end a TCP connection write, the agent reads.
#[map]
pub(crate) static LISTENER_ANSWERS: PerCpuArray<Answers> =
    PerCpuArray::with_max_entries(MAX_LISTENERS, 0);

/// As `LISTENER_ANSWERS`.
#[map]
pub(crate) static BACKEND_ANSWERS: PerCpuArray<Answers> =
    PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Agent writes; packets that are translated back read. One element for each IP version, since most clients
/// are behind the default route.
#[map]
pub(crate) static CLIENT_DEFAULTS: Array<ClientHop> = Array::with_max_entries(DEFAULTS, 0);

/// Agent writes; packets that are translated back, to clients whose bit is set, read. A trie, since a route is a
/// prefix; tries cannot be allocated beforehand.
#[map]
pub(crate) static CLIENT_ROUTES_V4: LpmTrie<u32, ClientHop> =
    LpmTrie::with_max_entries(MAX_CLIENT_ROUTES, BPF_F_NO_PREALLOC);

/// As `CLIENT_ROUTES_V4`.
#[map]
pub(crate) static CLIENT_ROUTES_V6: LpmTrie<[u64; 2], ClientHop> =
    LpmTrie::with_max_entries(MAX_CLIENT_ROUTES, BPF_F_NO_PREALLOC);

/// Agent writes; packets that are translated back read one word. As `VIP_BITS`.
#[map]
pub(crate) static CLIENT_ROUTE_BITS: Array<u64> = Array::with_max_entries(CLIENT_ROUTE_WORDS, 0);

/// Agent writes; packets of pools with `fullnat`, and those for no virtual address, read.
#[map]
pub(crate) static SNAT: Array<Snat> = Array::with_max_entries(1, 0);

/// Packets of pools with `fullnat` and their answers write and read; the agent reads. An array, since the index is
/// the port: a flow needs one record, not a pair. The agent makes it as large as there are addresses.
#[map]
pub(crate) static BINDINGS_V4: Array<Bucket> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Agent writes; answers to source addresses read.
#[map]
pub(crate) static LISTENER_ENDPOINTS: Array<ListenerEndpoint> =
    Array::with_max_entries(MAX_LISTENERS, 0);

/// Agent writes; ARP and neighbour discovery read.
#[map]
pub(crate) static INTERFACES: HashMap<u32, Interface> =
    HashMap::with_max_entries(MAX_INTERFACES, 0);

/// Agent writes; every packet for a virtual address reads. An array, since an index costs nothing.
#[map]
pub(crate) static INTERFACE_MACS: Array<LinkMac> = Array::with_max_entries(MAX_INTERFACES, 0);

/// Agent writes; frames that are not for the interface's own Ethernet address read.
#[map]
pub(crate) static MORE_MACS: HashMap<MacKey, u32> = HashMap::with_max_entries(MAX_MORE_MACS, 0);

/// Agent writes; packets that leave by another interface read. Keyed by interface index, which may
/// be any number; a device map, so that the kernel sends frames in batches.
#[map]
pub(crate) static DEVMAP: DevMapHash = DevMapHash::with_max_entries(MAX_INTERFACES, 0);

/// Packets write, the agent reads. Per CPU, so that no CPU waits for another.
#[map]
pub(crate) static LISTENER_COUNTERS: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(MAX_LISTENERS, 0);

/// Packets that open or reset a TCP connection, and those for a listener that are dropped, write; the
/// agent reads.
#[map]
pub(crate) static LISTENER_EVENTS: PerCpuArray<ListenerEvents> =
    PerCpuArray::with_max_entries(MAX_LISTENERS, 0);

/// Packets write, the agent reads.
#[map]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Packets that open a TCP connection write, the agent reads.
#[map]
pub(crate) static BACKEND_OPENED: PerCpuArray<u64> = PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Packets that are not forwarded write, the agent reads.
#[map]
pub(crate) static REASON_COUNTERS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(REASONS, 0);

/// Agent writes, packets under `elb_probe` read: the id of the backend that a flow probes. LRU: the
/// last segments of a connection still find their way when its probe is over. Not pinned: it goes with
/// the agent.
#[map]
pub(crate) static PROBES_V4: LruHashMap<FlowKeyV4, u32> =
    LruHashMap::with_max_entries(MAX_PROBES, 0);

/// As `PROBES_V4`.
#[map]
pub(crate) static PROBES_V6: LruHashMap<FlowKeyV6, u32> =
    LruHashMap::with_max_entries(MAX_PROBES, 0);

/// Agent writes while packets are traced, packets under `elb_traced` read. Not pinned, like all that
/// tracing needs: it goes with the agent that made it.
#[map]
pub(crate) static TRACE: Array<Trace> = Array::with_max_entries(1, 0);

/// Packets that are reported write, the agent reads. A ring buffer: in the order of all CPUs, and what
/// finds no room is left out.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_BYTES, 0);

/// Packets under `elb_traced` write and read: an event does not fit on their stack.
#[map]
pub(crate) static TRACE_BUFFER: PerCpuArray<Draft> = PerCpuArray::with_max_entries(1, 0);

/// Packets under `elb_traced` write, the agent reads.
#[map]
pub(crate) static TRACE_COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(trace_counter::COUNT, 0);

/// Agent writes while the flow log is on, packets that it is about read. Not pinned, as for tracing.
#[map]
pub(crate) static FLOW_LOG: Array<FlowLog> = Array::with_max_entries(1, 0);

/// Packets that the flow log is about write, the agent reads. A ring buffer, as `EVENTS`; apart from it,
/// since one may be full while the other is not.
#[map]
pub(crate) static FLOW_EVENTS: RingBuf = RingBuf::with_byte_size(FLOW_EVENT_BYTES, 0);

/// Packets that the flow log is about write and read: an event does not fit on their stack.
#[map]
pub(crate) static LOG_BUFFER: PerCpuArray<LogDraft> = PerCpuArray::with_max_entries(1, 0);

/// Packets that the flow log is about write, the agent reads.
#[map]
pub(crate) static FLOW_COUNTERS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(flow_counter::COUNT, 0);

/// Agent writes before a sweep, the sweep reads. Not pinned, like all that sweeps need.
#[map]
pub(crate) static SWEEP: Array<Sweep> = Array::with_max_entries(1, 0);

/// Sweeps write, the agent reads and clears.
#[map]
pub(crate) static BACKEND_CENSUS: Array<BackendCensus> =
    Array::with_max_entries(MAX_BACKENDS, BPF_F_MMAPABLE);

/// As `BACKEND_CENSUS`.
#[map]
pub(crate) static LISTENER_CENSUS: Array<ListenerCensus> =
    Array::with_max_entries(MAX_LISTENERS, BPF_F_MMAPABLE);
