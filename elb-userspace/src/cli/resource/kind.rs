//! The kinds of resources on the command line, and the attributes that each has options for.

use crate::source::store::DocumentKind;

/// A kind of resource.
pub(super) struct ResourceKind {
    pub(super) kind: DocumentKind,
    /// The command.
    pub(super) word: &'static str,
    /// What messages call one.
    pub(super) noun: &'static str,
    pub(super) options: &'static [AttributeOption],
    /// What a list shows of each.
    pub(super) columns: &'static [&'static str],
    pub(super) examples: &'static str,
}

/// An option for an attribute.
pub(super) struct AttributeOption {
    pub(super) flag: &'static str,
    pub(super) key: &'static str,
    pub(super) form: Form,
    pub(super) when: When,
    pub(super) help: &'static str,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number,
    Switch,
    /// A name or an id; `none` takes it away.
    Of(DocumentKind),
    /// `80` or `1000-1999`, with commas between them.
    Ports,
    /// Networks, with commas between them.
    Networks,
    /// Seconds of a drain; 0 turns it off.
    Drain,
    /// A number in `pool_health`.
    Minimum,
    /// A name or an id in `ipgroup`.
    Group,
    /// A text in `ipgroup`.
    GroupType,
}

/// When an option is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Must be given to `create`, and never changes.
    Needed,
    /// May be given to `create`, and never changes.
    Created,
    Always,
}

use Form::{Drain, Group, GroupType, Minimum, Networks, Number, Of, Ports, Switch, Text};
use When::{Always, Created, Needed};

const fn option(
    flag: &'static str,
    key: &'static str,
    form: Form,
    when: When,
    help: &'static str,
) -> AttributeOption {
    AttributeOption { flag, key, form, when, help }
}

const DESCRIPTION: AttributeOption =
    option("description", "description", Text, Always, "For people");
const UP: AttributeOption =
    option("admin-state-up", "admin_state_up", Switch, Always, "Whether it is enabled");

