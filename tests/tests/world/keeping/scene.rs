//! Backends that serve behind a monitored pool, and how long traffic stops for.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpLoad, Load},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::{ended, output},
    server::Server,
    status,
    wait::wait_for,
    wire::HTTP_PORT,
};
use serde_json::Value;

/// How long anything may take that is not measured.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// How long what the agent keeps may be away: two seconds, and one for a machine that does other things.
pub(super) const BAR: Duration = Duration::from_secs(3);

pub(super) const WEB: &str = "web";

pub(super) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(super) agent: Agent,
    _servers: Vec<Server>,
    pub(super) config: Config,
    pub(super) lab: Lab,
}

impl Scene {
    /// Two backends in a pool that is monitored by its virtual address.
    pub(super) fn start(families: Families, more: impl FnOnce(&Lab, &mut Config)) -> Result<Self> {
        Self::start_under(families, more, |_| Vec::new())
    }

    /// The agent has mounts of its own, with a BPF file system that no one else has.
    pub(super) fn start_in_own_bpffs() -> Result<Self> {
        let inside = |lab: &Lab| lab.files().join("bpf");
        let pin_dir = |lab: &Lab, config: &mut Config| {
            config.agent.pin_dir = inside(lab).join("elb");
        };
        Self::start_under(Families::V4, pin_dir, |lab| {
            let folder = inside(lab).display().to_string();
            let script = format!("mkdir -p {folder} && mount -t bpf bpf {folder} && exec \"$@\"");
            let words =
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"];
            words.map(str::to_owned).to_vec()
        })
    }

    /// Where that file system is.
    pub(super) fn own_bpffs(&self) -> String {
        self.lab.files().join("bpf").display().to_string()
    }

    /// Runs a command where the agent's mounts are.
    pub(super) fn in_its_mounts(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.agent.id().to_string()]).args(words);
        output(command, LIMIT).map(drop)
    }

    fn start_under(
        families: Families,
        more: impl FnOnce(&Lab, &mut Config),
        wrapper: impl FnOnce(&Lab) -> Vec<String>,
    ) -> Result<Self> {
        let lab = Lab::builder().families(families).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut config = Config::new(&lab);
        for family in families.list() {
            let name = if *family == Family::V4 { WEB } else { "web6" };
            let pool = Pool::of(&lab, name, *family, Protocol::Tcp, HTTP_PORT);
            let pool = pool.forwarding(Forwarding::Ipip).monitored_by(MonitorKind::Tcp);
            config = config.balance(&lab, *family, HTTP_PORT, pool);
        }
        more(&lab, &mut config);
        let wrapper = wrapper(&lab);
        let agent = Agent::start_under(&lab, &config.text()?, &config.agent.socket, &wrapper)?;
        let scene = Self { agent, _servers: servers, config, lab };
        scene.agent.wait_status("all members to serve", LIMIT, |said| {
            status::all_serve(said) && !said.to_string().contains("INITIAL")
        })?;
        Ok(scene)
    }

    /// Requests one after the other, each with a second.
    pub(super) fn traffic(&self) -> Result<HttpLoad> {
        let load = Load {
            concurrency: 1,
            pause: Duration::from_millis(5),
            timeout: Duration::from_secs(1),
            limit: Duration::from_secs(120),
            ..Load::on(self.lab.service(Family::V4, HTTP_PORT))
        };
        let traffic = HttpLoad::start(self.lab.client(), load);
        answered(&traffic, 20)?;
        Ok(traffic)
    }

    /// Waits until requests are answered again, and prints and judges how long none was since `from`.
    pub(super) fn recovered(&self, what: &str, traffic: &HttpLoad, from: Instant) -> Result<()> {
        answered(traffic, 50).with_context(|| format!("the log:\n{}", self.agent.log()))?;
        let report = traffic.so_far().since(from);
        let failed = report.last_started(|outcome| outcome.result.is_err());
        let away = failed.map_or(Duration::ZERO, |last| last - from);
        println!("{what}: {} requests lost, in {away:?}", report.failures().len());
        assert!(away <= BAR, "{what}: {away:?}\n{}", self.agent.log());
        Ok(())
    }

    /// Waits until the load balancer's device carries the program, prints and judges how long that took since
    /// `from`; then until requests are answered, which waits for members that turned OFFLINE meanwhile.
    pub(super) fn attached_again(
        &self,
        what: &str,
        traffic: &HttpLoad,
        from: Instant,
    ) -> Result<()> {
        wait_for("the program to be attached", LIMIT, || {
            let shown = self.lab.lb().ip("link show dev lb0")?;
            Ok(shown.contains("prog/xdp").then_some(()))
        })?;
        let away = from.elapsed();
        answered(traffic, 50).with_context(|| format!("the log:\n{}", self.agent.log()))?;
        println!("{what}: attached after {away:?}, answers after {:?}", from.elapsed());
        assert!(away <= BAR, "{what}: {away:?}\n{}", self.agent.log());
        Ok(())
    }

    /// Waits for a problem that says all of this; the status.
    pub(super) fn wait_problem(&self, words: &[&str]) -> Result<Value> {
        self.agent.wait_status(&format!("a problem with {words:?}"), LIMIT, |said| {
            problems(said).iter().any(|one| words.iter().all(|word| one.contains(word)))
        })
    }

    /// Waits until nothing is wrong any more and everything serves; the status.
    pub(super) fn wait_healthy(&self) -> Result<Value> {
        self.agent.wait_status("nothing to be wrong", LIMIT, |said| {
            let balancers = said["load_balancers"].as_array().into_iter().flatten();
            problems(said).is_empty()
                && status::all_serve(said)
                && balancers.into_iter().all(|one| one["operating_status"] == "ONLINE")
        })
    }

    /// What `elb doctor` says of the host.
    pub(super) fn doctor(&self) -> Result<Value> {
        let mut command = self.lab.lb().command(elb_bin()?);
        command.arg("doctor").arg("--config").arg(self.lab.files().join("elb.toml"));
        command.args(["-o", "json"]);
        let ended = ended(command, LIMIT)?;
        elb_tests::printed::value(&["doctor"], &ended.printed).with_context(|| format!("{ended:?}"))
    }

    /// Waits until an object is in place.
    pub(super) fn wait_in_place(&self, object: &str) -> Result<Value> {
        self.agent.wait_status(&format!("{object} in place"), LIMIT, |said| {
            let mut kept = said["agent"]["kept"].as_array().into_iter().flatten();
            kept.any(|one| one["object"] == object && one["in_place"] == true)
        })
    }

    /// How often an object was restored.
    pub(super) fn restored(&self, object: &str) -> Result<u64> {
        let said = self.agent.status()?;
        let mut kept = said["agent"]["kept"].as_array().into_iter().flatten();
        let found = kept.find(|one| one["object"] == object).context("it is not kept")?;
        found["restored"].as_u64().context("no number")
    }
}

/// Waits until so many requests were answered in a row, from now on.
pub(super) fn answered(traffic: &HttpLoad, count: usize) -> Result<()> {
    let from = Instant::now();
    wait_for("requests to be answered again", LIMIT, || {
        let report = traffic.so_far().since(from);
        let after = report.last_started(|outcome| outcome.result.is_err());
        let good = after.map_or(report.answered(), |last| report.since(last).answered());
        Ok((good >= count).then_some(()))
    })
}

pub(super) fn problems(said: &Value) -> Vec<String> {
    let all = said["agent"]["problems"].as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// What a load balancer is said to be.
pub(super) fn balancer(said: &Value) -> &str {
    said["load_balancers"][0]["operating_status"].as_str().unwrap_or_default()
}
