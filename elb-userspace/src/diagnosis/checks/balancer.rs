//! This load balancer itself: a fault of its own is named before any member is suspected.

use std::path::PathBuf;

use crate::control::network::UnservedWay;
use crate::diagnosis::check::Check;
use crate::diagnosis::command::apply;
use crate::diagnosis::instrument::Fault;
use crate::diagnosis::report::{Conclusion, Finding, Outcome, Report};
use crate::diagnosis::way_out::{fix, what};
use crate::kernel::host::kept::KeptObject;

/// What the agent knows of itself and its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancer {
    /// The configuration file.
    pub file: PathBuf,
    /// The state directory of this agent.
    pub state_dir: PathBuf,
    /// What it keeps in the host and cannot restore, and why.
    pub missing: Vec<(KeptObject, String)>,
    /// Interfaces without the program that members are reached by.
    pub unserved: Vec<UnservedWay>,
    /// That IPv6 is switched off where members need it, and what switches it on.
    pub ipv6_off: Option<(String, String)>,
    /// What is this agent's alone, and another process has.
    pub taken: Vec<String>,
    /// What could not be written, and why.
    pub unwritten: Vec<(WrittenTo, String)>,
    /// Why the file, or a part of it, is not what is served.
    pub not_in_force: Vec<String>,
    /// Tasks that do not run at present, and why.
    pub idle: Vec<(String, String)>,
    /// Tasks that panicked and run again, and lines that the log lacks.
    pub panicked: Vec<String>,
    /// Virtual addresses that are the host's own, and what listeners take there.
    pub own_addresses: Vec<String>,
    /// Packets that interfaces join, and what turns that off.
    pub joined: Option<(String, String)>,
}

/// Where something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrittenTo {
    /// The BPF maps.
    Maps,
    /// The BPF maps, which have no room for an object of the configuration.
    Room,
    /// The state directory.
    State,
}

/// The report on this load balancer; none where there is nothing to say.
pub fn balancer(balancer: &Balancer) -> Option<Report> {
    let checks = [kept, unserved, owner, written, in_force, tasks, own_addresses, joined];
    let findings = checks.map(|check| check(balancer));
    let findings: Vec<Finding> = findings.into_iter().flatten().collect();
    let fails = findings.iter().any(|finding| finding.outcome == Outcome::Fail);
    let subject = "this load balancer, not its members";
    (!findings.is_empty()).then(|| Report::new(subject, !fails, findings))
}

/// The report on what is wrong with probes on this load balancer: what was found, and if that is nothing,
/// what probes lack.
pub fn probes(faults: &[Fault], wants: &[String]) -> Option<Report> {
    let mut lines: Vec<String> = faults.iter().map(|fault| fault.what.clone()).collect();
    let mut fixes: Vec<String> = faults.iter().map(|fault| fault.fix.clone()).collect();
    if lines.is_empty() {
        lines.extend_from_slice(wants);
        fixes.push("elb doctor".to_owned());
    }
    fixes.dedup();
    let finding = failed(Check::Probes, lines)?.fix(fixes.join("; "));
    Some(Report::new("probes of this load balancer, not its members", false, vec![finding]))
}

/// The reports in the order that they are read in: a fault of this load balancer comes before all that it
/// may explain, a remark after that.
pub fn placed(balancer: Option<Report>, mut others: Vec<Report>) -> Vec<Report> {
    if let Some(report) = balancer {
        let is_fault = report.conclusion == Conclusion::CauseFound;
        others.insert(if is_fault { 0 } else { others.len() }, report);
    }
    others
}

/// The report on something that the file has and that is not in force.
pub fn not_served(balancer: &Balancer, name: &str) -> Report {
    let file = balancer.file.display();
    let (why, fix) = if balancer.not_in_force.is_empty() {
        let why = "the file was changed after it was loaded".to_owned();
        (why, apply(&balancer.file))
    } else {
        (balancer.not_in_force.join("\n"), correct(balancer))
    };
    let what = format!("{file} has {name:?}, but it is not served: {why}");
    let finding = Finding::seen(Check::InForce, Outcome::Fail, what).fix(fix);
    Report::new(format!("{name}, which this load balancer does not serve"), false, vec![finding])
}

