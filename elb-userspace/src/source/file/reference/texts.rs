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
            key("pin_dir", "Directory in a BPF file system where the program and its maps stay while no agent runs. One agent uses it at a time.", r#""/sys/fs/bpf/elb""#),
            key("state_dir", "Directory for what outlives the agent and a reboot: numbers in the maps, drained members, members' health, the last good configuration.", r#""/var/lib/elb""#),
            key("ring_slots", "Capacity for slots of all pools' lookup tables together, 4 bytes each.", "16777216"),
            key("max_flows", "Capacity of each flow table (IPv4, IPv6), in records.", "4194304"),
            key("max_backends", "Capacity for members of all pools, of which one is not used.", "16384"),
            key("max_listeners", "Capacity for listeners, counted once for each address of their load balancer.", "8192"),
            key("encap_source", "Source address of the outer IPv4 header of encapsulated packets.", r#""10.0.0.1""#).or("the interface's address"),
            key("encap_source_ipv6", "The same for IPv6.", r#""2001:db8::1""#).or("the interface's address"),
            key("probe_source", "Address of this host that members with an IPv4 address are probed from.", r#""10.0.0.1""#).or("what the routes say"),
            key("probe_source_ipv6", "The same for IPv6.", r#""2001:db8::1""#).or("what the routes say"),
            key("probe_mark", "Mark (fwmark) of the sockets that probe virtual addresses; an `ip rule` routes by it.", "0x2000").or("the first free one of 0x1000 to 0x100e"),
            key("allow_empty", "Whether a reload may remove every listener, or every member of a pool in use. `elb reload --allow-empty` allows it once.", "true"),
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
            key("admin_state_up", "`false`: it is not served.", "false"),
            key("keepalive_timeout", "Time for which an idle connection is kept on its member when members change.", "900"),
            key("ipgroup", "Who may open connections: see below.", r#"{ ipgroup = "office" }"#).or("every client"),
            key("cps", "New connections a second; more are dropped as `rate_limited`. For UDP the pool must record every flow.", "1000"),
            key("max_connection", "Concurrent connections; more are dropped as `connection_limit`. Only with a pool that records every flow (`ROUND_ROBIN`, `LEAST_CONNECTIONS`).", "50000"),
            key("no_member", "What happens to packets while no member takes them: `drop`, or `reset` (a TCP reset, or ICMP port unreachable).", r#""reset""#),
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
        about: "Any number that has room: 4096.",
        table: &["pool"],
        keys: &[
            key("name", "Unique among pools.", r#""web""#),
            key("id", "Identifies it across changes of its name.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the name"),
            key("protocol", "Transport protocol.", r#""TCP""#),
            key("forwarding", "How packets reach the members, which must be prepared for it (`elb backend up`). `l2`: new MAC addresses, members on a network of this host. `ipip`: encapsulated in IP. `gue`: encapsulated in UDP port 6080.", r#""ipip""#),
            key("lb_algorithm", "How a new connection gets its member. By consistent hash: `5_TUPLE_HASH` (protocol, addresses, ports), `3_TUPLE_HASH` (protocol, addresses), `2_TUPLE_HASH` (addresses), `SOURCE_IP` (the client's address), `QUIC_CID` (the QUIC connection id). Recorded for each connection: `ROUND_ROBIN`, `LEAST_CONNECTIONS`.", r#""ROUND_ROBIN""#),
            key("quic_cid_hash_strategy", "With `QUIC_CID`, the part of the connection id that counts: see below.", "{ offset = 0, len = 8 }").or("`{ offset = 0, len = 8 }` of `QUIC_CID`"),
            key("any_port_enable", "`true`: members have no port of their own and take the port that a packet came for.", "true"),
            key("ring_size", "Slots of the lookup table. More slots make shares finer.", "655373"),
            key("flows_on_unhealthy", "What happens to connections of a member that fails its health check: `keep` leaves them there, `rehash` sends them to others at once.", r#""rehash""#).or("`keep` for TCP, `rehash` for UDP"),
            key("connection_drain", "How long a member that leaves keeps its connections: see below.", "{ enable = true, timeout = 300 }").or("until they end"),
            key("udp_hold", "UDP only: time after a change for which datagrams of unknown flows still go to the former member.", "60"),
            key("pool_health", "What to do when no member is healthy: see below.", "{ minimum_healthy_member_count = 1 }").or("forward to no member"),
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
            key("protocol_port", "Its port: that of the listener, because members answer clients directly.", "80").or("required without `any_port_enable`"),
            key("weight", "Its share of new connections, relative to the other members.", "2"),
            key("server_id", "With `QUIC_CID`: how connection ids that this server chooses name it, in as many bytes as `len`.", r#""00000000000000a1""#),
        ],
    },
    Section {
        heading: "`[pool.healthmonitor]`: how members are probed",
        about: "Follows its pool.",
        table: &["pool", "healthmonitor"],
        keys: &[
            key("type", "For TCP pools: `TCP` (connects), `HTTP`, `HTTPS` (expected status; certificates are not verified), `TLS` (handshake), `GRPC` (expected grpc-status). For UDP pools: `UDP_CONNECT` (ICMP echo, then no ICMP error from the port).", r#""HTTP""#),
            key("admin_state_up", "`false`: members are not probed and count as healthy.", "false"),
            key("id", "Identifies the monitor.", r#""6ba7b810-9dad-41d1-80b4-00c04fd430c8""#).or("follows from the pool"),
            key("delay", "Time from the end of a probe to the start of the next; up to 1/16 shorter at random.", "10"),
            key("timeout", "Time for a whole probe; at most `delay`, or verdicts are late.", "2"),
            key("max_retries", "Successes in a row after which an unhealthy member is healthy.", "2"),
            key("max_retries_down", "Failures in a row after which a healthy member is unhealthy.", "2"),
            key("monitor_port", "Port to probe; required with `any_port_enable`.", "8080").or("the member's `protocol_port`"),
            key("probe_path", "`vip`: probe at the virtual address, encapsulated as traffic is. `direct`: at the member's own address.", r#""direct""#),
            key("http_method", "Method of the request (`HTTP`, `HTTPS`, `GRPC`).", r#""HEAD""#).or("`\"GET\"`; of `GRPC` `\"POST\"`"),
            key("url_path", "Target of the request (`HTTP`, `HTTPS`, `GRPC`). Redirects are not followed.", r#""/healthz""#).or("`\"/\"`; of `GRPC` `\"/grpc.health.v1.Health/Check\"`"),
            key("domain_name", "Host that the request names, and the TLS handshake (SNI) if it is a name (`HTTP`, `HTTPS`, `TLS`, `GRPC`).", r#""www.example.com""#).or("the virtual address"),
            key("expected_codes", "Codes that count as healthy (`HTTP`, `HTTPS`, `GRPC`).", r#""200,202-204""#).or("`\"200\"`; of `GRPC` `\"0\"`"),
        ],
    },
];
