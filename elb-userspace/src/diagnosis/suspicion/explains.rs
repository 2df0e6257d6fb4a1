//! What a host can find wrong with itself explains some failures and not others: what does not explain
//! this one is a peculiarity of the host, however bad it looks.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::{Evidence, came_after_connect};
use crate::health::Cause;
use crate::model::Protocol;

/// Whether something wrong with `check`, as the member's host sees it, could be why it fails as it
/// does. While nothing fails, it could be why clients are not served.
pub fn explains(evidence: &Evidence, check: Check) -> bool {
    if evidence.vip_failure().is_some() {
        // To the member both probes are the same, but for the way of its answers.
        if evidence.wanted.pool.forwarding.translates() {
            return matches!(
                check,
                Check::ReturnPath | Check::Route | Check::Firewall | Check::Sysctls
            );
        }
        return at_virtual_address(check);
    }
    let Some(cause) = evidence.failure() else { return true };
    // What only traffic to a virtual address meets: the probe failed at the member's own.
    if matches!(check, Check::VirtualAddress | Check::Decapsulation) {
        return false;
    }
    if came_after_connect(cause) {
        return after_connect(check);
    }
    if matches!(cause, Cause::Refused { .. } | Cause::PortUnreachable { .. }) {
        return matches!(check, Check::Listening | Check::Firewall);
    }
    if matches!(cause, Cause::AdminProhibited { .. } | Cause::OtherIcmp { .. }) {
        return check == Check::Firewall;
    }
    // With these the load balancer could not send at all.
    let is_sent = !cause.is_local();
    is_sent && before_connect(evidence, check)
}

/// Of silence.
fn before_connect(evidence: &Evidence, check: Check) -> bool {
    if check == Check::Listening {
        // A port that no process has answers with a reset, unless a rule drops that.
        return evidence.wanted.pool.protocol == Protocol::Udp || !evidence.answers();
    }
    matches!(check, Check::Firewall | Check::Route | Check::Load | Check::Sysctls)
}

/// There was a connection: packets get there, and back.
const fn after_connect(check: Check) -> bool {
    matches!(check, Check::Listening | Check::Load | Check::HostsDeny)
}

/// It works at the member's own address.
const fn at_virtual_address(check: Check) -> bool {
    matches!(
        check,
        Check::VirtualAddress
            | Check::Decapsulation
            | Check::Sysctls
            | Check::Firewall
            | Check::Route
            | Check::Listening
            | Check::HostsDeny
    )
}
