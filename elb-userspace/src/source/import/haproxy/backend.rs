//! A backend: a pool, its members and its monitor.

use super::Effective;
use super::checks::Checks;
use super::time::milliseconds;
use crate::model::{Forwarding, Protocol};
use crate::source::import::counted::{self, Given};
use crate::source::import::haproxy_words::Line;
use crate::source::import::remembered::Remembered;
use crate::source::import::section::Section;
use crate::source::import::translation::PoolDraft;
use crate::source::import::{ImportOptions, weights};

/// What a backend says.
pub(super) struct Backend<'a> {
    section: &'a Effective<'a>,
    pool: PoolDraft,
    algorithm: &'static str,
    remembered: Remembered,
    /// Words of `default-server`.
    usual: Vec<String>,
    servers: Vec<Server>,
    checks: Checks,
    ends_on_failure: bool,
    has_backup: bool,
}

struct Server {
    /// Without a port if it takes the client's.
    port: Option<u16>,
    weight: u32,
    /// `maxconn`.
    limit: Option<Given>,
    /// `slowstart`, in seconds.
    rises_in: u64,
    section: Section,
}

impl Server {
    /// Reads in which time it rises to its share.
    fn rises(&mut self, line: usize, time: &str) {
        match milliseconds(time) {
            Some(time) => self.rises_in = time.div_ceil(1000),
            None => self.section.lacks(line, &format!("slowstart {time}"), "it is left out"),
        }
    }
}

impl<'a> Backend<'a> {
    pub(super) fn new(section: &'a Effective<'a>, options: &ImportOptions) -> Self {
        let mut backend = Self {
            section,
            pool: PoolDraft::default(),
            algorithm: "ROUND_ROBIN",
            remembered: Remembered::default(),
            usual: Vec::new(),
            servers: Vec::new(),
            checks: Checks::default(),
            ends_on_failure: false,
            has_backup: false,
        };
        let forwarding = options.forwarding.unwrap_or(Forwarding::Ipip);
        backend.pool.section.set("forwarding", forwarding.as_str());
        for (i, line) in section.lines.iter().enumerate() {
            backend.read(line, i >= section.inherited);
        }
        let pool = &mut backend.pool.section;
        backend.algorithm = backend.remembered.write(pool, backend.algorithm);
        backend
    }

    /// Whether its connections are counted.
    pub(super) fn records(&self) -> bool {
        counted::counts(self.algorithm)
    }

    fn read(&mut self, line: &Line, is_own: bool) {
        let section = &mut self.pool.section;
        match line.word(0) {
            "balance" => self.read_algorithm(line, is_own),
            "server" => self.read_server(line),
            "default-server" => self.usual.extend(line.from(1).iter().cloned()),
            "stick" if line.word(1) == "on" && line.word(2) == "src" => {
                self.remembered.asked = Some(Given { line: line.number, text: line.text() });
            }
            "stick-table" => {
                let mut words = line.from(1).iter().skip_while(|word| *word != "expire").skip(1);
                let expire = words.next().and_then(|time| milliseconds(time));
                self.remembered.seconds = expire.map(|time| time.div_ceil(1000));
            }
            "server-template" if is_own => {
                let outcome = "elb looks no names up; add each member by its address";
                section.lacks(line.number, &line.text(), outcome);
            }
            "hash-type" | "mode" | "description" | "id" => {}
            "log" | "retries" | "fullconn" | "enabled" => {}
            _ if self.checks.read(line) => {}
            "timeout" | "option" => {}
            "tcp-request" | "tcp-response" | "acl" | "bind" | "default_backend" | "use_backend"
                if self.section.head.word(0) == "listen" => {}
            "maxconn" | "rate-limit" if self.section.head.word(0) == "listen" => {}
            "maxconn" | "rate-limit" | "disabled" if !is_own => {}
            _ if is_own => section.lacks(line.number, &line.text(), "it is left out"),
            _ => {}
        }
    }

    fn read_algorithm(&mut self, line: &Line, is_own: bool) {
        self.algorithm = match line.word(1) {
            "roundrobin" | "static-rr" => "ROUND_ROBIN",
            "leastconn" => "LEAST_CONNECTIONS",
            "source" => "SOURCE_IP",
            _ => {
                if is_own {
                    let outcome = "members are chosen by a hash of addresses and ports";
                    self.pool.section.lacks(line.number, &line.text(), outcome);
                }
                "5_TUPLE_HASH"
            }
        };
    }

