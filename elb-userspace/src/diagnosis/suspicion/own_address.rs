//! The virtual address is one of the load balancer's own: members take its packets for their own.

use crate::control::network::Unreachable;
use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::{Cause, Stage};

/// Why no member answers, where a virtual address of the pool is this host's own.
pub(super) fn taken(evidence: &Evidence) -> Option<Finding> {
    let is_silence = matches!(
        evidence.failure(),
        Some(
            Cause::NoNeighbor
                | Cause::NoEchoReply
                | Cause::HostUnreachable { .. }
                | Cause::Timeout { stage: Stage::Connect }
        )
    );
    let is_unknown = matches!(evidence.way.next_hop, Err(Unreachable::NoNeighbor { .. }));
    let own = evidence.wanted.pool.own.first().filter(|_| is_silence || is_unknown)?;
    let what = format!(
        "{own} is a virtual address of this pool, and an address of this load balancer: a member that \
         has it on its lo takes packets from it for its own and answers none, and listeners take \
         answers that are for this host"
    );
    let fix = format!(
        "on this load balancer, remove {own} from its interfaces (ip addr), or use another virtual \
         address"
    );
    Some(Finding::seen(Check::AddressBound, Outcome::Fail, what).fix(fix))
}
