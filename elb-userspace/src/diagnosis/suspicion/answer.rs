//! A connection, but not the answer that is wanted.

use crate::diagnosis::check::Check as Checked;
use crate::diagnosis::evidence::{Evidence, Quiet, WantedMember};
use crate::diagnosis::fix;
use crate::diagnosis::report::{Finding, Outcome};
use crate::health::{Cause, Stage, host_field};
use crate::model::monitor::{DomainName, ExpectedCodes, HealthCheck, HttpCheck, HttpMethod};

/// A check of the port alone; with the keys that it does not know the file would be refused.
const ONLY_TCP: &str =
    "type = \"TCP\" without url_path, domain_name, http_method, expected_codes and expected_body";
/// The same of one that is TCP already.
const ONLY_CONNECTS: &str = "type = \"TCP\" without send and expect";

/// The status code is not an expected one: is it the path, the `Host`, or the code?
pub(super) fn status(evidence: &Evidence, seen: u16) -> Finding {
    let Some(http) = http(evidence) else {
        return configuration(evidence, format!("the answer has the status {seen}"), ONLY_TCP);
    };
    let (method, path, host) = (http.http_method, http.url_path.as_str(), own_host(evidence));
    let expected = &http.expected_codes;
    let answered =
        format!("{method} {path} with Host: {host} is answered with {seen}, expected {expected}");
    let over_tls = is_over_tls(evidence);
    let mut good = evidence
        .looks
        .requests
        .iter()
        .filter(|asked| asked.is_good() && asked.over_tls == over_tls);
    if let Some(other) = good.clone().find(|asked| asked.path == path) {
        let what = format!(
            "{answered}, but as expected with Host: {}: the server verifies the Host",
            other.host
        );
        return Finding::seen(Checked::Configuration, Outcome::Fail, what).fix(named_so(
            evidence,
            http,
            &other.host,
        ));
    }
    let other = good.find(|asked| asked.path != path);
    if seen >= 500 || seen == 429 {
        let other = other.map(|asked| asked.path.as_str());
        return says_no(evidence, seen, &answered, other);
    }
    let is_wrong = (400..500).contains(&seen) && ![401, 403].contains(&seen);
    if let Some(other) = other.filter(|_| is_wrong) {
        let what = format!("{answered}, but {} as expected: the path is wrong", other.path);
        let change = format!(
            "url_path = {:?}, or another path that exists; if only the port matters, {ONLY_TCP},",
            other.path
        );
        return configuration(evidence, what, &change);
    }
    if seen == 405 && http.http_method != HttpMethod::Get {
        let what = format!("{answered}: the server does not take this method");
        return configuration(evidence, what, "http_method = \"GET\"");
    }
    let kind = match seen {
        200..=299 => ", which says that it works",
        300..=399 => ", a redirect, which is not followed",
        401 | 403 => ": the server does not let the probe see it",
        404 | 410 => ": the path is wrong, or the Host",
        _ => "",
    };
    // What the configuration would not take is not offered: more than five codes, or no usual one.
    let more = format!("{expected},{seen}");
    let more = more
        .parse::<ExpectedCodes>()
        .map(|_| format!("expected_codes = {more:?} if that is right, "));
    let change = format!(
        "{}a url_path or domain_name that the server knows, or if only the port matters, {ONLY_TCP},",
        more.unwrap_or_default()
    );
    configuration(evidence, format!("{answered}{kind}; the port itself takes connections"), &change)
}

/// How to ask for a host that the server answers for.
fn named_so(evidence: &Evidence, http: &HttpCheck, host: &str) -> String {
    let WantedMember { probe, .. } = &evidence.wanted;
    let is_default = probe.as_ref().is_some_and(|probe| probe.default_host.to_string() == host);
    if http.domain_name.is_some() && is_default {
        return fix::monitor_line(&evidence.wanted, "remove domain_name from");
    }
    match host.parse::<DomainName>() {
        Ok(_) => fix::monitor(&evidence.wanted, &format!("domain_name = {host:?}")),
        // An IPv6 address cannot be set.
        Err(_) => {
            let change = "domain_name = \"NAME\", a name that the server answers for,";
            fix::monitor(&evidence.wanted, change)
        }
    }
}

