//! What the packet path may ask about health probes.

use super::Tables;
use crate::flow::{FlowKeyV4, FlowKeyV6};

/// What is known of probes under way, next to everything else.
pub trait Probes: Tables {
    /// Id of the backend that this flow probes.
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16>;
    /// Id of the backend that this flow probes.
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16>;
}
