//! The settings of the agent itself, `[agent]`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use elb_common::limits::MAX_INTERFACES;
use serde::Serialize;

use super::file::table::{IPV4, IPV6, Table};
use crate::model::command::CheckUser;
use crate::model::rules::not_unicast;
use crate::model::value::{Invalid, Ranged, choice};

/// Slots for all rings together.
pub type RingSlots = Ranged<65_536, 268_435_456>;
/// Records of one flow table.
pub type MaxFlows = Ranged<1_024, 67_108_864>;
/// Records of the tables of backends and of listeners.
pub type MaxRecords = Ranged<16, 65_535>;

/// Clients that pools with persistence remember.
pub type MaxClients = Ranged<1_024, 16_777_216>;

/// Mark of the sockets of probes of virtual addresses; the rule looks at these bits.
pub type ProbeMark = Ranged<1, 65_535>;

/// Where pins are, if the file does not say.
pub const PIN_DIR: &str = "/sys/fs/bpf/elb";

/// Where state is kept, if the file does not say.
pub const STATE_DIR: &str = "/var/lib/elb";

/// What the agent needs to know before it can serve anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentSettings {
    /// The interfaces that traffic arrives on: at least one, no two alike.
    pub interfaces: Vec<String>,
    /// How the program is attached to them.
    pub attach_mode: AttachMode,
    /// The Unix socket that the command line talks to.
    pub socket: PathBuf,
    /// The group that may ask by it, and change nothing.
    pub socket_group: Option<String>,
    /// The directory in a BPF file system that outlives the agent.
    pub pin_dir: PathBuf,
    /// The directory where the agent keeps what outlives it, the pins and a reboot.
    pub state_dir: PathBuf,
    /// Capacity for slots of all rings together; a ring takes its size rounded up to 16.
    pub ring_slots: RingSlots,
    /// Capacity of each flow table.
    pub max_flows: MaxFlows,
    /// Capacity of the table of backends, of which one record is not used.
    pub max_backends: MaxRecords,
    /// Capacity of the table of listeners; a listener takes a record for each VIP.
    pub max_listeners: MaxRecords,
    /// Clients that pools with persistence remember; none are made room for where no pool has it.
    pub max_clients: MaxClients,
    /// The source of the outer header of encapsulated packets; none: the interface's address.
    pub encap_source: Option<Ipv4Addr>,
    /// The same in IPv6.
    pub encap_source_ipv6: Option<Ipv6Addr>,
    /// The address that members with an IPv4 address are probed from; none: what the routes say.
    pub probe_source: Option<Ipv4Addr>,
    /// The same for members with an IPv6 address.
    pub probe_source_ipv6: Option<Ipv6Addr>,
    /// The mark of the sockets of probes of virtual addresses; none: the agent chooses.
    pub probe_mark: Option<ProbeMark>,
    /// The user that commands run as which are health checks.
    pub check_user: CheckUser,
    /// Whether a reload may take away every listener, or every member of a pool that is served.
    pub allow_empty: bool,
}

choice! {
    /// How the program is attached to an interface.
    AttachMode {
        /// By the driver.
        Native = "native",
        /// By the network stack: slower, for drivers without XDP.
        Generic = "generic",
    }
    not yet: ["offload"], use "native or generic"
}

/// Reads `[agent]`; `None` if anything in it is wrong.
pub(super) fn read(mut table: Table<'_>) -> Option<AgentSettings> {
    let t = &mut table;
    t.require("interfaces", "name the interfaces that traffic arrives on, as in [\"eth0\"]");
    let settings = AgentSettings {
        interfaces: interfaces(t),
        attach_mode: t.parsed_or("attach_mode", AttachMode::Native),
        socket: t.path_or("socket", "/run/elb/elb.sock"),
        socket_group: group(t),
        pin_dir: t.path_or("pin_dir", PIN_DIR),
        state_dir: t.path_or("state_dir", STATE_DIR),
        ring_slots: t.number_or("ring_slots", "", RingSlots::constant(8_388_608)),
        max_flows: t.number_or("max_flows", "", MaxFlows::constant(1_048_576)),
        max_backends: t.number_or("max_backends", "", MaxRecords::constant(4_096)),
        max_listeners: t.number_or("max_listeners", "", MaxRecords::constant(4_096)),
        max_clients: t.number_or("max_clients", "", MaxClients::constant(65_536)),
        encap_source: source(t, "encap_source", IPV4),
        encap_source_ipv6: source(t, "encap_source_ipv6", IPV6),
        probe_source: source(t, "probe_source", IPV4),
        probe_source_ipv6: source(t, "probe_source_ipv6", IPV6),
        probe_mark: t.number("probe_mark", ""),
        check_user: t.parsed_or("check_user", CheckUser::default()),
        allow_empty: t.flag_or("allow_empty", false),
    };
    let (sound, _) = table.finish();
    sound.then_some(settings)
}

fn interfaces(t: &mut Table<'_>) -> Vec<String> {
    let rule = format!("1 to {MAX_INTERFACES} names that `ip link` shows");
    let Some(names) = t.texts("interfaces", &rule) else {
        return Vec::new();
    };
    if names.is_empty() {
        t.wrong("interfaces", "interfaces is empty", "name at least one");
    }
    if names.len() > MAX_INTERFACES as usize {
        let what = format!("there are {} interfaces, of {MAX_INTERFACES}", names.len());
        t.wrong("interfaces", what, "name fewer");
    }
    for (n, name) in names.iter().enumerate() {
        // The kernel's own rule: dev_valid_name() in net/core/dev.c.
        let valid = (1..16).contains(&name.len())
            && ![".", ".."].contains(name)
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
        if !valid {
            let what = format!("{name:?} is not the name of an interface");
            t.wrong("interfaces", what, "use a name that `ip link` shows");
        }
        if names[..n].contains(name) {
            t.wrong("interfaces", format!("{name:?} is there twice"), "remove one of them");
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

fn group(t: &mut Table<'_>) -> Option<String> {
    const RULE: &str = "the name of a group, or its number";
    let group = t.text("socket_group", RULE)?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.', '$'].contains(&c);
    if group.is_empty() || group.len() > 32 || !group.chars().all(is_name) {
        let what = format!("socket_group {group:?} is not the name of a group");
        t.wrong("socket_group", what, format!("use {RULE}"));
    }
    Some(group.to_owned())
}

fn source<T>(t: &mut Table<'_>, key: &'static str, kind: (&str, &str)) -> Option<T>
where
    T: FromStr + Copy + Into<IpAddr>,
{
    let address: T = t.parsed_as(key, kind)?;
    if let Some(what) = not_unicast(key, address.into()) {
        t.wrong(key, what, "use a unicast address that the members accept as a source");
    }
    Some(address)
}
