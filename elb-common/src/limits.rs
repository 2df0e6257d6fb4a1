//! Sizes of the maps, their unit and what they cost; the agent may set those marked *settable*.

/// Listeners, by id. *Settable.* 16 bytes per CPU each for the counter.
pub const MAX_LISTENERS: u32 = 4096;
/// Virtual addresses per IP family.
pub const MAX_VIPS: u32 = 4096;
/// Pools, by id. 8 bytes each.
pub const MAX_POOLS: u32 = 4096;
/// Backends, by id; id 0 means "none". *Settable*, at most 65,536 since a slot holds 16-bit ids.
/// 64 bytes each, and 16 bytes per CPU for the counter.
pub const MAX_BACKENDS: u32 = 4096;
/// Entries of each flow table. *Settable.* About 64 bytes (IPv4) and 96 bytes (IPv6) each, all
/// allocated when the map is made.
pub const MAX_FLOWS: u32 = 1 << 20;
/// For each entry of `OPENINGS_V4` and `OPENINGS_V6`, entries of the flow table.
pub const FLOWS_PER_OPENING: u32 = 4;
/// Clients that pools with persistence remember, of all of these and both IP versions. *Settable.* About 90
/// bytes each, all allocated when the map is made; where no pool asks for it there is room for one.
pub const MAX_CLIENTS: u32 = 1 << 16;
/// For each entry of `CLIENT_OPENINGS`, entries of `CLIENTS`.
pub const CLIENTS_PER_OPENING: u32 = 4;
/// Seconds for which a client is remembered at most: a day.
pub const MAX_PERSISTENCE: u32 = 86_400;
/// Seconds for which a TCP connection is remembered of which only the opening came: longer than the
/// first five repetitions of it and of its answer take (RFC 6298 §2).
pub const HALF_OPEN_TIMEOUT: u32 = 60;
/// Entries of `PORT_RANGES`: a range of ports takes at most 30, usually fewer than ten.
pub const MAX_PORT_RANGES: u32 = 65_536;
/// Networks of all IP groups together, per IP family: 50 groups of 300, and as many that take their
/// places, since the new ones of a group are there before the old ones go.
pub const MAX_GROUP_ENTRIES: u32 = 32_768;
/// Members with a server id.
pub const MAX_SERVER_IDS: u32 = 4096;
/// Datagrams in fragments that are remembered at once, of each IP version. A flood of first
/// fragments pushes others' out, so the tables are small, and apart from the flows: it harms
/// nothing but fragments. About 64 bytes (IPv4) and 96 bytes (IPv6) each.
pub const MAX_FRAGMENTS: u32 = 1 << 14;
/// Seconds for which the fragments after the first are sent after it. RFC 8200 §4.5 lets a receiver
/// wait 60 seconds for the last one, Linux waits 30 (`ipfrag_time`).
pub const FRAGMENT_LIFETIME: u32 = 30;
/// Errors that each CPU sends within one second (RFC 1812 §4.3.2.8, RFC 4443 §2.4(f)).
pub const ERRORS_PER_SECOND: u32 = 100;
/// Resets that each CPU sends within one second. More than errors: a reset is no longer than what it
/// answers.
pub const RESETS_PER_SECOND: u32 = 10_000;
/// Ethernet addresses of interfaces on top of those that carry the program.
pub const MAX_MORE_MACS: u32 = 4096;
/// Health probes through virtual addresses that are remembered at once, of each IP version; more
/// than there are ephemeral ports. About 64 bytes (IPv4) and 96 bytes (IPv6) each.
pub const MAX_PROBES: u32 = 1 << 15;
/// Ring slots of all pools together. *Settable.* 8 bytes each (4 in `RINGS`, 4 in `RINGS_SEEN`);
/// the default holds 127 pools with rings of 65,537 slots.
pub const MAX_SLOTS: u32 = 1 << 23;
/// Flows that are exceptions at members' endpoints, of each IP version. About 80 bytes (IPv4) and 112 bytes (IPv6)
/// each, all allocated when the map is made.
pub const MAX_EXCEPTIONS: u32 = 1 << 14;
/// Seconds for which a flow without a packet from its client's side is an exception: as long as Linux leaves a silent
/// connection alone (`tcp_keepalive_time`).
pub const EXCEPTION_LIFETIME: u32 = 7200;
/// Ways back to clients of each IP version that differ from the default. About 64 bytes each, allocated when
/// they are needed.
pub const MAX_CLIENT_ROUTES: u32 = 1 << 16;
/// Interfaces that carry the program or are sent to.
pub const MAX_INTERFACES: u32 = 256;

/// IPv6 extension headers that are walked (RFC 8200 §4.1 knows seven, each at most once or twice).
pub const MAX_EXTENSION_HEADERS: usize = 8;
