//! The thread that runs commands, a few at once.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::child::{self, Running, verdict};
use super::output::{MOST, Output};
use super::usable::DROP_IN;
use super::{Capable, Job, not_run, usable};
use crate::health::{Cause, Failure};

/// Commands that run at once.
pub(super) const AT_ONCE: usize = 32;
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Starts the thread, which lasts as long as the process: commands end with the thread that started them.
pub(super) fn start() -> io::Result<mpsc::UnboundedSender<Job>> {
    let (jobs, mut waiting) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("elb-commands".to_owned()).spawn(move || {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        runtime.block_on(async {
            while let Some(job) = waiting.recv().await {
                tokio::spawn(work(job, room.clone()));
            }
        });
    })?;
    Ok(jobs)
}

/// One that waits for others as long as it may take says nothing of its member.
async fn work(mut job: Job, room: Arc<Semaphore>) {
    let patience = Instant::now() + job.timeout;
    let permit = tokio::select! {
        permit = timeout_at(patience, room.acquire_owned()) => permit,
        () = job.answer.closed() => return,
    };
    match permit {
        Ok(Ok(permit)) => run(job, permit).await,
        Ok(Err(_)) | Err(_) => {
            let why = format!(
                "{AT_ONCE} commands run already, which is as many as may, and none of them ended in time: \
                 raise delay, or make them faster"
            );
            let _ = job.answer.send(Err(not_run(why)));
        }
    }
}

/// The permit is kept until the process is gone.
async fn run(job: Job, permit: OwnedSemaphorePermit) {
    let Job { check, environment, timeout, mut answer } = job;
    let deadline = Instant::now() + timeout;
    let started = usable(&check, Capable::own())
        .map_err(|unusable| not_run(unusable.to_string()))
        .and_then(|identity| {
            child::start(&check, &environment, identity)
                .map_err(|error| refused(&check.command[0], &error))
        });
    let (running, output) = match started {
        Ok(started) => started,
        Err(failure) => return drop(answer.send(Err(failure))),
    };
    let mut seen = Output::default();
    let cut = tokio::select! {
        cut = follow(&running, output, &mut seen, deadline) => cut,
        () = answer.closed() => Some(Cause::CommandTimeout { said: String::new() }),
    };
    if let Some(cause) = cut {
        let _ = answer.send(Err(cause.into()));
        let _ = running.end().await;
    } else {
        let said = seen.first_line();
        let result = match running.end().await {
            Ok(status) => verdict(status, said).map_err(Failure::new),
            Err(error) => Err(not_run(error.to_string())),
        };
        let _ = answer.send(result);
    }
    drop(permit);
}

/// Reads what a command prints until it ends; a cause: it must be ended for that.
async fn follow(
    running: &Running,
    mut output: tokio::net::unix::pipe::Receiver,
    seen: &mut Output,
    deadline: Instant,
) -> Option<Cause> {
    let mut piece = vec![0; PIECE];
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            () = sleep_until(deadline) => {
                return Some(Cause::CommandTimeout { said: seen.first_line() });
            }
            read = output.read(&mut piece), if is_open => {
                let bytes = read.unwrap_or_default();
                is_open = bytes > 0;
                if !seen.take(piece.get(..bytes).unwrap_or_default()) {
                    let what = format!("{} KiB of output of the command", MOST >> 10);
                    return Some(Cause::TooMuch { what });
                }
            }
            // What it printed before is in the pipe, and read first.
            () = running.ended() => return None,
        }
    }
}

/// The kernel's word, and what it means here.
fn refused(program: &str, error: &io::Error) -> Failure {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    let fix = match error.raw_os_error() {
        Some(libc::EPERM) => format!("; {DROP_IN}"),
        Some(libc::ENOENT) => "; the file or its interpreter (#!) is missing".to_owned(),
        Some(libc::EACCES) => {
            "; the user that it runs as must be able to reach and read it, on a file system without noexec"
                .to_owned()
        }
        Some(libc::ENOEXEC) => "; a script begins with #! and an interpreter".to_owned(),
        _ => String::new(),
    };
    not_run(format!("the command {program} cannot be run: {text}{fix}"))
}
