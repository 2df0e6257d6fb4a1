//! Health checks of other load balancers as a monitor of a pool.

use toml::Value;

use super::section::Section;
use crate::model::Protocol;
use crate::model::command::CommandCheck;
use crate::model::monitor::{ProbeSeconds, ProbeText};

/// Milliseconds between probes, and for one.
const MILLISECONDS: (u64, u64) = (ProbeSeconds::LEAST as u64, ProbeSeconds::MOST as u64);
/// How many results in a row may change a verdict.
const RETRIES: (u64, u64) = (1, 10);
/// Milliseconds for a probe where neither file says more.
const TIMEOUT: u64 = 3000;

/// What a check does, as other load balancers have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Check {
    /// `type` of the monitor.
    pub(super) kind: &'static str,
    /// Milliseconds.
    pub(super) delay: Option<u64>,
    /// Milliseconds.
    pub(super) timeout: Option<u64>,
    pub(super) max_retries: Option<u64>,
    pub(super) max_retries_down: Option<u64>,
    pub(super) port: Option<u16>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) codes: Option<String>,
    /// What the body of an answer must have in it.
    pub(super) body: Option<String>,
    /// What is said over TCP, and what must come back.
    pub(super) send: Option<String>,
    pub(super) expect: Option<String>,
    /// What is run, for the type COMMAND.
    pub(super) command: Option<Vec<String>>,
    /// What has no equal.
    pub(super) notes: Vec<String>,
}

impl Check {
    /// The monitor of a pool, with a note for each value that had to change.
    pub(super) fn monitor(&self, protocol: Protocol) -> Section {
        let mut monitor = Section::default();
        monitor.notes.clone_from(&self.notes);
        let command = self.command(&mut monitor);
        let kind = match (command.is_some(), self.kind, protocol) {
            (true, ..) => "COMMAND",
            (false, _, Protocol::Udp) => "UDP_CONNECT",
            (false, "COMMAND", _) => "TCP",
            (false, kind, _) => kind,
        };
        monitor.set("type", kind);
        if let Some(command) = command {
            monitor.set("command", command);
        }
        let delay = self.delay.map(|delay| in_range("the interval", delay, &mut monitor));
        let timeout = self.timeout.map(|timeout| in_range("the timeout", timeout, &mut monitor));
        if let Some(delay) = delay {
            monitor.set("delay", seconds(delay));
        }
        // A probe that takes longer than the interval makes verdicts late.
        let timeout = match (delay, timeout) {
            (Some(delay), timeout) => Some(timeout.unwrap_or(TIMEOUT).min(delay)),
            (None, timeout) => timeout,
        };
        if let Some(timeout) = timeout {
            monitor.set("timeout", seconds(timeout));
        }
        let retries =
            [("max_retries", self.max_retries), ("max_retries_down", self.max_retries_down)];
        for (key, count) in retries {
            if let Some(count) = count {
                let count = clamped(key, count, RETRIES, &mut monitor);
                monitor.set(key, count);
            }
        }
        if let Some(port) = self.port {
            monitor.set("monitor_port", i64::from(port));
        }
        if kind == "TCP" {
            self.words(&mut monitor);
        }
        if ["HTTP", "HTTPS"].contains(&kind) {
            let keys = [
                ("http_method", &self.method),
                ("url_path", &self.path),
                ("domain_name", &self.host),
                ("expected_codes", &self.codes),
                ("expected_body", &self.body_of_request(&mut monitor)),
            ];
            for (key, value) in keys {
                if let Some(value) = value {
                    monitor.set(key, value.as_str());
                }
            }
        }
        monitor
    }

    /// What is run, if it can be.
    fn command(&self, monitor: &mut Section) -> Option<Vec<String>> {
        if self.kind != "COMMAND" {
            return None;
        }
        let command = self.command.clone().unwrap_or_default();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        if let Some(wrong) = CommandCheck::wrong(&words) {
            monitor.notes.push(format!("{wrong}: the port alone is probed"));
            return None;
        }
        let note = "it runs as [agent] check_user, by default `nobody`, and gets ELB_MEMBER_ADDRESS and \
                    ELB_MEMBER_PORT: all members of the pool are checked by it (docs/operating.md)";
        monitor.notes.push(note.to_owned());
        Some(command)
    }

    /// What the body must have in it, if that can be said.
    fn body_of_request(&self, monitor: &mut Section) -> Option<String> {
        let body = self.body.clone()?;
        let is_head = self.method.as_deref() == Some("HEAD");
        let wrong = body.parse::<ProbeText>().map_err(|wrong| wrong.to_string()).err();
        let why = if is_head { Some("HEAD is answered without one".to_owned()) } else { wrong };
        match why {
            Some(why) => {
                monitor.notes.push(format!("expected_body {why}: the status code alone decides"));
                None
            }
            None => Some(body),
        }
    }

    /// What is said, if it fits and is answered.
    fn words(&self, monitor: &mut Section) {
        let Some(expect) = &self.expect else {
            if self.send.is_some() {
                let note = "nothing is said where no answer is waited for: a connection is made";
                monitor.notes.push(note.to_owned());
            }
            return;
        };
        let texts = [("send", self.send.as_ref()), ("expect", Some(expect))];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let wrong =
            texts.clone().find_map(|(key, text)| Some((key, text.parse::<ProbeText>().err()?)));
        match wrong {
            Some((key, wrong)) => {
                monitor.notes.push(format!("{key} {wrong}: a connection is made"));
            }
            None => texts.for_each(|(key, text)| monitor.set(key, text.as_str())),
        }
    }
}

/// Milliseconds within what a monitor takes.
fn in_range(what: &str, milliseconds: u64, monitor: &mut Section) -> u64 {
    let (least, most) = MILLISECONDS;
    let clamped = milliseconds.clamp(least, most);
    if clamped != milliseconds {
        let was = format!("{what} was {milliseconds} ms; it is {least} to {most} ms here");
        monitor.notes.push(was);
    }
    clamped
}

/// A whole number of seconds where it is one.
fn seconds(milliseconds: u64) -> Value {
    let whole = i64::try_from(milliseconds / 1000).unwrap_or_default();
    match u32::try_from(milliseconds % 1000) {
        Ok(part @ 1..) => Value::from(whole as f64 + f64::from(part) / 1000.0),
        _ => Value::from(whole),
    }
}

fn clamped(key: &str, count: u64, (least, most): (u64, u64), monitor: &mut Section) -> i64 {
    let clamped = count.clamp(least, most);
    if clamped != count {
        monitor.notes.push(format!("{key} was {count}; it is {least} to {most} here"));
    }
    i64::try_from(clamped).unwrap_or(1)
}
