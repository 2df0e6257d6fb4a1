//! Direct server return on one segment: only the Ethernet addresses change.

use super::super::wire::Ethernet;
use super::super::{Packet, Stop};
use crate::backend::Backend;
use crate::reason::Reason;

/// Addresses the frame to the backend.
#[inline(always)]
pub(super) fn rewrite<P: Packet>(packet: &mut P, backend: &Backend) -> Result<(), Stop> {
    let ethernet: &mut Ethernet =
        packet.view_mut(0).ok_or_else(|| Stop::because(Reason::Truncated))?;
    ethernet.destination = backend.next_hop;
    ethernet.source = backend.source;
    Ok(())
}
