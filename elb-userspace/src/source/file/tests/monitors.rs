//! Health monitors: what each type takes, and what is said of the others.

use super::messages::says;
use super::*;
use crate::model::monitor::{CheckType, HttpMethod, ProbePath};

const MONITOR: &str = r#"type = "HTTP""#;
const UDP: &str = "forwarding = \"l2\"";

/// The check of the first pool, whose monitor has these lines.
fn check(lines: &str) -> HealthCheck {
    let config = parse("elb.toml", &SMALL.replacen(MONITOR, lines, 1));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.model.pools()[0].healthmonitor.as_ref().unwrap().check.clone()
}

#[test]
fn the_defaults_of_every_type() {
    assert_eq!(check(r#"type = "TCP""#), HealthCheck::Tcp);
    for (name, is_https) in [("HTTP", false), ("HTTPS", true)] {
        let (HealthCheck::Http(http) | HealthCheck::Https(http)) =
            check(&format!("type = \"{name}\""))
        else {
            panic!()
        };
        assert_eq!(matches!(check(&format!("type = \"{name}\"")), HealthCheck::Https(_)), is_https);
        assert_eq!((http.http_method, http.url_path.as_str()), (HttpMethod::Get, "/"));
        assert_eq!((http.domain_name, http.expected_codes.to_string()), (None, "200".into()));
    }
    let HealthCheck::Grpc(grpc) = check(r#"type = "GRPC""#) else { panic!() };
    assert_eq!(grpc.http_method, HttpMethod::Post);
    assert_eq!(grpc.url_path.as_str(), "/grpc.health.v1.Health/Check");
    assert_eq!((grpc.domain_name, grpc.expected_codes.to_string()), (None, "0".into()));
    let HealthCheck::Tls(tls) = check(r#"type = "TLS""#) else { panic!() };
    assert_eq!(tls.domain_name, None);
}

#[test]
fn every_key_of_every_type() {
    let HealthCheck::Tls(tls) = check("type = \"TLS\"\ndomain_name = \"www.example.com\"") else {
        panic!()
    };
    assert_eq!(tls.domain_name.unwrap().as_str(), "www.example.com");
    for name in ["HTTP", "HTTPS"] {
        let lines = format!(
            "type = \"{name}\"\ndomain_name = \"10.0.0.11\"\nurl_path = \"/chat/try/\"\n\
             http_method = \"HEAD\"\nexpected_codes = \"200-204,301\"",
        );
        let (HealthCheck::Http(http) | HealthCheck::Https(http)) = check(&lines) else { panic!() };
        assert_eq!((http.http_method, http.url_path.as_str()), (HttpMethod::Head, "/chat/try/"));
        assert_eq!(http.expected_codes.to_string(), "200-204,301");
        assert_eq!(http.domain_name.unwrap().as_str(), "10.0.0.11");
    }
    let lines = "type = \"GRPC\"\nurl_path = \"/a.B/C\"\nhttp_method = \"GET\"\n\
                 expected_codes = \"0,12\"";
    let HealthCheck::Grpc(grpc) = check(lines) else { panic!() };
    assert_eq!((grpc.http_method, grpc.url_path.as_str()), (HttpMethod::Get, "/a.B/C"));
    assert_eq!(grpc.expected_codes.to_string(), "0,12");
}

#[test]
fn words_over_tcp() {
    let HealthCheck::Talk(talk) =
        check("type = \"TCP\"\nsend = \"PING\\r\\n\"\nexpect = \"+PONG\"")
    else {
        panic!()
    };
    assert_eq!(talk.send.unwrap().as_bytes(), b"PING\r\n");
    assert_eq!(talk.expect.as_bytes(), b"+PONG");
    let HealthCheck::Talk(talk) = check("type = \"TCP\"\nexpect = '220 \\r'") else { panic!() };
    assert_eq!((talk.send, talk.expect.as_bytes()), (None, &b"220 \\r"[..]));
    let says_of = |lines: &str, what: &str| {
        let (column, what) = what.split_once(' ').unwrap();
        let expected = format!("23:{column} pool \"web\", healthmonitor: {what}");
        says(MONITOR, lines, &[&expected]);
    };
    says_of(
        "type = \"TCP\"\nsend = \"PING\"",
        "8: send has no expect; set expect to what the server answers",
    );
    says_of(
        "type = \"HTTP\"\nexpect = \"ok\"",
        "10: expect is for the type TCP; remove it, or set type to that",
    );
    says_of(
        "type = \"TCP\"\nexpect = \"\"",
        "10: expect has 0 bytes; use 1 to 255 bytes; line ends and others as TOML escapes them: \\r\\n",
    );
}

#[test]
fn bodies_of_http() {
    for name in ["HTTP", "HTTPS"] {
        let lines = format!("type = \"{name}\"\nexpected_body = \"ready\\n\"");
        let (HealthCheck::Http(http) | HealthCheck::Https(http)) = check(&lines) else { panic!() };
        assert_eq!(http.expected_body.unwrap().as_bytes(), b"ready\n");
    }
    says(
        MONITOR,
        "type = \"HTTP\"\nexpected_body = \"ok\"\nhttp_method = \"HEAD\"",
        &[
            "23:17: pool \"web\", healthmonitor: expected_body is not for http_method HEAD, which is \
           answered without a body; use GET or POST",
        ],
    );
    says(
        MONITOR,
        "type = \"GRPC\"\nexpected_body = \"ok\"",
        &["23:17: pool \"web\", healthmonitor: expected_body is for the types HTTP and HTTPS; \
           remove it, or set type to one of these"],
    );
}

#[test]
fn seconds_may_have_a_fraction() {
    let of = |lines: &str| {
        let config = parse("elb.toml", &SMALL.replacen(MONITOR, &format!("{MONITOR}\n{lines}"), 1));
        let monitor = config.unwrap().model.pools()[0].healthmonitor.clone().unwrap();
        (monitor.delay.seconds(), monitor.timeout.seconds())
    };
    assert_eq!(of("delay = 0.2\ntimeout = 1.5e-1"), (0.2, 0.15));
    assert_eq!(of("delay = 0x0A\ntimeout = 10"), (10.0, 10.0));
    assert_eq!(of("delay = 50.0\ntimeout = 0.100_4"), (50.0, 0.1));
}

/// Acceptance 23: the protocol of the pool says which types there are.
#[test]
fn a23_the_type_fits_the_pool() {
    for (pool, listed) in
        [("web", "TCP, HTTP, HTTPS, TLS, GRPC or COMMAND"), ("dns", "UDP_CONNECT or COMMAND")]
    {
        for check_type in CheckType::ALL.iter().filter(|one| **one != CheckType::Command) {
            let is_udp = *check_type == CheckType::UdpConnect;
            let (text, at, protocol) = if pool == "web" {
                (SMALL.replacen(MONITOR, &format!("type = \"{check_type}\""), 1), "22:8", "TCP")
            } else {
                let monitor = format!("{UDP}\nhealthmonitor = {{ type = \"{check_type}\" }}");
                (SMALL.replacen(UDP, &monitor, 1), "31:26", "UDP")
            };
            let result = parse("elb.toml", &text);
            if is_udp == (pool == "dns") {
                assert!(result.is_ok(), "{pool} {check_type}: {}", result.unwrap_err());
                continue;
            }
            let errors = result.unwrap_err();
            let own = errors.iter().find(|error| error.object.contains("healthmonitor"));
            let own = own.unwrap().to_string();
            let expected = format!(
                "elb.toml:{at}: pool \"{pool}\", healthmonitor: type {check_type} does not probe \
                 members of {protocol}; use {listed}",
            );
            assert_eq!(own, expected);
        }
    }
}

#[test]
fn keys_that_a_type_does_not_have() {
    let refused = |name: &str, line: &str, says_what: &str| {
        let to = format!("type = \"{name}\"\n{line}");
        let key = line.split_once(' ').unwrap().0;
        let column = key.len() + 4;
        let expected = format!(
            "23:{column}: pool \"web\", healthmonitor: {key} is for the types {says_what}; \
             remove it, or set type to one of these",
        );
        says(MONITOR, &to, &[&expected]);
    };
    for name in ["TCP", "TLS"] {
        refused(name, r#"url_path = "/""#, "HTTP, HTTPS and GRPC");
        refused(name, r#"http_method = "GET""#, "HTTP, HTTPS and GRPC");
        refused(name, r#"expected_codes = "200""#, "HTTP, HTTPS and GRPC");
    }
    refused("TCP", r#"domain_name = "a.example""#, "HTTP, HTTPS, TLS and GRPC");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn values_that_are_wrong() {
    let wrong = |name: &str, line: &str, what: &str| {
        let column = line.split_once(' ').unwrap().0.len() + 4;
        let expected = format!("23:{column}: pool \"web\", healthmonitor: {what}");
        says(MONITOR, &format!("type = \"{name}\"\n{line}"), &[&expected]);
    };
    says(
        MONITOR,
        r#"type = "PING""#,
        &["22:8: pool \"web\", healthmonitor: type \"PING\" is not known; use TCP, HTTP, HTTPS, \
             TLS, GRPC, UDP_CONNECT or COMMAND"],
    );
    let path = "use a path that starts with /, of at most 80 characters: letters, digits and \
                -/.?#%&_;~!()*[]@$^:',+; others percent-encoded";
    for name in ["HTTP", "HTTPS"] {
        wrong(name, r#"url_path = "x""#, &format!("url_path \"x\" is not a path; {path}"));
        wrong(
            name,
            r#"expected_codes = "100""#,
            "expected_codes \"100\" is not a list of codes; use at most 5 codes or ranges within \
             200..=599, for example 200,202-204",
        );
    }
    wrong(
        "HTTP",
        &format!(r#"url_path = "/{}""#, "a".repeat(80)),
        &format!("url_path has 81 characters; {path}"),
    );
    wrong(
        "GRPC",
        r#"expected_codes = "200""#,
        "expected_codes \"200\" is not a list of codes; use at most 5 codes or ranges within \
         0..=99, for example 0,2-4",
    );
    wrong(
        "GRPC",
        r#"http_method = "HEAD""#,
        "http_method HEAD is not for type GRPC; use POST, or leave it out",
    );
    wrong(
        "HTTP",
        r#"http_method = "PUT""#,
        "http_method \"PUT\" is not supported by this version; use GET, HEAD or POST",
    );
    wrong("TCP", "delay = 51", "delay 51 is outside 0.1..=50; use 0.1 to 50 seconds");
    wrong("TCP", "delay = 0.05", "delay 0.05 is outside 0.1..=50; use 0.1 to 50 seconds");
    wrong("TCP", "delay = nan", "delay NaN is outside 0.1..=50; use 0.1 to 50 seconds");
    wrong(
        "TCP",
        "delay = \"200ms\"",
        "delay is of the type string; write a number without quotes, as in 5 or 0.2",
    );
    wrong("TCP", "timeout = 0", "timeout 0 is outside 0.1..=50; use 0.1 to 50 seconds");
    wrong(
        "TCP",
        "max_retries = 11",
        "max_retries 11 is outside 1..=10; use 1 to 10 results in a row",
    );
    wrong(
        "TCP",
        "max_retries_down = 0",
        "max_retries_down 0 is outside 1..=10; use 1 to 10 results in a row",
    );
    wrong("TCP", "monitor_port = 0", "monitor_port 0 is outside 1..=65535; use 1 to 65535");
    says(
        "interfaces = [\"eth0\"]",
        "interfaces = [\"eth0\"]\nprobe_source = \"224.0.0.1\"\nprobe_source_ipv6 = \"10.0.0.1\"",
        &[
            "4:16: [agent]: probe_source 224.0.0.1 is a multicast address; use a unicast address \
             that the members accept as a source",
            "5:21: [agent]: probe_source_ipv6 \"10.0.0.1\" is not an IPv6 address; write it as in \
             \"2001:db8::10\"",
        ],
    );
}

/// A command has a user of its own, and no keys of other checks.
#[test]
fn commands() {
    let lines = "type = \"COMMAND\"\ncommand = [\"/usr/lib/elb/check\", \"a b\"]";
    let HealthCheck::Command(command) = check(lines) else { panic!() };
    assert_eq!((command.program(), command.command.len()), ("/usr/lib/elb/check", 2));
    assert_eq!(command.user.as_str(), "nobody");
    let text = SMALL.replacen(MONITOR, lines, 1);
    let text = text.replacen("[agent]\n", "[agent]\ncheck_user = \"elb-check\"\n", 1);
    let model = parse("elb.toml", &text).unwrap().model;
    let monitor = model.pools()[0].healthmonitor.as_ref().unwrap();
    assert_eq!(monitor.probe_path, ProbePath::Direct);
    let HealthCheck::Command(command) = &monitor.check else { panic!() };
    assert_eq!(command.user.as_str(), "elb-check");
    let said = |lines: &str, expected: &str| says(MONITOR, lines, &[expected]);
    said(
        "type = \"COMMAND\"",
        "21:1: pool \"web\", healthmonitor: command is missing; set it to the path of a command and its \
         arguments, as in [\"/usr/lib/elb/check\"]",
    );
    said(
        "type = \"COMMAND\"\ncommand = [\"check\"]",
        "23:11: pool \"web\", healthmonitor: command begins with \"check\", which is not an absolute path; use an \
         absolute path and its arguments, at most 32 texts of up to 1024 bytes without NUL",
    );
    said(
        "type = \"TCP\"\ncommand = [\"/x\"]",
        "23:11: pool \"web\", healthmonitor: command is for the type COMMAND; remove it, or set type to that",
    );
    said(
        &format!("{lines}\nprobe_path = \"vip\""),
        "24:14: pool \"web\", healthmonitor: probe_path is not for the type COMMAND; remove it: the command gets \
         the member's own address",
    );
}
