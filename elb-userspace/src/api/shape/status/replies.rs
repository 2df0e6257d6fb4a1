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
}

/// How fast these counts rise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplyRate {
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
}