/// The server runs and answers that it cannot serve; another path may be served all the same.
fn says_no(evidence: &Evidence, seen: u16, answered: &str, other: Option<&str>) -> Finding {
    let target = evidence.target();
    let http = http(evidence);
    if let Some(http) = http.filter(|http| seen == 501 && http.http_method != HttpMethod::Get) {
        let method = http.http_method;
        let what = format!("{answered}: the server does not take {method}");
        return configuration(evidence, what, "http_method = \"GET\"");
    }
    let says = match seen {
        429 => "the service itself says that it gets too many requests",
        503 => "the service itself says that it is not ready",
        _ => "the service itself fails",
    };
    let context = match other {
        Some(other) => format!("{other} is answered as expected"),
        None => "the port takes connections".to_owned(),
    };
    let path = http.map(|http| http.url_path.as_str().to_owned()).unwrap_or_default();
    let what = format!("{answered}: {says}; {context}");
    let finding = Finding::seen(Checked::Listening, Outcome::Fail, what);
    if other.is_some() {
        let scheme = if is_over_tls(evidence) { "https" } else { "http" };
        return finding.fix(format!(
            "on the backend server: curl -i {scheme}://{target}{path}, and the service's log, say what \
             it waits for"
        ));
    }
    finding.fix(format!(
        "on the backend server: find the process with ss -ltnp 'sport = :{}', read its log, then fix and \
         restart it",
        target.port()
    ))
}

/// What answers plain HTTP is no gRPC server.
fn plain_http_for_grpc(evidence: &Evidence, cause: &Cause) -> Option<Finding> {
    if !probes_grpc(evidence) || !answers_plain_http(evidence) {
        return None;
    }
    let port = evidence.target().port();
    let what = format!("port {port} speaks plain HTTP, but is probed with gRPC: {cause}");
    let change = "type = \"HTTP\", with a url_path that it answers,";
    Some(configuration(evidence, what, change))
}

/// The answer is not HTTP.
pub(super) fn not_http(evidence: &Evidence, cause: &Cause) -> Finding {
    if let Some(finding) = plain_http_for_grpc(evidence, cause) {
        return finding;
    }
    let port = evidence.target().port();
    if speaks_tls(evidence) {
        let what = format!("port {port} speaks TLS, but is probed with plain HTTP: {cause}");
        return configuration(evidence, what, "type = \"HTTPS\"");
    }
    let wanted = if http(evidence).is_some() { "HTTP" } else { "gRPC" };
    let what = format!("port {port} takes connections but does not speak {wanted}: {cause}");
    let change = format!("{ONLY_TCP}, or monitor_port to a port that speaks {wanted},");
    configuration(evidence, what, &change)
}

/// TLS cannot be negotiated.
pub(super) fn tls(evidence: &Evidence, cause: &Cause) -> Finding {
    let port = evidence.target().port();
    if answers_plain_http(evidence) {
        let what = format!("port {port} speaks plain HTTP, but is probed with TLS: {cause}");
        return configuration(evidence, what, "type = \"HTTP\"");
    }
    let what = format!("port {port} takes connections, but TLS fails: {cause}");
    let plain = fix::monitor(&evidence.wanted, ONLY_TCP);
    Finding::seen(Checked::Configuration, Outcome::Fail, what).fix(format!(
        "see the service's log and repair its TLS; or, if it does not speak TLS, {plain}"
    ))
}

/// The server sends without end.
pub(super) fn endless(evidence: &Evidence, cause: &Cause) -> Finding {
    let target = evidence.target();
    let what = format!("{target} takes connections, but its answer has no end: {cause}");
    Finding::seen(Checked::Listening, Outcome::Fail, what).fix(format!(
        "on the backend server: ss -ltnp 'sport = :{}' says whose it is; stop it or repair it; or {}",
        target.port(),
        fix::monitor(&evidence.wanted, ONLY_TCP)
    ))
}

/// gRPC's answer is not the wanted one.
pub(super) fn grpc(evidence: &Evidence, cause: &Cause) -> Finding {
    let port = evidence.target().port();
    let what = format!("port {port} takes connections, but the gRPC check fails: {cause}");
    if matches!(cause, Cause::NotServing { .. }) {
        return Finding::seen(Checked::Listening, Outcome::Fail, what)
            .fix("on the backend server: the service itself says so; read its log");
    }
    let change = format!("url_path, expected_codes, or {ONLY_TCP},");
    configuration(evidence, what, &change)
}

/// The answer over TCP is not the wanted one.
pub(super) fn words(evidence: &Evidence, cause: &Cause) -> Finding {
    let port = evidence.target().port();
    let what = format!("port {port} takes connections, but answers otherwise: {cause}");
    let change = format!("send, expect, or {ONLY_CONNECTS},");
    Finding::seen(Checked::Configuration, Outcome::Fail, what).fix(format!(
        "on the backend server: the log of the service at port {port} says what it lacks; or {}",
        fix::monitor(&evidence.wanted, &change)
    ))
}

