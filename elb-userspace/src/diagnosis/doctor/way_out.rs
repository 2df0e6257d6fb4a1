//! Whether members are reached by the interfaces that the agent serves.

use super::Duty;
use crate::control::network::Network;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};
use crate::diagnosis::way_out::{fix, what};

pub(super) fn way_out(duty: &Duty, network: &Network) -> Finding {
    let members = duty.members.iter().map(|(address, _)| *address);
    let is_served = |_, name: &str| duty.interfaces.iter().any(|one| one == name);
    let ways = network.unserved_ways(members, is_served);
    if ways.is_empty() {
        let what = "no member is reached by an interface that is not in [agent] interfaces";
        return Finding::seen(Check::WayOut, Outcome::Pass, what);
    }
    let lines: Vec<String> = ways.iter().map(what).collect();
    let fixes: Vec<String> = ways.iter().map(fix).collect();
    Finding::seen(Check::WayOut, Outcome::Fail, lines.join("\n")).fix(fixes.join("\n"))
}
