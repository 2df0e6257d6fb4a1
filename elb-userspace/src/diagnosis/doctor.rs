//! `elb doctor`: whether the load balancer's own host can do its work.
//!
//! [`gather`] asks the kernel, once; `host` and `interface` judge what it said, without I/O.
//! Nothing is attached and nothing is changed: to attach a program for a trial may reset the device.

mod cpus;
pub mod facts;
mod gather;
mod host;
mod interface;
mod kept;
mod mtu;
mod netdev;
mod own_address;
mod owner;
mod queues;
mod state_dir;
mod translation;
mod way_out;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use self::facts::Facts;
pub use self::gather::{GatherError, gather};
use super::check::Check;
use super::report::{Finding, Outcome, Report};
use crate::health::probe::ProbeSource;
use crate::model::{Forwarding, Model};
use crate::source::file::{AttachMode, Config, PIN_DIR, ProbeMark};

/// What a running agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// What is missing of what it keeps in the host, and why.
    pub missing: Vec<(String, String)>,
    /// Whether it probes through virtual addresses.
    pub probes_by_vip: bool,
}

/// What the host is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// The interfaces that traffic arrives on.
    pub interfaces: Vec<String>,
    /// How the program is to be attached to them.
    pub attach_mode: AttachMode,
    /// Where pins are to be.
    pub pin_dir: PathBuf,
    /// Where the agent keeps what the next one needs, if that is known.
    pub state_dir: Option<PathBuf>,
    /// What only one agent may use: the key of the configuration, and what is locked for it.
    pub locked: Vec<(&'static str, PathBuf)>,
    /// Where an agent answers, if that is known.
    pub socket: Option<PathBuf>,
    /// What an agent says that runs here.
    pub agent: Option<Running>,
    /// The mark of health probes, if the configuration says it.
    pub probe_mark: Option<u32>,
    /// The virtual addresses.
    pub vips: Vec<IpAddr>,
    /// The members, and how packets get there.
    pub members: Vec<(IpAddr, Forwarding)>,
    /// What is probed, and from where.
    pub probed: Option<(Model, ProbeSource)>,
    /// Commands of health checks that cannot be run, why and what to do.
    pub unusable: Vec<(String, String)>,
}

impl Duty {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Self {
        let pools = config.model.pools().iter();
        let members = pools
            .flat_map(|pool| pool.members.iter().map(|member| (member.address, pool.forwarding)));
        let sources =
            ProbeSource { v4: config.agent.probe_source, v6: config.agent.probe_source_ipv6 };
        Self {
            interfaces: config.agent.interfaces.clone(),
            attach_mode: config.agent.attach_mode,
            pin_dir: config.agent.pin_dir.clone(),
            state_dir: None,
            locked: Vec::new(),
            socket: None,
            agent: None,
            probe_mark: config.agent.probe_mark.map(ProbeMark::get),
            vips: config.model.load_balancers().iter().flat_map(|lb| lb.vips()).collect(),
            members: members.collect(),
            probed: Some((config.model.clone(), sources)),
            unusable: Vec::new(),
        }
    }

    /// Whether answers to clients of an IP version are translated.
    fn translates(&self, is_v6: bool) -> bool {
        let to_v6 = |(address, forwarding): &(IpAddr, Forwarding)| {
            address.is_ipv6() && !forwarding.embeds_clients()
        };
        let mut members = self.members.iter().filter(|(_, forwarding)| forwarding.translates());
        members.any(|member| to_v6(member) == is_v6)
    }

    /// Whether answers of any member are.
    fn translates_any(&self) -> bool {
        self.members.iter().any(|(_, forwarding)| forwarding.translates())
    }

    /// A host of which no more is known than the interfaces.
    pub fn on(interfaces: Vec<String>) -> Self {
        Self {
            interfaces,
            attach_mode: AttachMode::Native,
            pin_dir: PathBuf::from(PIN_DIR),
            state_dir: None,
            locked: Vec::new(),
            socket: None,
            agent: None,
            probe_mark: None,
            vips: Vec::new(),
            members: Vec::new(),
            probed: None,
            unusable: Vec::new(),
        }
    }
}

/// Judges what was gathered.
pub fn judge(duty: &Duty, facts: &Facts) -> Report {
    let mut findings = vec![
        kept::kept(duty, facts),
        owner::owner(&facts.holders, facts.silence.as_ref()),
        own_address::own_address(&facts.own_vips, &facts.own_sources),
        state_dir::state_dir(facts.state_dir.as_ref()),
        host::kernel(&facts.kernel),
        host::capabilities(facts.capabilities),
        host::bpffs(&duty.pin_dir, &facts.bpffs),
        translation::forwarding(duty, facts).unwrap_or_else(|| host::forwarding(facts)),
        host::clock(facts.synchronised),
        host::probes(facts.probes.as_deref()),
        way_out::way_out(duty, facts),
        mtu::mtu(duty, &facts.network),
    ];
    findings.extend(translation::client_routes(duty, facts));
    findings.extend(interfaces(duty, facts));
    // Nothing was seen to fail: a host that serves nothing yet has nothing else to show.
    Report::new(format!("load balancer host {}", facts.name), true, findings)
}

/// One finding to each check, whatever the number of interfaces.
fn interfaces(duty: &Duty, facts: &Facts) -> Vec<Finding> {
    let mut by_check: BTreeMap<Check, Vec<(&str, Finding)>> = BTreeMap::new();
    for name in &duty.interfaces {
        for finding in interface::findings(duty, facts, name) {
            by_check.entry(finding.check).or_default().push((name, finding));
        }
    }
    by_check.into_iter().map(|(check, findings)| together(check, findings)).collect()
}

/// The worst outcome, and each one's evidence under its own name.
fn together(check: Check, findings: Vec<(&str, Finding)>) -> Finding {
    let worst = findings.iter().max_by_key(|(_, finding)| weight(finding.outcome));
    let Some((_, worst)) = worst else {
        return Finding::seen(check, Outcome::NotApplicable, "there is no interface");
    };
    let (outcome, basis) = (worst.outcome, worst.basis);
    let evidence = findings.iter().map(|(name, finding)| format!("{name}: {}", finding.evidence));
    let evidence = evidence.collect::<Vec<_>>().join("\n");
    let fixes: Vec<&str> = findings.iter().filter_map(|(_, f)| f.fix.as_deref()).collect();
    let fix = (!fixes.is_empty()).then(|| fixes.join("\n"));
    Finding { check, outcome, basis, evidence, fix }
}

const fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::NotApplicable => 0,
        Outcome::Pass => 1,
        Outcome::Unknown => 2,
        Outcome::Warn => 3,
        Outcome::Fail => 4,
    }
}

#[cfg(test)]
mod tests;
