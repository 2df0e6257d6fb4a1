//! Members that serve, an agent that watches them, and what is asked when one goes OFFLINE.

use std::{
    env,
    fs::{self, Permissions},
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    diagnosis::Diagnosis,
    environment::elb_bin,
    lab::{Builder, Lab},
    process::output,
    server::Server,
    wire::{ECHO_PORT, HTTP_PORT},
};
use toml::Table;

/// How long anything may take that is not measured: machines that run tests are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The pool that everything is about.
pub(crate) const WEB: &str = "web";

/// What a report on a backend begins its commands with.
const ON_BACKEND: &str = "on the backend server: ";

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
        (0..lab.backends().len()).try_for_each(|index| install_elb(&lab, index))?;
        let agent = Agent::start(&lab, &config)?;
        Ok(Self { agent, servers, config, lab })
    }

    /// The address of a member.
    pub(crate) fn address(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, family(&self.lab))
    }

    /// What a member is called.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{WEB}/{}", self.address(index))
    }

    /// Waits until a member is OFFLINE, and asks why: `cause` must be named first.
    pub(crate) fn names(&self, index: usize, cause: &str) -> Result<Diagnosis> {
        self.wait_for(index, "OFFLINE")?;
        let answer = self.diagnose(index)?;
        is_named(&answer, cause, "");
        Ok(answer)
    }

    /// As [`Scene::names`], when the member's host was asked as well.
    pub(crate) fn names_with_host(&self, index: usize, cause: &str) -> Result<Diagnosis> {
        self.wait_for(index, "OFFLINE")?;
        let answer = self.diagnose_with_host(index)?;
        is_named(&answer, cause, "");
        Ok(answer)
    }

    /// Does each harm to a backend of its own, which is then in `state`. Each must be named first, by
    /// what the host says of itself; then what the report says is done there, and all is well.
    pub(crate) fn are_named_and_mended(&self, state: &str, harms: &[Harm]) -> Result<()> {
        for (index, harm) in harms.iter().enumerate() {
            self.run(index, harm.lines)?;
        }
        at_once(harms.len(), |index| {
            self.wait_for(index, state)?;
            let answer = self.diagnose_with_host(index)?;
            is_named(&answer, harms[index].cause, harms[index].evidence);
            self.follow(index, &answer, &[])?;
            self.wait_for(index, "ONLINE")?;
            is_well(&self.diagnose_with_host(index)?);
            Ok(())
        })
    }

    /// Does on the host of a member what the report says; `known` are the words of it that stand for
    /// what its administrator knows.
    pub(crate) fn follow(
        &self,
        index: usize,
        answer: &Diagnosis,
        known: &[(&str, &str)],
    ) -> Result<()> {
        let command = answer.fix().trim_start_matches(ON_BACKEND).to_owned();
        let command = known.iter().fold(command, |command, (word, is)| command.replace(word, is));
        self.run(index, &command).map(drop)
    }

    /// Sets `key` of the pool's health monitor to what the report says.
    pub(crate) fn follow_in_file(&mut self, answer: &Diagnosis, key: &str) -> Result<()> {
        let mut file: Table = self.config.text()?.parse()?;
        set_as_advised(&mut file, WEB, answer, key)?;
        self.agent.reload_with(&file.to_string())
    }

    /// What is said of a member.
    pub(crate) fn diagnose(&self, index: usize) -> Result<Diagnosis> {
        self.agent.diagnose(&[&self.name(index)])
    }

    /// What is said of a member whose host is asked as well.
    pub(crate) fn diagnose_with_host(&self, index: usize) -> Result<Diagnosis> {
        self.diagnose_with_host_of(index, index)
    }

    /// The same, where the host of the member `at` is asked.
    pub(crate) fn diagnose_with_host_of(&self, index: usize, at: usize) -> Result<Diagnosis> {
        let name = self.name(index);
        let ssh = way_in(&self.lab, at);
        self.agent.diagnose_with(&[&name, "--ssh", "backend"], &[("ELB_SSH", &ssh)])
    }

    /// What `elb backend inspect` says on the host of a member, in a file.
    pub(crate) fn inspection(&self, index: usize, port: u16) -> Result<PathBuf> {
        let file = self.lab.files().join(format!("inspection-{index}-{port}.json"));
        let to = self.address(index);
        // Its exit code shows what it found.
        let line = format!(
            "elb backend inspect --port {port} --from 10.0.0.2 --to {to} -o json > {} || true",
            file.display()
        );
        self.run(index, &line)?;
        Ok(file)
    }

    /// Waits until a member that was repaired is ONLINE; then nothing is named any more.
    pub(crate) fn repaired(&self, index: usize) -> Result<()> {
        self.wait_for(index, "ONLINE")?;
        is_well(&self.diagnose(index)?);
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

    /// Runs commands, in the words of a shell, on the host of a member, where `elb` is to be found.
    pub(crate) fn run(&self, index: usize, lines: &str) -> Result<String> {
        let mut command: Command = self.lab.backend(index).command("sh");
        let usual = env::var("PATH").unwrap_or_default();
        let path = format!("{}:/usr/sbin:/sbin:{usual}", programs(&self.lab, index).display());
        command.args(["-e", "-c", lines]).env("PATH", path);
        output(command, COMMAND_LIMIT).with_context(|| format!("{lines:?} on a backend"))
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

/// Something that is done to a backend, and how the report must read.
pub(crate) struct Harm {
    /// What does it: lines of a shell on the backend.
    pub(crate) lines: &'static str,
    /// The check that must be named.
    pub(crate) cause: &'static str,
    /// Words of its evidence.
    pub(crate) evidence: &'static str,
}

impl Harm {
    pub(crate) const fn new(
        lines: &'static str,
        cause: &'static str,
        evidence: &'static str,
    ) -> Self {
        Self { lines, cause, evidence }
    }
}

/// Does something for each of so many, for a few at once.
pub(crate) fn at_once(count: usize, task: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    // One fewer than an agent diagnoses at once.
    const TOGETHER: usize = 3;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(());
            }
            task(index)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Sets `key` of the health monitor of a pool in a configuration file to what the report says, or removes
/// it.
pub(crate) fn set_as_advised(
    file: &mut Table,
    pool: &str,
    answer: &Diagnosis,
    key: &str,
) -> Result<()> {
    let fix = answer.fix();
    let shown = || format!("{key} in {fix:?}");
    let pools = file["pool"].as_array_mut().with_context(shown)?;
    let pool = pools.iter_mut().find(|one| one["name"].as_str() == Some(pool));
    let monitor = pool.with_context(shown)?["healthmonitor"].as_table_mut().with_context(shown)?;
    if fix.contains(&format!("remove {key} from")) {
        monitor.remove(key).with_context(shown)?;
        return Ok(());
    }
    let (_, value) = fix.split_once(&format!("{key} = ")).with_context(shown)?;
    // A string ends with its quote, a number with a space.
    let end = match value.strip_prefix('"') {
        Some(text) => text.find('"').with_context(shown)? + 2,
        None => value.find(' ').unwrap_or(value.len()),
    };
    let value: Table = format!("value = {}", &value[..end]).parse().with_context(shown)?;
    monitor.insert(key.to_owned(), value["value"].clone());
    // `type = "TCP" without url_path, …`
    let without = fix.split_once(" without ").filter(|_| key == "type");
    let (without, _) = without.and_then(|(_, rest)| rest.split_once(" in [")).unwrap_or_default();
    monitor.retain(|key, _| !without.contains(key));
    Ok(())
}

/// `cause` is named first, and what to do about it.
#[track_caller]
pub(crate) fn is_named(answer: &Diagnosis, cause: &str, evidence: &str) {
    assert_eq!(answer.cause(), Some(cause), "{:#}", answer.said);
    assert_eq!(answer.code, 1, "{:#}", answer.said);
    assert!(!answer.fix().is_empty() && !answer.evidence().is_empty(), "{:#}", answer.said);
    assert!(answer.evidence().contains(evidence), "no {evidence:?}: {:#}", answer.said);
}

/// Nothing is named, and no check fails.
#[track_caller]
pub(crate) fn is_well(answer: &Diagnosis) {
    assert_eq!((answer.code, answer.cause()), (0, None), "{:#}", answer.said);
}

/// Members in the backends' network, which the load balancer reaches through a router only; all are
/// ONLINE.
pub(crate) fn behind_a_router(make: impl FnOnce(&Lab) -> Result<Config>) -> Result<Scene> {
    Scene::start_in(Lab::builder().two_armed(), |lab| {
        // The router's link takes 1500 bytes.
        lab.lb().ip("address del 10.0.0.2/24 dev lb1\n\
             route add 10.0.0.0/24 via 10.1.0.1 dev lb0 mtu 1500")?;
        make(lab)
    })
}

/// HTTP over all backends of a lab, by the first version of IP that it speaks.
pub(crate) fn config(lab: &Lab, mode: Forwarding, monitor: HealthMonitor) -> Config {
    let family = family(lab);
    let pool = Pool::of(lab, WEB, family, Protocol::Tcp, HTTP_PORT);
    let pool = pool.forwarding(mode).watched(monitor);
    Config::new(lab).balance(lab, family, HTTP_PORT, pool)
}

/// Echo by UDP over all backends of a lab.
pub(crate) fn echoes(lab: &Lab) -> Config {
    let family = family(lab);
    let pool = Pool::of(lab, WEB, family, Protocol::Udp, ECHO_PORT);
    let pool = pool.watched(HealthMonitor::quick(MonitorKind::UdpConnect));
    Config::new(lab).balance(lab, family, ECHO_PORT, pool)
}

fn family(lab: &Lab) -> Family {
    lab.families().list()[0]
}

/// The directory of programs that only the host of a member has.
fn programs(lab: &Lab, index: usize) -> PathBuf {
    lab.files().join(format!("programs-{index}"))
}

/// What is run in place of ssh to the host of a member: it enters its namespace.
fn way_in(lab: &Lab, index: usize) -> PathBuf {
    lab.files().join(format!("ssh-{index}"))
}

/// Gives the host of a member `elb`, and a way in. What distinguishes hosts that are one machine is said
/// for it: where it keeps its set-up, and the interface of its default route.
fn install_elb(lab: &Lab, index: usize) -> Result<()> {
    let (elb, device) = (elb_bin()?.display().to_string(), lab.device());
    let place = lab.backend_place(index).join(" ");
    let lines = format!(
        "case \"$*\" in\n\
         *--pin-dir*) exec {elb} \"$@\" ;;\n\
         *inspect*|*--interface*) exec {elb} \"$@\" {place} ;;\n\
         *) exec {elb} \"$@\" {place} --interface {device} ;;\n\
         esac\n"
    );
    let programs = programs(lab, index);
    fs::create_dir(&programs)?;
    write_script(&programs.join("elb"), &lines)?;
    let netns = lab.backend(index).how_to_enter();
    // The host and the word `elb` come first.
    let lines = format!("shift 2\nexec {netns} {}/elb \"$@\"\n", programs.display());
    write_script(&way_in(lab, index), &lines)
}

fn write_script(path: &Path, lines: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{lines}"))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}
