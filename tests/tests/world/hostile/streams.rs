//! What the agent writes to and reads from: standard error, the service manager, its configuration.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::{fs::OpenOptionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::ended,
    server::Server,
    wire::HTTP_PORT,
};
use nix::{fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;

use super::LIMIT;

/// How soon the agent ends what no one reads.
const END: Duration = Duration::from_secs(10);

struct Served {
    agent: Agent,
    config: Config,
    lab: Lab,
    _servers: Vec<Server>,
}

/// A pool of two that is watched, and an agent under a wrapper.
fn served(wrapper: impl FnOnce(&Path) -> Vec<String>) -> Result<Served> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT)
        .watched(HealthMonitor::quick(MonitorKind::Http));
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    let wrapper = wrapper(lab.files());
    let agent = Agent::start_under(&lab, &config.text()?, &config.agent.socket, &wrapper)?;
    let served = Served { agent, config, lab, _servers: servers };
    served.serves()?;
    Ok(served)
}

impl Served {
    /// Both members are ONLINE, and no request is lost.
    fn serves(&self) -> Result<()> {
        let members = [0, 1].map(|index| self.lab.member_addr(index, Family::V4));
        self.agent.wait_members(&members, "ONLINE", LIMIT)?;
        let load = Load { concurrency: 4, ..Load::on(self.lab.service(Family::V4, HTTP_PORT)) };
        let report = http_requests(self.lab.client(), load, 100)?;
        assert_eq!(report.answered(), report.total(), "{:?}", report.failures().first());
        Ok(())
    }

    /// Has many lines to write, at each reload.
    fn talk(&mut self, reloads: usize) -> Result<()> {
        let wrong = "x = 1\n".repeat(100);
        for _ in 0..reloads {
            self.agent.reload_with(&wrong)?;
            self.agent.status()?;
        }
        let (config, shown) = (self.config.clone(), "the configuration to be taken over");
        self.agent.reload(&config)?;
        let is_right = |said: &Value| !said["agent"]["problems"].to_string().contains("elb.toml");
        self.agent.wait_status(shown, LIMIT, is_right).map(drop)
    }

    /// It ends in order, and soon.
    fn ends(mut self) -> Result<()> {
        let begun = Instant::now();
        let status = self.agent.terminate()?;
        assert!(status.success(), "{status}");
        assert!(begun.elapsed() < END, "it took {:?} to end", begun.elapsed());
        Ok(())
    }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script, "sh"].map(str::to_owned).to_vec()
}

fn stderr_to(path: &Path) -> Vec<String> {
    shell(&format!("exec \"$@\" 2>{}", path.display()))
}

fn fifo(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(path)
}

#[test]
fn a_log_that_is_not_read_holds_nothing_up() -> Result<()> {
    let mut reader = None;
    let mut served = served(|files| {
        let path = fifo(files).expect("a FIFO can be made");
        // Open for both, so that the agent's end opens at once and is never closed: but no one reads.
        reader = OpenOptions::new().read(true).write(true).open(&path).ok();
        stderr_to(&path)
    })?;
    served.talk(60)?;
    served.serves()?;
    let is_said =
        |said: &Value| said["agent"]["problems"].to_string().contains("log lines were dropped");
    served.agent.wait_status("the lines that are missing", LIMIT, is_said)?;
    served.ends()?;
    drop(reader);
    Ok(())
}

#[test]
fn a_log_that_is_closed_or_full_stops_nothing() -> Result<()> {
    let mut reader = None;
    let mut closed = served(|files| {
        let path = fifo(files).expect("a FIFO can be made");
        reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).ok();
        stderr_to(&path)
    })?;
    // The client that read has gone.
    drop(reader.take().context("no reader")?);
    closed.talk(3)?;
    closed.serves()?;
    closed.ends()?;
    let mut full = served(|_| stderr_to(Path::new("/dev/full")))?;
    full.talk(3)?;
    full.serves()?;
    full.ends()
}

#[test]
fn a_service_manager_that_does_not_listen_is_not_waited_for() -> Result<()> {
    let mut served = served(|_| Vec::new())?;
    let path = served.lab.files().join("notify.sock");
    fs::remove_file(&path)?;
    let _deaf = UnixDatagram::bind(&path)?;
    let queued: usize = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen")?.trim().parse()?;
    served.talk(queued.min(20) + 5)?;
    served.serves()?;
    served.ends()
}

#[test]
fn what_is_no_file_is_no_configuration() -> Result<()> {
    let served = served(|_| Vec::new())?;
    let fifo = fifo(served.lab.files())?;
    for (path, what) in [(fifo.as_path(), "a FIFO"), (Path::new("/dev/zero"), "a device")] {
        let mut command = served.lab.lb().command(elb_bin()?);
        command.args(["check", "--config"]).arg(path);
        let check = ended(command, END)?;
        assert_eq!(check.code, Some(1), "{}", check.printed);
        assert!(check.printed.contains(&format!("it is {what}")), "{}", check.printed);
    }
    // In the place of the agent's own.
    let config = served.lab.files().join("elb.toml");
    let right = fs::read(&config)?;
    fs::rename(&fifo, &config)?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(served.agent.id())?),
        nix::sys::signal::Signal::SIGHUP,
    )?;
    let is_said = |said: &Value| said["agent"]["problems"].to_string().contains("it is a FIFO");
    served.agent.wait_status("the FIFO to be refused", LIMIT, is_said)?;
    served.serves()?;
    fs::remove_file(&config)?;
    fs::write(&config, right)?;
    served.ends()
}
