//! A command as a process: without a shell, an environment of its own, descriptors of the agent and
//! privileges; in a process group, which ends as a whole.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;

use super::usable::Identity;
use crate::health::Cause;
use crate::model::command::CommandCheck;

/// How often it is looked whether a command that was killed is gone, and the least rest between two looks.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

/// A command that runs.
pub(super) struct Running {
    child: Child,
    /// Readable once it has ended.
    end: AsyncFd<OwnedFd>,
    group: Pid,
}

/// Starts a command, and what reads its output.
///
/// # Errors
/// Those of the kernel: the file or its interpreter cannot be executed, the user cannot be changed.
pub(super) fn start(
    check: &CommandCheck,
    environment: &[(&'static str, String)],
    identity: Identity,
) -> io::Result<(Running, Receiver)> {
    let (reader, writer) = io::pipe()?;
    let output = Receiver::from_owned_fd(reader.into())?;
    let mut command = Command::new(check.program());
    command.args(check.command.iter().skip(1));
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    if let Some((uid, gid)) = identity {
        // Root's other groups go, too: std empties the list for one who becomes another user.
        command.uid(uid).gid(gid);
    }
    // SAFETY: between fork and exec in a program with threads only async-signal-safe functions may be called
    // and nothing may be allocated: `confine` makes four system calls and reads errno.
    unsafe {
        command.pre_exec(confine);
    }
    let mut child = command.spawn()?;
    let watched = watch(&child);
    match watched {
        Ok((end, group)) => Ok((Running { child, end, group }, output)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn watch(child: &Child) -> io::Result<(AsyncFd<OwnedFd>, Pid)> {
    let group = Pid::from_child(child);
    let end = pidfd_open(group, PidfdFlags::empty())?;
    // SAFETY: the descriptor is open as long as the `OwnedFd`, which the `AsyncFd` owns.
    let end = unsafe { AsyncFd::register_with_interest(end, Interest::READABLE) }?;
    Ok((end, group))
}

/// What a command may do, set by itself, as its user, before it begins: it gains no privileges, ends with the
/// agent, and has none of its descriptors.
fn confine() -> io::Result<()> {
    let (on, off) = (1 as libc::c_ulong, 0 as libc::c_ulong);
    let kill = libc::SIGKILL as libc::c_ulong;
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    // SAFETY: these system calls take numbers only.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, off, off, off) == 0
            && libc::prctl(libc::PR_SET_PDEATHSIG, kill) == 0
            && libc::prctl(libc::PR_CAP_AMBIENT, clear, off, off, off) == 0
            && libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
                == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Running {
    /// Waits until it has ended by itself.
    pub(super) async fn ended(&self) {
        // An error of the descriptor is the end, too: what follows waits for the process itself.
        let _ = self.end.readable().await;
    }

    /// Ends it with all that it started and that stayed in its group; how it ended. The process is a zombie at
    /// least until then, so that its number is no other's.
    pub(super) async fn end(mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.group, Signal::KILL);
        loop {
            // It may hang in the kernel, where no signal ends it.
            let _ = tokio::time::timeout(PATIENCE, self.ended()).await;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What the end of a command says of the member, by its first line of output.
pub(super) fn verdict(status: ExitStatus, said: String) -> Result<(), Cause> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(status), _) => Err(Cause::CommandExit { status, said }),
        (None, signal) => Err(Cause::CommandSignal { signal: signal.unwrap_or_default(), said }),
    }
}
