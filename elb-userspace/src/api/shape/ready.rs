//! Whether new connections are forwarded: the answer to VRRP and BIRD checks.

use serde::{Deserialize, Serialize};

/// Whether the program is attached, the maps are written and some listener has a member for new connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Why not; empty: it is so.
    pub missing: Vec<String>,
}
