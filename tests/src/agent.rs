//! The real agent, in the load balancer's namespace.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::IpAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    config::Config,
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    process::{Process, output},
    status,
    wait::wait_for,
};

const READY_LIMIT: Duration = Duration::from_secs(15);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// An agent; dropping it kills it and detaches what it attached.
#[derive(Debug)]
pub struct Agent {
    place: Place,
    process: Process,
}

/// Where an agent runs and which files are its own.
#[derive(Debug)]
struct Place {
    netns: NetNs,
    program: PathBuf,
    config: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    notify: PathBuf,
}

impl Agent {
    /// Starts an agent in the load balancer of `lab`; it is ready when this returns.
    pub fn start(lab: &Lab, config: &Config) -> Result<Self> {
        Self::start_with(lab, &config.text()?, &config.agent.socket)
    }

    /// Starts an agent with a configuration in words, whose control socket is `socket`.
    pub fn start_with(lab: &Lab, config: &str, socket: &Path) -> Result<Self> {
        let place = Place {
            netns: lab.lb().clone(),
            program: elb_bin()?,
            config: lab.files().join("elb.toml"),
            socket: socket.to_owned(),
            log: lab.files().join("agent.log"),
            notify: lab.files().join("notify.sock"),
        };
        fs::write(&place.config, config)?;
        let process = place.launch()?;
        Ok(Self { place, process })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to standard error, in all its lives.
    pub fn log(&self) -> String {
        self.place.log()
    }

    /// Ends it as a crash would (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Ends it in order (SIGTERM).
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(STOP_LIMIT)
    }

    /// Kills it if it runs, and starts it again; it is ready when this returns.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = self.place.launch()?;
        Ok(())
    }

    /// Gives it another configuration (SIGHUP). It is read some time after this returns.
    pub fn reload(&mut self, config: &Config) -> Result<()> {
        self.reload_with(&config.text()?)
    }

    /// Gives it another configuration in words, be it wrong.
    pub fn reload_with(&mut self, config: &str) -> Result<()> {
        fs::write(&self.place.config, config)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// What `elb status -o json` says.
    pub fn status(&self) -> Result<Value> {
        let text = self.run(&["status", "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("status is no JSON: {text}"))
    }

    /// What `elb`, with `arguments` and the control socket of this agent, prints.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.place.elb();
        command
            .args(arguments)
            .arg("--socket")
            .arg(&self.place.socket);
        output(command, COMMAND_LIMIT)
    }

    /// Waits until `wanted` holds for the status.
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let said = wait_for(what, limit, || Ok(Some(self.status()?).filter(&wanted)));
        said.with_context(|| format!("the agent's log:\n{}", self.log()))
    }

    /// Waits until the members at `addresses` are in `state` everywhere.
    pub fn wait_members(&self, addresses: &[IpAddr], state: &str, limit: Duration) -> Result<()> {
        let all = |said: &Value| {
            addresses
                .iter()
                .all(|one| status::all_are(said, *one, state))
        };
        self.wait_status(&format!("{addresses:?} {state}"), limit, all)
            .map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let killed = self.process.kill();
        let mut detach = self.place.elb();
        detach.arg("detach").arg("--config").arg(&self.place.config);
        for error in [killed, output(detach, COMMAND_LIMIT).map(drop)]
            .into_iter()
            .filter_map(Result::err)
        {
            eprintln!("{error:#}");
        }
        if thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

impl Place {
    fn elb(&self) -> Command {
        self.netns.command(&self.program)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("no log: {error}"))
    }

    /// Starts the agent and waits until it says that it is ready.
    fn launch(&self) -> Result<Process> {
        let ready = self.bind_notify()?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.elb();
        command
            .arg("agent")
            .arg("--config")
            .arg(&self.config)
            .env("NOTIFY_SOCKET", &self.notify)
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Process::start("the agent", command)?;
        wait_until_ready(&ready, &mut process)
            .with_context(|| format!("the agent's log:\n{}", self.log()))?;
        Ok(process)
    }

    fn bind_notify(&self) -> Result<UnixDatagram> {
        match fs::remove_file(&self.notify) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let socket = UnixDatagram::bind(&self.notify)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(socket)
    }
}

/// Follows sd_notify(3): datagrams of lines, of which `READY=1` is the one that counts.
fn wait_until_ready(socket: &UnixDatagram, process: &mut Process) -> Result<()> {
    let deadline = Instant::now() + READY_LIMIT;
    let mut buffer = [0; 4096];
    while Instant::now() < deadline {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                if text.lines().any(|line| line == "READY=1") {
                    return Ok(());
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("cannot hear the agent"),
        }
        if let Some(status) = process.ended()? {
            bail!("the agent ended before it was ready: {status}");
        }
    }
    bail!("the agent was not ready within {READY_LIMIT:?}")
}
