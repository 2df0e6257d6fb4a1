//! Whether another process has what only one agent may use.

use super::facts::Silence;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

pub(super) fn owner(holders: &[String], silence: Option<&Silence>) -> Finding {
    if holders.is_empty() {
        let what = "no other process has the pin directory, the state directory or the socket";
        return Finding::seen(Check::Owner, Outcome::Pass, what);
    }
    let (why, fix) = silence.map_or_else(unknown, known);
    let what = format!("{}: {why}", holders.join("\n"));
    Finding::seen(Check::Owner, Outcome::Fail, what).fix(fix)
}

fn unknown() -> (String, String) {
    let why = "an agent that starts here is refused, and the one that runs does not answer";
    let fix = "stop that process, or use another [agent] pin_dir, state_dir and socket; if it is this \
               configuration's agent: systemctl restart elb";
    (why.to_owned(), fix.to_owned())
}

fn known(silence: &Silence) -> (String, String) {
    match silence {
        Silence::NoSocket(socket) => (
            format!("it cannot be asked, since the socket file {} is missing", socket.display()),
            "elb doctor    # again in a few seconds: the agent makes the file again by itself; where it \
             does not, its log says why (journalctl -u elb) and systemctl restart elb makes it"
                .to_owned(),
        ),
        Silence::Stopped(pid) => (
            "it is stopped by a signal (state T), so that it neither answers nor probes".to_owned(),
            format!("kill -CONT {pid}"),
        ),
        Silence::NoFile { pid, open, limit } => (
            format!(
                "it has {open} files open and may have {limit}, so that it takes no connections and makes \
                 no probes"
            ),
            format!(
                "prlimit --pid {pid} --nofile=65536    # for good: LimitNOFILE=65536 in the unit \
                 (systemctl edit elb)"
            ),
        ),
    }
}
