//! What members answer, where their packets come back through this host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packets of members that were translated and sent on to clients. With direct server return none pass this host,
/// and nothing is said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replies {
    /// How many.
    pub packets: u64,
    /// Bytes of those, as received from members.
    pub bytes: u64,
    /// Of those, segments that accept a connection (SYN-ACK); one that is repeated counts again. None of datagrams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<u64>,
    /// Of those, segments that reset or refuse a connection. None of datagrams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resets: Option<u64>,
}

/// How fast these counts rise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplyRate {
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
    /// Accepted connections a second. None of datagrams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<f64>,
    /// Resets a second. None of datagrams.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resets: Option<f64>,
}
