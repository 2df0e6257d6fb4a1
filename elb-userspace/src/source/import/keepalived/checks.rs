//! Checks of real servers as the monitor of their pool.

use crate::model::Protocol;
use crate::source::import::check::Check;
use crate::source::import::keepalived_words::Statement;
use crate::source::import::section::{Section, lacking};

/// Seconds between checks unless the file says so (`delay_loop`).
const DELAY_LOOP: u64 = 60;

/// The checks of the servers of a pool, which has one monitor.
#[derive(Default)]
pub(super) struct Checks {
    /// What the virtual server sets for all.
    common: Check,
    first: Option<Check>,
    notes: Vec<String>,
}

impl Checks {
    /// Whether a keyword of a virtual server is about its checks.
    pub(super) fn is_common(keyword: &str) -> bool {
        ["delay_loop", "connect_timeout", "retry", "delay_before_retry"].contains(&keyword)
    }

    /// Reads what holds for all servers.
    pub(super) fn read_common(&mut self, block: &[Statement]) {
        self.common.delay = Some(DELAY_LOOP * 1000);
        block.iter().for_each(|part| read_common(part, &mut self.common));
    }

    /// Reads the checks of one server.
    pub(super) fn read_server(
        &mut self,
        server: &Statement,
        host: Option<&str>,
        read: fn(&Statement, Check) -> Check,
    ) {
        let mut common = self.common.clone();
        server.block.iter().for_each(|part| read_common(part, &mut common));
        let own = server.block.iter().find(|part| part.keyword() == "virtualhost");
        common.host = own.and_then(Statement::value).or(host).map(str::to_owned);
        let mut checks = server.block.iter().filter(|part| {
            let keyword = part.keyword();
            keyword.ends_with("_CHECK") || keyword.ends_with("_GET")
        });
        let Some(statement) = checks.next() else {
            if self.first.is_some() {
                let outcome = "it has no check there; all members of a pool are checked alike";
                self.notes.push(lacking(server.line, &server.text(), outcome));
            }
            return;
        };
        for other in checks {
            let outcome = "a member has one check; only the first one is here";
            self.notes.push(lacking(other.line, &other.text(), outcome));
        }
        let check = read(statement, common);
        match &self.first {
            None => self.first = Some(check),
            Some(first) if !is_alike(first, &check) => {
                let outcome = "this check differs from the first server's, which all members get";
                self.notes.push(lacking(statement.line, &statement.text(), outcome));
            }
            Some(_) => {}
        }
    }

    /// The monitor; none: no server is checked.
    pub(super) fn monitor(&self, protocol: Protocol) -> Option<Section> {
        let mut check = self.first.clone()?;
        check.notes.extend(self.notes.iter().cloned());
        Some(check.monitor(protocol))
    }
}

/// Whether two checks do the same. Their notes name lines.
fn is_alike(a: &Check, b: &Check) -> bool {
    *a == Check { notes: a.notes.clone(), ..b.clone() }
}

fn read_common(part: &Statement, check: &mut Check) {
    match part.keyword() {
        "delay_loop" => check.delay = milliseconds(part).or(check.delay),
        "connect_timeout" => check.timeout = milliseconds(part),
        // The first failure and its repetitions.
        "retry" | "nb_get_retry" => check.max_retries_down = number(part).map(|n| n + 1),
        _ => {}
    }
}

/// What a check of a server does.
pub(super) fn check(statement: &Statement, mut check: Check) -> Check {
    check.kind = match statement.keyword() {
        "HTTP_GET" => "HTTP",
        "SSL_GET" => "HTTPS",
        "TCP_CHECK" => "TCP",
        "SMTP_CHECK" => {
            check.expect = Some("220".to_owned());
            let outcome = "the server's greeting (220) is waited for, and nothing is said";
            check.notes.push(lacking(statement.line, &statement.text(), outcome));
            "TCP"
        }
        "MISC_CHECK" => "COMMAND",
        _ => {
            let outcome = "the service is asked for nothing: members of TCP pools get a connection, those of \
                           UDP pools an ICMP echo request and a datagram";
            check.notes.push(lacking(statement.line, &statement.text(), outcome));
            "TCP"
        }
    };
    let is_http = check.kind.starts_with("HTTP");
    let mut has_url = false;
    for part in &statement.block {
        match part.keyword() {
            "url" if has_url => {
                check.notes.push(lacking(part.line, "url", "only the first one is asked for"));
            }
            "url" => {
                has_url = true;
                url(part, &mut check);
            }
            "misc_path" if check.kind == "COMMAND" => check.command = Some(command(part)),
            "misc_timeout" if check.kind == "COMMAND" => check.timeout = milliseconds(part),
            "user" if check.kind == "COMMAND" => {
                check.notes.push(lacking(part.line, &part.text(), "set [agent] check_user to it"));
            }
            "misc_dynamic" if check.kind == "COMMAND" => {
                let outcome = "an exit status other than 0 is a failure, and sets no weight";
                check.notes.push(lacking(part.line, &part.text(), outcome));
            }
            "connect_port" => check.port = part.value().and_then(|port| port.parse().ok()),
            "virtualhost" => check.host = part.value().map(str::to_owned),
            "delay_before_retry" => {
                let outcome = "a failed probe is repeated after `delay`";
                check.notes.push(lacking(part.line, &part.text(), outcome));
            }
            "warmup" | "enable_sni" | "alpha" => {}
            "connect_timeout" | "retry" | "nb_get_retry" | "delay_loop" => {
                read_common(part, &mut check);
            }
            _ => check.notes.push(lacking(part.line, &part.text(), "it is left out")),
        }
    }
    if is_http && check.method.is_none() {
        check.method = Some("GET".to_owned());
    }
    check
}

/// The words of a command, which are in one text or are several.
fn command(statement: &Statement) -> Vec<String> {
    let words = statement.words.iter().skip(1);
    words.flat_map(|word| word.split_whitespace().map(str::to_owned)).collect()
}

fn url(statement: &Statement, check: &mut Check) {
    for part in &statement.block {
        match part.keyword() {
            "path" => check.path = part.value().map(str::to_owned),
            "status_code" => check.codes = Some(part.words[1..].join(",")),
            "virtualhost" => check.host = part.value().map(str::to_owned),
            _ => {
                let outcome = "the status code alone decides";
                check.notes.push(lacking(part.line, &part.text(), outcome));
            }
        }
    }
}

fn number(part: &Statement) -> Option<u64> {
    part.value()?.parse().ok()
}

/// A number of seconds, which may have a fraction.
fn milliseconds(part: &Statement) -> Option<u64> {
    let seconds: f64 = part.value()?.parse().ok()?;
    let duration = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(duration.as_millis()).ok()
}
