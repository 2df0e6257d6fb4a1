//! Makes a host a backend server, and undoes it.
//!
//! With direct server return (`l2`, `ipip`, `gue`), the host must accept packets for the virtual address without announcing that it has it, and
//! answer from it without using it for anything else:
//!
//! - The address is on `lo`. IPv4 gives it scope `host`: the kernel then picks it neither as the
//!   source of outgoing connections nor of ARP requests, not even where the outgoing interface has
//!   no address of its own (`inet_select_addr()` takes an address from `lo` for that, if its scope
//!   allows). IPv6 has no such scope; a preferred lifetime of 0 makes the address the last choice
//!   (RFC 6724 §5 rule 3). Both accept connections and answer as any other address.
//! - ARP requests for it are not answered (`arp_ignore`), nor is it announced (`arp_announce`).
//!   IPv6 needs no setting: a solicitation is answered only if the address is on the interface that
//!   it came in by (RFC 4861 §7.2.3).
//! - With `ipip` and `gue`, the XDP program `decap` takes the outer headers off; it knows both. The
//!   inner packet then comes in by the same interface, which strict reverse path filtering may not
//!   let through (`rp_filter`). It accepts them from the load balancers only: any other sender could send
//!   them would walk around the load balancers' access control.
//!
//! With `nat`, packets come to the host's own address, and answers must go through the load balancer: `answers`
//! has a routing table and rules for that, and nothing above applies.
//!
//! What was changed is in a state file, so that [`down`] restores what was there before. One pin
//! directory is one set-up; a host needs one, however many interfaces and addresses it has.

mod answer_routes;
mod answer_rule;
mod answers;
mod causes;
mod decap;
mod error;
mod mss;
mod plan;
pub(crate) mod privilege;
mod recorded;
mod report;
mod service_port;
mod sources;
mod state;
mod status;
mod sysctl;
mod wanted_answers;

mod down;
mod up;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::net::links::Netlink;
use crate::model::ipgroup::Cidr;

pub use answer_rule::AnswerRule;
pub use down::{Down, Which, down};
pub use error::BackendError;
pub use recorded::{Recorded, recorded, settings, xdp_program};
pub use report::{BackendReport, Step};
pub use service_port::ServicePort;
pub use sources::{covers, is_any_source};
pub use state::StateError;
pub use status::{BackendStatus, Count, status};
pub use sysctl::{Sysctl, SysctlKey, WantedSysctl};
pub use up::{up, up_only};
pub use wanted_answers::Answers;

/// Where the pins are, unless said otherwise.
pub const PIN_DIR: &str = "/sys/fs/bpf/elb-backend";
/// Where the state files are, unless said otherwise.
pub const STATE_DIR: &str = "/run/elb-backend";

/// How a backend server is to be set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The addresses to serve, next to those that are set up already; none with `nat`.
    pub vips: Vec<IpAddr>,
    /// How packets come from the load balancer.
    pub mode: Mode,
    /// Whom they come from, in modes with outer headers: the load balancers.
    pub from: Vec<Cidr>,
    /// The largest TCP segments that clients are asked to send, if that is to be said.
    pub mss: Option<u32>,
    /// With `nat`: which answers go through the load balancer, next to those that do already.
    pub answers: Answers,
    /// The interface that they come in by.
    pub interface: String,
    /// A directory in a BPF file system; it names the set-up.
    pub pin_dir: PathBuf,
    /// The directory of the state file.
    pub state_dir: PathBuf,
    /// How the program is attached, in modes with outer headers.
    pub attach: Attach,
}

/// How packets come from the load balancer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Addressed to this host's Ethernet address.
    L2,
    /// Inside an IPv4 or IPv6 packet to an address of this host.
    Ipip,
    /// Inside a UDP datagram to port 6080 of an address of this host.
    Gue,
    /// Addressed to this host's own address: answers go through the load balancer.
    Nat,
    /// The same, and from an address of the load balancer's, which answers go to.
    #[value(name = "fullnat")]
    FullNat,
    /// Translated from IPv4 to this host's own IPv6 address, from an address in a prefix of the load balancer's: answers
    /// to that go back there by a route.
    #[value(name = "nat46")]
    Nat46,
}

impl Mode {
    /// Its name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Nat => "nat",
            Self::FullNat => "fullnat",
            Self::Nat46 => "nat46",
        }
    }

    /// Whether packets come to this host's own address.
    pub const fn is_translated(self) -> bool {
        match self {
            Self::Nat | Self::FullNat | Self::Nat46 => true,
            Self::L2 | Self::Ipip | Self::Gue => false,
        }
    }

    /// Whether packets come with outer headers, which the program takes off.
    pub const fn is_tunnel(self) -> bool {
        match self {
            Self::L2 | Self::Nat | Self::FullNat | Self::Nat46 => false,
            Self::Ipip | Self::Gue => true,
        }
    }
}

/// How the program is to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Attach {
    /// By the driver if it can, else by the network stack.
    Auto,
    /// By the driver.
    Native,
    /// By the network stack: slower.
    Generic,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttachedMode {
    /// By the driver.
    Native,
    /// By the network stack.
    Generic,
}

impl AttachedMode {
    /// Its name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Every address, as a source of packets.
pub fn any_source() -> Cidr {
    sources::any_source()
}

/// The interface that an address is a neighbour on.
///
/// # Errors
/// It is none on any, or netlink does not work.
pub fn interface_to(via: IpAddr) -> Result<String, BackendError> {
    answers::interface_to(via)
}

/// The next hops of the default routes, of both versions of IP.
///
/// # Errors
/// Netlink does not work.
pub fn default_gateways() -> Result<Vec<IpAddr>, BackendError> {
    answer_routes::default_gateways()
}

/// The interface of the default route: of IPv4, else of IPv6; of several, the preferred one.
///
/// # Errors
/// There is none, or netlink does not work.
pub fn default_interface() -> Result<String, BackendError> {
    let netlink = Netlink::open()?;
    netlink.default_interface()?.ok_or(BackendError::NoDefaultRoute)
}
