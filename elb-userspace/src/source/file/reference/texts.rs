//! What the keys of the configuration file mean, table by table.

/// A table of the file.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) about: &'static str,
    /// The keys of the tables around it, and its own.
    pub(super) table: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    /// What holds without it, where that is no constant of the reader.
    pub(super) default: &'static str,
    pub(super) example: &'static str,
}

const fn key(name: &'static str, meaning: &'static str, example: &'static str) -> Key {
    Key { name, meaning, default: "", example }
}

impl Key {
    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

pub(super) const SECTIONS: &[Section] = &[
    Section {
        heading: "`[agent]`: how the agent works",
        about: "Required. A reload changes interfaces, the attach mode and capacities while traffic goes on.",
        table: &["agent"],
        keys: &[
            key("interfaces", "Interfaces that traffic arrives on, and those that members are reached by. One that does not exist yet gets the program as soon as it does.", r#"["eth0"]"#),
            key("attach_mode", "`native`: the interface's driver runs the program. `generic`: the network stack does, which is slower, for drivers without XDP.", r#""generic""#),
            key("socket", "Unix socket that the command line connects to.", r#""/run/elb/elb.sock""#),
            key("socket_group", "Group whose members may connect to the socket and read: status, events, drops, flows, explain, metrics. They change nothing.", r#""elb""#).or("root only"),
            key("pin_dir", "Directory in a BPF file system where the program and its maps stay while no agent runs. One agent uses it at a time.", r#""/sys/fs/bpf/elb""#),
            key("state_dir", "Directory for what outlives the agent and a reboot: numbers in the maps, drained members, members' health, the last good configuration.", r#""/var/lib/elb""#),
            key("ring_slots", "Capacity for slots of all pools' lookup tables together, 4 bytes each.", "16777216"),
            key("max_flows", "Capacity of each flow table (IPv4, IPv6), in records.", "4194304"),
            key("max_backends", "Capacity for members of all pools, of which one is not used.", "16384"),
            key("max_listeners", "Capacity for listeners, counted once for each address of their load balancer.", "8192"),
            key("max_clients", "Capacity for clients that pools with `session_persistence` remember, of all pools together; about 110 bytes each, which are taken when the first pool has the setting. Beyond it, those that were away for the longest time are forgotten.", "1048576"),
            key("encap_source", "Source address of the outer IPv4 header of encapsulated packets.", r#""10.0.0.1""#).or("the interface's address"),
            key("encap_source_ipv6", "The same for IPv6.", r#""2001:db8::1""#).or("the interface's address"),
            key("probe_source", "Address of this host that members with an IPv4 address are probed from.", r#""10.0.0.1""#).or("what the routes say"),
            key("probe_source_ipv6", "The same for IPv6.", r#""2001:db8::1""#).or("what the routes say"),
            key("probe_mark", "Mark (fwmark) of the sockets that probe virtual addresses; an `ip rule` routes by it.", "0x2000").or("the first free one of 0x1000 to 0x100e"),
            key("check_user", "User that the commands of health checks run as (`type = \"COMMAND\"`), by name or number. Root only if it says so.", r#""elb-check""#),
            key("allow_empty", "Whether a reload may remove every listener, or every member of a pool in use. `elb reload --allow-empty` allows it once.", "true"),
        ],
    },
    Section {
        heading: "`[[notify]]`: webhooks",
        about: "At most 8. Each event of a member's health is sent as a JSON object (`elb schema events`) by POST, once, and may take 5 seconds. Of those that wait, 256 are kept for each; `elb status` counts what did not arrive.",
        table: &["notify"],
        keys: &[
            key("url", "Where events are sent. The certificate of an https URL is verified.", r#""http://127.0.0.1:9000/elb""#),
            key("events", "Which events.", r#"["unhealthy"]"#).or("all"),
            key("ca_file", "PEM file with the certificates of the authorities that the certificate of an https URL is trusted by. It is read for each event.", r#""/etc/elb/hooks-ca.pem""#).or("those of the system"),
        ],
    },
    Section {
        heading: "`[metrics]`: metrics for Prometheus",
        about: "Optional. The agent's socket serves metrics in any case, see [metrics.md](metrics.md). A reload changes all of it, and reads the files again.",
        table: &["metrics"],
        keys: &[
            key("listen", "Address and port where `/metrics`, `/healthz` and `/readyz` are served over TCP. Beyond loopback it needs `bearer_token_file`, or `tls_certificate` and `tls_key`.", r#""127.0.0.1:9105""#).or("not over TCP"),
            key("bearer_token_file", "File with the token that TCP clients must show: `Authorization: Bearer TOKEN`.", r#""/etc/elb/metrics.token""#),
            key("tls_certificate", "PEM file with the certificate chain; TCP clients are served by TLS only.", r#""/etc/elb/metrics.crt""#),
            key("tls_key", "PEM file with the key of the certificate.", r#""/etc/elb/metrics.key""#),
            key("members", "With more members than this in all pools, no member has metrics of its own.", "20000"),
        ],
    },
    Section {
        heading: "`[api]`: the ELB V3 API and its store",
        about: "Optional. With it, load balancers, pools and IP groups are made by the API and kept in a store; the file has none. See [api.md](api.md). Read at the agent's start; a reload changes its subnets only.",
        table: &["api"],
        keys: &[
            key("listen", "Address and port where the API is served. Beyond loopback it needs `tls_certificate` and `tls_key`.", r#""10.0.0.1:9443""#).or(r#"`"127.0.0.1:9443"`"#),
            key("tls_certificate", "PEM file with the certificate chain; clients are served by TLS only.", r#""/etc/elb/api.crt""#),
            key("tls_key", "PEM file with the key of the certificate.", r#""/etc/elb/api.key""#),
            key("keys", "File with the keys of clients, which `elb key` writes.", r#""/etc/elb/api-keys.json""#).or("`api-keys.json` in `state_dir`"),
            key("store", "File that keeps the resources (SQLite).", r#""/var/lib/elb/store.db""#).or("`store.db` in `state_dir`"),
            key("forwarding", "How packets reach the members of all its pools, see `forwarding` of a pool; not `nat46`.", r#""ipip""#),
            key("announce", "As `announce` of a load balancer, for all that the API makes.", r#""none""#),
            key("subnet", "Subnets from which load balancers get addresses, see `[[api.subnet]]`.", "[[api.subnet]]"),
        ],
    },
    Section {
        heading: "`[[api.subnet]]`: addresses of load balancers made by the API",
        about: "Optional. A load balancer that names one and has no address gets the lowest one that is free: none that another load balancer, a member or this host has. With one or more of them, `vip_subnet_cidr_id` and `ipv6_vip_virsubnet_id` must name one; without any they are labels. A reload changes them.",
        table: &["api", "subnet"],
        keys: &[
            key("id", "What clients name it by, in `vip_subnet_cidr_id` or `ipv6_vip_virsubnet_id`.", r#""5e0b6a0e-6d8e-4c6e-9d0a-3f1a2b4c5d6e""#),
            key("name", "What people, and OpenStack's clients, may call it instead.", r#""front""#),
            key("cidr", "Its network. The address of the network itself, and that for all of its hosts, are not given.", r#""192.0.2.0/24""#),
            key("first", "The first address that is given.", r#""192.0.2.100""#).or("that of the network"),
            key("last", "The last one. Clients may ask for others of the network.", r#""192.0.2.199""#).or("that of the network"),
            key("exclude", "Addresses and networks of it that no load balancer has, given or asked for.", r#"["192.0.2.1", "192.0.2.16/28"]"#),
        ],
    },
    Section {
        heading: "`[flow_log]`: connections and refusals as JSON lines",
        about: "Optional; without this table nothing is logged and nothing costs more, see [flow-log.md](flow-log.md). A reload changes all of it.",
        table: &["flow_log"],
        keys: &[
            key("enabled", "`false`: as without the table.", "false"),
            key("to", "Where lines go: `file`, `stdout` of the agent, `journald`.", r#""journald""#),
            key("file", "The file, with mode 0640. Earlier ones are FILE.1, FILE.2 and so on. With `to = \"file\"`.", r#""/var/log/elb/flows.jsonl""#),
            key("form", "`events`: a line for each open, end and refusal. `connections`: one for each connection, and for each refusal.", r#""connections""#),
            key("events_per_second", "What is more in a second is counted and left out. A CPU has its equal part, and half of it is kept for ends and refusals.", "100000"),
            key("connections", "Open connections that are remembered, with `form = \"connections\"`; 65536 take 16 MiB at most.", "262144"),
            key("max_size", "Another file is begun before this one has more MiB.", "1000"),
            key("max_age", "Another file is begun when this one is so many hours old.", "1"),
            key("keep", "Earlier files that are kept.", "30"),
        ],
    },
    Section {
        heading: "`[sflow]`: samples of packets for a collector",
        about: "Optional; without this table nothing is sent and nothing costs more, see [flow-log.md](flow-log.md). sFlow version 5 over UDP. A reload changes all of it.",
        table: &["sflow"],
        keys: &[
            key("collector", "Who gets the samples; sFlow's usual port is 6343.", r#""192.0.2.9:6343""#),
            key("enabled", "`false`: as without the table.", "false"),
            key("agent_address", "The address by which the collector knows this host.", r#""192.0.2.1""#).or("the one that datagrams come from"),
            key("sampling_rate", "One of so many packets that come in by elb's interfaces is a sample. 0: none is.", "10000"),
            key("discards_per_second", "Refused packets that are sent with their reason, at most; what is more is counted in the samples. 0: none is.", "1000"),
        ],
    },
    Section {
        heading: "`[snat]`: source addresses of pools with `fullnat` and `nat46`",
        about: "\
Optional; a pool with `forwarding = \"fullnat\"` needs `v4`, one with `\"nat46\"` needs `v6`. Members of such pools see these
addresses in the place of clients', and answer them. They belong to this load balancer alone: no interface of a host has
them, and what members send to them must get here.

`v4` are addresses on a segment of `[agent] interfaces`, where this host answers ARP for them, or routed to this host.
Each address has 64512 ports, and each connection takes one while it is open, and for up to 60 seconds after; each has its
port among 32, so that no new connection is refused for lack of one (`no_source_port`) up to 70 % in use. `elb status` shows
how many are, and it is a problem from 60 % on: give the prefix more addresses. A reload takes another prefix; the connections of
these pools end with a reset then. Bindings take 1 MiB for each address.

`v6` is a prefix of 64 bits that members, or the routers between, have a route to by this host (`ip -6 route add
2001:db8:1:64::/64 via …`): nothing is announced. Of a client's address it makes one that holds the number of the listener and
the client's address, as in `2001:db8:1:64:0:7:203.0.113.9`, and the client's port stays. No connection is recorded for
that, so that their number has no limit. A load balancer gives its listeners numbers of its own: give each its own prefix. A
reload takes another prefix; the connections of these pools end then.",
        table: &["snat"],
        keys: &[
            key("v4", "The IPv4 addresses, for pools with `fullnat`.", r#""10.0.0.16/28""#).or("none"),
            key("v6", "The IPv6 prefix, for pools with `nat46`.", r#""2001:db8:1:64::/64""#).or("none"),
        ],
    },
    Section {
        heading: "`[[load_balancer]]`: addresses that take connections",
        about: "Any number.",
        table: &["load_balancer"],
        keys: &[
            key("name", "Unique among load balancers.", r#""web""#),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the name"),
            key("admin_state_up", "`false`: none of its listeners is served.", "false"),
            key("vip_address", "The IPv4 virtual address: unicast, and of this load balancer only.", r#""192.0.2.10""#),
            key("ipv6_vip_address", "The IPv6 virtual address.", r#""2001:db8:1::10""#),
            key("announce", "`arp`: answer ARP and neighbour solicitations for the addresses. `none`: routers send the traffic here.", r#""none""#),
            key("allow_host_address", "Whether listeners may take many ports of an address that an interface of this host has.", "true"),
            key("listener", "Its listeners: see below.", "[[load_balancer.listener]]"),
        ],
    },
    Section {
        heading: "`[[load_balancer.listener]]`: a protocol and its ports",
        about: "Follows its load balancer.",
        table: &["load_balancer", "listener"],
        keys: &[
            key("name", "Unique among all listeners.", r#""http""#),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the name"),
            key("protocol", "Transport protocol; that of its pool.", r#""TCP""#),
            key("protocol_port", "The port. 0 takes every port that no other listener of the load balancer has, and needs a pool with `any_port_enable`. UDP 4789 is refused.", "80").or("required without `port_ranges`"),
            key("port_ranges", "Up to 10 ranges that do not overlap, instead of `protocol_port`; needs a pool with `any_port_enable`.", "[{ start_port = 1000, end_port = 1099 }]"),
            key("default_pool", "Name of the pool that serves it. Connections stay on the members of the pool before when it changes.", r#""web""#),
            key("fallback_pool", "Name of a pool that serves it while fewer than `fallback_below` members of the default pool take new connections, as long as a member of this one does. Connections stay where they are, as when `default_pool` changes.", r#""spare""#).or("none"),
            key("fallback_below", "Least number of members of the default pool.", "2"),
            key("admin_state_up", "`false`: it is not served.", "false"),
            key("keepalive_timeout", "Time for which an idle connection is kept on its member when members change.", "900"),
            key("ipgroup", "Who may open connections: see below.", r#"{ ipgroup = "office" }"#).or("every client"),
            key("cps", "New connections a second; more are dropped as `rate_limited`. For UDP the pool must record every flow.", "1000"),
            key("max_connection", "Concurrent connections; more are dropped as `connection_limit`. Only with a pool that records every flow (`ROUND_ROBIN`, `LEAST_CONNECTIONS`).", "50000"),
            key("no_member", "What happens to packets while no member takes them, or all have as many connections as they may: `drop`, or `reset` (a TCP reset, or ICMP port unreachable).", r#""reset""#),
        ],
    },
    Section {
        heading: "`port_ranges` of a listener",
        about: "Each range includes both ports.",
        table: &["load_balancer", "listener", "port_ranges"],
        keys: &[
            key("start_port", "First port of the range.", "10000"),
            key("end_port", "Last port of the range, not below the first.", "10099"),
        ],
    },
    Section {
        heading: "`ipgroup` of a listener: access control",
        about: "Packets of connections that exist are not checked again, unless `cut` is set.",
        table: &["load_balancer", "listener", "ipgroup"],
        keys: &[
            key("ipgroup", "Name of the `[[ipgroup]]`.", r#""office""#),
            key("type", "`white`: only addresses in the group open connections; of an empty group, no client does. `black`: only other addresses do.", r#""black""#),
            key("enable_ipgroup", "`false`: every client may open connections.", "false"),
            key("cut", "Whether existing connections are checked too, and reset if their client may not connect. Costs a look-up for every packet.", "true"),
        ],
    },
    Section {
        heading: "`[[ipgroup]]`: networks under a name",
        about: "Up to 50.",
        table: &["ipgroup"],
        keys: &[
            key("name", "Unique among IP groups.", r#""office""#),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the name"),
            key("ip_list", "Addresses and networks of either family. May be empty: `[]`.", r#"["10.0.0.0/8", "2001:db8:2::/48"]"#),
        ],
    },
    Section {
        heading: "Entries of `ip_list` as tables",
        about: "An entry is a string, or a table with a description.",
        table: &["ipgroup", "ip_list"],
        keys: &[
            key("ip", "The address or network.", r#""10.0.0.0/8""#),
            key("description", "What it is.", r#""the office""#).or("empty"),
        ],
    },
    Section {
        heading: "`[[pool]]`: members that serve a listener",
        about: "\
Any number that has room: 4096.

`forwarding` decides what members need, who can be where, and which way answers go:

| | `l2` | `ipip`, `gue` | `nat` | `fullnat` | `nat46` |
|---|---|---|---|---|---|
| member needs | the virtual address on `lo` | that, and to take outer headers off | a route to clients through this host | nothing but to let the source addresses in | a route to the prefix through this host |
| `elb backend up` there | `--vip` | `--vip`, `--from` | nothing if this host is its default route, else `--via`, `--port` | nothing | nothing: `ip -6 route add` |
| member is | on a segment of this host | anywhere, by any route | anywhere, if answers come back through this host | anywhere | anywhere, if it has that route |
| member's port | the listener's | the listener's | any | any | any |
| answers | to clients directly | to clients directly | through this host, which carries both directions | the same | the same |
| client's address | kept | kept | kept | not seen: one of `[snat]` in its place | in the last 32 bits of one of `[snat]` |
| IP versions | both | both | both | IPv4 | clients IPv4, members IPv6 |
| bytes less for packets | 0 | 20 or 40, 32 or 52 | 0 | 0 | 20 |
| clients on the member's segment | served | served | refused (`hairpin`) | served | served |

Use `l2` where all hosts share a segment, and `ipip` or `gue` where they do not: answers cost this host nothing. Use
`nat` for servers that are to stay as they are, or whose port is another one; this host must then carry their answers,
too, and all interfaces that these come in by must be in `[agent] interfaces`. Use `fullnat` for members that have no route
through this host, or that are neighbours of the clients, or that call each other through a virtual address: they see an
address of [`[snat]`](#snat-source-addresses-of-pools-with-fullnat-and-nat46) and not the client's, a connection that is silent for
longer than `keepalive_timeout` ends with a reset, and so does one whose packets come to another load balancer. Use `nat46` for
servers that have IPv6 only: they serve a virtual IPv4 address, and see the client's address in one of the prefix `v6` of
`[snat]`. For a virtual IPv6 address of the same servers, make a load balancer of its own whose pool has `nat`, and the same
members and ports. Addresses inside of protocols (FTP) are not translated, nor is SCTP.

With `slow_start`, the share of a member that is new rises from little to all of it in proportion to time, in up to 20
steps of a second or more, whatever the weights are: at half of the time it gets half of what will be its share. The
others divide the rest by their weights. Connections stay where they are.

- New is a member that can take new connections and could not before: it was added, passed its probes again, is no longer
  drained, got a weight, or can be reached again. One that fails while it rises begins anew. Without a health monitor it
  begins when it is added.
- Not slowed down are the members of a pool in which no other takes new connections, at the first start and whenever all
  were away; members that serve only by `pool_health`; and those that the agent finds serving when it starts. A restart
  in the middle of a rise goes on with it. A backup rises while it is in reserve.
- It is for every `lb_algorithm` of TCP pools, and for UDP with `ROUND_ROBIN` and `LEAST_CONNECTIONS`: by consistent
  hash, unknown datagrams would go to the former member for `udp_hold` after each step. With `LEAST_CONNECTIONS` it is the
  number of open connections that rises; a member without any may get one at any time.
- 1 s to 1200 s: the API's upper bound, but not its lower one of 30 s, which other load balancers do not have. A member with the
  weight 0 has no share to rise to.",
        table: &["pool"],
        keys: &[
            key("name", "Unique among pools.", r#""web""#),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the name"),
            key("protocol", "Transport protocol.", r#""TCP""#),
            key("forwarding", "How packets reach the members, which must be prepared for it (`elb backend up`): see the table above. `l2`: new MAC addresses, members on a network of this host. `ipip`: encapsulated in IP. `gue`: encapsulated in UDP port 6080. `nat`: translated to the member's address and port; answers come back through this host. `fullnat`: and from an address of `[snat] v4`. `nat46`: from IPv4 to a member with IPv6, from an address of `[snat] v6`.", r#""ipip""#),
            key("lb_algorithm", "How a new connection gets its member. By consistent hash: `5_TUPLE_HASH` (protocol, addresses, ports), `3_TUPLE_HASH` (protocol, addresses), `2_TUPLE_HASH` (addresses), `SOURCE_IP` (the client's address), `QUIC_CID` (the QUIC connection id). Recorded for each connection: `ROUND_ROBIN`, `LEAST_CONNECTIONS`.", r#""ROUND_ROBIN""#),
            key("quic_cid_hash_strategy", "With `QUIC_CID`, the part of the connection id that counts: see below.", "{ offset = 0, len = 8 }").or("`{ offset = 0, len = 8 }` of `QUIC_CID`"),
            key("session_persistence", "Whether a client's new connections go to the member of its earlier ones: see below. Needs `ROUND_ROBIN` or `LEAST_CONNECTIONS`.", "{ timeout = 300 }").or("each connection gets its own member"),
            key("any_port_enable", "`true`: members have no port of their own and take the port that a packet came for.", "true"),
            key("ring_size", "Slots of the lookup table. More slots make shares finer.", "655373"),
            key("flows_on_unhealthy", "What happens to connections of a member that fails its health check: `keep` leaves them there, `rehash` sends them to others at once.", r#""rehash""#).or("`keep` for TCP, `rehash` for UDP"),
            key("connection_drain", "How long a member that leaves keeps its connections: see below.", "{ enable = true, timeout = 300 }").or("until they end"),
            key("slow_start", "Time in which a member that is new, or back after it was unhealthy, drained or without weight, rises to its share of new connections: see above. `0`: it has it at once.", "30"),
            key("udp_hold", "UDP only: time after a change for which datagrams of unknown flows still go to the former member.", "60"),
            key("pool_health", "What to do when no member is healthy: see below.", "{ minimum_healthy_member_count = 1 }").or("forward to no member"),
            key("backup_below", "Backup members take new connections while fewer of the others than this can serve.", "2"),
            key("allow_empty", "Whether a reload may remove all members while a listener uses the pool.", "true"),
            key("member", "Its members: see below.", "[[pool.member]]"),
            key("healthmonitor", "How members are probed: see below.", "[pool.healthmonitor]").or("all members count as healthy"),
        ],
    },
    Section {
        heading: "`quic_cid_hash_strategy` of a pool",
        about: "At most 20 bytes together. Use 3 bytes or more, so that ids that clients choose seldom name a member.",
        table: &["pool", "quic_cid_hash_strategy"],
        keys: &[
            key("offset", "Bytes of the connection id before the part that counts.", "1"),
            key("len", "Bytes of the part that counts.", "7"),
        ],
    },
    Section {
        heading: "`session_persistence` of a pool",
        about: "A client is remembered by its address. Its next connection goes to another member only if its own takes none: if it is gone, unhealthy, drained, has weight 0 or its `max_connection`.",
        table: &["pool", "session_persistence"],
        keys: &[
            key("timeout", "Time without a packet of the client after which it is forgotten.", "300"),
            key("prefix", "IPv4 addresses that begin with the same bits are one client.", "24"),
            key("ipv6_prefix", "The same of IPv6 addresses.", "64"),
        ],
    },
    Section {
        heading: "`connection_drain` of a pool",
        about: "A member leaves when it is removed, gets weight 0, is drained or fails its health check.",
        table: &["pool", "connection_drain"],
        keys: &[
            key("enable", "Whether connections are cut after the timeout.", "true"),
            key("timeout", "Time until they are cut.", "300").or("required with `enable = true`"),
        ],
    },
    Section {
        heading: "`pool_health` of a pool",
        about: "",
        table: &["pool", "pool_health"],
        keys: &[key("minimum_healthy_member_count", "With fewer healthy members than this, the pool forwards to all.", "1")],
    },
    Section {
        heading: "`[[pool.member]]`: a backend server",
        about: "Follows its pool.",
        table: &["pool", "member"],
        keys: &[
            key("name", "Unique in the pool.", r#""web-1""#).or("its address and port"),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the pool, address and port"),
            key("address", "Unicast, and not a virtual address. Address and port are unique in the pool.", r#""10.0.0.11""#),
            key("protocol_port", "Its port: that of the listener, because members answer clients directly; with `nat`, any.", "80").or("required without `any_port_enable`"),
            key("weight", "Its share of new connections, relative to the other members.", "2"),
            key("backup", "`true`: it takes new connections only while fewer than `backup_below` of the pool's other members can serve (a sorry server); it is probed all the time. Connections that it has stay when the others are back.", "true"),
            key("max_connection", "Concurrent connections that it may have. At that many it gets no new one until one ends, and the next member by the algorithm takes it; where all have theirs, new connections are dropped (`member_limit`), or answered if the listener has `no_member = \"reset\"`. Needs a pool with `ROUND_ROBIN` or `LEAST_CONNECTIONS`.", "500"),
            key("server_id", "With `QUIC_CID`: how connection ids that this server chooses name it, in as many bytes as `len`.", r#""00000000000000a1""#),
        ],
    },
    Section {
        heading: "`[pool.healthmonitor]`: how members are probed",
        about: "Follows its pool.",
        table: &["pool", "healthmonitor"],
        keys: &[
            key("type", "For TCP pools: `TCP` (connects; with `expect` it also waits for an answer), `HTTP`, `HTTPS` (expected status; certificates are not verified), `TLS` (handshake), `GRPC` (expected grpc-status). For UDP pools: `UDP_CONNECT` (ICMP echo, then no ICMP error from the port). For both: `COMMAND` (a command of the load balancer ends with exit status 0).", r#""HTTP""#),
            key("admin_state_up", "`false`: members are not probed and count as healthy.", "false"),
            key("id", "Identifies the monitor.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the pool"),
            key("delay", "Time from the end of a probe to the start of the next; up to 1/16 shorter at random. May have a fraction.", "0.2"),
            key("timeout", "Time for a whole probe; at most `delay`, or verdicts are late. May have a fraction.", "0.5"),
            key("max_retries", "Successes in a row after which an unhealthy member is healthy.", "2"),
            key("max_retries_down", "Failures in a row after which a healthy member is unhealthy.", "2"),
            key("monitor_port", "Port to probe; required with `any_port_enable`.", "8080").or("the member's `protocol_port`"),
            key("probe_path", "`vip`: probe at the virtual address, encapsulated as traffic is. `direct`: at the member's own address.", r#""direct""#),
            key("send", "What is said over the connection (`TCP`); needs `expect`.", r#""PING\r\n""#).or("the server speaks first"),
            key("expect", "What the first 4 KiB of the answer must have in them (`TCP`).", r#""+PONG""#).or("a connection is enough"),
            key("http_method", "Method of the request (`HTTP`, `HTTPS`, `GRPC`).", r#""HEAD""#).or("`\"GET\"`; of `GRPC` `\"POST\"`"),
            key("url_path", "Target of the request (`HTTP`, `HTTPS`, `GRPC`). Redirects are not followed.", r#""/healthz""#).or("`\"/\"`; of `GRPC` `\"/grpc.health.v1.Health/Check\"`"),
            key("domain_name", "Host that the request names, and the TLS handshake (SNI) if it is a name (`HTTP`, `HTTPS`, `TLS`, `GRPC`).", r#""www.example.com""#).or("the virtual address"),
            key("expected_codes", "Codes that count as healthy (`HTTP`, `HTTPS`, `GRPC`).", r#""200,202-204""#).or("`\"200\"`; of `GRPC` `\"0\"`"),
            key("expected_body", "What the first 64 KiB of the answer's body must have in them (`HTTP`, `HTTPS`).", r#""ready""#).or("any body is healthy"),
            key("command", "Path of a command of the load balancer and its arguments (`COMMAND`), run without a shell for each probe. Exit status 0 is healthy; the first line of its output is the reason of a failure. See [operating.md](operating.md).", r#"["/usr/lib/elb/check-db", "primary"]"#).or("`COMMAND`: required"),
        ],
    },
];
