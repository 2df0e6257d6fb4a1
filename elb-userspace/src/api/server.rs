//! The agent's end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::Query;
use crate::status::Status;

/// A bound socket.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    queries: mpsc::Sender<Query>,
}

impl Server {
    /// Binds the socket; one that a dead agent left is replaced (the agent holds a lock).
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn bind(path: &Path, queries: mpsc::Sender<Query>) -> anyhow::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(path, Permissions::from_mode(0o660))
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        Ok(Self { listener, queries })
    }

    /// Answers until the task is dropped.
    pub async fn run(self) -> io::Result<()> {
        let router = Router::new().route("/status", get(status)).with_state(self.queries);
        axum::serve(self.listener, router).await
    }
}

async fn status(State(queries): State<mpsc::Sender<Query>>) -> Result<Json<Status>, StatusCode> {
    let (answer, answered) = oneshot::channel();
    let gone = StatusCode::SERVICE_UNAVAILABLE;
    queries.send(Query::Status(answer)).await.map_err(|_| gone)?;
    answered.await.map(Json).map_err(|_| gone)
}
