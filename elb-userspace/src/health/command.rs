//! Checks by a command of this host: its exit status is the verdict, its first line of output the reason.
//!
//! Commands run as children of one thread, so many at once (32), each in a process group of its
//! own that is killed when the timeout is over. What cannot be run is this host's fault, no verdict.

mod child;
mod output;
mod run;
mod usable;

use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use self::usable::{Capable, Unusable, usable};
use super::spec::ProbeSpec;
use super::{Cause, Failure};
use crate::model::command::CommandCheck;

/// A command to be run, and who waits for what comes of it.
struct Job {
    check: CommandCheck,
    environment: Vec<(&'static str, String)>,
    timeout: Duration,
    answer: oneshot::Sender<Result<(), Failure>>,
}

/// The thread of commands; an error: it cannot be started.
static THREAD: LazyLock<Result<mpsc::UnboundedSender<Job>, String>> =
    LazyLock::new(|| run::start().map_err(|error| error.to_string()));

/// Runs the command of a probe. It may wait for others as long as it may take itself. Dropping the future ends
/// the command.
pub(super) async fn check(probe: &ProbeSpec, check: &CommandCheck) -> Result<(), Failure> {
    let (answer, result) = oneshot::channel();
    let job = Job {
        check: check.clone(),
        environment: environment(probe),
        timeout: probe.timeout,
        answer,
    };
    let sent = THREAD.as_ref().map_err(String::clone);
    let sent = sent.and_then(|jobs| jobs.send(job).map_err(|_| "its thread is gone".to_owned()));
    match sent {
        Ok(()) => result.await.unwrap_or_else(|_| Err(not_run("its thread gave up"))),
        Err(why) => Err(not_run(why)),
    }
}

/// The whole environment of a command.
fn environment(probe: &ProbeSpec) -> Vec<(&'static str, String)> {
    let names = probe.names.clone().unwrap_or_default();
    vec![
        ("ELB_MEMBER_ADDRESS", probe.target.ip().to_string()),
        ("ELB_MEMBER_PORT", probe.target.port().to_string()),
        ("ELB_MEMBER_NAME", names.member),
        ("ELB_POOL", names.pool),
        ("ELB_TIMEOUT", probe.timeout.as_secs_f64().to_string()),
    ]
}

fn not_run(error: impl Into<String>) -> Failure {
    Cause::NoCommand { error: error.into() }.into()
}
