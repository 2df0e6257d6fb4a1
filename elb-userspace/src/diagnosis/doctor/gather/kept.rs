//! What an agent left or keeps here: its answer, its pins, the path of health probes.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::Duty;
use crate::agent::lock_path;
use crate::api::client;
use crate::diagnosis::doctor::facts::Kept;
use crate::kernel;
use crate::owner::{Holder, holder_of};
use crate::status::{Request, Status};
use crate::steering::Steering;

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn kept(duty: &Duty) -> Kept {
    let agent = match &duty.socket {
        Some(socket) => ask(socket).await,
        None => None,
    };
    let pins = !kernel::directories(&duty.pin_dir).is_empty();
    let Some(status) = agent else { return Kept { agent: false, pins, ..Kept::default() } };
    let missing = status.agent.kept.into_iter().filter(|one| !one.in_place);
    let missing = missing.map(|one| (one.object, one.reason.unwrap_or_default())).collect();
    let probe_path = match status.agent.no_vip_probes {
        // It does without, and says why.
        Some(_) => None,
        None => Steering::of(&duty.pin_dir, duty.probe_mark)
            .missing(&duty.vips)
            .await
            .unwrap_or_default(),
    };
    Kept { agent: true, pins, missing, probe_path }
}

/// What only one agent may use, and the process that has it.
pub(super) fn holders(duty: &Duty) -> Vec<String> {
    // Without a configuration it is not known which agent would answer.
    let Some(socket) = &duty.socket else { return Vec::new() };
    let lock = lock_path(socket);
    let all = [
        ("pin_dir", Some(&duty.pin_dir)),
        ("state_dir", duty.state_dir.as_ref()),
        ("socket", Some(&lock)),
    ];
    let held = all.into_iter().filter_map(|(key, path)| {
        let Holder { pid, command } = holder_of(path?)?;
        Some(format!("{key} {} is in use by process {pid} ({command})", path?.display()))
    });
    held.collect()
}

async fn ask(socket: &Path) -> Option<Status> {
    timeout(PATIENCE, client::status(socket, &Request::default())).await.ok()?.ok()
}
