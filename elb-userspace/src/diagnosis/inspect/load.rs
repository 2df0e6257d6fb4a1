//! The backend server keeps up with what it is sent.

use super::asked::InspectRequest;
use super::facts::{Facts, Load, Process, Socket};
use super::listening::{describe, serving};
use super::parts::Part;
use crate::model::transport::TransportProtocol;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let mut parts = Vec::new();
    let serving = serving(asked, facts);
    for socket in &serving {
        let process = facts.processes.get(&socket.inode);
        parts.extend(process.and_then(stopped).or_else(|| queue(socket, process, facts)));
        parts.extend(process.and_then(open_files));
    }
    parts.extend(host_files(&facts.load));
    parts.extend(connections(&facts.load));
    parts.extend(busy(&facts.load));
    if asked.protocol == TransportProtocol::Tcp {
        parts.extend(overflows(&facts.load));
    }
    let load = &facts.load;
    parts.push(match load.average {
        Some(average) => Part::pass(format!("load average {average:.2} on {} CPUs", load.cpus)),
        None => Part::unknown("/proc/loadavg cannot be read"),
    });
    parts
}

/// A process that is stopped answers no client, while the kernel takes connections for it.
fn stopped(process: &Process) -> Option<Part> {
    let Process { id, name, .. } = process;
    process.stopped.then(|| {
        Part::fail(format!("{name} (process {id}) is stopped (SIGSTOP): it answers no client"))
            .fix(format!("kill -CONT {id}"))
    })
}

/// The kernel takes one connection more than the backlog says (`sk_acceptq_is_full()`).
fn queue(socket: &Socket, process: Option<&Process>, facts: &Facts) -> Option<Part> {
    if socket.protocol != TransportProtocol::Tcp || socket.waiting <= socket.backlog {
        return None;
    }
    let full = format!(
        "the accept queue of {} is full: {} connections wait, its backlog is {}",
        describe(facts, socket),
        socket.waiting,
        socket.backlog
    );
    Some(match process {
        Some(Process { unit: Some(unit), .. }) => {
            Part::fail(full).fix(format!("systemctl restart {unit}"))
        }
        Some(Process { id, name, .. }) => Part::fail(full).fix(format!(
            "let {name} (process {id}) accept faster, or restart it; a longer backlog needs \
             net.core.somaxconn, too"
        )),
        None => Part::fail(full).fix("let the server accept faster, or restart it"),
    })
}

fn open_files(process: &Process) -> Option<Part> {
    let Process { id, name, .. } = process;
    let (files, most) = (process.files?, process.most_files?);
    let text = format!("{name} (process {id}) has {files} of {most} open files");
    let fix = format!("prlimit --pid {id} --nofile={0}:{0}", most.saturating_mul(4).max(4096));
    share(files, most, text, fix)
}

fn host_files(load: &Load) -> Option<Part> {
    let (files, most) = load.files?;
    let text = format!("this host has {files} of {most} open files");
    share(files, most, text, format!("sysctl -w fs.file-max={}", most.saturating_mul(2)))
}

fn connections(load: &Load) -> Option<Part> {
    let (count, most) = load.connections?;
    let text = format!("connection tracking has {count} of {most} connections");
    let fix = format!("sysctl -w net.netfilter.nf_conntrack_max={}", most.saturating_mul(2));
    share(count, most, text, fix)
}

/// All used up is a cause, nine tenths a warning.
fn share(used: u64, most: u64, text: String, fix: String) -> Option<Part> {
    if used >= most {
        return Some(Part::fail(text).fix(fix));
    }
    (used >= most / 10 * 9 && most > 10).then(|| Part::warn(text).fix(fix))
}

fn busy(load: &Load) -> Vec<Part> {
    const PER_CPU: f64 = 4.0;
    const PER_CENT: f64 = 20.0;
    let mut parts = Vec::new();
    let cpus = u32::try_from(load.cpus.max(1)).unwrap_or(u32::MAX);
    if let Some(average) = load.average.filter(|average| *average > PER_CPU * f64::from(cpus)) {
        parts.push(
            Part::warn(format!("load average {average:.2} on {cpus} CPUs: answers may be late"))
                .fix("see `top`"),
        );
    }
    if let Some(share) = load.memory_pressure.filter(|share| *share > PER_CENT) {
        parts.push(
            Part::warn(format!(
                "memory is short: something waited for it {share:.0} % of the time"
            ))
            .fix("see `top -o %MEM`"),
        );
    }
    parts
}

/// Since the host (or its network namespace) is there.
fn overflows(load: &Load) -> Vec<Part> {
    let kinds = [
        ("ListenOverflows", "connections were dropped because an accept queue was full"),
        ("TCPReqQFullDrop", "openings were dropped because a SYN backlog was full"),
    ];
    let count = |name: &str| load.counters.get(name).copied().filter(|count| *count > 0);
    let counted = kinds.iter().filter_map(|(name, what)| Some((name, what, count(name)?)));
    counted
        .map(|(name, what, count)| {
            Part::warn(format!("{count} {what}, since this host is up ({name})"))
                .fix(format!("see whether it rises: `nstat -az TcpExt{name}`"))
        })
        .collect()
}
