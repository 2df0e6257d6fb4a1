//! No connection, or no answer to a datagram, although packets leave for the member.

use std::net::IpAddr;

use crate::diagnosis::check::Check;
use crate::diagnosis::evidence::{CONTROL_PORT, Evidence};
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::Cause;
use crate::model::Protocol;

/// A reset answered.
pub(super) fn refused(evidence: &Evidence) -> Vec<Finding> {
    let target = evidence.target();
    let mut suspects = vec![not_listening(evidence, &format!("{target} refuses connections"))];
    if let Some(wrong) = wrong_port(evidence) {
        suspects.insert(0, wrong);
    }
    let what = format!("a rule that rejects with a reset would make {target} look the same");
    suspects.push(firewall(evidence, what));
    suspects
}

/// The service's port takes connections, the probed one does not.
fn wrong_port(evidence: &Evidence) -> Option<Finding> {
    let service = evidence.wanted.service;
    evidence.looks.service.as_ref()?.result.as_ref().ok()?;
    let what = format!(
        "port {} is probed and closed, but the member's own port {} takes connections",
        evidence.target().port(),
        service.port()
    );
    let change = format!("monitor_port = {} (or remove it)", service.port());
    let fix = fix::monitor(&evidence.wanted, &change);
    Some(Finding::seen(Check::Configuration, Outcome::Fail, what).fix(fix))
}

fn not_listening(evidence: &Evidence, what: &str) -> Finding {
    let target = evidence.target();
    let (protocol, flag) = match evidence.wanted.pool.protocol {
        Protocol::Tcp => ("TCP", 't'),
        Protocol::Udp => ("UDP", 'u'),
    };
    let port = target.port();
    let what = format!("{what}: not listening on {protocol} port {port}, or on 127.0.0.1 only");
    Finding::inferred(Check::Listening, Outcome::Fail, what).fix(format!(
        "on the backend server, start the service so that `ss -l{flag}np 'sport = :{port}'` shows \
         0.0.0.0:{port}, [::]:{port} or {target}"
    ))
}

/// ICMP says that nothing has the port: the truth for UDP, a firewall's word for TCP.
pub(super) fn port_unreachable(evidence: &Evidence, by: IpAddr, cause: &Cause) -> Vec<Finding> {
    let is_datagram = evidence.wanted.pool.protocol == Protocol::Udp;
    if by == evidence.address() && is_datagram {
        let target = evidence.target();
        let what = format!("{target} is answered with ICMP port unreachable");
        let reject = "a rule that rejects looks the same".to_owned();
        return vec![not_listening(evidence, &what), firewall(evidence, reject)];
    }
    prohibited(evidence, by, cause)
}

/// A host says with ICMP that packets are not let through.
pub(super) fn prohibited(evidence: &Evidence, by: IpAddr, cause: &Cause) -> Vec<Finding> {
    if by == evidence.address() {
        let what = format!("the backend server's own packet filter rejects probes: {cause}");
        return vec![firewall(evidence, what)];
    }
    let what = format!("a packet filter on the way, at {by}, rejects probes: {cause}");
    vec![network_acl(evidence, what.clone()), security_group(evidence, what, &probed(evidence))]
}

/// Nothing at all came back from the probed port.
pub(super) fn silent(evidence: &Evidence) -> Vec<Finding> {
    let (target, source) = (evidence.target(), evidence.source());
    let silent = format!("{target} answers nothing at all to {source}");
    if evidence.looks.stray == Some(true) {
        return listener_is_full(evidence);
    }
    if evidence.control_answers() || service_answers(evidence) {
        return one_port_is_filtered(evidence, &silent);
    }
    let probed = probed(evidence);
    let echo = matches!(evidence.looks.echo, Some(Ok(())));
    let what = if echo {
        format!(
            "{silent}, nor does port {CONTROL_PORT}, but echo requests are answered: ports are filtered"
        )
    } else {
        format!("{silent}, and neither do port {CONTROL_PORT} nor echo requests get an answer")
    };
    let mut suspects = vec![security_group(evidence, what.clone(), &probed)];
    if evidence.way.gateway.is_some() {
        suspects.push(network_acl(evidence, what.clone()));
    }
    suspects.push(firewall(evidence, what.clone()));
    if !echo {
        // Behind a gateway, answers need a route of their own: then nothing at all comes back.
        let place = if evidence.way.gateway.is_some() { 0 } else { suspects.len() };
        suspects.insert(place, no_route_back(evidence, &what));
    }
    suspects
}

