//! Whether what a file names can be used on this host: commands of health checks, and the files of `[metrics]`.
//! A reload with something that cannot is refused.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use procfs::process::Process;

use super::state::webhooks::secure::check_authorities;
use crate::api::exporter::check_files;
use crate::health::command::{Capable, Unusable, usable};
use crate::model::Model;
use crate::model::monitor::HealthCheck;
use crate::source::file::{Config, Errors};

/// Adds the errors of all that this process, the agent, cannot use.
pub(super) fn note_unusable(config: &Config, file: &Path, errors: &mut Errors) {
    if let Err(why) = check_files(&config.metrics) {
        const FIX: &str =
            "the agent must be able to use it; until then its metrics stay as they are";
        errors.fail(file, "[metrics]", format!("{why:#}"), FIX);
    }
    for place in config.notify.iter().filter(|place| place.url.is_https()) {
        if let Err(why) = check_authorities(place.ca_file.as_deref()) {
            const FIX: &str =
                "the agent must be able to use it; until then events go where they went";
            errors.fail(file, &format!("notify \"{}\"", place.url), format!("{why:#}"), FIX);
        }
    }
    note_unusable_commands(config, Capable::own(), file, errors);
}

/// Adds the errors of commands that an agent that may do this cannot run.
pub fn note_unusable_commands(config: &Config, agent: Capable, file: &Path, errors: &mut Errors) {
    for (pool, unusable) in unusable_commands(&config.model, agent) {
        let object = format!("pool \"{pool}\", healthmonitor");
        errors.fail(file, &object, unusable.what, &unusable.fix);
    }
}

/// Commands that an agent that may do this cannot run, each once, with the first pool that it is of.
pub fn unusable_commands(model: &Model, agent: Capable) -> Vec<(String, Unusable)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for pool in model.pools() {
        let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up);
        let Some(HealthCheck::Command(check)) = monitor.map(|monitor| &monitor.check) else {
            continue;
        };
        if seen.insert((check.program(), check.user.as_str()))
            && let Err(unusable) = usable(check, agent)
        {
            found.push((pool.name.to_string(), unusable));
        }
    }
    found
}

/// What the agent may do that would run commands: the one that answers at the socket; else this process if it
/// is root's, or root of which no more is known.
pub fn expected_agent(socket: &Path) -> Capable {
    let own = Capable::own();
    let unknown = Capable { uid: 0, capabilities: None };
    running_agent(socket).unwrap_or(if own.uid == 0 { own } else { unknown })
}

fn running_agent(socket: &Path) -> Option<Capable> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = getsockopt(&stream, PeerCredentials).ok()?;
    let status = Process::new(peer.pid()).ok()?.status().ok()?;
    Some(Capable { uid: peer.uid(), capabilities: Some(status.capeff) })
}
