//! One virtual server: its listeners and its pool.

use std::net::IpAddr;

use super::checks::{Checks, check};
use super::{Endpoint, ImportOptions};
use crate::model::{Forwarding, Protocol};
use crate::source::import::counted::{self, Given};
use crate::source::import::keepalived_words::Statement;
use crate::source::import::remembered::{Remembered, bits_of_mask};
use crate::source::import::section::Section;
use crate::source::import::translation::{ListenerDraft, PoolDraft, Translation};
use crate::source::import::weights;

/// What a virtual server says.
pub(super) struct Service<'a> {
    statement: &'a Statement,
    /// As the first comment calls it.
    title: String,
    protocol: Option<Protocol>,
    pool: PoolDraft,
    listener: Section,
    servers: Vec<Server>,
    checks: Checks,
    /// `virtualhost`: the host of HTTP checks that name none.
    host: Option<String>,
    algorithm: &'static str,
    remembered: Remembered,
    forwarding: &'static str,
}

/// Seconds of a `persistence_timeout` without a number.
const PERSISTENCE: u64 = 360;

/// A `real_server`.
struct Server {
    address: String,
    port: u16,
    weight: u32,
    /// `uthreshold`.
    limit: Option<Given>,
    section: Section,
}

impl<'a> Service<'a> {
    pub(super) fn new(statement: &'a Statement, options: &ImportOptions) -> Self {
        let value = |keyword: &str| {
            statement.block.iter().find(|part| part.keyword() == keyword).and_then(Statement::value)
        };
        let mut service = Self {
            statement,
            title: statement.text(),
            protocol: value("protocol").unwrap_or("TCP").to_ascii_uppercase().parse().ok(),
            pool: PoolDraft::default(),
            listener: Section::default(),
            servers: Vec::new(),
            checks: Checks::default(),
            host: value("virtualhost").map(str::to_owned),
            algorithm: "LEAST_CONNECTIONS",
            remembered: Remembered::default(),
            forwarding: options.forwarding.unwrap_or(Forwarding::Ipip).as_str(),
        };
        service.checks.read_common(&statement.block);
        for part in &statement.block {
            service.read(part);
        }
        let pool = &mut service.pool.section;
        service.algorithm = service.remembered.write(pool, service.algorithm);
        service
    }

    fn read(&mut self, part: &Statement) {
        let has_sorry_server = self.has_sorry_server();
        let lacks = &mut self.pool.section;
        let line = part.line;
        let text = part.text();
        match part.keyword() {
            "lb_algo" | "lvs_sched" => self.read_algorithm(part),
            "lb_kind" | "lvs_method" => self.read_forwarding(part),
            "real_server" => self.read_server(part),
            "persistence_timeout" => {
                self.remembered.seconds =
                    part.value().map_or(Some(PERSISTENCE), |text| text.parse().ok());
                self.remembered.asked = Some(Given { line, text });
            }
            "persistence_granularity" => self.read_granularity(part),
            "sorry_server" => self.read_sorry_server(part),
            "sorry_server_lvs_method" => {
                lacks.lacks(line, &text, "packets get to it as to the other members (forwarding)");
            }
            "sorry_server_inhibit" => {}
            "quorum" if has_sorry_server => self.read_quorum(part),
            "quorum" | "hysteresis" | "quorum_up" | "quorum_down" => {
                let outcome = "watch `elb status -o json` or `elb events -f` for it";
                lacks.lacks(line, &text, outcome);
            }
            "smtp_alert" => lacks.lacks(line, &text, "follow `elb events -f` for changes"),
            "ops" => lacks.lacks(line, &text, "flows of UDP stay on their member"),
            "inhibit_on_failure" => lacks.set("flows_on_unhealthy", "keep"),
            // A member of elb is unhealthy until its first check, and its checks are spread.
            "alpha" | "omega" | "ha_suspend" | "warmup" | "protocol" | "virtualhost" => {}
            keyword if Checks::is_common(keyword) || keyword.starts_with("sh-") => {}
            keyword if keyword.starts_with("mh-") || keyword == "hashed" => {}
            _ => lacks.lacks(line, &text, "it is left out"),
        }
    }

