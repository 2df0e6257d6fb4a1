//! Direct server return on one segment: the Ethernet addresses change, and the packet has a hop less, as
//! behind any router: two load balancers that are members of each other would send it to and fro for ever.

use super::super::{Family, Link, Packet, Stop};
use crate::backend::Backend;
use crate::reason::Reason;

/// Addresses the frame to the backend.
#[inline(always)]
pub(super) fn rewrite<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    backend: &Backend,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    *packet.view_mut(0).ok_or_else(truncated)? = backend.ethernet();
    F::a_hop_less(packet, link.end)
}
