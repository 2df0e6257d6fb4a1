//! Servers in backends, each a process of its own that can be killed like a real one.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    path::PathBuf,
    process::Stdio,
    sync::mpsc::channel,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::Signal;

use crate::{
    netns::NetNs,
    process::{self, Process},
    wait::STUCK,
    wire::{ECHO_PORT, HTTP_PORT, READY, Service},
};

const BINARY: &str = "lab-server";

/// Where a server listens, on every address of its host.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// HTTP.
    pub http: u16,
    /// Echo over TCP and UDP.
    pub echo: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: HTTP_PORT, echo: ECHO_PORT }
    }
}

/// A server, of HTTP and echo or of what it is asked to offer. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    netns: NetNs,
    name: String,
    arguments: Vec<String>,
    process: Process,
}

impl Server {
    /// Starts a server on the usual ports in `netns`; it listens when this returns.
    pub fn start(netns: &NetNs, name: &str) -> Result<Self> {
        Self::start_on(netns, name, Ports::default())
    }

    /// Starts a server on `ports` in `netns`; it listens when this returns.
    pub fn start_on(netns: &NetNs, name: &str, ports: Ports) -> Result<Self> {
        let offers = [(Service::Http, ports.http), (Service::Echo, ports.echo)];
        Self::start_with(netns, name, &offers, None)
    }

    /// Starts a server that offers each service on its port, on one address of `netns` or on every;
    /// it listens when this returns.
    pub fn start_with(
        netns: &NetNs,
        name: &str,
        offers: &[(Service, u16)],
        address: Option<IpAddr>,
    ) -> Result<Self> {
        let offers = offers.iter().map(|(service, port)| format!("{}={port}", service.name()));
        let mut arguments: Vec<String> = offers.collect();
        arguments.extend(address.map(|address| format!("--address={address}")));
        Ok(Self {
            process: launch(netns, name, &arguments)?,
            netns: netns.clone(),
            name: name.to_owned(),
            arguments,
        })
    }

    /// What it calls itself in its answers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a crash would: the kernel resets its connections and refuses new ones.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Ends it in order: it refuses new connections and lets go of the ones it has.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(STUCK).map(drop)
    }

    /// Kills it if it runs, and starts it again with the same name and services.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = launch(&self.netns, &self.name, &self.arguments)?;
        Ok(())
    }
}

fn launch(netns: &NetNs, name: &str, arguments: &[String]) -> Result<Process> {
    let mut complaints = tempfile::tempfile()?;
    let mut command = netns.command(binary()?);
    command
        .args(["--name", name])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(complaints.try_clone()?);
    let mut process = Process::start(&format!("server {name}"), command)?;
    wait_until_ready(&mut process).with_context(|| {
        let said = process::contents(&mut complaints).unwrap_or_default();
        format!("server {name} did not start: {}", said.trim())
    })?;
    Ok(process)
}

fn wait_until_ready(process: &mut Process) -> Result<()> {
    let stdout = process.take_stdout().context("its output was not piped")?;
    let (send_line, line_read) = channel();
    // A thread, because reading a pipe knows no time limit; it ends with the line or the process.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        // No one listens any more when the limit has passed.
        let _ = send_line.send(read.map(|_| line));
    });
    let line = line_read.recv_timeout(STUCK).map_err(|_| anyhow!("not within {STUCK:?}"))??;
    if line.trim() != READY {
        bail!("it ended before it listened");
    }
    Ok(())
}

/// The server's binary, which cargo builds next to the tests and the demo.
fn binary() -> Result<PathBuf> {
    let this = env::current_exe().context("cannot find out where this program is")?;
    // target/PROFILE/demo or target/PROFILE/deps/TEST
    let candidates = this.ancestors().skip(1).take(2).map(|dir| dir.join(BINARY));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no {BINARY} next to {}: build it with `cargo build -p elb-tests --bins`",
            this.display()
        )
    })
}
