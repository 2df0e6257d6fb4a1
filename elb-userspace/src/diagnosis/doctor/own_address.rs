//! Whether virtual addresses are addresses of this host, and what listeners take there from it.

use std::net::IpAddr;

use super::facts::OwnVip;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

pub(super) fn own_address(own: &[OwnVip], sources: &[(IpAddr, String)]) -> Finding {
    if own.is_empty() && sources.is_empty() {
        let what = "no virtual address is an address of this host";
        return Finding::seen(Check::OwnAddress, Outcome::Pass, what);
    }
    let takes = |one: &&OwnVip| one.taken.is_some() && !one.is_allowed;
    let outcome = if own.iter().any(|one| takes(&one)) { Outcome::Fail } else { Outcome::Warn };
    let own_sources = sources.iter().map(|(address, interface)| source_line(*address, interface));
    let lines: Vec<String> = own.iter().map(line).chain(own_sources).collect();
    let source_fixes = sources.iter().map(|(address, interface)| {
        format!("ip address show to {address}; ip address del {address} dev {interface}, or use another [snat]")
    });
    let fixes: Vec<String> = own.iter().map(fix).chain(source_fixes).collect();
    Finding::seen(Check::OwnAddress, outcome, lines.join("\n")).fix(fixes.join("\n"))
}

fn source_line(address: IpAddr, interface: &str) -> String {
    if address.is_ipv6() {
        return format!(
            "[snat]: {address} is an address of {interface}, in the prefix v6, which holds addresses of clients alone: \
             what members send to it is none of their answers"
        );
    }
    format!(
        "[snat]: {address} is an address of {interface} as well: connections that this host opens from it, and \
         those of pools with fullnat, may get each other's answers"
    )
}

fn line(one: &OwnVip) -> String {
    let OwnVip { balancer, vip, interface, .. } = one;
    if one.is_translated {
        let taken = one.taken.as_ref().map_or_else(String::new, |taken| format!("; {taken}"));
        return format!(
            "load balancer {balancer:?}: {vip} is an address of {interface} as well: members' answers that are \
             translated to it and that the kernel has to send on, to clients whose Ethernet address is not \
             known, are dropped as martians{taken}"
        );
    }
    let taken = one.taken.as_ref().map_or_else(String::new, |taken| format!("; {taken}"));
    format!(
        "load balancer {balancer:?}: {vip} is an address of {interface} as well: members that have it on \
         their lo do not answer this host{taken}"
    )
}

fn fix(one: &OwnVip) -> String {
    format!(
        "ip address show to {0}; ip address del {0} dev {1}, or use another virtual address",
        one.vip, one.interface
    )
}
