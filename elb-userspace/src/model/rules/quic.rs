//! What QUIC connection ids need of a pool and its members.

use std::collections::HashMap;

use super::{At, Rules};
use crate::model::{LbAlgorithm, Pool, Protocol};

impl Rules<'_> {
    pub(super) fn quic(&mut self, i: usize, pool: &Pool) {
        let by_cid = pool.lb_algorithm == LbAlgorithm::QuicCid;
        if by_cid && pool.protocol != Protocol::Udp {
            let what = format!("lb_algorithm QUIC_CID is not for {}", pool.protocol);
            let fix = "use it in a UDP pool: QUIC is carried by UDP";
            self.report(At::Pool(i), "lb_algorithm", what, fix);
        }
        if by_cid != pool.quic_cid_hash_strategy.is_some() {
            let what =
                "quic_cid_hash_strategy and lb_algorithm QUIC_CID belong together".to_owned();
            self.report(At::Pool(i), "quic_cid_hash_strategy", what, "use both or none");
        }
        self.server_ids(i, pool);
    }

    fn server_ids(&mut self, i: usize, pool: &Pool) {
        let mut owners = HashMap::new();
        for (j, member) in pool.members.iter().enumerate() {
            let Some(id) = member.server_id else { continue };
            let wrong = match pool.quic_cid_hash_strategy {
                None => Some((
                    "server_id is for pools with lb_algorithm QUIC_CID".to_owned(),
                    "remove it, or set lb_algorithm = \"QUIC_CID\" in the pool",
                )),
                Some(strategy) if strategy.length() != id.length() => Some((
                    format!("server_id {id} has {} bytes, not {}", id.length(), strategy.length()),
                    "give it as many bytes as the pool's quic_cid_hash_strategy has in len",
                )),
                Some(_) => owners.insert(id, &member.name).map(|owner| {
                    let what = format!("server_id {id} is that of member \"{owner}\"");
                    (what, "give each member its own")
                }),
            };
            if let Some((what, fix)) = wrong {
                self.report(At::Member(i, j), "server_id", what, fix);
            }
        }
    }
}