fn kept(balancer: &Balancer) -> Option<Finding> {
    let missing = &balancer.missing;
    let lines = missing.iter().map(|(object, why)| format!("{object}: {why}"));
    let mut fixes: Vec<String> = missing.iter().map(|(object, _)| restore(object)).collect();
    fixes.dedup();
    failed(Check::Kept, lines.collect()).map(|finding| {
        let then = "the agent does its part by itself then";
        finding
            .fix(format!("elb doctor; {}    # put it right on this host; {then}", fixes.join("; ")))
    })
}

/// The command that shows what keeps the agent from restoring an object.
fn restore(object: &KeptObject) -> String {
    match object {
        KeptObject::Program(interface) | KeptObject::Mode(interface) => {
            format!("ip -d link show {interface}")
        }
        KeptObject::Pins => "findmnt -t bpf".to_owned(),
        KeptObject::ProbePath => "ip rule; ip link".to_owned(),
        KeptObject::ProbePathV6 => "ip -6 rule; ip link".to_owned(),
        KeptObject::Groups(interface) => format!("ip maddr show dev {interface}"),
        KeptObject::ApiSocket => "elb status    # names the folder".to_owned(),
    }
}

fn unserved(balancer: &Balancer) -> Option<Finding> {
    let unserved = balancer.unserved.iter().map(|way| (what(way), fix(way)));
    let (lines, fixes): (_, Vec<String>) = unserved.chain(balancer.ipv6_off.clone()).unzip();
    failed(Check::WayOut, lines).map(|finding| finding.fix(fixes.join("\n")))
}

fn owner(balancer: &Balancer) -> Option<Finding> {
    failed(Check::Owner, balancer.taken.clone()).map(|finding| {
        finding.fix(
            "stop that process, or give it another [agent] pin_dir, state_dir and socket; then: \
             systemctl restart elb",
        )
    })
}

fn written(balancer: &Balancer) -> Option<Finding> {
    let lines = balancer.unwritten.iter().map(|(_, why)| why.clone());
    let mut stores: Vec<WrittenTo> = balancer.unwritten.iter().map(|(store, _)| *store).collect();
    stores.sort_unstable();
    stores.dedup();
    let fixes: Vec<String> = stores.into_iter().map(|store| make_room(balancer, store)).collect();
    failed(Check::Written, lines.collect()).map(|finding| finding.fix(fixes.join("; ")))
}

fn make_room(balancer: &Balancer, store: WrittenTo) -> String {
    match store {
        WrittenTo::Maps => {
            "give the agent more memory (systemctl show elb -p MemoryMax; free -m), and see \
                        that no other program fills its maps; the agent tries again by itself"
                .to_owned()
        }
        WrittenTo::Room => format!(
            "take objects out of {}, or raise max_* in its [agent] and restart the agent",
            balancer.file.display()
        ),
        WrittenTo::State => format!(
            "df -h {0}; df -i {0}; ls -ld {0}    # make room there; the agent tries again by itself",
            balancer.state_dir.display()
        ),
    }
}

fn in_force(balancer: &Balancer) -> Option<Finding> {
    failed(Check::InForce, balancer.not_in_force.clone())
        .map(|finding| finding.fix(correct(balancer)))
}

fn correct(balancer: &Balancer) -> String {
    format!("correct {}, then: {}", balancer.file.display(), apply(&balancer.file))
}

fn tasks(balancer: &Balancer) -> Option<Finding> {
    let idle = |(task, why): &(String, String)| {
        format!("task {task} does not run, and is begun again: {why}")
    };
    let idle: Vec<String> = balancer.idle.iter().map(idle).collect();
    let log = "journalctl -u elb    # and report it with what is there";
    failed(Check::Tasks, idle)
        .or_else(|| warned(Check::Tasks, &balancer.panicked))
        .map(|finding| finding.fix(log))
}

/// The host may have its reasons: keepalived gives a virtual address to the host that serves.
fn own_addresses(balancer: &Balancer) -> Option<Finding> {
    warned(Check::OwnAddress, &balancer.own_addresses).map(|finding| finding.fix("elb doctor"))
}

fn joined(balancer: &Balancer) -> Option<Finding> {
    let (what, fix) = balancer.joined.clone()?;
    Some(Finding::seen(Check::Offloads, Outcome::Warn, what).fix(fix))
}

fn failed(check: Check, lines: Vec<String>) -> Option<Finding> {
    (!lines.is_empty()).then(|| Finding::seen(check, Outcome::Fail, lines.join("\n")))
}

fn warned(check: Check, lines: &[String]) -> Option<Finding> {
    (!lines.is_empty()).then(|| Finding::seen(check, Outcome::Warn, lines.join("\n")))
}
