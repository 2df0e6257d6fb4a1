//! Why probes cannot be routed through virtual addresses.

use std::io;

use thiserror::Error;

/// Probes cannot be routed through virtual addresses.
#[derive(Debug, Error)]
pub enum RouteError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(io::Error),
    /// The pair of interfaces cannot be made or set up.
    #[error(
        "cannot make the interfaces {device:?} and {peer:?}: {error}; it takes CAP_NET_ADMIN and \
         a kernel with veth"
    )]
    Interfaces {
        /// One end.
        device: String,
        /// The other end.
        peer: String,
        /// What the kernel said.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another interface has the name.
    #[error(
        "there is an interface {name:?} that is not elb's, or whose other end was renamed; rename or delete it \
         (`ip link show dev {name}`), and elb makes its own"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// The kernel refuses the rule or the route of an IP version.
    #[error(
        "cannot route {version} probes to {device:?}: {error}; it takes CAP_NET_ADMIN and a kernel \
         with policy routing"
    )]
    Route {
        /// IPv4 or IPv6.
        version: &'static str,
        /// The interface.
        device: String,
        /// What the kernel said.
        error: rtnetlink::Error,
    },
    /// IPv6 is switched off.
    #[error(
        "IPv6 is switched off for {device}: to probe over it, set \
         net.ipv6.conf.default.disable_ipv6 and net.ipv6.conf.{device}.disable_ipv6 to 0"
    )]
    SwitchedOff {
        /// The interface, which has its setting from `default` when it is made.
        device: String,
    },
    /// The kernel was built or started without IPv6.
    #[error("this kernel has no IPv6; was it started with ipv6.disable=1?")]
    NoIpv6,
    /// Something cannot be removed.
    #[error("cannot remove {what}: {error}; it takes CAP_NET_ADMIN")]
    Remove {
        /// What.
        what: String,
        /// What the kernel said.
        error: rtnetlink::Error,
    },
}

impl RouteError {
    /// Whether this kernel cannot do it, or is not to: that is no fault of the host's.
    pub fn is_of_no_use(&self) -> bool {
        match self {
            Self::SwitchedOff { .. } | Self::NoIpv6 => true,
            Self::Route { error, .. } => is_unknown(error),
            Self::Interfaces { error, .. } => {
                error.downcast_ref::<rtnetlink::Error>().is_some_and(is_unknown)
            }
            Self::Socket(_) | Self::Taken { .. } | Self::Remove { .. } => false,
        }
    }

    /// Whether IPv6 may be switched on.
    pub(super) const fn is_switched_off(&self) -> bool {
        matches!(self, Self::SwitchedOff { .. } | Self::NoIpv6)
    }
}

/// This kernel does not have its kind.
pub(super) fn is_unknown(error: &rtnetlink::Error) -> bool {
    is(error, libc::EAFNOSUPPORT) || is(error, libc::EOPNOTSUPP)
}

/// What the kernel answered.
pub(super) fn is(error: &rtnetlink::Error, code: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == -code)
}

/// What was asked for is not there, or this kernel does not have its kind.
pub(super) fn is_missing(error: &rtnetlink::Error) -> bool {
    is(error, libc::ENOENT) || is(error, libc::ENODEV) || is_unknown(error)
}