/// The status is an expected one, and the body is not.
pub(super) fn body(evidence: &Evidence, cause: &Cause) -> Finding {
    let target = evidence.target();
    let (method, path) = http(evidence)
        .map_or((HttpMethod::Get, "/"), |http| (http.http_method, http.url_path.as_str()));
    let host = own_host(evidence);
    let scheme = if is_over_tls(evidence) { "https" } else { "http" };
    let what = format!("{method} {path} with Host: {host} is answered otherwise: {cause}");
    let change = fix::monitor(&evidence.wanted, "expected_body, url_path or domain_name");
    Finding::seen(Checked::Configuration, Outcome::Fail, what).fix(format!(
        "on the backend server: curl -i -H 'Host: {host}' {scheme}://{target}{path}, and the service's log, \
         say what it lacks; or {change}"
    ))
}

/// The connection broke before the answer.
pub(super) fn broken(evidence: &Evidence, cause: &Cause) -> Vec<Finding> {
    let target = evidence.target();
    match evidence.looks.quiet {
        Some(Quiet::Closes) if fails_by_itself(evidence) => vec![breaks_off(evidence)],
        Some(Quiet::Closes) => vec![turned_away(evidence), fails_at_once(evidence)],
        Some(Quiet::Resets) => vec![overflows(evidence, cause), turned_away(evidence)],
        _ if speaks_tls(evidence) && http(evidence).is_some() => vec![not_http(evidence, cause)],
        Some(Quiet::Stays | Quiet::Speaks) | None => {
            if let Some(finding) = plain_http_for_grpc(evidence, cause) {
                return vec![finding];
            }
            if probes_grpc(evidence) && matches!(cause, Cause::Broken { .. }) {
                return vec![overflows(evidence, cause)];
            }
            let what = format!("{target} takes connections, but breaks them off: {cause}");
            let plain = fix::monitor(&evidence.wanted, ONLY_TCP);
            let finding = Finding::seen(Checked::Configuration, Outcome::Fail, what).fix(format!(
                "see the service's log; or, if it does not speak the check's protocol, {plain}"
            ));
            vec![finding, overflows(evidence, cause)]
        }
    }
}

/// What tcp wrappers do: the connection is taken and closed before a word.
fn turned_away(evidence: &Evidence) -> Finding {
    let (target, source) = (evidence.target(), evidence.source());
    let what = format!(
        "{target} takes a connection from {source} and closes it before anything is sent, as tcp \
         wrappers do for a host in /etc/hosts.deny"
    );
    Finding::inferred(Checked::HostsDeny, Outcome::Fail, what).fix(format!(
        "on the backend server: grep -v '^#' /etc/hosts.deny; remove the entry that covers {source}, \
         or allow it: echo 'ALL: {source}' >> /etc/hosts.allow"
    ))
}

fn fails_at_once(evidence: &Evidence) -> Finding {
    let target = evidence.target();
    let what = format!("a service at {target} that fails for each connection looks the same");
    Finding::inferred(Checked::Listening, Outcome::Fail, what).fix(format!(
        "on the backend server: read the log of the service at {target}, which closes each connection, \
         and try it there: curl -v telnet://{target}"
    ))
}

/// Whether the member's host says that neither tcp wrappers nor a lack of resources is why.
fn fails_by_itself(evidence: &Evidence) -> bool {
    let said = |check| evidence.inspection.as_ref().and_then(|said| said.finding(check));
    let is = |check, outcome| said(check).is_some_and(|finding| finding.outcome == outcome);
    is(Checked::HostsDeny, Outcome::Pass) && !is(Checked::Load, Outcome::Fail)
}

fn breaks_off(evidence: &Evidence) -> Finding {
    let target = evidence.target();
    let what = format!(
        "{target} takes connections and closes each before anything is sent, and hosts.deny is not \
         why: the service itself fails"
    );
    Finding::seen(Checked::Listening, Outcome::Fail, what).fix(format!(
        "on the backend server: find the process with ss -ltnp 'sport = :{}', read its log, then fix and \
         restart it",
        target.port()
    ))
}

fn overflows(evidence: &Evidence, cause: &Cause) -> Finding {
    let target = evidence.target();
    let what = format!(
        "{target} takes connections and breaks them off ({cause}), as an overloaded service does"
    );
    Finding::inferred(Checked::Load, Outcome::Warn, what).fix(
        "on the backend server: uptime; nstat -az TcpExtListenOverflows TcpExtTCPAbortOnMemory; the \
         service's log; then give it more, or add members",
    )
}

