//! What an agent left or keeps here: its answer, its pins, the path of health probes.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::Duty;
use crate::api::client;
use crate::diagnosis::doctor::facts::Kept;
use crate::kernel;
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

async fn ask(socket: &Path) -> Option<Status> {
    timeout(PATIENCE, client::status(socket, &Request::default())).await.ok()?.ok()
}
