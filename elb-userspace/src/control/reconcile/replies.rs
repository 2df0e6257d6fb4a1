//! What members' endpoints stand for: which virtual address their answers get, where packets are translated.

use std::collections::BTreeSet;
use std::net::IpAddr;

use elb_common::addr::{Be16, Be128, Mac};
use elb_common::backend::{mode, translation_flags};
use elb_common::reply::{Reply, reply_flags};

use super::ended::{is_of_probes, is_over};
use super::{Desired, ReconcileInput, Reconciler, protocol_number};
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::plan::ListenerKey;
use crate::model::{Forwarding, Listener, Ports, ResourceId};

impl Reconciler {
    /// Adds the endpoints of the members that a listener's packets go to at a virtual address, or went to while flows
    /// that are there go on. An endpoint that another listener has already is shared with it.
    pub(super) fn replies(
        &self,
        vip: IpAddr,
        listener: &Listener,
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) {
        let Some(assigned) = self.assignments.listeners.get(&listener.id) else { return };
        let Ports::One(port) = listener.ports() else { return };
        // Flows live in any pool that it served, by their records, however long ago it left that.
        let mut pools = assigned.served.clone();
        pools.extend(assigned.former.map(|former| former.pool));
        pools.insert(assigned.pool);
        let Desired { numbered, image, idle, answers_to_us, .. } = desired;
        for pool in pools.into_iter().filter_map(|id| self.translating(numbered.get(&id)?)) {
            let serves = |member: &&AssignedMember| serves(pool.forwarding, member.address, vip);
            for member in pool.members.iter().filter(serves) {
                let key = ListenerKey {
                    address: member.address,
                    port: if member.port == 0 { port } else { member.port },
                    protocol: protocol_number(listener.protocol),
                };
                let mut reply = reply((vip, port), assigned.id, member, key.port, seen);
                let at_most = idle.entry(key).or_default();
                *at_most = pool.idle_timeout.max(*at_most);
                let records = if pool.forwarding.needs_routes() {
                    &mut image.replies
                } else {
                    // What else it sends are no answers of ours. Whether a connection is over, the port says that a
                    // source address has for it; an address of the prefix does not.
                    reply.flags |= reply_flags::PROBES;
                    if pool.forwarding.hides_clients() {
                        reply.flags &= !reply_flags::ENDED;
                    }
                    &mut *answers_to_us
                };
                let found = records.entry(key).or_insert(reply);
                let is_same = (found.vip, found.port) == (reply.vip, reply.port);
                let shared = if is_same || is_of_probes(&reply) {
                    found.flags & reply_flags::SHARED
                } else {
                    reply_flags::SHARED
                };
                // One whose connections go on, and of these that of before, since flows that are no exceptions are its;
                // else the one with the lowest number, which is mostly the older one, whatever the order of the file.
                let before = self.ended.before(&key);
                let order = |reply: &Reply| {
                    let is_other = before != Some((reply.vip, reply.port));
                    (is_over(reply), is_other, reply.listener)
                };
                if order(&reply) < order(found) {
                    *found = reply;
                }
                found.flags |= shared;
            }
        }
    }

    /// Adds the endpoints of members that answer addresses of ours. One that a pool has, too, that clients' answers are
    /// translated of, stands for that; but not for what is over, while members answer addresses of the prefix: without a
    /// record they cannot.
    pub(super) fn merge_answers_to_us(desired: &mut Desired) {
        for (key, reply) in std::mem::take(&mut desired.answers_to_us) {
            let found = desired.image.replies.entry(key).or_insert(reply);
            if key.address.is_ipv6() && is_over(found) && !is_over(&reply) {
                *found = reply;
            }
        }
    }

    /// Which listener a packet came by is noted where several share the member's endpoint.
    pub(super) fn mark_shared(desired: &mut Desired) {
        let is_shared =
            |(_, reply): &(&ListenerKey, &Reply)| reply.flags & reply_flags::SHARED != 0;
        let shared = desired.image.replies.iter().filter(is_shared);
        let shared: BTreeSet<_> =
            shared.map(|(key, _)| (bytes_of(key.address), key.port)).collect();
        if shared.is_empty() {
            return;
        }
        for record in desired.image.backends.values_mut().filter(|one| one.mode == mode::NAT) {
            let mut translation = record.translation();
            let (address, port) = (bytemuck::cast(record.address), translation.port.get());
            let any = (address, u16::MIN)..=(address, u16::MAX);
            let is_shared = match port {
                0 => shared.range(any).next().is_some(),
                port => shared.contains(&(address, port)),
            };
            if is_shared {
                translation.flags |= translation_flags::SHARED;
                record.outer_source = translation.to_words();
            }
        }
    }

    /// The pool, if its packets are translated.
    fn translating(&self, pool: &ResourceId) -> Option<&AssignedPool> {
        self.assignments.pools.get(pool).filter(|pool| pool.forwarding.translates())
    }
}

/// What a member's endpoint stands for.
fn reply(
    (vip, port): (IpAddr, u16),
    listener: u16,
    member: &AssignedMember,
    member_port: u16,
    seen: &impl ReconcileInput,
) -> Reply {
    let hop = seen.next_hop(member.address);
    let on_link = hop.is_some_and(|hop| hop.on_link);
    let is_over = member.cut_at.is_some_and(|at| at <= seen.now());
    let mut reply = Reply {
        vip: first_bytes(vip),
        port: Be16::new(port),
        flags: if on_link { reply_flags::ON_LINK } else { 0 }
            | if is_over { reply_flags::ENDED } else { 0 },
        ifindex: hop.map_or(0, |hop| hop.ifindex),
        listener,
        backend: member.id,
        mac: hop.map_or(Mac::default(), |hop| hop.mac),
        ..Reply::default()
    };
    reply.translate_from(first_bytes(member.address), Be16::new(member_port));
    reply
}

/// The bytes of an address in a record.
fn bytes_of(address: IpAddr) -> [u8; 16] {
    bytemuck::cast(first_bytes(address))
}

/// An address in a record: IPv4 in the first bytes.
pub(super) fn first_bytes(address: IpAddr) -> Be128 {
    match address {
        IpAddr::V4(address) => {
            let first = u32::from_ne_bytes(address.octets());
            Be128::from_raw([first, 0, 0, 0])
        }
        IpAddr::V6(address) => bytemuck::cast(address.octets()),
    }
}

/// Whether a member serves a virtual address.
const fn serves(forwarding: Forwarding, member: IpAddr, vip: IpAddr) -> bool {
    let is_same_version = member.is_ipv4() == vip.is_ipv4();
    match forwarding.embeds_clients() {
        true => vip.is_ipv4() && !is_same_version,
        false => is_same_version,
    }
}