    /// `server NAME ADDRESS[:PORT] [WORDS]`.
    fn read_server(&mut self, line: &Line) {
        let (address, port) = endpoint(line.word(2));
        let mut section = Section::default();
        section.set("name", line.word(1));
        section.set("address", address.as_str());
        let mut server = Server { port, weight: 1, limit: None, rises_in: 0, section };
        let words: Vec<String> = self.usual.iter().chain(line.from(3)).map(String::clone).collect();
        let mut words = words.iter().map(String::as_str);
        let mut probes = false;
        while let Some(word) = words.next() {
            match word {
                "check" => probes = true,
                "no-check" => probes = false,
                "weight" => server.weight = words.next().and_then(|w| w.parse().ok()).unwrap_or(1),
                "disabled" => server.weight = 0,
                "maxconn" => {
                    let text = format!("maxconn {}", words.next().unwrap_or_default());
                    server.limit = Some(Given { line: line.number, text });
                }
                "slowstart" => server.rises(line.number, words.next().unwrap_or_default()),
                "on-marked-down" => {
                    self.ends_on_failure = words.next() == Some("shutdown-sessions");
                }
                "send-proxy" | "send-proxy-v2" => {
                    let outcome =
                        "members see the client's address without it; let the server expect none";
                    server.section.lacks(line.number, word, outcome);
                }
                "ssl" => {
                    let why =
                        "haproxy speaks TLS to the server (ssl), elb hands bytes on as they are";
                    server.section.refused = Some(why.to_owned());
                }
                _ if self.checks.read_server_word(word, &mut words) => {}
                "id" | "init-addr" | "verify" | "ca-file" | "sni" | "resolvers" | "alpn" => {
                    words.next();
                }
                "backup" => {
                    if self.has_backup && !self.section.has_option("allbackups") {
                        let outcome = "elb uses all backup members together, haproxy the first that \
                                       works";
                        server.section.lacks(line.number, word, outcome);
                    }
                    self.has_backup = true;
                    server.section.set("backup", true);
                }
                _ => {
                    let value = if has_value(word) { words.next() } else { None };
                    let text = value.map_or(word.to_owned(), |value| format!("{word} {value}"));
                    server.section.lacks(line.number, &text, "it is left out");
                }
            }
        }
        self.checks.note_server(probes, line, &mut server.section);
        self.servers.push(server);
    }

    pub(super) fn pool(mut self, name: &str) -> PoolDraft {
        let weights: Vec<u32> = self.servers.iter().map(|server| server.weight).collect();
        let scaled = weights::scaled(&weights);
        let any_port =
            !self.servers.is_empty() && self.servers.iter().all(|one| one.port.is_none());
        let pool = &mut self.pool;
        pool.section.set("name", name);
        pool.section.set("protocol", "TCP");
        pool.section.set("lb_algorithm", self.algorithm);
        if any_port {
            pool.section.set("any_port_enable", true);
        }
        if self.ends_on_failure {
            pool.section.set("flows_on_unhealthy", "rehash");
        }
        if scaled != weights {
            let note = "weights are 0 to 100 here; they keep their proportions";
            pool.section.notes.push(note.to_owned());
        }
        let rises: Vec<u64> = self.servers.iter().map(|server| server.rises_in).collect();
        slow_start(&mut pool.section, &rises);
        for (mut server, weight) in self.servers.into_iter().zip(scaled) {
            if let Some(port) = server.port.filter(|_| !any_port) {
                server.section.set("protocol_port", i64::from(port));
            }
            server.section.set("weight", i64::from(weight));
            if let Some(given) = &server.limit {
                counted::limit(&mut server.section, self.algorithm, given);
            }
            pool.members.push(server.section);
        }
        pool.monitor = self.checks.monitor(Protocol::Tcp);
        self.pool
    }
}

/// The longest time of all servers in which one rises to its share.
fn slow_start(pool: &mut Section, seconds: &[u64]) {
    const MOST: u64 = 1200;
    let longest = seconds.iter().copied().max().unwrap_or_default();
    if longest == 0 {
        return;
    }
    let seconds_here = longest.min(MOST);
    pool.set("slow_start", i64::try_from(seconds_here).unwrap_or_default());
    if seconds.iter().any(|one| *one != seconds_here) {
        let note = format!(
            "slow_start is that of all members here, and {MOST} s at the most: it is the longest slowstart of \
             a server"
        );
        pool.notes.push(note);
    }
}

/// An address and a port, which may be missing.
fn endpoint(text: &str) -> (String, Option<u16>) {
    let text = text.strip_prefix("ipv4@").or(text.strip_prefix("ipv6@")).unwrap_or(text);
    if let Some((address, port)) = text.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        return (address.trim_matches(['[', ']']).to_owned(), Some(port));
    }
    (text.trim_matches(['[', ']']).to_owned(), None)
}

/// Whether a word of a server has a value after it.
fn has_value(word: &str) -> bool {
    let words = [
        "minconn",
        "maxqueue",
        "cookie",
        "source",
        "usesrc",
        "track",
        "observe",
        "error-limit",
        "on-error",
        "on-marked-up",
        "agent-port",
        "agent-inter",
        "agent-addr",
        "agent-send",
        "namespace",
        "pool-max-conn",
        "pool-purge-delay",
        "proto",
        "redir",
        "tcp-ut",
        "resolve-prefer",
        "resolve-net",
        "resolve-opts",
        "crt",
        "crl-file",
        "ciphers",
        "ssl-min-ver",
        "ssl-max-ver",
        "verifyhost",
        "guid",
        "set-proxy-v2-tlv-fmt",
        "shard",
        "log-proto",
        "ws",
        "proxy-v2-options",
        "interface",
    ];
    words.contains(&word)
}
