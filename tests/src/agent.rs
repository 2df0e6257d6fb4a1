//! The real agent, in the load balancer's namespace.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    config::Config,
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    notify::Notices,
    printed,
    process::{Ended, Process, contents, ended, output},
    running::Running,
    status,
    terminal::Terminal,
    wait::{STUCK, wait_for},
};

/// An agent; dropping it kills it and detaches what it attached.
#[derive(Debug)]
pub struct Agent {
    place: Place,
    process: Process,
    notices: Notices,
}

/// How an agent ended that could not start.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub said: String,
}

/// Where an agent runs and which files are its own.
#[derive(Debug)]
struct Place {
    netns: NetNs,
    program: PathBuf,
    wrapper: Vec<String>,
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
        Self::start_under(lab, config, socket, &[])
    }

    /// As [`Agent::start_with`]; `wrapper` is a command that ends as the agent, given to it as the
    /// last arguments: the words of a shell, `env`, or `setpriv`.
    pub fn start_under(lab: &Lab, config: &str, socket: &Path, wrapper: &[String]) -> Result<Self> {
        let place = Place::new(lab, "elb.toml", config, socket, wrapper)?;
        let (process, notices) = place.launch()?;
        Ok(Self { place, process, notices })
    }

    /// Starts an agent in the second load balancer of `lab`, with pins and a socket of its own.
    pub fn start_standby(lab: &Lab, config: &Config) -> Result<Self> {
        let mut config = config.clone();
        config.agent.socket = lab.files().join("standby.sock");
        config.agent.pin_dir = lab.pins().join("standby");
        let place = Place::new(lab, "standby.toml", &config.text()?, &config.agent.socket, &[])?;
        let place = Place {
            netns: lab.standby().clone(),
            log: lab.files().join("standby.log"),
            notify: lab.files().join("standby-notify.sock"),
            ..place
        };
        let (process, notices) = place.launch()?;
        Ok(Self { place, process, notices })
    }

    /// Runs an agent that cannot start, to its end. An agent that runs next to it keeps its files.
    pub fn refusal(lab: &Lab, config: &str) -> Result<Refusal> {
        Self::refusal_under(lab, config, &[])
    }

    /// As [`Agent::refusal`], with the wrapper of [`Agent::start_under`].
    pub fn refusal_under(lab: &Lab, config: &str, wrapper: &[String]) -> Result<Refusal> {
        Place::new(lab, "refused.toml", config, Path::new(""), wrapper)?.refusal()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it sent to the service manager in this life: sd_notify(3) messages as lists of lines.
    pub fn notices(&self) -> Vec<Vec<String>> {
        self.notices.so_far()
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
        self.process.wait(STUCK)
    }

    /// How it ends by itself.
    pub fn end_by_itself(&mut self) -> Result<ExitStatus> {
        self.process.wait(STUCK)
    }

    /// Kills it if it runs, and starts it again; it is ready when this returns.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        (self.process, self.notices) = self.place.launch()?;
        Ok(())
    }

    /// As [`Agent::upgrade`], with the wrapper of [`Agent::start_under`].
    pub fn upgrade_under(&mut self, program: &Path, wrapper: &[String]) -> Result<()> {
        wrapper.clone_into(&mut self.place.wrapper);
        self.upgrade(program)
    }

    /// As [`Agent::restart`], with another program from now on.
    pub fn upgrade(&mut self, program: &Path) -> Result<()> {
        self.place.program = program.to_owned();
        self.restart()
    }

    /// As [`Agent::restart`], with another configuration.
    pub fn restart_with(&mut self, config: &Config) -> Result<()> {
        self.process.kill()?;
        fs::write(&self.place.config, config.text()?)?;
        (self.process, self.notices) = self.place.launch()?;
        Ok(())
    }

    /// Starts it with a program, and kills it after `time`, wherever it has got to; it must not run.
    pub fn start_in_vain(&mut self, program: &Path, time: Duration) -> Result<()> {
        self.process.kill()?;
        self.place.program = program.to_owned();
        let log = File::options().create(true).append(true).open(&self.place.log)?;
        let mut command = self.place.agent();
        command.stdout(log.try_clone()?).stderr(log);
        let mut process = Process::start("an agent that is killed", command)?;
        thread::sleep(time);
        process.kill()
    }

    /// Gives it another configuration (SIGHUP). It is read some time after this returns.
    pub fn reload(&mut self, config: &Config) -> Result<()> {
        self.reload_with(&config.text()?)
    }

    /// Gives it another configuration in words, be it wrong.
    pub fn reload_with(&mut self, config: &str) -> Result<()> {
        // At once, as an editor does it: the agent may just be reading for an earlier signal.
        let written = self.place.config.with_extension("new");
        fs::write(&written, config)?;
        fs::rename(&written, &self.place.config)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// Writes another configuration into its file, be it wrong, and leaves it to the test to have it read.
    pub fn write(&self, config: &str) -> Result<()> {
        let written = self.place.config.with_extension("new");
        fs::write(&written, config)?;
        Ok(fs::rename(&written, &self.place.config)?)
    }

    /// Its configuration file.
    pub fn file(&self) -> &Path {
        &self.place.config
    }

    /// What `elb status -o json` says.
    pub fn status(&self) -> Result<Value> {
        self.ask(&["status"])
    }

    /// What `elb`, with `arguments` and the control socket of this agent, prints.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.place.elb();
        command.args(arguments).arg("--socket").arg(&self.place.socket);
        output(command, STUCK)
    }

    /// How `elb`, with `arguments` and the control socket of this agent, ends within `limit`.
    pub fn end(&self, arguments: &[&str], limit: Duration) -> Result<Ended> {
        self.end_with(arguments, &[], limit)
    }

    /// As [`Agent::end`], with more in its environment.
    pub fn end_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        limit: Duration,
    ) -> Result<Ended> {
        let mut command = self.place.elb();
        command.args(arguments).arg("--socket").arg(&self.place.socket);
        command.envs(environment.iter().copied());
        ended(command, limit)
    }

    /// Starts `elb` with `arguments` and the control socket of this agent, and lets it go on.
    pub fn start_command(&self, arguments: &[&str]) -> Result<Running> {
        let mut command = self.place.elb();
        command.args(arguments).arg("--socket").arg(&self.place.socket);
        Running::start(&format!("elb {}", arguments.join(" ")), command)
    }

    /// Starts `elb` with `arguments` and the control socket of this agent in a terminal of so many columns
    /// and rows.
    pub fn start_in_terminal(&self, arguments: &[&str], size: (u16, u16)) -> Result<Terminal> {
        let mut command = self.place.elb();
        command.args(arguments).arg("--socket").arg(&self.place.socket);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        Terminal::start(&format!("elb {}", arguments.join(" ")), command, size)
    }

    /// What `elb`, with `arguments` and the control socket of this agent, prints as JSON.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        printed::value(arguments, &text)
    }

    /// What `elb detach`, with the configuration file of this agent, prints.
    pub fn detach(&self) -> Result<String> {
        output(self.place.detach(), STUCK)
    }

    /// As [`Agent::detach`], by another program.
    pub fn detach_by(&mut self, program: &Path) -> Result<String> {
        self.place.program = program.to_owned();
        self.detach()
    }

    /// Waits until `wanted` holds for the status.
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let said = wait_for(what, limit, || {
            match self.status() {
                Ok(said) => last = said,
                // It is busy: what it does may take longer than a command waits.
                Err(error) if format!("{error:#}").contains("\"timed_out\"") => return Ok(None),
                Err(error) => return Err(error),
            }
            Ok(wanted(&last).then(|| last.clone()))
        });
        said.with_context(|| format!("the last status: {last}\nthe agent's log:\n{}", self.log()))
    }

    /// Waits until the members at `addresses` are in `state` everywhere.
    pub fn wait_members(&self, addresses: &[IpAddr], state: &str, limit: Duration) -> Result<()> {
        let all = |said: &Value| addresses.iter().all(|one| status::all_are(said, *one, state));
        self.wait_status(&format!("{addresses:?} {state}"), limit, all).map(drop)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let killed = self.process.kill();
        for error in [killed, self.detach().map(drop)].into_iter().filter_map(Result::err) {
            eprintln!("{error:#}");
        }
        if thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

impl Place {
    fn new(lab: &Lab, file: &str, config: &str, socket: &Path, wrapper: &[String]) -> Result<Self> {
        let place = Self {
            netns: lab.lb().clone(),
            program: elb_bin()?,
            wrapper: wrapper.to_owned(),
            config: lab.files().join(file),
            socket: socket.to_owned(),
            log: lab.files().join("agent.log"),
            notify: lab.files().join("notify.sock"),
        };
        fs::write(&place.config, config)?;
        Ok(place)
    }

    fn elb(&self) -> Command {
        self.netns.command(&self.program)
    }

    fn agent(&self) -> Command {
        let mut command = match self.wrapper.as_slice() {
            [] => self.elb(),
            [program, arguments @ ..] => {
                let mut command = self.netns.command(program);
                command.args(arguments).arg(&self.program);
                command
            }
        };
        command.arg("agent").arg("--config").arg(&self.config);
        command
    }

    fn detach(&self) -> Command {
        let mut command = self.elb();
        command.arg("detach").arg("--config").arg(&self.config);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("no log: {error}"))
    }

    /// Starts the agent and waits until it says that it is ready.
    fn launch(&self) -> Result<(Process, Notices)> {
        let notices = Notices::listen(&self.notify)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.agent();
        command.env("NOTIFY_SOCKET", &self.notify).stdout(log.try_clone()?).stderr(log);
        let mut process = Process::start("the agent", command)?;
        let ready = wait_for("the agent to be ready", STUCK, || {
            if let Some(status) = process.ended()? {
                bail!("it ended before: {status}");
            }
            let received = notices.so_far();
            Ok(received.iter().flatten().any(|line| line == "READY=1").then_some(()))
        });
        ready.with_context(|| format!("the agent's log:\n{}", self.log()))?;
        Ok((process, notices))
    }

    fn refusal(&self) -> Result<Refusal> {
        let mut said = tempfile::tempfile()?;
        let mut command = self.agent();
        command.stdout(said.try_clone()?).stderr(said.try_clone()?);
        let ended = Process::start("an agent that cannot start", command)?.wait(STUCK);
        let said = contents(&mut said)?;
        let status = ended.with_context(|| format!("its log:\n{said}"))?;
        Ok(Refusal { code: status.code(), said })
    }
}
