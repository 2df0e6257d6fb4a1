//! Virtual servers of keepalived.conf(5) as listeners and pools.

mod checks;
mod service;

use std::collections::HashMap;
use std::net::IpAddr;

use self::service::Service;
use super::keepalived_words::{Statement, statements};
use super::section::lacking;
use super::{ImportOptions, SyntaxError, Translation};

/// Where a service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    address: Option<IpAddr>,
    /// 0: every port.
    port: u16,
}

/// Translates the text of a keepalived.conf; `name` is what its first comment calls it.
///
/// # Errors
/// The text is no file of keepalived.
pub fn translate(
    name: &str,
    text: &str,
    options: &ImportOptions,
) -> Result<Translation, SyntaxError> {
    let statements = statements(text)?;
    let mut out = Translation { interfaces: options.interfaces.clone(), ..Translation::default() };
    out.notes.push(format!("Translated from {name}, a file of keepalived."));
    out.notes.push("Prepare each backend server with `elb backend up`.".to_owned());
    let mut groups = HashMap::new();
    for statement in &statements {
        match statement.keyword() {
            "virtual_server_group" => {
                let endpoints = group(statement, &mut out);
                groups.insert(statement.value().unwrap_or_default(), endpoints);
            }
            "vrrp_instance" => vrrp_instance(statement, options, &mut out),
            _ => {}
        }
    }
    for statement in &statements {
        match statement.keyword() {
            "virtual_server" => {
                let endpoints = endpoints(statement, &groups, &mut out);
                Service::new(statement, options).translate(&endpoints, &mut out);
            }
            "virtual_server_group" => {}
            _ => elsewhere(statement, &mut out),
        }
    }
    out.settle();
    Ok(out)
}

/// What is not about virtual servers.
fn elsewhere(statement: &Statement, out: &mut Translation) {
    let keyword = statement.keyword();
    let outcome = match keyword {
        "include" | "includer" | "includem" | "includew" => "translate the included file by itself",
        _ if keyword.starts_with("vrrp_") || keyword == "static_ipaddress" => {
            "elb leaves VRRP and addresses to keepalived; keep it there"
        }
        _ if keyword.starts_with('@') => "a line for one host only; it is left out",
        _ => "it is not about virtual servers; it is left out",
    };
    out.notes.push(lacking(statement.line, &statement.text(), outcome));
}

/// Where VRRP holds addresses, and which.
fn vrrp_instance(statement: &Statement, options: &ImportOptions, out: &mut Translation) {
    let instance = statement.value().unwrap_or_default();
    for part in &statement.block {
        match part.keyword() {
            "interface" if options.interfaces.is_empty() => {
                let interface = part.value().map(str::to_owned);
                let known = interface.filter(|one| !out.interfaces.contains(one));
                out.interfaces.extend(known);
            }
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                let addresses = part.block.iter().filter_map(|line| {
                    line.keyword().split('/').next().and_then(|address| address.parse().ok())
                });
                out.held.extend(addresses.map(|address| (address, instance.to_owned())));
            }
            _ => {}
        }
    }
}

/// Where a virtual server listens.
fn endpoints(
    statement: &Statement,
    groups: &HashMap<&str, Vec<Endpoint>>,
    out: &mut Translation,
) -> Vec<Endpoint> {
    let nowhere = Endpoint { address: None, port: 0 };
    match statement.value() {
        Some("group") => {
            let group = statement.word(2).unwrap_or_default();
            let found = groups.get(group).cloned().unwrap_or_default();
            if found.is_empty() {
                let outcome = "the group has no address that elb could serve";
                out.notes.push(lacking(statement.line, &statement.text(), outcome));
                return vec![nowhere];
            }
            found
        }
        Some("fwmark") | None => vec![nowhere],
        Some(address) => {
            let address = address.parse().ok();
            let port = statement.word(2).unwrap_or("0").parse().unwrap_or(0);
            vec![Endpoint { address, port }]
        }
    }
}

/// The addresses and ports of a group: `10.0.0.1 80`, `10.0.0.1-5 80`, `fwmark 3`.
fn group(statement: &Statement, out: &mut Translation) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for line in &statement.block {
        let port = line.value().unwrap_or("0").parse().unwrap_or(0);
        match range(line.keyword()) {
            Some(addresses) => {
                let all = addresses.into_iter();
                found.extend(all.map(|address| Endpoint { address: Some(address), port }));
            }
            None => {
                let outcome = "elb listens on addresses and ports only; it is left out";
                out.notes.push(lacking(line.line, &line.text(), outcome));
            }
        }
    }
    found
}

/// `10.0.0.1`, or `10.0.0.1-5`: the last number goes up to 5.
fn range(text: &str) -> Option<Vec<IpAddr>> {
    let Some((first, last)) = text.split_once('-') else { return Some(vec![text.parse().ok()?]) };
    let first: IpAddr = first.parse().ok()?;
    let all = |last: u8, byte: u8| 0..=last.saturating_sub(byte);
    match first {
        IpAddr::V4(first) => {
            let [a, b, c, d] = first.octets();
            let last = last.parse().ok()?;
            Some(all(last, d).map(|n| IpAddr::from([a, b, c, d + n])).collect())
        }
        IpAddr::V6(first) => {
            let octets = first.octets();
            let last = u8::from_str_radix(last, 16).ok()?;
            let with = |n: u8| {
                let mut octets = octets;
                octets[15] += n;
                IpAddr::from(octets)
            };
            Some(all(last, octets[15]).map(with).collect())
        }
    }
}
