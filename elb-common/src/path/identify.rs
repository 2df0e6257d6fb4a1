//! Which flow a packet belongs to, and where that flow falls on a ring.

use super::{Family, Ip, Packet, Tables, Transport};
use crate::listener::{CidPart, Listener, algorithm, listener_flags};
use crate::pool::Pool;
use crate::quic::{CidWords, MAX_CID, ServerIdKey};

/// A flow, as an algorithm sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<K> {
    /// What the flow is recorded by: addresses, ports and protocol, or the connection id of QUIC,
    /// so that a connection that its client moves to another address (RFC 9000 §9) is one flow.
    pub(super) key: K,
    /// Its place on the ring.
    pub(super) hash: u32,
    /// Id of the backend that the connection id names, 0: none.
    pub(super) server: u32,
}

/// The flow of a packet for a listener.
#[inline(always)]
pub(super) fn flow<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    listener: &Listener,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Identity<F::FlowKey> {
    let named = if listener.algorithm == algorithm::CONNECTION_ID {
        connection_id(packet, ip, listener.cid)
    } else {
        None
    };
    let Some(cid) = named else {
        return tuple::<F>(ip, transport, listener.algorithm);
    };
    let has_servers = listener.flags & listener_flags::SERVER_IDS != 0;
    let key = ServerIdKey::new(cid, listener.pool);
    let server = if has_servers { tables.server(&key).unwrap_or(0) } else { 0 };
    Identity { server: u32::from(server), ..connection::<F>(cid, listener.id) }
}

/// The same flow, as the algorithm saw it that the pool had before, if it had another.
#[inline(always)]
pub(super) fn formerly<F: Family, P: Packet>(
    packet: &P,
    pool: &Pool,
    listener: &Listener,
    flow: &Identity<F::FlowKey>,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Identity<F::FlowKey> {
    if pool.former_size == 0 {
        return *flow;
    }
    let named = if pool.former_algorithm == algorithm::CONNECTION_ID {
        connection_id(packet, ip, pool.former_cid)
    } else {
        None
    };
    match named {
        Some(cid) => connection::<F>(cid, listener.id),
        None => tuple::<F>(ip, transport, pool.former_algorithm),
    }
}

#[inline(always)]
fn tuple<F: Family>(
    ip: &Ip<F::Addr>,
    transport: &Transport,
    algorithm: u16,
) -> Identity<F::FlowKey> {
    let key = F::flow_key(ip, transport);
    Identity { key, hash: F::hash(&key, algorithm), server: 0 }
}

#[inline(always)]
fn connection<F: Family>(cid: CidWords, listener: u16) -> Identity<F::FlowKey> {
    let key = F::connection_key(cid.digest(), listener);
    Identity { key, hash: F::hash(&key, algorithm::FIVE_TUPLE), server: 0 }
}

/// The first byte of a long header (RFC 8999 §5.1).
const LONG_HEADER: u8 = 0x80;

/// The part of a datagram's destination connection id (RFC 8999 §5) that counts.
///
/// A short header does not tell how long its connection id is, but at least 20 bytes follow it
/// (RFC 9001 §5.4.2), so that a view of the longest one never fails.
#[inline(always)]
fn connection_id<P: Packet, A>(packet: &P, ip: &Ip<A>, part: CidPart) -> Option<CidWords> {
    const UDP: usize = 8;
    const BEFORE_LENGTH: usize = 5;
    let datagram = ip.payload + UDP;
    let first: u8 = *packet.view(datagram)?;
    let offset = part.offset & 0x1f;
    if first & LONG_HEADER == 0 {
        let bytes: &[u8; MAX_CID] = packet.view(datagram + 1 + usize::from(offset))?;
        return Some(CidWords::new(bytes, part.length));
    }
    let length: u8 = *packet.view(datagram + BEFORE_LENGTH)?;
    let rest = length.checked_sub(offset).filter(|rest| *rest > 0)?;
    let start = datagram + BEFORE_LENGTH + 1 + usize::from(offset);
    Some(CidWords::new(packet.view(start)?, rest.min(part.length)))
}
