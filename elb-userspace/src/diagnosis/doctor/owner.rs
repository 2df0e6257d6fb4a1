//! Whether another process has what only one agent may use.

use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

pub(super) fn owner(holders: &[String]) -> Finding {
    if holders.is_empty() {
        let what = "no other process has the pin directory, the state directory or the socket";
        return Finding::seen(Check::Owner, Outcome::Pass, what);
    }
    let what = format!(
        "{}: an agent that starts here is refused, and the one that runs does not answer",
        holders.join("\n")
    );
    Finding::seen(Check::Owner, Outcome::Fail, what).fix(
        "stop that process, or use another [agent] pin_dir, state_dir and socket; if it is this \
         configuration's agent: systemctl restart elb",
    )
}
