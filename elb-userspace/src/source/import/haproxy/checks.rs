//! Checks of servers as the monitor of their pool.

use std::str::SplitWhitespace;

use super::dialog;
use super::time::milliseconds;
use crate::model::Protocol;
use crate::source::import::check::Check;
use crate::source::import::haproxy_words::Line;
use crate::source::import::section::{Section, lacking};

/// Milliseconds between checks, results in a row that make a server up, and down, unless a file says so.
const INTER: u64 = 2000;
const RISE: u64 = 2;
const FALL: u64 = 3;
/// Any 2xx or 3xx is healthy.
const USUAL_CODES: &str = "200-399";

/// The checks of the servers of a pool, which has one monitor.
pub(super) struct Checks {
    check: Check,
    /// Whether some server is checked.
    is_on: bool,
    is_tls: bool,
    /// Whether all is read that a probe says and waits for.
    is_said: bool,
}

impl Default for Checks {
    fn default() -> Self {
        let check = Check {
            kind: "TCP",
            delay: Some(INTER),
            max_retries: Some(RISE),
            max_retries_down: Some(FALL),
            ..Check::default()
        };
        Self { check, is_on: false, is_tls: false, is_said: false }
    }
}

impl Checks {
    /// Reads a line of a backend; false: it is not about checks.
    pub(super) fn read(&mut self, line: &Line) -> bool {
        let check = &mut self.check;
        match (line.word(0), line.word(1)) {
            ("timeout", "check") => check.timeout = milliseconds(line.word(2)),
            ("option", "httpchk") => self.read_httpchk(line),
            ("option", "ssl-hello-chk") => check.kind = "TLS",
            ("option", "tcp-check") => check.kind = "TCP",
            // What haproxy itself says and waits for.
            ("option", "redis-check") => {
                check.send = Some("*1\r\n$4\r\nPING\r\n".to_owned());
                check.expect = Some("+PONG\r\n".to_owned());
            }
            ("option", "smtpchk") => {
                check.expect = Some("220".to_owned());
                let outcome = "the server's greeting (220) is waited for, and nothing is said";
                check.notes.push(lacking(line.number, &line.text(), outcome));
            }
            ("option", "mysql-check" | "pgsql-check" | "ldap-check") => {
                let outcome = "a connection is made, nothing is said on it";
                check.notes.push(lacking(line.number, &line.text(), outcome));
            }
            ("http-check", "send") => read_send(line, check),
            ("http-check", "expect") => {
                let lacks = |outcome: &str| lacking(line.number, &line.text(), outcome);
                match (line.word(2), dialog::expected(line)) {
                    ("status", _) => check.codes = Some(line.word(3).to_owned()),
                    (_, Some((text, note))) => {
                        check.body = Some(text);
                        check.notes.extend(note.map(lacks));
                    }
                    (_, None) => check.notes.push(lacks("the status code alone decides")),
                }
            }
            ("tcp-check", _) => dialog::read(line, check, &mut self.is_said),
            ("option", "external-check") => check.kind = "COMMAND",
            ("external-check", "command") => check.command = Some(external(line.word(2))),
            ("external-check", "path") => {
                let outcome = "a command finds others by the default path of its shell";
                check.notes.push(lacking(line.number, &line.text(), outcome));
            }
            ("http-check" | "external-check", _)
            | ("option", "log-health-checks" | "spop-check") => {
                if line.word(1) != "log-health-checks" {
                    let outcome = "it is left out";
                    check.notes.push(lacking(line.number, &line.text(), outcome));
                }
            }
            _ => return false,
        }
        true
    }