    /// `persistence_granularity MASK`, of IPv6 a number of bits.
    fn read_granularity(&mut self, part: &Statement) {
        let mask = part.value().unwrap_or_default();
        let bits = bits_of_mask(mask);
        match bits {
            Some(bits @ 1..=32) if mask.contains('.') => self.remembered.prefix = Some(bits),
            Some(bits @ 1..=128) if !mask.contains('.') => {
                self.remembered.ipv6_prefix = Some(bits);
            }
            _ => {
                let outcome = "each client address counts by itself";
                self.pool.section.lacks(part.line, &part.text(), outcome);
            }
        }
    }

    fn has_sorry_server(&self) -> bool {
        self.statement.block.iter().any(|part| part.keyword() == "sorry_server")
    }

    /// `sorry_server ADDRESS [PORT]`: a member that serves while no other does.
    fn read_sorry_server(&mut self, part: &Statement) {
        let address = part.value().unwrap_or_default().to_owned();
        let mut section = Section::default();
        let note = format!("line {}: `{}`: it is probed as the others are", part.line, part.text());
        section.notes.push(note);
        section.set("backup", true);
        let port = part.word(2).and_then(|port| port.parse().ok()).unwrap_or(0);
        self.servers.push(Server { address, port, weight: 1, limit: None, section });
    }

    /// `quorum WEIGHT`: so much of the real servers' weights must live, or the sorry server serves.
    fn read_quorum(&mut self, part: &Statement) {
        let Some(quorum) = part.value().and_then(|text| text.parse::<i64>().ok()) else { return };
        let weights = |server: &Statement| server.block.iter().any(|one| one.keyword() == "weight");
        let mut servers = self.statement.block.iter().filter(|one| one.keyword() == "real_server");
        let outcome = if servers.any(weights) {
            "members are counted, not their weights; the others serve on next to it"
        } else {
            "the members that still live serve on next to it"
        };
        self.pool.section.lacks(part.line, &part.text(), outcome);
        if quorum > 1 {
            self.pool.section.set("backup_below", quorum);
        }
    }

    fn read_algorithm(&mut self, part: &Statement) {
        let has = |keyword: &str| self.statement.block.iter().any(|one| one.keyword() == keyword);
        let with_ports = has("sh-port") || has("mh-port");
        self.algorithm = match part.value().unwrap_or_default() {
            "rr" | "wrr" => "ROUND_ROBIN",
            "lc" | "wlc" => "LEAST_CONNECTIONS",
            "sh" | "mh" if with_ports => "5_TUPLE_HASH",
            "sh" | "mh" => "SOURCE_IP",
            other => {
                let (near, by) = match other {
                    "sed" | "nq" => ("LEAST_CONNECTIONS", "by connections and weight"),
                    _ => ("5_TUPLE_HASH", "by a hash of addresses and ports"),
                };
                let outcome = format!("members are chosen {by} ({near})");
                self.pool.section.lacks(part.line, &part.text(), &outcome);
                near
            }
        };
    }

    fn read_forwarding(&mut self, part: &Statement) {
        let has_other_port = part.words.windows(2).any(|two| two[0] == "port" && two[1] != "6080");
        let words: Vec<_> = part.words[1..].iter().map(String::as_str).collect();
        self.forwarding = match words[..] {
            ["DR", ..] => "l2",
            ["TUN"] | ["TUN", "type", "ipip", ..] => "ipip",
            ["TUN", "type", "gue", ..] => {
                if has_other_port {
                    let outcome = "packets go to UDP port 6080 of the members";
                    self.pool.section.lacks(part.line, &part.text(), outcome);
                }
                "gue"
            }
            _ => {
                let outcome = "elb translates no addresses: members answer clients directly";
                self.pool.section.lacks(part.line, &part.text(), outcome);
                self.forwarding
            }
        };
    }

