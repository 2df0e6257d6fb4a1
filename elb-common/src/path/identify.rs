//! Which flow a packet belongs to, and where that flow falls on a ring.

use super::question::Question;
use super::wire::Udp;
use super::{Family, Ip, Packet, Stop, Tables, Transport};
use crate::addr::join;
use crate::hash;
use crate::listener::{CidPart, Listener, NO_POOL, algorithm, listener_flags};
use crate::pool::{Pool, Ring};
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::ring::{self, Slot};

/// A flow, by its addresses and ports.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<K> {
    /// Addresses, ports and protocol.
    pub(super) tuple: K,
    /// Its place on the ring, unless a connection id decides that.
    pub(super) hash: u32,
}

/// The flow of a packet for a listener.
#[inline(always)]
pub(super) fn flow<F: Family>(
    listener: &Listener,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Identity<F::FlowKey> {
    let tuple = F::flow_key(ip, transport);
    Identity { tuple, hash: F::hash(&tuple, listener.algorithm) }
}

/// Whether a connection id may show which flow a packet belongs to. An error, which is no datagram,
/// shows none of the client's.
#[inline(always)]
pub(super) fn by_connection_id(listener: &Listener, is_udp: bool) -> bool {
    listener.algorithm == algorithm::CONNECTION_ID && is_udp
}

/// Finds out what a question is about: connection ids, record, pool, slot, and the ring before.
#[inline(always)]
pub(super) fn complete<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    question: &mut Question<F::FlowKey>,
) -> Result<(), Stop> {
    let listener: Listener = *question.listener();
    let pool = tables.pool(listener.pool).ok_or(Stop(Reason::RingRange))?;
    let origin = origin(tables, &listener, &pool);
    let datagram = question.datagram();
    let digest = |is_wanted: bool, part| match datagram {
        Some(offset) if is_wanted => connection_id(packet, tables, offset, part),
        _ => 0,
    };
    question.digest = digest(listener.algorithm == algorithm::CONNECTION_ID, listener.cid);
    let was_by_id = origin.size != 0 && origin.algorithm == algorithm::CONNECTION_ID;
    question.former_digest = digest(was_by_id, origin.cid);
    question.key = key::<F>(&question.tuple, question.digest, listener.id);
    question.former_key = key::<F>(&question.tuple, question.former_digest, listener.id);
    question.pool = bytemuck::cast(pool);
    question.origin = bytemuck::cast(origin);
    let hash = hash::<F>(&question.tuple, question.digest, listener.algorithm);
    let (index, slot) = slot(tables, &listener, hash)?;
    question.slot = join(index, slot.0);
    Ok(())
}

/// The ring that flows older than every record live on, if it is not the pool's: that of the pool that
/// the listener served before, or the one that the pool had before.
#[inline(always)]
fn origin<T: Tables>(tables: &T, listener: &Listener, pool: &Pool) -> Ring {
    if listener.former_pool == NO_POOL {
        return pool.former;
    }
    tables.pool(listener.former_pool).map_or(pool.former, |former| former.oldest_ring())
}

/// Id of the backend that the connection id of a flow names, 0: none.
#[inline(always)]
pub(super) fn server<T: Tables>(tables: &T, listener: &Listener, digest: u64) -> u16 {
    if listener.flags & listener_flags::SERVER_IDS == 0 || digest == 0 {
        return 0;
    }
    tables.server(&ServerIdKey::new(digest, listener.pool)).unwrap_or(0)
}

/// What a flow is recorded by: addresses, ports and protocol, or the connection id, so that a
/// connection that its client moves to another address (RFC 9000 §9) is one flow.
#[inline(always)]
pub(super) fn key<F: Family>(tuple: &F::FlowKey, digest: u64, listener: u16) -> F::FlowKey {
    if digest == 0 { *tuple } else { F::connection_key(digest, listener) }
}

/// The place of a flow on a ring.
#[inline(always)]
pub(super) fn hash<F: Family>(tuple: &F::FlowKey, digest: u64, algorithm: u16) -> u32 {
    if digest == 0 { F::hash(tuple, algorithm) } else { hash::digest(digest) }
}

/// The slot that a hash falls on, and its index.
#[inline(always)]
pub(super) fn slot<T: Tables>(
    tables: &T,
    listener: &Listener,
    hash: u32,
) -> Result<(u32, Slot), Stop> {
    let index = listener.ring_base.wrapping_add(ring::index(hash, listener.ring_size));
    Ok((index, tables.slot(index).ok_or_else(|| Stop::because(Reason::RingRange))?))
}

/// The digest of a datagram's connection id, 0: it has none.
#[inline(always)]
fn connection_id<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    datagram: usize,
    part: CidPart,
) -> u64 {
    const UDP: usize = size_of::<Udp>();
    tables.connection_id(packet, datagram + UDP, part).unwrap_or(0)
}