/// The answer did not come in time.
pub(super) fn late(evidence: &Evidence, cause: &Cause) -> Vec<Finding> {
    let target = evidence.target();
    let Some(http) = http(evidence) else {
        let handshake = *cause == Cause::Timeout { stage: Stage::Handshake };
        if handshake && answers_plain_http(evidence) {
            return vec![tls(evidence, cause)];
        }
        return vec![slow(evidence, cause)];
    };
    let path = http.url_path.as_str();
    let mut answered = evidence.looks.requests.iter().filter(|asked| asked.is_answered());
    if let Some(other) = answered.find(|asked| asked.path != path) {
        let method = http.http_method;
        let what =
            format!("{method} {path} at {target} is not answered in time, but {} is", other.path);
        let change = format!("url_path = {:?}, a static file,", other.path);
        return vec![configuration(evidence, what, &change), slow(evidence, cause)];
    }
    if speaks_tls(evidence) {
        return vec![not_http(evidence, cause)];
    }
    vec![slow(evidence, cause)]
}

/// Whether the member's host says that it is short of nothing: then the service itself is late.
fn is_late_by_itself(evidence: &Evidence) -> bool {
    let load = evidence.inspection.as_ref().and_then(|said| said.finding(Checked::Load));
    load.is_some_and(|finding| finding.outcome == Outcome::Pass)
}

fn slow(evidence: &Evidence, cause: &Cause) -> Finding {
    let target = evidence.target();
    let timeout = evidence.wanted.probe.as_ref().map(|probe| probe.timeout).unwrap_or_default();
    let what = format!(
        "the kernel of {target} takes connections, but the service answers none within {timeout:?}: \
         {cause}"
    );
    if is_late_by_itself(evidence) {
        let what =
            format!("{what}; its host is short of nothing: the service itself is slow or hangs");
        return Finding::seen(Checked::Listening, Outcome::Fail, what).fix(format!(
            "on the backend server: find the process with ss -ltnp 'sport = :{}', see in its log what it \
             waits for, and restart it; if it is only slow, a longer timeout: {}",
            target.port(),
            fix::monitor(&evidence.wanted, "timeout = SECONDS"),
        ));
    }
    Finding::inferred(Checked::Load, Outcome::Warn, what).fix(format!(
        "on the backend server: uptime; ss -ltn 'sport = :{}'; restart the service or give it more \
         workers; if it is only slow, a longer timeout: {}",
        target.port(),
        fix::monitor(&evidence.wanted, "timeout = SECONDS"),
    ))
}

fn configuration(evidence: &Evidence, what: String, change: &str) -> Finding {
    Finding::seen(Checked::Configuration, Outcome::Fail, what)
        .fix(fix::monitor(&evidence.wanted, change))
}

fn speaks_tls(evidence: &Evidence) -> bool {
    evidence.looks.tls.as_ref().is_some_and(|look| look.result.is_ok())
}

fn answers_plain_http(evidence: &Evidence) -> bool {
    evidence.looks.requests.iter().any(|asked| !asked.over_tls && asked.is_answered())
}

fn probes_grpc(evidence: &Evidence) -> bool {
    evidence.wanted.probe.as_ref().is_some_and(|probe| matches!(probe.check, HealthCheck::Grpc(_)))
}

fn is_over_tls(evidence: &Evidence) -> bool {
    evidence.wanted.probe.as_ref().is_some_and(|probe| matches!(probe.check, HealthCheck::Https(_)))
}

/// The HTTP part of the health check, if it has one.
fn http(evidence: &Evidence) -> Option<&HttpCheck> {
    match &evidence.wanted.probe.as_ref()?.check {
        HealthCheck::Http(http) | HealthCheck::Https(http) => Some(http),
        HealthCheck::Tcp
        | HealthCheck::Talk(_)
        | HealthCheck::UdpConnect
        | HealthCheck::Tls(_)
        | HealthCheck::Grpc(_)
        | HealthCheck::Command(_) => None,
    }
}

/// What the `Host` field of the health check says.
fn own_host(evidence: &Evidence) -> String {
    let Some(probe) = &evidence.wanted.probe else { return String::new() };
    let named = http(evidence).and_then(|http| http.domain_name.as_ref());
    host_field(probe, named, if is_over_tls(evidence) { 443 } else { 80 })
}
