//! What a file may say, but hardly anybody wants: warnings with the reason and a way out.

use std::cell::RefCell;

use super::error::Report;
use super::file::Draft;
use super::table::Place;
use crate::model::{CidStrategy, Pool, Protocol};

/// Bytes of a server id from which on a connection id names one by chance too seldom to matter: of
/// 2^24 that clients choose, one names a certain member.
const LONG_ENOUGH: usize = 3;

impl Draft {
    pub(super) fn warn_of_the_unlikely(&self, report: &RefCell<Report>) {
        let warn = |place: &Place, key: &str, what: String, fix: &str| {
            report.borrow_mut().warning(place.of(key), &place.object, what, fix.to_owned());
        };
        for (lb, place) in self.load_balancers.iter().zip(&self.load_balancer_places) {
            for (listener, place) in lb.listeners.iter().zip(&place.listeners) {
                let most = listener.max_connection.get();
                if listener.protocol == Protocol::Udp && most > 0 {
                    let idle = listener.keepalive_timeout.get();
                    let what = format!(
                        "a UDP flow has no end: each question of a client counts as a connection \
                         until it was idle for {idle} s, so {most} questions in that time are the limit"
                    );
                    let fix = "lower keepalive_timeout (least 10), or limit new flows with cps";
                    warn(place, "max_connection", what, fix);
                }
            }
        }
        for (pool, place) in self.pools.iter().zip(&self.pool_places) {
            if let Some(strategy) = pool.quic_cid_hash_strategy {
                unnamed_members(pool).into_iter().for_each(|what| {
                    let fix = "give each member a server_id and let the servers put it into their \
                               connection ids, or use 5_TUPLE_HASH";
                    warn(&place.own, "lb_algorithm", what, fix);
                });
                named_by_chance(pool, strategy).into_iter().for_each(|what| {
                    let fix = "use a len of 3 or more, with server ids as long";
                    warn(&place.own, "quic_cid_hash_strategy", what, fix);
                });
            }
        }
    }
}

/// Connection ids that ordinary servers choose are hashed anew, to another member.
fn unnamed_members(pool: &Pool) -> Option<String> {
    let unnamed = pool.members.iter().filter(|member| member.server_id.is_none());
    let names: Vec<&str> = unnamed.map(|member| member.name.as_str()).collect();
    let (first, count) = (names.first()?, names.len());
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Some(format!(
        "member {first:?}{more} has no server_id: packets with a connection id that the server chose, \
         as almost all do, are hashed anew, and most of its connections break"
    ))
}

/// A client chooses the first connection id at random, which may name a member.
fn named_by_chance(pool: &Pool, strategy: CidStrategy) -> Option<String> {
    let len = strategy.length();
    let has_ids = pool.members.iter().any(|member| member.server_id.is_some());
    (has_ids && len < LONG_ENOUGH).then(|| {
        let of = 1_u32 << (8 * len);
        format!(
            "with len {len}, one of {of} connection ids that clients choose names a member by chance: \
             new connections go to it though it is drained or has weight 0, and draining it takes longer"
        )
    })
}
