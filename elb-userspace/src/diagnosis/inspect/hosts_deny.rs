//! No entry of tcp wrappers turns the sources of probes away.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Process, Wrappers};
use super::listening::serving;
use super::parts::Part;
use super::wrappers::{Line, WrapperDecision, decide};
use crate::model::transport::TransportProtocol;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    if asked.protocol == TransportProtocol::Udp {
        return vec![Part::not_applicable("tcp wrappers guard TCP servers")];
    }
    let wrappers = match &facts.wrappers {
        Ok(Wrappers { deny: None, allow: None }) => {
            return vec![Part::pass("there is no hosts.deny")];
        }
        Ok(wrappers) => wrappers,
        Err(needed) => return vec![Part::unknown(needed)],
    };
    if asked.from.is_empty() || asked.port.is_none() {
        return vec![Part::not_applicable("no source and port of probes were given")];
    }
    let mut processes: Vec<Option<&Process>> =
        serving(asked, facts).iter().map(|socket| facts.processes.get(&socket.inode)).collect();
    processes.dedup();
    if processes.is_empty() {
        processes.push(None);
    }
    let mut parts = vec![Part::pass("no entry turns the sources of probes away")];
    for process in processes {
        parts.extend(asked.from.iter().filter_map(|from| judge(*from, process, wrappers)));
    }
    parts
}

fn judge(from: IpAddr, process: Option<&Process>, wrappers: &Wrappers) -> Option<Part> {
    let text = |file: &Option<String>| file.clone().unwrap_or_default();
    let daemon = process.map(|process| process.name.as_str());
    let wrapped = process.and_then(|process| process.wrapped);
    if wrapped == Some(false) {
        return None;
    }
    let name = daemon.unwrap_or("the server");
    let place = |line: &Line| format!("line {} of {} (`{}`)", line.number, line.file, line.text);
    match decide(&text(&wrappers.allow), &text(&wrappers.deny), daemon, from) {
        WrapperDecision::Allowed => None,
        WrapperDecision::Denied(line) => {
            let fix = fix(daemon.unwrap_or("ALL"), from, &line, wrappers);
            let place = place(&line);
            Some(match wrapped {
                Some(true) => Part::fail(format!("{place} lets {name} turn {from} away")).fix(fix),
                Some(false) | None => Part::warn(format!(
                    "{place} turns {from} away, if {name} heeds it: whether it uses libwrap is not \
                     known, run as root to see"
                ))
                .fix(fix),
            })
        }
        WrapperDecision::Doubtful(line) => Some(Part::unknown(format!(
            "{} may turn {from} away from {name}: it takes a look at names, groups or programs; \
             `tcpdmatch {name} {from}` shows it",
            place(&line)
        ))),
    }
}

/// hosts.allow comes first, and there the first line that fits.
fn fix(daemon: &str, from: IpAddr, line: &Line, wrappers: &Wrappers) -> String {
    let from = match from {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let daemon: String = daemon.chars().filter(plain).collect();
    let entry = format!("{daemon}: {from}");
    let open_end =
        wrappers.allow.as_ref().is_some_and(|text| !text.is_empty() && !text.ends_with('\n'));
    match (line.file, open_end) {
        ("hosts.allow", _) => format!("sed -i '{}i {entry}' /etc/hosts.allow", line.number),
        (_, true) => format!("printf '\\n{entry}\\n' >> /etc/hosts.allow"),
        (_, false) => format!("echo '{entry}' >> /etc/hosts.allow"),
    }
}
