//! The API next to the agent: what it serves is taken over as a file is, and it shows how far that is.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::containment::{self, End, Lasting};
use super::core::Core;
use super::sleep_until;
use crate::api::Query;
use crate::api::v3::local::LocalApi;
use crate::api::v3::{ApiFiles, ApiHost, ApiLimits, ApiServer};
use crate::source::api::ApiSettings;
use crate::source::store::{Reached, Store};

/// How long after what the store holds could not be taken over it is tried again.
const AGAIN: Duration = Duration::from_secs(30);
/// How long the API may take to answer what is under way when the agent ends.
const LAST: Duration = Duration::from_secs(3);

impl Core {
    /// The maps were written, or could not be: the API shows how far they are.
    pub(super) fn note_reached(&self) {
        let Some(stored) = &self.file.stored else { return };
        let Ok(store) = &stored.store else { return };
        let left_out = (!self.serving.left_out.is_empty())
            .then(|| (stored.taken, self.serving.left_out.join("; ")));
        let before = store.reached();
        let is_written = !self.is_unwritten() && left_out.is_none();
        let applied = if is_written { stored.taken } else { before.applied };
        let reached = Reached { applied, refused: stored.refused.clone().or(left_out) };
        if reached != before {
            store.reach(reached);
        }
    }
}

/// The API, if there is one, and what else of the store the agent's loop waits for.
pub(super) struct ServedApi {
    task: Option<Lasting>,
    local: LocalApi,
    end: watch::Sender<bool>,
    store: Option<Store>,
    commits: Option<watch::Receiver<u64>>,
    /// When to try again what could not be taken over.
    retry: Option<Instant>,
}

impl ServedApi {
    pub(super) fn start(core: &mut Core, queries: &mpsc::Sender<Query>) -> Result<Self> {
        let (end, ending) = watch::channel(false);
        let Some(stored) = &mut core.file.stored else {
            let local = LocalApi(None);
            return Ok(Self { task: None, local, end, store: None, commits: None, retry: None });
        };
        let state_dir = &core.config.agent.state_dir;
        let files = ApiFiles {
            keys: stored.settings.keys_file(state_dir),
            signed: ApiSettings::signed_file(state_dir),
        };
        let store = stored.store.clone();
        let commits = store.as_ref().ok().map(Store::commits);
        let agent = &core.config.agent;
        let limits = ApiLimits {
            listeners: agent.max_listeners.get(),
            // One record is not used.
            members: agent.max_backends.get().saturating_sub(1),
            connections: agent.max_flows.get(),
            hides_clients: stored.settings.forwarding.hides_clients(),
        };
        let health = core.probes.members.known.clone();
        let (settings, queries) = (stored.settings.clone(), queries.clone());
        let host = ApiHost { limits, subnets: stored.subnets.clone(), health };
        let server = ApiServer::new(settings, host, files, store, queries);
        stored.gap = server.signed_gap();
        let local = LocalApi(Some(server.clone()));
        let task = Some(containment::serving_api(server, ending)?);
        Ok(Self { task, local, end, store: stored.store.clone().ok(), commits, retry: None })
    }

    /// The same API for the agent's own socket.
    pub(super) fn local(&self) -> LocalApi {
        self.local.clone()
    }

    /// Waits until something else was committed or is to be tried again, or until the task of the API ended: how.
    pub(super) async fn changed(&mut self) -> Option<End> {
        let is_refused = self.store.as_ref().is_some_and(|store| store.reached().refused.is_some());
        self.retry = self.retry.or_else(|| Some(Instant::now() + AGAIN)).filter(|_| is_refused);
        let Self { task, commits, retry, .. } = self;
        let at = *retry;
        let committed = async {
            let is_news = match commits {
                Some(commits) => commits.changed().await.is_ok(),
                None => false,
            };
            if !is_news {
                std::future::pending::<()>().await;
            }
        };
        let ended = async {
            match task {
                Some(task) => task.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = committed => None,
            () = sleep_until(at) => {
                *retry = None;
                None
            }
            end = ended => Some(end),
        }
    }

    /// Takes no more requests, and answers those under way.
    pub(super) async fn stop(&mut self) {
        self.end.send_replace(true);
        if let Some(task) = self.task.as_mut().filter(|task| task.is_alive()) {
            let _ = timeout(LAST, task.ended()).await;
        }
    }
}
