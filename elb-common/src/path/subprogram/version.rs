//! Packets that become packets of the other IP version.

use super::super::reply::{self, Back, NotBack};
use super::super::{Family, Packet, Stop, Tables, V4, V6, control, forward, version};
use super::{Place, link};
use crate::backend::Backend;
use crate::listener::ListenerEndpoint;
use crate::reason::Reason;

/// Gives a datagram of IPv4 the checksum that it lacks.
#[inline(always)]
pub fn sum_datagram<P: Packet>(packet: &mut P, place: Place) -> Result<(), Stop> {
    let (link, ip) = place.headers::<V4, P>(packet)?;
    version::sum::write(packet, &link, &ip)
}

/// Translates a packet for a backend with IPv6 that knows the clients of the listener with this number by addresses that
/// hold theirs.
#[inline(always)]
pub fn translate_46<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    backend: u16,
    listener: u16,
) -> Result<(), Stop> {
    let (link, ip) = place.headers::<V4, P>(packet)?;
    let (backend, known) = known(tables, backend, listener)?;
    forward::nat46::rewrite(packet, &link, &ip, backend, known)
}

/// Translates an error that is about an answer of such a backend.
#[inline(always)]
pub fn translate_46_error<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    backend: u16,
    listener: u16,
) -> Result<(), Stop> {
    let link = link(packet)?;
    let ip = V4::header(packet, link.end)?;
    // Known already, but not to the verifier.
    if !control::is_error::<V4, P>(packet, &link, &ip) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let (backend, known) = known(tables, backend, listener)?;
    forward::nat46::error(packet, &link, &ip, backend, known)
}

/// A backend, and by which addresses it knows the clients of a listener.
#[inline(always)]
fn known<T: Tables>(
    tables: &T,
    backend: u16,
    listener: u16,
) -> Result<(&Backend, forward::nat46::Known), Stop> {
    let backend = tables.backend(backend).ok_or(Stop(Reason::UnknownBackend))?;
    // While records are replaced, a listener's may be older than its backend's.
    let prefix = tables.endpoint(listener).map(ListenerEndpoint::prefix);
    let known = prefix.and_then(|prefix| forward::nat46::Known::new(prefix, listener));
    Ok((backend, known.ok_or(Stop(Reason::UnknownBackend))?))
}

/// The answer of a member to an address that holds that of a client of this listener is translated back.
#[inline(always)]
pub fn reply_embedded<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    place: Place,
    ids: (u16, u16),
) -> Result<Back, NotBack> {
    let (link, ip) = place.headers::<V6, P>(packet)?;
    reply::embedded::packet(packet, tables, &link, &ip, ids)
}

/// An error about a packet from such an address is translated back.
#[inline(always)]
pub fn reply_embedded_error<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    ids: (u16, u16),
) -> Result<Back, NotBack> {
    // That it is an error, without extension headers, is known already.
    let link = link(packet)?;
    reply::embedded::error(packet, tables, &link, ids)
}

/// In the place of the interface that an answer leaves by: it is for a client with IPv4, and yet to be translated back by
/// [`reply_embedded`]. Called where that is found out, it would take too much of the BPF stack.
pub const EMBEDDED: u32 = u32::MAX;
/// The same of an error, for [`reply_embedded_error`].
pub const EMBEDDED_ERROR: u32 = EMBEDDED - 1;