/// All of them.
pub(super) const KINDS: [ResourceKind; 6] = [
    ResourceKind {
        kind: DocumentKind::LoadBalancer,
        word: "lb",
        noun: "load balancer",
        options: &[
            option("vip-address", "vip_address", Text, Always, "Its IPv4 address"),
            option("ipv6-vip-address", "ipv6_vip_address", Text, Always, "Its IPv6 address"),
            option(
                "vip-subnet",
                "vip_subnet_cidr_id",
                Text,
                Always,
                "The subnet that gives it an IPv4 address: its id",
            ),
            option(
                "ipv6-vip-subnet",
                "ipv6_vip_virsubnet_id",
                Text,
                Always,
                "The subnet that gives it an IPv6 address: its id",
            ),
            option(
                "vpc-id",
                "vpc_id",
                Text,
                Created,
                "A label; needed without an address and without a subnet",
            ),
            option(
                "deletion-protection",
                "deletion_protection_enable",
                Switch,
                Always,
                "Whether it cannot be deleted",
            ),
            UP,
            DESCRIPTION,
        ],
        columns: &["id", "name", "vip_address", "ipv6_vip_address", "provisioning_status"],
        examples: "  elb lb create web --vip-address 192.0.2.10 --wait\n  elb lb set web --admin-state-up false\n  elb lb list -o json | jq -r '.[].id'\n",
    },
    ResourceKind {
        kind: DocumentKind::Listener,
        word: "listener",
        noun: "listener",
        options: &[
            option(
                "lb",
                "loadbalancer_id",
                Of(DocumentKind::LoadBalancer),
                Needed,
                "Its load balancer",
            ),
            option("protocol", "protocol", Text, Needed, "TCP or UDP"),
            option("port", "protocol_port", Number, Created, "Its port"),
            option("port-ranges", "port_ranges", Ports, Created, "Its ports, as in 1000-1999,8080"),
            option(
                "pool",
                "default_pool_id",
                Of(DocumentKind::Pool),
                Always,
                "The pool that serves it; none: no pool",
            ),
            option(
                "keepalive-timeout",
                "keepalive_timeout",
                Number,
                Always,
                "Seconds after which an idle flow is over",
            ),
            option(
                "cps",
                "cps",
                Number,
                Always,
                "New connections a second at the most; 0: any number",
            ),
            option(
                "connection",
                "connection",
                Number,
                Always,
                "Connections at the most; 0: any number",
            ),
            option(
                "ipgroup",
                "ipgroup",
                Group,
                Always,
                "The IP group that it lets in, or keeps out",
            ),
            option(
                "ipgroup-type",
                "ipgroup",
                GroupType,
                Always,
                "white: lets in; black: keeps out",
            ),
            UP,
            DESCRIPTION,
        ],
        columns: &["id", "name", "protocol", "protocol_port", "loadbalancers", "default_pool_id"],
        examples: "  elb listener create http --lb web --protocol TCP --port 80 --if-not-exists\n  elb listener set web/http --pool web --wait\n",
    },
    ResourceKind {
        kind: DocumentKind::Pool,
        word: "pool",
        noun: "pool",
        options: &[
            option(
                "listener",
                "listener_id",
                Of(DocumentKind::Listener),
                Created,
                "The listener that it serves",
            ),
            option(
                "lb",
                "loadbalancer_id",
                Of(DocumentKind::LoadBalancer),
                Created,
                "The load balancer that it is for",
            ),
            option("type", "type", Text, Created, "ip: for listeners of any load balancer"),
            option("protocol", "protocol", Text, Needed, "TCP or UDP"),
            option(
                "algorithm",
                "lb_algorithm",
                Text,
                Always,
                "How a connection gets its member; 5_TUPLE_HASH by default",
            ),
            option(
                "any-port",
                "any_port_enable",
                Switch,
                Created,
                "Whether members have no port of their own",
            ),
            option(
                "drain",
                "connection_drain",
                Drain,
                Always,
                "Seconds that members which leave serve on; 0: until the end",
            ),
            option(
                "minimum-healthy",
                "pool_health",
                Minimum,
                Always,
                "1: all members serve if none is healthy",
            ),
            UP,
            DESCRIPTION,
        ],
        columns: &["id", "name", "protocol", "lb_algorithm", "members", "healthmonitor_id"],
        examples: "  elb pool create web --listener http --protocol TCP --algorithm ROUND_ROBIN\n  elb pool set web --drain 300\n",
    },
    ResourceKind {
        kind: DocumentKind::Member,
        word: "member",
        noun: "member",
        options: &[
            option("pool", "pool_id", Of(DocumentKind::Pool), Needed, "Its pool"),
            option("address", "address", Text, Needed, "Its address"),
            option("port", "protocol_port", Number, Created, "Its port"),
            option("weight", "weight", Number, Always, "Its share of new connections; 0: none"),
        ],
        columns: &[
            "id",
            "name",
            "address",
            "protocol_port",
            "weight",
            "operating_status",
            "pool_id",
        ],
        examples: "  elb member create --pool web --address 10.0.0.11 --port 80 --if-not-exists\n  elb member set 10.0.0.11 --weight 0 --wait\n  elb member list --pool web\n",
    },
    ResourceKind {
        kind: DocumentKind::HealthMonitor,
        word: "healthmonitor",
        noun: "health monitor",
        options: &[
            option(
                "pool",
                "pool_id",
                Of(DocumentKind::Pool),
                Needed,
                "The pool whose members it probes",
            ),
            option(
                "type",
                "type",
                Text,
                Needed,
                "TCP, HTTP, HTTPS, TLS or GRPC; UDP_CONNECT in a UDP pool",
            ),
            option("delay", "delay", Number, Always, "Seconds between probes; 5 by default"),
            option("timeout", "timeout", Number, Always, "Seconds for a probe; 3 by default"),
            option(
                "max-retries",
                "max_retries",
                Number,
                Always,
                "Successes that make a member ONLINE; 3 by default",
            ),
            option(
                "max-retries-down",
                "max_retries_down",
                Number,
                Always,
                "Failures that make a member OFFLINE",
            ),
            option(
                "monitor-port",
                "monitor_port",
                Number,
                Always,
                "The port to probe, if not the member's",
            ),
            option("url-path", "url_path", Text, Always, "What is asked for"),
            option("http-method", "http_method", Text, Always, "How it is asked for"),
            option("domain-name", "domain_name", Text, Always, "The host that is asked for"),
            option(
                "expected-codes",
                "expected_codes",
                Text,
                Always,
                "The answers that count, as in 200,204",
            ),
            UP,
        ],
        columns: &["id", "name", "type", "delay", "timeout", "max_retries", "pools"],
        examples: "  elb healthmonitor create --pool web --type HTTP --url-path /healthz\n  elb healthmonitor set web --delay 2        by the name of its pool\n",
    },
    ResourceKind {
        kind: DocumentKind::IpGroup,
        word: "ipgroup",
        noun: "IP group",
        options: &[
            option(
                "ip",
                "ip_list",
                Networks,
                Always,
                "All of its networks, as in 10.0.0.0/8,192.0.2.7",
            ),
            DESCRIPTION,
        ],
        columns: &["id", "name", "ip_list", "listeners"],
        examples: "  elb ipgroup create office --ip 10.0.0.0/8,2001:db8::/32\n  elb listener set http --ipgroup office --ipgroup-type white\n",
    },
];

impl ResourceKind {
    /// The key of one in bodies, and that of a list.
    pub(super) fn keys(&self) -> (&'static str, String) {
        let one = self.kind.as_str();
        (one, format!("{one}s"))
    }

    /// Whether it has a name of its own before anything else.
    pub(super) const fn is_named(&self) -> bool {
        !matches!(self.kind, DocumentKind::Member | DocumentKind::HealthMonitor)
    }
}

/// The kind of documents.
pub(super) fn of(kind: DocumentKind) -> &'static ResourceKind {
    KINDS.iter().find(|one| one.kind == kind).unwrap_or(&KINDS[0])
}
