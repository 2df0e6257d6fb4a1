//! Direct server return: what the member's host needs next to a service that answers.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::model::Forwarding;

/// Whether the virtual addresses are on `lo`.
pub(super) fn virtual_address(evidence: &Evidence) -> Finding {
    if evidence.wanted.pool.forwarding.translates() {
        let what = "packets come translated, to the member's own address";
        return Finding::seen(Check::VirtualAddress, Outcome::NotApplicable, what);
    }
    through(evidence, Check::VirtualAddress)
}

/// Whether outer headers are taken off.
pub(super) fn decapsulation(evidence: &Evidence) -> Finding {
    match evidence.wanted.pool.forwarding {
        forwarding @ (Forwarding::L2
        | Forwarding::Nat
        | Forwarding::FullNat
        | Forwarding::Nat46) => {
            let what = format!("packets have no outer header with {forwarding}");
            Finding::seen(Check::Decapsulation, Outcome::NotApplicable, what)
        }
        Forwarding::Ipip | Forwarding::Gue => through(evidence, Check::Decapsulation),
    }
}

/// Whether the kernel's settings let it work.
pub(super) fn sysctls(evidence: &Evidence) -> Finding {
    through(evidence, Check::Sysctls)
}

fn through(evidence: &Evidence, check: Check) -> Finding {
    if evidence.works_at_vip() {
        let what = "probes of the virtual address, which go as traffic goes, are answered";
        return Finding::inferred(check, Outcome::Pass, what);
    }
    let ask = fix::ON_HOST;
    let what = match &evidence.way.vip {
        Err(why) if evidence.wanted.probe.is_some() => {
            format!("the virtual address is not probed: {why}; {ask}")
        }
        Ok(_) | Err(_) => ask.to_owned(),
    };
    Finding::inferred(check, Outcome::Unknown, what)
}
