//! Pools that remember their clients (V3 `session_persistence` with the type SOURCE_IP).

use serde::Serialize;

use super::value::Ranged;

/// Seconds without a packet for which a client is remembered: a day at most.
pub type PersistenceTimeout = Ranged<1, { elb_common::limits::MAX_PERSISTENCE }>;
/// Bits of an IPv4 address that tell clients apart.
pub type ClientBits = Ranged<1, 32>;
/// The same of an IPv6 address.
pub type ClientBitsV6 = Ranged<1, 128>;

/// New connections of a client go to the member of its earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SessionPersistence {
    /// Until the client was away for so long.
    pub timeout: PersistenceTimeout,
    /// IPv4 addresses that begin with the same bits are one client.
    pub prefix: ClientBits,
    /// The same of IPv6 addresses.
    pub ipv6_prefix: ClientBitsV6,
}

impl SessionPersistence {
    /// As packets read it.
    pub const fn record(self) -> elb_common::client::Persistence {
        let Self { timeout, prefix, ipv6_prefix } = self;
        elb_common::client::Persistence::new(timeout.get(), prefix.get(), ipv6_prefix.get())
    }

    /// It in words: `60 s by /24 and IPv6 /64`.
    pub fn text(&self) -> String {
        let Self { timeout, prefix, ipv6_prefix } = self;
        match (prefix.get(), ipv6_prefix.get()) {
            (32, 128) => format!("{timeout} s"),
            (prefix, ipv6_prefix) => format!("{timeout} s by /{prefix} and IPv6 /{ipv6_prefix}"),
        }
    }
}
