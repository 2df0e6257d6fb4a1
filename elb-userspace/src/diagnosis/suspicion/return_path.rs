//! With `nat`, `fullnat` and `nat46`: packets get to the member, and its answers do not come back through this load balancer.

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::Evidence;
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::Cause;

/// Probes of the member's own address are answered, those of the virtual address are not: to the member both
/// are the same, so that its answers come, and are not translated.
pub(super) fn untranslated(evidence: &Evidence, cause: &Cause) -> Finding {
    let vips: Vec<String> = evidence.failing_vips().iter().map(ToString::to_string).collect();
    let (vips, address) = (vips.join(" and "), evidence.address());
    if evidence.wanted.pool.forwarding.embeds_clients() {
        return no_prefix_route(evidence, &format!("but not through {vips} ({cause})"));
    }
    let interface = match evidence.way.interface.as_str() {
        "" => "INTERFACE",
        name => name,
    };
    let what = format!(
        "{address} answers at its own address, but not through {vips} ({cause}), which translates to the same \
         address and port: its answers do not come back by {interface}, where this load balancer translates \
         them"
    );
    let or_else = match evidence.wanted.pool.forwarding.hides_clients() {
        true => String::new(),
        false => {
            format!("; if they do not come, on the backend server: {}", fix::backend_up(evidence))
        }
    };
    Finding::inferred(Check::ReturnPath, Outcome::Fail, what).fix(format!(
        "tcpdump -ni any host {address}    # answers must come in by {interface}: if they come in by another \
         interface, add it to interfaces in [agent]{or_else}"
    ))
}

/// Probes are answered, since the load balancer is the one that asks; connections of clients hang.
pub(super) fn elsewhere(evidence: &Evidence, openings: u64) -> Finding {
    let address = evidence.address();
    let forwarding = evidence.wanted.pool.forwarding;
    if forwarding.hides_clients() {
        return not_let_in(evidence, openings);
    }
    if forwarding.embeds_clients() {
        let what = format!(
            "but of {openings} openings of connections by clients in the last minute, none by a SYN-ACK or a reset that \
             came back here"
        );
        return no_prefix_route(evidence, &what);
    }
    let what = format!(
        "probes of {address} are answered, but of {openings} openings of connections by clients in the last minute, \
         which were sent on to it, none was answered by a SYN-ACK or a reset that came back here: its answers to \
         clients go out by another route, past this load balancer, and clients drop what does not come from the \
         virtual address"
    );
    Finding::inferred(Check::ReturnPath, Outcome::Fail, what).fix(format!(
        "on the backend server, make the load balancer its default route, or: {}",
        fix::backend_up(evidence)
    ))
}

/// With `fullnat`, probes come from this host's own address, and clients' packets from others.
fn not_let_in(evidence: &Evidence, openings: u64) -> Finding {
    let (address, sources) = (evidence.address(), fix::source_addresses(evidence));
    let what = format!(
        "probes of {address} are answered, but of {openings} openings of connections by clients in the last minute, \
         which were sent on to it from the source addresses {sources}, none was answered by a SYN-ACK or a reset that \
         came back here: it does not let these addresses in, or its answers to them go elsewhere"
    );
    Finding::inferred(Check::ReturnPath, Outcome::Fail, what).fix(format!(
        "on the backend server: {}; it needs a way to {sources} that leads to the load balancer",
        fix::backend_up(evidence)
    ))
}

/// With `nat46`, clients' packets, and probes of the virtual address, come from addresses in the prefix.
fn no_prefix_route(evidence: &Evidence, what: &str) -> Finding {
    let (address, prefix) = (evidence.address(), fix::source_addresses(evidence));
    let what = format!(
        "{address} answers at its own address, {what}: packets of clients come to it from {prefix}, and it has no route \
         to that which leads to the load balancer, or does not let that in"
    );
    Finding::inferred(Check::ReturnPath, Outcome::Fail, what).fix(format!(
        "on the backend server: {}; then: {}",
        fix::backend_up(evidence),
        fix::inspect_clients(evidence)
    ))
}