    fn read_server(&mut self, part: &Statement) {
        let address = part.value().unwrap_or_default().to_owned();
        let port = part.word(2).unwrap_or("0").parse().unwrap_or(0);
        let section = Section::default();
        let mut server = Server { address, port, weight: 1, limit: None, section };
        for line in &part.block {
            match line.keyword() {
                "weight" => {
                    server.weight = line.value().and_then(|text| text.parse().ok()).unwrap_or(1);
                }
                "uthreshold" => {
                    server.limit = Some(Given { line: line.line, text: line.text() });
                }
                "lthreshold" => {
                    let outcome = "a member takes the next connection as soon as one ends";
                    server.section.lacks(line.line, &line.text(), outcome);
                }
                "inhibit_on_failure" => self.pool.section.set("flows_on_unhealthy", "keep"),
                "alpha" | "warmup" | "virtualhost" => {}
                keyword if Checks::is_common(keyword) => {}
                keyword if keyword.ends_with("_CHECK") || keyword.ends_with("_GET") => {}
                "notify_up" | "notify_down" | "smtp_alert" => {
                    let outcome = "follow `elb events -f` for changes";
                    server.section.lacks(line.line, &line.text(), outcome);
                }
                _ => server.section.lacks(line.line, &line.text(), "it is left out"),
            }
        }
        self.checks.read_server(part, self.host.as_deref(), check);
        self.servers.push(server);
    }

    /// Adds the pool, and a listener for each place.
    pub(super) fn translate(mut self, endpoints: &[Endpoint], out: &mut Translation) {
        let name = out.pool_name(&self.title.replacen("virtual_server ", "", 1));
        let protocol = self.protocol.unwrap_or(Protocol::Tcp);
        self.write_pool(&name, protocol);
        if self.protocol.is_none() {
            let why = "elb serves TCP and UDP only".to_owned();
            self.pool.section.refused = Some(why.clone());
            self.listener.refused = Some(why);
        }
        for endpoint in endpoints {
            let mut section = self.listener.clone();
            let place = place(*endpoint, protocol);
            section.set("name", out.listener_name(&place));
            section.set("protocol", protocol.as_str());
            section.set("protocol_port", i64::from(endpoint.port));
            section.set("default_pool", name.as_str());
            if endpoint.address.is_none() {
                let why = format!("`{}` names no address that elb could listen on", self.title);
                section.refused.get_or_insert(why);
            }
            out.listeners.push(ListenerDraft { address: endpoint.address, section });
        }
        out.pools.push(self.pool);
    }

    fn write_pool(&mut self, name: &str, protocol: Protocol) {
        let weights: Vec<u32> = self.servers.iter().map(|server| server.weight).collect();
        let scaled = weights::scaled(&weights);
        let any_port = !self.servers.is_empty() && self.servers.iter().all(|one| one.port == 0);
        let pool = &mut self.pool;
        pool.section.set("name", name);
        pool.section.set("protocol", protocol.as_str());
        pool.section.set("forwarding", self.forwarding);
        pool.section.set("lb_algorithm", self.algorithm);
        if any_port {
            pool.section.set("any_port_enable", true);
        }
        if scaled != weights {
            let note = "weights are 0 to 100 here; they keep their proportions";
            pool.section.notes.push(note.to_owned());
        }
        // A sorry server without a port takes that of the others.
        let usual = self.servers.iter().map(|one| one.port).find(|port| *port > 0).unwrap_or(0);
        for (server, weight) in self.servers.iter_mut().zip(scaled) {
            let member = &mut server.section;
            member.set("address", server.address.as_str());
            if !any_port {
                let port = if server.port == 0 { usual } else { server.port };
                member.set("protocol_port", i64::from(port));
            }
            member.set("weight", i64::from(weight));
            if let Some(given) = &server.limit {
                counted::limit(member, self.algorithm, given);
            }
            pool.members.push(member.clone());
        }
        pool.monitor = self.checks.monitor(protocol);
    }
}

/// A name for a listener.
fn place(endpoint: Endpoint, protocol: Protocol) -> String {
    let address = endpoint.address.map_or("unknown".to_owned(), |address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    });
    format!("{address}:{} {protocol}", endpoint.port)
}
