//! Which flow a packet belongs to, and where that flow falls on a ring.

use super::wire::Udp;
use super::{Family, Ip, Packet, Tables, Transport};
use crate::hash;
use crate::listener::{CidPart, Listener, algorithm, listener_flags};
use crate::pool::Pool;
use crate::quic::ServerIdKey;

/// A flow, as an algorithm sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<K> {
    /// Addresses, ports and protocol.
    pub(super) tuple: K,
    /// Digest of the connection id of QUIC, 0: none.
    pub(super) digest: u64,
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
    // An error, which is no datagram, shows no connection id of the client.
    if listener.algorithm != algorithm::CONNECTION_ID || !transport.is_udp() {
        return tuple::<F>(ip, transport, listener.algorithm);
    }
    let tuple = F::flow_key(ip, transport);
    let digest = connection_id(packet, tables, ip, listener.cid);
    let has_servers = listener.flags & listener_flags::SERVER_IDS != 0 && digest != 0;
    let key = ServerIdKey::new(digest, listener.pool);
    let server = if has_servers { tables.server(&key).unwrap_or(0) } else { 0 };
    let hash = hash::<F>(&tuple, digest, algorithm::CONNECTION_ID);
    Identity { tuple, digest, hash, server: u32::from(server) }
}

#[inline(always)]
fn tuple<F: Family>(
    ip: &Ip<F::Addr>,
    transport: &Transport,
    algorithm: u16,
) -> Identity<F::FlowKey> {
    let tuple = F::flow_key(ip, transport);
    Identity { tuple, digest: 0, hash: F::hash(&tuple, algorithm), server: 0 }
}

/// The digest of the connection id, as the pool's former algorithm saw it; 0: none.
#[inline(always)]
pub(super) fn formerly<P: Packet, T: Tables, A>(
    packet: &P,
    tables: &T,
    pool: &Pool,
    ip: &Ip<A>,
) -> u64 {
    if pool.former_size == 0 || pool.former_algorithm != algorithm::CONNECTION_ID {
        return 0;
    }
    connection_id(packet, tables, ip, pool.former_cid)
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

#[inline(always)]
fn connection_id<P: Packet, T: Tables, A>(
    packet: &P,
    tables: &T,
    ip: &Ip<A>,
    part: CidPart,
) -> u64 {
    const UDP: usize = size_of::<Udp>();
    tables.connection_id(packet, ip.payload + UDP, part).unwrap_or(0)
}