fn service_answers(evidence: &Evidence) -> bool {
    evidence.looks.service.as_ref().is_some_and(|look| look.result.is_ok())
}

/// The port is reached, since a stray segment is reset, but connections are not taken.
fn listener_is_full(evidence: &Evidence) -> Vec<Finding> {
    let target = evidence.target();
    let port = target.port();
    let what = format!(
        "{target} is reached, for a stray segment is reset, but it takes no connection: the \
         accept queue of the service is full"
    );
    let load = Finding::inferred(Check::Load, Outcome::Warn, what).fix(format!(
        "on the backend server: ss -ltn 'sport = :{port}' (Recv-Q is full at Send-Q), nstat -az \
         TcpExtListenOverflows; then restart the service, give it more workers or a longer backlog, \
         or add members"
    ));
    vec![
        load,
        firewall(evidence, format!("a rule that drops only openings to {target} looks the same")),
    ]
}

fn one_port_is_filtered(evidence: &Evidence, silent: &str) -> Vec<Finding> {
    let what = format!("{silent}, but other ports of it answer: a rule drops what is for this one");
    let load = "an accept queue that is full would look the same".to_owned();
    vec![
        firewall(evidence, what.clone()),
        Finding::inferred(Check::Load, Outcome::Warn, load),
        security_group(evidence, what, &probed(evidence)),
    ]
}

/// The echo request of a UDP check was not answered.
pub(super) fn no_echo(evidence: &Evidence) -> Vec<Finding> {
    if !evidence.control_answers() {
        return silent(evidence);
    }
    let address = evidence.address();
    let what = format!(
        "{address} does not answer ICMP echo requests, which a UDP check begins with, although it \
         answers TCP: ICMP is blocked"
    );
    let ports = format!("ICMP (echo requests) and {}", probed(evidence));
    let host =
        format!("{what}; on the backend server `sysctl net.ipv4.icmp_echo_ignore_all` must be 0");
    vec![security_group(evidence, what, &ports), firewall(evidence, host)]
}

/// What must be let in, in words.
fn probed(evidence: &Evidence) -> String {
    let port = evidence.target().port();
    let service = evidence.wanted.service.port();
    let protocol = match evidence.wanted.pool.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    };
    if service == port || service == 0 {
        format!("{protocol} port {port}")
    } else {
        format!("{protocol} ports {port} (health check) and {service} (service)")
    }
}

fn security_group(evidence: &Evidence, what: String, allow: &str) -> Finding {
    let (source, address) = (evidence.source(), evidence.address());
    let what =
        format!("{what} (security groups are not on the host: this is inferred from packets)");
    Finding::inferred(Check::SecurityGroup, Outcome::Fail, what).fix(format!(
        "in the cloud's console: let {allow} of {address} in from {source} and its subnet; without \
         a cloud, the same in the firewall of the backend server: {}",
        fix::ask_host(evidence)
    ))
}

fn network_acl(evidence: &Evidence, what: String) -> Finding {
    let (source, address) = (evidence.source(), evidence.address());
    let what = format!("{what} (network ACLs are not on the host: this is inferred from packets)");
    Finding::inferred(Check::NetworkAcl, Outcome::Fail, what).fix(format!(
        "in the ACLs of both subnets, or on the routers between: let {} pass from {source} to \
         {address}, and the answers back",
        probed(evidence)
    ))
}

fn firewall(evidence: &Evidence, what: String) -> Finding {
    let source = evidence.source();
    Finding::inferred(Check::Firewall, Outcome::Fail, what).fix(format!(
        "on the backend server, let {} in from {source}: nft list ruleset, iptables -S; which rule \
         it is, says: {}",
        probed(evidence),
        fix::ask_host(evidence)
    ))
}

fn no_route_back(evidence: &Evidence, what: &str) -> Finding {
    let source = evidence.source();
    let what = format!("{what}: answers find no way back to {source}");
    Finding::inferred(Check::Route, Outcome::Fail, what).fix(format!(
        "on the backend server: ip route get {source}; without a route: ip route add default via \
         GATEWAY dev DEVICE"
    ))
}
