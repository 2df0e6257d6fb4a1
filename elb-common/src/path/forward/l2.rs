//! Direct server return on one segment: only the Ethernet addresses change.

use super::super::wire::Ethernet;
use super::super::{Ip, Packet, Stop};
use crate::backend::Backend;
use crate::reason::Reason;

/// Addresses the frame to the backend.
#[inline(always)]
pub(super) fn rewrite<P: Packet, A>(
    packet: &mut P,
    ip: &Ip<A>,
    backend: &Backend,
) -> Result<(), Stop> {
    super::check_size(ip.length, 0, backend)?;
    let ethernet: &mut Ethernet = packet.view_mut(0).ok_or(Stop(Reason::Truncated))?;
    ethernet.destination = backend.next_hop;
    ethernet.source = backend.source;
    Ok(())
}