    /// `option httpchk [METHOD] PATH [VERSION [\r\nHost: NAME]]`.
    fn read_httpchk(&mut self, line: &Line) {
        self.check.kind = "HTTP";
        let words = line.from(2);
        let (method, path) = match words {
            [] => ("OPTIONS", "/"),
            [path] => ("OPTIONS", path.as_str()),
            [method, path, ..] => (method.as_str(), path.as_str()),
        };
        self.check.method = Some(method.to_owned());
        self.check.path = Some(path.to_owned());
        self.check.codes.get_or_insert(USUAL_CODES.to_owned());
        let rest = words.get(2..).unwrap_or_default().join(" ");
        let host = rest.to_ascii_lowercase().find("host:").map(|at| &rest[at + 5..]);
        let host =
            host.map(str::split_whitespace).and_then(|mut words: SplitWhitespace<'_>| words.next());
        self.check.host = host.map(str::to_owned).or(self.check.host.take());
    }

    /// Reads a word of a server, and its value; false: it is not about checks.
    pub(super) fn read_server_word<'a>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> bool {
        let check = &mut self.check;
        match word {
            "inter" => check.delay = rest.next().and_then(milliseconds).or(check.delay),
            "rise" => check.max_retries = rest.next().and_then(|n| n.parse().ok()),
            "fall" => check.max_retries_down = rest.next().and_then(|n| n.parse().ok()),
            "port" => check.port = rest.next().and_then(|port| port.parse().ok()),
            "check-ssl" => self.is_tls = true,
            "fastinter" | "downinter" | "check-sni" | "check-alpn" | "check-proto" | "addr" => {
                rest.next();
            }
            "check-send-proxy" | "no-check-ssl" => {}
            _ => return false,
        }
        true
    }

    /// Notes a server that is checked differently from others of its pool.
    pub(super) fn note_server(&mut self, probes: bool, line: &Line, server: &mut Section) {
        if !probes && self.is_on {
            let outcome = "it is not checked there; all members of a pool are checked alike";
            server.lacks(line.number, line.word(1), outcome);
        }
        self.is_on |= probes;
    }

    /// The monitor; none: no server is checked.
    pub(super) fn monitor(&self, protocol: Protocol) -> Option<Section> {
        let mut check = self.check.clone();
        if self.is_tls {
            if check.expect.take().is_some() {
                check.notes.push("nothing is said over TLS: a handshake is made".to_owned());
            }
            check.kind = match check.kind {
                "HTTP" => "HTTPS",
                "COMMAND" => "COMMAND",
                _ => "TLS",
            };
        }
        if let Some(method) = check.method.take() {
            // With HEAD there is no body.
            let instead = if check.body.is_some() { "GET" } else { "HEAD" };
            let is_known = ["GET", "HEAD", "POST"].contains(&&*method);
            if !is_known {
                check.notes.push(format!("method {method}: probes ask with GET, HEAD or POST"));
            }
            // Where the body is looked at, haproxy does not look at the status.
            if check.body.is_some() && check.codes.as_deref() == Some(USUAL_CODES) {
                check.codes = Some("200-599".to_owned());
            }
            check.method = Some(if is_known { method } else { instead.to_owned() });
        }
        self.is_on.then(|| check.monitor(protocol))
    }
}

/// haproxy's own arguments: address and port of the proxy, which a backend has not, and of the server.
fn external(program: &str) -> Vec<String> {
    const AS_HAPROXY: &str =
        r#"exec "$0" NOT_USED NOT_USED "$ELB_MEMBER_ADDRESS" "$ELB_MEMBER_PORT""#;
    ["/bin/sh", "-c", AS_HAPROXY, program].map(str::to_owned).to_vec()
}

/// `http-check send [meth M] [uri U] [ver V] [hdr NAME VALUE]`.
fn read_send(line: &Line, check: &mut Check) {
    let mut words = line.from(2).iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "meth" => check.method = words.next().map(str::to_owned),
            "uri" => check.path = words.next().map(str::to_owned),
            "ver" => {
                words.next();
            }
            "hdr" => {
                let name = words.next().unwrap_or_default();
                let value = words.next().unwrap_or_default();
                if name.eq_ignore_ascii_case("host") {
                    check.host = Some(value.to_owned());
                } else {
                    check.notes.push(lacking(
                        line.number,
                        &format!("hdr {name}"),
                        "it is left out",
                    ));
                }
            }
            _ => {
                check.notes.push(lacking(line.number, word, "it is left out"));
                words.next();
            }
        }
    }
}
