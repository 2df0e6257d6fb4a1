//! What was gathered on a host: all that the checks conclude from.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::filter::Ruleset;
use crate::backend::{Recorded, WantedSysctl};
use crate::kernel::net::links::{Address, Link};
use crate::model::transport::TransportProtocol;

/// What is known, or what would be needed to know it.
pub(super) type Known<T> = Result<T, String>;

/// A host as it is.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its name.
    pub(super) host: String,
    /// The sockets that take connections or datagrams.
    pub(super) sockets: Known<Vec<Socket>>,
    /// The processes that hold them, by the socket's inode, if they can be seen.
    pub(super) processes: HashMap<u32, Process>,
    /// The packet filter.
    pub(super) filter: Known<Ruleset>,
    /// Interfaces and addresses.
    pub(super) network: Known<Network>,
    /// The routes to the sources of probes.
    pub(super) routes: Vec<(IpAddr, Known<Route>)>,
    /// The routes to the clients that were asked about.
    pub(super) clients: Vec<(IpAddr, Known<Route>)>,
    /// The interfaces of the default routes.
    pub(super) defaults: Known<Defaults>,
    /// The next hops of the default routes.
    pub(super) gateways: Known<Vec<IpAddr>>,
    /// What `elb backend up` recorded, and what is attached.
    pub(super) backend: Known<Recorded>,
    /// Sysctls by their name, such as `net.ipv4.icmp_echo_ignore_all`; those that are not there are
    /// absent.
    pub(super) sysctls: BTreeMap<String, i64>,
    /// The IPv4 settings of the interface that packets come in by, and what they must be.
    pub(super) settings: Known<Vec<WantedSysctl>>,
    /// How busy it is.
    pub(super) load: Load,
    /// The files of tcp wrappers.
    pub(super) wrappers: Known<Wrappers>,
    /// The XDP program of the interface that packets come in by, and whether it is elb's; none, if
    /// there is none.
    pub(super) xdp: Known<Option<(String, bool)>>,
    /// What a command must say to mean the same set-up: `--pin-dir` and `--state-dir`, if they are
    /// not the usual ones.
    pub(super) place: String,
}

/// A socket that takes connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// Its protocol.
    pub(super) protocol: TransportProtocol,
    /// The address that it is bound to.
    pub(super) address: IpAddr,
    /// Its port.
    pub(super) port: u16,
    /// Whether a wildcard of IPv6 does not take IPv4 as well.
    pub(super) v6_only: bool,
    /// The interface that it is bound to, by its index; 0 is none.
    pub(super) interface: u32,
    /// Its inode.
    pub(super) inode: u32,
    /// Connections that wait to be accepted; bytes, for UDP.
    pub(super) waiting: u32,
    /// How many may wait.
    pub(super) backlog: u32,
}

/// A process that holds sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub(super) id: i32,
    /// Its name: that of the program, as it was called.
    pub(super) name: String,
    /// Whether it is stopped (SIGSTOP).
    pub(super) stopped: bool,
    /// The systemd unit that it belongs to.
    pub(super) unit: Option<String>,
    /// Open files.
    pub(super) files: Option<u64>,
    /// Most open files.
    pub(super) most_files: Option<u64>,
    /// Whether it links libwrap, and so may heed /etc/hosts.deny.
    pub(super) wrapped: Option<bool>,
}

/// Interfaces and their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    /// The interfaces.
    pub(super) links: Vec<Link>,
    /// The addresses.
    pub(super) addresses: Vec<Address>,
}

impl Network {
    /// An interface by its index.
    pub(super) fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interface that has an address.
    pub(super) fn holder(&self, ip: IpAddr) -> Option<(&Link, &Address)> {
        let address = self.addresses.iter().find(|address| address.ip == ip)?;
        Some((self.link(address.index)?, address))
    }
}

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// By an interface.
    Via {
        /// Its name.
        interface: String,
        /// The next hop; none, if the address is on the link.
        gateway: Option<IpAddr>,
        /// The address that packets to there have as their source.
        source: Option<IpAddr>,
    },
    /// It is an address of this host.
    Local,
    /// No route fits.
    None,
    /// A route of this kind (`unreachable`, `blackhole`, `prohibit`, `throw`) fits; the route as the
    /// `ip` command names it, if it was found.
    Refused(&'static str, Option<String>),
}

/// The interfaces that packets to anywhere go out by; none: there is no default route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    pub(super) v4: Option<String>,
    pub(super) v6: Option<String>,
}

impl Defaults {
    /// Of a version of IP.
    pub(super) fn of(&self, v6: bool) -> Option<&str> {
        if v6 { self.v6.as_deref() } else { self.v4.as_deref() }
    }
}

/// How busy a host is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Processes that want to run, on average over a minute.
    pub(super) average: Option<f64>,
    /// CPUs.
    pub(super) cpus: usize,
    /// Per cent of the last ten seconds in which something waited for memory.
    pub(super) memory_pressure: Option<f64>,
    /// Counters of `TcpExt` in `/proc/net/netstat`.
    pub(super) counters: BTreeMap<String, u64>,
    /// Open files of the host, and the most.
    pub(super) files: Option<(u64, u64)>,
    /// Tracked connections, and the most.
    pub(super) connections: Option<(u64, u64)>,
}

/// The files of tcp wrappers; none, where there is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrappers {
    /// hosts.allow.
    pub(super) allow: Option<String>,
    /// hosts.deny.
    pub(super) deny: Option<String>,
}
