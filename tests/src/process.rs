//! Child processes that cannot outlive the program that started them.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

const POLL: Duration = Duration::from_millis(2);

/// A running child; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`; `name` is what messages call it.
    pub fn start(name: &str, command: Command) -> Result<Self> {
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// As [`Process::start`], with the standard input and the session that `command` itself provides for.
    pub fn start_session(name: &str, mut command: Command) -> Result<Self> {
        die_with_parent(&mut command);
        let child = queue(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The reading end of its standard output, once, if the command piped it.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask whether {} runs", self.name))
    }

    /// Sends `signal` to this process alone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // An id may be given to another process once this one was waited for: ask first.
        if let Some(status) = self.ended()? {
            bail!("cannot send {signal} to {}: it has ended: {status}", self.name);
        }
        let id = i32::try_from(self.id()).context("process id out of range")?;
        kill(Pid::from_raw(id), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} (process {}) still runs after {limit:?}", self.name, self.id());
            }
            thread::sleep(POLL);
        }
    }

    /// Ends it as a crash would, without a word of warning; no error if it has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .with_context(|| format!("cannot kill {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub printed: String,
    /// What it wrote to standard error.
    pub said: String,
}

/// Runs `command` to its end, at most `limit`, and returns what it printed.
pub fn output(command: Command, limit: Duration) -> Result<String> {
    let shown = format!("{command:?}");
    let Ended { code, printed, said } = ended(command, limit)?;
    match code {
        Some(0) => Ok(printed),
        Some(code) => bail!("{shown}: exit code {code}: {}", said.trim()),
        None => bail!("{shown}: a signal ended it: {}", said.trim()),
    }
}

/// Runs `command` to its end, be it good or bad, at most `limit`.
pub fn ended(mut command: Command, limit: Duration) -> Result<Ended> {
    let shown = format!("{command:?}");
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let status = Process::start(&shown, command)?.wait(limit)?;
    let (printed, said) = (contents(&mut stdout)?, contents(&mut stderr)?);
    Ok(Ended { code: status.code(), printed, said })
}

/// All that is in `file`, from its start.
pub(crate) fn contents(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Starts `command` as a child of a thread that lives as long as this process does.
///
/// The kernel sends the parent-death signal when the parent *thread* ends; started from a test's
/// own helper thread, a child would die with that.
fn spawn(mut command: Command) -> io::Result<Child> {
    die_with_parent(&mut command);
    // Ctrl-C on a terminal is for the test program, which ends its children in order.
    command.process_group(0).stdin(Stdio::null());
    queue(command)
}

fn queue(command: Command) -> io::Result<Child> {
    type Request = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, queue) = channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                // No one waits for the answer any more: dropping the child is then right.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, answered) = sync_channel(1);
    let gone = || io::Error::other("the spawning thread is gone");
    spawner.send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn die_with_parent(command: &mut Command) {
    let ask = || set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe work is allowed; `ask` is one prctl
    // system call and touches no memory of the parent.
    unsafe { command.pre_exec(ask) };
}
