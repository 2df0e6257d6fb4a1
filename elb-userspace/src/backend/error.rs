//! Why a host is not what was asked for.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::state::StateError;
use super::sysctl::Sysctl;
use crate::kernel::bpf::LoadError;
use crate::kernel::net::links::NetlinkError;

/// Why nothing, or not everything, was done.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The process may not do it.
    #[error(
        "`elb backend` lacks {}: run it as root, or give the process these capabilities in the \
         initial user namespace",
        .0.join(", ")
    )]
    Capabilities(Vec<&'static str>),
    /// Nothing to do.
    #[error("no virtual address is given; name at least one with --vip")]
    NoVip,
    /// Its pool has `fullnat`.
    #[error(
        "with fullnat nothing is to be set up here: packets come to this host's own address, from the source addresses \
         of the load balancer ([snat] there), and answers go back to these; only let them in, where a packet filter \
         or the service does not take everyone, and see `elb backend inspect --mode fullnat --from SOURCE-ADDRESS`"
    )]
    NothingToSetUp,
    /// Its pool has `nat46`.
    #[error(
        "with nat46 this host needs one route, which is not set up here: answers to the prefix of the load balancer \
         ([snat] v6 there) must go back to it: `ip -6 route add PREFIX via LOAD-BALANCER`, and the same in the \
         configuration of the host's network; see `elb backend inspect --mode nat46 --from ADDRESS-IN-PREFIX`"
    )]
    PrefixRoute,
    /// An address that cannot be one.
    #[error(
        "{vip} cannot be a virtual address: it is {what}; give a unicast address of the service"
    )]
    NotVip {
        /// The address.
        vip: IpAddr,
        /// What it is.
        what: &'static str,
    },
    /// The interface does not exist.
    #[error("interface {0:?} does not exist; `ip link` shows those that do")]
    NoInterface(String),
    /// `lo` cannot be the interface.
    #[error(
        "packets from a load balancer do not come in by lo; name the interface they do with --interface"
    )]
    Loopback,
    /// `lo` is down, so that addresses on it do not work.
    #[error("interface \"lo\" is down; bring it up with `ip link set lo up`")]
    LoopbackDown,
    /// There is no default route to take the interface of.
    #[error(
        "there is no default route to take the interface of; name the interface with --interface"
    )]
    NoDefaultRoute,
    /// Another interface has the virtual address, and answers for it.
    #[error(
        "{vip} is on interface {interface:?}, which answers for it in the place of the load \
         balancer; remove it there (`ip address del {vip}/{prefix} dev {interface}`)"
    )]
    Answers {
        /// The virtual address.
        vip: IpAddr,
        /// The length of its prefix there.
        prefix: u8,
        /// The interface.
        interface: String,
    },
    /// Netlink does not work.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// An address cannot be added.
    #[error("cannot add {vip} to lo: {error}{}", hint(*.vip, .error))]
    Add {
        /// The address.
        vip: IpAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// An address cannot be removed.
    #[error("cannot remove {vip} from lo: {error}; see `ip address show lo`")]
    Remove {
        /// The address.
        vip: IpAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// A kernel setting cannot be read or written.
    #[error(
        "{sysctl}: {error}; it takes CAP_NET_ADMIN, and a /proc/sys that is not mounted read-only"
    )]
    Sysctl {
        /// The setting.
        sysctl: Sysctl,
        /// Why.
        error: io::Error,
    },
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is a set-up with other pins.
    #[error(
        "this network namespace has a set-up with pin_dir {0} already; add to it with --pin-dir {0}, \
         or undo it first with `elb backend down --all --pin-dir {0}`"
    )]
    Other(PathBuf),
    /// There is no program to load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused the program or its maps.
    #[error("cannot load the program decap: {0}; it takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")]
    Refused(String),
    /// The pin directory is elsewhere.
    #[error(
        "pin_dir {0} is not in a BPF file system; name a directory in one with --pin-dir, or mount \
         one with `mount -t bpf bpf /sys/fs/bpf`"
    )]
    NotBpf(PathBuf),
    /// A pin cannot be made, opened or removed.
    #[error("pin {path}: {error}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// A pinned map is not of this version.
    #[error(
        "the pinned map {path} is not one of this version's: {error}; remove the set-up with \
         `elb backend down --all`, then set it up again"
    )]
    Incompatible {
        /// The pin.
        path: PathBuf,
        /// What differs.
        error: String,
    },
    /// The map of virtual addresses cannot be changed.
    #[error("cannot write {vip} to the map {map}: {error}; it holds 4096 addresses at most")]
    Map {
        /// The address.
        vip: IpAddr,
        /// The map.
        map: &'static str,
        /// What the kernel said.
        error: String,
    },
    /// No source of tunnel packets is given.
    #[error(
        "--mode ipip and gue need --from: the addresses of the load balancers, the only ones that \
         tunnel packets are taken from; `elb status` shows them; `--from any` takes packets from \
         every sender, past the load balancer's access control"
    )]
    NoSource,
    /// Sources are given where there are no tunnel packets.
    #[error(
        "--from is for --mode ipip and gue: with l2 and nat, packets have no outer source to compare; leave \
         it out"
    )]
    SourceWithoutTunnel,
    /// An option that means nothing in this mode.
    #[error("{option} is not for --mode {mode}: {why}; leave it out")]
    OptionOfOtherMode {
        /// The option.
        option: &'static str,
        /// The mode.
        mode: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// No load balancer is given that answers are to go through.
    #[error(
        "--mode nat needs --via: the load balancer's address in a network of this host, the next hop of \
         answers to clients"
    )]
    NoVia,
    /// An address that cannot be a next hop.
    #[error(
        "--via {0} cannot be the next hop of answers; give a unicast address of the load balancer"
    )]
    NoGateway(IpAddr),
    /// This host's own address as its next hop.
    #[error("--via {0} is an address of this host itself; give the load balancer's")]
    OwnGateway(IpAddr),
    /// Two next hops for the same answers.
    #[error(
        "--via is given as {0} and as {1}: answers of one version of IP have one next hop; leave one out"
    )]
    TwoGateways(IpAddr, IpAddr),
    /// A next hop that is not on the interface's link.
    #[error(
        "--via {via} is in no network of interface {interface:?}: a next hop is a neighbour; give the load \
         balancer's address there (`ip address show dev {interface}`), or name another interface with \
         --interface"
    )]
    FarGateway {
        /// The next hop.
        via: IpAddr,
        /// The interface.
        interface: String,
    },
    /// A next hop that is on no link.
    #[error(
        "--via {0} is in no network of this host: a next hop is a neighbour; give the load balancer's address \
         in a network that `ip address` shows"
    )]
    NoWayToGateway(IpAddr),
    /// Answers are to be chosen by port, and none is given.
    #[error(
        "{}; name the ports of the service with --port, so that its answers go through {via} and all else \
         keeps its route", elsewhere(.default)
    )]
    NoPort {
        /// The load balancer.
        via: IpAddr,
        /// Where the default route leads.
        default: Vec<IpAddr>,
    },
    /// A routing rule cannot be changed.
    #[error(
        "cannot {doing} {rule}: {error}; it takes CAP_NET_ADMIN and a kernel with policy routing"
    )]
    Rule {
        /// The rule.
        rule: String,
        /// What was to be done to it.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel took a rule, and left a part of it out.
    #[error(
        "the kernel did not take {0} as a whole: rules by port need Linux 4.17; make {via} the default \
         route, or use another forwarding mode",
        via = "the load balancer"
    )]
    RuleIgnored(String),
    /// The route of answers cannot be changed.
    #[error("cannot change the route of answers through {via}: {error}; it takes CAP_NET_ADMIN")]
    AnswerRoute {
        /// The next hop.
        via: IpAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// More than a set can have.
    #[error("--from has {0} networks; give at most 256, or larger networks")]
    ManySources(usize),
    /// A size of segments that no route can say.
    #[error("--mss {0} is no size of TCP segments: give 536 to 1460")]
    Mss(u32),
    /// A route cannot be changed.
    #[error("cannot set advmss of the route {route}: {error}; it takes CAP_NET_ADMIN")]
    Route {
        /// The route.
        route: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// The maps of sources cannot be read or changed.
    #[error("cannot change the map {map}: {error}")]
    Sources {
        /// The map.
        map: &'static str,
        /// What the kernel said.
        error: String,
    },
    /// Another program is attached.
    #[error(
        "interface {0:?} already carries another XDP program; detach it with `ip link set dev {0} \
         xdp off`, or with its owner's tool"
    )]
    Busy(String),
    /// The driver does not allow native XDP.
    #[error(
        "interface {interface:?} cannot run XDP in its driver: {error}; accept the slow way with \
         --attach generic, or turn LRO off and mind the driver's MTU limit"
    )]
    NoNative {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: String,
    },
    /// Attached in another way than the one asked for.
    #[error(
        "decap is attached to interface {interface:?} in {} mode; to change that, undo it with \
         `elb backend down --all` first",
        .attached.name()
    )]
    OtherMode {
        /// The interface.
        interface: String,
        /// How it is attached.
        attached: super::AttachedMode,
    },
    /// Anything else that the kernel refused.
    #[error(
        "cannot attach decap to interface {interface:?}: {error}; it takes Linux 5.9, CAP_BPF and \
         CAP_NET_ADMIN"
    )]
    Attach {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: String,
    },
    /// Pins without the state file that belongs to them.
    #[error(
        "there are pins in {pins}, but no state file {state}: what to restore is not known; \
         `elb backend down --all` removes the pins, addresses on lo and sysctls are then yours to undo"
    )]
    NoState {
        /// The directory of the pins.
        pins: PathBuf,
        /// The state file.
        state: PathBuf,
    },
    /// A step failed, and those before it were undone.
    #[error("{error}{}", taken_back(.undone, .failed))]
    Undone {
        /// Why the step failed.
        error: Box<BackendError>,
        /// What was undone, latest first.
        undone: Vec<super::Step>,
        /// What could not be undone, and why.
        failed: Vec<BackendError>,
    },
}

fn elsewhere(default: &[IpAddr]) -> String {
    let all: Vec<String> = default.iter().map(ToString::to_string).collect();
    match all.as_slice() {
        [] => "this host has no default route".to_owned(),
        all => format!("this host's default route leads to {}", all.join(" and ")),
    }
}

fn hint(vip: IpAddr, error: &io::Error) -> &'static str {
    match (vip, error.raw_os_error()) {
        (IpAddr::V6(_), Some(libc::EACCES | libc::EOPNOTSUPP)) => {
            "; IPv6 is off there, see net.ipv6.conf.lo.disable_ipv6"
        }
        (_, _) => "; it takes CAP_NET_ADMIN",
    }
}

fn taken_back(undone: &[super::Step], failed: &[BackendError]) -> String {
    let mut text = String::new();
    for step in undone {
        text.push_str(&format!("\n  undone: {step}"));
    }
    for error in failed {
        text.push_str(&format!("\n  not undone: {error}"));
    }
    if undone.is_empty() && failed.is_empty() {
        text.push_str("\n  nothing was changed");
    }
    text
}
