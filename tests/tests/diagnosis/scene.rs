//! Members that serve, an agent that watches them, and what is asked when one goes OFFLINE.

use std::{
    fs::{self, Permissions},
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, Pool, Protocol},
    diagnosis::Diagnosis,
    environment::elb_bin,
    lab::{Builder, Lab},
    process::output,
    server::Server,
    wire::HTTP_PORT,
};

/// How long anything may take that is not measured: machines that run tests are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The pool that everything is about.
pub(crate) const WEB: &str = "web";

const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Backends that serve, and an agent that watches all of them.
pub(crate) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Two IPv4 backends, in a TCP pool by IPIP that is watched like this; all are ONLINE.
    pub(crate) fn start(monitor: HealthMonitor) -> Result<Self> {
        Self::start_in(Lab::builder(), |lab| Ok(config(lab, Forwarding::Ipip, monitor)))
    }

    /// A lab of `shape`, and an agent with what `make` makes of it; all members are ONLINE.
    pub(crate) fn start_in(
        shape: Builder,
        make: impl FnOnce(&Lab) -> Result<Config>,
    ) -> Result<Self> {
        let scene = Self::begin(shape, make)?;
        let all: Vec<IpAddr> =
            (0..scene.lab.backends().len()).map(|index| scene.address(index)).collect();
        scene.agent.wait_members(&all, "ONLINE", LIMIT)?;
        Ok(scene)
    }

    /// As [`Scene::start_in`], whatever becomes of the members.
    pub(crate) fn begin(shape: Builder, make: impl FnOnce(&Lab) -> Result<Config>) -> Result<Self> {
        let lab = shape.start()?;
        let servers = lab.serve()?;
        let config = make(&lab)?;
        let mode = config.pools.first().map_or(Forwarding::Ipip, |pool| pool.forwarding);
        lab.backends_up(mode)?;
        let agent = Agent::start(&lab, &config)?;
        Ok(Self { agent, servers, config, lab })
    }

    /// The address of a member.
    pub(crate) fn address(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, Family::V4)
    }

    /// What a member is called.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{WEB}/{}", self.address(index))
    }

    /// Waits until a member is OFFLINE, and asks why: `cause` must be named first.
    pub(crate) fn names(&self, index: usize, cause: &str) -> Result<Diagnosis> {
        self.wait_for(index, "OFFLINE")?;
        let told = self.diagnose(index)?;
        assert_eq!(told.cause(), Some(cause), "{:#}", told.said);
        assert_eq!(told.code, 1, "{:#}", told.said);
        assert!(!told.fix().is_empty() && !told.evidence().is_empty(), "{:#}", told.said);
        Ok(told)
    }

    /// What is said of a member.
    pub(crate) fn diagnose(&self, index: usize) -> Result<Diagnosis> {
        self.agent.diagnose(&[&self.name(index)])
    }

    /// What is said of a member whose host is asked as well: over a stand-in for ssh that enters its
    /// namespace.
    pub(crate) fn diagnose_with_host(&self, index: usize) -> Result<Diagnosis> {
        let script = self.lab.files().join(format!("ssh-{index}"));
        // The host and the word `elb` come first.
        let lines = format!("#!/bin/sh\nshift 2\nexec {} \"$@\"\n", self.elb_on_host(index)?);
        fs::write(&script, lines)?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        let arguments = [self.name(index).as_str(), "--ssh", "backend"].map(str::to_owned);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.agent.diagnose_with(&arguments, &[("ELB_SSH", &script)])
    }

    /// The command that is `elb` on the host of a member.
    fn elb_on_host(&self, index: usize) -> Result<String> {
        let netns = self.lab.backend(index).how_to_enter();
        Ok(format!("{netns} {}", elb_bin()?.display()))
    }

    /// What `elb backend inspect` says on the host of a member, in a file.
    pub(crate) fn inspection(&self, index: usize, port: u16) -> Result<PathBuf> {
        let file = self.lab.files().join(format!("inspection-{index}-{port}.json"));
        let (elb, to) = (self.elb_on_host(index)?, self.address(index));
        // Its exit code tells what it found.
        let line = format!(
            "{elb} backend inspect --port {port} --from 10.0.0.2 --to {to} -o json > {} || true",
            file.display()
        );
        self.run(index, &line)?;
        Ok(file)
    }

    /// Waits until a member that was mended is ONLINE; then nothing is named any more.
    pub(crate) fn mended(&self, index: usize) -> Result<()> {
        self.wait_for(index, "ONLINE")?;
        let told = self.diagnose(index)?;
        assert_eq!((told.code, told.cause()), (0, None), "{:#}", told.said);
        Ok(())
    }

    /// Waits until a member is in a state.
    pub(crate) fn wait_for(&self, index: usize, state: &str) -> Result<()> {
        self.agent.wait_members(&[self.address(index)], state, LIMIT)
    }

    /// Gives the agent another configuration.
    pub(crate) fn reload(&mut self, change: impl FnOnce(&mut Config)) -> Result<()> {
        change(&mut self.config);
        self.agent.reload(&self.config)
    }

    /// Runs a command, in the words of a shell, on the host of a member.
    pub(crate) fn run(&self, index: usize, line: &str) -> Result<String> {
        let mut command: Command = self.lab.backend(index).command("sh");
        command.args(["-c", line]);
        output(command, COMMAND_LIMIT).with_context(|| format!("{line:?} on a backend"))
    }

    /// Gives the host of a member a packet filter with one rule for what comes in.
    pub(crate) fn filter(&self, index: usize, rule: &str) -> Result<()> {
        let lines = format!(
            "add table inet lab; add chain inet lab in {{ type filter hook input priority 0; }}; \
             add rule inet lab in {rule}"
        );
        self.run(index, &format!("nft '{lines}'")).map(drop)
    }

    /// Takes the packet filter away again.
    pub(crate) fn unfilter(&self, index: usize) -> Result<()> {
        self.run(index, "nft delete table inet lab").map(drop)
    }
}

/// HTTP over all backends of an IPv4 lab.
pub(crate) fn config(lab: &Lab, mode: Forwarding, monitor: HealthMonitor) -> Config {
    let pool = Pool::of(lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
    let pool = pool.forwarding(mode).watched(monitor);
    Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool)
}
