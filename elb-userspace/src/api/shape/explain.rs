//! Where a packet would go: what is asked of the agent, and its answer (`elb explain -o json`). The packet
//! path's own words make it, so its parts are `observe`'s.

pub use crate::observe::explain::{ExplainRequest, Explanation};
